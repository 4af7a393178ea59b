//! The machine: what only x86-64 has, and what every room above stands on, with the kernel's `unsafe`.
//!
//! No policy lives here. The code says how the machine does a thing; whether it should is decided above, and what only those
//! above can know is asked through one table, `upcall`.
//!
//! # What is where, from the bottom up
//!
//! | module | what |
//! |---|---|
//! | [`address_map`] | where things are in a virtual address space |
//! | [`frame`], `buddy`, [`watermark`] | frames and their metadata, free lists, reserves: pure |
//! | `running`, `arch::cpu`, [`in_file_system`] | each processor's own data, and what allocations and reclaim look at of the running thread |
//! | `sync` | spinning locks, and the ranks of all locks |
//! | `upcall` | what is asked of the rooms above |
//! | `clock`, `log`, [`log_ring`], `random`, `panic` | time, lines for a person, random numbers, the end |
//! | [`event`], [`observatory`], `stop` | what happened, and where everything is, for those who look from outside |
//! | `physical`, `unique`, `arch::page_table`, `kernel_map` | who gets frames, and owns them; page-table entries; the kernel half of the tables |
//! | `arch::translations` | the tables that each processor uses, and what it has to forget of them |
//! | `stack`, [`heap`], `dma` | kernel stacks, the kernel heap, memory and registers for drivers |
//! | `transfer` | pages that belong to a disk's request |
//! | [`fallible`] | memory of the kernel heap that may be refused |
//! | `task` | threads, scheduler, sleeping |
//! | [`user`], `arch::user` | what programs give: words, pointers and ranges that cannot wrap; the access to them |
//! | `folio`, `pte`, `user_tables`, `pte_index` | counted frames, the entries that own references to them, and the tables that hold these |
//! | `pool_frame` | frames of compressed pages, which several tasks use at once |
//! | `arch` | descriptor tables, traps, system calls' entry, context switch |
//! | `simulated` | the machine of the host: what takes the place of `arch`'s instructions in tests |
//!
//! # The way of a page
//!
//! What `quire_memory`'s stations ask of the machine:
//!
//! | station | function | file |
//! |---|---|---|
//! | a program touches it, and the processor traps | `page_fault`, by `quire_trap` | `arch/trap.rs` |
//! | it gets a frame; when fewer than `low` are left, `Upcalls::memory_is_low` is called | `NewFolio::allocate`, `physical::allocate` | `folio.rs`, `physical.rs` |
//! | it gets contents | `NewFolio::clear`, `NewFolio::copy_from`, `NewFolio::filled` | `folio.rs` |
//! | its PTE is made, and put into a table | `Pte::mapping`, `PteCell::replace` | `pte.rs`, `user_tables.rs` |
//! | reclaim looks at the accessed bit | `PteCell::clear_accessed` | `user_tables.rs` |
//! | its PTE is exchanged for an entry | `PteCell::replace` | `user_tables.rs` |
//! | the processors forget the old one | `translations::flush_stale` | `arch/translations.rs` |
//! | it goes with a request to a disk | `Transfer` | `transfer.rs` |
//! | the last reference goes, and the frame is free | `Folio::free`, `drop_all`, `physical::free` | `folio.rs`, `physical.rs` |
//!
//! # Departures from the rule that rooms point down only
//!
//! Frame metadata holds the swap core's [`FolioState`](quire_swap::FolioState), pages are its [`Page`](quire_swap::header::Page),
//! and the table of ranks has room for its locks: plain types, so that a folio's state is where its frame's is.
//!
//! # Files that import one another
//!
//! - `task/thread.rs`, `task/scheduler.rs`, `task/wait.rs`, `task/time.rs`: a thread's end is a wait queue, waiting is parking, and who
//!   is parked is a thread.

#![cfg_attr(target_os = "none", no_std)]
#![allow(unsafe_code, reason = "this is where the kernel's is")]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")
)]

extern crate alloc;

pub mod address_map;
pub mod arch;
#[cfg(target_os = "none")]
pub mod archive;
pub(crate) mod buddy;
pub mod clock;
#[cfg(target_os = "none")]
pub mod dma;
pub mod event;
pub mod fallible;
pub mod folio;
pub mod frame;
pub mod heap;
pub mod in_file_system;
pub mod kernel_map;
pub mod log;
pub mod log_ring;
mod no_memory;
pub mod observatory;
#[cfg(target_os = "none")]
pub mod panic;
pub mod physical;
mod places;
pub mod pool_frame;
#[cfg(target_os = "none")]
pub mod power;
pub mod protection;
pub mod pte;
pub mod pte_index;
pub mod random;
pub mod running;
#[cfg(not(target_os = "none"))]
pub mod simulated;
pub mod stack;
#[cfg(target_os = "none")]
mod stop;
pub mod sync;
pub mod task;
#[cfg(target_os = "none")]
pub mod transfer;
pub mod unique;
pub mod upcall;
pub mod user;
pub mod user_tables;
pub mod watermark;
mod window;

pub use no_memory::AllocationError;
#[cfg(not(target_os = "none"))]
pub use simulated::{archive, power};
