//! What is mapped in an address space, and where there is space.

use alloc::sync::Arc;
use core::ops::Range;

use quire_machine::address_map::USER_END;
use quire_swap::header::PAGE_SIZE;

use super::request::{MapError, Placement};
use crate::object::Object;
use crate::overcommit::Commitment;
use crate::rmap::RmapLink;
use crate::vmas::Vmas;

const PAGE: u64 = PAGE_SIZE as u64;

/// Nothing is mapped below, so that null pointers with small offsets fault (Linux: `vm.mmap_min_addr`).
pub const LOWEST: u64 = 0x1_0000;
/// Addresses are chosen below, so that there is space for the stack to grow (Linux: `mmap_base`).
pub const HIGHEST_CHOSEN: u64 = USER_END - (128 << 20);
/// Where `MAP_32BIT` maps.
const LOW: Range<u64> = 0x4000_0000..0x8000_0000;

/// What ties VMAs to the pages of an owner.
pub(crate) type Link = Arc<RmapLink>;

/// What is mapped.
pub(crate) struct Layout {
    pub(crate) vmas: Vmas<Link>,
    /// The heap of `brk(2)`.
    pub(crate) heap: Range<u64>,
    /// What is mapped from now on is locked (`mlockall(MCL_FUTURE)`).
    pub(crate) lock_new: LockNew,
    /// What is promised to the VMAs: as much as [`Totals::promised`](crate::vma::Totals) says, and while something is
    /// being changed perhaps more.
    pub(crate) promised: Commitment,
}

/// Whether what is mapped from now on is locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockNew {
    /// It is not.
    No,
    /// It is, and brought in at once.
    BringIn,
    /// It is once it is touched (`MCL_ONFAULT`).
    OnFault,
}

impl Layout {
    pub(crate) const fn new() -> Self {
        Self { vmas: Vmas::new(), heap: 0..0, lock_new: LockNew::No, promised: Commitment::none() }
    }

    /// Where a mapping goes.
    pub(crate) fn place(&self, place: Placement, length: u64) -> Result<u64, MapError> {
        let is_in_range = |start: u64| {
            start.is_multiple_of(PAGE)
                && start >= LOWEST
                && start.checked_add(length).is_some_and(|end| end <= USER_END)
        };
        match place {
            Placement::Fixed(start) | Placement::FixedNoReplace(start) if !is_in_range(start) => {
                Err(MapError::OutOfRange)
            }
            Placement::Fixed(start) => Ok(start),
            Placement::FixedNoReplace(start) if self.vmas.is_free(&(start..start + length)) => Ok(start),
            Placement::FixedNoReplace(_) => Err(MapError::Overlap),
            Placement::Low => self.vmas.gap(length, &LOW).ok_or(MapError::NoMemory),
            Placement::Anywhere { hint } => {
                let hint = hint / PAGE * PAGE;
                if hint != 0 && is_in_range(hint) && self.vmas.is_free(&(hint..hint + length)) {
                    return Ok(hint);
                }
                let chosen = self.vmas.gap(length, &(LOWEST..HIGHEST_CHOSEN));
                chosen.or_else(|| self.vmas.gap(length, &(LOWEST..USER_END))).ok_or(MapError::NoMemory)
            }
        }
    }

    /// A link of the same object and base next to `range`, where a VMA would merge with the one that has it.
    pub(crate) fn link_like(&self, object: &Arc<Object>, base: u64, range: &Range<u64>) -> Option<Link> {
        let is_same =
            |link: &&Link| link.base() == base && link.object().is_some_and(|other| Arc::ptr_eq(other, object));
        let beside =
            [range.start.saturating_sub(1), range.end].into_iter().filter_map(|address| self.vmas.find(address));
        beside.filter_map(|vma| vma.object.as_ref()).find(is_same).cloned()
    }

    pub(crate) fn copy_heap(&mut self, other: &Self) {
        self.heap = other.heap.clone();
    }
}
