//! Writeback: pages that are not worth their memory go to the backing device.
//!
//! A slot is chosen and marked under its lock, written without it, and changed only if the mark is still there: a task that
//! reads, writes or frees the slot meanwhile takes the mark away, and the slot keeps what it has.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;
use core::sync::atomic::Ordering;

use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::heap;

use super::backing::{Backing, BlockForm, DiskLocation, SUM_MASK};
use super::disk::{ZramDisk, is_huge};
use super::error::ZramError;
use super::slot::{Content, Flag, SlotGuard};
use crate::killed::HeedKill;
use crate::machine::PoolMachine;
use crate::store::packed::{self, LABEL, Label};
use crate::store::{Encoding, Object, Stored, sum};

/// Objects whose lengths differ by less are taken to be of one length (Linux: `PP_BUCKET_SIZE_RANGE`).
const ALIKE: u16 = 64;

/// Which slots are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Selection {
    Idle,
    Huge,
    HugeIdle,
    Incompressible,
    Slots(Range<u64>),
}

/// How to write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// Objects as they are stored, several to a block.
    pub(super) compressed: bool,
    /// Blocks that are gathered before they are written.
    pub(super) batch: usize,
}

/// A slot on its way to the backing device.
struct Candidate {
    slot: u32,
    object: Object,
    /// Which of the batch's blocks, and where in it.
    block: usize,
    location: DiskLocation,
}

/// Blocks that are written together.
struct WriteOut<'a, M: PoolMachine> {
    backing: &'a Backing<M>,
    pages: Box<[Page]>,
    blocks: Vec<u32>,
    candidates: Vec<Candidate>,
    /// Where in the last block the next object goes; behind its end if there is none.
    end: usize,
    /// How far before that the last object's label is; 0 if there is none.
    back: usize,
}

