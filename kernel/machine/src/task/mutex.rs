//! A lock that sleeps, for what is held for long but never across device I/O.

use core::cell::UnsafeCell;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

use super::killed::{Killed, is_killed};
use super::wait::WaitQueue;
use crate::sync::{Rank, acquire_rank, release_rank};

/// A sleeping lock around a value.
pub struct Mutex<T> {
    rank: Rank,
    locked: AtomicBool,
    waiters: WaitQueue,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives the value to one thread at a time.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// A lock of `rank` around `value`.
    pub const fn new(rank: Rank, value: T) -> Self {
        Self { rank, locked: AtomicBool::new(false), waiters: WaitQueue::new(), value: UnsafeCell::new(value) }
    }

    /// The value, which no other task can reach.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Sleeps until the lock is free and takes it.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        acquire_rank(self.rank as u8);
        self.waiters.wait_until(|| !self.locked.swap(true, Ordering::Acquire));
        MutexGuard { lock: self, not_send: PhantomData }
    }

    /// As [`Self::lock`], unless the task is killed before the lock is free (Linux: `mutex_lock_killable`).
    ///
    /// # Errors
    /// [`Killed`].
    pub fn lock_unless_killed(&self) -> Result<MutexGuard<'_, T>, Killed> {
        acquire_rank(self.rank as u8);
        let mut is_ours = false;
        self.waiters.wait_until(|| {
            is_ours = !self.locked.swap(true, Ordering::Acquire);
            is_ours || is_killed()
        });
        if is_ours {
            return Ok(MutexGuard { lock: self, not_send: PhantomData });
        }
        release_rank(self.rank as u8);
        Err(Killed)
    }
}

/// The right to use what a [`Mutex`] protects.
pub struct MutexGuard<'a, T> {
    lock: &'a Mutex<T>,
    /// The thread that took the lock releases it: the rank is noted there.
    not_send: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives shared access to the value, and nothing else.
unsafe impl<T: Sync> Sync for MutexGuard<'_, T> {}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: a guard exists only while its thread has the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: a guard exists only while its thread has the lock.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        release_rank(self.lock.rank as u8);
        self.lock.locked.store(false, Ordering::Release);
        self.lock.waiters.wake_all();
    }
}
