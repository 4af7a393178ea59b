//! Objects: pages that belong to a file or to shared memory, not to an address space.
//!
//! An object is a length and pages by index. A page that was never written is filled from the object's [`Source`] as far
//! as that reaches, and is zero beyond it; reclaim drops it, and it is filled again. A page that was written goes to swap,
//! as an anonymous page does. So a file of the initramfs, a file of tmpfs and shared anonymous memory are the same thing,
//! with a source or without.
//!
//! # Invariants
//!
//! The index entry of a page is 0 (never written, not in memory), holds a frame of which it owns a reference, or holds a swap entry
//! of which it owns a count, or is poisoned. It changes from and to a frame only while the folio is locked, so whoever has
//! locked a folio and finds it in its index entry knows that it stays: faults map pages only like this, and reclaim and
//! [`Object::set_length`] unmap them only like this.
//!
//! # Locking
//!
//! The index has a spinning lock, held for a few instructions. Nothing is locked while a page is read from swap but the
//! folio itself.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

use quire_machine::arch::page_table;
use quire_machine::fallible::{self, NoMemory, TryVec};
use quire_machine::pte_index::PteIndex;
use quire_machine::sync::{Rank, SpinLock};
use quire_machine::task::{self, Interrupted, Thread, check_signals};
use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::{
    DecodedPte, Entry, FaultError, FaultIn, FaultKind, Folio as _, FolioFlag, Locked, Neighbourhood, Readahead,
};

use super::AllocationError;
use super::address_space;
use super::folio::{self, Folio};
use super::lru::{self, List};
use super::overcommit::Commitment;
use super::page_tables::{self, Pte};
use super::quota::Quota;
use super::reclaim;
use super::rmap::Rmap;
use crate::swap;

/// Where the contents of an object's pages come from before they are written.
pub trait Source: Send + Sync {
    /// How many bytes there are.
    fn length(&self) -> u64;

    /// Fills page `index`, which begins below the length; what lies beyond the length becomes zero.
    fn fill(&self, index: u64, page: &mut Page);
}

/// Why a page of an object is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectError {
    /// It is beyond the object's end.
    BeyondEnd,
    /// There is no frame for it.
    NoMemory,
    /// It may not be promised (`vm.overcommit_memory`).
    NoPromise,
    /// Its file system is full.
    NoSpace,
    /// The task is killed.
    Killed,
    /// It cannot be read back from swap.
    ReadFailed(Entry),
}

/// The most bytes that an object has (Linux: `MAX_LFS_FILESIZE`).
const LENGTH_MAX: u64 = i64::MAX.cast_unsigned();

/// What the objects of one file system share.
#[derive(Debug)]
pub struct Account {
    /// The pages that they have, in memory or in swap.
    pub blocks: Quota,
    /// Their pages stay in memory (`noswap` of tmpfs).
    pub stays: bool,
}

/// Who writes an object's bytes through a file, or who executes them: not both (Linux: `i_writecount`).
#[derive(Debug, Default)]
struct WriteCount(AtomicI32);

impl WriteCount {
    /// Counts one more by `step`, unless there are some of the other kind.
    fn enter(&self, step: i32) -> Result<(), Busy> {
        let next = |count: i32| if count.signum() == -step { None } else { count.checked_add(step) };
        let entered = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        entered.map(drop).map_err(|_| Busy)
    }
}

/// An object is executed and cannot be written, or the other way round (Linux: `ETXTBSY`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// An opening of a file through which its object may be written.
pub struct Writer(Arc<Object>);

