//! Finding a vacant page of a disk, and vacating some where there is none (`disk_pages.rs` says why that can be).

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use quire_swap::{Area, BATCH_FOLIOS, Slots};

use super::cache::Zswap;
use super::disk_pages::{self, Vacant};
use super::location::{Location, Part};
use crate::machine::PoolMachine;

impl<M: PoolMachine> Zswap<M> {
    /// Slots of an area with a disk whose pages of it are theirs, for those of another area. Those whose pages others have are of no use
    /// for that.
    pub(super) fn slots_on_disk(&self, order: u8) -> Option<Slots<M>> {
        /// How many may be passed over, because others have their pages of the disk.
        const TRIES: usize = 16;
        // They are held, so that the search goes on behind them.
        let mut passed: [Option<Slots<M>>; TRIES] = [const { None }; TRIES];
        for held in &mut passed {
            let slots = self.swap.allocate_on_disk(order).ok()?;
            if disk_pages::claim_run(slots.area(), slots.run()) {
                return Some(slots);
            }
            *held = Some(slots);
        }
        None
    }

    /// A vacant page of the area's disk.
    pub(super) fn vacant(&self, area: &Arc<Area<M>>) -> Option<Vacant<M>> {
        Vacant::find(area, &self.hands[usize::from(area.index())])
    }

    /// Nothing was vacant for a page that had to go.
    pub(super) fn want_vacant_in(&self, area: &Area<M>) {
        self.cramped.fetch_or(1 << area.index(), Ordering::Relaxed);
        M::wake_shrinker();
    }

    /// Takes objects that alone have one of their two pages into the pool again, in areas that want vacant pages: some of the first.
    pub(super) fn vacate(&self) {
        let cramped = self.cramped.swap(0, Ordering::Relaxed);
        for area in self.swap.areas().filter(|area| cramped >> area.index() & 1 != 0) {
            self.vacate_in(&area);
        }
    }

    fn vacate_in(&self, area: &Arc<Area<M>>) {
        let mut found = [None; BATCH_FOLIOS];
        let mut count = 0;
        let wastes =
            |part: Part| part.crosses && part.slots().any(|page| disk_pages::has_one_holder(area, page.slot()));
        area.look_at_metadata(0, |slot, metadata| {
            if let Location::Part(part) = Location::from_metadata(metadata)
                && wastes(part)
            {
                found[count] = area.entry(slot);
                count += 1;
            }
            count < found.len()
        });
        for cold in found.into_iter().flatten().filter_map(|entry| self.take(entry)) {
            if let Location::Part(part) = cold.location() {
                self.take_back(area, cold.entry.slot(), part);
            }
            cold.withdraw();
        }
    }
}
