//! Whether pages that can be dropped are looked at next, or pages that have to be swapped.

use super::lengths::Lengths;

/// `vm.swappiness` until it is set.
pub const SWAPPINESS: u32 = 60;
/// The greatest: prefers swapping to dropping, when dropping is as good.
pub const SWAPPINESS_MAX: u32 = 200;

/// Whether dropping all pages that can be dropped would not free enough frames (Linux: `file_is_tiny` of
/// `prepare_scan_control`): they stay, and others have to go.
pub const fn are_files_scarce(lengths: &Lengths, free: usize, high: usize) -> bool {
    lengths.droppable + free <= high
}

/// Takes turns between pages that can be dropped and pages that must be swapped, each as often as its share of all pages,
/// weighted by `vm.swappiness`: so a few pages of a program's code that are always in use do not keep all others in memory.
#[derive(Debug)]
pub(super) struct Turns(u64);

impl Turns {
    /// The first turn is next.
    pub(super) const fn new() -> Self {
        Self(0)
    }

    /// Whether this turn is for pages that can be dropped.
    pub(super) fn is_for_droppable(&mut self, lengths: &Lengths, swappiness: u32) -> bool {
        let swappiness = swappiness.min(SWAPPINESS_MAX);
        let weight = lengths.droppable as u64 * u64::from(SWAPPINESS_MAX - swappiness);
        let all = weight + lengths.swappable as u64 * u64::from(swappiness);
        if all == 0 {
            return lengths.droppable > 0;
        }
        self.0 += weight;
        let is_for_droppable = self.0 >= all;
        self.0 %= all;
        is_for_droppable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVEN: Lengths = Lengths { swappable: 20, droppable: 20, unevictable: 0 };

    #[test]
    fn turns_are_shared_as_swappiness_says() {
        for (swappiness, droppable) in [(0, 200), (60, 140), (100, 100), (200, 0)] {
            let mut turns = Turns::new();
            let count = (0..200).filter(|_| turns.is_for_droppable(&EVEN, swappiness)).count();
            assert_eq!(count, droppable, "swappiness {swappiness}");
        }
        assert!(!Turns::new().is_for_droppable(&EVEN.restricted_to(false, true), 0));
        assert!(
            Turns::new().is_for_droppable(&EVEN.restricted_to(true, false), 200),
            "without slots only dropping helps"
        );
        let lengths = Lengths { swappable: 21, droppable: 4300, unevictable: 9 };
        let evictable = |can_drop, can_swap| lengths.restricted_to(can_drop, can_swap).evictable();
        assert_eq!([evictable(true, true), evictable(true, false), evictable(false, true)], [4321, 4300, 21]);
        assert_eq!(evictable(false, false), 0);
    }

    #[test]
    fn the_last_files_stay_when_all_of_them_are_not_enough() {
        let lengths = Lengths { swappable: 2000, droppable: 100, unevictable: 500 };
        assert!(are_files_scarce(&lengths, 188, 288), "all of them, and what is free, are the high watermark at most");
        assert!(!are_files_scarce(&lengths, 189, 288), "one more may go");
    }
}
