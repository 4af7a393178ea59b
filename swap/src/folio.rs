//! Folios as the core sees them: a counted reference, eight bytes of state, and the lock that carries a life.
//!
//! A folio's state changes as follows; `L` marks what only the holder of the folio's lock may do:
//!
//! - locked → read → up to date → unlocked (L): swap-in; a failed read leaves out the third step.
//! - locked, dirty → under writeback → unlocked (L), then writeback ends: swap-out; a failed write makes it dirty again.
//! - in the cache at an entry ↔ not in the cache (L, and the cluster's lock of that entry).
//!
//! [`Locked`] is the lock as a value: dropping it unlocks, and starting I/O consumes it, which leaves a folio [`InTransit`].
//!
//! # Who reaches the contents
//!
//! A machine gives a reference to a page only to a caller that shows it a [`WriteAccess`] or a [`ReadAccess`], which only this file
//! makes. The contents of a folio that is not up to date are its lock's: the holder of that, or the batch that it was passed on
//! to, may write them. While a folio is [`Stable`](FolioFlag::Stable) no task writes it, as the machine makes no PTE that would let it
//! and the PTEs that did are gone ([`FolioState::may_be_written`]): the batch that writes it may look. Otherwise tasks have the page, and
//! its bytes are only copied.
//!
//! # The swap cache's reference
//!
//! A folio has it exactly while it is [`InCache`](FolioFlag::InCache), as nothing but the frame's number: entering leaves it
//! behind, and leaving takes it up again ([`Forgotten`]).
//!
//! # Who frees the slots
//!
//! The task that finds a cached folio unused, because it took the last count or a mapping away or ended the folio's
//! writeback, frees its slots under the folio's lock. If another task has that lock, [`FolioFlag::Orphan`] leaves the slots
//! to that one: however the lock is released, [`Folio::orphaned`] is called. Lock, mark and writeback are bits of one
//! atomic number, so of two tasks one always sees what the other did before: a task that finds the folio under writeback
//! leaves the slots to the end of that.

use core::marker::PhantomData;
use core::mem;
use core::ops::Deref;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::direction::Direction;
use crate::entry::Entry;
use crate::page::Page;
use crate::panicking::assert_unless_panicking;

/// A counted reference to a folio: cloning adds one, dropping takes one, and the frames are free when none is left.
pub trait Folio: Clone + Send + Sync + 'static {
    /// The number of the first frame (PFN).
    fn number(&self) -> u64;

    /// The folio has 2^order frames.
    fn order(&self) -> u8;

    /// The reference that was forgotten.
    #[must_use]
    fn take_up(&self, forgotten: Forgotten<'_, Self>) -> Self;

    /// A new reference to whatever folio begins at frame `number` if it has any reference now. The frame may have become
    /// another folio since the number was read: the caller looks again.
    fn try_from_number(number: u64) -> Option<Self>;

    /// If there are exactly `expected` references, freezes them, so that no task can gain one by
    /// [`Folio::try_from_number`] until [`Folio::thaw`].
    fn try_freeze(&self, expected: u32) -> bool;

    /// Ends a freeze.
    fn thaw(&self);

    /// The folio's state.
    fn state(&self) -> &FolioState<Self>;

    /// Lets page `index` of the folio be looked at, which `access` is to.
    fn read_page<R>(&self, index: usize, access: &ReadAccess<'_, Self>, read: impl FnOnce(&Page) -> R) -> R;

    /// Lets page `index` of the folio be written, which `access` is to.
    fn write_page<R>(&self, index: usize, access: &mut WriteAccess<'_, Self>, write: impl FnOnce(&mut Page) -> R) -> R;

    /// Fills a page with zeros, in the way that the machine does it best.
    fn clear(page: &mut Page) {
        page.fill(0);
    }

    /// Whether page `index` holds nothing but zeros. What tasks write meanwhile may be noticed or not.
    fn is_zero(&self, index: usize) -> bool;

    /// Whether the first page seems to hold nothing but zeros. It decides only where the folio gets its slots.
    fn looks_zero(&self) -> bool {
        self.is_zero(0)
    }

    /// Sleeps until the flag was seen clear; may return early.
    fn wait_while(&self, flag: FolioFlag);

    /// The flag was cleared: lets those look who wait for it.
    fn wake(&self, flag: FolioFlag);

    /// The folio was unlocked, and another task found it unused while it was locked: to be passed on to
    /// [`Swap::drop_if_unused`](crate::Swap::drop_if_unused). Called with none of the core's locks held.
    fn orphaned(&self);
}

/// What a folio is, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum FolioFlag {
    /// A task holds the folio's lock.
    Locked = 1 << 0,
    /// The contents are the page's.
    UpToDate = 1 << 1,
    /// The contents are newer than what the slot holds.
    Dirty = 1 << 2,
    /// The contents are on their way to the slot; they must not change on a device that needs stable writes.
    Writeback = 1 << 3,
    /// In the swap cache, at [`FolioState::entry`].
    InCache = 1 << 4,
    /// Read ahead of a fault, and not yet wanted by one.
    Readahead = 1 << 5,
    /// Found unused while it was locked: the holder of the lock sees to its slots.
    Orphan = 1 << 6,
    /// Under writeback to where it must not change meanwhile.
    Stable = 1 << 7,
    /// A store of compressed pages has tried it in vain, and it was not written since.
    Incompressible = 1 << 8,
    /// The machine allocated it as one page of a large folio, and it was not split from that since.
    Large = 1 << 14,
}

/// The right to look at the contents of one folio, which no task writes meanwhile.
#[derive(Debug)]
pub struct ReadAccess<'a, F>(&'a FolioState<F>);

