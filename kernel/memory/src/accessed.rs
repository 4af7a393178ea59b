//! Accessed bits: reading and clearing them in the PTEs that map a folio.
//!
//! A processor that remembers a translation does not set its accessed bit again. So when a page was looked at and stays, accesses go
//! unseen until the next flush, as on Linux: that of the next batch that leaves memory.

use arrayvec::ArrayVec;
use quire_machine::arch::translations;
use quire_machine::frame::FrameNumber;
use quire_machine::physical;
use quire_machine::user_tables::PteCell;
use quire_swap::header::PAGE_SIZE;

use crate::folio::{self, BATCH, Owned};
use crate::large_folio::{self, LARGE_PAGES};
use crate::lru;
use crate::page_tables;
use crate::rmap::{Owner, Owners, address_of};

/// What the PTEs that map a folio say together.
#[derive(Clone, Copy, Default)]
pub(crate) struct PteFlags {
    pub(crate) accessed: bool,
    pub(crate) locked: bool,
}

impl PteFlags {
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
        settle_batch(cgroup);
    }
}

/// A page that has come a while ago, if it is still there.
struct Settling {
    owner: usize,
    index: u64,
    frame: FrameNumber,
}

impl Settling {
    /// The page, or all that came with it: a program that goes through its memory touches those of a large folio one after another, and
    /// the last of these accesses says no more than the first.
    #[inline]
    fn all(&self) -> impl Iterator<Item = (u64, FrameNumber)> {
        let is_large = large_folio::have_come() && physical::frames()[self.frame.index()].is_of_large_folio();
        let (first, pages) = if is_large { (large_folio::head(self.frame), LARGE_PAGES) } else { (self.frame, 1) };
        let index = self.index.wrapping_sub(u64::from(self.frame.0 - first.0));
        (0..pages as u32).map(move |page| (index.wrapping_add(page.into()), FrameNumber(first.0 + page)))
    }
}

/// Looks where the pages are likely to be mapped: a relative that maps one as well has accessed it itself.
#[inline(never)]
fn settle_batch(cgroup: u8) {
    let mut owners = Owners::default();
    let mut pages = ArrayVec::<Settling, BATCH>::new();
    for frame in lru::unsettled(cgroup) {
        if let Some(Owned { owner, index }) = folio::owner_of(frame)
            && let Some(owner) = owners.find(owner)
        {
            pages.push(Settling { owner, index, frame });
        }
    }
    for pages in pages.chunk_by(|one, other| one.owner == other.owner) {
        let mut left = pages.len();
        owners.get(pages[0].owner).for_each_space(|base, ptes| {
            let mut cursor = ptes.cursor();
            for page in pages {
                for (index, frame) in page.all() {
                    let pte = cursor.find(address_of(base, index));
                    if let Some(pte) = pte.filter(|pte| page_tables::folio_frame(pte.bits()) == Some(frame)) {
                        pte.clear_accessed();
                        left = left.saturating_sub(usize::from(frame == page.frame));
                    }
                }
            }
            left > 0
        });
    }
    // The accesses that follow are those that the policy is to hear of.
    translations::flush_user_everywhere();
}

/// Tells the policy of the accessed pages that are mapped beside page `index` of its owner (Linux: `lru_gen_look_around`).
pub(crate) fn look_around(owner: &Owner, index: u64) {
    /// As many PTEs as there are bits in a word, on Linux.
    const AROUND: u64 = 64;
    owner.for_each_space(|base, ptes| {
        let page = address_of(base, index) / PAGE_SIZE as u64;
        let first = page / AROUND * AROUND;
        let mut cursor = ptes.cursor();
        for beside in (first..first + AROUND).filter(|beside| *beside != page) {
            let Some(pte) = cursor.find(beside * PAGE_SIZE as u64) else { continue };
            let Some(frame) = page_tables::folio_frame(pte.bits()) else { continue };
            if page_tables::is_accessed(pte.bits()) && lru::may_be_beside(frame) {
                pte.clear_accessed();
                lru::accessed_beside(frame);
            }
        }
        true
    });
}
