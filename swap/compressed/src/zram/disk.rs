//! An initialised zram device: its slots, its store, and how pages get in and out.

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use quire_swap::header::Page;
use quire_swap::sync::Lock;
use quire_swap::{Claim, DeviceState, IoError, Level, RateLimit, Sparse};

use super::algorithms::Algorithms;
use super::backing::{Backing, BlockForm, DiskLocation, SUM_MASK};
use super::error::ZramError;
use super::gathered::{Gathered, WrittenBack};
use super::slot::{Content, Flag, Slot, SlotGuard};
use super::statistics::Statistics;
use crate::killed::{HeedKill, Killed};
use crate::machine::{PoolLayout, PoolMachine, StoredBy};
use crate::ranks;
use crate::store::{Deflater, Encoding, Store, StoreError, Stored, packed, sum};

/// A device that has a size. Each user has a reference, and as long as there is one the device is not reset.
pub struct ZramDisk<M: PoolMachine> {
    name: String,
    pages: u32,
    /// The device's, which stays when the size goes.
    pub(super) device_state: Arc<DeviceState>,
    pub(super) store: Store<M>,
    pub(super) slots: Sparse<Slot, M>,
    pub(super) backing: Option<Backing<M>>,
    /// What gathers reads of the backing device, while it is not in use.
    pub(super) gathering: Lock<Option<Gathered>, M, { ranks::ZRAM as u8 }>,
    /// How many blocks may still be written, if that is limited.
    pub(super) budget: AtomicU64,
    pub(super) budget_enabled: AtomicBool,
    pub(super) algorithms: Algorithms,
    /// What the stronger algorithms need, while it is not in use.
    pub(super) deflater: Lock<Option<Deflater>, M, { ranks::ZRAM as u8 }>,
    /// Slots are being written back, or compressed again.
    processing: AtomicBool,
    pub(super) statistics: Statistics,
    failures: RateLimit,
}

/// The largest device, in pages: swap entries have no more slots.
const MOST_PAGES: u64 = u32::MAX as u64;

impl<M: PoolMachine> ZramDisk<M> {
    pub(super) fn new(
        name: String,
        pages: u64,
        device_state: Arc<DeviceState>,
        backing: Option<Arc<Claim<M>>>,
        algorithms: Algorithms,
    ) -> Result<Self, ZramError> {
        let pages = pages.min(MOST_PAGES) as u32;
        let deflater = if algorithms.any() { Some(Deflater::new::<M>()?) } else { None };
        Ok(Self {
            name,
            pages,
            device_state,
            store: Store::with_encodings(pages, algorithms.any())?,
            slots: Sparse::new(pages)?,
            gathering: Lock::new(if backing.is_some() { Some(Gathered::new::<M>()?) } else { None }),
            backing: backing.map(Backing::new).transpose()?,
            budget: AtomicU64::new(0),
            budget_enabled: AtomicBool::new(false),
            algorithms,
            deflater: Lock::new(deflater),
            processing: AtomicBool::new(false),
            statistics: Statistics::default(),
            failures: RateLimit::new(),
        })
    }

    /// Shows its pool, until it is dropped, to those who look at memory from outside.
    pub(super) fn show_pool(&self) {
        let statistics = &self.statistics;
        M::pool_made(&PoolLayout {
            name: &self.name,
            pages: self.pages(),
            stored: statistics.stored.word(),
            same: statistics.same.word(),
            incompressible: Some(statistics.huge.word()),
            compressed: self.store.bytes(),
            frames: self.store.frames(),
            counters: &[],
        });
    }

    /// Its path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many pages it can hold.
    pub fn pages(&self) -> u64 {
        self.pages.into()
    }

    /// Writes a whole page.
    ///
    /// # Errors
    /// The page's old contents stay then.
    pub fn write(&self, page: u64, contents: &Page) -> Result<(), IoError> {
        self.try_write(page, contents).map_err(|error| {
            self.statistics.failed_writes.add(1);
            self.report("write", page, error)
        })
    }

