//! Folios as reclaim and rmap see them: whose page each is, and batches of them.
//!
//! # Invariants
//!
//! The LRU lists hold no reference: a folio whose last reference goes leaves them.
//!
//! `owned` says where the PTEs are that may map the folio (see `rmap`). It is set before the first of them does, and
//! stays until the frame is free: a slot, and so a folio that comes back from it, always belongs to one owner and index.

use arrayvec::ArrayVec;
use quire_machine::folio;
use quire_machine::frame::FrameNumber;
use quire_machine::physical;
use quire_swap::Folio as _;

pub use quire_machine::folio::{Folio, NewFolio};

/// Folios that are looked at together in reclaim, and written together (Linux: `SWAP_CLUSTER_MAX`).
pub const BATCH: usize = quire_swap::BATCH_FOLIOS;

/// How many pages they have at most, as a large folio counts as one.
pub const BATCH_PAGES: usize = quire_swap::BATCH_PAGES;

/// Some folios, page by page.
pub type FolioBatch = ArrayVec<Folio, BATCH_PAGES>;

/// Whose page a folio is: see [`rmap`](crate::rmap).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The owner's number, from 1.
    pub owner: u32,
    /// The page's index there.
    pub index: u64,
}

/// The bits of an index, the lower ones of an owner mark.
pub const INDEX_BITS: u32 = 36;
/// Owners have numbers below this.
pub(crate) const OWNER_NUMBERS: u32 = 1 << (u64::BITS - INDEX_BITS);

impl Owned {
    const fn pack(self) -> u64 {
        (self.owner as u64) << INDEX_BITS | self.index & ((1 << INDEX_BITS) - 1)
    }

    const fn unpack(word: u64) -> Option<Self> {
        if word == 0 {
            return None;
        }
        Some(Self { owner: (word >> INDEX_BITS) as u32, index: word & ((1 << INDEX_BITS) - 1) })
    }
}

/// Whose page it is, if it ever was one.
#[inline]
pub fn owned(folio: &Folio) -> Option<Owned> {
    Owned::unpack(folio.owner_mark())
}

/// Whose page is in the frame, if one is there; it may be another's at once, unless the caller has a reference.
pub(crate) fn owner_of(frame: FrameNumber) -> Option<Owned> {
    Owned::unpack(physical::frames()[frame.index()].owner_mark())
}

/// Says whose page it is.
#[inline]
pub fn set_owned(folio: &Folio, owned: Owned) {
    folio.set_owner_mark(owned.pack());
}

/// The folio with what was written as its contents: a page of a large folio, of which there is no other copy.
#[inline]
pub(crate) fn filled_large(folio: NewFolio, owned: Owned) -> Folio {
    folio.filled_large(owned.pack())
}

/// Drops references; the frames whose last they were are freed together.
pub(crate) fn drop_all(folios: &mut FolioBatch) {
    folio::drop_all(folios.drain(..));
}

/// How many references a folio has that are neither the caller's, nor the swap cache's, nor that of a write that is under way, nor
/// that of its object's index: those of PTEs, and of tasks that have it for a moment.
pub(crate) fn ptes(folio: &Folio, callers: u32) -> u32 {
    let known = folio.state().references() + u32::from(folio.is_of_object());
    folio.references().saturating_sub(callers + known)
}

/// Whether one PTE maps the folio, and no other task has it: its references are the caller's one, that PTE's, and
/// [what is known](ptes). As [`is_held_only_by`] says, it stays so.
pub(crate) fn is_mapped_once(folio: &Folio) -> bool {
    is_held_only_by(folio, 2)
}

/// Whether no other task has the folio: its references are the caller's, which has so many, its own and those of its PTEs, and
/// [what is known](ptes). It stays so while the caller has the folio locked, and while it has the tables locked of which a `fork`
/// would copy a PTE.
pub(crate) fn is_held_only_by(folio: &Folio, callers: u32) -> bool {
    ptes(folio, callers) == 0
}
