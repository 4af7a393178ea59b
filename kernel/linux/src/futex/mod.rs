//! Futexes: tasks that sleep until a word of memory is said to have changed (`futex(2)`; Linux: `kernel/futex`).
//!
//! A word is known by a [`Key`](key::Key): the same for all who can reach it, also while its page is in swap. The
//! [`queues`] keep who waits, and hold the protocol by which no wake-up is lost; both are pure. `waiting` is what system calls
//! use, and `robust` lets go of the locks of a process that ends.
//!
//! Nothing here is per process: threads that share an address space are tasks like others.
//!
//! # Locks
//!
//! One spinning lock for all queues (`Rank::Futexes`): a task that gives up must find itself though another is moving it
//! to another word. User memory is never touched under it, and a key in the queues never has the last reference to its
//! object, because the task that waits has one as well.

pub mod key;
pub mod operation;
pub mod queues;
pub mod robust;
#[cfg(test)]
mod tests;
pub mod waiting;
pub mod word;