    /// Reads a whole page; one that was never written, or was freed, is zeros.
    ///
    /// # Errors
    /// [`IoError::Device`] if what is stored is not what was written, or the backing device's.
    pub fn read(&self, page: u64, contents: &mut Page) -> Result<(), IoError> {
        self.try_read(page, contents).map_err(|error| self.failed_to_read(page, error))
    }

    /// Forgets pages, as discarding them and writing zeros to them does.
    pub fn discard(&self, pages: Range<u64>) {
        let pages = self.note_discarded(pages);
        self.slots.present(pages).for_each(|(_, slot)| self.free(slot.lock()));
    }

    /// As [`Self::discard`], for a program.
    ///
    /// # Errors
    /// [`ZramError::Killed`]; the rest of the pages stays.
    pub fn discard_unless_killed(&self, pages: Range<u64>) -> Result<(), ZramError> {
        let pages = self.note_discarded(pages);
        for present in self.slots.present(pages).heed_kill::<M>() {
            let (_, slot) = present?;
            self.free(slot.lock());
        }
        Ok(())
    }

    /// Linux counts each page, whether it was ever written or not. Returns those that there are.
    fn note_discarded(&self, pages: Range<u64>) -> Range<u64> {
        let pages = pages.start..pages.end.min(self.pages());
        self.statistics.notify_free.add(pages.end.saturating_sub(pages.start));
        pages
    }

    /// The swap slot is free. Never waits: a slot that is busy keeps its page until it is written again.
    pub(super) fn slot_freed(&self, slot: u32) {
        self.statistics.notify_free.add(1);
        let Some(slot) = self.slots.get(slot) else { return };
        match slot.try_lock() {
            Some(slot) => self.free(slot),
            None => self.statistics.miss_free.add(1),
        }
    }

    /// Marks every stored page idle that was last accessed `age` seconds ago or earlier.
    ///
    /// # Errors
    /// [`Killed`].
    pub(super) fn mark_idle(&self, age: u32) -> Result<(), Killed> {
        let now = M::seconds();
        for present in self.slots.present(0..self.pages()).heed_kill::<M>() {
            let (_, slot) = present?;
            let mut slot = slot.lock::<M>();
            let is_object = matches!(slot.content(), Content::Stored(Stored::Object(_)));
            if is_object && now.saturating_sub(slot.accessed()) >= age {
                slot.set(Flag::Idle);
            }
        }
        Ok(())
    }

    /// Calls `line` for each slot that has a page: index, seconds of the last access, and a letter for each property.
    ///
    /// # Errors
    /// That of `line`; [`ZramError::Killed`].
    pub(super) fn block_state(
        &self,
        mut line: impl FnMut(u32, u32, [char; 6]) -> Result<(), ZramError>,
    ) -> Result<(), ZramError> {
        for present in self.slots.present(0..self.pages()).heed_kill::<M>() {
            let (index, slot) = present?;
            let slot = slot.lock::<M>();
            let content = slot.content();
            if content == Content::Empty {
                continue;
            }
            let letter = |letter, is| if is { letter } else { '.' };
            let letters = [
                letter('s', matches!(content, Content::Stored(Stored::Same(_)))),
                letter('w', matches!(content, Content::WrittenBack(_))),
                letter('h', is_huge(content)),
                letter('i', slot.is(Flag::Idle)),
                letter('r', slot.priority() > 0),
                letter('n', slot.is(Flag::Incompressible)),
            ];
            let accessed = slot.accessed();
            drop(slot);
            line(index, accessed, letters)?;
        }
        Ok(())
    }

