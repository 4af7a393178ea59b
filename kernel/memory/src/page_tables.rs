//! The page tables of one address space, and what their PTEs say and own, counted.
//!
//! What a PTE says is in `quire_machine::pte`, and how tables are walked in `quire_machine::user_tables`.

use core::ops::Deref;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use quire_machine::address_map::USER_END;
use quire_machine::frame::{FrameNumber, Kind};
use quire_machine::physical;
use quire_machine::task::{HeedKill, Killed};
use quire_machine::user_tables::{TablesKey, UserTables};
use quire_swap::{Entry, SlotRange};

use super::AllocationError;
use super::cgroup;
use super::reclaim;

pub(super) use quire_machine::pte::{
    Mapping, Pte, folio_frame, is_accessed, is_dirty, is_locked, is_mapped, is_writable, is_zero_page,
    without_accessed_and_dirty,
};

/// Whether what the PTE owns is its address space's alone, or its `anon_vma`'s: not an object's.
pub(super) fn is_private(pte: u64) -> bool {
    match folio_frame(pte) {
        Some(frame) => physical::frames()[frame.index()].kind() != Kind::Object,
        None => Entry::from_pte(pte).is_some(),
    }
}

/// Whose pages a space has in memory, and how many in swap.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Private pages without an object, or changed since they came from it (Linux: `RssAnon`).
    pub(super) anonymous: AtomicUsize,
    /// Pages of objects (Linux: `RssFile` and `RssShmem`).
    pub(super) object: AtomicUsize,
    /// Entries (Linux: `VmSwap`).
    pub(super) swapped: AtomicUsize,
    /// The most that were ever resident (Linux: `VmHWM`).
    pub(super) peak: AtomicUsize,
    /// The cgroup of a task that has the space to itself.
    cgroup: AtomicU8,
}

impl Counts {
    /// A PTE of this kind is new.
    pub(super) fn add(&self, pte: u64) {
        if let Some(frame) = folio_frame(pte) {
            self.of(frame).fetch_add(1, Ordering::Relaxed);
        } else if Entry::from_pte(pte).is_some() {
            self.count_swapped(1);
        }
    }

    /// Entries are new, or gone.
    #[inline]
    pub(super) fn count_swapped(&self, more: isize) {
        self.swapped.fetch_add(more.cast_unsigned(), Ordering::Relaxed);
    }

    /// The cgroup of a task that has the space to itself.
    pub(super) fn cgroup(&self) -> u8 {
        self.cgroup.load(Ordering::Relaxed)
    }

    /// Puts such a task into another cgroup.
    pub(super) fn set_cgroup(&self, cgroup: u8) {
        self.cgroup.store(cgroup, Ordering::Relaxed);
    }

    /// A PTE of this kind is gone.
    pub(super) fn remove(&self, pte: u64) {
        if let Some(frame) = folio_frame(pte) {
            self.note_peak();
            self.of(frame).fetch_sub(1, Ordering::Relaxed);
        } else if Entry::from_pte(pte).is_some() {
            self.count_swapped(-1);
        }
    }

    /// A private page went to swap.
    #[inline]
    pub(super) fn swapped_out(&self) {
        self.note_peak();
        self.anonymous.fetch_sub(1, Ordering::Relaxed);
        self.count_swapped(1);
    }

    /// How many pages were in memory is about to fall: remembers it, if it was never more.
    #[inline]
    pub(super) fn note_peak(&self) {
        let resident = self.resident();
        if resident > self.peak.load(Ordering::Relaxed) {
            self.peak.store(resident, Ordering::Relaxed);
        }
    }

    #[inline]
    fn of(&self, frame: FrameNumber) -> &AtomicUsize {
        match physical::frames()[frame.index()].kind() {
            Kind::Object => &self.object,
            _ => &self.anonymous,
        }
    }

    /// Pages in memory.
    pub(super) fn resident(&self) -> usize {
        self.anonymous.load(Ordering::Relaxed) + self.object.load(Ordering::Relaxed)
    }
}

/// The page tables of one address space.
pub(super) struct PageTables {
    tables: UserTables,
    pub(super) counts: Counts,
}

impl Deref for PageTables {
    type Target = UserTables;

    #[inline]
    fn deref(&self) -> &UserTables {
        &self.tables
    }
}

impl PageTables {
    /// Tables with nothing in the user half, and the right to free them.
    ///
    /// # Errors
    /// [`AllocationError`] when there is no frame for the root.
    pub(super) fn new() -> Result<(Self, TablesKey), AllocationError> {
        let (tables, key) = UserTables::new(cgroup::allocate(Kind::PageTable).ok_or(AllocationError)?);
        let counts = Counts { cgroup: AtomicU8::new(cgroup::current()), ..Counts::default() };
        Ok((Self { tables, counts }, key))
    }

    /// Replaces the PTE of the page at `address` by `pte`, which maps no frame, if it is still the entry `expected`; what that
    /// owned is the caller's then.
    pub(super) fn replace(&self, address: u64, expected: Entry, pte: Pte) -> bool {
        let tables = self.lock();
        let Some(cell) = tables.find(address).filter(|cell| cell.bits() == expected.to_pte()) else { return false };
        self.counts.add(pte.bits());
        self.counts.remove(cell.replace(pte).bits());
        true
    }

    /// The first page from address `from` on whose PTE is an entry for one of `slots`.
    pub(super) fn next_entry(&self, from: u64, slots: &SlotRange) -> Option<(u64, Entry)> {
        self.find_map(from..USER_END, |pte| Entry::from_pte(pte).filter(|entry| slots.contains(*entry)))
    }

    /// Sets frames aside for as many tables, for a caller who cannot wait for them later because of a lock. Sleeps.
    ///
    /// # Errors
    /// [`AllocationError`]; what was set aside stays so.
    pub(super) fn set_aside(&self, tables: usize) -> Result<(), AllocationError> {
        for turn in (0..tables).heed_kill() {
            turn.map_err(|Killed| AllocationError)?;
            let table = loop {
                if let Some(table) = cgroup::allocate(Kind::PageTable) {
                    break table;
                }
                // Not for the frame itself: once one can be had, the next attempt will find one.
                drop(reclaim::wait_for_frame()?);
            };
            self.tables.set_aside(table);
        }
        Ok(())
    }
}
