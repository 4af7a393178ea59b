//! What is read along with a page (Linux: `swapin_readahead` in `mm/swap_state.c`).
//!
//! Neighbours of a page are those beside it where it is used: in its VMA by address, or in its object by index. Pages
//! that are used together are read together then, wherever reclaim put them; when several programs are swapped out at
//! once, their slots alternate. Only where seeking costs, on a rotational disk, neighbours are those in the slots
//! beside it. Linux does the same, but goes by slot in all areas while one of them is rotational, and always for shared
//! memory.
//!
//! How many pages are read is a window that grows with those that were wanted, and shrinks by halves.

use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::entry::Entry;

/// How pages are read ahead, by every task.
#[derive(Debug)]
pub struct ReadaheadPolicy {
    page_cluster: AtomicU8,
    by_address: AtomicBool,
}

/// The greatest `vm.page-cluster` that can be set (Linux: `page_cluster_max`).
pub const PAGE_CLUSTER_MAX: u8 = 31;
/// Windows have at most 2^5 pages, a batch, whatever is set (Linux: `SWAP_RA_ORDER_CEILING`).
const WINDOW_MAX: u8 = 5;

impl ReadaheadPolicy {
    /// As on Linux: up to 8 pages at once, found by address.
    pub const fn new() -> Self {
        Self { page_cluster: AtomicU8::new(3), by_address: AtomicBool::new(true) }
    }

    /// The greatest window as a power of two (Linux: `vm.page-cluster`).
    pub fn page_cluster(&self) -> u8 {
        self.page_cluster.load(Ordering::Relaxed)
    }

    /// Sets the greatest window, at most [`PAGE_CLUSTER_MAX`]; 0 turns readahead off.
    pub fn set_page_cluster(&self, power: u8) {
        self.page_cluster.store(power.min(PAGE_CLUSTER_MAX), Ordering::Relaxed);
    }

    /// Whether neighbours are found by address where seeking costs nothing (Linux: `vma_ra_enabled`).
    pub fn by_address(&self) -> bool {
        self.by_address.load(Ordering::Relaxed)
    }

    /// Sets whether neighbours are found by address where seeking costs nothing, or by slot everywhere.
    pub fn set_by_address(&self, by_address: bool) {
        self.by_address.store(by_address, Ordering::Relaxed);
    }

    fn max_window(&self) -> u32 {
        1 << self.page_cluster().min(WINDOW_MAX)
    }
}

impl Default for ReadaheadPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// A page that faults among those that may be read along with it.
#[derive(Clone, Copy)]
pub struct Neighbourhood<'a> {
    /// What earlier faults there have taught.
    pub readahead: &'a Readahead,
    /// The page, by its address or index in pages.
    pub page: u64,
    /// The first page of its VMA or object, and the one behind the last.
    pub pages: (u64, u64),
    /// The entry in the PTE of one of these pages, if it has one.
    pub entry: &'a dyn Fn(u64) -> Option<Entry>,
}

impl fmt::Debug for Neighbourhood<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Neighbourhood").field("page", &self.page).field("pages", &self.pages).finish_non_exhaustive()
    }
}

impl<'a> Neighbourhood<'a> {
    pub(crate) fn window_by_address(&'a self, policy: &ReadaheadPolicy) -> Window<'a> {
        let positions = self.readahead.window_by_address(self.page, self.pages, policy);
        Window { positions, own: self.page, entry: Some(self.entry) }
    }

    pub(crate) fn window_by_slot(&self, slot: u32, slots: u64, policy: &ReadaheadPolicy) -> Window<'static> {
        Window { positions: self.readahead.window_by_slot(slot, slots, policy), own: slot.into(), entry: None }
    }
}

/// What to read for one fault.
pub(crate) struct Window<'a> {
    /// Pages, or slots.
    positions: Range<u64>,
    /// That of the fault.
    own: u64,
    /// If positions are pages, the entry in the PTE of each.
    entry: Option<&'a dyn Fn(u64) -> Option<Entry>>,
}

impl Window<'_> {
    /// Only what the fault needs.
    pub(crate) fn alone(slot: u32) -> Self {
        Self { positions: slot.into()..u64::from(slot) + 1, own: slot.into(), entry: None }
    }

    pub(crate) fn is_alone(&self) -> bool {
        self.positions.end - self.positions.start == 1
    }

    /// The slots of an area that come before the fault's.
    pub(crate) fn before(&self, area: u8) -> impl Iterator<Item = u32> {
        self.slots(self.positions.start..self.own, area)
    }

    /// The slots of an area that come after the fault's.
    pub(crate) fn after(&self, area: u8) -> impl Iterator<Item = u32> {
        self.slots(self.own + 1..self.positions.end, area)
    }

    fn slots(&self, positions: Range<u64>, area: u8) -> impl Iterator<Item = u32> {
        positions.filter_map(move |position| match self.entry {
            Some(entry) => entry(position).filter(|entry| entry.area() == area).map(Entry::slot),
            None => u32::try_from(position).ok(),
        })
    }
}

/// What readahead has learnt from the faults in one VMA or object. Its numbers are guesses: tasks that change them at
/// once spoil a window, nothing else.
#[derive(Debug)]
pub struct Readahead {
    /// Pages read ahead that were wanted since the last window.
    hits: AtomicU32,
    /// The page, or the slot, of an earlier fault.
    previous: AtomicU64,
    previous_window: AtomicU32,
}

