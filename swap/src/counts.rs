//! The counts of slots: how many page-table entries hold each.

use crate::cache::DuplicateError;
use crate::entry::Entry;
use crate::folio::{Folio, Locked};
use crate::geometry::offset;
use crate::machine::Machine;
use crate::reference::SlotReference;
use crate::swap::Swap;

impl<M: Machine> Swap<M> {
    /// Lets `to` pay for all slots that `from` pays for, none of which is 0; how many these are. What is taken meanwhile may be
    /// missed.
    pub fn replace_payer(&self, from: u8, to: u8) -> usize {
        debug_assert_ne!(from, 0, "payer 0 pays for nothing");
        self.areas().map(|area| area.replace_payer(from, to)).sum()
    }

    /// Who pays for the slot; 0 if it is not paid for. Takes no lock: certain while nothing lets another pay or frees the slot.
    #[inline]
    pub fn payer(&self, entry: Entry) -> u8 {
        self.with_area(entry.area(), |area| area.payer(entry.slot())).unwrap_or(0)
    }

    /// One more PTE will hold the slot, which must be in use: the caller has its folio locked, or has a
    /// PTE that holds it (`fork`).
    ///
    /// # Errors
    /// If the slot cannot have a count, or memory for a large one does not suffice.
    pub fn duplicate(&self, entry: Entry) -> Result<SlotReference<'_, M>, DuplicateError> {
        self.with_area(entry.area(), |area| area.duplicate(entry)).ok_or(DuplicateError::NotInUse(entry))??;
        Ok(SlotReference::new(self, entry))
    }

    /// [`Swap::duplicate`] for each of `wanted`, whose slots' clusters are locked once for as many as follow one another in
    /// them. `done` is told the outcome for each, and `wanted` asked for the next, perhaps under that lock.
    pub fn duplicate_each<'a, T>(
        &'a self,
        wanted: impl Iterator<Item = (Entry, T)>,
        mut done: impl FnMut(T, Result<SlotReference<'a, M>, DuplicateError>),
    ) {
        let mut wanted = wanted.peekable();
        while let Some((entry, whose)) = wanted.next() {
            match self.area(entry.area()) {
                Some(area) => area.duplicate_run((entry, whose), &mut wanted, |entry, whose, result| {
                    done(whose, result.map(|()| SlotReference::new(self, entry)));
                }),
                None => done(whose, Err(DuplicateError::NotInUse(entry))),
            }
        }
    }

    /// Whether one PTE and no other holds the slot; takes no lock. Certain for a caller that keeps that PTE from being
    /// duplicated.
    #[inline]
    pub fn is_held_once(&self, entry: Entry) -> bool {
        let table_entry = self.with_area(entry.area(), |area| area.peek(entry.slot())).flatten();
        table_entry.is_some_and(|table_entry| table_entry.count() == 1)
    }

    /// Takes back the count of a PTE, just replaced by one that maps the folio, which the caller has locked, or a copy
    /// of it. If the slot is worth nothing to that PTE from here on, because the page `is_written` or copied, or by
    /// [`Swap::is_slot_worthless`], it is freed like by [`Swap::try_free_slot`].
    #[inline]
    pub fn put_mapped(&self, entry: Entry, folio: &Locked<M::Folio>, is_written: bool) {
        debug_assert!(
            folio.state().entry() == Some(entry) || folio.order() > 0,
            "a PTE of {entry} was replaced by one that maps the folio of {:?}",
            folio.state().entry()
        );
        self.with_area(entry.area(), |area| {
            area.put_mapped(entry, folio, self.is_worthless_after(area, folio, is_written));
        });
    }

    /// How many PTEs hold the slot.
    pub fn count(&self, entry: Entry) -> u32 {
        let Some(area) = self.area(entry.area()) else { return 0 };
        area.cluster(entry.slot()).map_or(0, |cluster| cluster.lock().count(offset(entry.slot())))
    }
}
