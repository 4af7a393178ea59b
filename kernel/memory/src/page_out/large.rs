//! Pages of large folios on their way out: together while all of them are there, and one by one from where they are not.

use arrayvec::ArrayVec;
use quire_swap::{Entry, Folio as _, FolioFlag, Locked};

use super::candidate::{Candidate, Fate};
use crate::accessed::PteFlags;
use crate::folio::{BATCH_PAGES, Folio};
use crate::large_folio::{self, Count, LARGE_PAGES, head};
use crate::lru;
use crate::swap;

/// The large folios among a batch's candidates, by the place of the first page of each. One that is split is not among them any more.
#[derive(Default)]
pub(super) struct LargeFolios(ArrayVec<usize, { BATCH_PAGES / LARGE_PAGES }>);

/// Its pages go on alone.
fn split(candidates: &[Candidate]) {
    for candidate in candidates {
        candidate.folio.state().clear(FolioFlag::Large);
    }
    large_folio::note(Count::Split);
}

/// Whether these are all pages of a large folio, in their order.
fn is_whole(candidates: &[Candidate]) -> bool {
    let first = &candidates[0];
    let follows = |(page, candidate): (usize, &Candidate)| {
        candidate.folio.frame().index() == head(first.folio.frame()).index() + page
            && candidate.owner == first.owner
            && candidate.index == first.index.wrapping_add(page as u64)
    };
    candidates.len() == LARGE_PAGES && candidates.iter().enumerate().all(follows)
}

/// Whether it is the first page of a large folio, of which the others follow.
pub(super) fn begins(folio: &Folio) -> bool {
    large_folio::of(folio) == Some(folio.frame())
}

/// Puts those that are written in the order of their slots, large folios before the others, so that each kind is in one batch, and so
/// in one request of a disk: their slots are in different clusters.
pub(super) fn side_by_side(leaving: &mut [Locked<Folio>]) {
    if large_folio::have_come() {
        leaving.sort_unstable_by_key(|folio| {
            let is_small = !folio.state().is(FolioFlag::Large);
            (is_small, folio.state().entry().map(Entry::to_pte))
        });
    }
}

impl LargeFolios {
    /// Finds them; one of which pages are missing is split.
    pub(super) fn find(candidates: &[Candidate]) -> Self {
        let mut found = Self::default();
        if !large_folio::have_come() {
            return found;
        }
        let key = |candidate: &Candidate| large_folio::of(&candidate.folio);
        let mut place = 0;
        for pages in candidates.chunk_by(|one, other| key(one) == key(other)) {
            if key(&pages[0]).is_some() {
                if is_whole(pages) { found.0.push(place) } else { split(pages) }
            }
            place += pages.len();
        }
        found
    }

    /// Splits those that `may_stay_whole` does not say that of.
    fn keep_if(&mut self, candidates: &mut [Candidate], may_stay_whole: impl Fn(&mut [Candidate]) -> bool) {
        self.0.retain(|place| {
            let pages = &mut candidates[*place..*place + LARGE_PAGES];
            let stays = may_stay_whole(pages);
            if !stays {
                split(pages);
            }
            stays
        });
    }

    /// What was found of the PTEs of one page is true of all, before the policy is told; one is split that is in part locked in memory.
    pub(super) fn look(&mut self, candidates: &mut [Candidate]) {
        self.keep_if(candidates, |pages| {
            let locked = pages.iter().filter(|page| page.flags.locked).count();
            if locked == 0 && pages.iter().any(|page| page.flags.accessed) {
                for page in &mut *pages {
                    page.flags.accessed = true;
                }
            }
            locked == 0 || locked == LARGE_PAGES
        });
    }

    /// All pages of one go of which the policy lets one go: it keeps a record of each page, and those can differ where its lists begin.
    pub(super) fn agree(&mut self, candidates: &mut [Candidate]) {
        self.keep_if(candidates, |pages| {
            let goes = |page: &Candidate| page.fate == Fate::Goes;
            !pages.iter().any(goes) || pages.iter_mut().filter(|page| !goes(page)).all(Candidate::goes_after_all)
        });
    }

    /// Gives those that go a run of slots, each page with a count.
    pub(super) fn give_slots(mut self, candidates: &mut [Candidate]) {
        self.keep_if(candidates, |pages| {
            if pages.iter().all(|page| page.fate == Fate::Stays) {
                return true;
            }
            if !pages.iter().all(Candidate::may_go) {
                return false;
            }
            let in_cache = pages.iter().filter(|page| page.folio.state().is(FolioFlag::InCache)).count();
            match in_cache {
                LARGE_PAGES => true,
                _ if pages.iter().any(Candidate::is_given_away) => false,
                0 => give_run(pages),
                // Those that were written have none any more: all get slots that lie together again.
                _ => pages.iter().all(gives_slot_up) && give_run(pages),
            }
        });
    }
}

impl Candidate {
    /// It stays no more, if it can go; whether it can.
    fn goes_after_all(&mut self) -> bool {
        let is_isolated = lru::isolate_again(&self.folio);
        if is_isolated {
            (self.fate, self.flags) = (Fate::Goes, PteFlags::default());
        }
        is_isolated
    }
}

/// Frees the slot that the page has, if it has one and none but the swap cache holds it; it is dirty then.
fn gives_slot_up(candidate: &Candidate) -> bool {
    !candidate.folio.state().is(FolioFlag::InCache) || swap::core().try_free_slot(&candidate.folio)
}

/// Gives the pages slots that follow one another; whether there are such.
#[expect(clippy::disallowed_methods, reason = "an array of a fixed size")]
fn give_run(pages: &mut [Candidate]) -> bool {
    let held = swap::core().hold_together_in_swap(pages.iter().map(|page| &page.folio));
    // Without a run, the pages find out one by one what there is.
    let counts = held.map(Iterator::collect::<ArrayVec<_, LARGE_PAGES>>);
    large_folio::note(if counts.is_ok() { Count::Swpout } else { Count::SwpoutFallback });
    let is_given = counts.is_ok();
    for (page, count) in pages.iter_mut().zip(counts.into_iter().flatten()) {
        page.count = Some(count);
    }
    is_given
}
