//! Writeback: the coldest pages leave memory for a disk.
//!
//! Each entry on its way has a locked folio in the cache, not up to date: so the slot's metadata is this task's to change. The
//! folio also carries the bytes to the disk, as a page or as they are stored; or, if several entries go to a block, some of
//! their folios carry the blocks (`pack.rs`). When they are there the metadata says so and the folio goes; if they are not, the
//! metadata stays as it was.

use alloc::sync::Arc;
use core::mem;
use core::sync::atomic::Ordering;

use quire_swap::{
    Area, BATCH_FOLIOS, Direction, Entry, Folio, FolioFlag, FolioUse, InsertError, Locked, MAX_AREAS, Plug,
};

use super::cache::Zswap;
use super::cold::Cold;
use super::disk_pages::{self, Vacant};
use super::location::{Form, Location};
use super::pack::Packing;
use crate::machine::PoolMachine;
use crate::store::{Encoding, Object, Stored};

/// An entry on its way to a disk, alone in a slot.
struct Writeback<M: PoolMachine> {
    cold: Cold<M>,
    target: Target<M>,
    form: Form,
}

/// Where the page of an entry goes.
enum Target<M: PoolMachine> {
    /// To the page of its area's disk that has the slot's number.
    Own,
    /// To another page of its area's disk.
    Page(Vacant<M>),
    /// To this slot of another area.
    Slot(Arc<Area<M>>, Entry),
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
            self.vacate();
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
        let mut packing = Packing::new();
        let mut packed = 0;
        let mut writebacks: [Option<Writeback<M>>; BATCH_FOLIOS] = [const { None }; BATCH_FOLIOS];
        for (started, entry) in writebacks.iter_mut().zip(self.coldest().into_iter().flatten()) {
            let Some(cold) = self.take(entry) else { continue };
            match self.object_to_pack(&cold) {
                Some(object) => {
                    if !packing.is_of(&cold.area) {
                        plug.submit();
                        packed += self.write_packed(&mut packing);
                    }
                    self.pack(&mut packing, cold, object);
                }
                None => *started = self.begin(cold, &mut plug),
            }
        }
        plug.submit();
        packed += self.write_packed(&mut packing);
        packed + writebacks.into_iter().flatten().map(|writeback| u64::from(self.finish(writeback))).sum::<u64>()
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

    /// Puts a folio at the entry into the cache.
    pub(super) fn take(&self, entry: Entry) -> Option<Cold<M>> {
        let area = self.swap.area(entry.area())?;
        let folio = Locked::lock(M::allocate_folio(0, FolioUse::Writeback)?);
        match area.insert(entry, &folio) {
            Ok(inserted) => Some(Cold { area, entry, folio, shadow: inserted.shadow }),
            // It is in memory, so it is not cold.
            Err(InsertError::Exists) => {
                self.freshen(&area, entry.slot(), Location::from_metadata(area.metadata(entry.slot())));
                None
            }
            Err(InsertError::Gone | InsertError::Conflict) => None,
        }
    }

    /// The entry's object, if it is to be written as it is stored and with others.
    fn object_to_pack(&self, cold: &Cold<M>) -> Option<Object> {
        let compressed = self.settings.compressed_writeback.load(Ordering::Relaxed);
        match cold.location() {
            Location::Pool(object, _) if compressed && !cold.area.discards_clusters() => {
                Some(object).filter(|object| object.encoding() != Encoding::Raw)
            }
            _ => None,
        }
    }

    /// Puts the entry's page into its folio, and adds that to the batch.
    fn begin(&self, mut cold: Cold<M>, plug: &mut Plug<M>) -> Option<Writeback<M>> {
        let filled = self.fill(&mut cold);
        let (Some(form), Some(target)) = (filled, filled.and_then(|form| self.target_for(&cold, form))) else {
            // A task that wants the page is told what is wrong with it.
            self.leave(cold);
            return None;
        };
        let (area, slot) = match &target {
            Target::Own => (&cold.area, cold.entry.slot()),
            Target::Page(vacant) => (&cold.area, vacant.page()),
            Target::Slot(other, slot) => (other, slot.slot()),
        };
        plug.add_owned(area, cold.folio.start_writeback(), slot, Direction::Write);
        Some(Writeback { cold, target, form })
    }

    /// The entry stays where it is, and is tried last.
    pub(super) fn leave(&self, cold: Cold<M>) {
        self.freshen(&cold.area, cold.entry.slot(), cold.location());
        cold.withdraw();
    }

    /// The entry's bytes are on the disk: its metadata says so from here on, and the object is freed.
    pub(super) fn went(&self, cold: Cold<M>, location: Location) {
        let old = cold.area.replace_metadata(cold.entry.slot(), location.to_metadata());
        if let Location::Pool(object, generation) = Location::from_metadata(old) {
            self.store.free(Stored::Object(object));
            self.ages.remove(generation);
        }
        self.statistics.written_back.add(1);
        cold.withdraw();
    }

    /// Puts a page of the pool into a folio that is to be written.
    fn fill(&self, cold: &mut Cold<M>) -> Option<Form> {
        let location = cold.location();
        let Location::Pool(object, _) = location else { return None };
        let Cold { area, entry, folio, .. } = cold;
        let compressed = self.settings.compressed_writeback.load(Ordering::Relaxed);
        if !compressed || object.encoding() == Encoding::Raw {
            self.statistics.decompressed_to_write.add(1);
            let fetched = folio.with_page_mut(0, |page| self.fetch(area, entry.slot(), location, page));
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

    /// Where the entry's page goes alone. A slot of another area says in what form the page will be there before it is written.
    fn target_for(&self, cold: &Cold<M>, form: Form) -> Option<Target<M>> {
        if cold.area.is_on_disk() {
            if disk_pages::claim_own(&cold.area, cold.entry.slot()) {
                return Some(Target::Own);
            }
            return self.vacant(&cold.area).map(Target::Page);
        }
        let slots = self.slots_on_disk(0)?;
        let area = Arc::clone(slots.area());
        let target = area.entry(slots.run().first)?;
        slots.give_to(cold.entry, form.to_bits());
        Some(Target::Slot(area, target))
    }

    /// Waits for the write.
    fn finish(&self, writeback: Writeback<M>) -> bool {
        let Writeback { cold, target, form } = writeback;
        cold.folio.wait_for_writeback();
        let failed = cold.folio.state().clear(FolioFlag::Dirty);
        let slot = cold.entry.slot();
        if failed {
            match target {
                Target::Own => disk_pages::let_go_of_own(&cold.area, slot),
                Target::Page(vacant) => drop(vacant),
                Target::Slot(_, target) => self.free_slot(target),
            }
            self.leave(cold);
            return false;
        }
        self.statistics.written_compressed.add(u64::from(form != Form::PAGE));
        let location = match target {
            Target::Own if form == Form::PAGE => Location::Nowhere,
            Target::Own => Location::Page(slot, form),
            Target::Page(vacant) => {
                let page = vacant.page();
                vacant.give_to(slot);
                Location::Page(page, form)
            }
            Target::Slot(_, target) => Location::Slot(target),
        };
        self.went(cold, location);
        true
    }
}
