//! Taking folios out of memory, a batch at a time.
//!
//! # Steps
//!
//! Each step is done for the whole batch, so that its locks are taken a few times for all of them and not once for each:
//!
//! 1. Every folio's lock is tried, and its owner looked up ([`mm::rmap`](crate::rmap)). One that is busy stays.
//! 2. The PTEs that map the folios are looked at, space by space. A page that was accessed since gets a second chance, one
//!    that is locked in memory stays; neither gets a slot.
//! 3. The others get a slot, unless they still have one, and a count of it for the PTE that will hold it.
//! 4. Their PTEs are replaced by their entries, space by space again. One that was accessed since step 2 stays after all.
//! 5. The TLB is flushed, once.
//! 6. Dirty folios are gathered in a plug and written; clean ones are evicted from the swap cache, and their frames are freed
//!    together.
//!
//! A private page that its program has given away (`MADV_FREE`, [`free_lazily`]) is clean and has no slot, which no other private page
//! is: unless it is written again it gets none in step 3, and its PTEs become 0 in step 4.
//!
//! Pages of an [`Object`] go through steps 2 to 4 one by one: the object's own PTE becomes the entry, those of the page
//! tables 0.
//!
//! # Invariants
//!
//! Nothing is written before the flush: until then a task could change a page through a translation that the processor
//! remembers. A folio is locked from step 1 until it is given to the plug, freed, or back in a list.

use core::sync::atomic::Ordering;

use arrayvec::ArrayVec;
use quire_machine::arch::translations;
use quire_machine::frame::FrameNumber;
use quire_machine::user_tables::PteCell;
use quire_swap::{Folio as _, FolioFlag, Locked, SlotReference, Written};

use crate::cgroup::counts;
use crate::counters::COUNTERS;
use crate::folio::{self, BATCH, Folio, FolioBatch, Owned};
use crate::lru::{self, List};
use crate::object::Object;
use crate::page_tables::{self, PageTables, Pte};
use crate::rmap::{Owner, Owners, Rmap};
use crate::swap::{self, Plug, Quire};
use crate::{progress, workingset};

/// A private page that may go.
struct Candidate {
    folio: Locked<Folio>,
    frame: FrameNumber,
    /// The page's index with its owner, and the owner's place.
    index: u64,
    owner: usize,
    marks: Marks,
    /// A PTE was found that maps it.
    is_mapped: bool,
    /// A count for the first PTE that is replaced.
    count: Option<SlotReference<'static, Quire>>,
    /// It got no slot, or no count of it.
    is_refused: bool,
}

/// What the PTEs that map a folio say together.
#[derive(Clone, Copy, Default)]
struct Marks {
    accessed: bool,
    locked: bool,
}

impl Marks {
    /// Adds what the PTE says, which forgets that the page was accessed; whether the page may go as far as this PTE is
    /// concerned.
    fn take_from(&mut self, pte: PteCell<'_>) -> bool {
        let before = pte.bits();
        if page_tables::is_accessed(before) {
            pte.clear_accessed();
            self.accessed = true;
        }
        self.locked |= page_tables::is_locked(before);
        !page_tables::is_accessed(before) && !page_tables::is_locked(before)
    }

    const fn may_go(self) -> bool {
        !self.accessed && !self.locked
    }

    /// Where a folio from `list` goes that stays.
    fn list(self, list: List) -> Option<List> {
        if self.locked {
            return Some(List::Unevictable);
        }
        if self.accessed {
            COUNTERS.second_chances.fetch_add(1, Ordering::Relaxed);
        }
        self.accessed.then(|| list.active())
    }
}

