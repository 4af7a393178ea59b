//! The kernel heap, which grows from free frames and frees them again.
//!
//! | size | where |
//! |---|---|
//! | up to 2 KiB | slabs (`slab`) |
//! | up to 8 KiB | arenas of `linked_list_allocator` (`arena`), but for what fills a frame |
//! | more | frames of its own (`blocks`) |
//!
//! What lies in a slab, or has a frame of its own, is contiguous in physical memory, which virtio's descriptor lists need.
//!
//! # Who gets how much
//!
//! An allocation that the free frames do not allow fails at once; nothing here waits or reclaims, so the heap may be used
//! under locks and by reclaim itself. Who can do without memory asks `may_keep` or `may_allocate` first; what remains
//! beyond their answers is for allocations that cannot fail: lists, device requests. What the kernel keeps for ordinary users'
//! programs leaves a share of memory (`ROOT_SHARE`) to pages and to root, whose programs alone go on where theirs are
//! refused.
//!
//! # Locking
//!
//! One lock for slabs and arenas, never held while frames are allocated or freed.

#[cfg(target_os = "none")]
mod arena;
#[cfg(target_os = "none")]
mod blocks;
pub mod fail_nth;
#[cfg(target_os = "none")]
mod kernel_heap;
#[cfg(target_os = "none")]
mod reserved;
mod share;
#[cfg_attr(not(any(test, target_os = "none")), expect(dead_code, reason = "only its tests use it on the host"))]
pub(crate) mod slab;

#[cfg(not(target_os = "none"))]
pub(crate) use crate::simulated::heap::with_block;
#[cfg(not(target_os = "none"))]
pub use crate::simulated::heap::{frames, slabs, spare_frames, trim, used};
#[cfg(target_os = "none")]
pub(crate) use kernel_heap::publish;
#[cfg(target_os = "none")]
pub use kernel_heap::{frames, slabs, spare_frames, trim, used};
#[cfg(target_os = "none")]
pub(crate) use reserved::with_block;
pub(crate) use share::purpose;
pub use share::{ROOT_SHARE, may_allocate, may_keep};
pub use slab::SlabUsage;
