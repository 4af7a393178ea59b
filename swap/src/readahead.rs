//! How far to read ahead of a fault (Linux: `__swapin_nr_pages` and cluster readahead).

use core::ops::Range;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// The greatest window as a power of two (Linux: `vm.page-cluster`).
#[derive(Debug)]
pub struct PageCluster(AtomicU8);

/// Windows have at most 2^5 pages, a batch.
pub const PAGE_CLUSTER_MAX: u8 = 5;

impl PageCluster {
    pub(crate) const fn new() -> Self {
        Self(AtomicU8::new(3))
    }

    /// The power of two.
    pub fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    /// Sets the power of two, at most [`PAGE_CLUSTER_MAX`]; 0 turns readahead off.
    pub fn set(&self, power: u8) {
        self.0.store(power.min(PAGE_CLUSTER_MAX), Ordering::Relaxed);
    }
}

/// What readahead has learnt from the faults of one address space, or of all. Its numbers are guesses: tasks that
/// change them at once spoil a window, nothing else.
#[derive(Debug)]
pub struct Readahead {
    /// Pages read ahead that were wanted since the last window.
    hits: AtomicU32,
    previous_slot: AtomicU32,
    previous_window: AtomicU32,
}

impl Readahead {
    /// Optimistic, as on Linux: the first faults read ahead.
    pub const fn new() -> Self {
        Self { hits: AtomicU32::new(4), previous_slot: AtomicU32::new(0), previous_window: AtomicU32::new(0) }
    }

    pub(crate) fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// The slots to read for a fault on `slot` of an area with `slots`: an aligned window of a power of two, without the
    /// header.
    pub(crate) fn window(&self, slot: u32, slots: u64, page_cluster: &PageCluster) -> Range<u64> {
        let max = 1 << page_cluster.get();
        if max == 1 {
            return slot.into()..u64::from(slot) + 1;
        }
        let hits = self.hits.swap(0, Ordering::Relaxed);
        let previous = self.previous_slot.load(Ordering::Relaxed);
        let pages = window_pages(previous, slot, hits, max, self.previous_window.load(Ordering::Relaxed));
        if hits == 0 {
            self.previous_slot.store(slot, Ordering::Relaxed);
        }
        self.previous_window.store(pages, Ordering::Relaxed);
        let start = u64::from(slot & !(pages - 1));
        start.max(1)..(start + u64::from(pages)).min(slots)
    }
}

impl Default for Readahead {
    fn default() -> Self {
        Self::new()
    }
}

fn window_pages(previous_slot: u32, slot: u32, hits: u32, max: u32, previous_window: u32) -> u32 {
    let pages = match hits {
        0 if slot.abs_diff(previous_slot) == 1 => 2,
        0 => 1,
        hits => hits.saturating_add(2).checked_next_power_of_two().unwrap_or(max).max(4),
    };
    pages.min(max).max(previous_window / 2)
}

#[cfg(test)]
mod tests {
    use super::{PageCluster, Readahead, window_pages};

    #[test]
    fn the_window_follows_hits_and_shrinks_by_halves() {
        for (previous, slot, hits, last, pages) in [
            (0, 100, 0, 0, 1),
            (99, 100, 0, 0, 2),
            (101, 100, 0, 0, 2),
            (0, 100, 1, 0, 4),
            (0, 100, 2, 0, 4),
            (0, 100, 3, 0, 8),
            (0, 100, u32::MAX, 0, 8),
            (0, 100, 0, 8, 4),
            (0, 100, 0, 4, 2),
            (0, 100, 0, 2, 1),
        ] {
            assert_eq!(window_pages(previous, slot, hits, 8, last), pages, "{previous} {slot} {hits} {last}");
        }
    }

    #[test]
    fn windows_are_aligned_and_leave_out_the_header_and_what_is_beyond_the_end() {
        let page_cluster = PageCluster::new();
        assert_eq!(Readahead::new().window(13, 100, &page_cluster), 8..16);
        assert_eq!(Readahead::new().window(5, 100, &page_cluster), 1..8);
        assert_eq!(Readahead::new().window(98, 99, &page_cluster), 96..99);
        assert_eq!(Readahead::new().window(u32::MAX, 1 << 32, &page_cluster), (1 << 32) - 8..1 << 32);
        page_cluster.set(0);
        assert_eq!(Readahead::new().window(13, 100, &page_cluster), 13..14);
    }
}
