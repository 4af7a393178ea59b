//! Work for a task that has been killed ends.
//!
//! Nothing that a system call does for a killed process is of any use, so every loop whose length a program decides,
//! over pages, blocks, bytes or entries, looks at each turn whether its task was killed: by [`HeedKill::heed_kill`], whose
//! items cannot be used without an answer to that, or by [`check_killed`] where there is no iterator. The error leads out of
//! the call; the process never sees it. Threads of the kernel cannot be killed.

use super::scheduler;
use super::thread::Thread;
use super::wait::Interrupted;

/// The process that is worked for ends as soon as it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Killed;

/// Whether the process whose thread runs this was killed.
#[inline]
pub fn is_killed() -> bool {
    scheduler::with_current(Thread::is_killed).unwrap_or(false)
}

/// Whether the thread that runs this works for a process, as against a thread of the kernel's own and a task without one.
pub fn works_for_process() -> bool {
    scheduler::with_current(Thread::works_for_process).unwrap_or(false)
}

/// For each turn of a loop that works for a program.
///
/// # Errors
/// [`Killed`].
#[inline]
pub fn check_killed() -> Result<(), Killed> {
    if is_killed() { Err(Killed) } else { Ok(()) }
}

/// For each turn of a loop that any signal ends, as on Linux.
///
/// # Errors
/// [`Interrupted`].
#[inline]
pub fn check_signals() -> Result<(), Interrupted> {
    let is_interrupted = scheduler::with_current(Thread::is_interrupted).unwrap_or(false);
    if is_interrupted { Err(Interrupted) } else { Ok(()) }
}

/// Iterators over what is done for a program.
pub trait HeedKill: Iterator + Sized {
    /// The same items, until the task is killed.
    #[inline]
    fn heed_kill(self) -> impl Iterator<Item = Result<Self::Item, Killed>> {
        self.map(|item| check_killed().map(|()| item))
    }
}

impl<I: Iterator> HeedKill for I {}
