//! When an area has no room: it is left out when slots are allocated, and takes part again when it has some.
//!
//! Room is short in two ways. All slots are in use: then the first freed one ends it. Or the backend refused pages,
//! because its storage is full ([`IoError::NoSpace`]): then a batch's worth of slots has to be freed, since a backend that
//! refused many pages would refuse all but one of the next ones, or the backend says so ([`Area::has_room_again`]).
//!
//! A refused page stays in memory, dirty and in the swap cache, and would be refused again at the same slot. So it has to
//! be mapped again ([`Users::map_refused`]) and give its slot up; then it gets another one, in
//! an area that has room, on its next way out.

use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::area::Area;
use crate::batch::BATCH_FOLIOS;
use crate::entry::Entry;
use crate::folio::{Folio, FolioFlag, Locked};
use crate::machine::{Event, IoError, Level, Machine};
use crate::span::Span;
use crate::swap::Swap;
use crate::swapoff::{SlotRange, Users};

/// Whether slots of an area may be taken. All changes happen under the priorities' lock, with the list of areas.
pub(crate) struct Room {
    state: AtomicU8,
    /// While room is short: when so few slots are in use, it is not any more.
    enough_at: AtomicU64,
    /// Slots with refused pages.
    refused: Span,
    /// Clusters that were searched since the last one with a slot that only the swap cache held.
    fruitless: AtomicU32,
}

/// `swapoff` empties the area.
const LEAVING: u8 = 1;
/// All slots are in use.
const FULL: u8 = 2;
/// The backend has no room.
const REFUSES: u8 = 4;
const SHORT: u8 = FULL | REFUSES;

impl Room {
    pub(crate) const fn new() -> Self {
        Self {
            state: AtomicU8::new(0),
            enough_at: AtomicU64::new(0),
            refused: Span::new(),
            fruitless: AtomicU32::new(0),
        }
    }

    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.state.load(Ordering::Acquire) == 0
    }

    #[inline]
    pub(crate) fn is_leaving(&self) -> bool {
        self.state.load(Ordering::Acquire) & LEAVING != 0
    }

    #[inline]
    pub(crate) fn is_short(&self) -> bool {
        self.state.load(Ordering::Acquire) & SHORT != 0
    }

    #[inline]
    pub(crate) fn refuses(&self) -> bool {
        self.state.load(Ordering::Acquire) & REFUSES != 0
    }

    pub(crate) fn looked_in_vain(&self, clusters: u32) {
        self.fruitless.fetch_add(clusters, Ordering::Relaxed);
    }

    pub(crate) fn looked_with_success(&self) {
        self.fruitless.store(0, Ordering::Relaxed);
    }
}

impl<M: Machine> Area<M> {
    /// Puts the area among those that slots are taken from, when it is enabled.
    pub(crate) fn join(&self) {
        self.shared.priorities.lock().insert(self.priority, self.index);
    }

    /// Takes no more slots from the area, for `swapoff`. False if that is so already.
    pub(crate) fn start_leaving(&self) -> bool {
        let mut priorities = self.shared.priorities.lock();
        priorities.remove(self.index);
        self.room.state.fetch_or(LEAVING, Ordering::AcqRel) & LEAVING == 0
    }

    /// `swapoff` gave up.
    pub(crate) fn stop_leaving(&self) {
        let mut priorities = self.shared.priorities.lock();
        self.room.state.store(0, Ordering::Release);
        priorities.insert(self.priority, self.index);
    }

    /// Leaves the area out, because it is `why`, until no more than `enough_at` slots are in use.
    fn leave_out(&self, why: u8, enough_at: u64) {
        let mut priorities = self.shared.priorities.lock();
        self.room.enough_at.store(enough_at, Ordering::Release);
        self.room.state.fetch_or(why, Ordering::SeqCst);
        priorities.remove(self.index);
        drop(priorities);
        // Whoever freed slots before this did not see that room is short.
        self.slots_freed(self.used.load(Ordering::SeqCst));
    }

    /// Leaves the area out, until a slot is free, if every slot is in use and none was found that only the swap cache holds.
    pub(crate) fn leave_out_if_full(&self) {
        if self.used() == self.usable && self.room.fruitless.load(Ordering::Relaxed) as usize >= self.clusters.len() {
            self.room.looked_with_success();
            self.leave_out(FULL, self.usable.saturating_sub(1));
        }
    }

    /// So many slots are in use now, less than before.
    #[cold]
    pub(crate) fn slots_freed(&self, used: u64) {
        if used <= self.room.enough_at.load(Ordering::Acquire) {
            self.has_room_again();
        }
    }

    /// For the backend: it has room for pages again, after it refused some by [`IoError::NoSpace`]. The area also finds that
    /// out by itself when slots are freed.
    pub fn has_room_again(&self) {
        let mut priorities = self.shared.priorities.lock();
        let before = self.room.state.fetch_and(!SHORT, Ordering::AcqRel);
        if before & SHORT != 0 && before & LEAVING == 0 {
            priorities.insert(self.priority, self.index);
        }
    }

    /// For the backend: it has no room for the next pages, and not for `folios` that have slots already and are about to be
    /// completed by [`IoError::NoSpace`]. The area is left out until [`Area::has_room_again`], or until the slots of a batch
    /// and of those folios are free. A batch that is completed as a whole by that error says the same.
    pub fn has_no_room(&self, folios: u64) {
        let enough_at = self.used().saturating_sub(folios + BATCH_FOLIOS as u64);
        if self.room.is_open() {
            M::log(Level::Warning, format_args!("{} has no room for now: {}", self.name(), IoError::NoSpace));
        }
        self.leave_out(REFUSES, enough_at);
    }

    /// Remembers a folio that has to be mapped again.
    pub(crate) fn note_refused(&self, folio: &M::Folio) {
        if let Some(entry) = folio.state().entry() {
            self.room.refused.include(entry.slot());
            M::wake(Event::Work);
        }
    }
}

impl<M: Machine> Swap<M> {
    /// Has pages mapped again that backends had no room for, so that they get other slots. For a kernel thread that waits
    /// for [`Event::Work`].
    pub fn return_refused(&self, users: &mut dyn Users) {
        for area in self.areas() {
            if let Some(slots) = area.room.refused.take() {
                users.map_refused(&SlotRange { area: area.index, slots });
            }
        }
    }

    /// Whether a page that leaves memory would find a place, as far as is known before it is tried: an area that slots are
    /// taken from has a free one, and its backend keeps pages.
    pub fn has_room(&self) -> bool {
        self.areas().any(|area| area.room.is_open() && area.used() < area.usable && area.ops().keeps_pages())
    }

    /// Whether the slot's page is in memory and not in the slot, because the backend had no room or another reason to fail.
    pub fn is_refused(&self, entry: Entry) -> bool {
        self.lookup(entry).is_some_and(|folio| {
            let state = folio.state();
            state.is(FolioFlag::Dirty) && state.is(FolioFlag::UpToDate) && !state.is(FolioFlag::Writeback)
        })
    }

    /// Whether a folio that was mapped again should give its slot back ([`Swap::try_free_slot`]): swap is half full, or the
    /// slot's backend did not take the page.
    pub fn is_slot_worthless(&self, folio: &Locked<M::Folio>) -> bool {
        let refused = || {
            let area = folio.state().entry().and_then(|entry| self.area(entry.area()));
            area.is_some_and(|area| area.room.refuses())
        };
        folio.state().is(FolioFlag::Dirty) && refused() || self.is_half_full()
    }
}