/// The right to write the contents of one folio, which no other task reaches meanwhile.
#[derive(Debug)]
pub struct WriteAccess<'a, F>(&'a FolioState<F>, PhantomData<&'a mut ()>);

/// A reference to a folio was forgotten, as it entered the cache or is with the lock that had it, and is to be taken up.
#[derive(Debug)]
pub struct Forgotten<'a, F>(&'a FolioState<F>);

impl<F> ReadAccess<'_, F> {
    /// Holds the machine to it.
    ///
    /// # Panics
    /// When the access is not to the folio with this state.
    #[inline]
    pub fn check(&self, state: &FolioState<F>) {
        assert!(ptr::eq(self.0, state), "the access is to another folio");
    }
}

impl<F> WriteAccess<'_, F> {
    /// As [`ReadAccess::check`].
    ///
    /// # Panics
    /// When the access is not to the folio with this state.
    #[inline]
    pub fn check(&self, state: &FolioState<F>) {
        assert!(ptr::eq(self.0, state), "the access is to another folio");
    }
}

impl<F> Forgotten<'_, F> {
    /// As [`ReadAccess::check`].
    ///
    /// # Panics
    /// When it was not one to the folio with this state.
    #[inline]
    pub fn check(&self, state: &FolioState<F>) {
        assert!(ptr::eq(self.0, state), "another folio's reference was forgotten");
    }
}

/// The core's part of a folio's metadata as the machine keeps it, one for each frame.
#[derive(Debug)]
#[repr(transparent)]
pub struct FrameState<F>(FolioState<F>);

impl<F> FrameState<F> {
    /// Where in it the 32 bits of flags and area are, for those who read it from outside.
    pub const BITS_OFFSET: usize = mem::offset_of!(FolioState<F>, bits);
    /// Where in it the 32 bits of the slot are.
    pub const SLOT_OFFSET: usize = mem::offset_of!(FolioState<F>, slot);

    /// A folio that is nothing yet.
    pub const fn new() -> Self {
        Self(FolioState { bits: AtomicU32::new(0), slot: AtomicU32::new(0), of: PhantomData })
    }

    /// What the references to the folio show.
    #[inline]
    pub const fn state(&self) -> &FolioState<F> {
        &self.0
    }

    /// Says that the contents are the page's: of a folio to which there are no references yet.
    #[inline]
    pub fn set_filled(&self) {
        self.0.mark(FolioFlag::UpToDate);
    }

    /// The same, and that these are true of it too.
    #[inline]
    pub fn set_filled_and<const FLAGS: usize>(&self, flags: [FolioFlag; FLAGS]) {
        let bits = flags.into_iter().fold(FolioFlag::UpToDate as u32, |bits, flag| bits | flag as u32);
        self.0.bits.fetch_or(bits, Ordering::AcqRel);
    }

    /// Forgets everything: for a frame that is being freed.
    ///
    /// # Panics
    /// If the folio is locked, under writeback or in the swap cache: a reference was dropped too often.
    #[inline]
    pub fn reset(&self) {
        let busy = FolioFlag::Locked as u32 | FolioFlag::Writeback as u32 | FolioFlag::InCache as u32;
        let before = self.0.bits.swap(0, Ordering::AcqRel);
        assert!(
            before & busy == 0,
            "a folio was freed while it is {}: a reference to it was dropped too often",
            if before & FolioFlag::Locked as u32 != 0 {
                "locked"
            } else if before & FolioFlag::Writeback as u32 != 0 {
                "under writeback"
            } else {
                "in the swap cache"
            }
        );
    }
}

