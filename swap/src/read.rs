//! The way in: from an entry to a locked folio that is up to date.

use alloc::sync::Arc;

use crate::area::Area;
use crate::cache::{InSlot, InsertError, Inserted};
use crate::entry::Entry;
use crate::folio::{Folio, FolioFlag, Locked};
use crate::machine::{FolioUse, Machine};
use crate::ops::Direction;
use crate::ops::SlotRun;
use crate::plug::Plug;
use crate::readahead::{Neighbourhood, Window};
use crate::statistics::count;
use crate::swap::Swap;
use crate::table_entry::TableEntry;

/// A page that is back.
#[derive(Debug)]
pub struct FaultIn<M: Machine> {
    /// The folio, locked, up to date, in the cache. Its entry is at or before the one asked for: page
    /// `entry.slot() - folio.state().entry().slot()` of it is the page.
    pub folio: Locked<M::Folio>,
    /// Where it came from.
    pub kind: FaultKind,
    /// It was read ahead, and this is the first fault for it.
    pub was_read_ahead: bool,
}

/// Where a page came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It was in the swap cache, perhaps on its way: a minor fault.
    Cached,
    /// It was read from the backend for this fault: a major fault.
    Read,
    /// It is a zero page that was never stored.
    Zero,
}

/// Why a page is not back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultError {
    /// The slot is no longer in use, so the PTE has changed: look at it again.
    Gone,
    /// No frame.
    NoMemory,
    /// The backend cannot read the page: `SIGBUS` for the task that needs it.
    ReadFailed(Entry),
}

impl<M: Machine> Swap<M> {
    /// Brings the page in `entry` back. The caller has a PTE that holds the slot. With an `order` above 0
    /// it has PTEs for the whole aligned run around `entry`, and takes a folio of that order if one can be had, else of
    /// order 0. With a neighbourhood, neighbours that are not in memory are read along.
    ///
    /// Sleeps; the caller holds no spinning lock and has an empty plug.
    ///
    /// # Errors
    /// If the slot is not in use any more, no frame can be had, or the page cannot be read.
    pub fn fault_in(
        &self,
        entry: Entry,
        order: u8,
        neighbourhood: Option<&Neighbourhood<'_>>,
    ) -> Result<FaultIn<M>, FaultError> {
        let area = self.area(entry.area()).ok_or(FaultError::Gone)?;
        let order = if area.takes_runs() { order } else { 0 };
        let mut fault = Fault { area: &area, entry, order, kind: FaultKind::Cached, read_alone: false };
        let folio = loop {
            let found = match area.find(entry.slot()) {
                InSlot::Folio(folio) => folio,
                // Before a frame is allocated: that might cost another page its own.
                InSlot::Gone => return Err(FaultError::Gone),
                InSlot::Nothing(payer) => match fault.bring_in(payer, neighbourhood, self)? {
                    Brought::Zero(folio) => break folio,
                    Brought::Read(folio) => folio,
                    Brought::Nothing => continue,
                },
            };
            let folio = Locked::lock(found);
            if !folio.covers(entry) {
                continue;
            }
            if folio.state().is(FolioFlag::UpToDate) {
                break folio;
            }
            fault.read_again(folio)?;
        };
        if fault.kind == FaultKind::Cached {
            count!(area, cache_hits, 1);
        } else {
            count!(area, cache_misses, 1);
        }
        let was_read_ahead = folio.state().clear(FolioFlag::Readahead);
        if was_read_ahead {
            count!(area, readahead_hits, 1);
        }
        if let Some(&Neighbourhood { readahead, page, .. }) = neighbourhood {
            if was_read_ahead {
                readahead.hit();
            }
            if self.goes_by_address(&area) {
                readahead.passed(page);
            }
        }
        Ok(FaultIn { folio, kind: fault.kind, was_read_ahead })
    }
}

impl<M: Machine> Swap<M> {
    /// Whether the neighbours of a page in this area are found by address.
    fn goes_by_address(&self, area: &Area<M>) -> bool {
        !area.properties.rotational && self.readahead_policy.by_address()
    }
}

/// One fault on its way.
struct Fault<'a, M: Machine> {
    area: &'a Arc<Area<M>>,
    entry: Entry,
    order: u8,
    kind: FaultKind,
    /// The page was read on its own: if it is not up to date now, it cannot be read.
    read_alone: bool,
}

/// What an attempt to bring a page in came to.
enum Brought<F: Folio> {
    /// It is here, and all zero.
    Zero(Locked<F>),
    /// It is being read, or has been.
    Read(F),
    /// Look at the cache again.
    Nothing,
}

