//! Numbered places, of which the lowest that is free is taken.

use core::sync::atomic::{AtomicU64, Ordering};

/// `WORDS` times 64 places.
#[derive(Debug)]
pub(super) struct Places<const WORDS: usize>([AtomicU64; WORDS]);

impl<const WORDS: usize> Places<WORDS> {
    /// All are free.
    pub(super) const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; WORDS])
    }

    /// Takes the lowest free place, if there is one.
    pub(super) fn take(&self) -> Option<u64> {
        self.0.iter().enumerate().find_map(|(index, word)| {
            let taken = word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bits| {
                (bits != u64::MAX).then(|| bits | (bits + 1))
            });
            taken.ok().map(|bits| index as u64 * 64 + u64::from(bits.trailing_ones()))
        })
    }

    /// Frees a place.
    pub(super) fn free(&self, place: u64) {
        self.0[(place / 64) as usize].fetch_and(!(1 << (place % 64)), Ordering::Relaxed);
    }

    /// Frees all places.
    #[cfg(not(target_os = "none"))]
    pub(super) fn free_all(&self) {
        self.0.iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }
}
