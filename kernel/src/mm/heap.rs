//! The kernel heap: `linked_list_allocator` on a range of RAM that is set aside at boot.
//!
//! The heap does not grow, so the frames that are left for pages are known from the start, and it is contiguous in
//! physical memory, which virtio's descriptor lists need. Whoever can do without memory asks [`may_allocate`] first; what
//! remains beyond that answer is for the allocations that cannot fail: threads, lists, device requests.

use core::alloc::{GlobalAlloc, Layout};
use core::ops::Range;
use core::ptr::{self, NonNull};

use linked_list_allocator::Heap;
use quire_drivers::virtio_blk::DESCRIPTOR_HEAP_BYTES;

use crate::arch::DIRECT_MAP;
use crate::sync::{Rank, SpinLock};

/// What [`may_allocate`] leaves to allocations that cannot fail.
const KEPT_BACK: usize = 256 << 10;

const _: () =
    assert!(KEPT_BACK >= 4 * DESCRIPTOR_HEAP_BYTES, "several disks' descriptor lists fit in what is kept back");

struct KernelHeap(SpinLock<Heap>);

#[global_allocator]
static KERNEL_HEAP: KernelHeap = KernelHeap(SpinLock::new(Rank::Heap, Heap::empty()));

/// Makes the heap of the RAM at the physical addresses `range`.
///
/// # Safety
/// The range is RAM in the direct map that nothing else uses, now or later; called once.
pub unsafe fn start(range: Range<u64>) {
    // SAFETY: the caller gives the memory for ever.
    unsafe { KERNEL_HEAP.0.lock().init((DIRECT_MAP + range.start) as *mut u8, (range.end - range.start) as usize) };
}

/// Whether `bytes` may be taken by somebody who can do without them.
pub fn may_allocate(bytes: usize) -> bool {
    KERNEL_HEAP.0.lock().free() >= bytes + KEPT_BACK
}

/// The heap's size and how much of it is in use, in bytes.
pub fn usage() -> (usize, usize) {
    let heap = KERNEL_HEAP.0.lock();
    (heap.size(), heap.used())
}

// SAFETY: `Heap` gives out disjoint blocks of its range that fit the layout, under the lock.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.0.lock().allocate_first_fit(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(block) = NonNull::new(block) else { return };
        // SAFETY: the caller gives back what `alloc` gave for this layout.
        unsafe { self.0.lock().deallocate(block, layout) };
    }
}
