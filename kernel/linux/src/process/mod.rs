//! Processes: programs that run in ring 3, each on a thread of its own.
//!
//! # What belongs to what
//!
//! A `Process` is what Linux calls a thread group with one thread; there are no others. It runs on one
//! `quire_machine::task::Thread`, which owns a reference to it; the table owns another until the process is reaped. It
//! knows its thread only weakly, so kernel stack and registers go when the thread ends, while the process stays as a
//! zombie until its parent has asked for its end.
//!
//! # What is where, from the bottom up
//!
//! | module | what |
//! |---|---|
//! | [`signal`], [`credentials`], [`limits`], [`program`], [`name`], [`usage`], [`alarm`] | by themselves: pure |
//! | `control_block` | a process |
//! | `wanted`, `table` | which children a `wait` means; all processes, their relations and the signals between them |
//! | `user`, `memory`, `alarms` | how many a user has; what memory knows of a process; alarms that are due |
//! | `exit`, `program::execute` | the end of a process, and its change into another program |
//! | `handler`, `ring3` | calls of signal handlers; the way back to the program |
//! | `start`, `init` | `fork` and its relatives; the first process |
//!
//! # Locks
//!
//! Relations (parent, group, session) and states change under the table's lock, `Rank::Processes`; what belongs to one
//! process alone is a snapshot, or under its lock of `Rank::Signals`, which ranks below it. Both rank below everything that
//! an interrupt may find held, because the terminal and the clock send signals from interrupts; so nothing is allocated under
//! them.

pub mod alarm;
pub mod alarms;
pub mod control_block;
pub mod credentials;
pub mod exit;
pub mod handler;
pub mod init;
pub mod limits;
mod memory;
pub mod name;
pub mod program;
pub mod ring3;
pub mod signal;
pub mod start;
pub mod table;
pub mod usage;
mod user;
pub mod wanted;
