//! Putting a PTE where a fault found another one.

use quire_machine::pte::Mapping;
use quire_machine::user_tables::Recalled;
use quire_swap::{Folio as _, FolioFlag, Locked};

use super::seen::{Seen, Undone, new_frame};
use super::served::FaultService;
use crate::address_space::AddressSpace;
use crate::folio::{self, Folio};
use crate::lru::{self, Exit};
use crate::page_tables::{Pte, without_accessed_and_dirty};

/// Replaces the page's PTE by what `make` says, if it is still `expected` but for the accessed and dirty bits, and returns it. `make`
/// is called under the tables' lock; `None` means to look again. The PTE maps `folio`, if that is one.
#[inline]
pub(super) fn install(
    space: &AddressSpace,
    seen: &Seen<'_>,
    expected: u64,
    folio: Option<&Folio>,
    make: impl FnOnce() -> Option<Pte>,
) -> Result<Pte, Undone> {
    let mut tables = space.tables.lock();
    let cell = match tables.recall(&seen.seat) {
        Recalled::Found(cell) => Some(cell),
        Recalled::NoTable => tables.find_or_create(seen.page),
        Recalled::Changed => return Err(Undone::Again),
    };
    let cell = cell.ok_or(Undone::NoTable)?;
    let current = cell.bits();
    let is_same = || without_accessed_and_dirty(current) == without_accessed_and_dirty(expected);
    if current != expected && !is_same() {
        return Err(Undone::Again);
    }
    let mut pte = make().ok_or(Undone::Again)?;
    if current != 0 {
        space.tables.counts.remove(current);
    }
    if let Some(folio) = folio {
        space.tables.counts.add_folio(folio);
        if seen.locked {
            pte = pte.locked(true);
        }
    }
    // What the processor marks meanwhile is of no consequence: the PTE that goes maps nothing that stays.
    Ok(cell.replace_and_flush(pte))
}

/// Lets the page be written whose PTE maps the folio, if that is still so.
#[inline]
pub(super) fn allow_writes(
    space: &AddressSpace,
    seen: &Seen<'_>,
    folio: &Locked<Folio>,
    is_ours: impl FnOnce() -> bool,
) -> Result<FaultService, Undone> {
    let tables = space.tables.lock();
    let Recalled::Found(cell) = tables.recall(&seen.seat) else { return Err(Undone::Again) };
    if is_ours() && cell.allow_writes(folio) { Ok(FaultService::Reused) } else { Err(Undone::Again) }
}

/// The PTE that maps the folio, with a reference.
#[inline]
pub(super) fn map_folio(seen: &Seen<'_>, folio: &Folio, how: Mapping) -> Pte {
    Pte::mapping(folio.clone(), seen.protection, how)
}

pub(super) fn fill_with_zeros(space: &AddressSpace, seen: &Seen<'_>, expected: u64) -> Result<FaultService, Undone> {
    let mut folio = new_frame()?;
    folio.clear();
    let _ = install_new(space, seen, expected, folio.filled())?;
    Ok(FaultService::ZeroFilled)
}

/// Maps a new private page that has been given its contents; returns the PTE that was there, too.
#[expect(clippy::needless_pass_by_value, reason = "a new page is the task's alone, but for the PTE")]
pub(super) fn install_new(space: &AddressSpace, seen: &Seen<'_>, expected: u64, folio: Folio) -> Result<Pte, Undone> {
    // Not in swap yet, so memory has the only copy.
    folio.state().set(FolioFlag::Dirty);
    folio::set_owned(&folio, seen.owned);
    let before = install(space, seen, expected, Some(&folio), || Some(map_folio(seen, &folio, Mapping::Written)))?;
    seen.list(&folio, |folio| lru::add(folio, Exit::Swap));
    Ok(before)
}
