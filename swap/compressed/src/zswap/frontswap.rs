//! zswap as the layer before other backends: which areas get it, and what it does at `swapoff`.
//!
//! When an area is disabled that has pages of ghost areas, these are read into memory, from where they go to the pool or to
//! another disk when it is needed again.

use alloc::sync::Arc;
use core::ops::Range;

use quire_swap::heap::{self, NoMemory};
use quire_swap::{
    Area, Entry, Folio, FolioFlag, FolioUse, Frontswap, InsertError, Inserted, Locked, SwapOffError, SwapOps, Users,
};

use super::cache::Zswap;
use super::location::Location;
use super::ops::Layer;
use crate::machine::PoolMachine;

impl<M: PoolMachine> Frontswap<M> for Zswap<M> {
    fn before(self: Arc<Self>, below: Arc<dyn SwapOps<M>>) -> Result<Arc<dyn SwapOps<M>>, NoMemory> {
        let flags = below.flags();
        if !self.is_enabled() || !flags.pages_on_disk || flags.synchronous {
            return Ok(below);
        }
        Ok(heap::arc::<M, _>(Layer::new(&self, Some(below)))?)
    }

    fn take_back(&self, leaving: &Arc<Area<M>>, slots: Range<u64>, users: &dyn Users) -> Result<(), SwapOffError> {
        self.take_back_parts(leaving, &slots, users)?;
        for slot in slots {
            // The owner may go, or get another slot, at any moment: each look may find another.
            while let Some((owner, _)) = leaving.owner(slot as u32) {
                let (Some(area), Some(from)) = (self.swap.area(owner.area()), leaving.entry(slot as u32)) else {
                    break;
                };
                let Some(mut folio) = hold(&area, owner, users)? else { continue };
                if area.metadata(owner.slot()) == Location::Slot(from).to_metadata() {
                    self.take_into_memory(&area, owner, &mut folio);
                }
            }
        }
        Ok(())
    }
}

impl<M: PoolMachine> Zswap<M> {
    /// Takes the pages back that have these slots with others. The slots do not say whose they are, so all metadata are looked
    /// at once; reading one page of a block takes the others into the pool, as far as it takes more.
    fn take_back_parts(
        &self,
        leaving: &Arc<Area<M>>,
        slots: &Range<u64>,
        users: &dyn Users,
    ) -> Result<(), SwapOffError> {
        if slots.clone().all(|slot| leaving.holders(slot as u32) == 0) {
            return Ok(());
        }
        let is_meant = |metadata: u64| match Location::from_metadata(metadata) {
            Location::Part(part) => {
                part.slots().any(|slot| slot.area() == leaving.index() && slots.contains(&slot.slot().into()))
            }
            _ => false,
        };
        for area in self.swap.areas().filter(|area| area.is_ghost()) {
            let mut next = Some(0);
            while let Some(from) = next {
                let mut found = None;
                next = area.look_at_metadata(from, |slot, metadata| {
                    found = is_meant(metadata).then_some(slot);
                    found.is_none()
                });
                // As below: each look may find another.
                while let Some(owner) = found.and_then(|slot| area.entry(slot))
                    && is_meant(area.metadata(owner.slot()))
                {
                    let Some(mut folio) = hold(&area, owner, users)? else { continue };
                    if is_meant(area.metadata(owner.slot())) {
                        self.take_into_memory(&area, owner, &mut folio);
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads the page into its folio, which is locked and in the cache. It is in memory alone from here on.
    fn take_into_memory(&self, area: &Area<M>, owner: Entry, folio: &mut Locked<M::Folio>) {
        folio.wait_for_writeback();
        if !folio.state().is(FolioFlag::UpToDate) && folio.order() > 0 {
            // It could not be read as a whole: the next look finds one page of it.
            return folio.state().entry().into_iter().for_each(|first| area.withdraw(first, folio));
        }
        let location = Location::from_metadata(area.metadata(owner.slot()));
        let needs_read = !folio.state().is(FolioFlag::UpToDate);
        // Once more if it fails, as a fault would.
        let mut read = || folio.with_page_mut(0, |page| self.fetch(area, owner.slot(), location, page)).is_ok();
        let is_read = !needs_read || read() || read();
        if is_read {
            // Dirty first: the folio must not be dropped when it is the only copy.
            folio.state().set(FolioFlag::Dirty);
            folio.set_up_to_date();
            self.replace(area, owner.slot(), Location::Nowhere);
        } else {
            self.replace(area, owner.slot(), Location::Lost);
            area.withdraw(owner, folio);
        }
    }
}

/// The locked folio of the entry in the cache, a new one if there was none; `None` to look again.
fn hold<M: PoolMachine>(
    area: &Arc<Area<M>>,
    owner: Entry,
    users: &dyn Users,
) -> Result<Option<Locked<M::Folio>>, SwapOffError> {
    if let Some(folio) = area.lookup(owner.slot()) {
        let folio = Locked::lock(folio);
        return Ok(folio.covers(owner).then_some(folio));
    }
    users.gives_up().map_or(Ok(()), Err)?;
    if !users.has_space() {
        return Err(SwapOffError::NoMemory);
    }
    let wanted = FolioUse::Demand { entry: owner, payer: area.payer(owner.slot()) };
    let folio = Locked::lock(M::allocate_folio(0, wanted).ok_or(SwapOffError::NoMemory)?);
    match area.insert(owner, &folio) {
        Ok(Inserted { shadow, .. }) => {
            M::added_to_cache(&folio, shadow);
            Ok(Some(folio))
        }
        Err(InsertError::Gone | InsertError::Exists | InsertError::Conflict) => {
            M::relax();
            Ok(None)
        }
    }
}