/// Tries to take out of memory what was isolated from `list`; returns how many leave it.
#[expect(clippy::disallowed_methods, reason = "an array of a fixed size")]
pub(crate) fn page_out(batch: &mut FolioBatch, list: List, plug: &mut Plug) -> usize {
    let mut owners = Owners::default();
    let mut candidates = ArrayVec::<Candidate, BATCH>::new();
    let mut unmapped = ArrayVec::<Locked<Folio>, BATCH>::new();
    let mut flush = false;
    for folio in batch.drain(..) {
        let folio = match Locked::try_lock(folio) {
            Ok(folio) if !folio.state().is(FolioFlag::Writeback) => folio,
            Ok(busy) => {
                lru::add(&busy, list);
                continue;
            }
            Err(busy) => {
                lru::add(&busy, list);
                continue;
            }
        };
        let place = folio::owned(&folio).and_then(|Owned { owner, index }| Some((index, owners.find(owner)?)));
        match place.map(|(index, owner)| (index, owner, owners.get(owner))) {
            Some((index, _, Owner::Object(object))) => {
                unmapped.extend(unmap_of_object(object, index, folio, list, &mut flush));
            }
            Some((index, owner, Owner::AnonVma(_))) => candidates.push(Candidate::new(folio, index, owner)),
            // Its spaces are gone, so it goes with this reference, or with its slot.
            None if folio.state().entry().is_some() => unmapped.push(folio),
            None => {}
        }
    }
    for candidates in candidates.chunk_by_mut(|one, other| one.owner == other.owner) {
        let owner = owners.get(candidates[0].owner);
        look(owner, candidates);
        give_slots(candidates);
        flush |= replace_ptes(owner, candidates);
    }
    if flush && translations::flush_stale() {
        COUNTERS.flushes.fetch_add(1, Ordering::Relaxed);
    }
    let mut leaving =
        Leaving { plug, clean: ArrayVec::new(), zero: ArrayVec::new(), gone: FolioBatch::new(), count: 0 };
    // Before anything is written, which may take long: those that stay are locked no longer.
    unmapped.extend(candidates.drain(..).filter_map(|candidate| candidate.settle(list)));
    unmapped.drain(..).for_each(|folio| leaving.add(folio, &mut owners));
    leaving.free()
}

/// Forgets that the pages of these folios were accessed.
pub(crate) fn forget_access(batch: &[Folio]) {
    let mut owners = Owners::default();
    for folio in batch {
        if let Some(Owned { owner, index }) = folio::owned(folio)
            && let Some(owner) = owners.find(owner)
        {
            marks_of(owners.get(owner).rmap(), index, folio);
        }
    }
}

/// Marks private pages as given away, each mapped by one PTE: reclaim takes those that are not written from now on without writing
/// them (Linux: `madvise_free_pte_range`). One that is busy, on its way to swap, or that others have too is left alone.
pub(crate) fn free_lazily(batch: &mut FolioBatch) {
    /// The caller's, and the PTE's.
    const REFERENCES: u32 = 2;
    let mut owners = Owners::default();
    let mut given_away = ArrayVec::<Locked<Folio>, BATCH>::new();
    for folio in batch.drain(..) {
        let Ok(folio) = Locked::try_lock(folio) else { continue };
        if folio.state().is(FolioFlag::InCache)
            && (folio.state().is(FolioFlag::Writeback) || !swap::core().try_free_slot(&folio))
        {
            continue;
        }
        let Some(Owned { owner, index }) = folio::owned(&folio) else { continue };
        let Some(owner) = owners.find(owner) else { continue };
        let mut is_given_away = false;
        owners.get(owner).rmap().for_each_pte_of(index, folio.frame(), |_, pte| {
            // No `fork` gives it another PTE while the tables are locked.
            if folio::is_held_only_by(&folio, REFERENCES) {
                pte.clear_accessed_and_dirty();
                folio.state().clear(FolioFlag::Dirty);
                is_given_away = true;
            }
        });
        if is_given_away {
            given_away.push(folio);
        }
    }
    // Until then the processor may remember that a page is dirty and not say so again; reclaim cannot come, as they are locked.
    translations::flush_user_everywhere();
    COUNTERS.given_away.fetch_add(given_away.len() as u64, Ordering::Relaxed);
    given_away.iter().for_each(|folio| lru::add(folio, List::InactiveFile));
}

/// What the PTEs say that map the folio, page `index` of its owner; they forget that it was accessed.
fn marks_of(rmap: &Rmap, index: u64, folio: &Folio) -> Marks {
    let mut marks = Marks::default();
    rmap.for_each_pte_of(index, folio.frame(), |_, pte| {
        marks.take_from(pte);
    });
    marks
}

impl Candidate {
    fn new(folio: Locked<Folio>, index: u64, owner: usize) -> Self {
        Self {
            frame: folio.frame(),
            folio,
            index,
            owner,
            marks: Marks::default(),
            is_mapped: false,
            count: None,
            is_refused: false,
        }
    }

    /// Its program has given it away and not written it since, as far as is known.
    fn is_given_away(&self) -> bool {
        !self.folio.state().is(FolioFlag::Dirty) && !self.folio.state().is(FolioFlag::InCache)
    }

    /// Empties a PTE that maps the page, which was given away, unless it was used through the PTE; whether it did.
    fn discard(&mut self, tables: &PageTables, pte: PteCell<'_>) -> bool {
        let before = pte.bits();
        let discarded = if page_tables::is_dirty(before) { None } else { pte.take_if(before) };
        if let Some(pte) = &discarded {
            tables.counts.remove(pte.bits());
        } else {
            self.note_write(pte);
            self.marks.accessed = true;
        }
        discarded.is_some()
    }

