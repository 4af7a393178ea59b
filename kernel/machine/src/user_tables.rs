//! The page tables of one address space's user half.
//!
//! # Walking
//!
//! A range that a program names can have 2^35 pages of which none was ever touched. What is done to the PTEs of a range
//! goes through [`UserTables::walk`], which passes over what has no table in steps of 2 MiB to 512 GiB, and holds the lock for
//! no longer than the caller keeps the PTEs of one table.
//!
//! # Invariants
//!
//! A table is freed only by [`UserTables::free_tables`], under the lock and by the holder of the [`TablesKey`], and with the last
//! reference. So a caller that has the lock, or keeps the key where it is, can walk: what it finds borrows the one or the other.
//!
//! The generation grows before the PTEs of a range change because what is mapped there has, and whenever tables are freed: a
//! fault that looked a PTE up before notices under the lock, and looks again.
//!
//! `users` are the processors that walk the tables or remember what they say. What is taken out of a table while there are
//! some makes them stale: before a frame is used again they have forgotten it, see [`translations::flush_stale`].

use core::marker::PhantomData;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use quire_swap::Locked;
use quire_swap::header::PAGE_SIZE;
use x86_64::structures::paging::PageTableFlags as Flags;

use crate::address_map::USER_END;
use crate::arch::page_table::{self, ENTRIES, Table, flags_of, frame_of};
pub use crate::arch::root::Root;
use crate::arch::translations;
use crate::folio::Folio;
use crate::frame::{Frame, FrameNumber, Kind, OwnList};
use crate::kernel_map;
use crate::physical;
use crate::protection::Protection;
use crate::pte::{self, Pte};
use crate::sync::{Rank, SpinGuard, SpinLock};
use crate::task::{Killed, check_killed};
use crate::unique::UniqueFrame;
use crate::upcall::upcalls;

/// The flags of the tables above the leaves.
const TABLE: Flags = Flags::PRESENT.union(Flags::WRITABLE).union(Flags::USER_ACCESSIBLE);
/// The entries of a root that are the user half's.
const USER_HALF: usize = ENTRIES / 2;

/// The page tables of one address space.
pub struct UserTables {
    root: Root,
    /// Of these tables alone: the root's frame may have been another's, whose key is there still.
    number: u64,
    /// The lock of the PTEs, and frames that were reserved for tables.
    lock: SpinLock<OwnList>,
    tables: AtomicUsize,
    generation: AtomicU64,
}

/// The right to free the tables of one space, and the promise that they stay while it is borrowed. There is one for each.
pub struct TablesKey(u64);

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(0);

/// Where the PTE of a page was, as of a generation.
#[derive(Clone, Copy)]
pub struct Seat<'a> {
    tables: &'a UserTables,
    address: u64,
    entry: Option<NonNull<AtomicU64>>,
    generation: u64,
}

/// What [`TablesGuard::recall`] found.
pub enum Recalled<'a> {
    /// What is mapped has changed since.
    Changed,
    /// There was no table for the PTE then.
    NoTable,
    /// The PTE.
    Found(PteCell<'a>),
}

impl UserTables {
    /// Tables with nothing in the user half, with `root` for their root.
    pub fn new(root: UniqueFrame) -> (Self, TablesKey) {
        let root = root.into_number();
        // SAFETY: the new root was just allocated; the kernel's is never freed.
        let (entries, kernel) = unsafe { (page_table::table(root), page_table::table(kernel_map::root())) };
        for (index, (entry, kernel)) in entries.iter().zip(kernel).enumerate() {
            entry.store(if index < USER_HALF { 0 } else { kernel.load(Ordering::Relaxed) }, Ordering::Relaxed);
        }
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
        let tables = Self {
            root: Root::new(root),
            number,
            lock: SpinLock::new(Rank::PageTable, OwnList::empty()),
            tables: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
        };
        (tables, TablesKey(number))
    }

    #[inline]
    fn check(&self, key: &TablesKey) {
        assert!(key.0 == self.number, "the key of other tables");
    }

    /// Their root.
    pub const fn root(&self) -> &Root {
        &self.root
    }

