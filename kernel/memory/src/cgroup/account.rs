//! What the kernel keeps on its heap for the processes of a cgroup.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};

use quire_machine::sync::{Snapshot, SpinLock};
use quire_swap::header::PAGE_SIZE;

use crate::cgroup::counts::{MOST, current, lacks_room, try_charge, uncharge};

/// The heap that is charged to one cgroup, and to its parent when that is removed.
pub(crate) struct Account {
    pub(crate) cgroup: AtomicU8,
    /// In bytes.
    pub(crate) kept: SpinLock<usize>,
}

/// The account of each cgroup but the root.
pub(crate) static ACCOUNTS: [Snapshot<Option<Arc<Account>>>; MOST] = [const { Snapshot::new(None) }; MOST];

impl Account {
    /// # Errors
    /// The cgroup whose limit is reached.
    fn add(&self, bytes: usize) -> Result<(), u8> {
        let mut kept = self.kept.lock();
        let cgroup = self.cgroup.load(Ordering::Relaxed);
        let more = (*kept + bytes).div_ceil(PAGE_SIZE) - kept.div_ceil(PAGE_SIZE);
        for charged in 0..more {
            if let Err(full) = try_charge(cgroup) {
                (0..charged).for_each(|_| uncharge(cgroup));
                return Err(full);
            }
        }
        *kept += bytes;
        Ok(())
    }

    fn remove(&self, bytes: usize) {
        let mut kept = self.kept.lock();
        let fewer = kept.div_ceil(PAGE_SIZE) - (*kept - bytes).div_ceil(PAGE_SIZE);
        *kept -= bytes;
        let cgroup = self.cgroup.load(Ordering::Relaxed);
        (0..fewer).for_each(|_| uncharge(cgroup));
    }
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
        lacks_room(current()).map_or_else(|| account.add(bytes), Err)?;
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
