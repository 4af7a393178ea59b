//! Page references that a seed makes: each generator has a shape that decides which policy is good.
//!
//! The simulator replays them, and a program of the guest's makes them, so that the one can be held to the other. They are meant for
//! 1,000 frames, and to be compared with the same of others: their numbers of pages and references do not change.

#![allow(clippy::disallowed_methods, reason = "the kernel has no part in this")]

use std::vec::Vec;

/// A generator: its name, what it is like, and the pages that it references.
#[derive(Debug)]
pub struct Generator {
    /// Its name.
    pub name: &'static str,
    /// What its references are like.
    pub what: &'static str,
    pages: fn(&mut Random) -> Vec<u64>,
}

/// All generators.
pub const ALL: &[Generator] = &[
    Generator {
        name: "zipf-0.8",
        what: "10,000 pages, the n-th with a weight of 1/n^0.8",
        pages: |random| zipf(random, 0.8),
    },
    Generator {
        name: "zipf-1.0",
        what: "10,000 pages, the n-th with a weight of 1/n",
        pages: |random| zipf(random, 1.0),
    },
    Generator {
        name: "loop",
        what: "1,100 pages again and again",
        pages: |_| (0..REFERENCES).map(|at| at % 1_100).collect(),
    },
    Generator {
        name: "zipf-scan",
        what: "zipf-1.0, and one reference in four is of a scan over pages that never return",
        pages: zipf_scan,
    },
    Generator {
        name: "zipf-loop",
        what: "zipf-1.0, and every other reference is of a loop over 800 pages",
        pages: zipf_loop,
    },
    Generator {
        name: "phases",
        what: "every 10,000 references the working set moves on by half of its 1,500 pages",
        pages: phases,
    },
    Generator { name: "tree", what: "ways from the root of a tree of four levels to 4,096 leaves", pages: tree },
    Generator {
        name: "matrix",
        what: "two matrices of 1,024 x 1,024 words are multiplied, in blocks of 32 x 32: the first 64 rows",
        pages: matrix,
    },
];

/// The names of all generators.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|generator| generator.name).collect()
}

const REFERENCES: u64 = 100_000;
/// Pages that are not of the first kind in a trace begin here.
const OTHERS: u64 = 1 << 20;

impl Generator {
    /// The generator of that name.
    pub fn named(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|generator| generator.name == name)
    }

    /// The pages that it references in their order, always the same for one seed.
    pub fn pages(&self, seed: u64) -> Vec<u64> {
        (self.pages)(&mut Random(seed))
    }
}

/// `SplitMix64` (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// One of the numbers below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// At least 0 and less than 1.
    #[expect(clippy::cast_precision_loss, reason = "as many bits as a number has")]
    fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// A distribution in which the n-th of `0..weights.len()` has the weight 1/n^exponent.
struct Zipf {
    /// The sums of the weights.
    sums: Vec<f64>,
}

impl Zipf {
    fn new(pages: u32, exponent: f64) -> Self {
        let sum = |sum: &mut f64, rank: u32| {
            *sum += f64::from(rank).powf(-exponent);
            Some(*sum)
        };
        Self { sums: (1..=pages).scan(0.0, sum).collect() }
    }

    fn page(&self, random: &mut Random) -> u64 {
        let at = random.fraction() * self.sums.last().copied().unwrap_or(0.0);
        self.sums.partition_point(|sum| *sum <= at) as u64
    }
}

fn zipf(random: &mut Random, exponent: f64) -> Vec<u64> {
    let zipf = Zipf::new(10_000, exponent);
    (0..REFERENCES).map(|_| zipf.page(random)).collect()
}

fn zipf_scan(random: &mut Random) -> Vec<u64> {
    /// The scan goes on by so many pages at once.
    const PIECE: u64 = 1_000;
    let zipf = Zipf::new(10_000, 1.0);
    (0..REFERENCES).map(|at| if at / PIECE % 4 == 3 { OTHERS + at } else { zipf.page(random) }).collect()
}

fn zipf_loop(random: &mut Random) -> Vec<u64> {
    let zipf = Zipf::new(10_000, 1.0);
    (0..REFERENCES).map(|at| if at % 2 == 1 { OTHERS + at / 2 % 800 } else { zipf.page(random) }).collect()
}

fn phases(random: &mut Random) -> Vec<u64> {
    let zipf = Zipf::new(1_500, 0.8);
    (0..REFERENCES).map(|at| at / 10_000 * 750 + zipf.page(random)).collect()
}

fn tree(random: &mut Random) -> Vec<u64> {
    const LEAVES: u64 = 4_096;
    let way = |leaf: u64| [0, OTHERS + leaf / 256, 2 * OTHERS + leaf / 16, 3 * OTHERS + leaf];
    (0..REFERENCES / 4).flat_map(|_| way(random.below(LEAVES))).collect()
}

fn matrix(_: &mut Random) -> Vec<u64> {
    /// So many rows of blocks are made.
    const ROWS: u64 = 2;
    /// A page has half of a row; a block of 32 x 32 is in 32 pages.
    const BLOCKS: u64 = 32;
    let block = |row: u64, column: u64| (0..BLOCKS).map(move |line| (row * BLOCKS + line) * 2 + column / 16);
    let mut pages = Vec::new();
    for (row, column) in (0..ROWS).flat_map(|row| (0..BLOCKS).map(move |column| (row, column))) {
        for middle in 0..BLOCKS {
            pages.extend(block(row, middle));
            pages.extend(block(middle, column).map(|page| OTHERS + page));
        }
        pages.extend(block(row, column).map(|page| 2 * OTHERS + page));
    }
    pages
}
