//! Writeback of several objects to a block, and from one block into the next.
//!
//! The objects of a batch, which are of one area, become one row of bytes ([`packed`]), which is cut into blocks. The blocks go to
//! vacant pages of the area's disk (`disk_pages.rs`), or, if it has none, to slots of an area that has one, one after the other; where
//! the next does not lie behind the last, the next object begins with it. How many objects have a part of each is counted, and it
//! is free when none has.
//!
//! Nothing is decompressed, and no memory is needed: a block is carried by the folio that the entry of the same number in the batch has in the cache
//! anyway. There are never more blocks than entries, as each object is shorter than a block.
//!
//! An object whose blocks are on the disk is freed from the pool; one of which any block could not be written stays, and so does
//! one for which no page or slot was free.

use alloc::sync::Arc;
use core::ops::RangeInclusive;

use quire_swap::header::PAGE_SIZE;
use quire_swap::{Area, BATCH_FOLIOS, Direction, Folio, FolioFlag, Plug, Slots};

use super::cache::Zswap;
use super::cold::Cold;
use super::disk_pages::Vacant;
use super::location::{Location, Part};
use crate::machine::PoolMachine;
use crate::store::Object;
use crate::store::packed::{self, LABEL, Label};

/// The entries of a batch, and the blocks that their objects fill.
pub(super) struct Packing<M: PoolMachine> {
    /// From the first index on.
    entries: [Option<PackedEntry<M>>; BATCH_FOLIOS],
    blocks: [Option<Block<M>>; BATCH_FOLIOS],
    count: usize,
    /// Blocks that there are.
    begun: usize,
    /// Where in the last of these the next object begins.
    end: usize,
    /// How far before that the last object's label is; 0 if no object lies there.
    back: usize,
    /// No page or slot was free for the next block.
    is_full: bool,
}

/// An entry, with where its object is: nowhere if it has to stay in the pool.
struct PackedEntry<M: PoolMachine> {
    cold: Cold<M>,
    position: Option<Position>,
}

/// Where an object is in the row of blocks.
#[derive(Clone, Copy)]
struct Position {
    /// The block in which it begins.
    block: usize,
    offset: usize,
    /// It ends in the next one.
    crosses: bool,
}

/// A block, with the page or slot of a disk that is its alone.
struct Block<M: PoolMachine> {
    on_disk: OnDisk<M>,
    holders: u16,
}

/// Where a block goes.
enum OnDisk<M: PoolMachine> {
    /// To a page of the disk of the area whose objects are in it.
    Page(Vacant<M>),
    /// To a slot of another area.
    Slots(Slots<M>),
}

impl<M: PoolMachine> Packing<M> {
    pub(super) const fn new() -> Self {
        Self {
            entries: [const { None }; BATCH_FOLIOS],
            blocks: [const { None }; BATCH_FOLIOS],
            count: 0,
            begun: 0,
            end: PAGE_SIZE,
            back: 0,
            is_full: false,
        }
    }

    /// Whether the area's entries can join those that there are.
    pub(super) fn is_of(&self, area: &Arc<Area<M>>) -> bool {
        self.entries[0].as_ref().is_none_or(|first| Arc::ptr_eq(&first.cold.area, area))
    }

    /// Where the next object goes, which takes so many bytes with its label. A block is begun if it needs one.
    fn find_position(&mut self, zswap: &Zswap<M>, bytes: usize) -> Option<Position> {
        if self.end + bytes <= PAGE_SIZE {
            return Some(Position { block: self.begun - 1, offset: self.end, crosses: false });
        }
        let area = &self.entries[0].as_ref().filter(|_| !self.is_full)?.cold.area;
        let found = if area.is_on_disk() {
            zswap.vacant(area).map(OnDisk::Page)
        } else {
            zswap.slots_on_disk(0).map(OnDisk::Slots)
        };
        self.is_full = found.is_none();
        let on_disk = found?;
        let last = self.begun.checked_sub(1).and_then(|last| self.blocks[last].as_ref());
        let is_next = last.is_some_and(|last| last.on_disk.is_followed_by(&on_disk));
        let carrier = self.entries[self.begun].as_mut()?;
        carrier.cold.folio.with_page_mut(0, |page| page.fill(0));
        self.blocks[self.begun] = Some(Block { on_disk, holders: 0 });
        self.begun += 1;
        if is_next && self.end < PAGE_SIZE {
            return Some(Position { block: self.begun - 2, offset: self.end, crosses: true });
        }
        (self.end, self.back) = (0, if is_next { self.back } else { 0 });
        Some(Position { block: self.begun - 1, offset: 0, crosses: false })
    }

    /// Writes bytes to a block from `offset` on, and to the next from its beginning.
    fn write(&mut self, block: usize, offset: usize, bytes: &[u8]) {
        let (before, behind) = bytes.split_at(bytes.len().min(PAGE_SIZE.saturating_sub(offset)));
        let next = (block + 1, offset.saturating_sub(PAGE_SIZE), behind);
        for (block, offset, bytes) in [(block, offset, before), next] {
            if let Some(carrier) = self.entries.get_mut(block).and_then(Option::as_mut).filter(|_| !bytes.is_empty()) {
                carrier.cold.folio.with_page_mut(0, |page| page[offset..offset + bytes.len()].copy_from_slice(bytes));
            }
        }
    }

