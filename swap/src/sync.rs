//! Spinning locks with a rank.
//!
//! A task may take a lock only if its rank is below that of every lock that it holds already; [`Machine::lock_enter`]
//! is where a machine checks that, and where it disables preemption: a task that holds a spinning lock runs until it
//! lets go. Nothing sleeps, submits I/O or reclaims under any of these locks.

use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use crate::machine::Machine;

/// The ranks of the core's locks and of backends' own, lowest first. See the table in the crate's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Rank {
    /// Making a leaf of a [`Sparse`](crate::Sparse) array.
    Sparse,
    /// A backend's own lock, which may be taken under all of the core's; so may the three that follow.
    Backend1,
    /// As above.
    Backend2,
    /// As above.
    Backend3,
    /// As above.
    Backend4,
    /// The pool of batches.
    BatchPool,
    /// Which areas there are, in the order in which they are tried.
    Priorities,
    /// An area's lists of clusters.
    Lists,
    /// A cluster whose slot is freed with the slot that it belongs to, in another area whose cluster is locked.
    InnerCluster,
    /// One cluster: its table and all that its slots mean.
    Cluster,
    /// The registry of block drivers' swap operations.
    Registry,
    /// A driver's own lock, under which the core may be called; so is the one that follows.
    Driver1,
    /// As above.
    Driver2,
}

impl Rank {
    /// Every rank, lowest first.
    pub const ALL: &[Self] = &[
        Self::Sparse,
        Self::Backend1,
        Self::Backend2,
        Self::Backend3,
        Self::Backend4,
        Self::BatchPool,
        Self::Priorities,
        Self::Lists,
        Self::InnerCluster,
        Self::Cluster,
        Self::Registry,
        Self::Driver1,
        Self::Driver2,
    ];
}

/// A value behind a spinning lock of rank `RANK`, a [`Rank`] as `u8`.
pub struct Lock<T, M, const RANK: u8> {
    value: spin::Mutex<T>,
    machine: PhantomData<fn() -> M>,
}

/// Access to the value; dropping it unlocks.
pub struct Guard<'a, T, M: Machine, const RANK: u8> {
    // Declared first, so dropped first: the lock is open before the machine may preempt.
    value: spin::MutexGuard<'a, T>,
    _entered: Entered<M>,
}

struct Entered<M: Machine>(Rank, PhantomData<fn() -> M>);

impl<T, M: Machine, const RANK: u8> Lock<T, M, RANK> {
    /// A lock around `value`.
    pub const fn new(value: T) -> Self {
        Self { value: spin::Mutex::new(value), machine: PhantomData }
    }

    /// Takes the lock, spinning until it is free.
    #[inline]
    pub fn lock(&self) -> Guard<'_, T, M, RANK> {
        self.lock_as(const { rank(RANK) })
    }

    /// Takes the lock as one of another rank: where two locks of the same rank are always taken in the same order.
    #[inline]
    pub fn lock_as(&self, rank: Rank) -> Guard<'_, T, M, RANK> {
        M::lock_enter(rank);
        let entered = Entered(rank, PhantomData);
        loop {
            if let Some(value) = self.value.try_lock() {
                return Guard { value, _entered: entered };
            }
            M::relax();
        }
    }

    /// The lock, if nobody has it.
    #[inline]
    pub fn try_lock(&self) -> Option<Guard<'_, T, M, RANK>> {
        let rank = const { rank(RANK) };
        M::lock_enter(rank);
        let entered = Entered(rank, PhantomData);
        self.value.try_lock().map(|value| Guard { value, _entered: entered })
    }
}

const fn rank(number: u8) -> Rank {
    Rank::ALL[number as usize]
}

impl<T, M: Machine, const RANK: u8> Deref for Guard<'_, T, M, RANK> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T, M: Machine, const RANK: u8> DerefMut for Guard<'_, T, M, RANK> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<M: Machine> Drop for Entered<M> {
    #[inline]
    fn drop(&mut self) {
        M::lock_leave(self.0);
    }
}
