//! Objects: pages that belong to a file or to shared memory, not to an address space.
//!
//! An object is a length and pages by index. A page that was never written is filled from the object's [`Source`] as far
//! as that reaches, and is zero beyond it; reclaim drops it, and it is filled again. A page that was written goes to swap,
//! as an anonymous page does. So a file of the initramfs, a file of tmpfs and shared anonymous memory are the same thing,
//! with a source or without.
//!
//! | module | what |
//! |---|---|
//! | here | what an object is, and taking pages out of it, which reclaim does |
//! | `pages` | bringing a page in |
//! | `contents` | its bytes: reading, writing, cutting, reserving |
//! | `writers`, `write_count`, `block` | who may write it; what its file system counts |
//!
//! # Invariants
//!
//! The index entry of a page is 0 (never written, not in memory), holds a frame of which it owns a reference, or holds a swap entry
//! of which it owns a count, or is poisoned. It changes from and to a frame only while the folio is locked, so a task that has
//! locked a folio and finds it in its index entry knows that it stays: faults map pages only like this, and reclaim and
//! [`Object::set_length`] unmap them only like this.
//!
//! # Locking
//!
//! The index has a spinning lock, held for a few instructions. Nothing is locked while a page is read from swap but the
//! folio itself.

use alloc::sync::Arc;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use quire_machine::AllocationError;
use quire_machine::arch::translations;
use quire_machine::fallible;
use quire_machine::pte_index::PteIndex;
use quire_machine::sync::{Rank, SpinLock};
use quire_machine::task::is_killed;
use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::{DecodedPte, Entry, Folio as _, Locked, Readahead};

use self::block::Block;
use self::write_count::WriteCount;
use crate::cgroup::account::Charge;
use crate::folio::Folio;
use crate::lru::{self, Exit};
use crate::overcommit::Commitment;
use crate::page_tables::{self, Pte};
use crate::progress;
use crate::quota::Quota;
use crate::rmap::Rmap;
use crate::swap;
use crate::swap::references;

mod block;
mod contents;
pub(crate) mod pages;
mod write_count;
pub mod writers;

pub use self::write_count::Busy;

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

/// What the objects of one file system share.
#[derive(Debug)]
pub struct FileSystemAccount {
    /// The pages that they have, in memory or in swap.
    pub blocks: Quota,
    /// Their pages stay in memory (`noswap` of tmpfs).
    pub stays: bool,
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
    account: Option<Arc<FileSystemAccount>>,
    writers: WriteCount,
    promised: Promised,
    /// What it takes of the kernel heap, if it is not part of a file's node.
    _charge: Charge,
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

impl Object {
    /// An object of length 0 whose pages are zero at first: a file of tmpfs, or shared memory.
    ///
    /// # Errors
    /// [`AllocationError`].
    pub fn swappable() -> Result<Arc<Self>, AllocationError> {
        Self::new(None, None, Promised::ByPage, Charge::NONE)
    }

    /// Such an object as a file of the file system with this account.
    ///
    /// # Errors
    /// [`AllocationError`].
    pub fn of_file_system(account: &Arc<FileSystemAccount>) -> Result<Arc<Self>, AllocationError> {
        Self::new(None, Some(Arc::clone(account)), Promised::ByPage, Charge::NONE)
    }

    /// Shared memory of `length` bytes, promised as a whole to a program that has `mapped` pages, unless that is waived, and which is
    /// charged for the object.
    ///
    /// # Errors
    /// [`AllocationError`].
    pub fn shared(
        length: u64,
        mapped: u64,
        waives_promise: bool,
        charge: Charge,
    ) -> Result<Arc<Self>, AllocationError> {
        let promised = if waives_promise {
            Promised::ByPage
        } else {
            Promised::AsWhole(Commitment::new(length.div_ceil(PAGE_SIZE as u64), mapped)?)
        };
        let object = Self::new(None, None, promised, charge)?;
        object.length.store(length, Ordering::Release);
        Ok(object)
    }

    /// An object with the contents and the length of `source` at first.
    ///
    /// # Errors
    /// [`AllocationError`].
    pub fn from_source(
        source: Arc<dyn Source>,
        account: Option<Arc<FileSystemAccount>>,
    ) -> Result<Arc<Self>, AllocationError> {
        Self::new(Some(source), account, Promised::Nothing, Charge::NONE)
    }

