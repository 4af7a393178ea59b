//! What pages are accessed, in an area of so many, and what that costs at least.

use crate::lab::seed::{Random, Seed};

/// Pages of the area.
pub(super) const PAGES: u64 = 1 << 16;

const ACCESSES: u64 = 2400;
/// How many accesses in a row go in order, or anywhere, where both take turns.
const PHASE: u64 = 240;

/// Pages that one request can read.
pub(super) const WINDOW_MAX: u64 = 32;

/// What a request costs, in the time that a page takes.
pub(super) const REQUEST: u64 = 10;

/// A workload.
pub(super) struct Workload {
    pub(super) name: &'static str,
    pub(super) pages: Vec<u64>,
    /// What no readahead can do better.
    pub(super) best: u64,
    /// The most that has the points, in hundredths of the best.
    pub(super) most: u64,
    /// What is likely to be wrong if it costs more and most of that is requests.
    pub(super) if_slow: &'static str,
    /// The same if most of that is pages that were read for nothing.
    pub(super) if_wasteful: &'static str,
}

/// What so many accesses one after the other cost at least.
fn stream(accesses: u64) -> u64 {
    accesses + accesses.div_ceil(WINDOW_MAX) * REQUEST
}

/// What so many accesses anywhere cost at least.
fn scattered(accesses: u64) -> u64 {
    accesses * (1 + REQUEST)
}

/// All workloads of a seed.
pub(super) fn all(seed: Seed) -> [Workload; 5] {
    let mut random = seed.random("workloads");
    let start = |random: &mut Random| ACCESSES + random.below(PAGES - 2 * ACCESSES);
    let first = start(&mut random);
    let forward = (0..ACCESSES).map(|at| first + at).collect();
    let last = start(&mut random);
    let backward = (0..ACCESSES).map(|at| last - at).collect();
    let anywhere = (0..ACCESSES).map(|_| random.below(PAGES)).collect();

    // Far enough from one another that they do not meet.
    let mut heads = [0, 1, 2].map(|third| third * (PAGES / 3) + random.below(PAGES / 3 - ACCESSES));
    let mut step = || {
        let head = &mut heads[random.below(3) as usize];
        *head += 1;
        *head
    };
    let three = (0..ACCESSES).map(|_| step()).collect();

    let mut mixed = Vec::new();
    for phase in 0..ACCESSES / PHASE {
        let first = start(&mut random);
        mixed.extend((0..PHASE).map(|at| if phase % 2 == 0 { first + at } else { random.below(PAGES) }));
    }
    let mixed_best = ACCESSES / PHASE / 2 * (stream(PHASE) + scattered(PHASE));
    [
        Workload {
            name: "a stream forward",
            pages: forward,
            best: stream(ACCESSES),
            most: 120,
            if_slow: "when the pages come one after the other, the windows may grow up to 32",
            if_wasteful: "most of what is read for a stream upwards lies where it does not go",
        },
        Workload {
            name: "anywhere",
            pages: anywhere,
            best: scattered(ACCESSES),
            most: 108,
            if_slow: "pages that were read for nothing push others out, which are then read once more",
            if_wasteful: "a page that is not beside the last ones says nothing about its neighbours",
        },
        Workload {
            name: "a stream backward",
            pages: backward,
            best: stream(ACCESSES),
            most: 120,
            if_slow: "a stream can go down: then the pages before the one that is missing are worth reading",
            if_wasteful: "most of what is read for a stream downwards lies where it does not go: the pages before the missing one are worth reading",
        },
        Workload {
            name: "three streams",
            pages: three,
            best: stream(ACCESSES),
            most: 140,
            if_slow: "each stream goes on where it was, also when others were touched in between",
            if_wasteful: "what is read for one stream is not used before it leaves: does it lie where the stream goes, and is it too much for three?",
        },
        Workload {
            name: "by turns",
            pages: mixed,
            best: mixed_best,
            most: 115,
            if_slow: "the parts of it that are streams are read by too many requests",
            if_wasteful: "a stream ends, and a window that was large is wrong for what comes after it",
        },
    ]
}
