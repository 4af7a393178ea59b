//! Address spaces: what a program has mapped, and its page tables.
//!
//! # Locking
//!
//! `layout` sleeps and is held by whoever changes or checks what is mapped, never across I/O. The page tables have a
//! spinning lock of their own (`PageTables`). Whoever changes the layout first changes the VMAs, then counts the
//! change (`PageTables::mappings_changed`), then brings the PTEs in line: a fault that had looked the VMAs up before
//! sees the new count under the tables' lock and starts over. Reclaim comes from other threads and takes only the tables'.
//!
//! What is taken out of the PTEs is given back after the processors have forgotten it, some PTEs at a time.

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::cmp;
use core::ops::{Bound, Deref, DerefMut, Range};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use arrayvec::ArrayVec;
use quire_machine::AllocationError;
use quire_machine::address_map::USER_END;
use quire_machine::arch::page_table;
use quire_machine::fallible::{self, NoMemory, TryMap};
use quire_machine::heap;
use quire_machine::protection::Protection;
use quire_machine::sync::{Rank, SpinLock};
use quire_machine::task::{Killed, Mutex, MutexGuard};
use quire_machine::user_tables::{PteCell, TablesKey};
use quire_swap::header::PAGE_SIZE;
use quire_swap::{DecodedPte, Entry, FolioFlag, Readahead, SlotRange};

use crate::fatal::Fatal;
use crate::limit::Limit;
use crate::object::Object;
use crate::overcommit::{self, Commitment, Overcommit};
use crate::page_tables::{self, PageTables, Pte};
use crate::rmap::{AnonVma, Owner, RmapLink};
use crate::swap::references;
use crate::upcall::{Memory, Weights};
use crate::vma::{Promise, READAHEADS, TooMany, Totals, Vma, Vmas};
use crate::{lru, progress};

const PAGE: u64 = PAGE_SIZE as u64;
/// Nothing is mapped below, so that null pointers with small offsets fault (Linux: `vm.mmap_min_addr`).
pub const LOWEST: u64 = 0x1_0000;
/// Places are chosen below, so that there is room for the stack to grow (Linux: `mmap_base`).
pub const HIGHEST_CHOSEN: u64 = USER_END - (128 << 20);
/// Where `MAP_32BIT` maps.
const LOW: Range<u64> = 0x4000_0000..0x8000_0000;
/// How many PTEs are emptied at a time.
const GONE: usize = 64;

type Attached = Arc<RmapLink>;

/// An address space.
pub struct AddressSpace {
    number: u32,
    pub(crate) tables: Arc<PageTables>,
    layout: Mutex<Keyed>,
    /// Ties what is mapped where it was first mapped to the `anon_vma`: the base is 0.
    home: Attached,
    readaheads: [Readahead; READAHEADS],
    pub(crate) limits: [AtomicU64; Limit::COUNT],
    locked_pages: AtomicUsize,
    /// Its private memory was taken away: see [`AddressSpace::reap`].
    is_reaped: AtomicBool,
    is_given_up: AtomicBool,
    /// Why the task that owns it, one without a process, cannot go on.
    fatal: SpinLock<Option<Fatal>>,
}

/// The layout, and what its lock protects beside it.
struct Keyed {
    layout: Layout,
    /// Page tables stay while the layout is locked, but for whoever frees them all.
    key: TablesKey,
}

/// What is mapped.
pub(crate) struct Layout {
    pub(crate) vmas: Vmas<Attached>,
    /// The heap of `brk(2)`.
    heap: Range<u64>,
    /// What is mapped from now on is locked (`mlockall(MCL_FUTURE)`).
    pub(crate) lock_new: LockNew,
    /// What is promised to the VMAs: as much as [`Totals::promised`](crate::vma::Totals) says, and while something is
    /// being changed perhaps more.
    pub(crate) promised: Commitment,
}

