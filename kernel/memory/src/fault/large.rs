//! Anonymous memory is written for the first time, and gets a large folio: one fault for all of its pages.

use quire_machine::folio::NewFolio;
use quire_machine::pte::Mapping;
use quire_machine::user_tables::{Recalled, TablesGuard};
use quire_swap::header::PAGE_SIZE;
use quire_swap::{Folio as _, FolioFlag};

use super::install::map_folio;
use super::seen::{Seen, Undone};
use super::served::FaultService;
use crate::address_space::AddressSpace;
use crate::folio::{self, Folio, Owned};
use crate::frames;
use crate::large_folio::{self, Count, LARGE_BYTES, LARGE_PAGES};
use crate::lru::{self, Exit};

/// Fills the aligned 64 KiB around the page with zeros if they lie in the VMA and none of them was touched, and a large folio is to be
/// had; else `None`: the page comes alone.
///
/// # Errors
/// As for a page.
#[inline(never)]
pub(super) fn fill_large(space: &AddressSpace, seen: &Seen<'_>) -> Result<Option<FaultService>, Undone> {
    let first = seen.page / LARGE_BYTES * LARGE_BYTES;
    if !are_within(seen, first) || !are_untouched(&space.tables.lock(), first) {
        return Ok(None);
    }
    let Some(folios) = large_folio::or_fallback(frames::large_folio(), Count::ANON_FAULT_FALLBACKS) else {
        return Ok(None);
    };
    install(space, seen, first, folios)?;
    large_folio::note(Count::AnonFaultAlloc);
    Ok(Some(FaultService::ZeroFilled))
}

/// Whether these 64 KiB lie in the VMA, which is anonymous and may have large folios.
pub(super) fn are_within(seen: &Seen<'_>, first: u64) -> bool {
    let is_anonymous = seen.object.is_none();
    is_anonymous && seen.vma.start <= first && first + LARGE_BYTES <= seen.vma.end && large_folio::may_have(seen.wanted)
}

/// The addresses of its pages.
pub(super) fn pages(first: u64) -> impl Iterator<Item = u64> {
    (first..first + LARGE_BYTES).step_by(PAGE_SIZE)
}

/// Whether no PTE of a page of it says anything.
fn are_untouched(tables: &TablesGuard<'_>, first: u64) -> bool {
    let mut cursor = tables.cursor();
    pages(first).all(|page| cursor.find(page).is_none_or(|pte| pte.bits() == 0))
}

/// Maps all pages, as zeros, if none was touched meanwhile.
fn install(space: &AddressSpace, seen: &Seen<'_>, first: u64, folios: [NewFolio; LARGE_PAGES]) -> Result<(), Undone> {
    let before = (seen.page - first) / PAGE_SIZE as u64;
    let first_index = seen.owned.index.wrapping_sub(before);
    let mut index = first_index;
    let folios = folios.map(|mut folio| {
        folio.clear();
        let folio = folio.filled();
        // Not in swap yet, so memory has the only copy.
        folio.state().set(FolioFlag::Dirty);
        folio.state().set(FolioFlag::Large);
        folio::set_owned(&folio, Owned { index, ..seen.owned });
        index = index.wrapping_add(1);
        folio
    });
    map_all(space, seen, first, &folios)?;
    if seen.locked {
        folios.iter().for_each(lru::keep);
    } else {
        lru::add_each(&folios, Exit::Swap);
    }
    Ok(())
}

fn map_all(space: &AddressSpace, seen: &Seen<'_>, first: u64, folios: &[Folio]) -> Result<(), Undone> {
    let mut tables = space.tables.lock();
    match tables.recall(&seen.seat) {
        Recalled::Changed => return Err(Undone::Again),
        Recalled::Found(_) => {}
        Recalled::NoTable => _ = tables.find_or_create(seen.page).ok_or(Undone::NoTable)?,
    }
    if !are_untouched(&tables, first) {
        return Err(Undone::Again);
    }
    let mut cursor = tables.cursor();
    for (page, folio) in pages(first).zip(folios) {
        // All of them are in one table.
        let cell = cursor.find(page).ok_or(Undone::NoTable)?;
        drop(cell.replace(map_folio(seen, folio, Mapping::Written).locked(seen.locked)));
    }
    space.tables.counts.add_anonymous(folios.len());
    Ok(())
}
