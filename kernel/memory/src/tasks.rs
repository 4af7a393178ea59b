//! Tasks: threads with the user half of an address space, and why one cannot go on.

use alloc::sync::Arc;
use core::fmt;

use quire_machine::task::{self, JoinHandle, Owner, Thread, UserHalf, Work, scheduler};
use quire_machine::user_tables::Root;

use crate::address_space::AddressSpace;

pub use crate::fatal::Fatal;
use crate::upcall::Memory as _;
use quire_machine::AllocationError;

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

    fn is_process(&self) -> bool {
        false
    }

    fn give_up_memory(&self) {
        self.reap();
    }
}

/// The address space of the running thread's user half, if it has one.
#[inline]
pub fn space() -> Option<Arc<AddressSpace>> {
    scheduler::space_as()
}

/// Gives the current thread another address space, or none but the kernel's half.
pub fn set_space(space: Option<Arc<AddressSpace>>) {
    scheduler::set_space(space.map(|space| space as Arc<dyn UserHalf>));
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
