//! zswap as the backend of an area: what it does not take goes to the area's own backend, or, in a ghost area, to a slot
//! of an area with a disk.

use alloc::sync::Arc;
use core::{iter, mem};

use quire_swap::header::Page;
use quire_swap::{
    Area, BATCH_PAGES, Direction, Folio as _, FolioFlag, FolioState, IoError, ReadBatch, SlotRun, SwapOps,
    SwapOpsFlags, WriteBatch,
};

use super::cache::{Refusal, Zswap};
use super::disk_pages;
use super::location::{Form, Location};
use crate::machine::PoolMachine;

/// zswap before one area.
pub(crate) struct Layer<M: PoolMachine> {
    zswap: Arc<Zswap<M>>,
    /// The area's own backend; a ghost area has none.
    below: Option<Arc<dyn SwapOps<M>>>,
}

impl<M: PoolMachine> Layer<M> {
    pub(crate) fn new(zswap: &Arc<Zswap<M>>, below: Option<Arc<dyn SwapOps<M>>>) -> Self {
        Self { zswap: Arc::clone(zswap), below }
    }
}

impl<M: PoolMachine> SwapOps<M> for Layer<M> {
    /// A ghost area's pages are in memory, mostly: nothing is read ahead. A page is compressed where it is, so it must not
    /// change meanwhile.
    fn flags(&self) -> SwapOpsFlags {
        let ghost = SwapOpsFlags { synchronous: true, ..SwapOpsFlags::default() };
        SwapOpsFlags {
            frontswap: true,
            stable_writes: true,
            ignores_frees: false,
            ..self.below.as_ref().map_or(ghost, |below| below.flags())
        }
    }

    fn metadata_bits(&self) -> u8 {
        64
    }

    /// What zswap takes has no neighbours, and what it leaves need not be contiguous any more.
    fn can_merge(&self, area: &Area<M>, previous: SlotRun, next: SlotRun, direction: Direction) -> bool {
        self.below.as_ref().is_none_or(|below| below.can_merge(area, previous, next, direction))
    }

    /// As on Linux, not what is in part in memory: it comes as fast page by page, and then no more of it than is wanted.
    fn reads_together(&self, area: &Area<M>, run: SlotRun) -> bool {
        let location = |slot| Location::from_metadata(area.metadata(slot));
        let together = (run.first..run.first + run.length).all(|slot| self.is_whole(location(slot), run.length));
        together && self.below.as_ref().is_none_or(|below| below.reads_together(area, run))
    }

    fn submit_read(&self, mut batch: ReadBatch<M>) {
        if !batch.batch().is_owned() {
            for position in from_the_end(batch.batch().len()) {
                if let Some(run) = batch.batch().run(position)
                    && let Some(result) = self.read(&mut batch, position, run)
                {
                    batch.complete_one(position, result);
                }
            }
        }
        match &self.below {
            _ if batch.batch().is_empty() => {}
            Some(below) => below.submit_read(batch),
            None => self.zswap.read_elsewhere(batch),
        }
    }

    fn submit_write(&self, mut batch: WriteBatch<M>) {
        let mut refusal = Refusal::Page;
        if !batch.batch().is_owned() {
            const { assert!(BATCH_PAGES <= u64::BITS as usize) };
            let mut stored = 0_u64;
            for (position, (folio, run)) in batch.batch().folios().enumerate() {
                match self.zswap.write(&batch, position, run, folio.state()) {
                    Ok(()) => stored |= 1 << position,
                    Err(why) => refusal = why,
                }
            }
            let is_stored = |position: usize| stored >> position & 1 != 0;
            M::stored_of_batch(
                batch.batch().folios().enumerate().map(|(position, (folio, _))| (folio, is_stored(position))),
            );
            batch.complete_some(is_stored, Ok(()));
            if self.below.is_some() {
                self.zswap.choose_pages(&mut batch);
            }
        }
        match &self.below {
            _ if batch.batch().is_empty() => {}
            Some(below) => below.submit_write(batch),
            None => self.zswap.write_elsewhere(batch, refusal),
        }
    }

