//! Anonymous memory is written for the first time, and gets a large folio: one fault for all of its pages.

use quire_machine::folio::NewFolio;
use quire_machine::pte::Mapping;
use quire_machine::user_tables::{Recalled, Row, TablesGuard};

use super::seen::{Seen, Undone};
use super::served::FaultService;
use crate::address_space::AddressSpace;
use crate::folio::{self, Owned};
use crate::frames;
use crate::large_folio::{self, Count, LARGE_BYTES, LARGE_PAGES};
use crate::lru;
use crate::page_tables::Pte;

/// Fills the aligned 64 KiB around the page with zeros if they lie in the VMA and none of them was touched, and a large folio is to be
/// had; else `None`: the page comes alone.
///
/// # Errors
/// As for a page.
#[inline(never)]
pub(super) fn fill_large(space: &AddressSpace, seen: &Seen<'_>) -> Result<Option<FaultService>, Undone> {
    let (first, touched) = large_folio::block_of(seen.page);
    if !are_within(seen, first) || !are_untouched(&space.tables.lock(), first) {
        return Ok(None);
    }
    let Some(folios) = large_folio::or_fallback(frames::large_folio(), Count::ANON_FAULT_FALLBACKS) else {
        return Ok(None);
    };
    install(space, seen, (first, touched), folios)?;
    large_folio::note(Count::AnonFaultAlloc);
    Ok(Some(FaultService::ZeroFilled))
}

/// Whether these 64 KiB lie in the VMA, which is anonymous and may have large folios.
pub(super) fn are_within(seen: &Seen<'_>, first: u64) -> bool {
    let is_anonymous = seen.object.is_none();
    is_anonymous && seen.vma.start <= first && first + LARGE_BYTES <= seen.vma.end && large_folio::may_have(seen.wanted)
}

/// Whether no PTE of a page of it says anything.
fn are_untouched(tables: &TablesGuard<'_>, first: u64) -> bool {
    tables.row::<LARGE_PAGES>(first).is_none_or(|row| row.is_empty())
}

/// Maps all pages, as zeros, if none was touched meanwhile.
fn install(
    space: &AddressSpace,
    seen: &Seen<'_>,
    (first, touched): (u64, usize),
    folios: [NewFolio; LARGE_PAGES],
) -> Result<(), Undone> {
    let mut index = seen.owned.index.wrapping_sub(touched as u64);
    let folios = folios.map(|mut folio| {
        folio.clear();
        let folio = folio::filled_large(folio, Owned { index, ..seen.owned });
        index = index.wrapping_add(1);
        folio
    });
    let mut tables = space.tables.lock();
    match tables.recall(&seen.seat) {
        Recalled::Changed => return Err(Undone::Again),
        Recalled::Found(_) => {}
        Recalled::NoTable => _ = tables.find_or_create(seen.page).ok_or(Undone::NoTable)?,
    }
    let row = tables.row(first).filter(Row::is_empty).ok_or(Undone::Again)?;
    // Reclaim may find them before their PTEs do: for these it has to wait.
    if seen.locked {
        folios.iter().for_each(lru::keep);
    } else {
        lru::add_together(&folios, touched);
    }
    let mut positions = 0..;
    row.fill(folios.map(|folio| {
        if positions.next() == Some(touched) {
            Pte::mapping(folio, seen.protection, Mapping::Written).locked(seen.locked)
        } else {
            Pte::mapping(folio, seen.protection, Mapping::Writable).not_accessed().locked(seen.locked)
        }
    }));
    space.tables.counts.add_anonymous(LARGE_PAGES);
    Ok(())
}
