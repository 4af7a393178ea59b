//! Slots as values: what owns one frees it by being dropped.

use alloc::sync::Arc;

use crate::area::Area;
use crate::entry::Entry;
use crate::folio::{Folio, FolioFlag, Locked};
use crate::geometry::offset;
use crate::machine::Machine;
use crate::ops::SlotRun;
use crate::panicking::assert_unless_panicking;
use crate::table_entry::{OWNED_BITS, SlotState, TableEntry};

/// Allocated slots that are in no PTE and not in the swap cache. Dropping them frees them.
pub struct Slots<M: Machine> {
    pub(crate) area: Arc<Area<M>>,
    pub(crate) run: SlotRun,
}

impl<M: Machine> Slots<M> {
    /// The area.
    pub fn area(&self) -> &Arc<Area<M>> {
        &self.area
    }

    /// The slots.
    pub fn run(&self) -> SlotRun {
        self.run
    }

    /// Gives each of the slots to one of another area, from `owner` on, with a `note` that [`Area::owner`] repeats. From
    /// here on the owners have them, by [`OwnedSlot`].
    pub fn give_to(mut self, owner: Entry, note: u16) {
        if let Some(cluster) = self.area.cluster(self.run.first) {
            let mut cluster = cluster.lock();
            for index in 0..self.run.length {
                let payload = u64::from(note) << OWNER_BITS | (owner.to_bits() + u64::from(index));
                cluster.set(offset(self.run.first + index), SlotState::Owned(payload).table_entry());
            }
        }
        // They stay in use, which keeps the area enabled; there is nothing left here to free.
        self.run.length = 0;
    }
}

impl<M: Machine> Slots<M> {
    /// Adds a folio of one page to the swap cache at each of the slots, with one count, which the caller has from here on; `None` if
    /// the cluster is gone.
    pub(crate) fn hold<'a>(
        mut self,
        folios: impl Iterator<Item = &'a Locked<M::Folio>>,
        payer: u8,
    ) -> Option<impl ExactSizeIterator<Item = Entry>> {
        let (index, SlotRun { first, length }) = (self.area.index, self.run);
        let entry = move |page: u32| match Entry::new(index, first + page) {
            Some(entry) => entry,
            None => unreachable!("slot 0 is bad, so never allocated"),
        };
        let cluster = self.area.cluster(first)?;
        let mut cluster = cluster.lock();
        for (page, folio) in (0..length).zip(folios) {
            folio.state().set(FolioFlag::Dirty);
            let cached = SlotState::Folio(folio.number()).table_entry().with_count(1).with_payer(payer);
            cluster.set(offset(first + page), cached);
            folio.enter_cache(entry(page));
        }
        drop(cluster);
        self.run.length = 0;
        Some((0..length).map(entry))
    }

    /// Gives each of the slots to so many slots of other areas, which have it together: the table entry counts them, and
    /// does not say which they are. From here on they have it, by [`SharedSlot`].
    pub fn share_among(mut self, holders: u16) {
        if let Some(cluster) = self.area.cluster(self.run.first).filter(|_| holders > 0) {
            let mut cluster = cluster.lock();
            for slot in self.run.first..self.run.first + self.run.length {
                cluster.set(offset(slot), shared(holders));
            }
            self.run.length = 0;
        }
    }
}

/// A slot that several slots of other areas have together. Dropping this is to have it no longer, and the last one frees it.
pub struct SharedSlot<M: Machine> {
    area: Arc<Area<M>>,
    slot: u32,
}

impl<M: Machine> SharedSlot<M> {
    /// The slot that one of its holders' table entries named until now.
    pub fn new(area: Arc<Area<M>>, slot: u32) -> Self {
        Self { area, slot }
    }
}

impl<M: Machine> Drop for SharedSlot<M> {
    fn drop(&mut self) {
        let Some(cluster) = self.area.cluster(self.slot) else { return };
        // The holder may be going just now, with its cluster locked.
        let mut cluster = cluster.lock_inside();
        let holders = cluster.table_entry(offset(self.slot)).holders();
        assert_unless_panicking!(holders > 0, "slot {} of {} is let go of too often", self.slot, self.area.name());
        match holders {
            0 => {}
            1 => self.area.free_run(&mut cluster, self.slot, 1),
            _ => cluster.set(offset(self.slot), shared(holders - 1)),
        }
    }
}

/// The table entry of a slot with so many holders.
fn shared(holders: u16) -> TableEntry {
    SlotState::Owned(u64::from(holders) << OWNER_BITS).table_entry()
}

/// The bits of an owner in the table entry of its slot.
const OWNER_BITS: u32 = Entry::BITS;

const _: () = assert!(OWNER_BITS + u16::BITS <= OWNED_BITS);

/// A slot that belongs to a slot of another area; its table entry says to which. Dropping this frees it.
pub struct OwnedSlot<M: Machine> {
    area: Arc<Area<M>>,
    slot: u32,
}

impl<M: Machine> OwnedSlot<M> {
    /// The slot that its owner's table entry named until now.
    pub fn new(area: Arc<Area<M>>, slot: u32) -> Self {
        Self { area, slot }
    }
}

impl<M: Machine> Drop for OwnedSlot<M> {
    fn drop(&mut self) {
        assert_unless_panicking!(
            self.area.owner(self.slot).is_some(),
            "slot {} of {} has no owner, and its owner lets go of it",
            self.slot,
            self.area.name()
        );
        // The owner may be going just now, with its cluster locked.
        if let Some(cluster) = self.area.cluster(self.slot) {
            self.area.free_run(&mut cluster.lock_inside(), self.slot, 1);
        }
    }
}

impl<M: Machine> Area<M> {
    /// The slot of another area whose page is in this slot, if there is one.
    pub fn owner_of(&self, slot: u32) -> Option<Entry> {
        Some(self.owner(slot)?.0)
    }

    /// How many slots of other areas have the slot together.
    pub fn holders(&self, slot: u32) -> u16 {
        self.peek(slot).map_or(0, TableEntry::holders)
    }

    /// Whose the slot is, and the owner's note, if it belongs to a slot of another area.
    pub fn owner(&self, slot: u32) -> Option<(Entry, u16)> {
        self.peek(slot)?.owner()
    }
}

impl TableEntry {
    /// Whose the slot is, and the owner's note, if it belongs to a slot of another area.
    pub fn owner(self) -> Option<(Entry, u16)> {
        let SlotState::Owned(payload) = self.state() else { return None };
        Some((Entry::from_bits(payload)?, (payload >> OWNER_BITS) as u16))
    }

    /// How many slots of other areas have the slot together: their count is where an owner's note would be.
    pub fn holders(self) -> u16 {
        match self.state() {
            SlotState::Owned(payload) if self.owner().is_none() => (payload >> OWNER_BITS) as u16,
            _ => 0,
        }
    }
}

impl<M: Machine> Drop for Slots<M> {
    #[inline]
    fn drop(&mut self) {
        if self.run.length == 1 {
            self.area.free(self.run.first);
        } else {
            self.area.free_all(self.run);
        }
    }
}
