//! Where things are in a virtual address space.
//!
//! | from | to | what |
//! |---|---|---|
//! | `0` | [`USER_END`] | the user half, one for each address space |
//! | [`DIRECT_MAP`] | + 32 TiB | the RAM that Quire manages and its heap, at its physical address; never executable |
//! | [`MMIO`] | + 512 GiB | device registers, uncached |
//! | [`ARCHIVE`] | + 512 GiB | the initramfs as it came |
//! | [`INFLATED_ARCHIVE`] | + 512 GiB | what comes out of its compressed parts |
//! | [`STACKS`] | + 512 GiB | kernel stacks, each above a guard gap |
//! | [`BLOCKS`] | + 512 GiB | blocks of the kernel heap that are not contiguous in physical memory |
//! | [`KERNEL_IMAGE`] | + 2 GiB | the kernel: code read-only, data not executable; not in the direct map |

/// The first address past the user half: one page less than half of the address space, as on Linux (`TASK_SIZE_MAX`).
pub const USER_END: u64 = 0x0000_7fff_ffff_f000;

/// What an entry of the root table covers.
pub const ROOT_ENTRY_BYTES: u64 = 512 << 30;

/// Where physical address 0 is in the kernel half.
pub const DIRECT_MAP: u64 = 0xffff_8000_0000_0000;
/// Where device registers are mapped.
pub const MMIO: u64 = 0xffff_a000_0000_0000;
/// Where the initramfs is mapped.
pub const ARCHIVE: u64 = 0xffff_c000_0000_0000;
/// Where its inflated parts are mapped.
pub const INFLATED_ARCHIVE: u64 = ARCHIVE + ROOT_ENTRY_BYTES;
/// Where kernel stacks are mapped.
pub const STACKS: u64 = 0xffff_e000_0000_0000;
/// Where blocks of the kernel heap are mapped that are not contiguous in physical memory.
pub const BLOCKS: u64 = STACKS + ROOT_ENTRY_BYTES;
/// Where the kernel is linked; `.cargo/config.toml` tells the linker the same.
pub const KERNEL_IMAGE: u64 = 0xffff_ffff_8000_0000;

/// Where the bytes at `physical` are in the direct map, as a `T`.
#[cfg(target_os = "none")]
#[inline]
pub const fn direct<T>(physical: u64) -> *mut T {
    core::ptr::with_exposed_provenance_mut((DIRECT_MAP + physical) as usize)
}

#[cfg(not(target_os = "none"))]
pub use crate::simulated::memory::direct;

/// The address by which something that stays is published to those who look from outside.
pub fn address_of<T: ?Sized>(published: &'static T) -> u64 {
    core::ptr::from_ref(published).addr() as u64
}
