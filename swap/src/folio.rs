//! Folios as the core sees them: a counted reference, eight bytes of state, and the lock that carries a life.
//!
//! A folio's state changes as follows; `L` marks what only the holder of the folio's lock may do:
//!
//! - locked → read → up to date → unlocked (L): swap-in; a failed read leaves out the third step.
//! - locked, dirty → under writeback → unlocked (L), then writeback ends: swap-out; a failed write makes it dirty again.
//! - in the cache at an entry ↔ not in the cache (L, and the cluster's lock of that entry).
//!
//! [`Locked`] is the lock as a value: dropping it unlocks, and starting I/O consumes it.
//!
//! # Who frees the slots
//!
//! The task that finds a cached folio unused, because it took the last count or a mapping away or ended the folio's
//! writeback, frees its slots under the folio's lock. If another task has that lock, [`FolioFlag::Orphan`] leaves the slots
//! to that one: however the lock is released, [`Folio::orphaned`] is called. Lock, mark and writeback are bits of one
//! atomic number, so of two tasks one always sees what the other did before: a task that finds the folio under writeback
//! leaves the slots to the end of that.

use core::mem;
use core::ops::Deref;
use core::sync::atomic::{AtomicU32, Ordering};

use crate::entry::Entry;
use crate::page::{Page, is_zero};

/// A counted reference to a folio: cloning adds one, dropping takes one, and the frames are free when none is left.
///
/// The swap cache keeps its reference as a bare number in a table entry, whence the conversions.
pub trait Folio: Clone + Send + Sync + 'static {
    /// The number of the first frame (PFN).
    fn number(&self) -> u64;

    /// The folio has 2^order frames.
    fn order(&self) -> u8;

    /// Turns this reference into a bare number, keeping the count.
    fn into_number(self) -> u64;

    /// The reference that [`Folio::into_number`] turned into `number`; once each.
    fn from_number(number: u64) -> Self;

    /// A new reference to whatever folio begins at frame `number` if it has any reference now. The frame may have become
    /// another folio since the number was read: the caller looks again.
    fn try_from_number(number: u64) -> Option<Self>;

    /// If there are exactly `expected` references, makes them none, so that no task can gain one until
    /// [`Folio::unfreeze`].
    fn try_freeze(&self, expected: u32) -> bool;

    /// Ends a freeze with `references` references, those of the caller.
    fn unfreeze(&self, references: u32);

    /// The folio's state.
    fn state(&self) -> &FolioState;

    /// Reads page `index` of the folio.
    fn with_page<R>(&self, index: usize, read: impl FnOnce(&Page) -> R) -> R;

    /// Writes page `index` of the folio. Only for a folio that no other task reads: locked and not up to date.
    fn with_page_mut<R>(&self, index: usize, write: impl FnOnce(&mut Page) -> R) -> R;

    /// Whether the first page seems to hold nothing but zeros. It decides only where the folio gets its slots, so a task
    /// may write to the page meanwhile.
    fn looks_zero(&self) -> bool {
        self.with_page(0, is_zero)
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
}

/// The core's part of a folio's metadata; the machine keeps one for each frame.
///
/// Eight bytes: flags and the area in 32 bits, and the slot. A folio that is not in the cache has no area there.
#[derive(Debug, Default)]
pub struct FolioState {
    bits: AtomicU32,
    slot: AtomicU32,
}

const AREA_SHIFT: u32 = 8;
const AREA_MASK: u32 = 0x1f << AREA_SHIFT;

impl FolioState {
    /// A folio that is nothing yet.
    pub const fn new() -> Self {
        Self { bits: AtomicU32::new(0), slot: AtomicU32::new(0) }
    }

    /// Whether the folio is `flag`.
    #[inline]
    pub fn is(&self, flag: FolioFlag) -> bool {
        self.bits.load(Ordering::Acquire) & flag as u32 != 0
    }

    /// Marks the folio.
    #[inline]
    pub fn set(&self, flag: FolioFlag) {
        self.bits.fetch_or(flag as u32, Ordering::AcqRel);
    }

    /// Takes the mark away; whether it was there.
    #[inline]
    pub fn clear(&self, flag: FolioFlag) -> bool {
        self.bits.fetch_and(!(flag as u32), Ordering::AcqRel) & flag as u32 != 0
    }