    /// Disabled, a ghost area has only those with a disk, which count for themselves.
    fn keeps_pages(&self) -> bool {
        self.below.is_some() || self.zswap.is_enabled()
    }

    fn slot_free_notify(&self, area: &Area<M>, slot: u32, metadata: u64) {
        self.zswap.release(area, slot, Location::from_metadata(metadata));
    }

    fn slot_zeroed(&self, area: &Area<M>, slot: u32, metadata: u64) {
        self.zswap.release(area, slot, Location::from_metadata(metadata));
    }
}

impl<M: PoolMachine> Layer<M> {
    /// Whether a page is on a disk as it is, so that a request can read it into its folio of `length` pages.
    fn is_whole(&self, location: Location, length: u32) -> bool {
        match location {
            Location::Nowhere => self.below.is_some(),
            Location::Page(_, form) => length == 1 && form == Form::PAGE,
            Location::Slot(entry) => length == 1 && self.zswap.form_in(entry) == Some(Form::PAGE),
            _ => false,
        }
    }

    /// Reads the folio at `position` if its pages are in memory, or have to be read one by one; `None` if the backend below,
    /// or another area's, reads it as a whole.
    fn read(&self, batch: &mut ReadBatch<M>, position: usize, run: SlotRun) -> Option<Result<(), IoError>> {
        let area = Arc::clone(batch.batch().area());
        let location = |slot| Location::from_metadata(area.metadata(slot));
        // Nearly always there is one page, whose metadata is looked at once.
        let first = (run.first, location(run.first));
        let others = || (run.first + 1..run.first + run.length).map(|slot| (slot, location(slot)));
        let pages = || iter::once(first).chain(others());
        if pages().all(|(_, location)| self.is_whole(location, run.length)) {
            if let (_, Location::Page(page, _)) = first {
                batch.place(position, page);
            }
            return None;
        }
        let read = pages().enumerate().try_for_each(|(index, (slot, location))| {
            let read = |page: &mut Page| self.zswap.fetch(&area, slot, location, page);
            batch.with_page_mut(position, index, read).unwrap_or(Err(IoError::Unsupported))
        });
        if read.is_ok()
            && let Some((folio, _)) = batch.batch().folios().nth(position)
        {
            pages().for_each(|(slot, location)| self.zswap.loaded(&area, slot, location, folio));
        }
        Some(read)
    }
}

/// Positions in a batch of so many folios, so that those that are taken out leave few behind them to move up.
fn from_the_end(folios: usize) -> impl Iterator<Item = usize> {
    (0..folios).rev()
}

impl<M: PoolMachine> Zswap<M> {
    /// Stores the pages of a folio, all of them or none. What their slots had is gone in any case: it is older than what is
    /// in memory now.
    fn write(
        &self,
        batch: &WriteBatch<M>,
        position: usize,
        run: SlotRun,
        folio: &FolioState<M::Folio>,
    ) -> Result<(), Refusal> {
        let area = batch.batch().area();
        let slots = || run.first..run.first + run.length;
        let stored = slots().enumerate().try_for_each(|(index, slot)| {
            if folio.is(FolioFlag::Incompressible) {
                self.statistics.reject_compress_poor.add(1);
                return Err(Refusal::Poor);
            }
            let location =
                batch.with_page(position, index, |page| self.store_page(page)).unwrap_or(Err(Refusal::Page))?;
            self.replace(area, slot, location);
            Ok(())
        });
        if stored == Err(Refusal::Poor) {
            // It need not be tried again.
            folio.set(FolioFlag::Incompressible);
        }
        if stored.is_err() {
            slots().for_each(|slot| self.replace(area, slot, Location::Nowhere));
        }
        stored
    }

