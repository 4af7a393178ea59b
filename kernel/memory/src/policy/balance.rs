//! The decisions of reclaim, without pages: which pair of lists to look at, when the active list feeds the inactive one,
//! where a page goes that came back, and how bad a process is for memory.
//!
//! Reclaim and the host's tests make their decisions here, so that a trace of touches gives the same faults in both.

/// How many folios are in which list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lengths {
    /// In the active list of pages that can only go to swap.
    pub active: usize,
    /// In their inactive list.
    pub inactive: usize,
    /// In the active list of pages that can be dropped.
    pub active_file: usize,
    /// In their inactive list.
    pub inactive_file: usize,
    /// To stay in memory.
    pub unevictable: usize,
}

impl Lengths {
    /// Without the lists from which nothing may leave.
    #[must_use]
    pub const fn restricted_to(mut self, can_drop: bool, can_swap: bool) -> Self {
        if !can_drop {
            (self.active_file, self.inactive_file) = (0, 0);
        }
        if !can_swap {
            (self.active, self.inactive) = (0, 0);
        }
        self
    }

    /// How many folios could leave memory.
    pub const fn evictable(&self) -> usize {
        self.active + self.inactive + self.files()
    }

    const fn files(&self) -> usize {
        self.active_file + self.inactive_file
    }
}

/// Whether dropping all pages that can be dropped would not free enough frames (Linux: `file_is_tiny` of
/// `prepare_scan_control`): they stay, and others have to go.
pub const fn are_files_scarce(lengths: &Lengths, free: usize, high: usize) -> bool {
    lengths.files() + free <= high
}

/// `vm.swappiness` until it is set.
pub const SWAPPINESS: u32 = 60;
/// The greatest: prefers swapping to dropping, when dropping is as good.
pub const SWAPPINESS_MAX: u32 = 200;

/// Whether the active list has to feed the inactive one.
pub const fn is_inactive_short(active: usize, inactive: usize) -> bool {
    inactive < active
}

/// Whether a page that came back after `distance` other evictions would have stayed, had the active list been given up for
/// it: then it is active (Linux: `mm/workingset.c`).
pub const fn is_working_set(distance: u64, active: usize) -> bool {
    distance <= active as u64
}

/// Takes turns between pages that can be dropped and pages that must be swapped, each as often as its share of all pages,
/// weighted by `vm.swappiness`: so a few pages of a program's code that are always in use do not keep all others in memory.
#[derive(Debug, Default)]
pub struct Turns(u64);

impl Turns {
    /// The first turn is next.
    pub const fn new() -> Self {
        Self(0)
    }

    /// Whether this turn is for pages that can be dropped.
    pub fn is_for_files(&mut self, lengths: &Lengths, swappiness: u32) -> bool {
        let files = lengths.files() as u64;
        let others = (lengths.active + lengths.inactive) as u64;
        let swappiness = swappiness.min(SWAPPINESS_MAX);
        let weight = files * u64::from(SWAPPINESS_MAX - swappiness);
        let all = weight + others * u64::from(swappiness);
        if all == 0 {
            return files > 0;
        }
        self.0 += weight;
        let is_for_files = self.0 >= all;
        self.0 %= all;
        is_for_files
    }
}

/// How much memory a process's death would free, in pages, moved by its adjustment of -1000 to 1000, each a thousandth of
/// `total` pages (Linux: `oom_badness`). `None` for one that must not be killed.
pub fn badness(pages: usize, adjustment: i32, total: usize) -> Option<i64> {
    (adjustment > -1000).then(|| pages.cast_signed() as i64 + i64::from(adjustment) * total.cast_signed() as i64 / 1000)
}

