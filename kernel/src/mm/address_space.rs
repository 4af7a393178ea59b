//! Address spaces: the regions that a task has mapped, and the user half of its page tables.
//!
//! # Invariants
//!
//! A leaf word of the user half is 0, maps an anonymous folio of which it owns a reference, or holds a swap entry of
//! which it owns a count ([`quire_swap::PageTableWord`]). It changes only under the space's page-table lock, but for the
//! accessed and dirty bits, which the processor sets.
//!
//! # Locking
//!
//! `regions` sleeps and is held by whoever changes or checks what is mapped, never across I/O. `tables` spins and
//! protects the words. Reclaim comes from other threads: it takes only `tables`.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use quire_swap::header::PAGE_SIZE;
use quire_swap::{Entry, PageTableWord, Readahead, SlotRange};
use x86_64::structures::paging::PageTableFlags as Flags;

use super::AllocationError;
use super::folio::{Folio, Mapping};
use super::frame::{FrameNumber, Kind};
use super::kernel_map;
use super::physical;
use super::reclaim;
use super::watermark::Purpose;
use crate::arch::USER_END;
use crate::arch::page_table::{self, flags_of, frame_of, leaf};
use crate::swap;
use crate::sync::{Rank, SpinGuard, SpinLock};
use crate::task::Mutex;

/// The flags of the tables above the user half's leaves.
const TABLE: Flags = Flags::PRESENT.union(Flags::WRITABLE).union(Flags::USER_ACCESSIBLE);
/// The flags of a mapped anonymous page.
const PAGE: Flags = TABLE.union(Flags::NO_EXECUTE).union(Flags::ACCESSED);

/// An address space.
pub struct AddressSpace {
    number: u32,
    root: FrameNumber,
    regions: Mutex<Vec<Range<u64>>>,
    tables: SpinLock<()>,
    resident: AtomicUsize,
    readahead: Readahead,
}

/// A range cannot be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// It is empty, not page-aligned, or not in the user half.
    OutOfRange,
    /// Part of it is mapped already.
    Overlap,
}

static NEXT_NUMBER: AtomicU32 = AtomicU32::new(1);
static SPACES: SpinLock<BTreeMap<u32, Weak<AddressSpace>>> = SpinLock::new(Rank::Spaces, BTreeMap::new());

impl AddressSpace {
    /// An address space with nothing in its user half.
    ///
    /// # Errors
    /// [`AllocationError`] when there is no frame for its root table.
    pub fn new() -> Result<Arc<Self>, AllocationError> {
        let root = allocate_table().ok_or(AllocationError)?;
        // SAFETY: the new root was just allocated; the kernel's is never given back.
        let (words, kernel) = unsafe { (page_table::table(root), page_table::table(kernel_map::root())) };
        for (index, (word, kernel)) in words.iter().zip(kernel).enumerate() {
            word.store(if index < 256 { 0 } else { kernel.load(Ordering::Relaxed) }, Ordering::Relaxed);
        }
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        let space = Arc::new(Self {
            number,
            root,
            regions: Mutex::new(Rank::Regions, Vec::new()),
            tables: SpinLock::new(Rank::PageTable, ()),
            resident: AtomicUsize::new(0),
            readahead: Readahead::new(),
        });
        SPACES.lock().insert(number, Arc::downgrade(&space));
        Ok(space)
    }

    /// The root of its page tables.
    pub fn root(&self) -> FrameNumber {
        self.root
    }

    /// What its faults have taught about reading ahead.
    pub(super) fn readahead(&self) -> &Readahead {
        &self.readahead
    }

    /// How many of its pages are in memory.
    pub fn resident(&self) -> usize {
        self.resident.load(Ordering::Relaxed)
    }

    /// Makes the pages of `range` part of the space; they are zero until they are written to.
    ///
    /// # Errors
    /// [`MapError`]; nothing changes.
    pub fn map_anonymous(&self, range: Range<u64>) -> Result<(), MapError> {
        let aligned = range.start.is_multiple_of(PAGE_SIZE as u64) && range.end.is_multiple_of(PAGE_SIZE as u64);
        if !aligned || range.is_empty() || range.end > USER_END {
            return Err(MapError::OutOfRange);
        }
        let mut regions = self.regions.lock();
        if regions.iter().any(|other| range.start < other.end && other.start < range.end) {
            return Err(MapError::Overlap);
        }
        regions.push(range);
        Ok(())
    }

    /// Calls `serve` if `address` is mapped, with the space's regions locked.
    pub(super) fn with_mapped<R>(&self, address: u64, serve: impl FnOnce() -> R) -> Option<R> {
        let regions = self.regions.lock();
        regions.iter().any(|region| region.contains(&address)).then(serve)
    }

