//! Waiting for files: each that a task can wait for has a [`Changes`], and `poll` waits for any of them.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use quire_machine::task::{Interrupted, WaitQueue, Waited};

use crate::errno::Errno;

/// How often something has changed, and who waits for the next time. A waiter notes the count, looks whether there is
/// something to do, and waits for another count if not; so no change is missed, and no lock is held while waiting.
pub struct Changes {
    count: AtomicU64,
    waiters: WaitQueue,
}

/// Counts every change.
static ANY: Changes = Changes::new();

impl Default for Changes {
    fn default() -> Self {
        Self::new()
    }
}

impl Changes {
    /// Nothing has changed yet.
    pub const fn new() -> Self {
        Self { count: AtomicU64::new(0), waiters: WaitQueue::new() }
    }

    /// The count.
    pub fn seen(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Something has changed. May be called from an interrupt.
    pub fn notify(&self) {
        for changes in [self, &ANY] {
            changes.count.fetch_add(1, Ordering::AcqRel);
            changes.waiters.wake_all();
        }
    }

    /// Sleeps until the count is no longer `seen`.
    ///
    /// # Errors
    /// The call is to be restarted after a signal.
    pub fn wait(&self, seen: u64) -> Result<(), Errno> {
        self.waiters.wait_until_interrupted(|| self.seen() != seen).map_err(|Interrupted| Errno::RESTART)
    }
}

/// The count of all changes.
pub fn seen() -> u64 {
    ANY.seen()
}

/// Sleeps until something has changed since `seen`, or `deadline`, a time since boot, has passed.
///
/// # Errors
/// The call ends with `EINTR` after a handler, and is done again without one.
pub fn wait_for_any(seen: u64, deadline: Option<Duration>) -> Result<(), Errno> {
    let changed = || ANY.seen() != seen;
    let result = match deadline {
        None => ANY.waiters.wait_until_interrupted(changed),
        Some(deadline) => match ANY.waiters.wait_until_or_interrupted(deadline, changed) {
            Waited::Done | Waited::TimedOut => Ok(()),
            Waited::Interrupted => Err(Interrupted),
        },
    };
    result.map_err(|Interrupted| Errno::RESTART_WITHOUT_HANDLER)
}
