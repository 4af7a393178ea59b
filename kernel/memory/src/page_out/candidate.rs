//! A page that may leave memory, and how far it has come.

use core::sync::atomic::Ordering;

use quire_machine::user_tables::PteCell;
use quire_swap::{Folio as _, FolioFlag, Locked, SlotReference};

use crate::accessed::PteFlags;
use crate::cgroup::counts;
use crate::counters::COUNTERS;
use crate::folio::{self, Folio};
use crate::lru::{self, Exit};
use crate::object::Object;
use crate::page_tables::{self, PageTables, Pte};
use crate::rmap::Sought;
use crate::swap::{self, Quire};

/// A page that may go.
pub(super) struct Candidate {
    pub(super) folio: Locked<Folio>,
    /// The page's index with its owner, and the owner's place.
    pub(super) index: u64,
    pub(super) owner: usize,
    /// What was found when its PTEs were looked at last.
    pub(super) flags: PteFlags,
    /// A PTE was found that maps it.
    pub(super) is_mapped: bool,
    pub(super) fate: Fate,
    /// A count for the first PTE that is replaced.
    pub(super) count: Option<SlotReference<'static, Quire>>,
}

/// What has become of a candidate so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is to go, unless an access comes between.
    Goes,
    /// Its object has let it go.
    HasLeft,
    /// It is to stay, and in a list again.
    Stays,
    /// It got no slot, or no count of it.
    Refused,
}

impl Sought for Candidate {
    fn folio(&self) -> &Folio {
        &self.folio
    }

    fn index(&self) -> u64 {
        self.index
    }
}

impl Candidate {
    pub(super) fn new(folio: Locked<Folio>, index: u64, owner: usize) -> Self {
        Self { folio, index, owner, flags: PteFlags::default(), is_mapped: false, fate: Fate::Goes, count: None }
    }

    /// It can be dropped: it is as its object's source has it, or its program has given it away and not written it since, as far as
    /// is known.
    #[inline]
    pub(super) fn is_given_away(&self) -> bool {
        !self.folio.state().is(FolioFlag::Dirty) && !self.folio.state().is(FolioFlag::InCache)
    }

    /// Empties a PTE that maps the page, which was given away, unless it was used through the PTE; whether it did.
    pub(super) fn discard(&mut self, tables: &PageTables, pte: PteCell<'_>) -> bool {
        let before = pte.bits();
        let discarded = if page_tables::is_dirty(before) { None } else { pte.take_if(before) };
        if let Some(pte) = &discarded {
            tables.counts.remove(pte.bits());
        } else {
            self.note_write(pte);
            self.flags.accessed = true;
        }
        discarded.is_some()
    }

    /// A page that was given away and was written through this PTE is a page like any other again.
    pub(super) fn note_write(&self, pte: PteCell<'_>) {
        if self.is_given_away() {
            page_tables::hand_on_dirty(pte.bits(), &self.folio);
        }
    }

    /// It is to go, nothing has come between, and it is mapped by at least one PTE.
    pub(super) const fn may_go(&self) -> bool {
        self.is_mapped && matches!(self.fate, Fate::Goes) && self.flags.may_go()
    }

    pub(super) fn set_count(&mut self, count: Option<SlotReference<'static, Quire>>) {
        if count.is_none() {
            self.fate = Fate::Refused;
        }
        self.count = count;
    }

    /// Takes a page out of the object, and out of all page tables; one that is not as its source has it gets a slot, and the entry takes
    /// its place in the object. Whether there were PTEs.
    pub(super) fn leave_object(&mut self, object: &Object) -> bool {
        let (folio, mut any) = (&self.folio, false);
        object.rmap().for_each_pte_of(self.index, folio, |tables, pte| {
            let before = pte.take();
            tables.counts.remove(before.bits());
            page_tables::hand_on_dirty(before.bits(), folio);
            any = true;
        });
        let entry = folio.state().entry();
        if !object.holds(self.index, folio) || self.is_given_away() {
            self.fate = Fate::HasLeft;
            return any;
        }
        let count = match entry {
            Some(entry) => swap::core().duplicate(entry).ok(),
            None => new_slot(folio),
        };
        match count {
            Some(count) => {
                object.take_out(self.index, folio, Pte::unmapped(count.into_pte()));
                self.fate = Fate::HasLeft;
            }
            None => self.fate = Fate::Refused,
        }
        any
    }

    /// Puts it back into a list if it stays. A count that was not used, because its PTEs changed meanwhile, is released.
    pub(super) fn settle(self) -> Option<Locked<Folio>> {
        let is_given_away = self.is_given_away();
        let Self { folio, flags, is_mapped, fate, .. } = self;
        if fate == Fate::HasLeft {
            return Some(folio);
        }
        if fate == Fate::Refused {
            // There may be a slot without memory for its count.
            swap::core().try_free_slot(&folio);
        }
        let goes = fate == Fate::Goes && flags.may_go();
        if goes && folio.state().is(FolioFlag::InCache) {
            return Some(folio);
        }
        // Without a slot, its page was unmapped while it was on its way here, and it goes with this reference; or a `fork` or
        // `mremap` that was under way has mapped it again.
        if goes && folio::is_held_only_by(&folio, 1) {
            let was_given_away = is_given_away && is_mapped;
            COUNTERS.lazily_freed.fetch_add(u64::from(was_given_away), Ordering::Relaxed);
            return was_given_away.then_some(folio);
        }
        if flags.locked {
            lru::keep(&folio);
        } else if fate == Fate::Refused {
            lru::refused(&folio);
        } else if fate != Fate::Stays {
            lru::put_back(&folio);
        }
        if !is_given_away {
            lru::set_exit(&folio, Exit::Swap);
        }
        None
    }
}

/// A slot for the folio, with a count, if there is one and its cgroup may have it.
pub(super) fn new_slot(folio: &Locked<Folio>) -> Option<SlotReference<'static, Quire>> {
    swap::core().hold_in_swap(folio).inspect_err(|error| counts::note_no_slot(folio.metadata(), *error)).ok()
}
