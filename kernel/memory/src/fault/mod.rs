//! Page faults in the user half: a page is touched that is not in memory, or not as it is touched.
//!
//! [`handle`] looks up what is mapped at the address and what the page's PTE says, and makes the PTE one that allows the
//! access:
//!
//! | the PTE | what is mapped | what happens |
//! |---|---|---|
//! | 0 | private memory, read | the frame of zeros that all share is mapped |
//! | 0 | private memory, written | a frame of zeros, or sixteen for it and those beside it |
//! | 0 | an object | the object's page is mapped; written privately, a copy of it |
//! | an entry | | the swap core brings the page in: from the swap cache, as zeros, or with its neighbours or its large folio |
//! | maps a frame, for reading | written | the page becomes writable if no other task has it; else a copy takes its place |
//!
//! # Locking
//!
//! The layout is locked only to look at it. While the swap core reads or reclaim frees a frame nothing is locked, but the
//! folio itself. The PTE is changed under the tables' lock, if it is still what the fault started from and what is mapped has
//! not changed since (`PageTables::generation`); else the fault starts over.
//!
//! | module | what |
//! |---|---|
//! | here | a fault is served, by one of the following |
//! | `seen` | what a fault finds: the VMA, and the PTE |
//! | `large` | a page that was never touched comes with those beside it |
//! | `swap_in_large` | one that is in swap comes with those that left with it |
//! | `object`, `swap_in`, `shared` | a page of an object, one that is in swap, one that others may have too |
//! | `install` | putting the new PTE in the place of the old one |
//! | [`served`] | how faults were served |

use quire_machine::AllocationError;
use quire_machine::arch::translations;
use quire_machine::task::{self, Killed, check_killed};
use quire_machine::upcall::Access;
use quire_machine::{log_error, log_limited};
use quire_swap::DecodedPte;
use quire_swap::header::PAGE_SIZE;

use self::install::{fill_with_zeros, install};
use self::large::fill_large;
use self::object::map_object;
use self::seen::{Seen, Undone, grow_stack};

pub use self::served::FaultService;
use self::shared::write_to_shared;
use self::swap_in_large::swap_in_large;
use crate::address_space::AddressSpace;
use crate::fatal::Fatal;
use crate::page_tables::{Pte, is_writable};
use crate::upcall::Memory as _;
use crate::{large_folio, recorder, swap, tasks};

mod install;
mod large;
mod object;
mod seen;
pub mod served;
mod shared;
pub mod swap_in;
mod swap_in_large;

/// Serves the current task's fault at `address`, a user address.
///
/// # Errors
/// Why the task cannot go on. For a process that is the business of its signals; any other task is killed: its thread notes
/// the reason and the log names it.
pub fn handle(address: u64, access: Access) -> Result<FaultService, Fatal> {
    served::note_fault();
    let served = match tasks::space() {
        Some(space) => serve(&space, address, access).inspect(|_| recorder::served(&space, address)),
        None => Err(Fatal::NotMapped(address)),
    };
    match served {
        Ok(service) => {
            served::note(service, address);
            Ok(service)
        }
        Err(fatal) => {
            served::note(FaultService::Fatal, address);
            if !task::works_for_process() {
                let thread = task::current();
                if let Some(space) = tasks::space() {
                    space.set_fatal(fatal);
                }
                log_death(&thread, address, fatal);
            }
            Err(fatal)
        }
    }
}

/// Makes the page at `address` one that allows the access.
#[inline]
pub(crate) fn serve(space: &AddressSpace, address: u64, access: Access) -> Result<FaultService, Fatal> {
    loop {
        // Whatever brings pages in one after the other ends here, the copies to and from user memory included.
        check_killed().map_err(|Killed| Fatal::Killed)?;
        match attempt(space, address, access) {
            Ok(served) => return Ok(served),
            Err(Undone::Again) => {}
            // Before the page is looked for again: where either fits, but not both, each would push the other out for ever.
            Err(Undone::NoTable) => space.tables.make_table(address).map_err(|AllocationError| Fatal::OutOfMemory)?,
            Err(Undone::Fatal(fatal)) => return Err(fatal),
        }
    }
}

/// Apart from the loop of [`serve`], in which a compiler would first compute whatever is the same in each turn.
#[inline(never)]
fn attempt(space: &AddressSpace, address: u64, access: Access) -> Result<FaultService, Undone> {
    let page = address / PAGE_SIZE as u64 * PAGE_SIZE as u64;
    let mut layout = space.layout();
    let (seat, pte) = space.tables.look_up(layout.key(), page);
    // After the generation, which changes behind this: what is missing in a space that was reaped is not zero.
    if space.is_reaped() {
        return Err(Undone::Fatal(Fatal::Killed));
    }
    let vma = match layout.vmas.find(page) {
        Some(vma) => vma,
        None => grow_stack(space, &mut layout, page).ok_or(Fatal::NotMapped(address))?,
    };
    if !access.is_allowed_by(vma.protection) {
        return Err(Undone::Fatal(Fatal::NotAllowed(address)));
    }
    let seen = Seen::new(page, access.write, seat, vma);
    drop(layout);
    match DecodedPte::decode(pte) {
        DecodedPte::None => match &seen.object {
            Some(object) => map_object(space, &seen, object),
            None if seen.write => {
                let large = if large_folio::are_on() { fill_large(space, &seen)? } else { None };
                large.map_or_else(|| fill_with_zeros(space, &seen, 0), Ok)
            }
            None => {
                let _ = install(space, &seen, 0, None, || Some(Pte::zero_page(seen.protection)))?;
                Ok(FaultService::ZeroMapped)
            }
        },
        DecodedPte::Entry(entry) => {
            let large = if large_folio::are_on() { swap_in_large(space, &seen, entry)? } else { None };
            large.map_or_else(|| swap_in::swap_in(space, &seen, entry, true), Ok)
        }
        DecodedPte::Poisoned(entry) => Err(Undone::Fatal(Fatal::ReadFailed(entry))),
        DecodedPte::Present(_) if seen.write && !is_writable(pte) => write_to_shared(space, &seen, pte),
        DecodedPte::Present(_) => {
            translations::forget_page(seen.page);
            Ok(FaultService::Spurious)
        }
        // Hidden, which the layout did not say: it is being changed.
        DecodedPte::Unknown(_) => Err(Undone::Again),
    }
}

fn log_death(thread: &task::Thread, address: u64, fatal: Fatal) {
    match fatal {
        Fatal::ReadFailed(entry) => log_error!(
            "fault",
            "{thread} killed: the page at {address:#x} cannot be read from slot {} of {}",
            entry.slot(),
            swap::Name(entry.area())
        ),
        Fatal::OutOfMemory => {
            let resident = tasks::space().map_or(0, |space| space.resident());
            log_error!(
                "fault",
                "{thread} killed: out of memory: no frame for the page at {address:#x}, and nothing left to reclaim; it \
                 has {resident} pages in memory"
            );
        }
        Fatal::Killed => log_limited!("fault", "{thread} killed: its memory was taken away"),
        Fatal::NotMapped(_) => log_limited!("fault", "{thread} killed: nothing is mapped at {address:#x}"),
        Fatal::NotAllowed(_) => {
            log_limited!("fault", "{thread} killed: what it did at {address:#x} is not allowed there");
        }
        Fatal::NoSpace(_) => {
            log_limited!("fault", "{thread} killed: there is no space for {address:#x} in its file system");
        }
        Fatal::BeyondObject(_) => {
            log_limited!("fault", "{thread} killed: {address:#x} is beyond the end of what is mapped there");
        }
    }
}
