//! Releasing what a PTE owned, when the PTE is gone.

use quire_swap::SlotReference;

use super::core::SWAP;
use crate::folio::Folio;

/// Drops what a PTE that held an entry owned: the PTE itself is gone.
pub fn forget_pte(pte: u64) {
    drop(SlotReference::from_pte(&SWAP, pte));
}

/// The same for several.
pub fn forget_ptes(ptes: &[u64]) {
    SWAP.put_each(ptes.iter().copied());
}

/// Drops what a PTE that mapped a folio owned: the PTE itself is gone. If only the swap cache is left with
/// the folio, it is of no use to any task.
#[expect(clippy::needless_pass_by_value, reason = "the reference was the PTE's")]
pub fn forget_folio(folio: Folio) {
    SWAP.drop_if_unused(&folio);
}
