//! Memory: the programs' address spaces, page faults, reclaim, and who may use how much.
//!
//! # What is where
//!
//! | module | what |
//! |---|---|
//! | `folio` | whose page a folio is; batches |
//! | [`vma`] | what an address space has mapped: pure, held to a model |
//! | `page_tables` | one space's tables, and what their PTEs say and own, counted |
//! | `address_space`, `fork`, `remap`, `advice` | mapping, copying, moving, advice and locking |
//! | `object` | pages of files and of shared memory, by index; they go to swap as private pages do |
//! | `sharing` | who else can reach a byte |
//! | `rmap` | from a frame to every PTE that maps it |
//! | `fault` | a page is touched |
//! | `lru`, `reclaim`, `page_out`, [`policy`] | which page goes, when, and how; the decisions alone, without pages |
//! | `cgroup`, [`charge`], `oom` | limits of cgroups of processes, and who dies when nothing else helps |
//! | `admission`, `overcommit` | whether a space may have more: the limits of its process, and what may be promised |
//! | `statistics` | what was counted, under Linux's names |
//!
//! # A page's life
//!
//! *Private*: a first write gives it a frame, dirty; `fork` maps the frame read-only in two spaces of an `anon_vma` (`rmap`); a
//! write copies it, unless nobody else has it. Reclaim replaces every PTE by the slot's entry, each with a count; a fault
//! brings it back, and the last PTE that comes back may write again. *Of an object*: the object's own PTE is what goes to
//! swap; the page tables' PTEs become 0 and are filled by faults from the object.
//!
//! # Locks, from high to low
//!
//! An address space's layout (sleeps) → an owner's list of spaces → one space's page tables → an object's PTEs → the swap
//! core's → the reclaim lists → the heap → the free frames. A folio's own lock sleeps and is taken before the spinning ones;
//! reclaim only tries it. No two page-table locks are held at once. Reclaim enters at the owners' lists, so it never waits for
//! a layout, and a fault that reclaims holds none.
//!
//! # Several processors
//!
//! One is started for now. Where translations are forgotten is where the others would be told: `flush_user_everywhere` in
//! `quire_machine::arch::page_table`, of which reclaim, `fork`, `mprotect` and unmapping call one a batch, and the flushes of a single page
//! in `fault`. Processes have one thread, so the latter concern the processor that faulted alone.

#![cfg_attr(target_os = "none", no_std)]
#![deny(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")
)]

extern crate alloc;

#[cfg(target_os = "none")]
pub mod address_space;
#[cfg(target_os = "none")]
pub mod admission;
#[cfg(target_os = "none")]
pub mod advice;
#[cfg(target_os = "none")]
pub mod cgroup;
pub mod charge;
#[cfg(target_os = "none")]
pub mod fault;
#[cfg(target_os = "none")]
pub mod folio;
#[cfg(target_os = "none")]
mod fork;
#[cfg(target_os = "none")]
pub mod lru;
#[cfg(target_os = "none")]
pub mod object;
#[cfg(target_os = "none")]
pub mod oom;
#[cfg(target_os = "none")]
pub mod overcommit;
#[cfg(target_os = "none")]
mod page_out;
#[cfg(target_os = "none")]
mod page_tables;
pub mod policy;
pub mod quota;
#[cfg(target_os = "none")]
pub mod reclaim;
#[cfg(target_os = "none")]
pub mod remap;
#[cfg(target_os = "none")]
pub mod rmap;
#[cfg(target_os = "none")]
pub mod sharing;
#[cfg(target_os = "none")]
pub mod statistics;
#[cfg(target_os = "none")]
pub mod swap;
#[cfg(target_os = "none")]
pub mod tasks;
pub mod trace;
#[cfg(target_os = "none")]
pub mod upcall;
pub mod vma;

#[cfg(target_os = "none")]
pub use address_space::AddressSpace;
pub use quire_machine::AllocationError;