/// The locked layout. Giving it back gives back what was promised to VMAs that are not there any more, or did not come.
/// What is locked is counted then, for those who look without the lock.
pub(crate) struct LayoutGuard<'a> {
    keyed: MutexGuard<'a, Keyed>,
    locked_pages: &'a AtomicUsize,
}

impl Deref for LayoutGuard<'_> {
    type Target = Layout;

    fn deref(&self) -> &Layout {
        &self.keyed.layout
    }
}

impl DerefMut for LayoutGuard<'_> {
    fn deref_mut(&mut self) -> &mut Layout {
        &mut self.keyed.layout
    }
}

impl LayoutGuard<'_> {
    /// What keeps the page tables where they are while it is borrowed.
    pub(crate) fn key(&self) -> &TablesKey {
        &self.keyed.key
    }
}

impl Drop for LayoutGuard<'_> {
    fn drop(&mut self) {
        let totals = self.vmas.totals();
        self.promised.keep(totals.promised / PAGE);
        self.locked_pages.store((totals.locked / PAGE) as usize, Ordering::Relaxed);
    }
}

/// Whether what is mapped from now on is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockNew {
    /// It is not.
    No,
    /// It is, and brought in at once.
    BringIn,
    /// It is once it is touched (`MCL_ONFAULT`).
    OnFault,
}

/// Where a mapping is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// At the hint if that is free, else anywhere.
    Anywhere {
        /// An address, or 0.
        hint: u64,
    },
    /// Where an address has 31 bits (`MAP_32BIT`).
    Low,
    /// There; what is mapped there is unmapped.
    Fixed(u64),
    /// There, if nothing is.
    FixedNoReplace(u64),
}

/// Where the pages of a mapping come from.
#[derive(Clone)]
pub enum Backing {
    /// They are zero at first.
    Anonymous,
    /// They are an object's.
    Object {
        /// The object.
        object: Arc<Object>,
        /// The byte of the object that the mapping begins with; page-aligned.
        offset: u64,
    },
}

/// What to map.
#[expect(clippy::struct_excessive_bools, reason = "independent flags of mmap(2)")]
#[derive(Clone)]
pub struct MapRequest {
    /// Where.
    pub place: Placement,
    /// How many bytes; rounded up to pages.
    pub length: u64,
    /// What may be done with the pages.
    pub protection: Protection,
    /// Where the pages come from.
    pub backing: Backing,
    /// Writes go to the object, and children share them. Shared anonymous memory gets an object of its own.
    pub shared: bool,
    /// `mprotect` may make it writable.
    pub may_write: bool,
    /// A stack.
    pub grows_down: bool,
    /// Memory may be promised that is not there.
    pub no_reserve: bool,
    /// The pages stay in memory.
    pub locked: bool,
    /// The pages are brought in at once.
    pub populate: bool,
    /// What `/proc/PID/maps` calls it.
    pub name: Option<Arc<str>>,
}

impl MapRequest {
    /// Private memory that is zero at first, to read and write.
    pub const fn anonymous(place: Placement, length: u64) -> Self {
        Self {
            place,
            length,
            protection: Protection::READ_WRITE,
            backing: Backing::Anonymous,
            shared: false,
            may_write: true,
            grows_down: false,
            no_reserve: false,
            locked: false,
            populate: false,
            name: None,
        }
    }

    /// In mode 2 no memory is left unpromised.
    fn waives_promise(&self) -> bool {
        self.no_reserve && overcommit::mode() != Overcommit::Never
    }

    fn promise(&self) -> Promise {
        match (self.waives_promise(), self.protection.write && !self.shared) {
            (true, _) => Promise::Waived,
            (false, true) => Promise::Made,
            (false, false) => Promise::NotYet,
        }
    }
}

/// Why nothing was mapped or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// It is empty, not page-aligned, or not in the user half.
    OutOfRange,
    /// Part of it is mapped already.
    Overlap,
    /// Part of it is not mapped.
    NotMapped,
    /// The object does not allow this.
    NotAllowed,
    /// There is no place, no memory, or a limit is reached.
    NoMemory,
    /// Pages cannot be locked: the limit is reached.
    LockLimit,
    /// It is below [`LOWEST`].
    TooLow,
    /// A page cannot be brought in.
    NotToBeHad,
    /// A page was lost with the swap area that held it.
    Poisoned,
    /// The task was killed meanwhile.
    Killed,
}

