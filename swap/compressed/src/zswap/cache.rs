//! [`Zswap`]: what is stored, and how a page gets in and out.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::sync::Lock;
use quire_swap::{
    Area, Entry, Folio as _, FolioFlag, IoError, Level, MAX_AREAS, OwnedSlot, RateLimit, RegistryError, SharedSlot,
    Swap, heap,
};

use super::age::Ages;
use super::disk_pages;
use super::location::{Form, Location, Part};
use super::settings::Settings;
use super::statistics::Statistics;
use crate::machine::{PoolLayout, PoolMachine, StoredBy};
use crate::ranks;
use crate::store::{Encoding, Store, StoreError, Stored};

/// The compressed cache. A kernel has one.
pub struct Zswap<M: PoolMachine> {
    pub(super) swap: &'static Swap<M>,
    pub(super) store: Store<M>,
    pub(super) ages: Ages,
    pub(super) settings: Settings,
    pub(super) statistics: Statistics,
    /// Frames of memory.
    pub(super) memory: u64,
    /// The pool was full, and is not down at the threshold yet.
    pub(super) full: AtomicBool,
    /// A task writes back.
    pub(super) shrinking: AtomicBool,
    /// Where the search for cold entries goes on: the area in the upper half, the slot in the lower.
    pub(super) hand: AtomicU64,
    /// For each area, where the search for a vacant page of its disk goes on.
    pub(super) hands: [AtomicU32; MAX_AREAS],
    /// A bit for each area in which nothing was vacant for a page that had to go.
    pub(super) cramped: AtomicU32,
    /// Pages that are wanted written back.
    pub(super) wanted: AtomicU64,
    pub(super) failures: RateLimit,
    /// What blocks of several objects are read into, while it is not in use.
    pub(super) blocks: Lock<Option<Blocks>, M, { ranks::ZSWAP as u8 }>,
}

/// The block in which an object begins, and the one in which it may end.
pub(super) type Blocks = Box<[Page; 2]>;

pub(super) fn new_blocks<M: PoolMachine>() -> Result<Blocks, heap::NoMemory> {
    heap::array::<M, _, 2>(|_| [0; PAGE_SIZE])
}

/// Where a slot's page is, as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// Not with zswap: on the area's own slot, in memory only, or all zero.
    Nowhere,
    /// All of it repeats one value.
    Same,
    /// In the pool.
    Pool,
    /// On this slot of another area.
    Slot(Entry),
    /// With others on slots of another area or on pages of its own disk, or on one of them.
    Part {
        /// The slot in which it begins.
        first: Entry,
        /// The slot in which it ends.
        last: Entry,
    },
    /// On this page of the area's own disk, compressed or not on that of its slot.
    Page(u32),
    /// It could not be read when the area went that it was on.
    Lost,
}

/// Why a page was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// This page is not for zswap; the next one may be.
    Page,
    /// This page does not compress to what is worth it.
    Poor,
    /// There is no space for any page just now.
    Space,
}

impl<M: PoolMachine> Zswap<M> {
    /// The pool has at most so many objects for each frame of memory: with the smallest objects in all of the default
    /// part of memory there are fewer.
    const OBJECTS_PER_FRAME: u64 = 32;

    /// Puts zswap before `swap`, on a machine with so many frames. It stores nothing before its parameter `enabled` is set.
    ///
    /// # Errors
    /// [`RegistryError::NoMemory`]; [`RegistryError::Taken`] if another layer is before `swap` already.
    pub fn start(swap: &'static Swap<M>, memory: u64) -> Result<Arc<Self>, RegistryError> {
        let objects = memory.saturating_mul(Self::OBJECTS_PER_FRAME).min(u32::MAX.into()) as u32;
        let zswap = heap::arc::<M, _>(Self {
            swap,
            store: Store::new(objects).map_err(|_| RegistryError::NoMemory)?,
            ages: Ages::new(),
            settings: Settings::new(),
            statistics: Statistics::default(),
            memory,
            full: AtomicBool::new(false),
            shrinking: AtomicBool::new(false),
            hand: AtomicU64::new(0),
            hands: [const { AtomicU32::new(0) }; MAX_AREAS],
            cramped: AtomicU32::new(0),
            wanted: AtomicU64::new(0),
            failures: RateLimit::new(),
            blocks: Lock::new(Some(new_blocks::<M>()?)),
        })?;
        swap.set_frontswap("zswap", zswap.clone())?;
        zswap.show_pool();
        Ok(zswap)
    }

