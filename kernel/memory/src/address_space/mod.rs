//! Address spaces: what a program has mapped, and its page tables.
//!
//! # Locking
//!
//! `layout` sleeps and is held by a task that changes or checks what is mapped, never across I/O. The page tables have a
//! spinning lock of their own (`PageTables`). A task that changes the layout first changes the VMAs, then counts the
//! change (`PageTables::mappings_changed`), then brings the PTEs in line: a fault that had looked the VMAs up before
//! sees the new count under the tables' lock and starts over. Reclaim comes from other threads and takes only the tables'.
//!
//! | module | what |
//! |---|---|
//! | `request` | what is asked, and why it is refused |
//! | `layout` | what is mapped, and where there is space |
//! | `map`, `program_break` | `mmap`, `munmap`, `mprotect`, `brk` |
//! | `zap` | emptying PTEs, and releasing what they owned |
//! | [`usage`] | what a space uses |

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::ops::{Bound, Deref, DerefMut};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use quire_machine::AllocationError;
use quire_machine::fallible::{self, NoMemory, TryMap};
use quire_machine::sync::{Rank, SpinLock};
use quire_machine::task::{Mutex, MutexGuard};
use quire_machine::user_tables::TablesKey;
use quire_swap::header::PAGE_SIZE;
use quire_swap::{Entry, Readahead, SlotRange};

use crate::fatal::Fatal;
use crate::limit::Limit;
use crate::page_tables::PageTables;
use crate::progress;
use crate::rmap::{AnonVma, Owner, RmapLink};
use crate::vmas::READAHEADS;

const PAGE: u64 = PAGE_SIZE as u64;
mod layout;
mod map;
mod program_break;
mod request;
pub mod usage;
pub(crate) mod zap;

pub use self::layout::{HIGHEST_CHOSEN, LOWEST, LockNew};
pub(crate) use self::layout::{Layout, Link};
pub use self::request::{Backing, MapError, MapRequest, Placement};
pub(crate) use self::request::{CHANGE_BYTES, check};

/// An address space.
pub struct AddressSpace {
    number: u32,
    pub(crate) tables: Arc<PageTables>,
    layout: Mutex<Keyed>,
    /// Ties what is mapped where it was first mapped to the `anon_vma`: the base is 0.
    anonymous: Link,
    readaheads: [Readahead; READAHEADS],
    pub(crate) limits: [AtomicU64; Limit::COUNT],
    locked_pages: AtomicUsize,
    /// Its private memory was taken away: see `reap`.
    is_reaped: AtomicBool,
    is_given_up: AtomicBool,
    /// Why the task that owns it, one without a process, cannot go on.
    fatal: SpinLock<Option<Fatal>>,
}

/// The layout, and what its lock protects beside it.
struct Keyed {
    layout: Layout,
    /// Page tables stay while the layout is locked, but for a task that frees them all.
    key: TablesKey,
}

/// The locked layout. Releasing it releases what was promised to VMAs that are not there any more, or did not come.
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

static NEXT_NUMBER: AtomicU32 = AtomicU32::new(1);
pub(super) static SPACES: SpinLock<BTreeMap<u32, Weak<AddressSpace>>> = SpinLock::new(Rank::Spaces, BTreeMap::new());

impl AddressSpace {
    /// An address space with nothing in its user half, the first of a new `anon_vma`.
    ///
    /// # Errors
    /// [`AllocationError`] when there is no memory for it.
    pub fn new() -> Result<Arc<Self>, AllocationError> {
        let space = Self::with_relative(None)?;
        Ok(space.publish()?)
    }

    /// An address space with nothing in its user half, that is to have pages of `relative`, not known to other tasks yet.
    pub(crate) fn with_relative(relative: Option<&Self>) -> Result<Self, AllocationError> {
        fallible::ask(size_of::<Self>() + 1024)?;
        let (tables, key) = PageTables::new()?;
        let tables = fallible::shared(tables)?;
        let anonymous = match relative {
            Some(relative) => relative.anonymous.for_child(&tables)?,
            None => RmapLink::new(Owner::AnonVma(AnonVma::new()?), &tables, 0)?,
        };
        Ok(Self {
            number: NEXT_NUMBER.fetch_add(1, Ordering::Relaxed),
            tables,
            layout: Mutex::new(Rank::Vmas, Keyed { layout: Layout::new(), key }),
            anonymous,
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
        SPACES.lock().insert_if_memory(space.number, Arc::downgrade(&space))?;
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

    /// What faults have taught about reading ahead in a VMA with this [readahead](crate::vma::Vma::readahead); faults reach
    /// it without the layout's lock.
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

    /// Gives a space that no other task knows its layout.
    pub(crate) fn set_layout(&mut self, layout: Layout) {
        self.layout.get_mut().layout = layout;
    }

    /// The page tables of a space that no other task knows, and what keeps them where they are.
    pub(crate) fn keyed_tables(&mut self) -> (&PageTables, &TablesKey) {
        (&self.tables, &self.layout.get_mut().key)
    }

    pub(crate) const fn anonymous(&self) -> &Link {
        &self.anonymous
    }

    /// Puts a task that has the space to itself into another cgroup.
    pub fn set_cgroup(&self, cgroup: u8) {
        self.tables.counts.set_cgroup(cgroup);
    }

    /// The cgroup of a task that has the space to itself.
    pub fn cgroup(&self) -> u8 {
        self.tables.counts.cgroup()
    }

    /// The first page from address `from` on whose PTE is an entry for one of `slots`.
    pub fn next_entry(&self, from: u64, slots: &SlotRange) -> Option<(u64, Entry)> {
        self.tables.next_entry(from, slots)
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
