//! A block of the heap that is taken before the library asks for it: so what the library cannot be told to do without
//! memory (`Arc::new`) does not fail.
//!
//! # Invariants
//!
//! A processor's place holds a block only while interrupts are off on it, between [`with_block`]'s two ends: nothing but the
//! one allocation that the block is meant for runs in between, and no other processor looks there.

use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use crate::arch::cpu::{self, MAX_CPUS};
use crate::arch::interrupts;

struct Place {
    block: AtomicPtr<u8>,
    size: AtomicUsize,
    align: AtomicUsize,
}

static PLACES: [Place; MAX_CPUS] =
    [const { Place { block: AtomicPtr::new(ptr::null_mut()), size: AtomicUsize::new(0), align: AtomicUsize::new(0) } };
        MAX_CPUS];

/// Runs `make`, which does nothing but make one allocation of `layout`: it finds a block that was taken before. `None` when
/// there is none. The layout has a size.
pub(crate) fn with_block<R>(layout: Layout, make: impl FnOnce() -> R) -> Option<R> {
    debug_assert!(layout.size() > 0, "a block of no bytes");
    // SAFETY: the layout has a size.
    let block = NonNull::new(unsafe { alloc(layout) })?;
    Some(interrupts::without_interrupts(|| {
        let place = &PLACES[cpu::this().number()];
        place.size.store(layout.size(), Ordering::Relaxed);
        place.align.store(layout.align(), Ordering::Relaxed);
        place.block.store(block.as_ptr(), Ordering::Relaxed);
        let value = make();
        let unused = place.block.swap(ptr::null_mut(), Ordering::Relaxed);
        debug_assert!(unused.is_null(), "the library asked for another layout than {layout:?}");
        if !unused.is_null() {
            // SAFETY: it came from `alloc` with this layout, and it was not taken.
            unsafe { dealloc(unused, layout) };
        }
        value
    }))
}

/// The block that was taken for the allocation of `layout` that this processor is about to make, if there is one.
pub(super) fn take(layout: Layout) -> Option<NonNull<u8>> {
    // While they are on, there is none; and the thread might move to another processor while it looks.
    if interrupts::are_enabled() {
        return None;
    }
    let place = &PLACES[cpu::this().number()];
    let is_meant =
        place.size.load(Ordering::Relaxed) == layout.size() && place.align.load(Ordering::Relaxed) == layout.align();
    if !is_meant {
        return None;
    }
    NonNull::new(place.block.swap(ptr::null_mut(), Ordering::Relaxed))
}
