//! When an area has no space: it is left out when slots are allocated, and takes part again when it has some.
//!
//! There are two reasons. All slots are in use: then the first freed one ends it. Or the backend refused pages, because its
//! storage is full ([`IoError::NoSpace`]): then a batch's worth of slots has to be freed, since a backend that refused many
//! pages would refuse all but one of the next ones, or the backend says so ([`Area::note_space`]).
//!
//! A refused page stays in memory, dirty and in the swap cache, and would be refused again at the same slot. So it has to
//! be mapped again ([`Users::map_refused`]) and give its slot up; then it gets another one, in an area that has space, on
//! its next way out.

use core::sync::atomic::Ordering;

use crate::area::Area;
use crate::availability::Reason;
use crate::batch::BATCH_FOLIOS;
use crate::entry::Entry;
use crate::folio::{Folio, FolioFlag};
use crate::machine::{Event, IoError, Level, Machine};
use crate::swap::Swap;
use crate::users::{SlotRange, Users};

impl<M: Machine> Area<M> {
    /// Puts the area among those that slots are taken from, when it is enabled.
    pub(crate) fn join(&self) {
        self.shared.priorities.lock().insert(self.priority, self.index);
    }

    /// Takes no more slots from the area, for `swapoff`. False if that is so already.
    pub(crate) fn start_emptying(&self) -> bool {
        let mut priorities = self.shared.priorities.lock();
        priorities.remove(self.index);
        self.availability.close(Reason::Emptying)
    }

    /// `swapoff` gave up.
    pub(crate) fn stop_emptying(&self) {
        let mut priorities = self.shared.priorities.lock();
        self.availability.open();
        priorities.insert(self.priority, self.index);
    }

    /// Leaves the area out for want of space, until no more than `enough_at` slots are in use.
    fn leave_out(&self, reason: Reason, enough_at: u64) {
        let mut priorities = self.shared.priorities.lock();
        self.availability.close_until(reason, enough_at);
        priorities.remove(self.index);
        drop(priorities);
        // Slots that were freed before this were not looked at.
        self.slots_freed(self.used.load(Ordering::SeqCst));
    }

    /// Leaves the area out, until a slot is free, if every slot is in use and none was found that only the swap cache holds.
    pub(crate) fn leave_out_if_full(&self) {
        let searched = self.availability.fruitless_searches() as usize;
        if !self.has_free_slots() && searched >= self.clusters.len() {
            self.availability.searched_with_success();
            self.leave_out(Reason::Full, self.usable.saturating_sub(1));
        }
    }

    /// So many slots are in use now, less than before.
    #[cold]
    pub(crate) fn slots_freed(&self, used: u64) {
        if self.availability.is_enough(used) {
            self.note_space();
        }
    }

    /// For the backend: it has space for pages again, after it refused some by [`IoError::NoSpace`]. The area also finds that
    /// out by itself when slots are freed.
    pub fn note_space(&self) {
        let mut priorities = self.shared.priorities.lock();
        if self.availability.found_space() {
            priorities.insert(self.priority, self.index);
        }
    }

    /// For the backend: it has no space for the next pages, nor for `folios` that have slots already and are about to be
    /// completed by [`IoError::NoSpace`]. The area is left out until [`Area::note_space`], or until the slots of a batch
    /// and of those folios are free. A batch that is completed as a whole by that error says the same.
    pub fn note_no_space(&self, folios: u64) {
        let enough_at = self.used().saturating_sub(folios + BATCH_FOLIOS as u64);
        if self.availability.is_open() {
            M::log(Level::Warning, format_args!("{} takes no pages for now: {}", self.name(), IoError::NoSpace));
        }
        self.leave_out(Reason::Refusing, enough_at);
    }

    /// Remembers a folio that has to be mapped again.
    pub(crate) fn note_refused(&self, folio: &M::Folio) {
        if let Some(entry) = folio.state().entry() {
            self.availability.refused.include(entry.slot());
            M::wake(Event::Work);
        }
    }
}

impl<M: Machine> Swap<M> {
    /// Has pages mapped again that backends had no space for, so that they get other slots. For a kernel thread that waits
    /// for [`Event::Work`].
    pub fn return_refused(&self, users: &mut dyn Users) {
        for area in self.areas() {
            if let Some(slots) = area.availability.refused.take() {
                users.map_refused(&SlotRange { area: area.index, slots });
            }
        }
    }

    /// Whether a page that leaves memory would find a slot, as far as is known before it is tried: an area that slots are
    /// taken from has a free one, and its backend keeps pages.
    pub fn has_space(&self) -> bool {
        self.areas().any(|area| area.availability.is_open() && area.has_free_slots() && area.ops().keeps_pages())
    }

    /// Whether the slot's page is in memory and not in the slot, because the backend had no space or another reason to fail.
    pub fn is_refused(&self, entry: Entry) -> bool {
        self.lookup(entry).is_some_and(|folio| {
            let state = folio.state();
            state.is(FolioFlag::Dirty) && state.is(FolioFlag::UpToDate) && !state.is(FolioFlag::Writeback)
        })
    }
}
