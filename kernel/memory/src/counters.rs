//! What reclaim counts.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

/// What reclaim has done.
#[derive(Debug, Default)]
pub struct Counters {
    /// Folios looked at.
    pub scanned: AtomicU64,
    /// Folios that had been accessed and stayed.
    pub second_chances: AtomicU64,
    /// Clean folios that were dropped without being written.
    pub dropped_clean: AtomicU64,
    /// Private pages that their programs gave away with `MADV_FREE` (Linux: `pglazyfree`).
    pub given_away: AtomicU64,
    /// Those of them that were dropped (Linux: `pglazyfreed`).
    pub lazily_freed: AtomicU64,
    /// Dirty folios given to the swap core, which writes those that are not zero.
    pub written: AtomicU64,
    /// TLB flushes.
    pub flushes: AtomicU64,
    /// Passes by tasks that needed a frame themselves (Linux: `allocstall`).
    pub direct: AtomicU64,
    /// Folios looked at that can be dropped.
    pub scanned_files: AtomicU64,
    /// Folios looked at by `kswapd`, and by tasks.
    pub scanned_by: [AtomicU64; 2],
    /// Folios taken out of memory by `kswapd`, and by tasks (Linux: `pgsteal`).
    pub stolen: [AtomicU64; 2],
    /// Folios that had not been accessed and stayed, most of them in a list that is looked at sooner.
    pub deactivated: AtomicU64,
    /// Pages that came back from swap and had been evicted by reclaim.
    pub refaults: AtomicU64,
    /// Those of them that came back so soon that they are active.
    pub refaults_activated: AtomicU64,
    /// How often `kswapd` was woken.
    pub wakeups: AtomicU64,
}

/// What reclaim has done since boot.
pub static COUNTERS: Counters = Counters {
    scanned: AtomicU64::new(0),
    second_chances: AtomicU64::new(0),
    dropped_clean: AtomicU64::new(0),
    given_away: AtomicU64::new(0),
    lazily_freed: AtomicU64::new(0),
    written: AtomicU64::new(0),
    flushes: AtomicU64::new(0),
    direct: AtomicU64::new(0),
    scanned_files: AtomicU64::new(0),
    scanned_by: [const { AtomicU64::new(0) }; 2],
    stolen: [const { AtomicU64::new(0) }; 2],
    deactivated: AtomicU64::new(0),
    refaults: AtomicU64::new(0),
    refaults_activated: AtomicU64::new(0),
    wakeups: AtomicU64::new(0),
};

/// The counters as one line for a person.
pub fn totals() -> impl fmt::Display {
    fmt::from_fn(|f| {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        write!(
            f,
            "{} pages looked at, {} had a second chance, {} dirty and {} clean ones taken out, {} TLB flushes, {} times by a task",
            get(&COUNTERS.scanned),
            get(&COUNTERS.second_chances),
            get(&COUNTERS.written),
            get(&COUNTERS.dropped_clean),
            get(&COUNTERS.flushes),
            get(&COUNTERS.direct)
        )
    })
}
