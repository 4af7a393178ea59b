//! The page tables of one address space's user half, and what their PTEs say.
//!
//! # PTEs
//!
//! | PTE | what it says | what it owns |
//! |---|---|---|
//! | 0 | nothing: the page was never touched, or its object knows | |
//! | present | maps a frame | a reference to the folio, unless it is [`ZERO_PAGE`] |
//! | [`HIDDEN`] | the frame of a page that nobody may touch (`PROT_NONE`), not present for the processor | the same |
//! | entry | the page is in swap ([`quire_swap::DecodedPte`]) | a count of the slot |
//! | poisoned | the page was in swap and could not be read | |
//!
//! # Walking
//!
//! A range that a program names can have 2^35 pages of which none was ever touched. Whatever is done to the PTEs of a range
//! goes through [`PageTables::walk`], which passes over what has no table in steps of 2 MiB to 512 GiB, and holds the lock for
//! no longer than the caller keeps the PTEs of one table.
//!
//! # Invariants
//!
//! PTEs change only under the lock, but for the accessed and dirty bits, which the processor sets. Tables are given back
//! only by [`PageTables::free_tables`], when no processor uses them, and with the last reference. The generation grows
//! before the PTEs of a range change because what is mapped there has: a fault that looked the range up before notices
//! under the lock, and looks again.

use core::ops::{Deref, Range};
use core::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};

use quire_machine::address_map::USER_END;
use quire_machine::arch::page_table::{self, Table, flags_of, frame_of, leaf};
use quire_machine::frame::{FrameList, FrameNumber, Kind};
use quire_machine::kernel_map;
use quire_machine::physical;
use quire_machine::sync::{Rank, SpinGuard, SpinLock};
use quire_machine::task::{HeedKill, Killed, check_killed};
use quire_machine::unique::UniqueFrame;
use quire_machine::watermark::Purpose;
use quire_swap::header::PAGE_SIZE;
use quire_swap::{Entry, SlotRange};
use spin::Once;
use x86_64::structures::paging::PageTableFlags as Flags;

use super::AllocationError;
use super::cgroup;
use super::folio::Folio;
use super::reclaim;
use super::vma::Protection;

/// The flags of the tables above the leaves.
const TABLE: Flags = Flags::PRESENT.union(Flags::WRITABLE).union(Flags::USER_ACCESSIBLE);
/// In a PTE that maps a frame: it is the frame of zeros that all share, which has no references.
const ZERO_PAGE: Flags = Flags::BIT_9;
/// In a PTE that maps a frame: its page stays in memory.
const LOCKED: Flags = Flags::BIT_10;
/// The low bits of a PTE that holds a hidden frame: not present, and none of the kinds that the swap core knows.
const HIDDEN: u64 = 0b1110;
const LOW_BITS: u64 = 0b1111;

static ZEROS: Once<FrameNumber> = Once::new();

/// Makes the frame of zeros.
///
/// # Errors
/// [`AllocationError`] when there is no frame for it.
pub(super) fn start() -> Result<(), AllocationError> {
    let mut frame = UniqueFrame::allocate(0, Kind::Device, Purpose::Kernel).ok_or(AllocationError)?;
    frame.bytes_mut().fill(0);
    ZEROS.call_once(|| frame.into_number());
    Ok(())
}

/// The PTE that maps `frame` as `protection` allows, but not for writing.
pub(super) fn pte_for(frame: FrameNumber, protection: Protection) -> u64 {
    let mut flags = TABLE.difference(Flags::WRITABLE) | Flags::ACCESSED;
    if !protection.execute {
        flags |= Flags::NO_EXECUTE;
    }
    let pte = leaf(frame, flags);
    if protection.is_some() { pte } else { hide(pte) }
}

/// The PTE for a page that was read and never written: the frame of zeros.
pub(super) fn zero_pte(protection: Protection) -> u64 {
    let frame = *ZEROS.get().expect("the frame of zeros is made before any page is touched");
    pte_for(frame, protection) | ZERO_PAGE.bits()
}

const fn hide(pte: u64) -> u64 {
    pte & !LOW_BITS | HIDDEN
}

