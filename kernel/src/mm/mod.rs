//! Memory: physical frames, the kernel's and the tasks' address spaces, page faults and reclaim.

use core::fmt;

#[cfg(target_os = "none")]
pub mod address_space;
#[cfg(target_os = "none")]
pub mod advice;
pub mod buddy;
#[cfg(target_os = "none")]
pub mod dma;
#[cfg(target_os = "none")]
pub mod fault;
#[cfg(target_os = "none")]
pub mod folio;
#[cfg(target_os = "none")]
mod fork;
pub mod frame;
#[cfg(target_os = "none")]
pub mod group;
#[cfg(target_os = "none")]
pub mod heap;
#[cfg(target_os = "none")]
mod index;
#[cfg(target_os = "none")]
pub mod kernel_map;
#[cfg(target_os = "none")]
pub mod lru;
#[cfg(target_os = "none")]
pub mod object;
#[cfg(target_os = "none")]
pub mod oom;
#[cfg(target_os = "none")]
pub mod overcommit;
#[cfg(target_os = "none")]
mod page_tables;
#[cfg(target_os = "none")]
pub mod physical;
pub mod policy;
#[cfg(target_os = "none")]
pub mod reclaim;
pub mod region;
#[cfg(target_os = "none")]
pub mod remap;
#[cfg(target_os = "none")]
pub(crate) mod rmap;
#[cfg(target_os = "none")]
pub mod stack;
#[cfg(target_os = "none")]
pub mod statistics;
pub mod trace;
pub mod watermark;

#[cfg(target_os = "none")]
pub use address_space::AddressSpace;
pub use frame::FrameNumber;

/// The first address past the user half: one page less than half of the address space, as on Linux (`TASK_SIZE_MAX`).
pub const USER_END: u64 = 0x0000_7fff_ffff_f000;

/// There is no memory for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocationError;

impl fmt::Display for AllocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too little memory")
    }
}
