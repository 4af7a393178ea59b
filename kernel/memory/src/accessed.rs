//! Accessed bits: what the PTEs that map a folio say, and their forgetting it.
//!
//! The processor may remember a translation as accessed, and not say so again, until it forgets it. Where a page was looked at and
//! stays, an access just after that may go unseen, as on Linux: the next flush is that of the next batch that leaves memory.

use arrayvec::ArrayVec;
use quire_machine::arch::translations;
use quire_machine::user_tables::PteCell;
use quire_swap::header::PAGE_SIZE;

use crate::folio::{self, BATCH, Folio, Owned};
use crate::lru;
use crate::page_tables;
use crate::rmap::{Owner, Owners, Sought};

/// What the PTEs that map a folio say together.
#[derive(Clone, Copy, Default)]
pub(crate) struct Marks {
    pub(crate) accessed: bool,
    pub(crate) locked: bool,
}

impl Marks {
    /// Adds what the PTE says, which forgets that the page was accessed; whether the page may go as far as this PTE is
    /// concerned.
    pub(crate) fn take_from(&mut self, pte: PteCell<'_>) -> bool {
        let before = pte.bits();
        if page_tables::is_accessed(before) {
            pte.clear_accessed();
            self.accessed = true;
        }
        self.locked |= page_tables::is_locked(before);
        !page_tables::is_accessed(before) && !page_tables::is_locked(before)
    }

    pub(crate) const fn may_go(self) -> bool {
        !self.accessed && !self.locked
    }
}

/// Forgets the accesses that brought pages of the cgroup in, when enough others have come since.
#[inline]
pub(crate) fn settle(cgroup: u8) {
    if lru::is_unsettled(cgroup) {
        forget(&lru::unsettled(cgroup));
    }
}

struct OwnedPage<'a> {
    owner: usize,
    index: u64,
    folio: &'a Folio,
}

impl Sought for OwnedPage<'_> {
    fn folio(&self) -> &Folio {
        self.folio
    }

    fn index(&self) -> u64 {
        self.index
    }
}

/// Forgets that the pages of these folios were accessed.
#[inline(never)]
fn forget(batch: &[Folio]) {
    let mut owners = Owners::default();
    let mut owned = ArrayVec::<OwnedPage<'_>, BATCH>::new();
    for folio in batch {
        if let Some(Owned { owner, index }) = folio::owned(folio)
            && let Some(owner) = owners.find(owner)
        {
            owned.push(OwnedPage { owner, index, folio });
        }
    }
    for pages in owned.chunk_by_mut(|one, other| one.owner == other.owner) {
        owners.get(pages[0].owner).for_each_pte(pages, |_, _, pte| _ = pte.clear_accessed());
    }
    // The accesses that follow are those that the policy is to hear of.
    translations::flush_user_everywhere();
}

/// Tells the policy of the accessed pages that are mapped beside page `index` of its owner (Linux: `lru_gen_look_around`).
pub(crate) fn look_around(owner: &Owner, index: u64) {
    /// As many PTEs as there are bits in a word, on Linux.
    const AROUND: u64 = 64;
    owner.for_each_space(|base, ptes| {
        let page = base / PAGE_SIZE as u64 + index;
        let first = page / AROUND * AROUND;
        let mut cursor = ptes.cursor();
        for beside in (first..first + AROUND).filter(|beside| *beside != page) {
            let Some(pte) = cursor.find(beside.wrapping_mul(PAGE_SIZE as u64)) else { continue };
            let Some(frame) = page_tables::folio_frame(pte.bits()) else { continue };
            if page_tables::is_accessed(pte.bits()) && lru::may_be_beside(frame) {
                pte.clear_accessed();
                lru::accessed_beside(frame);
            }
        }
    });
}
