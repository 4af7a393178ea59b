//! Who a thread works for, as far as the machine has to know: the rooms above say it by implementing these.

use core::any::Any;
use core::fmt;

use crate::arch::root::Root;

/// How an owner is shown to those who look from outside: what is named by an address stays as long as the owner.
#[derive(Clone, Copy, Debug, Default)]
pub struct Shown {
    /// The number of the process; 0 for what is none.
    pub pid: u32,
    /// The address of its name; 0 for the thread's own.
    pub name: u64,
    /// How many bytes that has, zeros at its end included.
    pub name_length: u64,
    /// The address of the byte with the number of its memory cgroup; 0 for the root.
    pub cgroup: u64,
}

/// The process, or the address space alone, that a thread works for. Threads of the kernel have none.
pub trait Owner: Any + Send + Sync {
    /// What the thread is called in messages, if not by its own name and number.
    fn title(&self) -> Option<&dyn fmt::Display>;

    /// The number of the memory cgroup that is charged for what the thread allocates.
    fn memory_cgroup(&self) -> u8;

    /// How it is shown to those who look from outside.
    fn shown(&self) -> Shown {
        Shown::default()
    }

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