impl Writer {
    /// One more.
    ///
    /// # Errors
    /// [`Busy`] while the object is executed.
    pub fn new(object: Arc<Object>) -> Result<Self, Busy> {
        object.writers.enter(1)?;
        Ok(Self(object))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.writers.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A program that runs from an object.
pub struct Executed(Arc<Object>);

impl Executed {
    /// One more.
    ///
    /// # Errors
    /// [`Busy`] while the object may be written.
    pub fn new(object: Arc<Object>) -> Result<Self, Busy> {
        object.writers.enter(-1)?;
        Ok(Self(object))
    }
}

impl Drop for Executed {
    fn drop(&mut self) {
        self.0.writers.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// A block that was taken for a page; given back unless the page gets its place.
struct Charge<'a>(Option<&'a Quota>);

impl Charge<'_> {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Charge<'_> {
    fn drop(&mut self) {
        if let Some(blocks) = self.0 {
            blocks.give_back(1);
        }
    }
}

/// Pages by index.
pub struct Object {
    rmap: Rmap,
    pages: SpinLock<PteIndex>,
    length: AtomicU64,
    source: Option<Arc<dyn Source>>,
    /// The source holds for what lies below: an object that was cut is zero beyond.
    source_length: AtomicU64,
    readahead: Readahead,
    resident: AtomicUsize,
    swapped: AtomicUsize,
    /// Shared memory without a file has none.
    account: Option<Arc<Account>>,
    writers: WriteCount,
    promised: Promised,
}

/// What an object has promised memory for (Linux: `shmem_acct_size`, `shmem_acct_blocks`).
enum Promised {
    /// Every page that it may have, since it was made.
    AsWhole(#[expect(dead_code, reason = "kept until the object goes")] Commitment),
    /// Each page that it has.
    ByPage,
    /// Its pages are as its source has them, and those that were changed are few.
    Nothing,
}

/// How many pages of objects are in memory: of those without a source, and of those with one.
static RESIDENT: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// How many pages of objects without a source are in memory (Linux: `Shmem`).
pub fn shared_pages() -> usize {
    RESIDENT[0].load(Ordering::Relaxed)
}

/// How many pages of objects with a source are in memory.
pub fn file_pages() -> usize {
    RESIDENT[1].load(Ordering::Relaxed)
}

/// A page of an object, locked, up to date and in its place.
pub(super) struct Found {
    pub(super) folio: Locked<Folio>,
    /// It was read from swap for this.
    pub(super) was_read: bool,
}

impl Object {
    /// An object of length 0 whose pages are zero at first: a file of tmpfs, or shared memory.
    ///
    /// # Errors
    /// [`AllocationError`].
    pub fn swappable() -> Result<Arc<Self>, AllocationError> {
        Self::new(None, None, Promised::ByPage)
    }

    /// Such an object as a file of the file system with this account.
    ///
    /// # Errors
    /// [`AllocationError`].
    pub fn of_file_system(account: &Arc<Account>) -> Result<Arc<Self>, AllocationError> {
        Self::new(None, Some(Arc::clone(account)), Promised::ByPage)
    }

    /// Shared memory of `length` bytes, promised as a whole to a program that has `mapped` pages, unless that is waived.
    ///
    /// # Errors
    /// [`AllocationError`].
    pub fn shared(length: u64, mapped: u64, waives_promise: bool) -> Result<Arc<Self>, AllocationError> {
        let promised = if waives_promise {
            Promised::ByPage
        } else {
            Promised::AsWhole(Commitment::new(length.div_ceil(PAGE_SIZE as u64), mapped)?)
        };
        let object = Self::new(None, None, promised)?;
        object.length.store(length, Ordering::Release);
        Ok(object)
    }

    /// An object with the contents and the length of `source` at first.
    ///
    /// # Errors
    /// [`AllocationError`].
    pub fn from_source(source: Arc<dyn Source>, account: Option<Arc<Account>>) -> Result<Arc<Self>, AllocationError> {
        Self::new(Some(source), account, Promised::Nothing)
    }

    fn new(
        source: Option<Arc<dyn Source>>,
        account: Option<Arc<Account>>,
        promised: Promised,
    ) -> Result<Arc<Self>, AllocationError> {
        let length = source.as_ref().map_or(0, |source| source.length());
        Ok(Rmap::for_object(|rmap| {
            fallible::shared(Self {
                rmap,
                pages: SpinLock::new(Rank::Object, PteIndex::new()),
                length: AtomicU64::new(length),
                source,
                source_length: AtomicU64::new(length),
                readahead: Readahead::new(),
                resident: AtomicUsize::new(0),
                swapped: AtomicUsize::new(0),
                promised,
                account,
                writers: WriteCount::default(),
            })
        })?)
    }

    /// A number that no other object has while this one lives.
    pub fn number(&self) -> u32 {
        self.rmap.mark(0).owner
    }

    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        self.length.load(Ordering::Acquire)
    }

    /// How many of its pages take up memory or swap.
    pub fn pages(&self) -> u64 {
        (self.resident.load(Ordering::Relaxed) + self.swapped.load(Ordering::Relaxed)) as u64
    }

    pub(super) const fn rmap(&self) -> &Rmap {
        &self.rmap
    }

    /// Whether page `index` has an address: it begins below the length.
    pub(super) fn has_page(&self, index: u64) -> bool {
        index < self.length().div_ceil(PAGE_SIZE as u64)
    }

    /// Reads from byte `offset` on; returns how many bytes there were.
    ///
    /// # Errors
    /// [`ObjectError`], if not even the first byte could be read.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, ObjectError> {
        let bytes = self.length().saturating_sub(offset).min(buffer.len() as u64) as usize;
        Self::each_part(offset, bytes, |index, within, done| {
            let part = &mut buffer[done..done + within.len()];
            if self.is_hole(index) {
                part.fill(0);
            } else {
                self.page(index)?.folio.read_bytes(within.start, part);
            }
            Ok(())
        })
    }

    /// Writes from byte `offset` on, and makes the object longer if it ends before; returns how many bytes were written.
    ///
    /// # Errors
    /// [`ObjectError`], if not even the first byte could be written.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize, ObjectError> {
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= LENGTH_MAX);
        let end = end.ok_or(ObjectError::BeyondEnd)?;
        let before = self.length.fetch_max(end, Ordering::AcqRel);
        let written = Self::each_part(offset, bytes.len(), |index, within, done| {
            let Found { folio, .. } = self.page(index)?;
            Folio::write_bytes(&folio, within.start, &bytes[done..done + within.len()]);
            written_to(&folio);
            Ok(())
        });
        let reached = offset + written.map_or(0, |written| written as u64);
        if reached < end {
            // What could not be written is not there.
            let _ = self.length.compare_exchange(end, before.max(reached), Ordering::AcqRel, Ordering::Relaxed);
        }
        written
    }

