//! The watermarks: how many free frames are enough for whom.
//!
//! Linux's formulas (`mm/page_alloc.c`: `init_per_zone_wmark_min`, `__setup_per_zone_wmarks`), on all of RAM as one
//! zone. The frames below `min` are reserves:
//!
//! | who | may take frames while more than … are free |
//! |---|---|
//! | a page fault of a task, and readahead | min |
//! | the kernel, where it cannot sleep: page tables, stacks, device memory | min / 2 |
//! | the kernel heap, for a program of an ordinary user | min * 3 / 8 |
//! | the kernel heap, for the kernel and for root's programs | min / 4 |
//! | reclaim itself, for pages and pools: `kswapd`, the disks' completion, and a task while it reclaims | min / 8 |
//! | the kernel heap, for what reclaim asks of disks | 0 |
//!
//! Those who can do without a piece of the heap are refused earlier: see [`heap`](crate::heap).

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
    /// The kernel heap, on behalf of an ordinary user's program.
    Program,
    /// The kernel heap otherwise.
    Heap,
    /// Pages that reclaim needs to make progress: compressed ones, and those that are written for others.
    Reclaim,
    /// The kernel heap, on behalf of reclaim: the lists of requests, which cannot be refused.
    Requests,
}

/// `vm.watermark_scale_factor` until it is set: a thousandth of memory.
pub const SCALE_FACTOR: usize = 10;

/// `vm.min_free_kbytes` for `managed` frames until it is set.
pub fn least_free_kibibytes(managed: usize) -> usize {
    let kibibytes = (managed as u64 * 4 * 16).isqrt() as usize;
    kibibytes.max(128)
}

impl Watermarks {
    /// The watermarks for `managed` frames: `vm.min_free_kbytes` and `vm.watermark_scale_factor` say how far apart they are.
    /// They stay below half of memory, whatever is asked for.
    pub fn new(managed: usize, least_free_kibibytes: usize, scale_factor: usize) -> Self {
        let min = (least_free_kibibytes / 4).clamp(1, managed / 4);
        let quarter = min / 4;
        let scaled = managed.saturating_mul(scale_factor) / 10_000;
        let step = quarter.max(scaled).min(managed / 8);
        Self { min, low: min + step, high: min + 2 * step }
    }

    /// How many frames must stay free when allocating for `purpose`.
    pub const fn floor(&self, purpose: Purpose) -> usize {
        match purpose {
            Purpose::Task => self.min,
            Purpose::Kernel => self.min / 2,
            Purpose::Program => self.min * 3 / 8,
            Purpose::Heap => self.min / 4,
            Purpose::Reclaim => self.min / 8,
            Purpose::Requests => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_is_linux_min_free_kbytes() {
        // Never less than 128 KiB. 16 MiB: 512 KiB; 64 MiB: 1,024 KiB; 256 MiB: 2,048 KiB; 1 GiB: 4,096 KiB.
        for (mebibytes, kibibytes) in [(0, 128), (16, 512), (64, 1024), (256, 2048), (1024, 4096)] {
            assert_eq!(least_free_kibibytes(mebibytes * 256), kibibytes, "{mebibytes} MiB");
        }
    }

    #[test]
    fn low_and_high_are_a_quarter_apart_or_a_thousandth_of_memory() {
        let new = |managed| Watermarks::new(managed, least_free_kibibytes(managed), SCALE_FACTOR);
        assert_eq!(new(16384), Watermarks { min: 256, low: 320, high: 384 });
        let large = new(16 << 20);
        assert_eq!((large.low - large.min, large.high - large.low), (16777, 16777));
    }

    #[test]
    fn no_setting_takes_all_memory() {
        for (least, scale) in [(0, 0), (usize::MAX, 10), (100, usize::MAX), (usize::MAX, usize::MAX)] {
            let marks = Watermarks::new(2048, least, scale);
            assert!(
                1 <= marks.min && marks.min <= marks.low && marks.low <= marks.high && marks.high <= 1024,
                "{marks:?}"
            );
        }
    }

    #[test]
    fn whoever_frees_memory_may_take_the_last_frame() {
        let marks = Watermarks { min: 256, low: 320, high: 384 };
        let floors =
            [Purpose::Task, Purpose::Kernel, Purpose::Program, Purpose::Heap, Purpose::Reclaim, Purpose::Requests];
        assert_eq!(floors.map(|who| marks.floor(who)), [256, 128, 96, 64, 32, 0]);
    }
}