/// The badness as `/proc/PID/oom_score` shows it (Linux: `proc_oom_score`).
pub fn score(badness: Option<i64>, total: usize) -> u64 {
    badness.map_or(0, |badness| {
        ((1000 + badness * 1000 / total.max(1).cast_signed() as i64) * 2 / 3).max(0).cast_unsigned()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use super::*;

    #[test]
    fn turns_are_shared_as_swappiness_says() {
        let lengths = Lengths { active: 10, inactive: 10, active_file: 10, inactive_file: 10, unevictable: 0 };
        for (swappiness, files) in [(0, 200), (60, 140), (100, 100), (200, 0)] {
            let mut turns = Turns::default();
            let count = (0..200).filter(|_| turns.is_for_files(&lengths, swappiness)).count();
            assert_eq!(count, files, "swappiness {swappiness}");
        }
        assert!(!Turns::default().is_for_files(&lengths.restricted_to(false, true), 0));
        assert!(
            Turns::default().is_for_files(&lengths.restricted_to(true, false), 200),
            "without slots only dropping helps"
        );
        let lengths = Lengths { active: 1, inactive: 20, active_file: 300, inactive_file: 4000, unevictable: 9 };
        let evictable = |can_drop, can_swap| lengths.restricted_to(can_drop, can_swap).evictable();
        assert_eq!([evictable(true, true), evictable(true, false), evictable(false, true)], [4321, 4300, 21]);
        assert_eq!(evictable(false, false), 0);
    }

    #[test]
    fn a_page_belongs_to_the_working_set_if_the_active_list_would_have_made_room_for_it() {
        assert!(is_working_set(3, 3));
        assert!(!is_working_set(4, 3));
    }

    #[test]
    fn the_last_files_stay_when_all_of_them_are_not_enough() {
        let lengths = Lengths { active: 1000, inactive: 1000, active_file: 40, inactive_file: 60, unevictable: 500 };
        assert!(are_files_scarce(&lengths, 188, 288), "all of them, and what is free, are the high watermark at most");
        assert!(!are_files_scarce(&lengths, 189, 288), "one more may go");
    }

    #[test]
    fn the_worst_is_the_largest_unless_it_is_adjusted() {
        assert!(badness(500, 0, 10_000) > badness(499, 0, 10_000));
        assert_eq!(badness(500, -1000, 10_000), None);
        assert_eq!(badness(500, 1000, 10_000), Some(10_500));
        assert!(badness(9000, -900, 10_000) < badness(1, 0, 10_000));
        assert_eq!((score(badness(0, 0, 100), 100), score(badness(100, 1000, 100), 100)), (666, 2000));
        assert_eq!(score(None, 100), 0);
    }

    /// Reclaim's two lists, with a frame a page and nothing else: the policy by itself.
    struct Model {
        frames: usize,
        active: VecDeque<u64>,
        inactive: VecDeque<u64>,
        accessed: BTreeMap<u64, bool>,
        evicted_at: BTreeMap<u64, u64>,
        evictions: u64,
    }

    impl Model {
        fn new(frames: usize) -> Self {
            let (active, inactive) = (VecDeque::new(), VecDeque::new());
            Self { frames, active, inactive, accessed: BTreeMap::new(), evicted_at: BTreeMap::new(), evictions: 1 }
        }

        /// Whether touching the page was a fault.
        fn touch(&mut self, page: u64) -> bool {
            if let Some(accessed) = self.accessed.get_mut(&page) {
                *accessed = true;
                return false;
            }
            while self.accessed.len() >= self.frames {
                self.evict();
            }
            let distance = self.evicted_at.remove(&page).map(|at| self.evictions - at);
            match distance {
                Some(distance) if is_working_set(distance, self.active.len()) => self.active.push_front(page),
                _ => self.inactive.push_front(page),
            }
            // The access itself, once it is mapped.
            self.accessed.insert(page, true);
            true
        }

        /// Looks at one page.
        fn evict(&mut self) {
            if is_inactive_short(self.active.len(), self.inactive.len())
                && let Some(page) = self.active.pop_back()
            {
                self.accessed.insert(page, false);
                self.inactive.push_front(page);
            }
            let Some(page) = self.inactive.pop_back() else { return };
            if self.accessed.insert(page, false) == Some(true) {
                self.active.push_front(page);
                return;
            }
            self.accessed.remove(&page);
            self.evicted_at.insert(page, self.evictions);
            self.evictions += 1;
        }
    }

    #[test]
    fn five_pages_in_four_frames_fault_as_the_policy_implies() {
        use crate::trace::{FAULTS, FRAMES, TRACE};
        let mut model = Model::new(FRAMES);
        let faults: Vec<usize> = (0..TRACE.len()).filter(|&at| model.touch(TRACE[at])).collect();
        assert_eq!(faults, FAULTS);
    }
}
