//! What a fault finds: the VMA, and the PTE.

use alloc::sync::Arc;
use core::ops::Range;

use quire_machine::AllocationError;
use quire_machine::protection::Protection;
use quire_machine::user_tables::Seat;

use crate::address_space::{AddressSpace, LOWEST, Layout};
use crate::fatal::Fatal;
use crate::folio::{Folio, NewFolio, Owned};
use crate::frames;
use crate::large_folio::Wanted;
use crate::limit::Limit;
use crate::lru;
use crate::rmap::RmapLink;
use crate::vma::{Totals, Vma};

/// Why one attempt did not serve the fault.
pub(super) enum Undone {
    /// Something changed meanwhile.
    Again,
    /// There was no frame for a page table.
    NoTable,
    /// The task cannot go on.
    Fatal(Fatal),
}

impl From<Fatal> for Undone {
    #[inline]
    fn from(fatal: Fatal) -> Self {
        Self::Fatal(fatal)
    }
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
    pub(super) wanted: Wanted,
    /// What a new private page there is marked with.
    pub(super) owned: Owned,
    /// The owner in the mark of one that relatives may have as well.
    pub(super) all: u32,
}

/// A frame for a page that the task waits for.
pub(super) fn new_frame() -> Result<NewFolio, Fatal> {
    frames::wait_for_frame().map_err(|AllocationError| Fatal::OutOfMemory)
}

impl<'a> Seen<'a> {
    /// A page of the VMA that is read, or written.
    #[inline]
    pub(super) fn new(page: u64, write: bool, seat: Seat<'a>, vma: &Vma<Arc<RmapLink>>) -> Self {
        Self {
            page,
            write,
            seat,
            vma: vma.range.clone(),
            readahead: vma.readahead,
            protection: vma.protection,
            shared: vma.shared,
            locked: vma.locked,
            object: vma.object.clone(),
            wanted: vma.wanted,
            owned: vma.anonymous.mark(page),
            all: vma.anonymous.number_of_all(),
        }
    }

    /// Where reclaim finds a folio that the fault has mapped: among those that stay if the VMA is locked, else where `list` puts it.
    #[inline]
    pub(super) fn list(&self, folio: &Folio, list: impl FnOnce(&Folio)) {
        if self.locked { lru::keep(folio) } else { list(folio) }
    }
}

/// Lets the stack above `page` grow down to it, if there is one and the limits allow it.
#[inline(never)]
pub(super) fn grow_stack<'a>(
    space: &AddressSpace,
    layout: &'a mut Layout,
    page: u64,
) -> Option<&'a Vma<Arc<RmapLink>>> {
    let vma = layout.vmas.growth(page)?;
    if page < LOWEST || !space.is_within(Limit::Stack, vma.range.end - page) {
        return None;
    }
    let added = Vma { range: page..vma.range.start, ..vma.clone() };
    space.admit(layout, Totals::NONE, added.totals()).ok()?;
    layout.vmas.grow(page);
    layout.vmas.find(page)
}
