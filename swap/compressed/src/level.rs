//! Numbers that rise and fall.

use core::sync::atomic::{AtomicU64, Ordering};

/// A number that rises and falls.
#[derive(Default)]
pub(crate) struct Level(AtomicU64);

impl Level {
    #[inline]
    pub(crate) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// Adds to it, and says what it is then.
    pub(crate) fn add_and_get(&self, number: u64) -> u64 {
        self.0.fetch_add(number, Ordering::Relaxed) + number
    }

    pub(crate) fn subtract(&self, number: u64) {
        self.0.fetch_sub(number, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Where it is.
    pub(crate) const fn word(&self) -> &AtomicU64 {
        &self.0
    }
}
