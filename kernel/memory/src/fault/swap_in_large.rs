//! A page that is in swap is touched, and comes back with those that left memory with it: one fault, one block of frames, one charge,
//! and one batch for all of them.

use arrayvec::ArrayVec;
use quire_machine::folio::NewFolio;
use quire_machine::frame::FrameNumber;
use quire_machine::pte::Mapping;
use quire_machine::user_tables::{Recalled, Row, TablesGuard};
use quire_swap::header::PAGE_SIZE;
use quire_swap::{Entry, FaultInTogether, Folio as _, FolioFlag, Locked};

use super::install::map_folio;
use super::large::are_within;
use super::seen::{Seen, Undone};
use super::served::{self, FaultService};
use super::swap_in::{is_ours_in_memory, mark};
use crate::address_space::AddressSpace;
use crate::folio::Folio;
use crate::frames;
use crate::large_folio::{self, Count, LARGE_PAGES};
use crate::lru;
use crate::page_tables::folio_frame;
use crate::swap;

/// Folios in the order of their pages; none for a page that has not come, or is not to be mapped.
type Folios = [Option<Locked<Folio>>; LARGE_PAGES];

/// Brings the aligned 64 KiB around the page back, if they are in the VMA and in an aligned run of slots, all out of memory, and a large
/// folio is to be had; else `None`: the page comes as any does. Those that could not be read, or have gone meanwhile, are left to the
/// faults that need them.
///
/// # Errors
/// As for a page.
#[inline(never)]
pub(super) fn swap_in_large(
    space: &AddressSpace,
    seen: &Seen<'_>,
    entry: Entry,
) -> Result<Option<FaultService>, Undone> {
    let (first_page, position) = large_folio::block_of(seen.page);
    let first = entry.slot().checked_sub(position as u32).and_then(|slot| Entry::new(entry.area(), slot));
    let Some(first) = first.filter(|first| first.slot().is_multiple_of(LARGE_PAGES as u32)) else { return Ok(None) };
    if !are_within(seen, first_page)
        || !are_in_row(&space.tables.lock(), first_page, first)
        || !swap::core().are_out_together(first, LARGE_PAGES as u32)
    {
        return Ok(None);
    }
    let Some(folios) = large_folio::or_fallback(frames::large_folio_of(first), Count::SWPIN_FALLBACKS) else {
        return Ok(None);
    };
    let Some(back) = swap::core().fault_in_together(first, folios.map(NewFolio::into_empty)) else {
        return Ok(None);
    };
    let FaultInTogether { mut folios, kind } = back;
    let MapOutcome { is_writable, is_whole } = map_all(space, seen, first_page, first, &mut folios)?;
    let is_mapped = folios[position].is_some();
    settle(seen, position, &folios);
    if is_whole {
        large_folio::note(Count::Swpin);
    }
    if is_mapped && seen.write && !is_writable {
        // It is copied now.
        return Err(Undone::Again);
    }
    space.readahead(seen.readahead).passed(first_page / PAGE_SIZE as u64 + LARGE_PAGES as u64 - 1);
    Ok(is_mapped.then_some(served::from_swap(kind)))
}

/// The entries of a run.
fn entries(first: Entry) -> impl Iterator<Item = Option<Entry>> {
    (first.slot()..).map(move |slot| Entry::new(first.area(), slot))
}

/// Whether the PTEs hold this run of slots.
fn are_in_row(tables: &TablesGuard<'_>, first_page: u64, first: Entry) -> bool {
    let Some(row) = tables.row::<LARGE_PAGES>(first_page) else { return false };
    row.iter().zip(entries(first)).all(|(pte, entry)| Some(pte.bits()) == entry.map(Entry::to_pte))
}

/// What became of them.
struct MapOutcome {
    /// The page that the fault is for can be written.
    is_writable: bool,
    /// All are mapped, and marked as a large folio.
    is_whole: bool,
}

/// Maps those whose PTEs hold their slots still, which it leaves in `folios`.
fn map_all(
    space: &AddressSpace,
    seen: &Seen<'_>,
    first_page: u64,
    first: Entry,
    folios: &mut Folios,
) -> Result<MapOutcome, Undone> {
    let frames = folios.iter().flatten().next().map(|folio| large_folio::frames(folio.frame()));
    // Those that are not mapped are unlocked when the tables are.
    let mut others = ArrayVec::<Locked<Folio>, LARGE_PAGES>::new();
    let tables = space.tables.lock();
    let Recalled::Found(_) = tables.recall(&seen.seat) else { return Err(Undone::Again) };
    let row = tables.row::<LARGE_PAGES>(first_page).ok_or(Undone::Again)?;
    let (mut mapped, mut is_writable) = (0_usize, false);
    for ((cell, entry), held) in row.iter().zip(entries(first)).zip(folios) {
        let (Some(entry), Some(folio)) = (entry, &*held) else { continue };
        if cell.bits() != entry.to_pte() {
            if let Some(folio) = held.take() {
                others.push(folio);
            }
            continue;
        }
        let may_write = seen.protection.write && swap::core().is_held_once(entry) && is_ours_in_memory(folio);
        let pte = if cell.address() == seen.page {
            is_writable = may_write;
            map_folio(seen, folio, Mapping::of(may_write, seen.write))
        } else {
            map_folio(seen, folio, Mapping::of(may_write, false)).not_accessed()
        };
        drop(cell.replace(pte.locked(seen.locked)));
        mapped += 1;
    }
    space.tables.counts.add_anonymous(mapped);
    space.tables.counts.count_swapped(-mapped.cast_signed());
    Ok(MapOutcome { is_writable, is_whole: frames.is_some_and(|frames| mark_if_whole(&row, frames)) })
}

/// Marks the pages of the row if they are mapped to these frames; whether they are. Another fault may have waited for one of them and
/// have mapped it before the others could be: that one came with them all the same.
fn mark_if_whole(row: &Row<'_, LARGE_PAGES>, frames: impl Iterator<Item = FrameNumber> + Clone) -> bool {
    let is_whole = row.iter().zip(frames.clone()).all(|(cell, frame)| folio_frame(cell.bits()) == Some(frame));
    if is_whole {
        // None comes free while the tables are locked.
        let folios = frames.filter_map(Folio::try_from_frame);
        folios.for_each(|folio| folio.state().set(FolioFlag::Large));
    }
    is_whole
}

/// Those that are mapped say whose they are, are known to reclaim, and drop the counts of their PTEs.
fn settle(seen: &Seen<'_>, position: usize, folios: &Folios) {
    let index = seen.owned.index.wrapping_sub(position as u64);
    for (index, folio) in (0..).map(|page| index.wrapping_add(page)).zip(folios) {
        let Some(folio) = folio else { continue };
        let is_own = || folio.state().entry().is_some_and(|entry| swap::core().is_held_once(entry));
        mark(seen, folio, index, is_own);
        seen.list(folio, |folio| lru::is_wanted(folio, false));
    }
    let mut positions = 0..;
    swap::core().put_mapped_together(folios.each_ref().map(|folio| {
        let is_written = positions.next() == Some(position) && seen.write;
        folio.as_ref().map(|folio| (folio, is_written))
    }));
}
