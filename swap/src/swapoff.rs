//! `swapoff`: everything that is in an area comes back to memory, then the area is gone.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use crate::area::Area;
use crate::batch::BATCH_FOLIOS;
use crate::entry::Entry;
use crate::folio::{Folio, FolioFlag, Locked};
use crate::machine::{Level, Machine};
use crate::plug::Plug;
use crate::swap::Swap;
use crate::users::{SlotRange, SwapOffError, Users};

impl<M: Machine> Swap<M> {
    /// Disables the area `index`: no slot of it is allocated any more, every page table is read once, and the pages are read and
    /// mapped again. A page that cannot be read does
    /// not stop it. Sleeps.
    ///
    /// # Errors
    /// If there is no such area; or if not every page could be swapped in, and then the area works as before.
    pub fn swapoff(&self, index: u8, users: &mut dyn Users) -> Result<(), SwapOffError> {
        let area = self.area(index).ok_or(SwapOffError::NotActive)?;
        if !area.start_emptying() {
            return Err(SwapOffError::NotActive);
        }
        // A task that saw the area open before this is done with its cluster after this.
        // The lists' lock is for clusters that are just appearing.
        drop(area.lists.lock());
        for cluster in area.clusters.existing().filter_map(|index| area.clusters.get(index)) {
            drop(cluster.lock());
        }
        if let Err(error) = self.empty(&area, users) {
            area.stop_emptying();
            M::log(Level::Warning, format_args!("{} stays enabled: {error}", area.name()));
            return Err(error);
        }
        M::area_disabled(index);
        self.enabled.fetch_and(!(1 << index), Ordering::Release);
        loop {
            // Readers hold this for a few instructions.
            if let Some(mut place) = self.areas[usize::from(index)].try_write() {
                *place = None;
                break;
            }
            M::relax();
        }
        M::log(Level::Information, format_args!("removed {}", area.name()));
        Ok(())
    }
}

impl<M: Machine> Swap<M> {
    /// Frees every slot of an area from which nothing is allocated any more.
    fn empty(&self, area: &Arc<Area<M>>, users: &mut dyn Users) -> Result<(), SwapOffError> {
        let total = area.used();
        while area.used() > 0 {
            let before = area.used();
            users.check()?;
            users.swap_in(&SlotRange { area: area.index, slots: 0..area.slots })?;
            for index in area.clusters.existing() {
                if area.clusters.get(index).is_none_or(|cluster| cluster.lock().is_empty()) {
                    continue;
                }
                let slots = area.cluster_slots(index);
                if let Some(layer) = self.frontswap.get() {
                    layer.take_back(area, slots.clone(), users)?;
                }
                for slot in slots {
                    users.check()?;
                    area.drop_unused_in(slot..slot + 1);
                }
            }
            if area.used() == before {
                users.check()?;
                area.wait_for_others();
            }
        }
        // All is back, but memory may have become scarce since.
        if total > 0 { users.check() } else { Ok(()) }
    }
}

impl<M: Machine> Swap<M> {
    /// Has the pages in the slots around this one read that are not in the swap cache, unless its own is there, as far as frames are free: for a
    /// [`Users::swap_in`], which will want them all. So a disk is read in long requests, whatever the order of the PTEs.
    pub fn read_around(&self, entry: Entry) {
        const GROUP: u32 = BATCH_FOLIOS as u32;
        let Some(area) = self.area(entry.area()).filter(|_| self.lookup(entry).is_none()) else { return };
        let first = entry.slot() / GROUP * GROUP;
        let mut plug = Plug::new();
        (first..first + GROUP).for_each(|slot| area.read_ahead(slot, &mut plug));
        plug.submit();
    }
}

impl<M: Machine> Area<M> {
    /// What is left is in the hands of others: sleeps until one of its folios is not locked any more, nor being written. A
    /// slot without a folio is a PTE's that is on its way from one page table to another, which takes no device.
    fn wait_for_others(&self) {
        let slots = self.clusters.existing().flat_map(|index| self.cluster_slots(index));
        let busy = slots
            .filter_map(|slot| self.lookup(slot as u32))
            .find(|folio| folio.state().is(FolioFlag::Locked) || folio.state().is(FolioFlag::Writeback));
        match busy {
            Some(folio) => Locked::lock(folio).wait_for_writeback(),
            None => M::relax(),
        }
    }
}
