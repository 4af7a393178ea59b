//! Disabling an area: the pages that every page table and every object has there are swapped in, and who gives way when they do
//! not fit into memory.

use core::time::Duration;

use quire_machine::AllocationError;
use quire_machine::task;
use quire_machine::{clock, log, physical};
use quire_swap::header::PAGE_SIZE;
use quire_swap::{Entry, SlotRange, SwapOffError, Users};

use super::core::SWAP;
use super::leaving::{LEAVING, LEFT};
use crate::address_space::{self, AddressSpace};
use crate::fault::swap_in;
use crate::rmap;

/// Disables one area.
///
/// # Errors
/// [`SwapOffError`]; the area works as before.
pub fn disable(area: u8) -> Result<(), SwapOffError> {
    let thread = task::current();
    thread.set_disables_swap(true);
    LEAVING.start();
    let result = SWAP.swapoff(area, &mut AddressSpaces { area, next_line: clock::since_boot() + LINE_EVERY });
    LEAVING.end();
    LEFT.wake_all();
    thread.set_disables_swap(false);
    result
}

/// How often a long `swapoff` says how far it is.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// All that can have swap entries.
pub(super) struct AddressSpaces {
    area: u8,
    next_line: Duration,
}

impl Default for AddressSpaces {
    /// Without lines about the progress.
    fn default() -> Self {
        Self { area: 0, next_line: Duration::MAX }
    }
}

/// Whether another page can come back without another task's having to die for it: there are free frames, or space
/// in another area for what has to leave.
fn has_space() -> bool {
    !LEAVING.is_asked() && (SWAP.has_space() || physical::free_frames() > physical::watermarks().high)
}

/// Calls `visit` with each page whose PTE holds one of these slots, until it returns an error. Each page table is read once.
fn for_each_entry<E>(
    slots: &SlotRange,
    mut visit: impl FnMut(&AddressSpace, u64, Entry) -> Result<(), E>,
) -> Result<(), E> {
    for space in address_space::all() {
        let mut from = 0;
        while let Some((page, entry)) = space.next_entry(from, slots) {
            visit(&space, page, entry)?;
            from = page + PAGE_SIZE as u64;
        }
    }
    Ok(())
}

impl AddressSpaces {
    /// Says now and then how far it is.
    fn progress(&mut self) {
        if clock::since_boot() >= self.next_line
            && let Some(area) = SWAP.area(self.area)
        {
            self.next_line = clock::since_boot() + LINE_EVERY;
            log!("swap", "swapoff {}: {} pages left", area.name(), area.used());
        }
    }
}

impl Users for AddressSpaces {
    fn swap_in(&mut self, slots: &SlotRange) -> Result<(), SwapOffError> {
        for_each_entry(slots, |space, page, entry| {
            self.check()?;
            if SWAP.lookup(entry).is_none() {
                if !has_space() {
                    return Err(SwapOffError::NoMemory);
                }
                SWAP.read_around(entry);
                self.progress();
            }
            swap_in::swap_in_page(space, page, entry).map_err(|AllocationError| SwapOffError::NoMemory)
        })?;
        for object in rmap::objects() {
            if !has_space() {
                return Err(SwapOffError::NoMemory);
            }
            let result = object.swap_in_all(|entry| slots.contains(entry));
            self.check()?;
            result.map_err(|AllocationError| SwapOffError::NoMemory)?;
        }
        Ok(())
    }

    fn has_space(&self) -> bool {
        has_space()
    }

    fn gives_up(&self) -> Option<SwapOffError> {
        if task::check_signals().is_err() {
            return Some(SwapOffError::Interrupted);
        }
        LEAVING.is_asked().then_some(SwapOffError::NoMemory)
    }

    fn map_refused(&mut self, slots: &SlotRange) {
        // Without a frame for a page table a page stays where it is: in memory, and found by a task that needs it.
        let map = |space: &AddressSpace, page, entry| {
            if SWAP.is_refused(entry) { swap_in::swap_in_page(space, page, entry) } else { Ok(()) }
        };
        if for_each_entry(slots, map).is_err() {
            return;
        }
        for object in rmap::objects() {
            if object.swap_in_all(|entry| slots.contains(entry) && SWAP.is_refused(entry)).is_err() {
                return;
            }
        }
    }
}
