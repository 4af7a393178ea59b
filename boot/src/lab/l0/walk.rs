//! The machine that a student looks at, and what happens on it: numbers of a seed.

use quire_boot::Size;

use crate::lab::seed::Seed;

/// What `boot/programs/src/walk.rs` is told, and how much memory there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Walk {
    memory: u64,
    pub(super) pages: u64,
    pub(super) first: u64,
    pub(super) count: u64,
    zero: u64,
    pub(super) page: u64,
    stride: u64,
}

/// What the disk for swap has, in MiB.
pub(super) const SWAP: u64 = 32;

impl Walk {
    pub(super) fn new(seed: Seed) -> Self {
        let mut random = seed.random("walk");
        let (first, count, zero) = (20 + random.below(60), 24 + random.below(8), 5 + random.below(4));
        let mut page = first + 4 + random.below(count - 8);
        page += u64::from(page.is_multiple_of(zero));
        // What has no divisor with any of 24 to 31 but 1 leads to all of them.
        let stride = [11, 13, 17, 19][random.below(4) as usize];
        let memory = 40 + 4 * random.below(8);
        Self { memory, pages: 150 + random.below(100), first, count, zero, page, stride }
    }

    /// The pages that leave memory and come back.
    pub(super) fn range(&self) -> std::ops::Range<u64> {
        self.first..self.first + self.count
    }

    pub(super) fn is_zero(&self, page: u64) -> bool {
        page.is_multiple_of(self.zero)
    }

    pub(super) fn memory(&self) -> Size {
        Size::mebibytes(self.memory)
    }

    /// What the kernel's command line says.
    pub(super) fn words(&self) -> String {
        let Self { pages, first, count, zero, page, stride, .. } = self;
        format!("-- walk {pages} {first} {count} {zero} {page} {stride}")
    }

    /// What a student is told.
    pub(super) fn text(&self) -> String {
        let Self { memory, pages, first, count, zero, page, stride } = self;
        let words = self.words();
        format!(
            "Your page is page {page}.\n\n\
             A program makes {pages} pages, from page 0 on; page 0, {zero}, {}, … are zero. Then:\n\n  \
             step 2: pages {first} to {} leave memory\n  \
             step 3: page {page} is read\n  \
             step 4: the others of these are read, each {stride} pages behind the one before, round and round\n\n\
             In Quire's directory, stopped behind step N (1 to 4):\n\n  \
             cargo run -- --icount --memory {memory}M --swap {SWAP}M --append \"{words} N\"\n\n\
             The program says which process it is and where page 0 is; page P is 4096 * P = 0x1000 * P bytes behind it. In a second terminal,\n\
             also in Quire's directory:\n\n  \
             cargo run -- inspect page PROCESS ADDRESS\n\n\
             Ctrl-A X ends the machine.\n",
            2 * zero,
            first + count - 1,
        )
    }
}
