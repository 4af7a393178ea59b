//! What pages hold in the tests of compression: the text, and the random bytes, of the benchmark `swbench`.

use quire_protocol::contents::Contents;
use quire_swap::header::{PAGE_SIZE, Page};

/// Words and numbers: an LZ4 block of about 2,620 bytes.
pub fn text(number: u64) -> Page {
    filled(Contents::Text, number)
}

/// Incompressible.
pub fn random(number: u64) -> Page {
    filled(Contents::Random, number)
}

/// One word, repeated.
pub fn same(word: u64) -> Page {
    let mut page = [0; PAGE_SIZE];
    page.as_chunks_mut().0.fill(word.to_le_bytes());
    page
}

/// Text up to `length`, then zeros: an object of any length.
pub fn text_of_length(number: u64, length: usize) -> Page {
    let mut page = text(number);
    page[length..].fill(0);
    page
}

fn filled(contents: Contents, number: u64) -> Page {
    let mut page = [0; PAGE_SIZE];
    contents.fill(&mut page, number);
    page
}
