//! The swap core on this machine.
//!
//! | module | what |
//! |---|---|
//! | `machine` | what the core asks of the machine: frames, locks, time, lines for a person |
//! | `swapoff`, [`leaving`] | bringing back all that an area holds, and who gives way when it does not fit |
//! | `work` | what the core puts off because its caller cannot sleep |
//! | `pool` | frames and a thread for compressed pages |
//! | [`happening`] | waiting for what the core says |

use core::fmt;

use quire_swap::{SlotReference, Snapshot, Swap};

use crate::folio::Folio;

pub mod happening;
pub mod leaving;
mod machine;
mod pool;
mod swapoff;
mod work;

pub use machine::Quire;
pub use swapoff::{Patience, disable, disables_swap};
pub use work::start;

/// Where reclaim gathers folios.
pub type Plug = quire_swap::Plug<Quire>;

static SWAP: Swap<Quire> = Swap::new();

/// The swap core.
pub fn core() -> &'static Swap<Quire> {
    &SWAP
}

/// Drops what a PTE that held an entry owned: the PTE itself is gone.
pub fn forget_pte(pte: u64) {
    drop(SlotReference::from_pte(&SWAP, pte));
}

/// Drops what a PTE that mapped a folio owned: the PTE itself is gone. If only the swap cache is left with
/// the folio, it is of no use to anybody.
#[expect(clippy::needless_pass_by_value, reason = "the reference was the word's")]
pub fn forget_folio(folio: Folio) {
    SWAP.drop_if_unused(&folio);
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
