//! Whose each page of a disk is, in an area with zswap before it.
//!
//! A slot's page goes to the page of the disk of the same number, unless other slots' are there: then, as several that go together
//! do, to one that is vacant. So a slot that is freed frees nothing that others need, and as none needs more than one page of the
//! disk, there is one for each. An area's byte of each page of its disk ([`Area::page_notes`]) says which are vacant:
//!
//! | byte | the page of the disk |
//! |---|---|
//! | 0 | is vacant |
//! | 1 to 254 | has what so many slots need, perhaps in part |
//! | 255 | is that of the slot of the same number, alone |
//!
//! A byte changes in one step, without a lock, and is the last to say that something is gone. 255 is set and taken away only by who
//! may change the slot's metadata, or frees it.
//!
//! An area whose device is told of empty clusters has each page in its own place: the device forgets what is in a cluster without slots in use.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use quire_swap::{Area, SlotRun, Slots};

use super::cache::Zswap;
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
    /// The first vacant page from `hand` on, which goes behind it.
    pub(super) fn find(area: &Arc<Area<M>>, hand: &AtomicU32) -> Option<Self> {
        /// How many pages are looked at.
        const LOOKS: u32 = 1 << 16;
        let (notes, pages) = (area.page_notes()?, area.usable() as u32);
        // The first pages of all are likely to be their own slots' soon.
        let first = match hand.load(Ordering::Relaxed) {
            0 => pages / 2,
            page => page,
        };
        for look in 0..pages.min(LOOKS) {
            // Slot 0 is the header's.
            let page = first.wrapping_add(look) % pages + 1;
            if !area.is_usable(page) {
                continue;
            }
            let note = notes.grow(page).ok()??;
            if note.compare_exchange(VACANT, 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                hand.store(page, Ordering::Relaxed);
                return Some(Self { area: Arc::clone(area), page, is_given: false });
            }
        }
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
        let before = note.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(!matches!(before, VACANT | OWN), "page {page} of {} is let go of too often", area.name());
    }
}

/// Claims for a slot the page of the disk of the same number. False if others have it, or without memory to note it.
pub(super) fn claim_own<M: PoolMachine>(area: &Area<M>, slot: u32) -> bool {
    let Some(notes) = area.page_notes() else { return true };
    match notes.grow(slot) {
        Ok(Some(note)) => {
            let claimed = note.compare_exchange(VACANT, OWN, Ordering::AcqRel, Ordering::Acquire);
            matches!(claimed, Ok(_) | Err(OWN))
        }
        // The last slot of the largest area: no other page goes there.
        Ok(None) => true,
        Err(_) => false,
    }
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

impl<M: PoolMachine> Zswap<M> {
    /// Slots of an area with a disk whose pages of it are theirs, for those of another area.
    pub(super) fn slots_on_disk(&self, order: u8) -> Option<Slots<M>> {
        /// How many may be passed over, because others have their pages of the disk.
        const TRIES: usize = 16;
        // They are held, so that the search goes on behind them.
        let mut passed: [Option<Slots<M>>; TRIES] = [const { None }; TRIES];
        for place in &mut passed {
            let slots = self.swap.allocate_on_disk(order).ok()?;
            if claim_run(slots.area(), slots.run()) {
                return Some(slots);
            }
            *place = Some(slots);
        }
        None
    }

    /// A vacant page of the area's disk.
    pub(super) fn vacant(&self, area: &Arc<Area<M>>) -> Option<Vacant<M>> {
        Vacant::find(area, &self.hands[usize::from(area.index())])
    }
}
