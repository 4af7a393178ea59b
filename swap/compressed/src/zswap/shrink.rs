//! Writeback: the coldest pages leave memory for a disk.
//!
//! Each entry on its way has a locked folio in the cache, not up to date: so the slot's metadata is this task's to change. The
//! folio also carries the bytes to the disk, as a page or as they are stored. When they are there the metadata says so and the
//! folio goes; if they are not, the metadata stays as it was.

use alloc::sync::Arc;
use core::mem;
use core::sync::atomic::Ordering;

use quire_swap::{
    Area, BATCH_FOLIOS, Direction, Entry, Folio, FolioFlag, FolioUse, InsertError, Locked, MAX_AREAS, Plug,
};

use super::cache::Zswap;
use super::location::{Form, Location};
use crate::machine::PoolMachine;
use crate::store::{Encoding, Stored};

/// An entry on its way to a disk.
struct Writeback<M: PoolMachine> {
    area: Arc<Area<M>>,
    entry: Entry,
    folio: Locked<M::Folio>,
    /// What eviction left in the slot.
    shadow: u64,
    /// The slot that they go to; none if that is the entry's own.
    target: Option<Entry>,
    form: Form,
}

impl<M: PoolMachine> Zswap<M> {
    /// Memory is low: if the parameter `shrinker_enabled` is set, some cold pages are wanted written back.
    pub fn memory_is_low(&self) {
        if self.settings.shrinker_enabled.load(Ordering::Relaxed) && self.ages.all() > 0 && self.has_disk() {
            self.wanted.store(BATCH_FOLIOS as u64, Ordering::Relaxed);
            M::wake_shrinker();
        }
    }

    /// Writes back as many pages as are wanted, the coldest first: until a pool that was full is down at the threshold, or
    /// what [`Zswap::memory_is_low`] asked for. Returns how many went. Sleeps; for a kernel thread that waits for
    /// [`PoolMachine::wake_shrinker`].
    pub fn shrink(&self) -> u64 {
        if !self.has_disk() || self.shrinking.swap(true, Ordering::Acquire) {
            return 0;
        }
        let mut written = 0;
        loop {
            if !self.is_over() && self.wanted.swap(0, Ordering::Relaxed) == 0 {
                break;
            }
            match self.write_back() {
                0 => break,
                pages => written += pages,
            }
        }
        self.shrinking.store(false, Ordering::Release);
        written
    }

    /// Whether there is anywhere to write to.
    fn has_disk(&self) -> bool {
        self.swap.areas().any(|area| area.is_on_disk())
    }

    /// Writes back one batch of the oldest generation.
    fn write_back(&self) -> u64 {
        let mut plug = Plug::new();
        let mut writebacks: [Option<Writeback<M>>; BATCH_FOLIOS] = [const { None }; BATCH_FOLIOS];
        for (started, entry) in writebacks.iter_mut().zip(self.coldest().into_iter().flatten()) {
            *started = self.begin(entry, &mut plug);
        }
        plug.submit();
        writebacks.into_iter().flatten().map(|writeback| u64::from(self.finish(writeback))).sum()
    }

    /// Entries of the oldest generation. The search goes round all slots, and on from where it stopped.
    fn coldest(&self) -> [Option<Entry>; BATCH_FOLIOS] {
        let mut found = [None; BATCH_FOLIOS];
        let (generation, members) = self.ages.oldest();
        let wanted = found.len().min(members as usize);
        let mut count = 0;
        let hand = self.hand.load(Ordering::Relaxed);
        let (first, mut from) = ((hand >> u32::BITS) as u8, hand as u32);
        for index in (first..MAX_AREAS as u8).chain(0..=first) {
            let from = mem::take(&mut from);
            let Some(area) = self.swap.area(index).filter(|area| area.has_frontswap() && count < wanted) else {
                continue;
            };
            let stopped = area.look_at_metadata(from, |slot, metadata| {
                if Location::is_of(metadata, generation) {
                    found[count] = area.entry(slot);
                    count += 1;
                }
                count < wanted
            });
            let (index, slot) = stopped.map_or((index + 1, 0), |slot| (index, slot));
            let next = u64::from(index) << u32::BITS | u64::from(slot);
            self.hand.store(next, Ordering::Relaxed);
        }
        found
    }

