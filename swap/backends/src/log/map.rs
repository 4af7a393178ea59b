//! Where the page of each slot is.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use quire_swap::heap::NoMemory;
use quire_swap::sync::Lock;
use quire_swap::{IoError, Machine, Rank, Sparse};

use super::segments::{For, Segments};

/// Where everything is.
pub(super) struct Map<M: Machine> {
    pub(super) segments: Lock<Segments, M, { Rank::Backend1 as u8 }>,
    /// The page of each slot, 0 for none. Written under the segments' lock.
    pub(super) pages: Sparse<AtomicU32, M>,
    /// The slot of each page, 0 for none. Written under the segments' lock.
    pub(super) slots: Sparse<AtomicU32, M>,
    /// A task cleans.
    pub(super) is_cleaning: AtomicBool,
}

impl<M: Machine> Map<M> {
    /// The map of a log without a living page, with so many segments of so many pages, and slots.
    pub(super) fn new(segments: u32, length: u32, slots: u32, pages: u32) -> Result<Self, NoMemory> {
        Ok(Self {
            segments: Lock::new(Segments::new::<M>(segments, length)?),
            pages: Sparse::new(slots)?,
            slots: Sparse::new(pages)?,
            is_cleaning: AtomicBool::new(false),
        })
    }

    /// Gives a slot the next page of the log, which is to be written.
    pub(super) fn append(&self, slot: u32) -> Result<u32, IoError> {
        let mut segments = self.segments.lock();
        let page_of = self.pages.grow(slot).map_err(|NoMemory| IoError::NoMemory)?.ok_or(IoError::Unsupported)?;
        let page = segments.take(For::Writer).ok_or(IoError::NoSpace)?;
        let Ok(Some(slot_of)) = self.slots.grow(page) else {
            segments.release(page);
            segments.write_ended(page, true);
            return Err(IoError::NoMemory);
        };
        slot_of.store(slot, Ordering::Relaxed);
        let before = page_of.swap(page, Ordering::Relaxed);
        self.bury(&mut segments, before);
        Ok(page)
    }

    /// What the slot had is of no use any more.
    pub(super) fn forget(&self, slot: u32) {
        let mut segments = self.segments.lock();
        let before = self.pages.get(slot).map_or(0, |page| page.swap(0, Ordering::Relaxed));
        self.bury(&mut segments, before);
    }

    /// No slot has the page any more; none is 0.
    pub(super) fn bury(&self, segments: &mut Segments, page: u32) {
        if page != 0
            && let Some(slot) = self.slots.get(page)
        {
            slot.store(0, Ordering::Relaxed);
            segments.release(page);
        }
    }

    /// The page of a slot, 0 for none; it stays what it is until [`Segments::read_ended`].
    pub(super) fn start_read(&self, slot: u32) -> u32 {
        let mut segments = self.segments.lock();
        let page = self.pages.get(slot).map_or(0, |page| page.load(Ordering::Relaxed));
        segments.read_started(page);
        page
    }
}