    /// Says that the contents are the page's.
    #[inline]
    pub fn set_up_to_date(&self) {
        self.set(FolioFlag::UpToDate);
    }

    /// Whether the contents may change now: not while they are on their way to where they must not.
    #[inline]
    pub fn may_be_written(&self) -> bool {
        true
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

    pub(crate) fn enter_cache(&self, entry: Entry) {
        debug_assert!(self.is(FolioFlag::Locked) && !self.is(FolioFlag::InCache));
        self.slot.store(entry.slot(), Ordering::Relaxed);
        let area = u32::from(entry.area()) << AREA_SHIFT;
        self.bits.fetch_or(area | FolioFlag::InCache as u32, Ordering::AcqRel);
    }

    pub(crate) fn leave_cache(&self) {
        debug_assert!(self.is(FolioFlag::Locked) && self.is(FolioFlag::InCache) && !self.is(FolioFlag::Writeback));
        self.bits.fetch_and(!(AREA_MASK | FolioFlag::InCache as u32), Ordering::AcqRel);
    }

    /// Forgets everything: for a frame that is being freed.
    ///
    /// # Panics
    /// If the folio is locked, under writeback or in the swap cache: a reference was dropped too often.
    #[inline]
    pub fn reset(&self) {
        let busy = FolioFlag::Locked as u32 | FolioFlag::Writeback as u32 | FolioFlag::InCache as u32;
        let before = self.bits.swap(0, Ordering::AcqRel);
        assert!(before & busy == 0, "a folio was freed while in use: flags {before:#x}");
    }
}

/// A folio whose lock the holder of this value has. Dropping it unlocks and wakes.
#[derive(Debug)]
pub struct Locked<F: Folio> {
    /// `None` only after the lock was given up or passed on, when only `drop` is left.
    folio: Option<F>,
}

impl<F: Folio> Locked<F> {
    /// Takes the folio's lock if it is free.
    ///
    /// # Errors
    /// The reference, if another task has the lock.
    pub fn try_lock(folio: F) -> Result<Self, F> {
        let bits = &folio.state().bits;
        if bits.fetch_or(FolioFlag::Locked as u32, Ordering::AcqRel) & FolioFlag::Locked as u32 == 0 {
            Ok(Self { folio: Some(folio) })
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
        (before & FolioFlag::Locked as u32 == 0).then(|| Self { folio: Some(folio.clone()) })
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

    /// Unlocks, keeping the reference.
    pub fn unlock(mut self) -> F {
        let Some(folio) = self.folio.take() else { unreachable!("only drop sees a lock given up") };
        release(&folio);
        folio
    }

    /// [`Locked::unlock`] for a folio that has just left the cache and that no other task has a reference to: so none waits for
    /// its lock, and it has no slots.
    pub(crate) fn unlock_unknown(mut self) -> F {
        let Some(folio) = self.folio.take() else { unreachable!("only drop sees a lock given up") };
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

    /// Passes the lock on to what completes the read.
    pub(crate) fn into_read(mut self) -> F {
        debug_assert!(!self.state().is(FolioFlag::UpToDate));
        let Some(folio) = self.folio.take() else { unreachable!("only drop sees a lock given up") };
        folio
    }

    /// Clean and under writeback from here on, so that a write to the page meanwhile makes it dirty again; unlocked,
    /// so that the page can be mapped meanwhile.
    pub(crate) fn into_writeback(self) -> F {
        debug_assert!(self.state().is(FolioFlag::UpToDate) && !self.state().is(FolioFlag::Writeback));
        self.state().set(FolioFlag::Writeback);
        self.state().clear(FolioFlag::Dirty);
        self.unlock()
    }
}

impl<F: Folio> Deref for Locked<F> {
    type Target = F;

    #[inline]
    fn deref(&self) -> &F {
        match &self.folio {
            Some(folio) => folio,
            None => unreachable!("only drop sees a lock given up"),
        }
    }
}

impl<F: Folio> Drop for Locked<F> {
    fn drop(&mut self) {
        if let Some(folio) = mem::take(&mut self.folio) {
            release(&folio);
        }
    }
}

/// Opens a lock whose value was passed on by [`Locked::into_read`].
pub(crate) fn release<F: Folio>(folio: &F) {
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
    debug_assert!(before & FolioFlag::Locked as u32 != 0, "a folio was unlocked twice");
    before & FolioFlag::Orphan as u32 != 0
}