impl From<TooMany> for MapError {
    fn from(_: TooMany) -> Self {
        Self::NoMemory
    }
}

impl From<NoMemory> for MapError {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}

impl From<Killed> for MapError {
    fn from(_: Killed) -> Self {
        Self::Killed
    }
}

impl From<AllocationError> for MapError {
    fn from(_: AllocationError) -> Self {
        Self::NoMemory
    }
}

/// What a space uses, in pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Mapped (`VmSize`).
    pub mapped: usize,
    /// In memory, private (`RssAnon`).
    pub anonymous: usize,
    /// In memory, of objects (`RssFile` and `RssShmem`).
    pub object: usize,
    /// In swap (`VmSwap`).
    pub swapped: usize,
    /// Locked (`VmLck`).
    pub locked: usize,
    /// Private and writable, but for stacks (`VmData`).
    pub data: usize,
    /// Stacks (`VmStk`).
    pub stack: usize,
    /// Executable (`VmExe`).
    pub text: usize,
    /// Page tables, in frames (`VmPTE`).
    pub tables: usize,
    /// The most that were in memory at once (`VmHWM`).
    pub peak: usize,
}

impl Usage {
    /// In memory (`VmRSS`).
    pub const fn resident(&self) -> usize {
        self.anonymous + self.object
    }
}

/// One VMA, for `/proc/PID/maps`.
#[derive(Debug)]
pub struct VmaView<'a> {
    /// The addresses.
    pub range: Range<u64>,
    /// What may be done with them.
    pub protection: Protection,
    /// Whether writes go to the object.
    pub shared: bool,
    /// The byte of the object that it begins with.
    pub offset: u64,
    /// What it was called when it was mapped, or `[heap]`, or `[stack]`.
    pub name: Option<&'a str>,
}

static NEXT_NUMBER: AtomicU32 = AtomicU32::new(1);
static SPACES: SpinLock<BTreeMap<u32, Weak<AddressSpace>>> = SpinLock::new(Rank::Spaces, BTreeMap::new());

impl AddressSpace {
    /// An address space with nothing in its user half, the first of a new `anon_vma`.
    ///
    /// # Errors
    /// [`AllocationError`] when there is no memory for it.
    pub fn new() -> Result<Arc<Self>, AllocationError> {
        let space = Self::of_lineage(None)?;
        Ok(space.publish()?)
    }

    /// An address space with nothing in its user half that shares its `anon_vma` with `relative`, not known to anybody yet.
    pub(crate) fn of_lineage(relative: Option<&Self>) -> Result<Self, AllocationError> {
        fallible::ask(size_of::<Self>() + 1024)?;
        let (tables, key) = PageTables::new()?;
        let tables = fallible::shared(tables)?;
        let home = match relative {
            Some(relative) => relative.home.for_other(&tables)?,
            None => RmapLink::new(Owner::AnonVma(AnonVma::new()?), &tables, 0)?,
        };
        Ok(Self {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            tables,
            layout: Mutex::new(Rank::Vmas, Keyed { layout: Layout::new(), key }),
            home,
            readaheads: [const { Readahead::new() }; READAHEADS],
            limits: core::array::from_fn(|limit| {
                AtomicU64::new(relative.map_or(u64::MAX, |relative| relative.limits[limit].load(Ordering::Relaxed)))
            }),
            locked_pages: AtomicUsize::new(0),
            is_reaped: AtomicBool::new(false),
            is_given_up: AtomicBool::new(false),
            fatal: SpinLock::new(Rank::WaitQueue, None),
        })
    }

