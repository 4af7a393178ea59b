//! What the real machine does to whole pages with vector registers.

use std::sync::atomic::{AtomicU64, Ordering};

use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::page;

/// Whether all words are 0. What others write to them meanwhile may be noticed or not.
pub(crate) fn are_zero(words: &[AtomicU64; PAGE_SIZE / 8]) -> bool {
    words.iter().all(|word| word.load(Ordering::Relaxed) == 0)
}

/// Makes the whole page repeat one word.
pub fn fill(page: &mut Page, word: u64) {
    page::fill(page, word);
}

/// The word that the whole page repeats, if there is one.
pub fn repeated_word(page: &Page) -> Option<u64> {
    page::repeated_word(page)
}
