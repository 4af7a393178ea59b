//! Events that happen again and again, and threads that wait for the next one.
//!
//! Waiting for one uses a counter, so that a condition which may take a lock of the swap core is never evaluated under a wait
//! queue's lock.

use core::sync::atomic::{AtomicU64, Ordering};

use quire_machine::task::WaitQueue;

/// Something that threads wait for, and how often it has happened.
pub struct Happening {
    count: AtomicU64,
    waiters: WaitQueue,
}

impl Default for Happening {
    fn default() -> Self {
        Self::new()
    }
}

impl Happening {
    /// It has not happened yet.
    pub const fn new() -> Self {
        Self { count: AtomicU64::new(0), waiters: WaitQueue::new() }
    }

    /// It has happened once more.
    pub fn happened(&self) {
        self.count.fetch_add(1, Ordering::Release);
        self.waiters.wake_all();
    }

    /// Sleeps until `ready`, which is looked at now and each time that it has happened.
    pub fn wait_until(&self, ready: impl Fn() -> bool) {
        loop {
            let seen = self.count.load(Ordering::Acquire);
            if ready() {
                return;
            }
            self.waiters.wait_until(|| self.count.load(Ordering::Acquire) != seen);
        }
    }

    /// Does `work` each time that it has happened since the work began the last time.
    pub fn whenever(&self, mut work: impl FnMut()) {
        loop {
            let done = self.count.load(Ordering::Acquire);
            work();
            self.waiters.wait_until(|| self.count.load(Ordering::Acquire) != done);
        }
    }
}