    /// Shows the pool, which stays, to those who look at memory from outside.
    fn show_pool(&self) {
        let statistics = &self.statistics;
        M::pool_made(&PoolLayout {
            name: "zswap",
            pages: 0,
            stored: self.ages.word(),
            same: statistics.same.word(),
            incompressible: None,
            compressed: self.store.bytes(),
            frames: self.store.frames(),
            counters: &[
                ("zswpin", &statistics.loaded),
                ("zswpout", &statistics.stored),
                ("zswpwb", &statistics.written_back),
                ("zswap_reject_reclaim_fail", &statistics.reject_reclaim_fail),
                ("zswap_reject_alloc_fail", &statistics.reject_alloc_fail),
                ("zswap_reject_compress_poor", &statistics.reject_compress_poor),
            ],
        });
    }

    /// Whether pages are stored, and new areas get zswap before them.
    pub(super) fn is_enabled(&self) -> bool {
        self.settings.enabled.load(Ordering::Relaxed)
    }

    /// Pages in memory: in the pool, or as 8 bytes in the slot's metadata.
    pub fn stored_pages(&self) -> u64 {
        self.ages.all() + self.same_pages()
    }

    pub(super) fn same_pages(&self) -> u64 {
        self.statistics.same.get()
    }

    /// Whether every page that was stored is where the counters say: still stored, written back or dropped. Certain only
    /// while nothing is swapped.
    pub fn adds_up(&self) -> bool {
        let statistics = &self.statistics;
        let gone = statistics.written_back.get() + statistics.dropped.get();
        let written = statistics.written_compressed.get() + statistics.decompressed_to_write.get();
        statistics.stored.get() + statistics.taken_back.get() == self.stored_pages() + gone
            && statistics.written_back.get() <= written
    }

    /// Where the page of a slot is; nowhere too if its area does not have zswap.
    pub fn whereabouts(&self, entry: Entry) -> Whereabouts {
        let area = self.swap.area(entry.area()).filter(|area| area.has_frontswap());
        match area.map_or(Location::Nowhere, |area| Location::from_metadata(area.metadata(entry.slot()))) {
            Location::Nowhere => Whereabouts::Nowhere,
            Location::Same(_) => Whereabouts::Same,
            Location::Pool(..) => Whereabouts::Pool,
            Location::Slot(slot) => Whereabouts::Slot(slot),
            Location::Part(part) => {
                Whereabouts::Part { first: part.slot, last: part.slots().last().unwrap_or(part.slot) }
            }
            Location::Page(page, _) => Whereabouts::Page(page),
            Location::Lost => Whereabouts::Lost,
        }
    }

    pub(super) fn most_frames(&self) -> u64 {
        self.memory * u64::from(self.settings.max_pool_percent.load(Ordering::Relaxed)) / 100
    }

    pub(super) fn frames_to_accept(&self) -> u64 {
        self.most_frames() * u64::from(self.settings.accept_threshold_percent.load(Ordering::Relaxed)) / 100
    }

    /// Whether the pool has all the frames that it may have.
    pub(super) fn is_at_limit(&self) -> bool {
        self.store.usage().frames >= self.most_frames()
    }

    /// Whether the pool takes more; asks for writeback if not.
    pub(super) fn accepts_pages(&self) -> bool {
        if self.is_at_limit() {
            if !self.full.swap(true, Ordering::Relaxed) {
                self.statistics.pool_limit_hit.add(1);
            }
        } else if !self.is_over() {
            return true;
        }
        self.statistics.reject_reclaim_fail.add(1);
        M::wake_shrinker();
        false
    }