    /// How many there are below the root.
    pub fn count(&self) -> usize {
        self.tables.load(Ordering::Relaxed)
    }

    /// What is mapped has changed: to be called before the PTEs are brought in line.
    pub fn mappings_changed(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Locks the PTEs.
    #[inline]
    pub fn lock(&self) -> TablesGuard<'_> {
        TablesGuard { tables: self, spare: self.lock.lock() }
    }

    /// Where the PTE of the page at `address` is, and what it says; 0 when there is no table for it. Takes no lock.
    ///
    /// # Panics
    /// When the key is another's.
    #[inline]
    pub fn look_up(&self, key: &TablesKey, address: u64) -> (Seat<'_>, u64) {
        self.check(key);
        let generation = self.generation.load(Ordering::Acquire);
        // SAFETY: no table is freed while the key is borrowed.
        let entry = unsafe { walk(self.root.frame(), address) };
        let bits = entry.map_or(0, |entry| entry.load(Ordering::Acquire));
        (Seat { tables: self, address, entry: entry.map(NonNull::from), generation }, bits)
    }

    /// A seat for the page at `address` that knows of no table.
    pub fn seat(&self, address: u64) -> Seat<'_> {
        Seat { tables: self, address, entry: None, generation: self.generation.load(Ordering::Acquire) }
    }

    /// What the PTE of the page at `address` says now; 0 when there is no table for it.
    pub fn bits(&self, address: u64) -> u64 {
        self.lock().find(address).map_or(0, PteCell::bits)
    }

    /// The folio of the page at `address`, if its PTE says `bits` still, but for the accessed and dirty bits.
    pub fn folio(&self, address: u64, bits: u64) -> Option<Folio> {
        let tables = self.lock();
        let current = tables.find(address)?.bits();
        let frame = pte::folio_frame(current)
            .filter(|_| pte::without_accessed_and_dirty(current) == pte::without_accessed_and_dirty(bits))?;
        Folio::try_from_frame(frame)
    }

    /// A walk over the PTEs of `range` that there are tables for.
    pub fn walk(&self, range: Range<u64>) -> Walk<'_> {
        Walk { tables: self, rest: range.start..range.end.min(USER_END) }
    }

    /// The first page of `range` for whose PTE `choose` has an answer, with that. PTEs without a table are not asked about.
    pub fn find_map<T>(&self, range: Range<u64>, mut choose: impl FnMut(u64) -> Option<T>) -> Option<(u64, T)> {
        let mut walk = self.walk(range);
        while let Some(run) = walk.next_run() {
            let found = run.iter().find_map(|cell| Some((cell.address(), choose(cell.bits())?)));
            if found.is_some() {
                return found;
            }
        }
        None
    }

    /// Reserves a frame for a table, for a caller who cannot wait for it later because of a lock. It was charged by
    /// [`allocate_charged`](crate::upcall::Upcalls::allocate_charged), as all that become tables.
    ///
    /// # Panics
    /// When the frame's kind is another than a table's: other lists might link it.
    pub fn reserve(&self, frame: UniqueFrame) {
        assert!(physical::frames()[frame.number().index()].kind() == Kind::PageTable, "{frame:?} is for no table");
        self.lock.lock().push_front(physical::frames(), frame.into_number());
    }

    /// Frees what was reserved and not used.
    pub fn free_reserved(&self) {
        let mut spare = self.lock.lock();
        while let Some(table) = spare.first() {
            spare.remove(physical::frames(), table);
            // SAFETY: what was reserved is in the list alone.
            free(unsafe { UniqueFrame::from_number(table, 0) });
        }
    }

    /// The table that holds the PTE of the page at `address`, if there is one.
    ///
    /// # Panics
    /// When the key is another's.
    pub fn leaf<'a>(&'a self, key: &'a TablesKey, address: u64) -> Option<Leaf<'a>> {
        self.check(key);
        // SAFETY: no table is freed while the key is borrowed.
        let table = unsafe { leaf_table(self.root.frame(), address) }?;
        // The last entry of the last table is that of the page behind the user half.
        let is_last = address / page_table::covered(2) == USER_END / page_table::covered(2);
        Some(Leaf(&table[..ENTRIES - usize::from(is_last)]))
    }

    /// Takes the processor that runs this off the tables, which it uses no more; it goes on with the kernel's.
    pub fn leave(&self) {
        if translations::active_root() == self.root.frame() {
            translations::activate(Some(&self.root), None);
        }
    }

    /// Frees the tables, but for the root. What their PTEs own still is lost: they are to be empty.
    ///
    /// # Panics
    /// When the key is another's.
    pub fn free_tables(&self, key: &mut TablesKey) {
        self.check(key);
        let _lock = self.lock.lock();
        self.mappings_changed();
        self.free_all();
    }

    /// The caller has the lock and the key, or the only reference.
    fn free_all(&self) {
        // SAFETY: the root is this space's, and stays for now.
        for entry in unsafe { &page_table::table(self.root.frame())[..USER_HALF] } {
            let entry = entry.swap(0, Ordering::SeqCst);
            if entry != 0 {
                // Some processor may have remembered the way through them.
                translations::mark_stale(self.root.users());
                translations::flush_stale();
                // SAFETY: the only way to the tables is gone, and no processor remembers it.
                unsafe { free_table(entry, 3) };
            }
        }
        self.tables.store(0, Ordering::Relaxed);
    }
}