    /// Puts a folio at the entry into the cache, the page into the folio, and adds that to the batch.
    fn begin(&self, entry: Entry, plug: &mut Plug<M>) -> Option<Writeback<M>> {
        let area = self.swap.area(entry.area())?;
        let location = || Location::from_metadata(area.metadata(entry.slot()));
        let mut folio = Locked::lock(M::allocate_folio(0, FolioUse::Writeback)?);
        let shadow = match area.insert(entry, &folio) {
            Ok(inserted) => inserted.shadow,
            // It is in memory, so it is not cold.
            Err(InsertError::Exists) => {
                self.freshen(&area, entry.slot(), location());
                return None;
            }
            Err(InsertError::Gone | InsertError::Conflict) => return None,
        };
        let own = || Some((Arc::clone(&area), entry));
        let filled = self.fill(&area, entry.slot(), location(), &mut folio);
        let to = filled.and_then(|form| if area.is_on_disk() { own() } else { self.slot_of_another_area(entry, form) });
        let (Some(form), Some((other, target))) = (filled, to) else {
            // A task that wants the page is told what is wrong with it.
            self.freshen(&area, entry.slot(), location());
            area.withdraw_leaving(entry, &folio, shadow);
            return None;
        };
        plug.add_owned(&other, folio.start_writeback(), target.slot(), Direction::Write);
        let target = (target != entry).then_some(target);
        Some(Writeback { area, entry, folio, shadow, target, form })
    }

    /// Puts a page of the pool into a folio that is to be written.
    fn fill(&self, area: &Area<M>, slot: u32, location: Location, folio: &mut Locked<M::Folio>) -> Option<Form> {
        let Location::Pool(object, _) = location else { return None };
        let compressed = self.settings.compressed_writeback.load(Ordering::Relaxed);
        if !compressed || object.encoding() == Encoding::Raw {
            self.statistics.decompressed_to_write.add(1);
            let fetched = folio.with_page_mut(0, |page| self.fetch(area, slot, location, page));
            return fetched.ok().map(|()| Form::PAGE);
        }
        let form = Form { length: object.length() as u16, encoding: object.encoding() };
        let copied = self.store.with_object(object, |stored| {
            folio.with_page_mut(0, |page| {
                let (contents, rest) = page.split_at_mut(stored.len());
                contents.copy_from_slice(stored);
                rest.fill(0);
            });
        });
        copied.ok().map(|()| form)
    }

    /// A slot of an area with a disk for the entry, which says in what form the page will be there before it is written.
    fn slot_of_another_area(&self, entry: Entry, form: Form) -> Option<(Arc<Area<M>>, Entry)> {
        let slots = self.swap.allocate_on_disk(0).ok()?;
        let area = Arc::clone(slots.area());
        let target = area.entry(slots.run().first)?;
        slots.give_to(entry, form.to_bits());
        Some((area, target))
    }

    /// Waits for the write. If the page is on the disk, the slot's metadata says so from here on, and the object is freed.
    fn finish(&self, writeback: Writeback<M>) -> bool {
        let Writeback { area, entry, folio, shadow, target, form } = writeback;
        folio.wait_for_writeback();
        let failed = folio.state().clear(FolioFlag::Dirty);
        if failed {
            if let Some(target) = target {
                self.free_slot(target);
            }
            self.freshen(&area, entry.slot(), Location::from_metadata(area.metadata(entry.slot())));
        } else {
            let location = match target {
                Some(target) => Location::Slot(target),
                None if form == Form::PAGE => Location::Nowhere,
                None => Location::Packed(form),
            };
            let old = Location::from_metadata(area.replace_metadata(entry.slot(), location.to_metadata()));
            if let Location::Pool(object, generation) = old {
                self.store.free(Stored::Object(object));
                self.ages.remove(generation);
            }
            self.statistics.written_back.add(1);
            self.statistics.written_compressed.add(u64::from(form != Form::PAGE));
        }
        area.withdraw_leaving(entry, &folio, shadow);
        !failed
    }
}
