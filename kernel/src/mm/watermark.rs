//! The watermarks: how many free frames are enough for whom.
//!
//! Linux's formulas (`mm/page_alloc.c`: `init_per_zone_wmark_min`, `__setup_per_zone_wmarks`), on all of RAM as one
//! zone. The frames below `min` are reserves:
//!
//! | who | may take frames while more than … are free |
//! |---|---|
//! | a page fault of a task, and readahead | min |
//! | the kernel, where it cannot sleep: page tables, stacks, device memory | min / 2 |
//! | reclaim itself: `kswapd` and the disks' completion | 0 |
//!
//! Reclaim needs hardly any: what it allocates comes from the heap, which is set aside at boot.

/// How many free frames are enough for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// Below this, tasks get nothing before something was reclaimed.
    pub min: usize,
    /// Below this, `kswapd` wakes, and a task that takes a frame reclaims some itself.
    pub low: usize,
    /// Above this, `kswapd` sleeps.
    pub high: usize,
}

/// On whose behalf frames are allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A page of a task: one that it waits for, or that it may want soon.
    Task,
    /// Something that the kernel needs where it cannot sleep.
    Kernel,
    /// What reclaim needs to make progress.
    Reclaim,
}

impl Watermarks {
    /// The watermarks for `managed` frames.
    pub const fn new(managed: usize) -> Self {
        let kibibytes = (managed as u64 * 4 * 16).isqrt();
        let min = (if kibibytes < 128 { 128 } else { kibibytes } / 4) as usize;
        let quarter = min / 4;
        let scaled = managed / 1000;
        let step = if quarter > scaled { quarter } else { scaled };
        Self { min, low: min + step, high: min + 2 * step }
    }

    /// How many frames must stay free when allocating for `purpose`.
    pub const fn floor(&self, purpose: Purpose) -> usize {
        match purpose {
            Purpose::Task => self.min,
            Purpose::Kernel => self.min / 2,
            Purpose::Reclaim => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_is_linux_min_free_kbytes() {
        // 16 MiB: 512 KiB; 64 MiB: 1,024 KiB; 256 MiB: 2,048 KiB; 1 GiB: 4,096 KiB.
        for (mebibytes, kibibytes) in [(16, 512), (64, 1024), (256, 2048), (1024, 4096)] {
            assert_eq!(Watermarks::new(mebibytes * 256).min * 4, kibibytes, "{mebibytes} MiB");
        }
    }

    #[test]
    fn low_and_high_are_a_quarter_apart_or_a_thousandth_of_memory() {
        assert_eq!(Watermarks::new(16384), Watermarks { min: 256, low: 320, high: 384 });
        let large = Watermarks::new(16 << 20);
        assert_eq!((large.low - large.min, large.high - large.low), (16777, 16777));
    }

    #[test]
    fn whoever_frees_memory_may_take_the_last_frame() {
        let marks = Watermarks::new(2048);
        let floors = [Purpose::Task, Purpose::Kernel, Purpose::Reclaim].map(|who| marks.floor(who));
        assert!(floors.is_sorted_by(|a, b| a > b), "{floors:?}");
        assert_eq!(floors[2], 0);
    }
}