    /// A page that was given away and was written through this PTE is a page like any other again.
    fn note_write(&self, pte: PteCell<'_>) {
        if self.is_given_away() && page_tables::is_dirty(pte.bits()) {
            self.folio.state().set(FolioFlag::Dirty);
        }
    }

    /// It may go as far as is known, and is mapped by at least one PTE.
    const fn may_go(&self) -> bool {
        self.is_mapped && self.marks.may_go() && !self.is_refused
    }

    fn set_count(&mut self, count: Option<SlotReference<'static, Quire>>) {
        self.is_refused = count.is_none();
        self.count = count;
    }

    /// Puts it back into a list if it stays. A count that was not used, because its PTEs changed meanwhile, is given back.
    fn settle(self, list: List) -> Option<Locked<Folio>> {
        let is_given_away = self.is_given_away();
        let list = if is_given_away { list } else { List::Inactive };
        let Self { folio, marks, is_refused, is_mapped, .. } = self;
        if let Some(stays) = marks.list(list).or(is_refused.then_some(List::Active)) {
            if is_refused {
                // There may be a slot without memory for its count.
                swap::core().try_free_slot(&folio);
            }
            lru::add(&folio, stays);
            return None;
        }
        if is_given_away && is_mapped {
            // A `fork` that was under way may have mapped it again.
            if !folio::is_held_only_by(&folio, 1) {
                lru::add(&folio, list);
                return None;
            }
            COUNTERS.lazily_freed.fetch_add(1, Ordering::Relaxed);
            return Some(folio);
        }
        // Without a slot, its page was unmapped while it was on its way here: it goes with this reference.
        if folio.state().is(FolioFlag::InCache) { Some(folio) } else { None }
    }
}

/// Calls `visit` with each PTE that maps one of the candidates, which have this owner.
fn for_each_pte(
    owner: &Owner,
    candidates: &mut [Candidate],
    visit: impl FnMut(&mut Candidate, &PageTables, PteCell<'_>),
) {
    owner.rmap().for_each_pte(candidates, |candidate| (candidate.index, candidate.frame), visit);
}

fn look(owner: &Owner, candidates: &mut [Candidate]) {
    for_each_pte(owner, candidates, |candidate, _, pte| {
        candidate.marks.take_from(pte);
        candidate.note_write(pte);
        candidate.is_mapped = true;
    });
}

/// A slot for the folio, with a count, if there is one and its cgroup may have it.
fn new_slot(folio: &Locked<Folio>) -> Option<SlotReference<'static, Quire>> {
    swap::core().hold_in_swap(folio).inspect_err(|error| counts::note_no_slot(folio.metadata(), *error)).ok()
}

fn give_slots(candidates: &mut [Candidate]) {
    for candidate in candidates.iter_mut().filter(|candidate| candidate.may_go() && !candidate.is_given_away()) {
        if !candidate.folio.state().is(FolioFlag::InCache) {
            candidate.set_count(new_slot(&candidate.folio));
        }
    }
    let uncounted = candidates.iter_mut().filter(|candidate| candidate.may_go() && candidate.count.is_none());
    let uncounted = uncounted.filter_map(|candidate| Some((candidate.folio.state().entry()?, candidate)));
    swap::core().duplicate_each(uncounted, |candidate, count| candidate.set_count(count.ok()));
}

/// Replaces the PTEs of those that may go by their entries, unless they were accessed; whether there were any. The translations
/// may be remembered by the processor until the next flush.
fn replace_ptes(owner: &Owner, candidates: &mut [Candidate]) -> bool {
    let mut any = false;
    for_each_pte(owner, candidates, |candidate, tables, pte| {
        if !candidate.may_go() || !candidate.marks.take_from(pte) {
            return;
        }
        if candidate.is_given_away() {
            any |= candidate.discard(tables, pte);
            return;
        }
        // The first PTE has its count already.
        let another = || swap::core().duplicate(candidate.folio.state().entry()?).ok();
        let Some(count) = candidate.count.take().or_else(another) else {
            candidate.is_refused = true;
            return;
        };
        let before = pte.replace(Pte::unmapped(count.into_pte()));
        tables.counts.swapped_out();
        if page_tables::is_dirty(before.bits()) {
            candidate.folio.state().set(FolioFlag::Dirty);
        }
        any = true;
    });
    any
}

