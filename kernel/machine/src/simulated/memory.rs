//! RAM: one allocation of the host, in which frame 0 is first.

use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::sync::atomic::{AtomicPtr, Ordering};

use quire_swap::header::PAGE_SIZE;

/// The most frames of a machine. The host gives memory to those that are touched only.
pub const MOST_FRAMES: usize = if cfg!(miri) { 2048 } else { 1 << 18 };
/// A block of the largest order is as aligned as on the real machine.
const ALIGN: usize = if cfg!(miri) { PAGE_SIZE } else { 4 << 20 };

/// Made by the first start, and never freed.
static FIRST: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());

/// Makes the memory, unless it is there.
pub(super) fn start() {
    // Not aligned by the allocator, which would write all of it.
    let layout = Layout::array::<u8>(MOST_FRAMES * PAGE_SIZE + ALIGN).expect("the constants make a layout");
    if FIRST.load(Ordering::Relaxed).is_null() {
        // SAFETY: the layout has a size.
        let memory = unsafe { alloc_zeroed(layout) };
        if memory.is_null() {
            handle_alloc_error(layout);
        }
        FIRST.store(memory.wrapping_add(memory.align_offset(ALIGN)), Ordering::Relaxed);
    }
}

/// Where the bytes at `physical` are, as a `T`: the direct map. It leads nowhere while no machine was started.
///
/// # Panics
/// When the machine has no such address.
#[inline]
pub fn direct<T>(physical: u64) -> *mut T {
    assert!(physical < (MOST_FRAMES * PAGE_SIZE) as u64, "{physical:#x} is no address of the machine's memory");
    FIRST.load(Ordering::Relaxed).wrapping_add(physical as usize).cast()
}