impl Readahead {
    /// Optimistic, as on Linux: the first faults read ahead.
    pub const fn new() -> Self {
        Self { hits: AtomicU32::new(4), previous: AtomicU64::new(0), previous_window: AtomicU32::new(0) }
    }

    /// A page was wanted that had been read ahead.
    #[inline]
    pub fn hit(&self) {
        self.hits.fetch_add(1, Ordering::Relaxed);
    }

    /// A page, by address, was in the swap cache: faults have come as far as this.
    #[inline]
    pub fn passed(&self, page: u64) {
        self.previous.store(page, Ordering::Relaxed);
    }

    /// The pages to read for a fault on `page`, of those between the first of its VMA or object and the one behind the
    /// last: from there on when faults go up, up to there when they go down, else around it.
    pub fn window_by_address(&self, page: u64, pages: (u64, u64), policy: &ReadaheadPolicy) -> Range<u64> {
        let max = policy.max_window();
        if max == 1 {
            return page..page + 1;
        }
        let previous = self.previous.swap(page, Ordering::Relaxed);
        let (length, _) = self.next_window(previous, page, max);
        let before = if previous.checked_add(1) == Some(page) {
            0
        } else if page + 1 == previous {
            length - 1
        } else {
            (length - 1) / 2
        };
        let (first, end) = (page.saturating_sub(before), page + length - before);
        first.max(pages.0).min(page)..end.min(pages.1).max(page + 1)
    }

    /// The slots to read for a fault on `slot` of an area with `slots`: an aligned window of a power of two, without
    /// the header.
    fn window_by_slot(&self, slot: u32, slots: u64, policy: &ReadaheadPolicy) -> Range<u64> {
        let (max, slot) = (policy.max_window(), u64::from(slot));
        if max == 1 {
            return slot..slot + 1;
        }
        let (length, hits) = self.next_window(self.previous.load(Ordering::Relaxed), slot, max);
        if hits == 0 {
            self.previous.store(slot, Ordering::Relaxed);
        }
        let start = slot & !(length - 1);
        start.max(1)..(start + length).min(slots)
    }

    /// How long the next window is, and the hits that made it so.
    fn next_window(&self, previous: u64, position: u64, max: u32) -> (u64, u32) {
        let hits = self.hits.swap(0, Ordering::Relaxed);
        let length = window_pages(previous, position, hits, max, self.previous_window.load(Ordering::Relaxed));
        self.previous_window.store(length, Ordering::Relaxed);
        (length.into(), hits)
    }
}

impl Default for Readahead {
    fn default() -> Self {
        Self::new()
    }
}

fn window_pages(previous: u64, position: u64, hits: u32, max: u32, previous_window: u32) -> u32 {
    let pages = match hits {
        0 if position.abs_diff(previous) == 1 => 2,
        0 => 1,
        hits => hits.saturating_add(2).checked_next_power_of_two().unwrap_or(max).max(4),
    };
    pages.min(max).max(previous_window / 2)
}

#[cfg(test)]
mod tests {
    use super::{Readahead, ReadaheadPolicy, window_pages};

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
    fn windows_by_slot_are_aligned_and_leave_out_the_header_and_what_is_beyond_the_end() {
        let policy = ReadaheadPolicy::new();
        let window = |slot, slots| Readahead::new().window_by_slot(slot, slots, &policy);
        assert_eq!(window(13, 100), 8..16);
        assert_eq!(window(5, 100), 1..8);
        assert_eq!(window(98, 99), 96..99);
        assert_eq!(window(u32::MAX, 1 << 32), (1 << 32) - 8..1 << 32);
        policy.set_page_cluster(0);
        assert_eq!(window(13, 100), 13..14);
    }

    #[test]
    fn windows_by_address_go_where_faults_go_and_stay_in_the_vma() {
        let (policy, vma) = (ReadaheadPolicy::new(), (90, 1000));
        let window = |previous, page| {
            let readahead = Readahead::new();
            readahead.passed(previous);
            readahead.window_by_address(page, vma, &policy)
        };
        assert_eq!(window(99, 100), 100..108);
        assert_eq!(window(101, 100), 93..101);
        assert_eq!(window(500, 100), 97..105);
        assert_eq!(window(100, 100), 97..105);
        assert_eq!(window(500, 91), 90..96);
        assert_eq!(window(996, 997), 997..1000);
        policy.set_page_cluster(0);
        assert_eq!(window(99, 100), 100..101);
    }

    #[test]
    fn a_hit_tells_how_far_faults_have_come() {
        let (policy, readahead) = (ReadaheadPolicy::new(), Readahead::new());
        assert_eq!(readahead.window_by_address(100, (0, 1000), &policy), 97..105);
        for page in 101..105 {
            readahead.hit();
            readahead.passed(page);
        }
        assert_eq!(readahead.window_by_address(105, (0, 1000), &policy), 105..113);
        assert_eq!(readahead.window_by_address(500, (0, 1000), &policy), 499..503, "nothing of that was wanted");
        assert_eq!(readahead.window_by_address(700, (0, 1000), &policy), 700..702);
        assert_eq!(readahead.window_by_address(300, (0, 1000), &policy), 300..301);
    }
}