    fn new(
        source: Option<Arc<dyn Source>>,
        account: Option<Arc<FileSystemAccount>>,
        promised: Promised,
        charge: Charge,
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
                _charge: charge,
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

    /// The first page from `index` on that takes up memory or swap, or is what a source says; `None` if there is none below the
    /// length. A killed task looks no further.
    pub fn next_data(&self, index: u64) -> Option<u64> {
        let index = Some(index).filter(|index| self.has_page(*index));
        if self.source.is_some() {
            return index;
        }
        self.pages.lock().next(index?..u64::MAX).map(|(index, _)| index).filter(|index| self.has_page(*index))
    }

    /// The first page from `index` on that is no such page: the one behind the last at the latest.
    pub fn next_hole(&self, index: u64) -> u64 {
        let mut hole = index;
        while !is_killed() && self.next_data(hole) == Some(hole) {
            hole += 1;
        }
        hole
    }

    pub(crate) const fn rmap(&self) -> &Rmap {
        &self.rmap
    }

    /// How many pages begin below the length.
    pub(crate) fn page_count(&self) -> u64 {
        self.length().div_ceil(PAGE_SIZE as u64)
    }

    /// Whether page `index` has an address.
    pub(crate) fn has_page(&self, index: u64) -> bool {
        index < self.page_count()
    }

    /// Whether page `index` has its first contents from the source, and not zeros.
    fn is_in_source(&self, index: u64) -> bool {
        index * (PAGE_SIZE as u64) < self.source_length.load(Ordering::Acquire)
    }

    /// Forgets the pages in `range`: they are what they were before they were written.
    pub(crate) fn discard(&self, range: Range<u64>) {
        let mut from = range.start;
        loop {
            let next = self.pages.lock().next(from..range.end);
            let Some((index, pte)) = next else { break };
            from = index + 1;
            let Some(folio) = self.folio_in(index) else {
                if self.replace(index, pte, Pte::EMPTY) {
                    self.swapped.fetch_sub(1, Ordering::Relaxed);
                    drop(Commitment::left(self.promised_for_page()));
                    self.release_block();
                    references::forget_pte(pte);
                } else {
                    from = index;
                }
                continue;
            };
            let folio = Locked::lock(folio);
            if self.holds(index, &folio) {
                self.forget(index, &folio);
            } else {
                // Reclaim was faster: its entry is there now.
                from = index;
            }
        }
        progress::frames_freed();
    }

    /// Forgets the folio, which is in its index entry.
    fn forget(&self, index: u64, folio: &Locked<Folio>) {
        self.unmap(index, folio);
        self.take_out(index, folio, Pte::EMPTY);
        swap::core().try_free_slot(folio);
    }

    /// Takes the page out of all page tables and flushes.
    fn unmap(&self, index: u64, folio: &Locked<Folio>) {
        self.rmap.for_each_pte_of(index, folio, |tables, pte| {
            // Its reference is not the last: the folio is locked by a holder of another.
            tables.counts.remove(pte.take().bits());
        });
        translations::flush_stale();
    }

    /// A reference to the folio that is in the index entry now.
    fn folio_in(&self, index: u64) -> Option<Folio> {
        let pages = self.pages.lock();
        let frame = page_tables::folio_frame(pages.get(index))?;
        // The index entry's own reference is there while the lock is held.
        Folio::try_from_frame(frame)
    }

    /// Whether the folio is in its index entry; stays true while it is locked.
    pub(crate) fn holds(&self, index: u64, folio: &Locked<Folio>) -> bool {
        page_tables::folio_frame(self.pages.lock().get(index)) == Some(folio.frame())
    }

    /// A page is no longer there.
    fn release_block(&self) {
        drop(Block(self.account.as_ref().map(|account| &account.blocks)));
    }

    /// Whether its pages stay in memory.
    pub(crate) fn stays(&self) -> bool {
        self.account.as_ref().is_some_and(|account| account.stays)
    }

    /// How many pages are promised for one that it gets.
    fn promised_for_page(&self) -> u64 {
        u64::from(matches!(self.promised, Promised::ByPage))
    }

    fn count(&self, pages: usize) {
        self.resident.fetch_add(pages, Ordering::Relaxed);
        RESIDENT[usize::from(self.source.is_some())].fetch_add(pages, Ordering::Relaxed);
    }

    fn replace(&self, index: u64, expected: u64, pte: Pte) -> bool {
        let mut pages = self.pages.lock();
        // There is a node for an index entry that is not 0, so setting it takes no memory.
        pages.get(index) == expected && pages.replace(index, pte).is_ok()
    }

    /// Takes the folio, which is locked and in its index entry, out of it: `pte` takes its place.
    pub(crate) fn take_out(&self, index: u64, folio: &Locked<Folio>, pte: Pte) {
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
            drop(Commitment::left(self.promised_for_page()));
            self.release_block();
        } else {
            self.swapped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether page `index` is in memory (`mincore(2)`).
    pub(crate) fn is_resident(&self, index: u64) -> bool {
        match DecodedPte::decode(self.pages.lock().get(index)) {
            DecodedPte::Present(_) => true,
            DecodedPte::Entry(entry) => swap::core().lookup(entry).is_some(),
            _ => false,
        }
    }
}

/// The page has new contents: its slot, if it has one, is worthless, and it is no longer what its source says.
pub(crate) fn written_to(folio: &Locked<Folio>) {
    folio.state().set_written();
    swap::core().try_free_slot(folio);
    lru::set_exit(folio, Exit::Swap);
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self, other)
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        debug_assert!(
            self.rmap.is_empty() || quire_swap::is_panicking(),
            "an object is dropped that a space still maps: the mapping has no reference to it"
        );
        self.discard(0..u64::MAX);
    }
}
