//! The swap core, and what is asked of it most.

use core::fmt;

use quire_swap::{Snapshot, Swap};

/// This machine, as the swap core sees it.
#[derive(Debug)]
pub struct Quire;

/// Where reclaim gathers folios.
pub type Plug = quire_swap::Plug<Quire>;

pub(crate) static SWAP: Swap<Quire> = Swap::new();

/// The swap core.
#[inline]
pub fn core() -> &'static Swap<Quire> {
    &SWAP
}

/// The counters of all areas.
pub fn statistics() -> Snapshot {
    SWAP.statistics()
}

/// Slots that can be used in all areas.
pub fn total_pages() -> u64 {
    SWAP.totals().0
}

/// Slots that are in use in all areas.
pub fn used_pages() -> u64 {
    let (total, free) = SWAP.totals();
    total - free
}

/// An area by its index, shown as its path.
pub struct Name(pub u8);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SWAP.area(self.0) {
            Some(area) => f.write_str(area.name()),
            None => write!(f, "area {}", self.0),
        }
    }
}