/// The PTE for the same frame under another protection: writable only if it was and may be.
pub(super) fn protected(pte: u64, protection: Protection) -> u64 {
    let kept = pte & (Flags::ACCESSED | Flags::DIRTY | ZERO_PAGE | LOCKED).bits();
    let writable = if is_writable(pte) && protection.write { Flags::WRITABLE.bits() } else { 0 };
    let pte = pte_for(frame_of(pte), protection) & !Flags::ACCESSED.bits() | kept;
    if protection.is_some() { pte | writable } else { pte }
}

/// Whether the PTE maps a frame, hidden or not.
pub(super) const fn is_mapped(pte: u64) -> bool {
    pte & Flags::PRESENT.bits() != 0 || pte & LOW_BITS == HIDDEN
}

/// Whether the PTE maps the frame of zeros.
pub(super) const fn is_zero_page(pte: u64) -> bool {
    is_mapped(pte) && pte & ZERO_PAGE.bits() != 0
}

/// The frame of the folio that the PTE has a reference to, if it has one.
pub(super) fn folio_frame(pte: u64) -> Option<FrameNumber> {
    (is_mapped(pte) && pte & ZERO_PAGE.bits() == 0).then(|| frame_of(pte))
}

/// Whether what the PTE owns is its address space's alone, or its `anon_vma`'s: not an object's.
pub(super) fn is_private(pte: u64) -> bool {
    match folio_frame(pte) {
        Some(frame) => physical::frames()[frame.index()].kind() != Kind::Object,
        None => Entry::from_pte(pte).is_some(),
    }
}

/// Whether the processor lets the page be written.
pub(super) const fn is_writable(pte: u64) -> bool {
    let both = Flags::PRESENT.union(Flags::WRITABLE).bits();
    pte & both == both
}

/// Whether the PTE says that its page stays in memory.
pub(super) const fn is_locked(pte: u64) -> bool {
    pte & LOCKED.bits() != 0 && is_mapped(pte)
}

/// The PTE that maps the same frame, which is to stay in memory or need not.
pub(super) const fn with_locked(pte: u64, locked: bool) -> u64 {
    if locked { pte | LOCKED.bits() } else { pte & !LOCKED.bits() }
}

/// The PTE as if the page had not been accessed.
pub(super) const fn without_access(pte: u64) -> u64 {
    pte & !Flags::ACCESSED.bits()
}

/// Whether the page was accessed through this PTE.
pub(super) const fn is_accessed(pte: u64) -> bool {
    pte & Flags::ACCESSED.bits() != 0
}

/// Whether the page was written through this PTE.
pub(super) fn is_dirty(pte: u64) -> bool {
    flags_of(pte).contains(Flags::DIRTY)
}

/// The PTE without what the processor sets by itself, to compare.
pub(super) const fn without_accessed_and_dirty(pte: u64) -> u64 {
    if is_mapped(pte) { pte & !Flags::ACCESSED.union(Flags::DIRTY).bits() } else { pte }
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
    /// Tables (Linux: `VmPTE`, in frames).
    pub(super) tables: AtomicUsize,
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
    root: FrameNumber,
    /// The lock of the PTEs, and frames that were set aside for tables: see [`PageTables::set_aside`].
    lock: SpinLock<FrameList>,
    generation: AtomicU64,
    pub(super) counts: Counts,
}

impl PageTables {
    /// Tables with nothing in the user half.
    ///
    /// # Errors
    /// [`AllocationError`] when there is no frame for the root.
    pub(super) fn new() -> Result<Self, AllocationError> {
        let root = cgroup::allocate(Kind::PageTable).ok_or(AllocationError)?.into_number();
        // SAFETY: the new root was just allocated; the kernel's is never given back.
        let (ptes, kernel) = unsafe { (page_table::table(root), page_table::table(kernel_map::root())) };
        for (index, (pte, kernel)) in ptes.iter().zip(kernel).enumerate() {
            pte.store(if index < 256 { 0 } else { kernel.load(Ordering::Relaxed) }, Ordering::Relaxed);
        }
        Ok(Self {
            root,
            lock: SpinLock::new(Rank::PageTable, FrameList::new()),
            generation: AtomicU64::new(0),
            counts: Counts { cgroup: AtomicU8::new(cgroup::current()), ..Counts::default() },
        })
    }

