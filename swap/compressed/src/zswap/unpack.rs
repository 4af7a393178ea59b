//! Reading blocks that have several objects: one page is wanted, the others that are there come into the pool.
//!
//! A block is read without a lock, while the folio of the wanted page keeps its slot's metadata as they are, and so the block.
//! The other pages have no folios: their metadata are changed only while that is so, and if they still say that the page is
//! at this very position, so its bytes are those that were read. From then on a page is in the pool, as one of the youngest generation,
//! and has no part of the block any more. The bytes are those that it had there before: nothing is decompressed, and no page gets a frame.
//!
//! Pages stay on the disk while the pool is full, if zswap is disabled, if the pool cannot grow, or if they are in memory.

use alloc::sync::Arc;

use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::{Area, Entry, IoError};

use super::cache::{Blocks, Zswap, new_blocks};
use super::location::{Location, Part};
use crate::machine::PoolMachine;
use crate::store::packed::{self, Packed};
use crate::store::{StoreError, Stored};

impl<M: PoolMachine> Zswap<M> {
    /// Reads the page of a slot, whose folio is locked, from where it is with others. Sleeps.
    pub(super) fn read_part(&self, area: &Area<M>, slot: u32, part: Part, page: &mut Page) -> Result<(), IoError> {
        self.with_object(area, slot, part, |object, bytes| {
            self.store.decode_from(object.encoding, &bytes[object.bytes.clone()], page)?;
            self.statistics.read_compressed.add(1);
            let others = packed::objects(bytes, part.offset.into()).filter(|other| other.owner != object.owner);
            for other in others {
                if self.take_back_other(part.slot, &other, bytes).is_none() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Takes a slot's object, whose folio is locked, into the pool again, however full that is. Sleeps.
    pub(super) fn take_back(&self, area: &Area<M>, slot: u32, part: Part) {
        let taken = self.with_object(area, slot, part, |object, bytes| {
            self.store.insert(&bytes[object.bytes.clone()], object.encoding)
        });
        if let Ok(object) = taken {
            self.statistics.taken_back.add(1);
            self.replace(area, slot, Location::Pool(object, self.ages.add()));
        }
    }

    /// Reads the blocks of a slot's object, and has it looked at in them.
    fn with_object<R>(
        &self,
        area: &Area<M>,
        slot: u32,
        part: Part,
        look: impl FnOnce(&Packed, &[u8]) -> Result<R, StoreError>,
    ) -> Result<R, IoError> {
        let mut blocks = self.take_blocks();
        let result = self.read_blocks(part, &mut blocks).and_then(|bytes| {
            let owner = area.entry(slot).ok_or(IoError::Device)?;
            let object = packed::object_of(bytes, part.offset.into(), owner.to_bits());
            let looked = object.ok_or(StoreError::Corrupt { handle: u32::MAX }).and_then(|object| look(&object, bytes));
            looked.map_err(|error| self.cannot_read(area, slot, error))
        });
        let surplus = self.blocks.lock().replace(blocks);
        drop(surplus);
        result
    }

    /// What blocks are read into: what is there for that, or some of the heap.
    fn take_blocks(&self) -> Blocks {
        loop {
            if let Some(blocks) = self.blocks.lock().take() {
                return blocks;
            }
            if let Ok(blocks) = new_blocks::<M>() {
                return blocks;
            }
            // A task that has them waits for a disk, and for nothing else.
            M::relax();
        }
    }

    /// Reads the block in which the part begins and, if it ends there, the next.
    fn read_blocks<'a>(&self, part: Part, blocks: &'a mut Blocks) -> Result<&'a [u8], IoError> {
        let area = self.swap.area(part.slot.area()).ok_or(IoError::Device)?;
        let disk = area.disk().ok_or(IoError::Device)?;
        let page = |slot: Entry| area.extents().disk_page(slot.slot().into()).ok_or(IoError::Device);
        let mut pages = [0; 2];
        let mut count = 0;
        for slot in part.slots() {
            pages[count] = page(slot)?;
            count += 1;
        }
        let blocks = &mut blocks[..count];
        if count == 1 || pages[0] + 1 == pages[1] {
            disk.read_pages(pages[0], blocks)?;
        } else {
            pages.iter().zip(blocks.iter_mut()).try_for_each(|(page, block)| disk.read_page(*page, block))?;
        }
        Ok(blocks.as_flattened())
    }

    /// Takes another object into the pool. `None` if it takes none now.
    fn take_back_other(&self, first: Entry, other: &Packed, bytes: &[u8]) -> Option<()> {
        let Some((area, slot, part)) = self.owner_of(first, other) else { return Some(()) };
        let was = Location::Part(part).to_metadata();
        if area.metadata(slot) != was {
            return Some(());
        }
        if !self.is_enabled() || self.is_over() || self.is_at_limit() {
            return None;
        }
        let object = self.store.insert(&bytes[other.bytes.clone()], other.encoding).ok()?;
        let generation = self.ages.add();
        if area.exchange_metadata_if_out(slot, was, Location::Pool(object, generation).to_metadata()) {
            self.free_part(&area, part);
            self.statistics.taken_back.add(1);
        } else {
            self.ages.remove(generation);
            self.store.free(Stored::Object(object));
        }
        Some(())
    }

    /// The slot whose page an object is, with where its metadata must say that it is: the label may be wrong, or old.
    fn owner_of(&self, first: Entry, object: &Packed) -> Option<(Arc<Area<M>>, u32, Part)> {
        let owner = Entry::from_bits(object.owner)?;
        let can_be_here = |area: &Arc<Area<M>>| area.is_ghost() || area.has_frontswap() && area.index() == first.area();
        let area = self.swap.area(owner.area()).filter(can_be_here)?;
        let (block, offset) = ((object.at / PAGE_SIZE) as u32, (object.at % PAGE_SIZE) as u16);
        let slot = Entry::new(first.area(), first.slot().checked_add(block)?)?;
        let crosses = (object.bytes.end - 1) / PAGE_SIZE != object.at / PAGE_SIZE;
        Some((area, owner.slot(), Part { slot, offset, crosses }))
    }
}