    /// The word of the page at `address`; 0 when there is no table for it.
    pub(super) fn word(&self, address: u64) -> u64 {
        let _tables = self.tables.lock();
        // SAFETY: tables are given back only under the lock.
        unsafe { page_table::walk(self.root, address, 1) }.map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// Maps the page at `address` to `folio`, if its word is still `expected`, which is not present. The word gets the
    /// reference.
    pub(super) fn map(&self, address: u64, expected: u64, folio: &Folio, dirty: bool) -> Result<(), NotMapped> {
        let _tables = self.tables.lock();
        // SAFETY: the root is this space's, whose lock is held.
        let word = unsafe { page_table::walk_or_create(self.root, address, 1, TABLE, &mut allocate_table) };
        let word = word.ok_or(NotMapped::NoTable)?;
        if word.load(Ordering::Acquire) != expected {
            return Err(NotMapped::Changed);
        }
        let flags = if dirty { PAGE | Flags::DIRTY } else { PAGE };
        folio.set_mapping(Some(Mapping { space: self.number, page: address / PAGE_SIZE as u64 }));
        word.store(leaf(folio.clone().into_frame(), flags), Ordering::Release);
        self.resident.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// The first page from address `from` on whose word is an entry for one of `slots`.
    pub fn next_entry(&self, from: u64, slots: &SlotRange) -> Option<(u64, Entry)> {
        let mut address = from;
        while address < USER_END {
            let _tables = self.tables.lock();
            // SAFETY: tables are given back only under the lock.
            let missing = (1..=3).rev().find(|&level| unsafe { page_table::walk(self.root, address, level) }.is_none());
            if let Some(level) = missing {
                // Nothing below the table of the next level up: on to what that table's next word covers.
                address = next_multiple(address, level + 1);
                continue;
            }
            let end = next_multiple(address, 2);
            while address < end {
                // SAFETY: as above.
                let word =
                    unsafe { page_table::walk(self.root, address, 1) }.map_or(0, |word| word.load(Ordering::Acquire));
                match Entry::from_word(word) {
                    Some(entry) if slots.contains(entry) => return Some((address, entry)),
                    _ => address += PAGE_SIZE as u64,
                }
            }
        }
        None
    }

    /// Replaces the word of the page at `address` by `word`, if it is still `expected`; neither is present.
    pub(super) fn replace(&self, address: u64, expected: u64, word: u64) -> bool {
        let _tables = self.tables.lock();
        // SAFETY: tables are given back only under the lock.
        let place = unsafe { page_table::walk(self.root, address, 1) };
        place.is_some_and(|place| place.compare_exchange(expected, word, Ordering::AcqRel, Ordering::Relaxed).is_ok())
    }

    /// Gives everything in the user half back: folios, swap counts, page tables. No thread runs in the space any more,
    /// or only the caller, which does not touch the user half again.
    pub fn tear_down(&self) {
        let regions = core::mem::take(&mut *self.regions.lock());
        self.release(regions);
    }

    fn release(&self, regions: Vec<Range<u64>>) {
        // Before the first frame goes: from here on no processor walks these tables, nor remembers what they said.
        if page_table::active_root() == self.root {
            // SAFETY: every root has the kernel's half, and the caller does not touch the user half again.
            unsafe { page_table::activate(kernel_map::root()) };
        }
        for region in regions {
            for address in region.step_by(PAGE_SIZE) {
                self.unmap_for_good(address);
            }
        }
        self.free_tables();
        reclaim::frames_freed();
    }

    fn unmap_for_good(&self, address: u64) {
        let word = {
            let _tables = self.tables.lock();
            // SAFETY: tables are given back only under the lock.
            let Some(word) = (unsafe { page_table::walk(self.root, address, 1) }) else { return };
            let word = word.swap(0, Ordering::AcqRel);
            if flags_of(word).contains(Flags::PRESENT) {
                let folio = Folio::from_frame(frame_of(word));
                folio.set_mapping(None);
                self.resident.fetch_sub(1, Ordering::Relaxed);
                // The word's reference goes on below, when the lock is free.
                let _ = folio.into_frame();
            }
            word
        };
        if flags_of(word).contains(Flags::PRESENT) {
            swap::forget_folio(Folio::from_frame(frame_of(word)));
        } else if let PageTableWord::Entry(_) = PageTableWord::decode(word) {
            swap::forget_word(word);
        }
    }

    fn free_tables(&self) {
        let _tables = self.tables.lock();
        // SAFETY: the tables below the root are this space's, and all their leaves are 0.
        let words = unsafe { page_table::table(self.root) };
        for word in &words[..256] {
            free_table(word.swap(0, Ordering::AcqRel), 3);
        }
    }

    /// The lock of the page tables, for reclaim.
    pub(super) fn lock_tables(&self) -> SpinGuard<'_, ()> {
        self.tables.lock()
    }

    pub(super) fn count_resident(&self, gone: usize) {
        self.resident.fetch_sub(gone, Ordering::Relaxed);
    }
}

/// The first address past what the word of level `level` for `address` covers.
fn next_multiple(address: u64, level: u8) -> u64 {
    let bytes = (PAGE_SIZE as u64) << (9 * (level - 1));
    (address / bytes + 1) * bytes
}

/// Why a page was not mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotMapped {
    /// There is no frame for a page table.
    NoTable,
    /// The word is no longer what it was.
    Changed,
}

/// The space of that number, while it exists.
pub(super) fn find(number: u32) -> Option<Arc<AddressSpace>> {
    SPACES.lock().get(&number)?.upgrade()
}

/// All spaces that exist.
pub fn all() -> Vec<Arc<AddressSpace>> {
    // The count may grow before the lock is taken again; whoever comes later is not meant.
    let mut spaces = Vec::with_capacity(SPACES.lock().len());
    for space in SPACES.lock().values() {
        if spaces.len() < spaces.capacity() {
            spaces.extend(space.upgrade());
        }
    }
    spaces
}

fn allocate_table() -> Option<FrameNumber> {
    physical::allocate(0, Kind::PageTable, Purpose::Kernel)
}

fn free_table(word: u64, level: u8) {
    if !flags_of(word).contains(Flags::PRESENT) {
        return;
    }
    if level > 1 {
        // SAFETY: a present word above the leaves leads to a table of this space.
        for word in unsafe { page_table::table(frame_of(word)) } {
            free_table(word.swap(0, Ordering::AcqRel), level - 1);
        }
    }
    physical::free(frame_of(word), 0);
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        let regions = core::mem::take(self.regions.get_mut());
        self.release(regions);
        SPACES.lock().remove(&self.number);
        physical::free(self.root, 0);
    }
}
