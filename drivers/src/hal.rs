//! What the drivers need of the kernel's memory management.

use core::ptr::NonNull;

use virtio_drivers::PhysAddr;

/// Memory for devices: what virtio-drivers asks for, and the way from a frame to a pointer.
///
/// # Safety
///
/// Beyond the obligations of [`virtio_drivers::Hal`]:
///
/// 1. [`physical_to_virtual`](Self::physical_to_virtual) returns a pointer that is valid for reads and writes of `bytes`
///    bytes, for as long as the memory stays the caller's, and that no reference of the kernel aliases meanwhile. A
///    direct map of all RAM does this by addition.
/// 2. `share` turns every pointer that `physical_to_virtual` returned back into the same physical address, and does the
///    same for pointers into `dma_alloc` memory and into the kernel heap, where virtio-drivers keeps indirect descriptor
///    lists; memory so shared is contiguous physically.
/// 3. `mmio_phys_to_virt` may be asked for the same or overlapping ranges more than once, also above 4 GiB, and maps them
///    uncached.
pub unsafe trait Hal: virtio_drivers::Hal {
    /// The kernel's pointer to `bytes` bytes of RAM at `physical`.
    ///
    /// # Safety
    ///
    /// The range is RAM that the caller owns.
    unsafe fn physical_to_virtual(physical: PhysAddr, bytes: usize) -> NonNull<u8>;
}
