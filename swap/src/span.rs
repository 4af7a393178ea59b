//! A span of numbers that grows until it is taken.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

/// The least and the greatest number that were included since the span was taken, in the upper and the lower half.
pub(crate) struct Span(AtomicU64);

impl Span {
    const EMPTY: u64 = (u32::MAX as u64) << 32;

    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(Self::EMPTY))
    }

    /// Makes the span include `number`.
    pub(crate) fn include(&self, number: u32) {
        let widen = |span: u64| Some((span >> 32).min(number.into()) << 32 | u64::from((span as u32).max(number)));
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, widen);
    }

    /// The span, which is empty from here on.
    pub(crate) fn take(&self) -> Option<Range<u64>> {
        let span = self.0.swap(Self::EMPTY, Ordering::AcqRel);
        (span != Self::EMPTY).then_some(span >> 32..u64::from(span as u32) + 1)
    }
}
