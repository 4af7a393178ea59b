//! Wait queues: threads that sleep until a condition holds.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering, fence};

use intrusive_collections::LinkedList;

use super::scheduler::{self, current, park};
use super::thread::{Thread, WaitAdapter};
use crate::clock::since_boot;
use crate::sync::{Rank, SpinLock};

/// A signal waits for the process whose thread slept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

/// How a wait with a deadline ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The condition holds.
    Done,
    /// The deadline has passed.
    TimedOut,
    /// A signal waits.
    Interrupted,
}

fn is_interrupted() -> bool {
    scheduler::with_current(Thread::is_interrupted).unwrap_or(false)
}

/// Threads that wait for the same thing to happen. A thread is in at most one wait queue.
///
/// `is_empty` is what lets a wake-up without waiters cost a few instructions: a waiter clears it before it looks at its
/// condition for the last time, and the task that has made the condition hold looks at it afterwards, so that one of them sees the
/// other.
pub struct WaitQueue {
    waiters: SpinLock<LinkedList<WaitAdapter>>,
    is_empty: AtomicBool,
}

impl WaitQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self {
            waiters: SpinLock::new(Rank::WaitQueue, LinkedList::new(WaitAdapter::NEW)),
            is_empty: AtomicBool::new(true),
        }
    }

    /// Sleeps until `condition` holds. The task that makes it hold calls [`Self::wake_all`] afterwards.
    ///
    /// `condition` is evaluated under the queue's lock: it takes no lock of a higher rank and does not sleep.
    ///
    /// # Panics
    /// When `condition` waits in another queue while the thread is in this one.
    #[inline]
    pub fn wait_until(&self, mut condition: impl FnMut() -> bool) {
        if !condition() {
            self.sleep_until(condition);
        }
    }

    #[inline(never)]
    fn sleep_until(&self, mut condition: impl FnMut() -> bool) {
        let thread = current();
        // Else its link would be taken out of this queue while the other one has it.
        assert!(!thread.wait_link.is_linked(), "{thread} waits in two queues");
        #[cfg(not(target_os = "none"))]
        let _end = End { queue: self, thread: &thread };
        loop {
            {
                let mut waiters = self.waiters.lock();
                self.is_empty.store(false, Ordering::Relaxed);
                fence(Ordering::SeqCst);
                if condition() {
                    Self::remove(&mut waiters, &thread);
                    return;
                }
                if !thread.wait_link.is_linked() {
                    waiters.push_back(Arc::clone(&thread));
                }
            }
            park();
        }
    }

    /// Sleeps until `condition` holds or `deadline`, a time since boot, has passed; returns whether it holds.
    pub fn wait_until_or(&self, deadline: core::time::Duration, mut condition: impl FnMut() -> bool) -> bool {
        let _alarm = super::time::Alarm::new(deadline);
        let mut holds = false;
        self.wait_until(|| {
            holds = condition();
            holds || since_boot() >= deadline
        });
        holds
    }

    /// Sleeps until `condition` holds, as [`Self::wait_until`], or a signal waits for the thread's process.
    ///
    /// # Errors
    /// [`Interrupted`], if the condition does not hold.
    pub fn wait_until_interrupted(&self, mut condition: impl FnMut() -> bool) -> Result<(), Interrupted> {
        let mut holds = false;
        self.wait_until(|| {
            holds = condition();
            holds || is_interrupted()
        });
        if holds { Ok(()) } else { Err(Interrupted) }
    }

    /// Sleeps until `condition` holds, a signal waits, or `deadline`, a time since boot, has passed.
    pub fn wait_until_or_interrupted(
        &self,
        deadline: core::time::Duration,
        mut condition: impl FnMut() -> bool,
    ) -> Waited {
        let _alarm = super::time::Alarm::new(deadline);
        let mut holds = false;
        let mut passed = false;
        self.wait_until(|| {
            holds = condition();
            passed = since_boot() >= deadline;
            holds || passed || is_interrupted()
        });
        match (holds, passed) {
            (true, _) => Waited::Done,
            (false, true) => Waited::TimedOut,
            (false, false) => Waited::Interrupted,
        }
    }

    /// Lets every waiter check its condition.
    #[inline]
    pub fn wake_all(&self) {
        fence(Ordering::SeqCst);
        if !self.is_empty.load(Ordering::Relaxed) {
            self.wake_waiters();
        }
    }

    fn wake_waiters(&self) {
        loop {
            let thread = {
                let mut waiters = self.waiters.lock();
                let thread = waiters.pop_front();
                // One that has not been put in the list yet looks at its condition under this lock.
                self.is_empty.store(waiters.is_empty(), Ordering::Relaxed);
                thread
            };
            let Some(thread) = thread else { return };
            scheduler::unpark(&thread);
        }
    }

    fn remove(waiters: &mut LinkedList<WaitAdapter>, thread: &Arc<Thread>) {
        if thread.wait_link.is_linked() {
            // SAFETY: a thread is in at most one wait queue, and only the thread itself waits in this one now; the list
            // is locked.
            unsafe { waiters.cursor_mut_from_ptr(Arc::as_ptr(thread)) }.remove();
        }
    }
}

/// A thread that waits when its machine ends is taken out of the queue, which may be there for the next.
#[cfg(not(target_os = "none"))]
struct End<'a> {
    queue: &'a WaitQueue,
    thread: &'a Arc<Thread>,
}

#[cfg(not(target_os = "none"))]
impl Drop for End<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            WaitQueue::remove(&mut self.queue.waiters.lock(), self.thread);
        }
    }
}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}
