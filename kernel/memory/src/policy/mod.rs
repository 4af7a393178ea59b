//! Which page goes: the policies of reclaim behind one trait, the same in the kernel and in the simulator (`cargo run
//! -- policy`).
//!
//! A policy sees what hardware shows a kernel: that a page came, whether its accessed bit was set when it was looked
//! at, which clears the bit, and that it left. It has neither locks nor pages: an [`Instance`] is one policy's state
//! for the pages of one cgroup, or for all, and a task that owns it locks it. Its lists run through the frames'
//! metadata, and what it knows of a page there are [`PAGE_BITS`] bits beside the list's links ([`Pages`]); of a page
//! that has left it knows the [`Shadow`] in its slot. Nothing is allocated.
//!
//! # The way of a page
//!
//! ```text
//! fault ── add ──> lists ── next ──> isolated ── looked_at ──> Stay: in a list again
//!                    ^                              │
//!                    └────────── put_back ──────────┴────────> Evict ── evicted ──> shadow, in the slot
//! ```
//!
//! A caller may isolate a batch before it tells what it found. A page that goes for other reasons is removed.
//!
//! # The access that brought a page in
//!
//! It sets the accessed bit and is no reuse. So a page is *fresh* until some 32 others have come, at least [`FRESH_MAX`]: then the
//! caller clears the bits of a batch ([`Instance::settle`]), and the policy learns only of accesses after that. Accesses close after the
//! first are not told from it, which is as well (O'Neil, O'Neil and Weikum call them correlated references).
//!
//! # How the kernel asks
//!
//! Each cgroup has an instance for the pages that can only go to swap, and one for those that can be dropped: see
//! [`lru`](crate::lru), which is how the kernel calls them. Accessed bits are read without the lock of the instance, between
//! [`Instance::next`] and [`Instance::looked_at`].
//!
//! # A new policy
//!
//! A file in `policies` that implements [`Policy`], and its lines in `policies/mod.rs`: in the table, and its
//! declaration.

mod decide;
mod instance;
mod pages;
mod policies;
#[cfg(not(target_os = "none"))]
pub mod replay;
mod shadow;

#[cfg(test)]
mod tests;

pub use decide::{LOOKS_MAX, Policy, Verdict};
pub use instance::{FRESH_MAX, Instance};
pub use pages::{FrameNumber, LIST_MAX, MARK_MAX, PAGE_BITS, Pages, Queue};
pub use policies::{DEFAULT, EXPECTED, NAMES};
pub use shadow::{Evictions, Shadow};
