//! Slots for folios on their way out: which area gives them, and where a processor goes on.

use alloc::sync::Arc;

use crate::area::Area;
use crate::cursor::Cursor;
use crate::entry::Entry;
use crate::folio::{Folio, FolioFlag, Locked};
use crate::geometry::{CLASSES, ZERO_CLASS, class_of, run_length};
use crate::machine::{MAX_CPUS, Machine, Occurrence};
use crate::ops::SlotRun;
use crate::reference::SlotReference;
use crate::slot_request::{NoSlot, Taken};
use crate::slots::Slots;
use crate::swap::Swap;
use crate::table_entry::{SlotState, TableEntry};

/// Why slots could not be allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocateError {
    /// No area has a free, aligned run of so many slots. A large folio may still fit in pieces.
    Full,
    /// There are free slots, but no memory for a cluster's table.
    NoMemory,
    /// Who would pay for the slots may not have more ([`Machine::charge_slots`]).
    OverLimit,
}

/// What `take` takes of slots, of which so many are charged to the folio's payer, or none.
#[expect(clippy::inline_always, reason = "the usual way of every page")]
#[inline(always)]
fn charged<M: Machine, T>(
    folio: &M::Folio,
    slots: u32,
    take: impl FnOnce(u8) -> Result<T, AllocateError>,
) -> Result<T, AllocateError> {
    let payer = M::charge_slots(folio, slots).ok_or(AllocateError::OverLimit)?;
    take(payer).inspect_err(|_| {
        if payer != 0 {
            M::uncharge_slots(payer, slots);
        }
    })
}

impl<M: Machine> Swap<M> {
    /// Allocates 2^`order` slots that belong to the caller, not to the swap cache.
    ///
    /// # Errors
    /// If no slots are free, or there is no memory for the table.
    #[inline]
    pub fn allocate(&self, order: u8) -> Result<Slots<M>, AllocateError> {
        let slots =
            |area: &Arc<Area<M>>, first| Slots { area: Arc::clone(area), run: SlotRun { first, length: 1 << order } };
        self.allocate_with(class_of(order).ok_or(AllocateError::Full)?, SlotState::Owned(0).table_entry(), slots)
    }

    /// Allocates 2^`order` slots in areas whose pages lie on their disks as they are, for slots of another area.
    ///
    /// # Errors
    /// As for [`Swap::allocate`].
    pub fn allocate_on_disk(&self, order: u8) -> Result<Slots<M>, AllocateError> {
        let (class, table_entry) = (class_of(order).ok_or(AllocateError::Full)?, SlotState::Owned(0).table_entry());
        let slots = |area: Arc<Area<M>>, Taken { first, .. }| {
            let run = SlotRun { first, length: 1 << order };
            M::note(Occurrence::SlotsAllocated { area: area.index, first, count: run.length });
            Slots { area, run }
        };
        let (index, hint) = self.last_owned.get();
        if let Some(area) = self.area(index as u8).filter(|area| area.is_on_disk() && area.may_be_written_to())
            && let Ok(taken) = area.allocate_at(class, hint, table_entry)
        {
            self.last_owned.set(&area, taken, class);
            return Ok(slots(area, taken));
        }
        let order = self.shared.get().ok_or(AllocateError::Full)?.priorities.lock().clone();
        let mut error = AllocateError::Full;
        let areas = order.iter().filter_map(|index| self.area(index));
        for area in areas.filter(|area| area.is_on_disk() && area.may_be_written_to()) {
            match area.allocate(class, table_entry) {
                Ok(taken) => {
                    self.last_owned.set(&area, taken, class);
                    return Ok(slots(area, taken));
                }
                Err(NoSlot::Full) => {}
                Err(NoSlot::NoMemory) => error = AllocateError::NoMemory,
            }
        }
        Err(error)
    }

    /// Gives a folio slots and adds it to the swap cache there. It is dirty from here on: nothing is stored yet.
    ///
    /// # Errors
    /// If no area has free slots, or memory for a table does not suffice; the folio is as it was.
    pub fn add_to_swap(&self, folio: &Locked<M::Folio>) -> Result<Entry, AllocateError> {
        self.add_with_count(folio, 0)
    }