impl Drop for UserTables {
    fn drop(&mut self) {
        self.leave();
        assert!(
            self.root.users().load(Ordering::Acquire) == 0 || quire_swap::is_panicking(),
            "page tables are freed while a processor uses them"
        );
        self.free_all();
        self.free_reserved();
        // SAFETY: with the last reference to the tables, and no processor that uses it, nothing uses the root.
        free(unsafe { UniqueFrame::from_number(self.root.frame(), 0) });
    }
}

fn free(table: UniqueFrame) {
    (upcalls().free_charged)(table);
}

/// # Safety
/// Nothing leads to the table that `entry`, above the leaves, leads to, or to those below.
unsafe fn free_table(entry: u64, level: u8) {
    if !flags_of(entry).contains(Flags::PRESENT) {
        return;
    }
    if level > 1 {
        // SAFETY: a present entry above the leaves leads to a table of this space.
        for entry in unsafe { page_table::table(frame_of(entry)) } {
            // SAFETY: as the caller promises.
            unsafe { free_table(entry.load(Ordering::Relaxed), level - 1) };
        }
    }
    // SAFETY: as the caller promises.
    free(unsafe { UniqueFrame::from_number(frame_of(entry), 0) });
}

/// The PTE of the page at `address`, if that is in the user half and there is a table for it.
///
/// # Safety
/// As for [`page_table::walk`].
#[inline]
unsafe fn walk(root: FrameNumber, address: u64) -> Option<&'static AtomicU64> {
    if address >= USER_END {
        return None;
    }
    // SAFETY: as the caller promises.
    unsafe { page_table::walk(root, address, 1) }
}

/// The table that holds the PTE of the page at `address`, if that is in the user half and there is one.
///
/// # Safety
/// As for [`page_table::walk`].
unsafe fn leaf_table(root: FrameNumber, address: u64) -> Option<&'static Table> {
    // SAFETY: as the caller promises.
    unsafe { table_of_level(root, address, 1) }
}

/// The table of level `level` for `address`, if that is in the user half and there is one.
///
/// # Safety
/// As for [`page_table::walk`].
unsafe fn table_of_level(root: FrameNumber, address: u64, level: page_table::Level) -> Option<&'static Table> {
    if address >= USER_END {
        return None;
    }
    // SAFETY: as the caller promises.
    unsafe { page_table::walk(root, address, level + 1).and_then(|above| next_table(above.load(Ordering::Acquire))) }
}

/// The table that `entry`, above the leaves, leads to.
///
/// # Safety
/// It is one of the user half's, and the table is not freed while the reference lives.
unsafe fn next_table(entry: u64) -> Option<&'static Table> {
    // SAFETY: a present entry above the leaves leads to a table, as no page is larger than 4 KiB in the user half.
    flags_of(entry).contains(Flags::PRESENT).then(|| unsafe { page_table::table(frame_of(entry)) })
}

