//! What the pages of a workload hold: the same bytes, page by page, as the benchmark program `swbench` makes on Linux, so
//! that figures can be compared.

use core::fmt::{self, Write};

/// The bytes of a page.
pub type Page = [u8; 4096];

/// Kinds of contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Words and numbers; LZ4 makes 2,620 bytes of it.
    Text,
    /// Zeros.
    Zero,
    /// One 8-byte word, repeated, a different one on each page.
    Same,
    /// Incompressible.
    Random,
    /// One page in eight zero, one in eight random, the rest text.
    Mix,
}

impl Contents {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Text, Self::Zero, Self::Same, Self::Random, Self::Mix];

    /// The kind that `name` names.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|contents| contents.name() == name)
    }

    /// The kind's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Zero => "zero",
            Self::Same => "same",
            Self::Random => "random",
            Self::Mix => "mix",
        }
    }

    /// Fills `page` with what page number `number` holds.
    pub fn fill(self, page: &mut Page, number: u64) {
        match (self, number % 8) {
            (Self::Zero, _) | (Self::Mix, 0) => page.fill(0),
            (Self::Same, _) => fill_words(page, core::iter::repeat(0x5A5A_0000_0000_0000 + number)),
            (Self::Random, _) | (Self::Mix, 1) => {
                let mut random = Xorshift(number.wrapping_mul(0xD134_2543_DE82_EF95) + 1);
                fill_words(page, core::iter::from_fn(|| Some(random.draw())));
            }
            (Self::Text | Self::Mix, _) => fill_text(page, number),
        }
    }
}

/// A hash in which every byte of the page counts.
pub fn hash(page: &Page) -> u64 {
    let words = page.as_chunks::<8>().0;
    words.iter().fold(0, |hash: u64, word| hash.wrapping_mul(31).wrapping_add(u64::from_le_bytes(*word)))
}

/// Marsaglia's xorshift generator with shifts 13, 7 and 17.
#[derive(Clone, Copy, Debug)]
pub struct Xorshift(pub u64);

impl Xorshift {
    /// The next number; never 0 unless the state is.
    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Puts these into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, (self.draw() % (last as u64 + 1)) as usize);
        }
    }
}

const WORDS: [&str; 64] = [
    "the ", "kernel ", "page ", "swap ", "frame ", "of ", "and ", "to ", "in ", "fault ", "memory ", "device ", "is ",
    "for ", "entry ", "table ", "with ", "cluster ", "slot ", "that ", "read ", "write ", "on ", "be ", "lock ", "as ",
    "it ", "reclaim ", "cache ", "by ", "list ", "or ", "an ", "this ", "area ", "from ", "block ", "batch ", "are ",
    "not ", "at ", "ops ", "which ", "has ", "when ", "driver ", "each ", "one ", "can ", "zram ", "pool ", "if ",
    "its ", "out ", "will ", "data ", "must ", "level ", "path ", "but ", "all ", "order ", "use ", "into ",
];

fn fill_words(page: &mut Page, words: impl Iterator<Item = u64>) {
    for (place, word) in page.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *place = word.to_le_bytes();
    }
}

#[expect(clippy::disallowed_methods, reason = "the page is there")]
fn fill_text(page: &mut Page, number: u64) {
    let mut random = Xorshift(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1);
    let mut text = Cut { page, length: 0 };
    while text.length < text.page.len() {
        let draw = random.draw();
        // `Cut` never fails: what does not fit is cut off.
        let _ = if (draw >> 20).is_multiple_of(8) {
            write!(text, "{:x} ", draw >> 40 & 0xffff)
        } else {
            text.write_str(WORDS[(draw & 63) as usize])
        };
    }
}

/// A page that text is written to until it is full.
struct Cut<'a> {
    page: &'a mut Page,
    length: usize,
}

impl fmt::Write for Cut<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.page[self.length..];
        let fits = text.len().min(room.len());
        room[..fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.length += fits;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hashes of pages 0, 1, 2, 7 and 4,095, as `swbench` computes them on Linux.
    const SWBENCH: [(Contents, [u64; 5]); 5] = [
        (
            Contents::Text,
            [
                0x8af9_8018_9b8d_777f,
                0x5560_65f7_8b19_b58b,
                0x933f_37ad_99ed_e399,
                0x6edb_e661_c5ca_6327,
                0x48fa_d8e1_3f23_87be,
            ],
        ),
        (Contents::Zero, [0, 0, 0, 0, 0]),
        (
            Contents::Same,
            [
                0x4000_0000_0000_0000,
                0x55a7_9389_f1c4_2000,
                0x6b4f_2713_e388_4000,
                0xd795_08c5_9c5c_e000,
                0xa391_0b92_503b_e000,
            ],
        ),
        (
            Contents::Random,
            [
                0xae58_617a_2ab1_1c05,
                0xde77_050a_c554_5eb3,
                0x9bd5_af06_c3ca_a73c,
                0x8f70_055b_4c58_a001,
                0x8aa0_a8c6_0999_3c9f,
            ],
        ),
        (
            Contents::Mix,
            [0, 0xde77_050a_c554_5eb3, 0x933f_37ad_99ed_e399, 0x6edb_e661_c5ca_6327, 0x48fa_d8e1_3f23_87be],
        ),
    ];

    #[test]
    fn pages_hold_what_swbench_makes() {
        for (contents, hashes) in SWBENCH {
            for (number, expected) in [0, 1, 2, 7, 4095].into_iter().zip(hashes) {
                let mut page = [0xff; 4096];
                contents.fill(&mut page, number);
                assert_eq!(hash(&page), expected, "{} page {number}", contents.name());
            }
        }
    }

    #[test]
    fn one_wrong_byte_changes_the_hash() {
        let mut page = [0; 4096];
        Contents::Text.fill(&mut page, 3);
        let before = hash(&page);
        for byte in [0, 7, 2048, 4095] {
            page[byte] ^= 1;
            assert_ne!(hash(&page), before, "byte {byte}");
            page[byte] ^= 1;
        }
    }

    #[test]
    fn kinds_are_found_by_name() {
        assert!(Contents::ALL.into_iter().all(|kind| Contents::named(kind.name()) == Some(kind)));
        assert_eq!(Contents::named("banana"), None);
    }
}
