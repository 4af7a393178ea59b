//! Advisory locks on files: POSIX record locks, those of open file descriptions, and `flock` (Linux: `fs/locks.c`).
//!
//! Record locks hold a span of bytes; those of processes and those of open file descriptions conflict with one another.
//! `flock` locks a whole file for an open file description and conflicts only with its like. [`ranges`] is one file's locks
//! of one sort, [`table`] all files' and who waits for what; both are pure. `held` is the kernel's table and the way to
//! sleep for a lock.
//!
//! A process that closes any number of a file loses its record locks on it; what an open file description holds goes with
//! its last number.
//!
//! # Locks
//!
//! The table has one sleeping lock, taken with no other held but a process's descriptors' at most, and held only to look
//! and change. Who waits holds nothing.

mod held;
pub mod ranges;
pub mod table;

pub use held::{acquire, conflict, forget_open_file, forget_process};