/// Where a PTE is, while its table stays and its lock is held.
#[derive(Clone, Copy)]
pub struct PteCell<'a> {
    entry: &'a AtomicU64,
    address: u64,
    root: &'a Root,
}

impl PteCell<'_> {
    /// The page's address.
    #[inline]
    pub const fn address(self) -> u64 {
        self.address
    }

    /// What the PTE says now.
    #[inline]
    pub fn bits(self) -> u64 {
        self.entry.load(Ordering::Acquire)
    }

    /// Puts another PTE there; returns the one that was there.
    #[inline]
    pub fn replace(self, new: Pte) -> Pte {
        let before = self.entry.swap(new.into_bits(), Ordering::SeqCst);
        self.has_gone(before);
        // SAFETY: it was the table's.
        unsafe { Pte::from_bits(before) }
    }

    /// The same; the processors have forgotten what was there when this returns.
    #[inline]
    pub fn replace_and_flush(self, new: Pte) -> Pte {
        let before = self.entry.swap(new.into_bits(), Ordering::SeqCst);
        if pte::is_present(before) {
            translations::flush_page(self.address, self.root.users());
        }
        // SAFETY: it was the table's.
        unsafe { Pte::from_bits(before) }
    }

    /// Takes the PTE out.
    #[inline]
    pub fn take(self) -> Pte {
        self.replace(Pte::EMPTY)
    }

    /// Takes the PTE out if it says `expected` still.
    #[inline]
    pub fn take_if(self, expected: u64) -> Option<Pte> {
        self.entry.compare_exchange(expected, 0, Ordering::SeqCst, Ordering::Relaxed).ok()?;
        self.has_gone(expected);
        // SAFETY: it was the table's.
        Some(unsafe { Pte::from_bits(expected) })
    }

    /// Forgets that the page was accessed; whether it was.
    #[inline]
    pub fn clear_accessed(self) -> bool {
        let accessed = pte::is_accessed(self.bits());
        if accessed {
            self.entry.fetch_and(pte::without_accessed(u64::MAX), Ordering::AcqRel);
        }
        accessed
    }

    /// Takes note that the page was accessed, for a recorder, if that is new; whether it is. It stays accessed for
    /// [`pte::is_accessed`].
    pub fn note_accessed(self) -> bool {
        self.entry.fetch_update(Ordering::AcqRel, Ordering::Acquire, pte::with_access_noted).is_ok()
    }

    /// Forgets that the page was accessed and written.
    pub fn clear_accessed_and_dirty(self) {
        if pte::is_mapped(self.bits()) {
            self.entry.fetch_and(pte::without_accessed_and_dirty(u64::MAX), Ordering::AcqRel);
        }
    }

    /// Lets the page be written, if the PTE maps the folio and that may change now; whether it does. The processor may refuse
    /// one more write, and asks again.
    pub fn allow_writes(self, folio: &Locked<Folio>) -> bool {
        let allow = |bits| Pte::writable_bits(bits, folio);
        self.entry.fetch_update(Ordering::SeqCst, Ordering::Acquire, allow).is_ok()
    }

    /// Changes what may be done with the page, if the PTE maps one.
    pub fn protect(self, protection: Protection) {
        let change = |bits| pte::is_mapped(bits).then(|| pte::protected(bits, protection));
        // The processor may mark the PTE meanwhile; what it adds is not lost.
        if let Ok(before) = self.entry.fetch_update(Ordering::SeqCst, Ordering::Acquire, change) {
            self.has_gone(before);
        }
    }

    /// Says that the page stays in memory, or need not, if the PTE maps one.
    pub fn set_locked(self, locked: bool) {
        let change = |bits| pte::is_mapped(bits).then(|| pte::with_locked(bits, locked));
        let _ = self.entry.fetch_update(Ordering::AcqRel, Ordering::Acquire, change);
    }

    /// The processors that use the tables may remember this PTE, which is there no more.
    #[inline]
    fn has_gone(self, bits: u64) {
        if pte::is_present(bits) {
            translations::mark_stale(self.root.users());
        }
    }
}