impl<F> Default for FrameState<F> {
    fn default() -> Self {
        Self::new()
    }
}

/// What a folio is.
///
/// Eight bytes: flags and the area in 32 bits, and the slot. A folio that is not in the cache has no area there.
///
/// It is an `F`'s: no other implementation of [`Folio`] can take an `F`'s lock, release it, or have access by it.
#[derive(Debug)]
pub struct FolioState<F> {
    bits: AtomicU32,
    slot: AtomicU32,
    of: PhantomData<fn() -> F>,
}

const AREA_SHIFT: u32 = 9;
const AREA_MASK: u32 = 0x1f << AREA_SHIFT;

impl<F> FolioState<F> {
    /// Whether the folio is `flag`.
    #[inline]
    pub fn is(&self, flag: FolioFlag) -> bool {
        self.bits.load(Ordering::Acquire) & flag as u32 != 0
    }

    /// How many references the core has: the cache's, and that of a write that is under way.
    #[inline]
    pub fn references(&self) -> u32 {
        let bits = self.bits.load(Ordering::Acquire);
        let is = |flag: FolioFlag| u32::from(bits & flag as u32 != 0);
        is(FolioFlag::InCache) + is(FolioFlag::Writeback)
    }

    /// Marks the folio as [`Dirty`](FolioFlag::Dirty), [`Readahead`](FolioFlag::Readahead),
    /// [`Incompressible`](FolioFlag::Incompressible) or [`Large`](FolioFlag::Large): what the others stand for, only the core does.
    ///
    /// # Panics
    /// When it is another flag.
    #[inline]
    pub fn set(&self, flag: FolioFlag) {
        assert!(flag.is_a_remark(), "{flag:?} is the core's");
        self.mark(flag);
    }

    /// The contents have changed.
    #[inline]
    pub fn set_written(&self) {
        self.mark(FolioFlag::Dirty);
        if self.is(FolioFlag::Incompressible) {
            self.unmark(FolioFlag::Incompressible as u32);
        }
    }

    /// Takes such a mark away; whether it was there.
    ///
    /// # Panics
    /// When it is another flag.
    #[inline]
    pub fn clear(&self, flag: FolioFlag) -> bool {
        assert!(flag.is_a_remark(), "{flag:?} is the core's");
        self.unmark(flag as u32) & flag as u32 != 0
    }

    #[inline]
    fn mark(&self, flag: FolioFlag) {
        self.bits.fetch_or(flag as u32, Ordering::AcqRel);
    }

    #[inline]
    fn unmark(&self, flags: u32) -> u32 {
        self.bits.fetch_and(!flags, Ordering::AcqRel)
    }

    /// Whether the contents may change now: not while they are on their way to where they must not. While the folio is locked
    /// it stays so.
    #[inline]
    pub fn may_be_written(&self) -> bool {
        !self.is(FolioFlag::Stable)
    }

    /// Whether the folio may be mapped: it has contents and, if tasks are to be able to write it, those may change now.
    #[inline]
    pub fn may_be_mapped(&self, for_writing: bool) -> bool {
        let forbidden = if for_writing { FolioFlag::Stable as u32 } else { 0 };
        let wanted = FolioFlag::UpToDate as u32;
        self.bits.load(Ordering::Acquire) & (wanted | forbidden) == wanted
    }

    /// Where in the swap cache the folio is. Certain only while the folio is locked.
    #[inline]
    pub fn entry(&self) -> Option<Entry> {
        let bits = self.bits.load(Ordering::Acquire);
        if bits & FolioFlag::InCache as u32 == 0 {
            return None;
        }
        Entry::new(((bits & AREA_MASK) >> AREA_SHIFT) as u8, self.slot.load(Ordering::Relaxed))
    }
}

impl FolioFlag {
    #[inline]
    const fn is_a_remark(self) -> bool {
        matches!(self, Self::Dirty | Self::Readahead | Self::Incompressible | Self::Large)
    }
}

/// A folio whose lock the holder of this value has. Dropping it unlocks and wakes.
#[derive(Debug)]
pub struct Locked<F: Folio>(F);