    /// Says where on the disk the folios go: to the pages of their slots' numbers or, where others have these, to a vacant one.
    fn choose_pages(&self, batch: &mut WriteBatch<M>) {
        let area = Arc::clone(batch.batch().area());
        let (mut position, mut has_vacant) = (0, true);
        while let Some(run) = batch.batch().run(position) {
            if !disk_pages::claim_run(&area, run) {
                let vacant = if run.length == 1 && has_vacant { self.vacant(&area) } else { None };
                let Some(vacant) = vacant else {
                    // It stays in memory, and gets another slot.
                    has_vacant &= run.length > 1;
                    self.want_vacant_in(&area);
                    batch.complete_one(position, Err(IoError::NoSpace));
                    continue;
                };
                area.set_metadata(run.first, Location::Page(vacant.page(), Form::PAGE).to_metadata());
                batch.place(position, vacant.page());
                vacant.give_to(run.first);
            }
            position += 1;
        }
    }

    /// Writes what a ghost area cannot keep in memory to slots of an area with a disk, or refuses it.
    fn write_elsewhere(&self, mut batch: WriteBatch<M>, refusal: Refusal) {
        let error = match refusal {
            Refusal::Page | Refusal::Poor => IoError::Refused,
            Refusal::Space => IoError::NoSpace,
        };
        let own = Arc::clone(batch.batch().area());
        let mut target: Option<Arc<Area<M>>> = None;
        let mut position = 0;
        let mut is_first = true;
        while let Some(run) = batch.batch().run(position) {
            let slots = self.slots_on_disk(run.length.ilog2() as u8);
            // A batch goes to one area.
            let slots = slots.filter(|slots| target.as_ref().is_none_or(|area| Arc::ptr_eq(area, slots.area())));
            let owner = own.entry(run.first);
            let (Some(slots), Some(owner)) = (slots, owner) else {
                if refusal == Refusal::Space && mem::take(&mut is_first) {
                    own.note_no_space((batch.batch().len() - position) as u64);
                }
                batch.complete_one(position, Err(error));
                continue;
            };
            let area = Arc::clone(target.get_or_insert_with(|| Arc::clone(slots.area())));
            for (slot, other) in (run.first..).zip(slots.run().first..).take(run.length as usize) {
                if let Some(other) = area.entry(other) {
                    own.set_metadata(slot, Location::Slot(other).to_metadata());
                }
            }
            slots.give_to(owner, Form::PAGE.to_bits());
            position += 1;
        }
        if let Some(area) = target {
            batch.redirect(&area, |run| slot_elsewhere(&own, run));
            area.ops().submit_write(batch);
        }
    }

    /// Reads folios of a ghost area from slots of an area with a disk.
    fn read_elsewhere(&self, mut batch: ReadBatch<M>) {
        let own = Arc::clone(batch.batch().area());
        let location = |run: SlotRun| Location::from_metadata(own.metadata(run.first));
        let mut target: Option<Arc<Area<M>>> = None;
        let mut position = 0;
        while let Some(run) = batch.batch().run(position) {
            let area = match location(run) {
                Location::Slot(entry) => self.swap.area(entry.area()),
                _ => None,
            };
            match area {
                Some(area) if target.as_ref().is_none_or(|target| Arc::ptr_eq(target, &area)) => {
                    target = Some(area);
                    position += 1;
                }
                // A batch goes to one area; pages elsewhere are rare enough to be read alone.
                _ => {
                    let read = |page: &mut Page| self.fetch(&own, run.first, location(run), page);
                    let read = batch.with_page_mut(position, 0, read).unwrap_or(Err(IoError::Unsupported));
                    batch.complete_one(position, read);
                }
            }
        }
        if let Some(area) = target {
            batch.redirect(&area, |run| slot_elsewhere(&own, run));
            area.ops().submit_read(batch);
        }
    }
}

/// The first of the other area's slots that these slots' pages are in.
fn slot_elsewhere<M: PoolMachine>(own: &Area<M>, run: SlotRun) -> u32 {
    match Location::from_metadata(own.metadata(run.first)) {
        Location::Slot(entry) => entry.slot(),
        // No disk has this page: the batch fails.
        _ => u32::MAX,
    }
}
