//! What the kernel keeps on its heap for the processes of a cgroup.

use alloc::sync::Arc;
use core::fmt;
use core::mem;
use core::sync::atomic::{AtomicU8, Ordering};

use quire_machine::sync::{Rank, Snapshot, SpinLock};
use quire_swap::header::PAGE_SIZE;
use spin::Once;

use crate::cgroup::counts::{MOST, ROOT, current, lacks_space, leave_to_parent, try_charge, uncharge};

/// The heap that is charged to one cgroup, and, when that is removed, with the account of its parent to that.
pub(crate) struct Account {
    cgroup: AtomicU8,
    /// The parent's account, from the removal on; none for the root's.
    heir: Once<Option<Arc<Self>>>,
}

/// The account of each cgroup but the root.
static ACCOUNTS: [Snapshot<Option<Arc<Account>>>; MOST] = [const { Snapshot::new(None) }; MOST];

/// The bytes that each cgroup is charged. Under the lock no account gets an heir.
static KEPT: SpinLock<[usize; MOST]> = SpinLock::new(Rank::Account, [0; MOST]);

impl Account {
    /// One that is not yet a cgroup's.
    pub(crate) const fn new() -> Self {
        Self { cgroup: AtomicU8::new(ROOT), heir: Once::new() }
    }

    /// It is this cgroup's from now on.
    pub(crate) fn open(self: Arc<Self>, cgroup: u8) {
        self.cgroup.store(cgroup, Ordering::Relaxed);
        ACCOUNTS[usize::from(cgroup)].replace(Some(self));
    }

    /// The cgroup that is charged. The caller has [`KEPT`] locked.
    fn payer(&self) -> u8 {
        let mut account = self;
        loop {
            match account.heir.get() {
                None => return account.cgroup.load(Ordering::Relaxed),
                Some(None) => return ROOT,
                Some(Some(heir)) => account = heir,
            }
        }
    }

    /// # Errors
    /// The cgroup whose limit is reached.
    fn add(&self, bytes: usize) -> Result<(), u8> {
        let mut kept = KEPT.lock();
        let payer = self.payer();
        let kept = &mut kept[usize::from(payer)];
        let more = (*kept + bytes).div_ceil(PAGE_SIZE) - kept.div_ceil(PAGE_SIZE);
        for charged in 0..more {
            if let Err(full) = try_charge(payer) {
                (0..charged).for_each(|_| uncharge(payer));
                return Err(full);
            }
        }
        *kept += bytes;
        Ok(())
    }

    fn remove(&self, bytes: usize) {
        let mut kept = KEPT.lock();
        let payer = self.payer();
        let kept = &mut kept[usize::from(payer)];
        let fewer = kept.div_ceil(PAGE_SIZE) - (*kept - bytes).div_ceil(PAGE_SIZE);
        *kept -= bytes;
        (0..fewer).for_each(|_| uncharge(payer));
    }
}

/// What the kernel keeps for the cgroup, which is charged no more, it keeps for its parent from now on, which has paid for it
/// all along; together the two may fill a page less.
pub(crate) fn hand_over(cgroup: u8, parent: u8) {
    let Some(account) = ACCOUNTS[usize::from(cgroup)].replace(None) else { return };
    let heir = ACCOUNTS[usize::from(parent)].get();
    let mut kept = KEPT.lock();
    account.heir.call_once(|| heir);
    let bytes = mem::take(&mut kept[usize::from(cgroup)]);
    let pages = bytes.div_ceil(PAGE_SIZE);
    (0..pages).for_each(|_| leave_to_parent(cgroup));
    let kept = &mut kept[usize::from(parent)];
    let more = (*kept + bytes).div_ceil(PAGE_SIZE) - kept.div_ceil(PAGE_SIZE);
    *kept += bytes;
    (more..pages).for_each(|_| uncharge(parent));
}

/// Bytes that an account has; dropping them takes them off it.
pub(crate) struct Kept {
    account: Arc<Account>,
    bytes: usize,
}

/// Bytes of the kernel heap that a cgroup is charged until this is dropped.
#[derive(Debug, Default)]
pub struct Charge {
    _kept: Option<Kept>,
}

impl Charge {
    /// No cgroup is charged.
    pub const NONE: Self = Self { _kept: None };

    /// Charges the cgroup of the thread that runs this, if it is not the root.
    ///
    /// # Errors
    /// The cgroup whose limit is reached.
    pub(crate) fn try_new(bytes: usize) -> Result<Self, u8> {
        let Some(account) = ACCOUNTS[usize::from(current())].get() else { return Ok(Self::NONE) };
        lacks_space(current()).map_or_else(|| account.add(bytes), Err)?;
        Ok(Self { _kept: Some(Kept { account, bytes }) })
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Kept").field(&self.bytes).finish()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.account.remove(self.bytes);
    }
}