/// PTEs of one table that follow one another, while it stays and its lock is held.
#[derive(Clone, Copy)]
pub struct Row<'a, const PTES: usize> {
    entries: &'a [AtomicU64; PTES],
    /// The page of the first.
    first: u64,
    root: &'a Root,
}

impl<'a, const PTES: usize> Row<'a, PTES> {
    /// Whether none of them says anything.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.entries.iter().all(|entry| entry.load(Ordering::Acquire) == 0)
    }

    /// The PTEs.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = PteCell<'a>> {
        let pages = (self.first..).step_by(PAGE_SIZE);
        self.entries.iter().zip(pages).map(move |(entry, address)| PteCell { entry, address, root: self.root })
    }

    /// Puts PTEs there, where there are none.
    ///
    /// # Panics
    /// When there are.
    #[inline]
    pub fn fill(self, new: [Pte; PTES]) {
        for (entry, pte) in self.entries.iter().zip(new) {
            assert_eq!(entry.swap(pte.into_bits(), Ordering::SeqCst), 0, "a PTE is lost that owns something");
        }
    }
}

/// A table of PTEs that stays while its space's key is borrowed: the entries of it that are in the user half.
#[derive(Clone, Copy)]
pub struct Leaf<'a>(&'a [AtomicU64]);

impl Leaf<'_> {
    /// Puts a PTE for the page at `address` where there is none. Takes no lock.
    ///
    /// # Errors
    /// The PTE, if there is one.
    ///
    /// # Panics
    /// When the address is not in the user half.
    #[inline]
    pub fn fill(self, address: u64, new: Pte) -> Result<(), Pte> {
        let entry = self.0.get(page_table::index(address, 1)).expect("a page is mapped in the user half");
        let bits = new.into_bits();
        entry.compare_exchange(0, bits, Ordering::AcqRel, Ordering::Relaxed).map(drop).map_err(|_| {
            // SAFETY: it did not get into the table.
            unsafe { Pte::from_bits(bits) }
        })
    }
}

/// The PTEs of an address space, with their lock held.
pub struct TablesGuard<'a> {
    tables: &'a UserTables,
    spare: SpinGuard<'a, OwnList>,
}