    /// [`Swap::add_to_swap`] for a folio of one page, and [`Swap::duplicate`] for the first PTE that will hold its
    /// slot, in one critical section.
    ///
    /// # Errors
    /// As for [`Swap::add_to_swap`].
    pub fn hold_in_swap(&self, folio: &Locked<M::Folio>) -> Result<SlotReference<'_, M>, AllocateError> {
        debug_assert_eq!(folio.order(), 0);
        Ok(SlotReference::new(self, self.add_with_count(folio, 1)?))
    }

    /// [`Swap::hold_in_swap`] for folios of one page each that are to lie together: their slots follow one another in the folios' order,
    /// the first at a multiple of their number, a power of two. Who pays for the first folio pays for all.
    ///
    /// # Errors
    /// If no area has such a run, or memory for a table does not suffice; the folios are as they were.
    pub fn hold_together_in_swap<'a>(
        &self,
        folios: impl ExactSizeIterator<Item = &'a Locked<M::Folio>> + Clone,
    ) -> Result<impl ExactSizeIterator<Item = SlotReference<'_, M>>, AllocateError> {
        let pages = folios.len() as u32;
        let first = folios.clone().next().filter(|_| pages.is_power_of_two()).ok_or(AllocateError::Full)?;
        let entries = charged::<M, _>(first, pages, |payer| {
            self.allocate(pages.ilog2() as u8)?.hold(folios, payer).ok_or(AllocateError::Full)
        })?;
        Ok(entries.map(|entry| SlotReference::new(self, entry)))
    }

    #[expect(clippy::inline_always, reason = "the usual way of every page")]
    #[inline(always)]
    fn add_with_count(&self, folio: &Locked<M::Folio>, count: u8) -> Result<Entry, AllocateError> {
        debug_assert!(folio.state().entry().is_none() && folio.state().is(FolioFlag::UpToDate));
        let class = if folio.order() == 0 && folio.looks_zero() {
            ZERO_CLASS
        } else {
            class_of(folio.order()).ok_or(AllocateError::Full)?
        };
        let entry = |area: &Arc<Area<M>>, first| Entry::new(area.index, first);
        let entry = charged::<M, _>(folio, run_length(class), |payer| {
            let table_entry = SlotState::Folio(folio.number()).table_entry().with_count(count).with_payer(payer);
            self.allocate_with(class, table_entry, entry)
        })?;
        let Some(entry) = entry else { unreachable!("slot 0 is bad, so never allocated") };
        folio.state().set(FolioFlag::Dirty);
        // Readers may find the table entry before this; they take their own reference from the caller's.
        folio.enter_cache(entry);
        Ok(entry)
    }
}

impl<M: Machine> Swap<M> {
    /// Takes slots where this processor took the last ones, or where there are any.
    #[inline]
    fn allocate_with<R>(
        &self,
        class: u8,
        table_entry: TableEntry,
        taken_from: impl FnOnce(&Arc<Area<M>>, u32) -> R,
    ) -> Result<R, AllocateError> {
        let current = &self.current[M::cpu() % MAX_CPUS][usize::from(class) % CLASSES];
        let (index, hint) = current.get();
        if run_length(class) == 1
            && let Some(area) = self.areas.get(index)
            && let Some(area) = area.try_read()
            && let Some(area) = &*area
            && area.may_be_written_to()
            && let Some(taken) = area.allocate_beside(hint, table_entry)
        {
            if taken.full {
                Self::leave_cluster(current, area, class);
            } else {
                current.go_on(area, taken);
            }
            M::note(Occurrence::SlotsAllocated { area: area.index, first: taken.first, count: 1 });
            return Ok(taken_from(area, taken.first));
        }
        let (area, taken) = self.allocate_slowly(current, class, table_entry)?;
        M::note(Occurrence::SlotsAllocated { area: area.index, first: taken.first, count: run_length(class) });
        Ok(taken_from(&area, taken.first))
    }

    /// A processor's cluster is full: it goes on in another one of the same area, unless others are to have their turn.
    #[inline(never)]
    fn leave_cluster(cursor: &Cursor, area: &Area<M>, class: u8) {
        let stays = class == 0 && area.shared.priorities.lock().is_alone_first(area.index);
        cursor.go_to(area, if stays { area.usual_cluster() } else { None });
    }

    #[inline(never)]
    fn allocate_slowly(
        &self,
        cursor: &Cursor,
        class: u8,
        table_entry: TableEntry,
    ) -> Result<(Arc<Area<M>>, Taken), AllocateError> {
        let (index, hint) = cursor.get();
        if let Some(area) = self.area(index as u8).filter(|area| area.may_be_written_to())
            && let Ok(taken) = area.allocate_at(class, hint, table_entry)
        {
            cursor.set(&area, taken, class);
            return Ok((area, taken));
        }
        // Nearly always the first area has free slots.
        let priorities = &self.shared.get().ok_or(AllocateError::Full)?.priorities;
        let first = priorities.lock().turn().ok_or(AllocateError::Full)?;
        let mut error = match self.allocate_in(first, cursor, class, table_entry) {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        let others = priorities.lock().clone();
        for index in others.iter().filter(|&index| index != first) {
            priorities.lock().requeue(index);
            match self.allocate_in(index, cursor, class, table_entry) {
                Ok(found) => return Ok(found),
                Err(AllocateError::Full) => {}
                Err(other) => error = other,
            }
        }
        Err(error)
    }

    #[inline]
    fn allocate_in(
        &self,
        index: u8,
        cursor: &Cursor,
        class: u8,
        table_entry: TableEntry,
    ) -> Result<(Arc<Area<M>>, Taken), AllocateError> {
        let area = self.area(index).filter(|area| area.may_be_written_to()).ok_or(AllocateError::Full)?;
        let taken = area.allocate(class, table_entry).map_err(|error| match error {
            NoSlot::Full => {
                area.leave_out_if_full();
                AllocateError::Full
            }
            NoSlot::NoMemory => AllocateError::NoMemory,
        })?;
        cursor.set(&area, taken, class);
        Ok((area, taken))
    }
}
