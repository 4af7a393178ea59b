//! What the kernel knows of a process.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU32, Ordering};

use intrusive_collections::RBTreeAtomicLink;

use super::Name;
use crate::mm::AddressSpace;
use crate::sync::SpinLock;
use crate::task;

/// The first process's number; it adopts orphans and is never killed by what it has no handler for.
pub const INIT: u32 = 1;

/// A process.
pub struct Process {
    pub(super) pid: u32,
    parent: AtomicU32,
    group: AtomicU32,
    session: AtomicU32,
    name: SpinLock<Name>,
    /// Replaced by `execve`, gone at the end; shared with the parent between `vfork` and `execve`.
    space: SpinLock<Option<Arc<AddressSpace>>>,
    pub(super) link: RBTreeAtomicLink,
}

impl Process {
    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The number of the process that waits for its end; 0 for the first process.
    pub fn parent(&self) -> u32 {
        self.parent.load(Ordering::Relaxed)
    }

    /// The number of its process group.
    pub fn group(&self) -> u32 {
        self.group.load(Ordering::Relaxed)
    }

    /// The number of its session.
    pub fn session(&self) -> u32 {
        self.session.load(Ordering::Relaxed)
    }

    /// Its name, by `execve` the program's (Linux: `comm`).
    pub fn name(&self) -> Name {
        *self.name.lock()
    }

    /// Its memory; `None` when it has ended.
    pub fn space(&self) -> Option<Arc<AddressSpace>> {
        self.space.lock().clone()
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.name(), self.pid)
    }
}

/// The process that runs this; `None` in a kernel thread.
pub fn current() -> Option<Arc<Process>> {
    task::scheduler::try_current()?.process().cloned()
}

/// The process whose system call this is.
///
/// # Panics
/// In a kernel thread, which makes no system calls.
pub fn this() -> Arc<Process> {
    current().expect("system calls come from processes")
}
