//! The kernel heap is the host's: it takes no frames and has no end. Who may have how much of it is decided as on the real
//! machine, and an allocation can be made to fail.

use core::alloc::Layout;

use crate::heap::{SlabUsage, fail_nth};
use crate::physical;

/// How many frames the heap has.
pub fn frames() -> usize {
    0
}

/// How many frames are free or the heap's.
pub fn spare_frames() -> usize {
    physical::free_frames()
}

/// How many bytes of the heap are in use: nothing is known of that.
pub fn used() -> usize {
    0
}

/// The slabs of every size: there are none.
pub const fn slabs() -> [SlabUsage; 0] {
    []
}

/// Gives up what was kept for the next object: nothing.
pub fn trim() {}

/// Runs `make`, which makes one allocation; `None` when that is to fail.
pub(crate) fn with_block<R>(_layout: Layout, make: impl FnOnce() -> R) -> Option<R> {
    (!fail_nth::fails_now()).then(make)
}