    pub(super) const fn root(&self) -> FrameNumber {
        self.root
    }

    /// How often what is mapped was changed.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// What is mapped has changed: to be called before the PTEs are brought in line.
    pub(super) fn mappings_changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn lock(&self) -> LockedTables<'_> {
        LockedTables { tables: self, set_aside: self.lock.lock() }
    }

    /// The PTE of the page at `address`, if there is a table for it. Takes no lock: the caller is not the one who gives the
    /// tables back at the space's end.
    #[inline]
    pub(super) fn place(&self, address: u64) -> Option<&AtomicU64> {
        // SAFETY: tables are given back only when nobody uses the space any more.
        unsafe { page_table::walk(self.root, address, 1) }
    }

    /// The PTE of the page at `address` now; 0 when there is no table for it. As [`Self::place`].
    pub(super) fn pte(&self, address: u64) -> u64 {
        self.place(address).map_or(0, |pte| pte.load(Ordering::Acquire))
    }

    /// The folio of the page at `address`, if its PTE is `pte` still, but for the accessed and dirty bits.
    pub(super) fn folio(&self, address: u64, pte: u64) -> Option<Folio> {
        let ptes = self.lock();
        let current = ptes.find(address)?.load(Ordering::Acquire);
        let frame =
            folio_frame(current).filter(|_| without_accessed_and_dirty(current) == without_accessed_and_dirty(pte))?;
        // The PTE's own reference is there while the lock is held.
        Folio::try_from_frame(frame)
    }

    /// Replaces the PTE of the page at `address` by `pte`, if it is still `expected`; neither maps a frame.
    pub(super) fn replace(&self, address: u64, expected: u64, pte: u64) -> bool {
        let tables = self.lock();
        let replaced = tables
            .find(address)
            .is_some_and(|place| place.compare_exchange(expected, pte, Ordering::AcqRel, Ordering::Relaxed).is_ok());
        if replaced {
            self.counts.remove(expected);
            self.counts.add(pte);
        }
        replaced
    }

    /// A walk over the PTEs of `range` that there are tables for.
    pub(super) const fn walk(&self, range: Range<u64>) -> Walk<'_> {
        Walk { tables: self, rest: range }
    }

    /// The first page of `range` for whose PTE `choose` has an answer, with that. PTEs without a table are not asked about.
    pub(super) fn find_map<T>(&self, range: Range<u64>, mut choose: impl FnMut(u64) -> Option<T>) -> Option<(u64, T)> {
        let mut walk = self.walk(range);
        while let Some(part) = walk.next_part() {
            let mut ptes = part.iter();
            let found = ptes.find_map(|(page, pte)| Some((page, choose(pte.load(Ordering::Acquire))?)));
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// The first page from address `from` on whose PTE is an entry for one of `slots`.
    pub(super) fn next_entry(&self, from: u64, slots: &SlotRange) -> Option<(u64, Entry)> {
        self.find_map(from..USER_END, |pte| Entry::from_pte(pte).filter(|entry| slots.contains(*entry)))
    }

    /// Sets frames aside for as many tables, for somebody who cannot wait for them later because of a lock. Sleeps.
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
            self.lock.lock().push_front(physical::frames(), table.into_number());
        }
        Ok(())
    }

    /// Gives back what was set aside and not used.
    pub(super) fn free_set_aside(&self) {
        let mut set_aside = self.lock.lock();
        while let Some(table) = set_aside.first() {
            set_aside.remove(physical::frames(), table);
            // SAFETY: what was set aside is in the list alone.
            cgroup::free(unsafe { UniqueFrame::from_number(table, 0) });
        }
    }

    /// Whether the processor that runs this uses these tables.
    pub(super) fn are_active(&self) -> bool {
        page_table::active_root() == self.root
    }

    /// Gives the tables back, but for the root. All leaves are 0 and no processor uses them.
    pub(super) fn free_tables(&self) {
        let _lock = self.lock.lock();
        // SAFETY: the tables below the root are this space's, and the lock is held.
        let ptes = unsafe { page_table::table(self.root) };
        for pte in &ptes[..256] {
            free_table(pte.swap(0, Ordering::AcqRel), 3);
        }
        self.counts.tables.store(0, Ordering::Relaxed);
    }
}

