//! A page that is in swap is touched, or its area goes.

use core::cell::Cell;

use quire_machine::AllocationError;
use quire_swap::header::PAGE_SIZE;
use quire_swap::{DecodedPte, Entry, FaultError, FaultIn, Folio as _, FolioFlag, Locked, Neighbourhood};

use super::install::{install, install_new, map_folio};
use super::seen::{Seen, Undone, new_frame};
use super::served::{self, FaultService};
use crate::address_space::AddressSpace;
use crate::fatal::Fatal;
use crate::folio::{self, Owned};
use crate::lru;
use crate::page_tables::{Mapping, Pte};
use crate::swap::{self, references};

/// Finds the folio in the swap cache or reads it, and maps it, or a copy if others have it in swap.
pub(super) fn swap_in(
    space: &AddressSpace,
    seen: &Seen<'_>,
    entry: Entry,
    reads_ahead: bool,
) -> Result<FaultService, Undone> {
    const PAGE: u64 = PAGE_SIZE as u64;
    let entry_of = |page| Entry::from_pte(space.tables.bits(page * PAGE));
    let neighbourhood = reads_ahead.then(|| Neighbourhood {
        readahead: space.readahead(seen.readahead),
        page: seen.page / PAGE,
        pages: (seen.vma.start / PAGE, seen.vma.end / PAGE),
        entry: &entry_of,
    });
    let FaultIn { folio, kind, was_read_ahead } = match swap::core().fault_in(entry, 0, neighbourhood.as_ref()) {
        Ok(fault_in) => fault_in,
        Err(FaultError::Gone) => return Err(Undone::Again),
        Err(FaultError::NoMemory) => return Err(Undone::Fatal(Fatal::OutOfMemory)),
        Err(FaultError::ReadFailed(entry)) => return Err(Undone::Fatal(Fatal::ReadFailed(entry))),
    };
    let service = served::from_swap(kind);
    let (is_held_once, is_shared) = (Cell::new(false), Cell::new(false));
    let installed = install(space, seen, entry.to_pte(), Some(&folio), || {
        // While the tables are locked none copies the PTE.
        is_held_once.set(swap::core().is_held_once(entry));
        let may_write = seen.protection.write && is_held_once.get() && is_ours_in_memory(&folio);
        if seen.write && !may_write {
            is_shared.set(true);
            return None;
        }
        Some(map_folio(seen, &folio, Mapping::of(may_write, seen.write)))
    });
    match installed {
        Ok(_) => {}
        Err(Undone::Again) if is_shared.get() => return copy(space, seen, entry, folio).map(|()| service),
        Err(undone) => return Err(undone),
    }
    // Only now is it certain that the slot was this page's; reclaim cannot come before, as the folio is locked.
    mark(seen, &folio, seen.owned.index, || is_held_once.get());
    seen.list(&folio, |folio| {
        // One that was brought in for this fault is known since then.
        if service == FaultService::Cached || was_read_ahead {
            lru::is_wanted(folio, was_read_ahead);
        }
    });
    swap::core().put_mapped(entry, &folio, seen.write);
    Ok(service)
}

/// Maps a copy of the folio, to be written to, and takes back what the PTE counts.
#[inline(never)]
fn copy(space: &AddressSpace, seen: &Seen<'_>, entry: Entry, folio: Locked<folio::Folio>) -> Result<(), Undone> {
    // The lock is not kept while a frame is looked for; with this reference the folio stays in the swap cache, unless its
    // slot goes.
    let original = folio.unlock();
    let mut copy = new_frame()?;
    let folio = Locked::lock(original);
    if folio.state().entry() != Some(entry) || !folio.state().is(FolioFlag::UpToDate) {
        return Err(Undone::Again);
    }
    copy.copy_from(&folio);
    let _ = install_new(space, seen, entry.to_pte(), copy.filled())?;
    swap::core().put_mapped(entry, &folio, true);
    Ok(())
}

/// Whether no other task has the folio: one whose slot is held once as well can be written.
pub(super) fn is_ours_in_memory(folio: &Locked<folio::Folio>) -> bool {
    folio::is_held_only_by(folio, 1) && folio.state().may_be_written()
}

/// Says whose page the folio is. A mark that it has says what this one would, or more.
pub(super) fn mark(seen: &Seen<'_>, folio: &folio::Folio, index: u64, is_held_once: impl FnOnce() -> bool) {
    if folio::owned(folio).is_none() {
        let owner = if is_held_once() { seen.owned.owner } else { seen.all };
        folio::set_owned(folio, Owned { owner, index });
    }
}

/// Swaps a page in because its area is going; one that cannot be read is poisoned, and a task that touches it later is
/// killed. Nothing happens if the page has come back or gone already.
///
/// # Errors
/// [`AllocationError`] when there is no frame for it.
pub fn swap_in_page(space: &AddressSpace, page: u64, entry: Entry) -> Result<(), AllocationError> {
    let seen = {
        let layout = space.layout();
        let Some(vma) = layout.vmas.find(page) else { return Ok(()) };
        Seen::new(page, false, space.tables.seat(page), vma)
    };
    match swap_in(space, &seen, entry, false) {
        Err(Undone::Fatal(Fatal::OutOfMemory)) => Err(AllocationError),
        Err(Undone::Fatal(Fatal::ReadFailed(entry))) => {
            if space.tables.replace(page, entry, Pte::unmapped(DecodedPte::Poisoned(entry).encode())) {
                references::forget_pte(entry.to_pte());
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
