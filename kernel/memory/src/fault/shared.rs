//! A page that is mapped for reading alone is written: copy on write.

use quire_swap::{Folio as _, Locked};

use super::install::{allow_writes, fill_with_zeros, install_new};
use super::seen::{Seen, Undone, new_frame};
use super::served::FaultService;
use crate::address_space::AddressSpace;
use crate::address_space::zap::forget;
use crate::folio;
use crate::object;
use crate::page_tables;
use crate::swap;

/// A page that is mapped for reading is written.
pub(super) fn write_to_shared(space: &AddressSpace, seen: &Seen<'_>, pte: u64) -> Result<FaultService, Undone> {
    if page_tables::is_zero_page(pte) {
        return fill_with_zeros(space, seen, pte);
    }
    let Some(original) = space.tables.folio(seen.page, pte) else { return Err(Undone::Again) };
    if original.is_of_object() && seen.shared {
        let folio = Locked::lock(original);
        let served = allow_writes(space, seen, &folio, || true)?;
        object::written_to(&folio);
        return Ok(served);
    }
    let original = if original.is_of_object() {
        original
    } else {
        let folio = Locked::lock(original);
        if let Some(entry) = folio.state().entry()
            && !swap::core().try_free_slot(&folio)
            && swap::core().count(entry) > 0
        {
            // Another PTE has the same page in swap.
        } else if folio::is_mapped_once(&folio) && folio.state().may_be_written() {
            return allow_writes(space, seen, &folio, || folio::is_mapped_once(&folio));
        }
        folio.unlock()
    };
    // While this PTE and this reference are there, every task that has the page only reads it.
    let mut copy = new_frame()?;
    copy.copy_from(&original);
    forget(install_new(space, seen, pte, copy.filled())?);
    Ok(FaultService::Copied)
}