impl Drop for PageTables {
    fn drop(&mut self) {
        self.free_tables();
        self.free_set_aside();
        // SAFETY: with the last reference to the tables, no processor uses the root.
        cgroup::free(unsafe { UniqueFrame::from_number(self.root, 0) });
    }
}

fn free_table(pte: u64, level: u8) {
    if !flags_of(pte).contains(Flags::PRESENT) {
        return;
    }
    if level > 1 {
        // SAFETY: a present PTE above the leaves leads to a table of this space.
        for pte in unsafe { page_table::table(frame_of(pte)) } {
            free_table(pte.swap(0, Ordering::AcqRel), level - 1);
        }
    }
    // SAFETY: the only entry that led to the table is gone, and no processor uses it, as `free_tables` says.
    cgroup::free(unsafe { UniqueFrame::from_number(frame_of(pte), 0) });
}

/// The PTEs of an address space, with their lock held.
pub(super) struct LockedTables<'a> {
    tables: &'a PageTables,
    set_aside: SpinGuard<'a, FrameList>,
}

impl<'a> LockedTables<'a> {
    /// The PTE of the page at `address`, if there is a table for it.
    #[inline]
    pub(super) fn find(&self, address: u64) -> Option<&'a AtomicU64> {
        // SAFETY: tables are given back only under the lock, which is held.
        unsafe { page_table::walk(self.tables.root, address, 1) }
    }

    /// Finds PTEs one after another: those in one table cost one walk.
    #[inline]
    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor { ptes: self, table: None, first: u64::MAX }
    }

    /// The table that holds the PTE of the page at `address`, if there is one.
    #[inline(never)]
    fn table(&self, address: u64) -> Option<&Table> {
        // SAFETY: as in `find`; a present PTE of level 2 leads to a table, as no page is larger than 4 KiB in the user half.
        unsafe { page_table::walk(self.tables.root, address, 2) }
            .map(|above| above.load(Ordering::Acquire))
            .filter(|above| flags_of(*above).contains(Flags::PRESENT))
            .map(|above| unsafe { page_table::table(frame_of(above)) })
    }

    /// The PTE of the page at `address`; makes the tables for it. `None` when there is no frame for one.
    #[inline]
    pub(super) fn find_or_create(&mut self, address: u64) -> Option<&'a AtomicU64> {
        self.find(address).or_else(|| self.create(address, 1))
    }

    /// The table that holds the PTE of the page at `address`; makes it. `None` when there is no frame for one.
    pub(super) fn leaf_table(&mut self, address: u64) -> Option<&'a Table> {
        self.create(address, 1)?;
        // SAFETY: as in `find`; the table was just found or made.
        let above = unsafe { page_table::walk(self.tables.root, address, 2) }?;
        // SAFETY: a present PTE of level 2 leads to a table; no page is larger than 4 KiB in the user half.
        Some(unsafe { page_table::table(frame_of(above.load(Ordering::Acquire))) })
    }

    #[inline(never)]
    fn create(&mut self, address: u64, level: u8) -> Option<&'a AtomicU64> {
        let mut allocate = || {
            let set_aside = self.set_aside.first().inspect(|table| self.set_aside.remove(physical::frames(), *table));
            let table = set_aside.or_else(|| cgroup::allocate(Kind::PageTable).map(UniqueFrame::into_number))?;
            self.tables.counts.tables.fetch_add(1, Ordering::Relaxed);
            Some(table)
        };
        // SAFETY: the root is this space's, whose lock is held; the frames that `allocate` gives are new.
        unsafe { page_table::walk_or_create(self.tables.root, address, level, TABLE, &mut allocate) }
    }

    /// The PTEs at the start of `range` that lie in one table, and the address from which to go on; no PTEs where there
    /// is no table.
    fn part(&self, range: Range<u64>) -> (&'a [AtomicU64], u64) {
        let address = range.start;
        // SAFETY: tables are given back only under the lock, which is held.
        let missing =
            (1..=3).rev().find(|&level| unsafe { page_table::walk(self.tables.root, address, level) }.is_none());
        if let Some(level) = missing {
            // Nothing below the table of the next level up: on to what that table's next PTE covers.
            return (&[], next_multiple(address, level + 1).min(range.end));
        }
        let end = next_multiple(address, 2).min(range.end);
        // SAFETY: as above; the PTE of level 2 was just found to lead to a table.
        let table = unsafe { page_table::walk(self.tables.root, address, 2) }
            .map(|above| unsafe { page_table::table(frame_of(above.load(Ordering::Acquire))) });
        let first = page_table::index(address, 1);
        let ptes = table.map_or(&[][..], |table| &table[first..first + ((end - address) / PAGE_SIZE as u64) as usize]);
        (ptes, end)
    }
}

