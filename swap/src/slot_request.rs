//! Slots for one folio, as a backend is asked for them that chooses them itself.

use crate::area::Area;
use crate::geometry::{ZERO_CLASS, cluster_of, offset, run_length};
use crate::heap::NoMemory;
use crate::machine::Machine;
use crate::table_entry::TableEntry;

/// A folio that is to get slots of one area ([`SwapOps::allocate_slots`](crate::SwapOps::allocate_slots)).
pub struct SlotRequest<'a, M: Machine> {
    area: &'a Area<M>,
    class: u8,
    table_entry: TableEntry,
}

/// A run of slots that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub(crate) first: u32,
    /// Nothing is left in its cluster.
    pub(crate) full: bool,
}

/// Why an area gives no slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoSlot {
    /// It has no space for what was asked.
    Full,
    /// There is no memory for the table.
    NoMemory,
}

impl Taken {
    /// The first of the slots.
    pub const fn first(self) -> u32 {
        self.first
    }
}

impl<'a, M: Machine> SlotRequest<'a, M> {
    pub(crate) const fn new(area: &'a Area<M>, class: u8, table_entry: TableEntry) -> Self {
        Self { area, class, table_entry }
    }

    /// The folio has 2^order pages.
    pub fn order(&self) -> u8 {
        run_length(self.class).ilog2() as u8
    }

    /// The folio looks all zero: very likely it will not be stored.
    pub fn looks_zero(&self) -> bool {
        self.class == ZERO_CLASS
    }

    /// Takes the slots at `slot`, or if those are in use others of the same cluster. `None` if it has none, or no memory for
    /// its table.
    pub fn near(&self, slot: u32) -> Option<Taken> {
        self.area.take_from(cluster_of(slot), self.class, offset(slot), self.table_entry).ok().flatten()
    }

    /// Takes slots where the core thinks best.
    ///
    /// # Errors
    /// [`NoSlot`].
    pub fn usual(&self) -> Result<Taken, NoSlot> {
        self.area.allocate_usually(self.class, self.table_entry)
    }
}

impl From<NoMemory> for NoSlot {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}
