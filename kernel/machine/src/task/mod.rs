//! Kernel threads, the scheduler, and the ways to wait: wait queues, sleeping locks, timed sleeps.
//!
//! # Locks
//!
//! One run-queue lock for all processors; it is held across a context switch and released by the thread that comes
//! after, so no thread is continued whose registers are not saved yet. Waiting is built on [`scheduler::park`] and
//! [`scheduler::unpark`], which work like those of the standard library: an unpark that comes first is not lost.

mod killed;
mod known;
mod mutex;
mod owner;
mod published;
pub mod scheduler;
mod thread;
pub mod time;
mod wait;

pub use killed::{HeedKill, Killed, check_killed, check_signals, is_killed, works_for_process};
pub use mutex::{Mutex, MutexGuard};
pub use owner::{Owner, Shown, UserHalf};
pub use scheduler::{current, preempt, yield_now};
pub use thread::{JoinHandle, Thread, Work, begin, for_program, spawn, spawn_for, spawn_on};
pub use wait::{Interrupted, WaitQueue, Waited};

/// Says where threads are found from outside.
#[cfg(target_os = "none")]
pub(crate) fn publish(page: &quire_protocol::observatory::AtomicPage) {
    published::publish(page, Thread::describe);
}