/// A walk over the PTEs of a range that there are tables for: see [`PageTables::walk`].
pub(super) struct Walk<'a> {
    tables: &'a PageTables,
    rest: Range<u64>,
}

impl<'a> Walk<'a> {
    /// The next PTEs, of one table, locked while the value is there: before this is called again it has to go. `None` at the
    /// range's end.
    pub(super) fn next_part(&mut self) -> Option<Part<'a>> {
        while !self.rest.is_empty() {
            let lock = self.tables.lock();
            let first = self.rest.start;
            let (ptes, next) = lock.part(self.rest.clone());
            self.rest.start = next;
            if !ptes.is_empty() {
                return Some(Part { lock, ptes, first });
            }
        }
        None
    }

    /// As [`Self::next_part`], for work that is worth nothing once the task is killed.
    ///
    /// # Errors
    /// [`Killed`].
    pub(super) fn next_part_unless_killed(&mut self) -> Result<Option<Part<'a>>, Killed> {
        check_killed()?;
        Ok(self.next_part())
    }

    /// Lets the walk go on from `page`, which the last part had.
    pub(super) const fn go_back_to(&mut self, page: u64) {
        self.rest.start = page;
    }
}

/// PTEs of one table that follow one another, with their lock held.
pub(super) struct Part<'a> {
    lock: LockedTables<'a>,
    ptes: &'a [AtomicU64],
    /// The page of the first PTE.
    first: u64,
}

impl<'a> Part<'a> {
    /// The PTEs, each with its page's address.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &'a AtomicU64)> + use<'a> {
        (self.first..).step_by(PAGE_SIZE).zip(self.ptes)
    }

    /// The pages.
    pub(super) const fn range(&self) -> Range<u64> {
        self.first..self.first + (self.ptes.len() * PAGE_SIZE) as u64
    }

    /// All PTEs of the space, under the same lock.
    pub(super) const fn all(&mut self) -> &mut LockedTables<'a> {
        &mut self.lock
    }
}

/// Where [`LockedTables::cursor`] is.
pub(super) struct Cursor<'a> {
    ptes: &'a LockedTables<'a>,
    table: Option<&'a Table>,
    /// The first address whose PTE is in `table`.
    first: u64,
}

impl<'a> Cursor<'a> {
    /// The PTE of the page at `address`, if there is a table for it.
    #[inline]
    pub(super) fn find(&mut self, address: u64) -> Option<&'a AtomicU64> {
        let first = address & !(next_multiple(0, 2) - 1);
        if self.first != first {
            (self.table, self.first) = (self.ptes.table(address), first);
        }
        self.table.map(|table| &table[page_table::index(address, 1)])
    }
}

impl Deref for LockedTables<'_> {
    type Target = PageTables;

    fn deref(&self) -> &PageTables {
        self.tables
    }
}

/// The first address past what the PTE of level `level` for `address` covers.
const fn next_multiple(address: u64, level: u8) -> u64 {
    let bytes = (PAGE_SIZE as u64) << (9 * (level - 1));
    (address / bytes + 1) * bytes
}
