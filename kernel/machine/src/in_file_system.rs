//! That a thread works in a file system, which it must not enter a second time: it has its locks, and its journal may be half
//! written.
//!
//! Reclaim by such a thread sends no page to a backend that would enter a file system
//! (`quire_swap::SwapOpsFlags::no_file_systems`). Such pages stay for `kswapd`, or go to another area.

use core::marker::PhantomData;

use crate::arch::cpu;
use crate::running::Running;

/// While it is there, the thread that made it works in a file system (Linux: `memalloc_nofs_save`).
#[must_use = "the thread leaves the file system when this is dropped"]
pub struct InFileSystem(PhantomData<*const ()>);

impl InFileSystem {
    /// The running thread enters a file system.
    pub fn enter() -> Self {
        cpu::with_running(Running::enter_file_system);
        Self(PhantomData)
    }
}

impl Drop for InFileSystem {
    fn drop(&mut self) {
        cpu::with_running(Running::leave_file_system);
    }
}
