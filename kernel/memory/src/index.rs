//! A tree of words by page index: where an object keeps what it knows of each of its pages.
//!
//! Its nodes are frames of 512 words, and it is as high as its greatest index needs: one frame for up to 2 MiB. Nodes go
//! back when the tree is dropped; a word that was never set is 0.

use core::ops::Range;
use core::sync::atomic::Ordering;

use quire_machine::arch::page_table::{self, Table};
use quire_machine::frame::{FrameNumber, Kind};
use quire_machine::unique::UniqueFrame;
use quire_machine::watermark::Purpose;

/// The bits of an index that one level decides.
const BITS: u32 = 9;

/// A word for each page index.
pub(super) struct Index {
    root: Option<FrameNumber>,
    /// How many levels there are below the root: with 0, the root's words are the pages'.
    height: u32,
}

impl Index {
    pub(super) const fn new() -> Self {
        Self { root: None, height: 0 }
    }

    pub(super) fn get(&self, index: u64) -> u64 {
        let Some(mut node) = self.root.filter(|_| index >> (BITS * (self.height + 1)) == 0) else { return 0 };
        for level in (1..=self.height).rev() {
            match words(node)[part(index, level)].load(Ordering::Relaxed) {
                0 => return 0,
                child => node = FrameNumber(child as u32),
            }
        }
        words(node)[part(index, 0)].load(Ordering::Relaxed)
    }

    /// Sets a word; `false` when there is no frame for a node.
    pub(super) fn set(&mut self, index: u64, word: u64) -> bool {
        let Some(mut node) = self.root.or_else(new_node) else { return false };
        self.root = Some(node);
        while index >> (BITS * (self.height + 1)) != 0 {
            let Some(above) = new_node() else { return false };
            words(above)[0].store(node.0.into(), Ordering::Relaxed);
            self.root = Some(above);
            self.height += 1;
            node = above;
        }
        for level in (1..=self.height).rev() {
            let place = &words(node)[part(index, level)];
            if place.load(Ordering::Relaxed) == 0 {
                let Some(child) = new_node() else { return false };
                place.store(child.0.into(), Ordering::Relaxed);
            }
            node = FrameNumber(place.load(Ordering::Relaxed) as u32);
        }
        words(node)[part(index, 0)].store(word, Ordering::Relaxed);
        true
    }

    /// The first word in `range` that is not 0, with its index.
    pub(super) fn next(&self, range: Range<u64>) -> Option<(u64, u64)> {
        let root = self.root?;
        let end = range.end.min(1_u64.checked_shl(BITS * (self.height + 1)).unwrap_or(u64::MAX));
        next_below(root, self.height, 0, &(range.start..end))
    }
}

fn next_below(node: FrameNumber, level: u32, base: u64, range: &Range<u64>) -> Option<(u64, u64)> {
    let step = 1 << (BITS * level);
    let first = range.start.saturating_sub(base) / step;
    for position in first..512 {
        let start = base + position * step;
        if start >= range.end {
            break;
        }
        match words(node)[position as usize].load(Ordering::Relaxed) {
            0 => {}
            word if level == 0 => return Some((start, word)),
            child => {
                if let Some(found) = next_below(FrameNumber(child as u32), level - 1, start, range) {
                    return Some(found);
                }
            }
        }
    }
    None
}

impl Drop for Index {
    fn drop(&mut self) {
        if let Some(root) = self.root {
            free_node(root, self.height);
        }
    }
}

fn free_node(node: FrameNumber, level: u32) {
    if level > 0 {
        for child in words(node).iter().map(|word| word.load(Ordering::Relaxed)).filter(|child| *child != 0) {
            free_node(FrameNumber(child as u32), level - 1);
        }
    }
    // SAFETY: the entry that led to the node is gone, or it was the root of an index that ends.
    drop(unsafe { UniqueFrame::from_number(node, 0) });
}

fn new_node() -> Option<FrameNumber> {
    let mut node = UniqueFrame::allocate(0, Kind::PageTable, Purpose::Kernel)?;
    node.bytes_mut().fill(0);
    Some(node.into_number())
}

const fn part(index: u64, level: u32) -> usize {
    (index >> (BITS * level) & 511) as usize
}

fn words(node: FrameNumber) -> &'static Table {
    // SAFETY: only nodes of a living tree are passed, which are frames of words that nobody else uses; the reference is not
    // kept past the call.
    unsafe { page_table::table(node) }
}