    /// Whether the pool was full and is not down at the threshold yet. When it is, areas that have nothing but the pool can
    /// be used again.
    pub(super) fn is_over(&self) -> bool {
        if !self.full.load(Ordering::Relaxed) {
            return false;
        }
        let over = self.store.usage().frames > self.frames_to_accept();
        if !over && self.full.swap(false, Ordering::Relaxed) {
            self.swap.areas().filter(|area| area.is_ghost()).for_each(|area| area.note_space());
        }
        over
    }

    /// Stores a page.
    pub(super) fn store_page(&self, page: &Page) -> Result<Location, Refusal> {
        if !self.is_enabled() {
            return Err(Refusal::Page);
        }
        if !self.accepts_pages() {
            return Err(Refusal::Space);
        }
        let percent = self.settings.max_compressed_percent.load(Ordering::Relaxed) as usize;
        let stored = self.store.store_within(page, PAGE_SIZE * percent / 100);
        let object = match stored {
            Ok(Some(Stored::Same(word))) if Location::can_hold(word) => {
                self.statistics.same.add(1);
                self.statistics.stored.add(1);
                M::stored(StoredBy::Zswap, 0);
                return Ok(Location::Same(word));
            }
            // Repeated bytes that leave no bit for the tag are those 8 bytes in the pool.
            Ok(Some(Stored::Same(word))) => self.store.insert(&word.to_le_bytes(), Encoding::Raw),
            Ok(Some(Stored::Object(object))) => Ok(object),
            Ok(None) => {
                self.statistics.reject_compress_poor.add(1);
                return Err(Refusal::Poor);
            }
            Err(error) => Err(error),
        };
        let Ok(object) = object else {
            self.statistics.reject_alloc_fail.add(1);
            return Err(Refusal::Space);
        };
        self.statistics.stored.add(1);
        M::stored(StoredBy::Zswap, object.length());
        Ok(Location::Pool(object, self.ages.add()))
    }

    /// Reads a page, wherever it is. Sleeps if that is a disk.
    pub(super) fn fetch(&self, area: &Area<M>, slot: u32, location: Location, page: &mut Page) -> Result<(), IoError> {
        let loaded = match location {
            Location::Same(word) => self.store.load(Stored::Same(word), page),
            Location::Pool(object, _) if object.encoding() == Encoding::Raw && object.length() == size_of::<u64>() => {
                let word = self.store.with_object(object, |bytes| bytes.first_chunk().copied().unwrap_or_default());
                word.and_then(|word| self.store.load(Stored::Same(u64::from_le_bytes(word)), page))
            }
            Location::Pool(object, _) => self.store.load(Stored::Object(object), page),
            Location::Nowhere if area.is_on_disk() => return self.read(area, slot, Form::PAGE, page),
            Location::Page(number, form) => return self.read(area, number, form, page),
            Location::Slot(entry) => {
                let other = self.swap.area(entry.area()).ok_or(IoError::Device)?;
                let form = self.form_in(entry).ok_or(IoError::Device)?;
                return self.read(&other, entry.slot(), form, page);
            }
            Location::Part(part) => {
                let Err(error) = self.read_part(area, slot, part, page) else { return Ok(()) };
                // A task that read another page of the block may have taken this one into memory meanwhile.
                let now = Location::from_metadata(area.metadata(slot));
                return if now == location { Err(error) } else { self.fetch(area, slot, now, page) };
            }
            Location::Nowhere | Location::Lost => return Err(IoError::Device),
        };
        loaded.map_err(|error| self.cannot_read(area, slot, error))
    }

