//! The backing device: a disk for pages that are not worth their memory, and which of its blocks hold any.
//!
//! A block holds one page as it is, or several objects as they were stored. It is free when the last of them is. Block 0
//! is never used, as on Linux.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::heap::NoMemory;
use quire_swap::{Claim, IoError, Sparse};

use crate::level::Level;
use crate::machine::PoolMachine;
use crate::store::packed::LABEL;

/// The backing device of one zram device.
pub(super) struct Backing<M: PoolMachine> {
    disk: Arc<Claim<M>>,
    /// How many objects each block holds, and one more while it is filled.
    holders: Sparse<AtomicU16, M>,
    blocks: u32,
    next: AtomicU32,
    pub(super) used: Level,
    pub(super) reads: Level,
    pub(super) writes: Level,
}

/// Where a page is on the backing device, and in what form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct DiskLocation {
    pub(super) block: u32,
    pub(super) form: BlockForm,
}

/// What of its block a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BlockForm {
    /// The block is the page.
    Whole {
        /// The lower bits of the page's sum.
        sum: u32,
        /// In memory the page was no shorter.
        huge: bool,
    },
    /// One object of several ([`packed`](crate::store::packed)), whose label is here.
    Packed { offset: u16 },
}

const PACKED: u64 = 1 << 63;
const HUGE: u64 = 1 << 62;
const SUM_SHIFT: u32 = 32;
pub(super) const SUM_MASK: u32 = (1 << 30) - 1;
const OFFSET_SHIFT: u32 = 32;

impl DiskLocation {
    pub(super) fn to_word(self) -> u64 {
        let form = match self.form {
            BlockForm::Whole { sum, huge } => u64::from(sum & SUM_MASK) << SUM_SHIFT | if huge { HUGE } else { 0 },
            BlockForm::Packed { offset } => PACKED | u64::from(offset) << OFFSET_SHIFT,
        };
        u64::from(self.block) | form
    }

    pub(super) fn from_word(word: u64) -> Self {
        let form = if word & PACKED == 0 {
            BlockForm::Whole { sum: (word >> SUM_SHIFT) as u32 & SUM_MASK, huge: word & HUGE != 0 }
        } else {
            BlockForm::Packed { offset: (word >> OFFSET_SHIFT) as u16 & 0xfff }
        };
        Self { block: word as u32, form }
    }

    /// Whether the page was no shorter in memory.
    pub(super) fn is_huge(self) -> bool {
        matches!(self.form, BlockForm::Whole { huge: true, .. })
    }
}

impl<M: PoolMachine> Backing<M> {
    pub(super) fn new(disk: Arc<Claim<M>>) -> Result<Self, NoMemory> {
        let blocks = disk.pages().min(u32::MAX.into()) as u32;
        Ok(Self {
            disk,
            holders: Sparse::new(blocks)?,
            blocks,
            next: AtomicU32::new(1),
            used: Level::default(),
            reads: Level::default(),
            writes: Level::default(),
        })
    }

    /// A free block, held by the caller; blocks follow one another as far as they are free. `None` if all are in use.
    pub(super) fn allocate(&self) -> Result<Option<u32>, NoMemory> {
        let start = self.next.load(Ordering::Relaxed);
        for block in (start..self.blocks).chain(1..start) {
            let Some(holders) = self.holders.grow(block)? else { continue };
            if holders.compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                self.next.store(block + 1, Ordering::Relaxed);
                self.used.add(1);
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    /// One more object is in the block, which the caller holds.
    pub(super) fn hold(&self, block: u32) {
        if let Some(holders) = self.holders.get(block) {
            holders.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One holder less.
    pub(super) fn release(&self, block: u32) {
        if let Some(holders) = self.holders.get(block)
            && holders.fetch_sub(1, Ordering::Relaxed) == 1
        {
            self.used.subtract(1);
        }
    }

    /// Reads a block. Sleeps.
    pub(super) fn read(&self, block: u32, page: &mut Page) -> Result<(), IoError> {
        self.reads.add(1);
        self.disk.read_page(block.into(), page)
    }

    /// Reads blocks that follow one another, by one request if the disk can. Sleeps.
    pub(super) fn read_run(&self, first: u32, pages: &mut [Page]) -> Result<(), IoError> {
        self.reads.add(pages.len() as u64);
        self.disk.read_pages(first.into(), pages)
    }

    /// Writes blocks that follow one another. Sleeps.
    pub(super) fn write(&self, first: u32, pages: &[Page]) -> Result<(), IoError> {
        self.disk.write_pages(first.into(), pages)?;
        self.writes.add(pages.len() as u64);
        Ok(())
    }
}

const _: () = assert!(PAGE_SIZE / LABEL < u16::MAX as usize, "a block's holders can be counted");
