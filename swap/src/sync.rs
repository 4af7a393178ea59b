//! Spinning locks with a rank.
//!
//! A task may take a lock only if its rank is below that of every lock that it holds already; [`Machine::lock_enter`]
//! is where a machine checks that, and where it disables preemption: a task that holds a spinning lock runs until it
//! releases it. Nothing sleeps, submits I/O or reclaims under any of these locks.

use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};

use crate::machine::Machine;
use crate::rank::Rank;

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

    /// The lock, if it is free.
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