impl TablesGuard<'_> {
    #[inline]
    const fn cell(&self, entry: &'static AtomicU64, address: u64) -> PteCell<'_> {
        PteCell { entry, address, root: &self.tables.root }
    }

    /// The PTE of the page at `address`, if there is a table for it.
    #[inline]
    pub fn find(&self, address: u64) -> Option<PteCell<'_>> {
        // SAFETY: tables are freed only under the lock, which is held while the cell lives.
        unsafe { walk(self.tables.root.frame(), address) }.map(|entry| self.cell(entry, address))
    }

    /// The PTE where it was when the seat was taken.
    #[inline]
    pub fn recall(&self, seat: &Seat<'_>) -> Recalled<'_> {
        if !ptr::eq(seat.tables, self.tables) || self.tables.generation.load(Ordering::Acquire) != seat.generation {
            return Recalled::Changed;
        }
        match seat.entry {
            // SAFETY: no table was freed since, and none is while the lock is held.
            Some(entry) => Recalled::Found(self.cell(unsafe { entry.as_ref() }, seat.address)),
            None => Recalled::NoTable,
        }
    }

    /// Finds PTEs one after another: those in one table cost one walk.
    #[inline]
    pub const fn cursor(&self) -> Cursor<'_> {
        Cursor {
            tables: self.tables,
            table: None,
            first: u64::MAX,
            above: None,
            first_above: u64::MAX,
            _lock: PhantomData,
        }
    }

    /// The PTEs of so many pages from `address` on, a power of two to which it is aligned, if there is a table for them.
    #[inline]
    pub fn row<const PTES: usize>(&self, address: u64) -> Option<Row<'_, PTES>> {
        if address > USER_END - (PTES * PAGE_SIZE) as u64 {
            return None;
        }
        // SAFETY: tables are freed only under the lock, which is held while the row lives.
        let table = unsafe { leaf_table(self.tables.root.frame(), address) }?;
        let entries = table.get(page_table::index(address, 1)..)?.first_chunk()?;
        Some(Row { entries, first: address, root: &self.tables.root })
    }

    /// The PTE of the page at `address`; makes the tables for it. `None` when there is no frame for one.
    #[inline]
    pub fn find_or_create(&mut self, address: u64) -> Option<PteCell<'_>> {
        // SAFETY: as in `find`.
        let entry = unsafe { walk(self.tables.root.frame(), address) };
        let entry = entry.or_else(|| self.create(address))?;
        Some(self.cell(entry, address))
    }

    #[inline(never)]
    fn create(&mut self, address: u64) -> Option<&'static AtomicU64> {
        if address >= USER_END {
            return None;
        }
        let mut allocate = || {
            let spare = self.spare.first().inspect(|table| self.spare.remove(physical::frames(), *table));
            let charged = || (upcalls().allocate_charged)(Kind::PageTable);
            let table = spare.or_else(|| charged().map(UniqueFrame::into_number))?;
            self.tables.tables.fetch_add(1, Ordering::Relaxed);
            Some(table)
        };
        // SAFETY: the root is this space's, whose lock is held; the frames that `allocate` gives are new.
        unsafe { page_table::walk_or_create(self.tables.root.frame(), address, 1, TABLE, &mut allocate) }
    }

    /// The PTEs at the start of `range` that lie in one table, and the address from which to go on; no PTEs where there
    /// is no table.
    fn run(&self, range: &Range<u64>) -> (&'static [AtomicU64], u64) {
        let address = range.start;
        let root = self.tables.root.frame();
        // SAFETY: tables are freed only under the lock, which is held.
        let missing = (1..=3).rev().find(|&level| unsafe { page_table::walk(root, address, level) }.is_none());
        if let Some(level) = missing {
            // Nothing below the table of the next level up: on to what that table's next entry covers.
            return (&[], next_multiple(address, level + 1).min(range.end));
        }
        let end = next_multiple(address, 2).min(range.end);
        // SAFETY: as above.
        let table = unsafe { leaf_table(root, address) };
        let first = page_table::index(address, 1);
        let entries =
            table.map_or(&[][..], |table| &table[first..first + ((end - address) / PAGE_SIZE as u64) as usize]);
        (entries, end)
    }
}

/// A walk over the PTEs of a range that there are tables for: see [`UserTables::walk`].
pub struct Walk<'a> {
    tables: &'a UserTables,
    rest: Range<u64>,
}

impl<'a> Walk<'a> {
    /// The next PTEs, of one table, locked while the value is there: before this is called again it has to go. `None` at the
    /// range's end.
    pub fn next_run(&mut self) -> Option<Run<'a>> {
        while !self.rest.is_empty() {
            let guard = self.tables.lock();
            let first = self.rest.start;
            let (entries, next) = guard.run(&self.rest);
            self.rest.start = next;
            if !entries.is_empty() {
                return Some(Run { guard, entries, first });
            }
        }
        None
    }

    /// As [`Self::next_run`], for work that is worth nothing once the task is killed.
    ///
    /// # Errors
    /// [`Killed`].
    pub fn next_run_unless_killed(&mut self) -> Result<Option<Run<'a>>, Killed> {
        check_killed()?;
        Ok(self.next_run())
    }

    /// Lets the walk go on from `page`, which the last run had.
    pub const fn go_back_to(&mut self, page: u64) {
        self.rest.start = page;
    }
}

/// PTEs of one table that follow one another, with their lock held.
pub struct Run<'a> {
    guard: TablesGuard<'a>,
    /// They stay while the guard is here, and are given out for no longer.
    entries: &'static [AtomicU64],
    /// The page of the first.
    first: u64,
}