impl<M: Machine> Fault<'_, M> {
    /// Adds a new folio to the cache and reads it.
    fn bring_in(
        &mut self,
        payer: u8,
        neighbourhood: Option<&Neighbourhood<'_>>,
        swap: &Swap<M>,
    ) -> Result<Brought<M::Folio>, FaultError> {
        let Some(folio) = M::allocate_folio(self.order, FolioUse::Demand { entry: self.entry, payer }) else {
            return if core::mem::take(&mut self.order) > 0 { Ok(Brought::Nothing) } else { Err(FaultError::NoMemory) };
        };
        let mut folio = Locked::lock(folio);
        let first = self.entry.slot() & !((1 << folio.order()) - 1);
        let inserted =
            self.area.entry(first).map_or(Err(InsertError::Conflict), |first| self.area.insert(first, &folio));
        let inserted = match inserted {
            Ok(inserted) => inserted,
            Err(InsertError::Gone) => return Err(FaultError::Gone),
            Err(InsertError::Exists) => {
                M::relax();
                return Ok(Brought::Nothing);
            }
            Err(InsertError::Conflict) => {
                self.order = 0;
                return Ok(Brought::Nothing);
            }
        };
        M::added_to_cache(&folio, inserted.shadow);
        let window = match neighbourhood.filter(|_| folio.order() == 0 && !self.area.flags.synchronous) {
            Some(around) if swap.goes_by_address(self.area) => around.window_by_address(&swap.readahead_policy),
            Some(around) => around.window_by_slot(first, self.area.slots, &swap.readahead_policy),
            None => Window::alone(first),
        };
        let mut plug = Plug::new();
        window.before(self.area.index).for_each(|slot| self.area.read_ahead(slot, &mut plug));
        let found = if inserted.zero {
            self.kind = FaultKind::Zero;
            self.area.fill_with_zeros(&mut folio);
            Brought::Zero(folio)
        } else {
            self.kind = FaultKind::Read;
            self.read_alone = window.is_alone();
            let read = M::Folio::clone(&folio);
            plug.add(self.area, folio.into_read(), first, Direction::Read);
            Brought::Read(read)
        };
        window.after(self.area.index).for_each(|slot| self.area.read_ahead(slot, &mut plug));
        plug.submit();
        Ok(found)
    }

    /// Reads a folio whose read failed once more, on its own: with others in the batch it may not have been its fault.
    /// Of a large folio that still fails, only the one page is tried.
    fn read_again(&mut self, folio: Locked<M::Folio>) -> Result<(), FaultError> {
        let failed = FaultError::ReadFailed(self.entry);
        let first = folio.state().entry().ok_or(failed)?;
        if !self.read_alone {
            self.read_alone = true;
            self.kind = FaultKind::Read;
            let mut plug = Plug::new();
            plug.add(self.area, folio.into_read(), first.slot(), Direction::Read);
            plug.submit();
            return Ok(());
        }
        if folio.order() == 0 {
            return Err(failed);
        }
        self.area.withdraw(first, &folio);
        (self.order, self.read_alone) = (0, false);
        Ok(())
    }
}

impl<M: Machine> Area<M> {
    /// Fills a folio that was added to the cache at slots of zero pages.
    pub(crate) fn fill_with_zeros(&self, folio: &mut Locked<M::Folio>) {
        count!(self, zero_in, 1 << folio.order());
        (0..1 << folio.order()).for_each(|page| folio.with_page_mut(page, M::Folio::clear));
        folio.set_up_to_date();
    }

    /// Brings the page in `slot` into the cache if it is not there and a frame is free: adds it to a batch to be read, or
    /// fills it with zeros. Not what the layer before the area has where it comes as fast alone.
    pub(crate) fn read_ahead(self: &Arc<Self>, slot: u32, plug: &mut Plug<M>) {
        let Some(entry) = self.entry(slot).filter(|_| self.peek(slot).is_some_and(TableEntry::is_out)) else { return };
        if self.flags.frontswap && !self.ops.reads_together(self, SlotRun { first: slot, length: 1 }) {
            return;
        }
        let Some(folio) = M::allocate_folio(0, FolioUse::Readahead(entry)) else { return };
        let mut folio = Locked::lock(folio);
        let Ok(Inserted { shadow, zero }) = self.insert(entry, &folio) else { return };
        folio.state().set(FolioFlag::Readahead);
        count!(self, readahead, 1);
        M::added_to_cache(&folio, shadow);
        if zero {
            self.fill_with_zeros(&mut folio);
        } else {
            plug.add(self, folio.into_read(), slot, Direction::Read);
        }
    }
}
