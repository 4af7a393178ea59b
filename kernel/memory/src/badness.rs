//! How bad a process is for memory, without processes.

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
    use super::*;

    #[test]
    fn the_worst_is_the_largest_unless_it_is_adjusted() {
        assert!(badness(500, 0, 10_000) > badness(499, 0, 10_000));
        assert_eq!(badness(500, -1000, 10_000), None);
        assert_eq!(badness(500, 1000, 10_000), Some(10_500));
        assert!(badness(9000, -900, 10_000) < badness(1, 0, 10_000));
        assert_eq!((score(badness(0, 0, 100), 100), score(badness(100, 1000, 100), 100)), (666, 2000));
        assert_eq!(score(None, 100), 0);
    }
}