    /// Reads a page from a slot of an area with a disk.
    pub(super) fn read(&self, area: &Area<M>, slot: u32, form: Form, page: &mut Page) -> Result<(), IoError> {
        let disk_page = area.extents().disk_page(slot.into()).ok_or(IoError::Device)?;
        area.disk().ok_or(IoError::Device)?.read_page(disk_page, page)?;
        if form == Form::PAGE {
            return Ok(());
        }
        self.statistics.read_compressed.add(1);
        let decoded = self.store.decode(form.encoding, page, 0..form.length.into());
        decoded.map_err(|error| self.cannot_read(area, slot, error))
    }

    /// In what form a slot holds the page of a slot of another area.
    pub(super) fn form_in(&self, entry: Entry) -> Option<Form> {
        Some(Form::from_bits(self.swap.area(entry.area())?.owner(entry.slot())?.1))
    }

    /// The slot's page was read from `location` into `folio`, which is locked and has this slot.
    pub(super) fn loaded(&self, area: &Area<M>, slot: u32, location: Location, folio: &M::Folio) {
        if !matches!(location, Location::Same(_) | Location::Pool(..)) {
            return;
        }
        self.statistics.loaded.add(1);
        M::loaded(StoredBy::Zswap, if let Location::Pool(object, _) = location { object.length() } else { 0 });
        if self.full.load(Ordering::Relaxed) {
            // Dirty first: the folio must not be dropped when it is the only copy.
            folio.state().set(FolioFlag::Dirty);
            self.replace(area, slot, Location::Nowhere);
        } else {
            self.freshen(area, slot, location);
        }
    }

    /// Makes the entry one of the youngest generation, if it is in the pool and still where it was.
    pub(super) fn freshen(&self, area: &Area<M>, slot: u32, location: Location) {
        let Location::Pool(object, generation) = location else { return };
        if generation == self.ages.now() {
            return;
        }
        let young = self.ages.add();
        let changed = area.exchange_metadata(slot, location.to_metadata(), Location::Pool(object, young).to_metadata());
        self.ages.remove(if changed { generation } else { young });
    }

    /// Frees what a slot's metadata named, which no other task can find any more. May be called with the slot's cluster locked.
    pub(super) fn release(&self, area: &Area<M>, slot: u32, old: Location) {
        match old {
            Location::Lost => {}
            Location::Nowhere => disk_pages::let_go_of_own(area, slot),
            Location::Page(page, _) if page == slot => disk_pages::let_go_of_own(area, slot),
            Location::Page(page, _) => disk_pages::let_go(area, page),
            Location::Same(_) => {
                self.statistics.same.subtract(1);
                self.statistics.dropped.add(1);
            }
            Location::Pool(object, generation) => {
                self.store.free(Stored::Object(object));
                self.ages.remove(generation);
                self.statistics.dropped.add(1);
            }
            Location::Slot(entry) => self.free_slot(entry),
            Location::Part(part) => self.free_part(area, part),
        }
    }

    /// Changes where the slot's page is.
    pub(super) fn replace(&self, area: &Area<M>, slot: u32, location: Location) {
        self.release(area, slot, Location::from_metadata(area.replace_metadata(slot, location.to_metadata())));
    }

    /// Frees a slot of another area. May be called with a ghost area's cluster locked.
    pub(super) fn free_slot(&self, entry: Entry) {
        if let Some(area) = self.swap.area(entry.area()) {
            drop(OwnedSlot::new(area, entry.slot()));
        }
    }

    /// Lets go, for a slot of `area`, of what others may have a part of: slots of another area, or pages of the own disk. May be
    /// called with the slot's cluster locked.
    pub(super) fn free_part(&self, area: &Area<M>, part: Part) {
        for slot in part.slots() {
            if area.is_on_disk() {
                disk_pages::let_go(area, slot.slot());
            } else if let Some(other) = self.swap.area(slot.area()) {
                drop(SharedSlot::new(other, slot.slot()));
            }
        }
    }

    pub(super) fn cannot_read(&self, area: &Area<M>, slot: u32, error: StoreError) -> IoError {
        self.statistics.decompress_fail.add(1);
        self.failures.log::<M>("zswap", Level::Error, format_args!("zswap: slot {slot} of {}: {error}", area.name()));
        IoError::Device
    }
}