    /// Makes the space known to `swapoff`.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub(crate) fn publish(self) -> Result<Arc<Self>, NoMemory> {
        let space = fallible::shared(self)?;
        SPACES.lock().insert_if_room(space.number, Arc::downgrade(&space))?;
        Ok(space)
    }

    /// A number that no other space has.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Why the task that owns it cannot go on, if it cannot.
    pub fn fatal(&self) -> Option<Fatal> {
        *self.fatal.lock()
    }

    /// Notes why its task cannot go on; the first reason stays.
    pub(crate) fn set_fatal(&self, fatal: Fatal) {
        self.fatal.lock().get_or_insert(fatal);
    }

    /// What faults have taught about reading ahead in a VMA with this [`Vma::readahead`]; faults reach it without the
    /// layout's lock.
    pub(crate) fn readahead(&self, place: u8) -> &Readahead {
        &self.readaheads[usize::from(place) % READAHEADS]
    }

    /// How many of its pages are in memory.
    pub fn resident(&self) -> usize {
        self.tables.counts.resident()
    }

    pub(crate) fn layout(&self) -> LayoutGuard<'_> {
        LayoutGuard { keyed: self.layout.lock(), locked_pages: &self.locked_pages }
    }

    /// Gives a space that nobody else knows its layout.
    pub(crate) fn set_layout(&mut self, layout: Layout) {
        self.layout.get_mut().layout = layout;
    }

    /// The page tables of a space that nobody else knows, and what keeps them where they are.
    pub(crate) fn keyed_tables(&mut self) -> (&PageTables, &TablesKey) {
        (&self.tables, &self.layout.get_mut().key)
    }

    pub(crate) const fn home(&self) -> &Attached {
        &self.home
    }

    /// Makes the pages of `range` part of the space, private, zero until they are written to.
    ///
    /// # Errors
    /// [`MapError`]; nothing changes.
    pub fn map_anonymous(&self, range: Range<u64>) -> Result<(), MapError> {
        if !range.end.is_multiple_of(PAGE) {
            return Err(MapError::OutOfRange);
        }
        let length = range.end.checked_sub(range.start).ok_or(MapError::OutOfRange)?;
        self.map(&MapRequest {
            no_reserve: true,
            ..MapRequest::anonymous(Placement::FixedNoReplace(range.start), length)
        })
        .map(drop)
    }

    /// Maps what `request` says; returns the address.
    ///
    /// # Errors
    /// [`MapError`]; nothing changes, but that what was mapped at a fixed place may be gone.
    pub fn map(&self, request: &MapRequest) -> Result<u64, MapError> {
        if request.length == 0 {
            return Err(MapError::OutOfRange);
        }
        let length = request.length.checked_next_multiple_of(PAGE).ok_or(MapError::NoMemory)?;
        if length > USER_END {
            return Err(MapError::NoMemory);
        }
        if !heap::may_allocate(4096) {
            return Err(MapError::NoMemory);
        }
        let mut layout = self.layout();
        let start = layout.place(request.place, length)?;
        let range = start..start + length;
        let locks = layout.lock_new;
        let mut vma = Vma {
            shared: request.shared,
            may_write: request.may_write,
            grows_down: request.grows_down,
            locked: request.locked || locks != LockNew::No,
            promise: request.promise(),
            name: request.name.clone(),
            ..Vma::anonymous(range.clone(), request.protection, Arc::clone(&self.home))
        };
        let gone = layout.vmas.totals_in(&range);
        self.admit(&mut layout, gone, vma.totals())?;
        let object = match &request.backing {
            Backing::Object { object, offset } => Some((Arc::clone(object), *offset)),
            Backing::Anonymous if request.shared => {
                let mapped = layout.vmas.totals().mapped / PAGE;
                Some((Object::shared(length, mapped, request.waives_promise())?, 0))
            }
            Backing::Anonymous => None,
        };
        let object = object.map(|(object, offset)| {
            let base = start.wrapping_sub(offset);
            match layout.attachment_like(&object, base) {
                Some(link) => Ok(link),
                None => RmapLink::new(Owner::Object(object), &self.tables, base),
            }
        });
        vma.object = object.transpose()?;
        self.unmap_from(&mut layout, &range)?;
        layout.vmas.insert(vma)?;
        drop(layout);
        if request.locked || request.populate || locks == LockNew::BringIn {
            // As on Linux, it is mapped even if its pages cannot be had.
            let _ = self.populate(range);
        }
        Ok(start)
    }

    /// Unmaps what is mapped in `range`.
    ///
    /// # Errors
    /// [`MapError`]; nothing changes.
    pub fn unmap(&self, range: Range<u64>) -> Result<(), MapError> {
        check(&range)?;
        self.unmap_from(&mut self.layout(), &range)
    }

    pub(crate) fn unmap_from(&self, layout: &mut Layout, range: &Range<u64>) -> Result<(), MapError> {
        if layout.vmas.is_free(range) {
            return Ok(());
        }
        let removed = layout.vmas.remove(range)?;
        self.release(&removed);
        Ok(())
    }

    /// Empties the PTEs of VMAs that are not in the layout any more.
    pub(crate) fn release(&self, removed: &Vmas<Attached>) {
        self.tables.mappings_changed();
        for vma in removed.iter() {
            self.zap(vma.range.clone());
        }
    }

    /// Changes what may be done with the pages of `range`.
    ///
    /// # Errors
    /// [`MapError`]; nothing changes.
    pub fn protect(&self, range: Range<u64>, protection: Protection) -> Result<(), MapError> {
        check(&range)?;
        let mut layout = self.layout();
        if !layout.vmas.covers(&range) {
            return Err(MapError::NotMapped);
        }
        let is_refused = |vma: &Vma<Attached>| protection.write && vma.shared && !vma.may_write;
        if layout.vmas.overlapping(range.clone()).any(is_refused) {
            return Err(MapError::NotAllowed);
        }
        let change = |vma: &mut Vma<Attached>| vma.set_protection(protection);
        let added = layout.vmas.parts(&range).map(|mut part| {
            change(&mut part);
            // It is locked already.
            Totals { locked: 0, ..part.totals() }
        });
        let (gone, added) = (Totals { locked: 0, ..layout.vmas.totals_in(&range) }, added.sum());
        self.admit(&mut layout, gone, added)?;
        layout.vmas.change(&range, change)?;
        self.tables.mappings_changed();
        self.for_each_pte(range, |cell| cell.protect(protection));
        page_table::flush_stale();
        Ok(())
    }

    /// Calls `change` with each PTE of `range` that there is a table for. The caller flushes.
    pub(crate) fn for_each_pte(&self, range: Range<u64>, mut change: impl FnMut(PteCell<'_>)) {
        let mut walk = self.tables.walk(range);
        while let Some(run) = walk.next_run() {
            run.iter().for_each(&mut change);
        }
    }

    /// Empties the PTEs of `range` and gives back what they owned.
    pub(crate) fn zap(&self, range: Range<u64>) {
        self.zap_where(range, |pte| pte != 0);
    }

    /// Empties the PTEs of `range` that `is_meant` chooses and gives back what they owned.
    pub(crate) fn zap_where(&self, range: Range<u64>, is_meant: impl Fn(u64) -> bool) {
        let mut walk = self.tables.walk(range);
        while let Some(run) = walk.next_run() {
            let mut gone = ArrayVec::<Pte, GONE>::new();
            for cell in run.iter().filter(|cell| is_meant(cell.bits())) {
                if gone.is_full() {
                    walk.go_back_to(cell.address());
                    break;
                }
                let before = cell.take();
                self.tables.counts.remove(before.bits());
                gone.push(before);
            }
            drop(run);
            page_table::flush_stale();
            if !gone.is_empty() {
                gone.into_iter().for_each(forget);
                progress::frames_freed();
            }
        }
    }

    /// Puts an empty heap at `start` (`brk(2)` moves its end).
    pub fn start_break(&self, start: u64) {
        let start = start.next_multiple_of(PAGE);
        self.layout().heap = start..start;
    }

    /// Moves the end of the heap to `end` if that is possible; returns where it is then.
    pub fn set_break(&self, end: u64) -> u64 {
        let mut layout = self.layout();
        let heap = layout.heap.clone();
        let is_possible = end >= heap.start && end < USER_END && end - heap.start <= self.limit(Limit::Break);
        if !is_possible {
            return heap.end;
        }
        let (old, new) = (heap.end.next_multiple_of(PAGE), end.next_multiple_of(PAGE));
        let locks = layout.lock_new;
        let moved = match new.cmp(&old) {
            cmp::Ordering::Greater => self.extend_heap(&mut layout, old..new),
            cmp::Ordering::Less => self.unmap_from(&mut layout, &(new..old)),
            cmp::Ordering::Equal => Ok(()),
        };
        if moved.is_err() {
            return heap.end;
        }
        layout.heap.end = end;
        drop(layout);
        if new > old && locks == LockNew::BringIn {
            let _ = self.populate(old..new);
        }
        end
    }

    fn extend_heap(&self, layout: &mut Layout, range: Range<u64>) -> Result<(), MapError> {
        // Not into the guard gap of what lies above, as on Linux.
        let is_clear = layout.vmas.is_free(&(range.start..range.end + PAGE));
        if !is_clear || !heap::may_allocate(4096) {
            return Err(MapError::NoMemory);
        }
        let locked = layout.lock_new != LockNew::No;
        let vma = Vma { locked, ..Vma::anonymous(range, Protection::READ_WRITE, Arc::clone(&self.home)) };
        self.admit(layout, Totals::NONE, vma.totals())?;
        Ok(layout.vmas.insert(vma)?)
    }

    /// What it uses.
    pub fn usage(&self) -> Usage {
        self.tables.counts.note_peak();
        let mut usage = self.usage_without_vmas();
        for vma in self.layout().vmas.iter() {
            let pages = (vma.length() / PAGE) as usize;
            usage.mapped += pages;
            if vma.grows_down {
                usage.stack += pages;
            } else if vma.protection.execute && !vma.protection.write {
                usage.text += pages;
            } else if vma.is_data() {
                usage.data += pages;
            }
        }
        usage
    }

    /// [`Self::usage`] without what the VMAs say, and without waiting for them.
    fn usage_without_vmas(&self) -> Usage {
        let counts = &self.tables.counts;
        let get = |count: &AtomicUsize| count.load(Ordering::Relaxed);
        Usage {
            anonymous: get(&counts.anonymous),
            object: get(&counts.object),
            swapped: get(&counts.swapped),
            tables: self.tables.count() + 1,
            peak: get(&counts.peak),
            locked: self.locked_pages.load(Ordering::Relaxed),
            ..Usage::default()
        }
    }

    /// Puts a task that has the space to itself into another cgroup.
    pub fn set_cgroup(&self, cgroup: u8) {
        self.tables.counts.set_cgroup(cgroup);
    }

    /// The cgroup of a task that has the space to itself.
    pub fn cgroup(&self) -> u8 {
        self.tables.counts.cgroup()
    }

    /// Calls `visit` with the VMAs that end above `from`, by address, until it returns an error.
    ///
    /// # Errors
    /// What `visit` returns.
    pub fn visit_vmas<E>(&self, from: u64, mut visit: impl FnMut(&VmaView<'_>) -> Result<(), E>) -> Result<(), E> {
        let layout = self.layout();
        for vma in layout.vmas.overlapping(from..u64::MAX) {
            let own_name = || {
                let is_heap = vma.range.start < layout.heap.end && layout.heap.start < vma.range.end;
                match (vma.grows_down, is_heap) {
                    (true, _) => Some("[stack]"),
                    (_, true) => Some("[heap]"),
                    _ => None,
                }
            };
            visit(&VmaView {
                range: vma.range.clone(),
                protection: vma.protection,
                shared: vma.shared,
                offset: vma.object.as_ref().map_or(0, |object| vma.range.start.wrapping_sub(object.base())),
                name: vma.name.as_deref().or_else(own_name),
            })?;
        }
        Ok(())
    }

    /// The first page from address `from` on whose PTE is an entry for one of `slots`.
    pub fn next_entry(&self, from: u64, slots: &SlotRange) -> Option<(u64, Entry)> {
        self.tables.next_entry(from, slots)
    }

    /// Gives everything in the user half back: folios, swap counts, page tables. No thread runs in the space any more,
    /// or only the caller, which does not touch the user half again.
    pub fn tear_down(&self) {
        let vmas = core::mem::take(&mut self.layout().vmas);
        self.release_all(&vmas);
        self.tables.free_tables(&mut self.layout().keyed.key);
        progress::frames_freed();
    }

    fn release_all(&self, vmas: &Vmas<Attached>) {
        // Before the first frame goes: from here on no processor walks these tables, nor remembers what they said.
        self.tables.leave();
        self.tables.mappings_changed();
        for vma in vmas.iter() {
            self.zap(vma.range.clone());
        }
    }
}

/// Takes pages from index `from` on of an object that has become shorter out of all spaces, private copies included (Linux:
/// `unmap_mapping_range` with `even_cows`). Holds no lock but a layout's at a time.
///
/// A space that is made meanwhile by `fork` has a higher number than its parent, and is known before the parent's layout can be
/// locked here: going over the spaces by number misses none.
pub(crate) fn forget_beyond(object: &Object, from: u64) {
    let next = |after: u32| {
        let spaces = SPACES.lock();
        let mut known = spaces.range(after + 1..).filter_map(|(number, space)| Some((*number, space.upgrade()?)));
        known.next()
    };
    let mut last = 0;
    while let Some((number, space)) = next(last) {
        last = number;
        if object.rmap().has(&space.tables) {
            space.forget_beyond(object, from);
        }
    }
}

impl AddressSpace {
    fn forget_beyond(&self, object: &Object, from: u64) {
        let layout = self.layout();
        // A fault that saw the old length starts over.
        self.tables.mappings_changed();
        for vma in layout.vmas.iter() {
            let attached = vma.object.as_ref().filter(|attached| attached.is_to(object));
            let Some(attached) = attached else { continue };
            let first = attached.index(vma.range.start);
            let kept = from.saturating_sub(first).min(vma.length() / PAGE);
            self.zap(vma.range.start + kept * PAGE..vma.range.end);
        }
        drop(layout);
        progress::frames_freed();
    }
}

impl Memory for AddressSpace {
    fn weight(&self) -> usize {
        let counts = &self.tables.counts;
        counts.resident() + counts.swapped.load(Ordering::Relaxed) + self.tables.count()
    }

    fn usage(&self) -> Weights {
        let Usage { anonymous, object, swapped, tables, .. } = self.usage_without_vmas();
        Weights { resident: anonymous + object, swapped, tables }
    }

    /// The space's own thread may hold its layout for as long as it likes (Linux: `mm/oom_kill.c`, `__oom_reap_task_mm`, which
    /// tries for a while and gives up). What is private the PTEs say themselves: entries are, and frames of folios that are no
    /// object's. No fault is served from now on.
    fn reap(&self) -> usize {
        let before = self.weight();
        self.is_reaped.store(true, Ordering::Release);
        // A fault that is under way looks again, and finds that the space is reaped.
        self.tables.mappings_changed();
        self.zap_where(0..USER_END, page_tables::is_private);
        before.saturating_sub(self.weight())
    }

    /// It was reaped, and what it has still is not waited for any more.
    fn give_up(&self) {
        self.is_given_up.store(true, Ordering::Relaxed);
    }

    /// Whether [`Self::give_up`] was called (Linux: `MMF_OOM_SKIP`).
    fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed)
    }

    /// Whether its private memory was taken away: what is missing is not zero, it is gone.
    fn is_reaped(&self) -> bool {
        self.is_reaped.load(Ordering::Acquire)
    }
}

