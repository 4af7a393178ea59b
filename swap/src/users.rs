//! What the core asks of the kernel that it runs in when pages have to leave an area.

use core::fmt;
use core::ops::Range;

use crate::entry::Entry;

/// Those who have pages in swap, as the kernel finds them by their PTEs.
pub trait Users {
    /// Replaces every PTE that holds one of these slots by a mapping of its page, by way of
    /// [`Swap::fault_in`](crate::Swap::fault_in) without its readahead, and [`Swap::read_around`](crate::Swap::read_around), or by
    /// a poisoned PTE if the page cannot be read. One pass over all page tables is enough; PTEs that appear behind it are found by a later
    /// call.
    ///
    /// # Errors
    /// If there is no memory for the pages.
    fn swap_in(&mut self, slots: &SlotRange) -> Result<(), SwapOffError>;

    /// Maps the pages of these slots again for which [`Swap::is_refused`](crate::Swap::is_refused) says so: their backend
    /// had no space, they are in memory, and once their slots are free
    /// ([`Swap::is_slot_worthless`](crate::Swap::is_slot_worthless)) they can go elsewhere.
    fn map_refused(&mut self, slots: &SlotRange);

    /// Whether one more page fits into memory without harm to others. Asked for pages that no PTE names here.
    fn has_space(&self) -> bool {
        true
    }

    /// Why the caller of `swapoff` should give up, if it should: because of a signal, or because another needs the
    /// memory. Asked before each slot that something is done for, and once more when the last page is back.
    fn gives_up(&self) -> Option<SwapOffError> {
        None
    }

    /// For each turn of a loop over slots.
    ///
    /// # Errors
    /// What [`Self::gives_up`] says.
    fn check(&self) -> Result<(), SwapOffError> {
        self.gives_up().map_or(Ok(()), Err)
    }
}

/// Some slots of one area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRange {
    /// The area.
    pub area: u8,
    /// The slots.
    pub slots: Range<u64>,
}

/// Why an area is still enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapOffError {
    /// It is no working area.
    NotActive,
    /// The pages do not fit into memory.
    NoMemory,
    /// A signal came.
    Interrupted,
}

impl SlotRange {
    /// Whether the entry is one of them.
    pub fn contains(&self, entry: Entry) -> bool {
        entry.area() == self.area && self.slots.contains(&entry.slot().into())
    }
}

impl fmt::Display for SwapOffError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotActive => "not an active swap area",
            Self::NoMemory => "its pages do not fit into memory",
            Self::Interrupted => "interrupted",
        })
    }
}

impl core::error::Error for SwapOffError {}
