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

#[cfg(target_os = "none")]
pub mod alarm;
#[cfg(target_os = "none")]
mod control_block;
pub mod credentials;
#[cfg(target_os = "none")]
mod exit;
#[cfg(target_os = "none")]
mod handler;
#[cfg(target_os = "none")]
mod init;
pub mod limits;
mod name;
pub mod program;
#[cfg(target_os = "none")]
mod ring3;
pub mod signal;
#[cfg(target_os = "none")]
mod start;
#[cfg(target_os = "none")]
mod table;
mod usage;

#[cfg(target_os = "none")]
pub use control_block::{INIT, Life, Process, Unfinished, current, this};
#[cfg(target_os = "none")]
pub use exit::{Wanted, Which, end_current, wait, wait_for_init};
#[cfg(target_os = "none")]
pub use handler::{return_from_handler, stack_pointer};
#[cfg(target_os = "none")]
pub use init::start_init;
pub use name::Name;
#[cfg(target_os = "none")]
pub use ring3::{TICKS, before_user, count_fault, exception, fault, tick};
#[cfg(target_os = "none")]
pub use start::{CloneRequest, begin, clone};
#[cfg(target_os = "none")]
pub use table::{
    after, all, count, exists, find, is_orphaned, last_number, most, send_to, send_to_group, send_where, set_group,
    set_most, signals_of_user, start_session,
};
pub use usage::Usage;
