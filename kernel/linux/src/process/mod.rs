//! Processes: programs that run in ring 3, each on a thread of its own.
//!
//! # What belongs to what
//!
//! A `Process` is what Linux calls a thread group with one thread; there are no others. It runs on one
//! `quire_machine::task::Thread`, which owns a reference to it; the table owns another until the process is reaped. It
//! knows its thread only weakly, so kernel stack and registers go when the thread ends, while the process stays as a
//! zombie until its parent has asked for its end.
//!
//! # Locks
//!
//! Relations (parent, group, session) and states change under the table's lock, `Rank::Processes`; what belongs to one
//! process alone is a snapshot, or under its lock of `Rank::Signals`, which ranks below it. Both rank below everything that
//! an interrupt may find held, because the terminal and the clock send signals from interrupts; so nothing is allocated under
//! them.

pub mod alarm;
#[cfg(target_os = "none")]
pub mod alarms;
#[cfg(target_os = "none")]
pub mod control_block;
pub mod credentials;
#[cfg(target_os = "none")]
pub mod exit;
#[cfg(target_os = "none")]
pub mod handler;
#[cfg(target_os = "none")]
pub mod init;
pub mod limits;
#[cfg(target_os = "none")]
mod memory;
pub mod name;
pub mod program;
#[cfg(target_os = "none")]
pub mod ring3;
pub mod signal;
#[cfg(target_os = "none")]
pub mod start;
#[cfg(target_os = "none")]
pub mod table;
pub mod usage;
#[cfg(target_os = "none")]
mod user;
#[cfg(target_os = "none")]
pub mod wanted;
