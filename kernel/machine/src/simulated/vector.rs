//! What the real machine does to whole pages with vector registers.

use std::sync::atomic::{AtomicU64, Ordering};

use quire_swap::header::{PAGE_SIZE, Page};

/// Whether all words are 0. What others write to them meanwhile may be noticed or not.
pub(crate) fn are_zero(words: &[AtomicU64; PAGE_SIZE / 8]) -> bool {
    words.iter().all(|word| word.load(Ordering::Relaxed) == 0)
}

/// Fills a page with zeros.
pub(crate) fn clear(page: &mut Page) {
    page.fill(0);
}