impl Layout {
    pub(crate) const fn new() -> Self {
        Self { vmas: Vmas::new(), heap: 0..0, lock_new: LockNew::No, promised: Commitment::none() }
    }

    /// Where a mapping goes.
    pub(crate) fn place(&self, place: Placement, length: u64) -> Result<u64, MapError> {
        let is_in_range = |start: u64| {
            start.is_multiple_of(PAGE)
                && start >= LOWEST
                && start.checked_add(length).is_some_and(|end| end <= USER_END)
        };
        match place {
            Placement::Fixed(start) | Placement::FixedNoReplace(start) if !is_in_range(start) => {
                Err(MapError::OutOfRange)
            }
            Placement::Fixed(start) => Ok(start),
            Placement::FixedNoReplace(start) if self.vmas.is_free(&(start..start + length)) => Ok(start),
            Placement::FixedNoReplace(_) => Err(MapError::Overlap),
            Placement::Low => self.vmas.gap(length, &LOW).ok_or(MapError::NoMemory),
            Placement::Anywhere { hint } => {
                let hint = hint / PAGE * PAGE;
                if hint != 0 && is_in_range(hint) && self.vmas.is_free(&(hint..hint + length)) {
                    return Ok(hint);
                }
                let chosen = self.vmas.gap(length, &(LOWEST..HIGHEST_CHOSEN));
                chosen.or_else(|| self.vmas.gap(length, &(LOWEST..USER_END))).ok_or(MapError::NoMemory)
            }
        }
    }

