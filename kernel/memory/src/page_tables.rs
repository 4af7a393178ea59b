//! The page tables of one address space, and what their PTEs say and own, counted.
//!
//! What a PTE says is in `quire_machine::pte`, and how tables are walked in `quire_machine::user_tables`.

use core::ops::Deref;
use core::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use quire_machine::AllocationError;
use quire_machine::address_map::USER_END;
use quire_machine::frame::{FrameNumber, Kind};
use quire_machine::physical;
use quire_machine::user_tables::{TablesKey, UserTables};
use quire_swap::{Entry, Folio as _, SlotRange};

use crate::cgroup::counts;
use crate::folio::Folio;

pub(crate) use quire_machine::pte::{
    Mapping, Pte, folio_frame, is_accessed, is_dirty, is_locked, is_mapped, is_writable, is_zero_page,
    without_accessed_and_dirty,
};

/// Whether what the PTE owns is its address space's alone, or its `anon_vma`'s: not an object's.
pub(crate) fn is_private(pte: u64) -> bool {
    match folio_frame(pte) {
        Some(frame) => !physical::frames()[frame.index()].is_of_object(),
        None => Entry::from_pte(pte).is_some(),
    }
}

/// The folio remembers from here on, in place of the PTE that mapped it, whether its page was written through that.
pub(crate) fn hand_on_dirty(pte: u64, folio: &Folio) {
    if is_dirty(pte) {
        folio.state().set_written();
    }
}

/// Whose pages a space has in memory, and how many in swap.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Private pages without an object, or changed since they came from it (Linux: `RssAnon`).
    pub(crate) anonymous: AtomicUsize,
    /// Pages of objects (Linux: `RssFile` and `RssShmem`).
    pub(crate) object: AtomicUsize,
    /// Entries (Linux: `VmSwap`).
    pub(crate) swapped: AtomicUsize,
    /// The most that were ever resident (Linux: `VmHWM`).
    pub(crate) peak: AtomicUsize,
    /// The cgroup of a task that has the space to itself.
    cgroup: AtomicU8,
}

impl Counts {
    /// A PTE of this kind is new.
    pub(crate) fn add(&self, pte: u64) {
        if let Some(frame) = folio_frame(pte) {
            self.of(frame).fetch_add(1, Ordering::Relaxed);
        } else if Entry::from_pte(pte).is_some() {
            self.count_swapped(1);
        }
    }

    /// A PTE is new that maps the folio.
    #[inline]
    pub(crate) fn add_folio(&self, folio: &Folio) {
        let count = if folio.is_of_object() { &self.object } else { &self.anonymous };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// PTEs are new that map private folios.
    pub(crate) fn add_anonymous(&self, more: usize) {
        self.anonymous.fetch_add(more, Ordering::Relaxed);
    }

    /// Entries are new, or gone.
    #[inline]
    pub(crate) fn count_swapped(&self, more: isize) {
        self.swapped.fetch_add(more.cast_unsigned(), Ordering::Relaxed);
    }

    /// The cgroup of a task that has the space to itself.
    pub(crate) fn cgroup(&self) -> u8 {
        self.cgroup.load(Ordering::Relaxed)
    }

    /// Puts such a task into another cgroup.
    pub(crate) fn set_cgroup(&self, cgroup: u8) {
        self.cgroup.store(cgroup, Ordering::Relaxed);
    }

    /// A PTE of this kind is gone.
    pub(crate) fn remove(&self, pte: u64) {
        if let Some(frame) = folio_frame(pte) {
            self.note_peak();
            self.of(frame).fetch_sub(1, Ordering::Relaxed);
        } else if Entry::from_pte(pte).is_some() {
            self.count_swapped(-1);
        }
    }

    /// A private page went to swap.
    #[inline]
    pub(crate) fn swapped_out(&self) {
        self.note_peak();
        self.anonymous.fetch_sub(1, Ordering::Relaxed);
        self.count_swapped(1);
    }

    /// How many pages were in memory is about to fall: remembers it, if it was never more.
    #[inline]
    pub(crate) fn note_peak(&self) {
        let resident = self.resident();
        if resident > self.peak.load(Ordering::Relaxed) {
            self.peak.store(resident, Ordering::Relaxed);
        }
    }

    #[inline]
    fn of(&self, frame: FrameNumber) -> &AtomicUsize {
        if physical::frames()[frame.index()].is_of_object() { &self.object } else { &self.anonymous }
    }

    /// Pages in memory.
    pub(crate) fn resident(&self) -> usize {
        self.anonymous.load(Ordering::Relaxed) + self.object.load(Ordering::Relaxed)
    }
}

/// The page tables of one address space.
pub(crate) struct PageTables {
    /// Greater than those of all that were there before.
    number: u64,
    pub(crate) tables: UserTables,
    pub(crate) counts: Counts,
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
    pub(crate) fn new() -> Result<(Self, TablesKey), AllocationError> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let (tables, key) = UserTables::new(counts::allocate(Kind::PageTable).ok_or(AllocationError)?);
        let counts = Counts { cgroup: AtomicU8::new(counts::current()), ..Counts::default() };
        Ok((Self { number: NEXT.fetch_add(1, Ordering::Relaxed), tables, counts }, key))
    }

    /// Its number, by which those of relatives are in the order of their age.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Replaces the PTE of the page at `address` by `pte`, which maps no frame, if it is still the entry `expected`; what that
    /// owned is the caller's then.
    pub(crate) fn replace(&self, address: u64, expected: Entry, pte: Pte) -> bool {
        let tables = self.lock();
        let Some(cell) = tables.find(address).filter(|cell| cell.bits() == expected.to_pte()) else { return false };
        self.counts.add(pte.bits());
        self.counts.remove(cell.replace(pte).bits());
        true
    }

    /// The first page from address `from` on whose PTE is an entry for one of `slots`.
    pub(crate) fn next_entry(&self, from: u64, slots: &SlotRange) -> Option<(u64, Entry)> {
        self.find_map(from..USER_END, |pte| Entry::from_pte(pte).filter(|entry| slots.contains(*entry)))
    }
}
