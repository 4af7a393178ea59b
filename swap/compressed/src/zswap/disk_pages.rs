//! Whose each page of a disk is, in an area with zswap before it.
//!
//! A slot's page goes to the page of the disk of the same number, unless other slots' are there: then, as several that go together
//! do, to one that is vacant. So a slot that is freed frees nothing that others need. An area's byte of each page of its disk
//! ([`Area::page_notes`]) says which are vacant:
//!
//! | byte | the page of the disk |
//! |---|---|
//! | 0 | is vacant |
//! | 1 to 254 | has what so many slots need, perhaps in part; or is taken to be written |
//! | 255 | is that of the slot of the same number, alone |
//!
//! A byte changes in one step, without a lock, and is the last to say that something is gone. 255 is set and taken away only by a task that
//! may change the slot's metadata, or frees it.
//!
//! There are as many pages as slots, and several objects need fewer pages than there are objects. But one that lies in two pages keeps both
//! when all others there are gone. If nothing is vacant for a page that has to go, it is refused for now, and the shrinker takes such objects
//! into the pool again (`vacate.rs`): each vacates a page, and goes to the disk with others later.
//!
//! An area whose device is told of empty clusters has each page on the page of its slot: the device forgets what is in a cluster without slots in use.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use quire_swap::{Area, SlotRun};

use crate::machine::PoolMachine;

const VACANT: u8 = 0;
const OWN: u8 = u8::MAX;

/// A page of an area's disk that was vacant and is the caller's. Dropping this makes it vacant again.
pub(super) struct Vacant<M: PoolMachine> {
    area: Arc<Area<M>>,
    page: u32,
    is_given: bool,
}

impl<M: PoolMachine> Vacant<M> {
    /// The first vacant page from `hand` on, which goes on behind what was looked at.
    pub(super) fn find(area: &Arc<Area<M>>, hand: &AtomicU32) -> Option<Self> {
        /// How many pages are looked at.
        const LOOKS: u64 = 1 << 16;
        if area.discards_clusters() {
            return None;
        }
        // Slot 0 is the header's.
        let (notes, pages) = (area.page_notes()?, area.slots() - 1);
        // The first pages of all are likely to be their own slots' soon.
        let first = match hand.load(Ordering::Relaxed) {
            0 => pages / 2,
            page => page.into(),
        };
        let mut page = 0;
        let mut has_memory = true;
        for look in 0..pages.min(LOOKS) {
            page = ((first + look) % pages + 1) as u32;
            let found = notes.get(page).or_else(|| {
                let made = if has_memory { notes.grow(page) } else { Ok(None) };
                has_memory &= made.is_ok();
                made.ok().flatten()
            });
            let take = |note: &AtomicU8| note.compare_exchange(VACANT, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok();
            if found.is_some_and(|note| area.is_usable(page) && take(note)) {
                hand.store(page, Ordering::Relaxed);
                return Some(Self { area: Arc::clone(area), page, is_given: false });
            }
        }
        hand.store(page, Ordering::Relaxed);
        None
    }

    pub(super) fn area(&self) -> &Arc<Area<M>> {
        &self.area
    }

    /// Its number, as a slot's.
    pub(super) fn page(&self) -> u32 {
        self.page
    }

    /// Gives it to so many slots, each of which lets go of it by [`let_go`].
    pub(super) fn share_among(self, holders: u16) {
        self.give(holders as u8);
    }

    /// Gives it to a slot, for its page alone.
    pub(super) fn give_to(self, slot: u32) {
        let whose = if slot == self.page { OWN } else { 1 };
        self.give(whose);
    }

    fn give(mut self, whose: u8) {
        if let Some(note) = note(&self.area, self.page) {
            note.store(whose, Ordering::Release);
            self.is_given = true;
        }
    }
}

impl<M: PoolMachine> Drop for Vacant<M> {
    fn drop(&mut self) {
        if !self.is_given {
            let_go(&self.area, self.page);
        }
    }
}

fn note<M: PoolMachine>(area: &Area<M>, page: u32) -> Option<&AtomicU8> {
    area.page_notes()?.get(page)
}

/// One slot less has something in the page of the disk.
pub(super) fn let_go<M: PoolMachine>(area: &Area<M>, page: u32) {
    if let Some(note) = note(area, page) {
        let less = |holders| if matches!(holders, VACANT | OWN) { None } else { Some(holders - 1) };
        let changed = note.fetch_update(Ordering::AcqRel, Ordering::Relaxed, less);
        debug_assert!(changed.is_ok(), "page {page} of {} is let go of too often", area.name());
    }
}

/// Whether one slot alone has something in the page of the disk.
pub(super) fn has_one_holder<M: PoolMachine>(area: &Area<M>, page: u32) -> bool {
    note(area, page).is_some_and(|note| note.load(Ordering::Relaxed) == 1)
}

/// Claims for a slot in use the page of the disk of the same number. False if others have it.
pub(super) fn claim_own<M: PoolMachine>(area: &Area<M>, slot: u32) -> bool {
    // Each slot in use has a note but the last of the largest area, to whose page no other goes.
    let claim = |note: &AtomicU8| note.compare_exchange(VACANT, OWN, Ordering::AcqRel, Ordering::Acquire);
    note(area, slot).is_none_or(|note| matches!(claim(note), Ok(_) | Err(OWN)))
}

/// [`claim_own`] for all of a run, or for none.
pub(super) fn claim_run<M: PoolMachine>(area: &Area<M>, run: SlotRun) -> bool {
    let mut slots = run.first..run.first + run.length;
    let refused = slots.find(|slot| !claim_own(area, *slot));
    if let Some(refused) = refused {
        (run.first..refused).for_each(|slot| let_go_of_own(area, slot));
    }
    refused.is_none()
}

/// The slot's page is not on the page of the disk of the same number any more, if it was.
pub(super) fn let_go_of_own<M: PoolMachine>(area: &Area<M>, slot: u32) {
    if let Some(note) = note(area, slot) {
        // Else others have it.
        let _ = note.compare_exchange(OWN, VACANT, Ordering::AcqRel, Ordering::Relaxed);
    }
}