impl<M: PoolMachine> ZramDisk<M> {
    /// Writes the selected slots to the backing device, the longest objects first.
    ///
    /// # Errors
    /// The last error; what could be written is.
    pub(super) fn write_back(&self, selection: &Selection, manner: Manner) -> Result<(), ZramError> {
        let backing = self.backing.as_ref().ok_or(ZramError::NoBacking)?;
        if self.budget_enabled.load(Ordering::Relaxed) && self.budget.load(Ordering::Relaxed) == 0 {
            return Err(ZramError::NoBudget);
        }
        let _alone = self.process_alone()?;
        let selected = self.select_for_writeback(selection)?;
        let mut out = WriteOut::new::<M>(backing, manner.batch)?;
        let mut result = Ok(());
        for chosen in selected.into_iter().heed_kill::<M>() {
            let Ok((_, slot)) = chosen else {
                result = Err(ZramError::Killed);
                break;
            };
            match self.gather(&mut out, slot, manner) {
                Ok(true) => {}
                Ok(false) => {
                    // The batch is full: once it is written, the next one takes the slot.
                    result = self.write_out(&mut out).and(result);
                    result = self.gather(&mut out, slot, manner).map(drop).and(result);
                }
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.write_out(&mut out).and(result)
    }

    fn select_for_writeback(&self, selection: &Selection) -> Result<Vec<(u16, u32)>, ZramError> {
        let range = if let Selection::Slots(range) = selection { range.clone() } else { 0..self.pages() };
        self.select(range, |slot, content, _| match selection {
            Selection::Idle => slot.is(Flag::Idle),
            Selection::Huge => is_huge(content),
            Selection::HugeIdle => is_huge(content) && slot.is(Flag::Idle),
            Selection::Incompressible => slot.is(Flag::Incompressible),
            Selection::Slots(_) => true,
        })
    }

    /// Marks the objects of the range that are meant and lists their slots with their lengths, longest first as far as they
    /// are not [`ALIKE`].
    pub(super) fn select(
        &self,
        range: Range<u64>,
        is_meant: impl Fn(&SlotGuard<'_, M>, Content, Object) -> bool,
    ) -> Result<Vec<(u16, u32)>, ZramError> {
        let mut count = 0;
        for present in self.slots.present(range.clone()).heed_kill::<M>() {
            let (_, slot) = present?;
            let mut slot = slot.lock::<M>();
            let content = slot.content();
            let Content::Stored(Stored::Object(object)) = content else { continue };
            if is_meant(&slot, content, object) {
                slot.set(Flag::Chosen);
                count += 1;
            } else {
                slot.clear(Flag::Chosen);
            }
        }
        // Others can only take marks away meanwhile.
        let mut selected = heap::vector::<M, _>(count)?;
        for present in self.slots.present(range).heed_kill::<M>() {
            let (index, slot) = present?;
            let slot = slot.lock::<M>();
            if let Content::Stored(Stored::Object(object)) = slot.content()
                && slot.is(Flag::Chosen)
            {
                heap::push(&mut selected, (object.length() as u16, index));
            }
        }
        // Those of about the same length stay in the order of their slots, so that blocks beside one another are wanted together.
        selected.sort_unstable_by_key(|(length, index)| (Reverse(length / ALIKE), *index));
        Ok(selected)
    }

    /// Adds a slot to the batch if it is still marked. False if the batch cannot take it.
    fn gather(&self, out: &mut WriteOut<'_, M>, index: u32, manner: Manner) -> Result<bool, ZramError> {
        let Some(slot) = self.slots.get(index) else { return Ok(true) };
        let slot = slot.lock::<M>();
        let content = slot.content();
        let Content::Stored(Stored::Object(object)) = content else { return Ok(true) };
        if !slot.is(Flag::Chosen) {
            return Ok(true);
        }
        let is_packed = manner.compressed && object.encoding() != Encoding::Raw;
        let length = if is_packed { packed::bytes_with_label(object.length()) } else { PAGE_SIZE };
        if out.candidates.len() == out.candidates.capacity() || !out.fits(length) && !self.add_block(out)? {
            return Ok(false);
        }
        let (block, offset) = (out.blocks.len() - 1, out.end);
        let page = &mut out.pages[block];
        let read = if is_packed {
            self.store.with_object(object, |contents| {
                let label = Label::new(index.into(), object.encoding(), contents, out.back);
                page[offset..offset + LABEL].copy_from_slice(&label.to_bytes());
                page[offset + LABEL..][..contents.len()].copy_from_slice(contents);
            })
        } else {
            self.store.load(Stored::Object(object), page)
        };
        if read.is_err() {
            // A task that reads the slot is told; here it stays as it is.
            return Ok(true);
        }
        let form = if is_packed {
            BlockForm::Packed { offset: offset as u16 }
        } else {
            BlockForm::Whole { sum: sum(page) & SUM_MASK, huge: is_huge(content) }
        };
        let location = DiskLocation { block: out.blocks[block], form };
        heap::push(&mut out.candidates, Candidate { slot: index, object, block, location });
        (out.end, out.back) = (out.end + length, length);
        Ok(true)
    }

    /// Begins another block of the batch, which counts against the budget. False if the batch has no more.
    fn add_block(&self, out: &mut WriteOut<'_, M>) -> Result<bool, ZramError> {
        if out.blocks.len() == out.pages.len() {
            return Ok(false);
        }
        let take = |left: u64| left.checked_sub(1);
        if self.budget_enabled.load(Ordering::Relaxed)
            && self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err()
        {
            return Err(ZramError::NoBudget);
        }
        let allocated = out.backing.allocate();
        let Ok(Some(block)) = allocated else {
            self.refund(1);
            return Err(if allocated.is_err() { ZramError::NoMemory } else { ZramError::NoSpace });
        };
        out.pages[out.blocks.len()].fill(0);
        heap::push(&mut out.blocks, block);
        (out.end, out.back) = (0, 0);
        Ok(true)
    }

    fn refund(&self, blocks: u64) {
        if self.budget_enabled.load(Ordering::Relaxed) {
            self.budget.fetch_add(blocks, Ordering::Relaxed);
        }
    }

    /// Writes the batch, run by run of blocks, and moves the slots that are still marked.
    fn write_out(&self, out: &mut WriteOut<'_, M>) -> Result<(), ZramError> {
        let mut result = Ok(());
        let mut first = 0;
        while first < out.blocks.len() {
            let length = out.blocks[first..].iter().zip(out.blocks[first]..).take_while(|(a, b)| **a == *b).count();
            let run = first..first + length;
            let written = out.backing.write(out.blocks[first], &out.pages[run.clone()]);
            for candidate in out.candidates.iter().filter(|candidate| run.contains(&candidate.block)) {
                self.finish(out.backing, candidate, written.is_ok());
            }
            if let Err(error) = written {
                self.refund(length as u64);
                result = Err(ZramError::Backing(error));
            }
            first += length;
        }
        for block in out.blocks.drain(..) {
            out.backing.release(block);
        }
        out.candidates.clear();
        out.end = PAGE_SIZE;
        result
    }

    fn finish(&self, backing: &Backing<M>, candidate: &Candidate, written: bool) {
        let Some(slot) = self.slots.get(candidate.slot) else { return };
        let mut slot = slot.lock::<M>();
        if !slot.is(Flag::Chosen) {
            return;
        }
        slot.clear(Flag::Chosen);
        let object = Stored::Object(candidate.object);
        if !written {
            return;
        }
        backing.hold(candidate.location.block);
        let priority = slot.priority();
        slot.replace(Content::WrittenBack(candidate.location));
        if let BlockForm::Packed { .. } = candidate.location.form {
            slot.set_priority(priority);
        }
        drop(slot);
        // Memory has it no longer as it was; the slot still knows that it was huge.
        self.statistics.huge.subtract(is_huge(Content::Stored(object)).into());
        self.store.free(object);
    }
}

impl<'a, M: PoolMachine> WriteOut<'a, M> {
    fn new<N: PoolMachine>(backing: &'a Backing<M>, blocks: usize) -> Result<Self, ZramError> {
        let pages = heap::slice::<N, _>(blocks, |_| [0; PAGE_SIZE])?;
        Ok(Self {
            backing,
            pages,
            blocks: heap::vector::<N, _>(blocks)?,
            candidates: heap::vector::<N, _>(blocks * 4)?,
            end: PAGE_SIZE,
            back: 0,
        })
    }

    /// Whether `length` bytes more fit into the last block.
    fn fits(&self, length: usize) -> bool {
        self.end + length <= PAGE_SIZE
    }
}