    /// Writes behind the last byte, where nobody else writes; returns where that was, and how many bytes were written.
    ///
    /// # Errors
    /// As [`Self::write_at`].
    pub fn append(&self, bytes: &[u8]) -> Result<(u64, usize), ObjectError> {
        // Who appends next does so behind these bytes, also while they are not there yet.
        let longer = |length: u64| length.checked_add(bytes.len() as u64).filter(|end| *end <= LENGTH_MAX);
        let start = self.length.fetch_update(Ordering::AcqRel, Ordering::Acquire, longer);
        let start = start.map_err(|_| ObjectError::BeyondEnd)?;
        let written = self.write_at(start, bytes);
        let (end, reached) = (start + bytes.len() as u64, start + written.map_or(0, |written| written as u64));
        if reached < end {
            let _ = self.length.compare_exchange(end, reached, Ordering::AcqRel, Ordering::Relaxed);
        }
        written.map(|written| (start, written))
    }

    /// Calls `serve` with the page, the bytes within it, and how many bytes came before, for each page of a run of bytes.
    fn each_part(
        offset: u64,
        bytes: usize,
        mut serve: impl FnMut(u64, Range<usize>, usize) -> Result<(), ObjectError>,
    ) -> Result<usize, ObjectError> {
        let mut done = 0;
        while done < bytes {
            let at = offset + done as u64;
            let start = (at % PAGE_SIZE as u64) as usize;
            let within = start..PAGE_SIZE.min(start + bytes - done);
            match serve(at / PAGE_SIZE as u64, within.clone(), done) {
                Ok(()) => done += within.len(),
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Whether the page is zero because nobody ever wrote it.
    fn is_hole(&self, index: u64) -> bool {
        self.pages.lock().get(index) == 0 && index * PAGE_SIZE as u64 >= self.source_length.load(Ordering::Acquire)
    }

    /// Makes the object `length` bytes long. Pages beyond it are gone, from those who map it, too, and so are private copies
    /// of them, in memory and in swap; what is added is zero.
    ///
    /// # Errors
    /// [`ObjectError`], when the page in which the object is to end cannot be had; it is as long as it was.
    pub fn set_length(&self, length: u64) -> Result<(), ObjectError> {
        let within = (length % PAGE_SIZE as u64) as usize;
        let last = length / PAGE_SIZE as u64;
        if length < self.length() && within != 0 && !self.is_hole(last) {
            let Found { folio, .. } = self.page(last)?;
            Folio::write_bytes(&folio, within, &[0; PAGE_SIZE][within..]);
            written_to(&folio);
        }
        self.length.store(length, Ordering::Release);
        self.source_length.fetch_min(length, Ordering::AcqRel);
        let beyond = length.div_ceil(PAGE_SIZE as u64);
        if !self.rmap.is_empty() {
            address_space::forget_beyond(self, beyond);
        }
        self.discard(beyond..u64::MAX);
        Ok(())
    }

    /// Gives every page of bytes `start..end`, at most `most` of them, its memory, beyond the end as well; the length stays. Pages that
    /// got theirs by this are forgotten again if it fails (Linux: `shmem_fallocate`).
    ///
    /// # Errors
    /// [`ObjectError::NoSpace`], before anything is done; [`ObjectError::NoMemory`]; [`ObjectError::Killed`].
    pub fn allocate(&self, range: Range<u64>, most: u64) -> Result<(), ObjectError> {
        let pages = range.start / PAGE_SIZE as u64..range.end.div_ceil(PAGE_SIZE as u64);
        let most = self.account.as_ref().map_or(most, |account| account.blocks.free().min(most));
        if self.count_missing(&pages, most) > most {
            return Err(ObjectError::NoSpace);
        }
        // From here to where it has come, in one run after another.
        let mut added = Vec::<Range<u64>>::new();
        let result = pages.clone().try_for_each(|index| {
            if self.pages.lock().get(index) != 0 {
                return Ok(());
            }
            if task::scheduler::with_current(Thread::is_killed).unwrap_or(false) {
                return Err(ObjectError::Killed);
            }
            if added.last().is_none_or(|run| run.end != index) {
                added.try_push(index..index).map_err(|NoMemory| ObjectError::NoMemory)?;
            }
            if let Some(folio) = self.fill(index)? {
                // Reclaim must not drop it: it is reserved.
                written_to(&folio);
                if let Some(run) = added.last_mut() {
                    run.end += 1;
                }
            }
            Ok(())
        });
        if result.is_err() {
            added.into_iter().flatten().for_each(|index| self.forget_zeros(index));
        }
        result
    }

    /// Makes the object at least so long.
    pub fn lengthen(&self, length: u64) {
        self.length.fetch_max(length, Ordering::AcqRel);
    }

    /// How many of these pages have no memory; counts no further than `enough`.
    fn count_missing(&self, pages: &Range<u64>, enough: u64) -> u64 {
        let (mut missing, mut from) = (0, pages.start);
        while missing <= enough && from < pages.end {
            let next = self.pages.lock().next(from..pages.end).map_or(pages.end, |(index, _)| index);
            missing += next - from;
            from = next + 1;
        }
        missing
    }

    /// Forgets a page, unless it was written.
    fn forget_zeros(&self, index: u64) {
        let Some(folio) = self.folio_in(index) else { return };
        let folio = Locked::lock(folio);
        // Another task may have written it since.
        let is_zero = folio.with_page(0, |page| page.iter().all(|byte| *byte == 0));
        if is_zero && self.holds(index, &folio) {
            self.forget(index, &folio);
        }
    }

    /// Makes bytes `start..end` zeros and gives back the pages that lie in there (`FALLOC_FL_PUNCH_HOLE`).
    ///
    /// # Errors
    /// [`ObjectError`], for a page at an edge.
    pub fn punch_hole(&self, range: Range<u64>) -> Result<(), ObjectError> {
        const PAGE: u64 = PAGE_SIZE as u64;
        let end = range.end.min(self.length().next_multiple_of(PAGE));
        let whole = range.start.div_ceil(PAGE)..range.end / PAGE;
        if range.start < whole.start * PAGE {
            self.clear(range.start..end.min(whole.start * PAGE))?;
        }
        if range.end > whole.end * PAGE && whole.end >= whole.start {
            self.clear(whole.end * PAGE..end)?;
        }
        // What a source has would come back: it is covered by zeros.
        let from_source = whole.end.min(self.source_length.load(Ordering::Acquire).div_ceil(PAGE));
        for index in whole.start..from_source {
            self.clear(index * PAGE..end.min((index + 1) * PAGE))?;
        }
        self.discard(whole.start.max(from_source)..whole.end);
        Ok(())
    }

    /// Makes some bytes of one page zeros.
    fn clear(&self, bytes: Range<u64>) -> Result<(), ObjectError> {
        let index = bytes.start / PAGE_SIZE as u64;
        if bytes.is_empty() || self.is_hole(index) {
            return Ok(());
        }
        let Found { folio, .. } = self.page(index)?;
        let length = (bytes.end - bytes.start) as usize;
        let within = (bytes.start % PAGE_SIZE as u64) as usize;
        Folio::write_bytes(&folio, within, &[0; PAGE_SIZE][..length.min(PAGE_SIZE)]);
        written_to(&folio);
        Ok(())
    }

    /// Forgets the pages in `range`: they are what they were before they were written.
    pub(super) fn discard(&self, range: Range<u64>) {
        let mut from = range.start;
        loop {
            let next = self.pages.lock().next(from..range.end);
            let Some((index, pte)) = next else { break };
            from = index + 1;
            let Some(folio) = self.folio_in(index) else {
                if self.replace(index, pte, Pte::EMPTY) {
                    self.swapped.fetch_sub(1, Ordering::Relaxed);
                    drop(Commitment::left(self.promised_by_page(1)));
                    self.give_block_back();
                    swap::forget_pte(pte);
                } else {
                    from = index;
                }
                continue;
            };
            let folio = Locked::lock(folio);
            if self.holds(index, &folio) {
                self.forget(index, &folio);
            }
        }
        reclaim::frames_freed();
    }

    /// Forgets the folio, which is in its index entry.
    fn forget(&self, index: u64, folio: &Locked<Folio>) {
        self.unmap(index, folio);
        self.take_out(index, folio, Pte::EMPTY);
        if folio.state().entry().is_some() {
            swap::core().try_free_slot(folio);
        }
    }

    /// Takes the page out of all page tables and flushes.
    fn unmap(&self, index: u64, folio: &Locked<Folio>) {
        self.rmap.for_each_pte_of(index, folio.frame(), |tables, pte| {
            // Its reference is not the last: the folio is locked by a holder of another.
            tables.counts.remove(pte.take().bits());
        });
        page_table::flush_stale();
    }

    /// Page `index`, as it is now, in memory.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub(super) fn page(&self, index: u64) -> Result<Found, ObjectError> {
        loop {
            if !self.has_page(index) {
                return Err(ObjectError::BeyondEnd);
            }
            let pte = self.pages.lock().get(index);
            match DecodedPte::decode(pte) {
                DecodedPte::None => {
                    if let Some(folio) = self.fill(index)? {
                        return Ok(Found { folio, was_read: false });
                    }
                }
                DecodedPte::Present(_) => {
                    let Some(folio) = self.folio_in(index) else { continue };
                    let folio = Locked::lock(folio);
                    if self.holds(index, &folio) && self.has_page(index) {
                        return Ok(Found { folio, was_read: false });
                    }
                }
                DecodedPte::Entry(entry) => {
                    if let Some(found) = self.swap_in(index, entry, true)? {
                        return Ok(found);
                    }
                }
                DecodedPte::Poisoned(entry) => return Err(ObjectError::ReadFailed(entry)),
                DecodedPte::Unknown(_) => unreachable!("an index stores no other entries"),
            }
        }
    }

    /// A reference to the folio that is in the index entry now.
    fn folio_in(&self, index: u64) -> Option<Folio> {
        let pages = self.pages.lock();
        let frame = page_tables::folio_frame(pages.get(index))?;
        // The index entry's own reference is there while the lock is held.
        Folio::try_from_frame(frame)
    }

    /// Whether the folio is in its index entry; stays true while it is locked.
    pub(super) fn holds(&self, index: u64, folio: &Locked<Folio>) -> bool {
        page_tables::folio_frame(self.pages.lock().get(index)) == Some(folio.frame())
    }

    /// Gives a page that is nowhere its first contents. `None`: look again.
    fn fill(&self, index: u64) -> Result<Option<Locked<Folio>>, ObjectError> {
        let promise = Commitment::new(self.promised_by_page(1), 0).map_err(|AllocationError| ObjectError::NoPromise)?;
        let from_source = index * (PAGE_SIZE as u64) < self.source_length.load(Ordering::Acquire);
        let charge = self.charge(from_source)?;
        let mut folio = reclaim::wait_for_frame().map_err(|AllocationError| ObjectError::NoMemory)?;
        match self.source.as_ref().filter(|_| from_source) {
            Some(source) => source.fill(index, folio.page_mut()),
            None => folio.clear(),
        }
        let folio = folio.filled();
        let Some(folio) = self.place(index, 0, Locked::lock(folio))? else { return Ok(None) };
        // The page has both now.
        promise.leave();
        charge.keep();
        let list = if self.stays() { List::Unevictable } else { List::Inactive };
        lru::add(&folio, if from_source { List::InactiveFile } else { list });
        Ok(Some(folio))
    }

    /// Takes a block for a page. What a source has is there already, whatever the limit is.
    fn charge(&self, from_source: bool) -> Result<Charge<'_>, ObjectError> {
        let Some(account) = &self.account else { return Ok(Charge(None)) };
        if from_source {
            account.blocks.take_anyway(1);
        } else if !account.blocks.take(1) {
            return Err(ObjectError::NoSpace);
        }
        Ok(Charge(Some(&account.blocks)))
    }

    /// A page is no longer there.
    fn give_block_back(&self) {
        drop(Charge(self.account.as_ref().map(|account| &account.blocks)));
    }

    /// Whether its pages stay in memory.
    pub(super) fn stays(&self) -> bool {
        self.account.as_ref().is_some_and(|account| account.stays)
    }

    /// Puts the folio into the index entry, if that is still `expected`, with a reference. `None`: look again.
    fn place(&self, index: u64, expected: u64, folio: Locked<Folio>) -> Result<Option<Locked<Folio>>, ObjectError> {
        folio::set_owned(&folio, self.rmap.mark(index));
        folio.set_of_object();
        {
            let mut pages = self.pages.lock();
            if pages.get(index) != expected {
                // What unlocking the folio may take comes before this.
                drop(pages);
                return Ok(None);
            }
            if pages.replace(index, Pte::holding(Folio::clone(&folio))).is_ok() {
                self.count(1);
                return Ok(Some(folio));
            }
        }
        // Not for the frame itself: once one can be had, the next attempt will find one. The lock is not kept meanwhile.
        drop(folio);
        drop(reclaim::wait_for_frame().map_err(|AllocationError| ObjectError::NoMemory)?);
        Ok(None)
    }

    /// How many of so many pages are promised one by one.
    const fn promised_by_page(&self, pages: u64) -> u64 {
        if matches!(self.promised, Promised::ByPage) { pages } else { 0 }
    }

    fn count(&self, pages: usize) {
        self.resident.fetch_add(pages, Ordering::Relaxed);
        RESIDENT[usize::from(self.source.is_some())].fetch_add(pages, Ordering::Relaxed);
    }

    fn swap_in(&self, index: u64, entry: Entry, reads_ahead: bool) -> Result<Option<Found>, ObjectError> {
        let entry_of = |index| Entry::from_pte(self.pages.lock().get(index));
        let neighbourhood = reads_ahead.then(|| Neighbourhood {
            readahead: &self.readahead,
            page: index,
            pages: (0, self.length().div_ceil(PAGE_SIZE as u64)),
            entry: &entry_of,
        });
        let FaultIn { folio, kind, shadow } = match swap::core().fault_in(entry, 0, neighbourhood.as_ref()) {
            Ok(fault_in) => fault_in,
            Err(FaultError::Gone) => return Ok(None),
            Err(FaultError::NoMemory) => return Err(ObjectError::NoMemory),
            Err(FaultError::ReadFailed(entry)) => return Err(ObjectError::ReadFailed(entry)),
        };
        if !swap::core().may_write(&folio) {
            folio.wait_for_writeback();
        }
        let Some(folio) = self.place(index, entry.to_pte(), folio)? else { return Ok(None) };
        self.swapped.fetch_sub(1, Ordering::Relaxed);
        swap::core().put_mapped(entry, &folio, false);
        let list = if kind == FaultKind::Cached { List::Inactive } else { reclaim::list_after_refault(shadow) };
        lru::add(&folio, list);
        Ok(Some(Found { folio, was_read: kind == FaultKind::Read }))
    }

    /// Replaces a PTE that maps no folio; what it owned is the caller's then.
    fn replace(&self, index: u64, expected: u64, pte: Pte) -> bool {
        let mut pages = self.pages.lock();
        // There is a node for an index entry that is not 0, so setting it takes no memory.
        pages.get(index) == expected && pages.replace(index, pte).is_ok()
    }

    /// Takes the folio, which is locked and in its index entry, out of it: `pte` takes its place.
    pub(super) fn take_out(&self, index: u64, folio: &Locked<Folio>, pte: Pte) {
        let is_gone = pte.bits() == 0;
        {
            let mut pages = self.pages.lock();
            debug_assert_eq!(page_tables::folio_frame(pages.get(index)), Some(folio.frame()));
            // The index entry's reference; the caller has another.
            drop(pages.replace(index, pte));
        }
        self.resident.fetch_sub(1, Ordering::Relaxed);
        RESIDENT[usize::from(self.source.is_some())].fetch_sub(1, Ordering::Relaxed);
        if is_gone {
            drop(Commitment::left(self.promised_by_page(1)));
            self.give_block_back();
        } else {
            self.swapped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Brings back every page whose entry is `wanted`; one that cannot be read is poisoned.
    ///
    /// # Errors
    /// [`AllocationError`] when there is no frame for one, or a signal has come meanwhile.
    pub(crate) fn bring_back(&self, wanted: impl Fn(Entry) -> bool) -> Result<(), AllocationError> {
        let mut from = 0;
        loop {
            check_signals().map_err(|Interrupted| AllocationError)?;
            let next = self.pages.lock().next(from..u64::MAX);
            let Some((index, pte)) = next else { return Ok(()) };
            from = index + 1;
            let Some(entry) = Entry::from_pte(pte).filter(|entry| wanted(*entry)) else { continue };
            match self.swap_in(index, entry, false) {
                Ok(_) | Err(ObjectError::BeyondEnd) => {}
                Err(ObjectError::NoMemory | ObjectError::NoPromise | ObjectError::NoSpace | ObjectError::Killed) => {
                    return Err(AllocationError);
                }
                Err(ObjectError::ReadFailed(entry)) => {
                    if self.replace(index, pte, Pte::unmapped(DecodedPte::Poisoned(entry).encode())) {
                        swap::forget_pte(pte);
                    }
                }
            }
        }
    }

    /// Whether page `index` is in memory (`mincore(2)`).
    pub(super) fn is_resident(&self, index: u64) -> bool {
        match DecodedPte::decode(self.pages.lock().get(index)) {
            DecodedPte::Present(_) => true,
            DecodedPte::Entry(entry) => swap::core().lookup(entry).is_some(),
            _ => false,
        }
    }
}

/// The page has new contents: its slot, if it has one, is worthless, and it is no longer what its source says.
pub(super) fn written_to(folio: &Locked<Folio>) {
    folio.state().set(FolioFlag::Dirty);
    if folio.state().entry().is_some() {
        swap::core().try_free_slot(folio);
    }
    lru::leave_files(folio);
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        debug_assert!(self.rmap.is_empty(), "an object that is mapped has references");
        self.discard(0..u64::MAX);
    }
}
