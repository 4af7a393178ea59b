//! Timed sleeps, by the timer interrupt.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use core::time::Duration;

use intrusive_collections::LinkedList;

use super::scheduler::{self, current};
use super::thread::{SleepAdapter, Thread};
use crate::clock::{nanoseconds, since_boot};
use crate::sync::{Rank, SpinLock};

static SLEEPERS: SpinLock<LinkedList<SleepAdapter>> = SpinLock::new(Rank::Sleepers, LinkedList::new(SleepAdapter::NEW));

/// The timer interrupt: wakes the threads that have slept long enough.
pub fn tick() {
    let now = since_boot().as_nanos() as u64;
    let mut sleepers = SLEEPERS.lock();
    let mut cursor = sleepers.front_mut();
    while let Some(thread) = cursor.get() {
        if thread.wake_at.load(Ordering::Relaxed) > now {
            cursor.move_next();
        } else if let Some(thread) = cursor.remove() {
            // Not the last reference, whose end is no work for an interrupt: the alarm that put it here has another.
            scheduler::unpark(&thread);
        }
    }
}

/// When the first sleeper wants to be woken, as a time since boot.
#[cfg(not(target_os = "none"))]
pub(crate) fn next_deadline() -> Option<Duration> {
    let sleepers = SLEEPERS.lock();
    sleepers.iter().map(|thread| Duration::from_nanos(thread.wake_at.load(Ordering::Relaxed))).min()
}

/// While it lives, the current thread is unparked at a deadline. A thread has one alarm at a time.
pub(super) struct Alarm {
    thread: Arc<Thread>,
}

impl Alarm {
    pub(super) fn new(deadline: Duration) -> Self {
        let thread = current();
        thread.wake_at.store(nanoseconds(deadline), Ordering::Relaxed);
        SLEEPERS.lock().push_back(Arc::clone(&thread));
        Self { thread }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let mut sleepers = SLEEPERS.lock();
        if self.thread.sleep_link.is_linked() {
            // SAFETY: the thread's link is only used for this list, which is locked.
            unsafe { sleepers.cursor_mut_from_ptr(Arc::as_ptr(&self.thread)) }.remove();
        }
    }
}

/// Sleeps for `duration`.
pub fn sleep(duration: Duration) {
    let deadline = since_boot() + duration;
    while since_boot() < deadline {
        let _alarm = Alarm::new(deadline);
        scheduler::park();
    }
}
