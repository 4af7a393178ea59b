//! What a fault finds: the VMA, and the PTE.

use alloc::sync::Arc;
use core::ops::Range;

use quire_machine::AllocationError;
use quire_machine::protection::Protection;
use quire_machine::upcall::Access;
use quire_machine::user_tables::Seat;
use quire_swap::header::PAGE_SIZE;

use super::served::Served;
use crate::address_space::{AddressSpace, LOWEST, Layout};
use crate::fatal::Fatal;
use crate::folio::{NewFolio, Owned};
use crate::frames;
use crate::limit::Limit;
use crate::rmap::RmapLink;
use crate::upcall::Memory as _;
use crate::vma::{Totals, Vma};

/// What became of one attempt.
pub(super) enum Attempt {
    /// The page is there; this is how it came.
    Served(Served),
    /// Something changed meanwhile.
    Again,
    /// There was no frame for a page table.
    NoTable,
}

/// What is mapped where a fault happened, as it was when `seat` was taken.
pub(super) struct Seen<'a> {
    pub(super) page: u64,
    pub(super) write: bool,
    /// Where the page's PTE is.
    pub(super) seat: Seat<'a>,
    pub(super) vma: Range<u64>,
    pub(super) readahead: u8,
    pub(super) protection: Protection,
    pub(super) shared: bool,
    pub(super) locked: bool,
    pub(super) object: Option<Arc<RmapLink>>,
    /// What a new private page there is marked with.
    pub(super) owned: Owned,
    /// The owner in the mark of one that relatives may have as well.
    pub(super) all: u32,
}

/// A frame for a page that the task waits for.
pub(super) fn new_frame() -> Result<NewFolio, Fatal> {
    frames::wait_for_frame().map_err(|AllocationError| Fatal::OutOfMemory)
}

/// What is mapped at the address, if that allows the access, and the page's PTE.
pub(super) fn look_up(space: &AddressSpace, address: u64, access: Access) -> Result<(Seen<'_>, u64), Fatal> {
    let page = address / PAGE_SIZE as u64 * PAGE_SIZE as u64;
    let mut layout = space.layout();
    let (seat, pte) = space.tables.look_up(layout.key(), page);
    let vma = match layout.vmas.find(page) {
        Some(vma) => vma,
        None => grow_stack(space, &mut layout, page).ok_or(Fatal::NotMapped(address))?,
    };
    let protection = vma.protection;
    let is_allowed = if access.write {
        protection.write
    } else if access.execute {
        protection.execute
    } else {
        protection.is_some()
    };
    if !is_allowed {
        return Err(Fatal::NotAllowed(address));
    }
    let seen = Seen {
        page,
        write: access.write,
        seat,
        vma: vma.range.clone(),
        readahead: vma.readahead,
        protection,
        shared: vma.shared,
        locked: vma.locked,
        object: vma.object.clone(),
        owned: vma.anonymous.mark(page),
        all: vma.anonymous.number_of_all(),
    };
    // After the generation, which changes behind this: what is missing in a space that was reaped is not zero.
    if space.is_reaped() {
        return Err(Fatal::Killed);
    }
    Ok((seen, pte))
}

/// Lets the stack above `page` grow down to it, if there is one and the limits allow it.
#[inline(never)]
fn grow_stack<'a>(space: &AddressSpace, layout: &'a mut Layout, page: u64) -> Option<&'a Vma<Arc<RmapLink>>> {
    let vma = layout.vmas.growth(page)?;
    if page < LOWEST || vma.range.end - page > space.limit(Limit::Stack) {
        return None;
    }
    let added = Vma { range: page..vma.range.start, ..vma.clone() };
    space.admit(layout, Totals::NONE, added.totals()).ok()?;
    layout.vmas.grow(page);
    layout.vmas.find(page)
}
