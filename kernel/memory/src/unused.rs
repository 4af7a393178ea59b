//! What becomes of a folio whose last reference goes, or that is found unused.

use core::sync::atomic::Ordering;

use quire_machine::frame::Frame;

use crate::cgroup::counts;
use crate::folio::Folio;
use crate::{lru, swap};

/// The last reference to the folio in this frame went: see `Upcalls::folio_is_unused` of `quire_machine::upcall`.
pub fn is_unused(frame: &'static Frame) {
    lru::forget(frame);
    if frame.cgroup.load(Ordering::Relaxed) != counts::ROOT {
        // The cgroup may be leaving the frame to its parent: one of them has it.
        counts::uncharge(frame.cgroup.swap(counts::ROOT, Ordering::AcqRel));
    }
}

/// The folio was unlocked, and another task found it unused meanwhile: see `quire_swap::Folio::orphaned`.
pub fn is_orphaned(folio: &Folio) {
    swap::core().drop_if_unused(folio);
}