impl<F: Folio> Locked<F> {
    /// Takes the folio's lock if it is free.
    ///
    /// # Errors
    /// The reference, if another task has the lock.
    pub fn try_lock(folio: F) -> Result<Self, F> {
        let bits = &folio.state().bits;
        if bits.fetch_or(FolioFlag::Locked as u32, Ordering::AcqRel) & FolioFlag::Locked as u32 == 0 {
            Ok(Self(folio))
        } else {
            Err(folio)
        }
    }

    /// Takes the folio's lock if it is free; else has its holder call [`Folio::orphaned`] when it releases the lock.
    pub(crate) fn try_lock_or_orphan(folio: &F) -> Option<Self> {
        let mark = |bits| {
            let is_locked = bits & FolioFlag::Locked as u32 != 0;
            Some(bits | if is_locked { FolioFlag::Orphan } else { FolioFlag::Locked } as u32)
        };
        let Ok(before) = folio.state().bits.fetch_update(Ordering::AcqRel, Ordering::Acquire, mark) else {
            unreachable!("the bits are always updated")
        };
        (before & FolioFlag::Locked as u32 == 0).then(|| Self(folio.clone()))
    }

    /// Takes the folio's lock, sleeping until it is free.
    pub fn lock(mut folio: F) -> Self {
        loop {
            match Self::try_lock(folio) {
                Ok(locked) => return locked,
                Err(busy) => folio = busy,
            }
            folio.wait_while(FolioFlag::Locked);
        }
    }

    /// The reference, which leaves the lock to the caller.
    #[inline]
    fn into_folio(self) -> F {
        // The one reference is in two values until the first is forgotten.
        let folio = self.0.take_up(Forgotten(self.0.state()));
        mem::forget(self);
        folio
    }

    /// Unlocks, keeping the reference.
    #[inline]
    pub fn unlock(self) -> F {
        let folio = self.into_folio();
        release(&folio);
        folio
    }

    /// [`Locked::unlock`] for a folio that has just left the cache and that no other task has a reference to: so none waits for
    /// its lock, and it has no slots.
    #[inline]
    pub(crate) fn unlock_unknown(self) -> F {
        let folio = self.into_folio();
        open(&folio);
        folio
    }

    /// Sleeps until no write of the folio is on its way. While the folio is locked none can start.
    pub fn wait_for_writeback(&self) {
        while self.state().is(FolioFlag::Writeback) {
            self.wait_while(FolioFlag::Writeback);
        }
    }

    /// Whether the folio is in the cache, and the entry's slot is one of its own.
    pub fn covers(&self, entry: Entry) -> bool {
        let slots = 1 << self.order();
        let first = self.state().entry().filter(|first| first.area() == entry.area());
        first.is_some_and(|first| entry.slot().checked_sub(first.slot()).is_some_and(|index| index < slots))
    }

    /// The folio is in the cache from here on, which has a reference.
    ///
    /// # Panics
    /// When it is there already.
    pub(crate) fn enter_cache(&self, entry: Entry) {
        let state = self.state();
        assert!(!state.is(FolioFlag::InCache), "a folio entered the cache twice");
        state.slot.store(entry.slot(), Ordering::Relaxed);
        mem::forget(F::clone(self));
        let area = u32::from(entry.area()) << AREA_SHIFT;
        state.bits.fetch_or(area | FolioFlag::InCache as u32, Ordering::AcqRel);
    }

    /// The folio is in the cache no more; returns the cache's reference.
    ///
    /// # Panics
    /// When it is not there.
    pub(crate) fn leave_cache(&self) -> F {
        let state = self.state();
        let before = state.unmark(AREA_MASK | FolioFlag::InCache as u32);
        assert!(before & FolioFlag::InCache as u32 != 0, "a folio left the cache twice");
        debug_assert!(before & FolioFlag::Writeback as u32 == 0, "a folio left the swap cache while it was written");
        self.take_up(Forgotten(state))
    }

    /// Says that the contents are the page's.
    pub fn set_up_to_date(&mut self) {
        self.state().mark(FolioFlag::UpToDate);
    }

    /// Writes page `index` of the folio, which has no contents yet.
    ///
    /// # Panics
    /// When it has.
    pub fn with_page_mut<R>(&mut self, index: usize, write: impl FnOnce(&mut Page) -> R) -> R {
        write_to(&**self, index, write)
    }

    /// Passes the lock on to what completes the read.
    ///
    /// # Panics
    /// When the folio has contents, or is being written: others may look at them.
    pub fn into_read(self) -> InTransit<F> {
        assert_has_no_contents(self.state());
        InTransit(self.into_folio())
    }