    /// The right to write back or to compress again, which one at a time has.
    pub(super) fn process_alone(&self) -> Result<Processing<'_>, ZramError> {
        if self.processing.swap(true, Ordering::Acquire) {
            Err(ZramError::Again)
        } else {
            Ok(Processing(&self.processing))
        }
    }

    fn try_write(&self, page: u64, contents: &Page) -> Result<(), PageError> {
        let index = u32::try_from(page).ok().filter(|index| *index < self.pages).ok_or(PageError::Beyond)?;
        let stored = self.store.store(contents).map_err(PageError::Store)?;
        let Ok(Some(slot)) = self.slots.grow(index) else {
            self.store.free(stored);
            return Err(PageError::Store(StoreError::NoMemory));
        };
        let mut slot = slot.lock::<M>();
        let old = slot.replace(Content::Stored(stored));
        slot.mark_accessed();
        drop(slot);
        self.count_new(Content::Stored(stored));
        self.release(old);
        M::stored(StoredBy::Zram, stored.length());
        Ok(())
    }

    fn try_read(&self, page: u64, contents: &mut Page) -> Result<(), PageError> {
        while let Some(written_back) = self.read_memory(page, contents)? {
            let fetch = |backing: &Backing<M>, contents: &mut Page| backing.read(written_back.location.block, contents);
            if let Some(result) = self.read_back(written_back, contents, fetch) {
                return result;
            }
        }
        Ok(())
    }

    /// Reads a page that is in memory and marks the slot accessed in one critical section: it is not taken for idle in
    /// between. One that is on the backing device is only found.
    fn read_memory(&self, page: u64, contents: &mut Page) -> Result<Option<WrittenBack>, PageError> {
        let slot = u32::try_from(page).ok().and_then(|slot| Some((slot, self.slots.get(slot)?)));
        let Some((slot, mut locked)) = slot.map(|(slot, found)| (slot, found.lock::<M>())) else {
            contents.fill(0);
            return Ok(None);
        };
        match locked.content() {
            Content::Empty => contents.fill(0),
            Content::Stored(stored) => {
                self.store.load(stored, contents).map_err(PageError::Store)?;
                M::loaded(StoredBy::Zram, stored.length());
            }
            Content::WrittenBack(location) => return Ok(Some(WrittenBack { slot, location })),
        }
        locked.mark_accessed();
        Ok(None)
    }

    /// [`Self::read_memory`] for a page among several, of which those on the backing device are read together later.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub(super) fn read_or_find(&self, page: u64, contents: &mut Page) -> Result<Option<WrittenBack>, IoError> {
        self.read_memory(page, contents).map_err(|error| self.failed_to_read(page, error))
    }

    /// Takes a page out of its block, which was read without the slot's lock: the block may be another slot's by then. `None` if it
    /// is, if the slot was freed or written again meanwhile, or if it is not what was written: then the page has to be read again.
    pub(super) fn read_from(&self, written_back: WrittenBack, block: &Page, contents: &mut Page) -> Option<()> {
        let fetch = |_: &Backing<M>, contents: &mut Page| {
            contents.copy_from_slice(block);
            Ok(())
        };
        self.read_back(written_back, contents, fetch)?.ok()
    }

    /// Has a page fetched from the backing device, which sleeps, so without the slot's lock: the block may be another slot's by
    /// then, and what was read is used only if it is not. `None` if the slot was freed or written again meanwhile. Nothing
    /// of another page is left behind.
    fn read_back(
        &self,
        written_back: WrittenBack,
        contents: &mut Page,
        fetch: impl FnOnce(&Backing<M>, &mut Page) -> Result<(), IoError>,
    ) -> Option<Result<(), PageError>> {
        let WrittenBack { slot, location } = written_back;
        let backing = self.backing.as_ref().ok_or(PageError::Damaged);
        let fetched = backing.and_then(|backing| fetch(backing, contents).map_err(PageError::Backing));
        let result = fetched.and_then(|()| self.decode_block(slot, location, contents));
        let mut slot = self.slots.get(slot)?.lock::<M>();
        if slot.content() != Content::WrittenBack(location) {
            drop(slot);
            contents.fill(0);
            return None;
        }
        slot.mark_accessed();
        drop(slot);
        Some(result.inspect_err(|_| contents.fill(0)))
    }

    /// Turns a page that has a block's bytes into the page that is in the block.
    fn decode_block(&self, index: u32, location: DiskLocation, contents: &mut Page) -> Result<(), PageError> {
        match location.form {
            BlockForm::Whole { sum: expected, .. } if sum(contents) & SUM_MASK == expected => Ok(()),
            BlockForm::Whole { .. } => Err(PageError::Damaged),
            BlockForm::Packed { offset } => {
                let object = packed::object_of(contents, offset.into(), index.into()).ok_or(PageError::Damaged)?;
                self.store.decode(object.encoding, contents, object.bytes).map_err(PageError::Store)
            }
        }
    }

    fn free(&self, mut slot: SlotGuard<'_, M>) {
        let old = slot.replace(Content::Empty);
        drop(slot);
        self.release(old);
    }

    /// Frees what no slot has any more.
    pub(super) fn release(&self, old: Content) {
        let statistics = &self.statistics;
        match old {
            Content::Empty => return,
            Content::Stored(stored) => {
                statistics.huge.subtract(is_huge(old).into());
                statistics.same.subtract(matches!(stored, Stored::Same(_)).into());
                self.store.free(stored);
            }
            Content::WrittenBack(location) => {
                if let Some(backing) = &self.backing {
                    backing.release(location.block);
                }
            }
        }
        statistics.stored.subtract(1);
    }

    pub(super) fn count_new(&self, new: Content) {
        let Content::Stored(stored) = new else { return };
        let statistics = &self.statistics;
        statistics.stored.add(1);
        statistics.huge.add(is_huge(new).into());
        statistics.huge_ever.add(is_huge(new).into());
        statistics.same.add(matches!(stored, Stored::Same(_)).into());
    }

    fn failed_to_read(&self, page: u64, error: PageError) -> IoError {
        self.statistics.failed_reads.add(1);
        self.report("read", page, error)
    }

    fn report(&self, verb: &str, page: u64, error: PageError) -> IoError {
        let name = &self.name;
        self.failures.log::<M>(name, Level::Error, format_args!("{name}: cannot {verb} page {page}: {error}"));
        match error {
            PageError::Store(StoreError::Limit(_) | StoreError::NoFrame | StoreError::NoMemory) => IoError::NoSpace,
            PageError::Store(StoreError::Corrupt { .. } | StoreError::TooLong(_)) | PageError::Damaged => {
                IoError::Device
            }
            PageError::Backing(error) => error,
            PageError::Beyond => IoError::Unsupported,
        }
    }
}

impl<M: PoolMachine> Drop for ZramDisk<M> {
    fn drop(&mut self) {
        M::pool_gone(self.statistics.stored.word());
    }
}

/// Why a page was not written or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageError {
    /// The store's reason.
    Store(StoreError),
    /// The backing device's.
    Backing(IoError),
    /// The backing device gave other bytes than it got.
    Damaged,
    /// The device has no such page.
    Beyond,
}

impl fmt::Display for PageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(error) => error.fmt(formatter),
            Self::Backing(error) => write!(formatter, "backing device: {error}"),
            Self::Damaged => formatter.write_str("the backing device gave other bytes than it got"),
            Self::Beyond => formatter.write_str("beyond the end"),
        }
    }
}

/// See [`ZramDisk::process_alone`].
pub(super) struct Processing<'a>(&'a AtomicBool);

impl Drop for Processing<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Whether the page would not get shorter.
#[inline]
pub(super) fn is_huge(content: Content) -> bool {
    match content {
        Content::Stored(Stored::Object(object)) => object.encoding() == Encoding::Raw,
        Content::WrittenBack(location) => location.is_huge(),
        _ => false,
    }
}
