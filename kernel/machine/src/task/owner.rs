//! Who a thread works for, as far as the machine has to know: the rooms above say it by implementing these.

use core::any::Any;
use core::fmt;

use crate::arch::root::Root;

/// The process, or the address space alone, that a thread works for. Threads of the kernel have none.
pub trait Owner: Any + Send + Sync {
    /// What the thread is called in messages, if not by its own name and number.
    fn title(&self) -> Option<&dyn fmt::Display>;

    /// The number of the memory group that is charged for what the thread allocates.
    fn memory_cgroup(&self) -> u8;

    /// Whether it ends as soon as it can: nothing is worth waiting for any more.
    fn is_killed(&self) -> bool;

    /// Whether it is a process, which others may be killed for.
    fn is_process(&self) -> bool {
        true
    }

    /// No frame can be had for the thread, and none is killed for it: it gives up what it has.
    fn give_up_memory(&self) {}

    /// Whether a signal waits; the thread does not go on sleeping where a sleep may be interrupted.
    fn is_interrupted(&self) -> bool;
}

/// The user half of an address space.
pub trait UserHalf: Any + Send + Sync {
    /// The root of its page tables.
    fn root(&self) -> &Root;
}
