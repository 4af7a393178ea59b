//! Whether slots of an area may be taken, and why not.
//!
//! All changes happen under the lock of the areas' priorities, with the list that they are on; [`crate::space`] makes them.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::span::Span;

/// Whether slots of one area may be taken.
pub(crate) struct Availability {
    reasons: AtomicU8,
    /// While the area is left out for want of space: it has some again when no more slots than this are in use.
    enough_at: AtomicU64,
    /// Slots with pages that the backend refused.
    pub(crate) refused: Span,
    /// Clusters that were searched since the last one with a slot that only the swap cache held.
    fruitless: AtomicU32,
}

/// Why no slot may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Reason {
    /// `swapoff` empties the area.
    Emptying = 1 << 0,
    /// All slots are in use.
    Full = 1 << 1,
    /// The backend refuses pages.
    Refusing = 1 << 2,
}

const WANT_OF_SPACE: u8 = Reason::Full as u8 | Reason::Refusing as u8;

impl Availability {
    pub(crate) const fn new() -> Self {
        Self {
            reasons: AtomicU8::new(0),
            enough_at: AtomicU64::new(0),
            refused: Span::new(),
            fruitless: AtomicU32::new(0),
        }
    }

    /// Whether slots may be taken.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.reasons.load(Ordering::Acquire) == 0
    }

    #[inline]
    pub(crate) fn is_closed_by(&self, reason: Reason) -> bool {
        self.reasons.load(Ordering::Acquire) & reason as u8 != 0
    }

    /// Whether the area is left out because it is full, or its backend refuses pages.
    #[inline]
    pub(crate) fn wants_space(&self) -> bool {
        self.reasons.load(Ordering::Acquire) & WANT_OF_SPACE != 0
    }

    /// Whether so few slots in use are few enough.
    pub(crate) fn is_enough(&self, used: u64) -> bool {
        used <= self.enough_at.load(Ordering::Acquire)
    }

    /// False if it is closed for this reason already.
    pub(crate) fn close(&self, reason: Reason) -> bool {
        self.reasons.fetch_or(reason as u8, Ordering::SeqCst) & reason as u8 == 0
    }

    /// [`Availability::close`] for want of space, until no more than `enough_at` slots are in use.
    pub(crate) fn close_until(&self, reason: Reason, enough_at: u64) {
        self.enough_at.store(enough_at, Ordering::Release);
        self.close(reason);
    }

    /// Takes every reason back.
    pub(crate) fn open(&self) {
        self.reasons.store(0, Ordering::Release);
    }

    /// There is space again. True if that was all that kept slots from being taken.
    pub(crate) fn found_space(&self) -> bool {
        let before = self.reasons.fetch_and(!WANT_OF_SPACE, Ordering::AcqRel);
        before & WANT_OF_SPACE != 0 && before & !WANT_OF_SPACE == 0
    }

    /// So many clusters were searched in vain for a slot that only the swap cache holds.
    pub(crate) fn searched_in_vain(&self, clusters: u32) {
        self.fruitless.fetch_add(clusters, Ordering::Relaxed);
    }

    pub(crate) fn searched_with_success(&self) {
        self.fruitless.store(0, Ordering::Relaxed);
    }

    pub(crate) fn fruitless_searches(&self) -> u32 {
        self.fruitless.load(Ordering::Relaxed)
    }
}