impl Run<'_> {
    /// The PTEs.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = PteCell<'_>> {
        let cell = |(page, entry)| self.guard.cell(entry, self.first + page * PAGE_SIZE as u64);
        (0..).zip(self.entries).map(cell)
    }

    /// Calls `visit` with each page whose PTE says something, a copy of that for another space, and the metadata of the folio that it
    /// maps. The copy is not locked in memory, and neither of the two is writable from now on. What it owns besides a folio is the
    /// caller's to see to.
    ///
    /// # Errors
    /// The first of `visit`, at which it ends.
    #[inline]
    pub fn share_each<E>(
        &self,
        mut visit: impl FnMut(u64, Pte, Option<&'static Frame>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut was_writable = false;
        let mut outcome = Ok(());
        for cell in self.iter() {
            let bits = cell.bits();
            if bits == 0 {
                continue;
            }
            if pte::is_writable(bits) {
                cell.entry.fetch_and(!Flags::WRITABLE.bits(), Ordering::SeqCst);
                was_writable = true;
            }
            // SAFETY: under the lock the PTE stays.
            let (copy, folio) = unsafe { Pte::copy_of(pte::for_other_space(bits)) };
            outcome = visit(cell.address, copy, folio);
            if outcome.is_err() {
                break;
            }
        }
        // Once for all, under the same lock: no frame comes free by this.
        if was_writable {
            translations::mark_stale(self.guard.tables.root.users());
        }
        outcome
    }

    /// The pages.
    pub const fn range(&self) -> Range<u64> {
        self.first..self.first + (self.entries.len() * PAGE_SIZE) as u64
    }

    /// Moves each PTE that says something to the page `distance` further, wrapping, where there is none. What was there is
    /// dropped.
    ///
    /// # Errors
    /// [`AllocationError`](crate::AllocationError) when there is no frame for a table; the rest stays where it is.
    pub fn move_by(&mut self, distance: u64) -> Result<(), crate::AllocationError> {
        for (page, entry) in (self.first..).step_by(PAGE_SIZE).zip(self.entries) {
            if entry.load(Ordering::Relaxed) == 0 {
                continue;
            }
            let to = page.wrapping_add(distance);
            // Making a table frees none, and the lock is held: both PTEs stay where they are.
            let target = self.guard.find_or_create(to).map(|cell| ptr::from_ref(cell.entry));
            // SAFETY: as above.
            let target = unsafe { &*target.ok_or(crate::AllocationError)? };
            drop(self.guard.cell(target, to).replace(self.guard.cell(entry, page).take()));
        }
        Ok(())
    }
}

/// Where [`TablesGuard::cursor`] is.
pub struct Cursor<'a> {
    tables: &'a UserTables,
    table: Option<&'static Table>,
    /// The first address whose PTE is in `table`.
    first: u64,
    /// The table that leads to it, and to those of the same GiB.
    above: Option<&'static Table>,
    first_above: u64,
    _lock: PhantomData<&'a TablesGuard<'a>>,
}

impl<'a> Cursor<'a> {
    /// The PTE of the page at `address`, if there is a table for it.
    #[inline]
    pub fn find(&mut self, address: u64) -> Option<PteCell<'a>> {
        if address >= USER_END {
            return None;
        }
        let first = address & !(next_multiple(0, 2) - 1);
        if self.first != first {
            self.go_to(address, first);
        }
        let entry = &self.table?[page_table::index(address, 1)];
        Some(PteCell { entry, address, root: &self.tables.root })
    }

    #[inline(never)]
    fn go_to(&mut self, address: u64, first: u64) {
        let first_above = address & !(next_multiple(0, 3) - 1);
        if self.first_above != first_above {
            // SAFETY: tables are freed only under the lock, which is held while the cursor lives.
            let above = unsafe { table_of_level(self.tables.root.frame(), address, 2) };
            (self.above, self.first_above) = (above, first_above);
        }
        let entry = self.above.map(|above| above[page_table::index(address, 2)].load(Ordering::Acquire));
        // SAFETY: as above.
        self.table = unsafe { entry.and_then(|entry| next_table(entry)) };
        self.first = first;
    }
}

/// The first address past what the entry of level `level` for `address` covers.
const fn next_multiple(address: u64, level: u8) -> u64 {
    let bytes = page_table::covered(level);
    (address / bytes + 1) * bytes
}