    /// Clean and under writeback from here on, so that a write to the page meanwhile makes it dirty again; unlocked,
    /// so that the page can be mapped meanwhile, for writing unless it is to be `stable`.
    pub(crate) fn into_writeback(mut self, stable: bool) -> InTransit<F> {
        debug_assert!(self.state().is(FolioFlag::UpToDate), "a folio without contents is written to its slot");
        self.start(stable);
        self.state().unmark(FolioFlag::Dirty as u32);
        InTransit(self.unlock())
    }

    /// Under writeback from here on, and locked still: a folio of a backend's own, which only that knows.
    pub fn start_writeback(&mut self) -> InTransit<F> {
        self.start(true);
        InTransit(F::clone(self))
    }

    fn start(&mut self, stable: bool) {
        let flags = FolioFlag::Writeback as u32 | if stable { FolioFlag::Stable as u32 } else { 0 };
        // First: a folio that tasks may write, as its write is none of a stable one, does not become stable. Only the lock's holder
        // starts a write.
        assert!(!self.state().is(FolioFlag::Writeback), "a folio is written twice at once");
        self.state().bits.fetch_or(flags, Ordering::AcqRel);
    }
}

/// A folio on its way: for a read with its lock, for a write under writeback. Who has it ends that.
#[derive(Debug)]
pub struct InTransit<F: Folio>(F);

impl<F: Folio> InTransit<F> {
    #[inline]
    pub(crate) const fn folio(&self) -> &F {
        &self.0
    }

    /// Whether it is on its way from its slot, or to it.
    #[inline]
    pub(crate) fn direction(&self) -> Direction {
        if self.0.state().is(FolioFlag::Writeback) { Direction::Write } else { Direction::Read }
    }

    /// Looks at page `index` of a folio that is written and does not change meanwhile.
    ///
    /// # Panics
    /// When it may change.
    #[inline]
    pub(crate) fn with_page<R>(&self, index: usize, read: impl FnOnce(&Page) -> R) -> R {
        let state = self.0.state();
        assert!(state.is(FolioFlag::Stable), "a backend that looks at pages asks for stable writes");
        self.0.read_page(index, &ReadAccess(state), read)
    }

    /// Writes page `index` of a folio that is read.
    ///
    /// # Panics
    /// When it has contents already.
    #[inline]
    pub(crate) fn with_page_mut<R>(&mut self, index: usize, write: impl FnOnce(&mut Page) -> R) -> R {
        write_to(&self.0, index, write)
    }

    /// The read is over.
    pub(crate) fn end_read(self, is_read: bool) -> F {
        if is_read {
            self.0.state().mark(FolioFlag::UpToDate);
        }
        release(&self.0);
        self.0
    }

    /// The write is over.
    #[inline]
    pub(crate) fn end_write(self) -> F {
        self.0.state().unmark(FolioFlag::Writeback as u32 | FolioFlag::Stable as u32);
        self.0.wake(FolioFlag::Writeback);
        self.0
    }
}

/// The caller has the folio's lock, or what it was passed on to, to itself.
#[inline]
fn write_to<F: Folio, R>(folio: &F, index: usize, write: impl FnOnce(&mut Page) -> R) -> R {
    let state = folio.state();
    assert_has_no_contents(state);
    folio.write_page(index, &mut WriteAccess(state, PhantomData), write)
}

#[inline]
fn assert_has_no_contents<F>(state: &FolioState<F>) {
    let in_use = FolioFlag::UpToDate as u32 | FolioFlag::Writeback as u32;
    assert!(state.bits.load(Ordering::Acquire) & in_use == 0, "a folio that has contents is written");
}

impl<F: Folio> Deref for Locked<F> {
    type Target = F;

    #[inline]
    fn deref(&self) -> &F {
        &self.0
    }
}

impl<F: Folio> Drop for Locked<F> {
    #[inline]
    fn drop(&mut self) {
        release(&self.0);
    }
}

/// Opens a lock whose value is gone.
#[inline]
fn release<F: Folio>(folio: &F) {
    let is_orphan = open(folio);
    folio.wake(FolioFlag::Locked);
    if is_orphan {
        folio.orphaned();
    }
}

/// Opens the lock; whether the folio was found unused meanwhile.
fn open<F: Folio>(folio: &F) -> bool {
    let lock = FolioFlag::Locked as u32 | FolioFlag::Orphan as u32;
    let before = folio.state().bits.fetch_and(!lock, Ordering::AcqRel);
    assert_unless_panicking!(before & FolioFlag::Locked as u32 != 0, "a folio was unlocked twice");
    before & FolioFlag::Orphan as u32 != 0
}
