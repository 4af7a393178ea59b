//! An initialised zram device: its slots, its store, and how pages get in and out.

use alloc::string::String;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use super::slot::{Content, Flag, Slot, SlotGuard};
use super::statistics::Statistics;
use crate::header::{PAGE_SIZE, Page};
use crate::machine::{IoError, Level, Machine};
use crate::store::{Encoding, Sparse, Store, StoreError, Stored};

/// A device that has a size. Whoever uses it has a reference, and as long as anybody has it is not reset.
pub struct ZramDisk<M: Machine> {
    name: String,
    pages: u32,
    pub(super) store: Store<M>,
    slots: Sparse<Slot, M>,
    pub(super) statistics: Statistics,
    reported: AtomicU64,
}

/// The largest device, in pages: swap entries have no more slots.
const MOST_PAGES: u64 = u32::MAX as u64;
/// Failing slots that get a line in the log.
const REPORTED: u64 = 10;

impl<M: Machine> ZramDisk<M> {
    pub(super) fn new(name: String, pages: u64) -> Result<Self, StoreError> {
        let pages = pages.min(MOST_PAGES) as u32;
        let (store, slots) = (Store::new(pages)?, Sparse::new(pages)?);
        Ok(Self { name, pages, store, slots, statistics: Statistics::default(), reported: AtomicU64::new(0) })
    }

    /// Its path.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many pages it has room for.
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
    /// [`IoError::Device`] if what is stored is not what was written, [`IoError::Unsupported`] beyond the end.
    pub fn read(&self, page: u64, contents: &mut Page) -> Result<(), IoError> {
        self.try_read(page, contents).map_err(|error| {
            self.statistics.failed_reads.add(1);
            self.report("read", page, error)
        })
    }

    /// Forgets pages, as discarding them and writing zeros to them does.
    pub fn discard(&self, pages: Range<u64>) {
        for (_, slot) in self.slots.present(pages) {
            self.statistics.notify_free.add(1);
            self.free(slot.lock());
        }
    }

    /// The swap slot is free. Never waits: a slot that is busy keeps its page until it is written again.
    pub(super) fn slot_freed(&self, slot: u32) {
        let Some(slot) = self.slots.get(slot) else { return };
        self.statistics.notify_free.add(1);
        match slot.try_lock() {
            Some(slot) => self.free(slot),
            None => self.statistics.miss_free.add(1),
        }
    }

    /// Marks every stored page idle that was last accessed `age` seconds ago or earlier.
    pub(super) fn mark_idle(&self, age: u32) {
        let now = M::seconds();
        for (_, slot) in self.slots.present(0..self.pages()) {
            let mut slot = slot.lock::<M>();
            let is_object = matches!(slot.content(), Content::Stored(Stored::Object(_)));
            if is_object && now.saturating_sub(slot.accessed()) >= age {
                slot.set(Flag::Idle);
            }
        }
    }

    /// Calls `line` for each slot that has a page: index, seconds of the last access, and a letter for each property.
    pub(super) fn block_state(&self, mut line: impl FnMut(u32, u32, [char; 6])) {
        for (index, slot) in self.slots.present(0..self.pages()) {
            let slot = slot.lock::<M>();
            let content = slot.content();
            if content == Content::Empty {
                continue;
            }
            let letter = |letter, is| if is { letter } else { '.' };
            let letters = [
                letter('s', matches!(content, Content::Stored(Stored::Same(_)))),
                letter('w', false),
                letter('h', is_huge(content)),
                letter('i', slot.is(Flag::Idle)),
                letter('r', false),
                letter('n', false),
            ];
            let accessed = slot.accessed();
            drop(slot);
            line(index, accessed, letters);
        }
    }

    fn try_write(&self, page: u64, contents: &Page) -> Result<(), StoreError> {
        let stored = self.store.store(contents)?;
        let slot = u32::try_from(page).map_or(Ok(None), |index| self.slots.grow(index));
        let Ok(Some(slot)) = slot else {
            self.store.free(stored);
            return Err(if slot.is_err() { StoreError::NoMemory } else { StoreError::TooLong(PAGE_SIZE) });
        };
        let mut slot = slot.lock::<M>();
        let old = slot.replace(Content::Stored(stored));
        slot.mark_accessed();
        drop(slot);
        self.count_new(Content::Stored(stored));
        self.let_go(old);
        Ok(())
    }

    /// Reads and marks the slot accessed in one critical section: nobody can take it for idle in between.
    fn try_read(&self, page: u64, contents: &mut Page) -> Result<(), StoreError> {
        let slot = u32::try_from(page).ok().and_then(|index| self.slots.get(index));
        let Some(mut slot) = slot.map(Slot::lock::<M>) else {
            contents.fill(0);
            return Ok(());
        };
        match slot.content() {
            Content::Empty => contents.fill(0),
            Content::Stored(stored) => self.store.load(stored, contents)?,
        }
        slot.mark_accessed();
        Ok(())
    }

    fn free(&self, mut slot: SlotGuard<'_, M>) {
        let old = slot.replace(Content::Empty);
        drop(slot);
        self.let_go(old);
    }

    /// Forgets what no slot has any more.
    fn let_go(&self, old: Content) {
        let Content::Stored(stored) = old else { return };
        let statistics = &self.statistics;
        statistics.stored.subtract(1);
        statistics.huge.subtract(is_huge(old).into());
        match stored {
            Stored::Same(_) => statistics.same.subtract(1),
            Stored::Object(object) => statistics.compressed_bytes.subtract(object.length() as u64),
        }
        self.store.free(stored);
    }

    fn count_new(&self, new: Content) {
        let Content::Stored(stored) = new else { return };
        let statistics = &self.statistics;
        statistics.stored.add(1);
        statistics.huge.add(is_huge(new).into());
        statistics.huge_ever.add(is_huge(new).into());
        match stored {
            Stored::Same(_) => statistics.same.add(1),
            Stored::Object(object) => statistics.compressed_bytes.add(object.length() as u64),
        }
    }

    fn report(&self, verb: &str, page: u64, error: StoreError) -> IoError {
        if self.reported.fetch_add(1, Ordering::Relaxed) < REPORTED {
            M::log(Level::Error, format_args!("{}: cannot {verb} page {page}: {error}", self.name));
        }
        match error {
            StoreError::Limit(_) | StoreError::NoFrame | StoreError::NoMemory => IoError::NoSpace,
            StoreError::Corrupt { .. } => IoError::Device,
            StoreError::TooLong(_) => IoError::Unsupported,
        }
    }
}

/// Whether the page would not get shorter.
fn is_huge(content: Content) -> bool {
    matches!(content, Content::Stored(Stored::Object(object)) if object.encoding() == Encoding::Raw)
}
