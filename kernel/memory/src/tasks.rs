//! Tasks: threads with the user half of an address space, and why one cannot go on.

use alloc::sync::Arc;
use core::any::Any;
use core::fmt;

use quire_machine::task::{self, JoinHandle, Owner, Thread, UserHalf, Work, scheduler};
use quire_machine::user_tables::Root;

use super::{AddressSpace, AllocationError};

/// Why a task cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fatal {
    /// A page could not be read back from swap (Linux: SIGBUS).
    ReadFailed(quire_swap::Entry),
    /// No frame could be had for it (Linux: the out-of-memory killer's SIGKILL).
    OutOfMemory,
    /// Its process was killed by then, or its memory has been taken away for that: nothing is served any more.
    Killed,
    /// It touched an address that it has not mapped (Linux: SIGSEGV).
    NotMapped(u64),
    /// It did with an address what its mapping does not allow (Linux: SIGSEGV).
    NotAllowed(u64),
    /// It touched a page that its object has not (Linux: SIGBUS).
    BeyondObject(u64),
    /// The file system of what is mapped there is full.
    NoSpace(u64),
}

impl UserHalf for AddressSpace {
    fn root(&self) -> &Root {
        self.tables.root()
    }
}

/// Of a task that has no process: it is not killed, and no signal waits for it.
impl Owner for AddressSpace {
    fn title(&self) -> Option<&dyn fmt::Display> {
        None
    }

    fn memory_cgroup(&self) -> u8 {
        self.cgroup()
    }

    fn is_killed(&self) -> bool {
        false
    }

    fn is_interrupted(&self) -> bool {
        false
    }
}

/// The address space of the running thread's user half, if it has one.
#[inline]
pub fn space() -> Option<Arc<AddressSpace>> {
    let space: Arc<dyn Any + Send + Sync> = scheduler::space()?;
    space.downcast().ok()
}

/// Gives the current thread another address space, or none but the kernel's half.
pub fn set_space(space: Option<Arc<AddressSpace>>) {
    scheduler::set_space(space.map(|space| space as Arc<dyn UserHalf>));
}

/// Whether the current thread works for a process, as against a thread of the kernel and a task without one.
pub fn has_process() -> bool {
    let has = |thread: &Thread| thread.owner().is_some() && thread.owner_as::<AddressSpace>().is_none();
    scheduler::with_current(has).unwrap_or(false)
}

/// Why the task that `thread` is, one without a process, cannot go on, if it cannot.
pub fn fatal(thread: &Thread) -> Option<Fatal> {
    thread.owner_as::<AddressSpace>()?.fatal()
}

/// Starts a task: a kernel thread with an address space of its own in the user half, which is emptied when the thread ends.
///
/// # Errors
/// [`AllocationError`] when there is no memory for its stack.
pub fn spawn<T: Send + 'static>(
    name: &str,
    space: Arc<AddressSpace>,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, AllocationError> {
    let own = Arc::clone(&space);
    let half: Arc<dyn UserHalf> = Arc::clone(&space) as _;
    task::spawn_for(name, Work { owner: Some(space), space: Some(half), user: None }, move || {
        let value = run();
        own.tear_down();
        value
    })
}
