//! What a device counts: the numbers of `mm_stat` and `io_stat`.

use core::sync::atomic::{AtomicU64, Ordering};

/// A number that rises and falls.
#[derive(Default)]
pub(super) struct Level(AtomicU64);

impl Level {
    pub(super) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, number: u64) {
        self.0.fetch_sub(number, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
pub(super) struct Statistics {
    /// Slots that have a page.
    pub(super) stored: Level,
    /// Bytes of objects.
    pub(super) compressed_bytes: Level,
    /// Slots whose page is one repeated word.
    pub(super) same: Level,
    /// Slots whose page would not get shorter.
    pub(super) huge: Level,
    /// Such pages ever.
    pub(super) huge_ever: Level,
    pub(super) failed_reads: Level,
    pub(super) failed_writes: Level,
    /// Slots freed by swap, or by discarding.
    pub(super) notify_free: Level,
    /// Slots that were busy when swap freed them.
    pub(super) miss_free: Level,
}
