//! What pages hold in the tests of compression: the text, and the random bytes, of the benchmark `swbench`.

use std::fmt::Write;

use quire_swap::header::{PAGE_SIZE, Page};

const WORDS: [&str; 64] = [
    "the ", "kernel ", "page ", "swap ", "frame ", "of ", "and ", "to ", "in ", "fault ", "memory ", "device ", "is ",
    "for ", "entry ", "table ", "with ", "cluster ", "slot ", "that ", "read ", "write ", "on ", "be ", "lock ", "as ",
    "it ", "reclaim ", "cache ", "by ", "list ", "or ", "an ", "this ", "area ", "from ", "block ", "batch ", "are ",
    "not ", "at ", "ops ", "which ", "has ", "when ", "driver ", "each ", "one ", "can ", "zram ", "pool ", "if ",
    "its ", "out ", "will ", "data ", "must ", "level ", "path ", "but ", "all ", "order ", "use ", "into ",
];

fn draw(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Words and numbers: an LZ4 block of about 2,620 bytes.
pub fn text(number: u64) -> Page {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1;
    let mut text = String::new();
    while text.len() < PAGE_SIZE {
        let draw = draw(&mut state);
        if (draw >> 20).is_multiple_of(8) {
            write!(text, "{:x} ", draw >> 40 & 0xffff).unwrap();
        } else {
            text.push_str(WORDS[(draw & 63) as usize]);
        }
    }
    *text.as_bytes().first_chunk().unwrap()
}

/// Incompressible.
pub fn random(number: u64) -> Page {
    let mut state = number.wrapping_mul(0xD134_2543_DE82_EF95) + 1;
    words(|| draw(&mut state))
}

/// One word, repeated.
pub fn same(word: u64) -> Page {
    words(|| word)
}

/// Text up to `length`, then zeros: an object of any length.
pub fn text_of_length(number: u64, length: usize) -> Page {
    let mut page = text(number);
    page[length..].fill(0);
    page
}

fn words(mut next: impl FnMut() -> u64) -> Page {
    let mut page = [0; PAGE_SIZE];
    page.as_chunks_mut().0.iter_mut().for_each(|word| *word = next().to_le_bytes());
    page
}