    /// A link of the same object and base, so that VMAs can merge.
    fn attachment_like(&self, object: &Arc<Object>, base: u64) -> Option<Attached> {
        let is_same = |attached: &&Attached| {
            attached.base() == base && attached.object().is_some_and(|other| Arc::ptr_eq(other, object))
        };
        self.vmas.iter().filter_map(|vma| vma.object.as_ref()).find(is_same).cloned()
    }

    pub(crate) fn copy_heap(&mut self, other: &Self) {
        self.heap = other.heap.clone();
    }
}

/// Whether the range is page-aligned, in the user half and not empty.
pub(crate) fn check(range: &Range<u64>) -> Result<(), MapError> {
    let is_aligned = range.start.is_multiple_of(PAGE) && range.end.is_multiple_of(PAGE);
    if is_aligned && !range.is_empty() && range.end <= USER_END { Ok(()) } else { Err(MapError::OutOfRange) }
}

/// Drops what a PTE owned that was in a table, after the processors have forgotten it.
pub(crate) fn forget(pte: Pte) {
    let bits = pte.bits();
    match pte.into_folio() {
        Ok(folio) => {
            if page_tables::is_dirty(bits) {
                quire_swap::Folio::state(&folio).set(FolioFlag::Dirty);
            }
            if page_tables::is_locked(bits) {
                lru::unlock(&folio);
            }
            if !folio.is_of_object() {
                references::forget_folio(folio);
            }
        }
        Err(bits) => {
            if let DecodedPte::Entry(_) = DecodedPte::decode(bits) {
                references::forget_pte(bits);
            }
        }
    }
}

/// All spaces that exist. Nothing is locked between one and the next: those that come and go may be among them.
pub fn all() -> impl Iterator<Item = Arc<AddressSpace>> {
    let mut from = Bound::Unbounded;
    core::iter::from_fn(move || {
        let spaces = SPACES.lock();
        let existing = |(&number, space): (&u32, &Weak<AddressSpace>)| Some((number, space.upgrade()?));
        let (number, space) = spaces.range((from, Bound::Unbounded)).find_map(existing)?;
        from = Bound::Excluded(number);
        Some(space)
    })
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        let vmas = core::mem::take(&mut self.layout.get_mut().layout.vmas);
        self.release_all(&vmas);
        self.tables.free_tables(&mut self.layout.get_mut().key);
        progress::frames_freed();
        SPACES.lock().remove(&self.number);
    }
}