/// Takes a page of an object out of all page tables, unless it was accessed; one that is not as its source has it gets a slot,
/// and the entry takes its place in the object.
fn unmap_of_object(
    object: &Object,
    index: u64,
    folio: Locked<Folio>,
    list: List,
    flush: &mut bool,
) -> Option<Locked<Folio>> {
    let stays = object.stays().then_some(List::Unevictable);
    if let Some(stays) = stays.or_else(|| marks_of(object.rmap(), index, &folio).list(list)) {
        lru::add(&folio, stays);
        return None;
    }
    let mut dirty = folio.state().is(FolioFlag::Dirty);
    object.rmap().for_each_pte_of(index, folio.frame(), |tables, pte| {
        let before = pte.take();
        tables.counts.remove(before.bits());
        dirty |= page_tables::is_dirty(before.bits());
        *flush = true;
    });
    if dirty {
        folio.state().set(FolioFlag::Dirty);
    }
    if !object.holds(index, &folio) || !dirty && folio.state().entry().is_none() {
        return Some(folio);
    }
    let count = match folio.state().entry() {
        Some(entry) => swap::core().duplicate(entry).ok(),
        None => new_slot(&folio),
    };
    let Some(count) = count else {
        swap::core().try_free_slot(&folio);
        lru::add(&folio, List::Active);
        return None;
    };
    object.take_out(index, &folio, Pte::unmapped(count.into_pte()));
    Some(folio)
}

/// Folios that are out of all page tables.
struct Leaving<'a> {
    plug: &'a mut Plug,
    /// Their slots have their contents.
    clean: ArrayVec<Locked<Folio>, BATCH>,
    /// They were dirty; their slots say that they are zero.
    zero: ArrayVec<Locked<Folio>, BATCH>,
    /// No other task has a reference, but for a task that is about to notice that it came too late.
    gone: FolioBatch,
    count: usize,
}

impl Leaving<'_> {
    /// Writes the folio if it is dirty.
    #[expect(clippy::disallowed_methods, reason = "an array of a fixed size")]
    fn add(&mut self, folio: Locked<Folio>, owners: &mut Owners) {
        self.count += 1;
        if !folio.state().is(FolioFlag::InCache) {
            self.gone.extend(drop_page_without_slot(folio, owners));
            return;
        }
        if !folio.state().is(FolioFlag::Dirty) {
            self.clean.push(folio);
            return;
        }
        COUNTERS.written.fetch_add(1, Ordering::Relaxed);
        progress::write_started();
        match swap::core().write(self.plug, folio) {
            Written::Queued => return,
            Written::Zero(folio) => self.zero.push(folio),
            Written::Unused(folio) => self.gone.push(folio.unlock()),
            Written::Refused(folio) => {
                progress::write_failed();
                lru::add(&folio, List::Active);
            }
        }
        progress::writes_are_over(1);
    }

    /// Frees the frames of those that need not be written; returns how many folios leave memory. One that another task has is not
    /// among them, however often it is tried.
    fn free(mut self) -> usize {
        let evictable = self.clean.len() + self.zero.len();
        let dropped = evict(&mut self.clean, &mut self.gone);
        COUNTERS.dropped_clean.fetch_add(dropped as u64, Ordering::Relaxed);
        let evicted = dropped + evict(&mut self.zero, &mut self.gone);
        if !self.gone.is_empty() {
            folio::drop_all(&mut self.gone);
            progress::frames_freed();
        }
        self.count - (evictable - evicted)
    }
}

/// Frees a page that was given away, that is as its source has it, or that its object has forgotten.
fn drop_page_without_slot(folio: Locked<Folio>, owners: &mut Owners) -> Option<Folio> {
    if folio.state().is(FolioFlag::Dirty) {
        // Written while it was on its way here.
        lru::add(&folio, List::Inactive);
        return None;
    }
    if let Some(Owned { owner, index }) = folio::owned(&folio)
        && let Some(owner) = owners.find(owner)
        && let Owner::Object(object) = owners.get(owner)
        && object.holds(index, &folio)
    {
        object.take_out(index, &folio, Pte::EMPTY);
        COUNTERS.dropped_clean.fetch_add(1, Ordering::Relaxed);
    }
    Some(folio.unlock())
}

/// Takes clean folios that no task maps out of the swap cache; those that go, with their last references, are added to `gone`.
/// If another task uses one or it is dirty, it goes to the inactive list. Returns how many go.
pub(crate) fn evict(clean: &mut ArrayVec<Locked<Folio>, BATCH>, gone: &mut FolioBatch) -> usize {
    /// The swap cache's and the one in `clean`.
    const REFERENCES: u32 = 2;
    let before = gone.len();
    let mut busy = ArrayVec::<Locked<Folio>, BATCH>::new();
    swap::core().evict_each(clean.drain(..), REFERENCES, workingset::next_age, |outcome| match outcome {
        Ok(folio) => gone.push(folio),
        Err(folio) => busy.push(folio),
    });
    busy.drain(..).for_each(|folio| lru::add(&folio, List::Inactive));
    gone.len() - before
}
