//! A tree of PTEs by page index: where an object keeps what it knows of each of its pages. No processor walks it.
//!
//! Its nodes are frames of 512 words, and it is as high as its greatest index needs: one frame for up to 2 MiB, none for the first
//! page alone. Nodes are freed when the tree is dropped; a PTE that was never set is 0.
//!
//! A node is charged to the cgroup of the program that needs it. Of a file system's size they are no part, so that sparse files could
//! fill memory with them: ordinary users' programs get none beyond their share.
//!
//! # Invariants
//!
//! A node is reached by one word or is the root, and its bytes by the tree alone. The first page's word and those of the lowest nodes own
//! what they say, as a [`Pte`] does, those above the nodes that they lead to.

use core::ops::Range;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::arch::page_table::{self, ENTRIES, Table};
use crate::frame::{FrameNumber, Kind};
use crate::heap;
use crate::physical;
use crate::pte::Pte;
use crate::unique::UniqueFrame;
use crate::upcall::upcalls;
use crate::watermark::Purpose;

/// The bits of an index that one level decides.
const BITS: u32 = ENTRIES.trailing_zeros();

/// So many eighths of memory may be nodes on behalf of ordinary users: beside a tmpfs of half of memory root's share is left.
const SHARE: usize = 3;

/// How many nodes there are.
static NODES: AtomicUsize = AtomicUsize::new(0);

/// Why there is no node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoNode {
    /// Memory is short, or the cgroup's is: it can be waited for.
    NoFrame,
    /// The program's user has no more.
    Refused,
}

/// A PTE for each page index.
pub struct PteIndex {
    /// The first page's PTE.
    first: AtomicU64,
    root: Option<FrameNumber>,
    /// How many levels there are below the root: with 0, the root's words are the pages'.
    height: u32,
}

impl PteIndex {
    /// No page has one.
    pub const fn new() -> Self {
        Self { first: AtomicU64::new(0), root: None, height: 0 }
    }

    /// What the PTE of page `index` says.
    pub fn get(&self, index: u64) -> u64 {
        if index == 0 {
            return self.first.load(Ordering::Relaxed);
        }
        let Some(mut node) = self.root.filter(|_| index >> (BITS * (self.height + 1)) == 0) else { return 0 };
        for level in (1..=self.height).rev() {
            match words(node)[position(index, level)].load(Ordering::Relaxed) {
                0 => return 0,
                child => node = FrameNumber(child as u32),
            }
        }
        words(node)[position(index, 0)].load(Ordering::Relaxed)
    }

    /// Puts another PTE there; returns the one that was there. For a page that has one that is not 0 this takes no memory.
    ///
    /// # Errors
    /// The PTE, when there is no frame for a node.
    pub fn replace(&mut self, index: u64, pte: Pte) -> Result<Pte, Pte> {
        match self.make(index) {
            // SAFETY: the word was the tree's.
            Ok(word) => Ok(unsafe { Pte::from_bits(word.swap(pte.into_bits(), Ordering::Relaxed)) }),
            Err(_) => Err(pte),
        }
    }

    /// Makes the nodes for page `index`, so that [`Self::replace`] needs none.
    ///
    /// # Errors
    /// [`NoNode`].
    pub fn make_nodes(&mut self, index: u64) -> Result<(), NoNode> {
        self.make(index).map(drop)
    }

    /// The word of page `index`; makes the nodes for it.
    fn make(&mut self, index: u64) -> Result<&AtomicU64, NoNode> {
        if index == 0 {
            return Ok(&self.first);
        }
        let mut node = self.root.map_or_else(new_node, Ok)?;
        self.root = Some(node);
        while index >> (BITS * (self.height + 1)) != 0 {
            let above = new_node()?;
            words(above)[0].store(node.0.into(), Ordering::Relaxed);
            self.root = Some(above);
            self.height += 1;
            node = above;
        }
        for level in (1..=self.height).rev() {
            let word = &words(node)[position(index, level)];
            if word.load(Ordering::Relaxed) == 0 {
                let child = new_node()?;
                word.store(child.0.into(), Ordering::Relaxed);
            }
            node = FrameNumber(word.load(Ordering::Relaxed) as u32);
        }
        Ok(&words(node)[position(index, 0)])
    }

    /// The first PTE in `range` that is not 0, with its index.
    pub fn next(&self, range: Range<u64>) -> Option<(u64, u64)> {
        let first = self.get(0);
        if range.contains(&0) && first != 0 {
            return Some((0, first));
        }
        let root = self.root?;
        let end = range.end.min(1_u64.checked_shl(BITS * (self.height + 1)).unwrap_or(u64::MAX));
        next_below(root, self.height, 0, &(range.start..end))
    }
}

fn next_below(node: FrameNumber, level: u32, base: u64, range: &Range<u64>) -> Option<(u64, u64)> {
    let step = 1 << (BITS * level);
    let first = range.start.saturating_sub(base) / step;
    for position in first..ENTRIES as u64 {
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

impl Default for PteIndex {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for PteIndex {
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
    (upcalls().free_charged)(unsafe { UniqueFrame::from_number(node, 0) });
    NODES.fetch_sub(1, Ordering::Relaxed);
}

fn new_node() -> Result<FrameNumber, NoNode> {
    let most = physical::managed_frames() / 8 * SHARE;
    if NODES.load(Ordering::Relaxed) >= most && heap::purpose() == Purpose::Program {
        return Err(NoNode::Refused);
    }
    let mut node = (upcalls().allocate_charged)(Kind::PageTable).ok_or(NoNode::NoFrame)?;
    node.bytes_mut().fill(0);
    NODES.fetch_add(1, Ordering::Relaxed);
    Ok(node.into_number())
}

const fn position(index: u64, level: u32) -> usize {
    (index >> (BITS * level)) as usize % ENTRIES
}

fn words(node: FrameNumber) -> &'static Table {
    // SAFETY: only nodes of a living tree are passed, which are frames of words that nothing else uses; the reference is not
    // kept past the call.
    unsafe { page_table::table(node) }
}
