//! Putting a PTE where a fault found another one.

use quire_machine::pte::Mapping;
use quire_machine::user_tables::Recalled;
use quire_swap::{Folio as _, FolioFlag, Locked};

use super::seen::{Attempt, Seen, new_frame};
use super::served::Served;
use crate::address_space::AddressSpace;
use crate::fatal::Fatal;
use crate::folio::{self, Folio};
use crate::lru::{self, Exit};
use crate::page_tables::{self, Pte, without_accessed_and_dirty};

/// Replaces the page's PTE by what `make` says, if it is still `expected` but for the accessed and dirty bits, and returns it. `make`
/// is called under the tables' lock; `None` means to look again.
#[inline]
pub(super) fn install(
    space: &AddressSpace,
    seen: &Seen<'_>,
    expected: u64,
    kind: Served,
    make: impl FnOnce() -> Option<Pte>,
) -> (Attempt, Pte) {
    let mut tables = space.tables.lock();
    let cell = match tables.recall(&seen.seat) {
        Recalled::Found(cell) => Some(cell),
        Recalled::NoTable => tables.find_or_create(seen.page),
        Recalled::Changed => return (Attempt::Again, Pte::EMPTY),
    };
    let Some(cell) = cell else { return (Attempt::NoTable, Pte::EMPTY) };
    let current = cell.bits();
    if without_accessed_and_dirty(current) != without_accessed_and_dirty(expected) {
        return (Attempt::Again, Pte::EMPTY);
    }
    let Some(pte) = make() else { return (Attempt::Again, Pte::EMPTY) };
    let pte = if seen.locked && page_tables::folio_frame(pte.bits()).is_some() { pte.locked(true) } else { pte };
    if current != 0 {
        space.tables.counts.remove(current);
    }
    space.tables.counts.add(pte.bits());
    // What the processor marks meanwhile is of no consequence: the PTE that goes maps nothing that stays.
    (Attempt::Served(kind), cell.replace_and_flush(pte))
}

/// Lets the page be written whose PTE maps the folio, if that is still so.
#[inline]
pub(super) fn allow_writes(
    space: &AddressSpace,
    seen: &Seen<'_>,
    folio: &Locked<Folio>,
    is_ours: impl FnOnce() -> bool,
) -> Attempt {
    let tables = space.tables.lock();
    let Recalled::Found(cell) = tables.recall(&seen.seat) else { return Attempt::Again };
    if is_ours() && cell.allow_writes(folio) { Attempt::Served(Served::Reused) } else { Attempt::Again }
}

/// The PTE that maps the folio, with a reference.
#[inline]
pub(super) fn map_folio(seen: &Seen<'_>, folio: &Folio, how: Mapping) -> Pte {
    Pte::mapping(folio.clone(), seen.protection, how)
}

pub(super) fn fill_with_zeros(space: &AddressSpace, seen: &Seen, expected: u64) -> Result<Attempt, Fatal> {
    let mut folio = new_frame()?;
    folio.clear();
    Ok(install_new(space, seen, expected, folio.filled(), Served::ZeroFilled).0)
}

/// Maps a new private page that has been given its contents; returns the PTE that was there, too.
#[expect(clippy::needless_pass_by_value, reason = "a new page is the task's alone, but for the PTE")]
pub(super) fn install_new(
    space: &AddressSpace,
    seen: &Seen<'_>,
    expected: u64,
    folio: Folio,
    kind: Served,
) -> (Attempt, Pte) {
    // Not in swap yet, so memory has the only copy.
    folio.state().set(FolioFlag::Dirty);
    folio::set_owned(&folio, seen.owned);
    let installed = install(space, seen, expected, kind, || Some(map_folio(seen, &folio, Mapping::Written)));
    if let (Attempt::Served(_), _) = installed {
        if seen.locked {
            lru::keep(&folio);
        } else {
            lru::add(&folio, Exit::Swap);
        }
    }
    installed
}