    /// What the object at `position` is in.
    fn part(&self, position: Position) -> Option<Part> {
        let on_disk = &self.blocks[position.block].as_ref()?.on_disk;
        let slot = on_disk.area().entry(on_disk.slot())?;
        Some(Part { slot, offset: position.offset as u16, crosses: position.crosses })
    }
}

impl Position {
    fn blocks(self) -> RangeInclusive<usize> {
        self.block..=self.block + usize::from(self.crosses)
    }
}

impl<M: PoolMachine> OnDisk<M> {
    fn area(&self) -> &Arc<Area<M>> {
        match self {
            Self::Page(vacant) => vacant.area(),
            Self::Slots(slots) => slots.area(),
        }
    }

    fn slot(&self) -> u32 {
        match self {
            Self::Page(vacant) => vacant.page(),
            Self::Slots(slots) => slots.run().first,
        }
    }

    fn is_followed_by(&self, next: &Self) -> bool {
        Arc::ptr_eq(self.area(), next.area()) && self.slot().checked_add(1) == Some(next.slot())
    }

    fn share_among(self, holders: u16) {
        match self {
            Self::Page(vacant) => vacant.share_among(holders),
            Self::Slots(slots) => slots.share_among(holders),
        }
    }
}

impl<M: PoolMachine> Zswap<M> {
    /// Adds an entry to a batch: its object, if there is a position for it.
    pub(super) fn pack(&self, packing: &mut Packing<M>, cold: Cold<M>, object: Object) {
        let owner = cold.entry.to_bits();
        let number = packing.count;
        // First: it may carry the block that the object needs.
        packing.entries[number] = Some(PackedEntry { cold, position: None });
        packing.count += 1;
        let bytes = packed::bytes_with_label(object.length());
        let Some(position) = packing.find_position(self, bytes) else { return };
        let copied = self.store.with_object(object, |contents| {
            let label = Label::new(owner, object.encoding(), contents, packing.back);
            packing.write(position.block, position.offset, &label.to_bytes());
            let behind = position.offset + LABEL;
            packing.write(position.block + behind / PAGE_SIZE, behind % PAGE_SIZE, contents);
        });
        if copied.is_err() {
            // A task that wants the page is told what is wrong with it. What it would have taken stays empty.
            (packing.end, packing.back) = (PAGE_SIZE, 0);
            return;
        }
        packing.back = bytes;
        packing.end = (position.offset + bytes - 1) % PAGE_SIZE + 1;
        for block in packing.blocks[position.blocks()].iter_mut().flatten() {
            block.holders += 1;
        }
        if let Some(entry) = &mut packing.entries[number] {
            entry.position = Some(position);
        }
    }

    /// Writes the batch and waits for it; it is empty then. Returns how many pages went.
    pub(super) fn write_packed(&self, packing: &mut Packing<M>) -> u64 {
        let parts: [Option<Part>; BATCH_FOLIOS] = core::array::from_fn(|number| {
            packing.entries[number].as_ref()?.position.and_then(|position| packing.part(position))
        });
        let mut plug = Plug::new();
        let mut written = [false; BATCH_FOLIOS];
        for (number, block) in packing.blocks.iter_mut().enumerate() {
            let Some(Block { on_disk, holders }) = block.take().filter(|block| block.holders > 0) else { continue };
            let (area, slot): (Arc<Area<M>>, u32) = (Arc::clone(on_disk.area()), on_disk.slot());
            on_disk.share_among(holders);
            if let Some(carrier) = &mut packing.entries[number] {
                plug.add_owned(&area, carrier.cold.folio.start_writeback(), slot, Direction::Write);
                written[number] = true;
            }
        }
        plug.submit();
        for (is_written, entry) in written.iter_mut().zip(&packing.entries) {
            if let Some(carrier) = entry.as_ref().filter(|_| *is_written) {
                carrier.cold.folio.wait_for_writeback();
                *is_written = !carrier.cold.folio.state().clear(FolioFlag::Dirty);
            }
        }
        self.statistics.written_blocks.add(written.iter().filter(|is_written| **is_written).count() as u64);
        let mut pages = 0;
        for (entry, part) in packing.entries.iter_mut().zip(parts) {
            let Some(PackedEntry { cold, position }) = entry.take() else { continue };
            match position.zip(part) {
                Some((position, part)) if written[position.blocks()].iter().all(|is_written| *is_written) => {
                    self.statistics.written_compressed.add(1);
                    self.statistics.written_packed.add(1);
                    self.went(cold, Location::Part(part));
                    pages += 1;
                }
                failed => {
                    if let Some((_, part)) = failed {
                        self.free_part(&cold.area, part);
                    }
                    self.leave(cold);
                }
            }
        }
        (packing.count, packing.begun, packing.end, packing.back, packing.is_full) = (0, 0, PAGE_SIZE, 0, false);
        pages
    }
}
