//! Taking folios out of memory, a batch at a time.
//!
//! # Steps
//!
//! Each step is done for the whole batch, so that its locks are taken a few times for all of them and not once for each:
//!
//! 1. Every folio's lock is tried, and its owner looked up ([`rmap`](crate::rmap)). One that is busy stays.
//! 2. The PTEs that map the folios are looked at, space by space ([`accessed`]).
//! 3. The policy is told which were accessed, and says which go ([`lru`]). One that is locked in memory stays in any case.
//! 4. Those that go get a slot, unless they still have one, and a count of it for the PTE that will hold it.
//! 5. Their PTEs are replaced by their entries, space by space again. One that was accessed since step 2 stays after all.
//! 6. The TLB is flushed, once.
//! 7. Dirty folios are gathered in a plug and written; clean ones are evicted from the swap cache, and their frames are freed
//!    together.
//!
//! A private page that its program has given away (`MADV_FREE`, [`free_lazily`]) is clean and has no slot, which no other private page
//! is: unless it is written again it gets none in step 4, and its PTEs become 0 in step 5.
//!
//! Pages of an [`Object`](crate::object::Object) go through steps 4 and 5 one by one: the object's own PTE becomes the
//! entry, those of the page tables 0.
//!
//! Large folios are found after step 1 and go through steps 3 and 4 as one (`large`).
//!
//! # Invariants
//!
//! Nothing is written before the flush: until then a task could change a page through a translation that the processor
//! remembers. A folio is locked from step 1 until it is given to the plug, freed, or back in a list.

use core::sync::atomic::Ordering;

use arrayvec::ArrayVec;
use quire_machine::arch::translations;
use quire_swap::{Folio as _, FolioFlag, Locked, Written};

use self::candidate::{Candidate, Fate, new_slot};
use self::large::LargeFolios;
use crate::accessed::{self, PteFlags};
use crate::counters::COUNTERS;
use crate::folio::{self, BATCH_PAGES, Folio, FolioBatch, Owned};
use crate::large_folio::LARGE_PAGES;
use crate::lru::{self, Exit};
use crate::page_tables::{self, Pte};
use crate::policy::Verdict;
use crate::progress;
use crate::rmap::{Owner, Owners};
use crate::swap::{self, Plug};

mod candidate;
mod large;

/// Who wants pages to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// The policy, which has a say once it is known whether they were accessed.
    ByPolicy,
    /// A program, for pages that were not accessed since.
    ByProgram,
}

/// Tries to take isolated folios out of memory; returns how many leave it. The others are in a list again.
pub(crate) fn page_out(batch: &mut FolioBatch, asked: Asked, plug: &mut Plug) -> usize {
    let mut owners = Owners::default();
    let mut unmapped = ArrayVec::new();
    unmap(batch, asked, &mut owners, &mut unmapped);
    large::side_by_side(&mut unmapped);
    let mut leaving =
        Outgoing { plug, clean: ArrayVec::new(), zero: ArrayVec::new(), gone: FolioBatch::new(), count: 0 };
    unmapped.drain(..).for_each(|folio| leaving.add(folio, &mut owners));
    leaving.free()
}

/// Steps 1 to 6: those that go are out of all page tables then, the others in a list. What this has on the stack is gone before
/// anything is written, for which a backend may need much of it.
#[inline(never)]
#[expect(clippy::disallowed_methods, reason = "an array of a fixed size")]
fn unmap(
    batch: &mut FolioBatch,
    asked: Asked,
    owners: &mut Owners,
    unmapped: &mut ArrayVec<Locked<Folio>, BATCH_PAGES>,
) {
    let mut candidates = ArrayVec::<Candidate, BATCH_PAGES>::new();
    for folio in batch.drain(..) {
        let folio = match Locked::try_lock(folio) {
            Ok(folio) if !folio.state().is(FolioFlag::Writeback) => folio,
            Ok(busy) => {
                lru::put_back(&busy);
                continue;
            }
            Err(busy) => {
                lru::put_back(&busy);
                continue;
            }
        };
        let place = folio::owned(&folio).and_then(|Owned { owner, index }| Some((index, owners.find(owner)?)));
        match place {
            Some((index, owner)) => candidates.push(Candidate::new(folio, index, owner)),
            // Its spaces are gone, so it goes with this reference, or with its slot.
            None if folio.state().entry().is_some() => unmapped.push(folio),
            None => {}
        }
    }
    let mut large = LargeFolios::find(&candidates);
    for candidates in candidates.chunk_by_mut(|one, other| one.owner == other.owner) {
        look(owners.get(candidates[0].owner), candidates);
    }
    large.look(&mut candidates);
    judge(owners, &mut candidates, asked);
    large.agree(&mut candidates);
    large.give_slots(&mut candidates);
    let mut flush = false;
    for candidates in candidates.chunk_by_mut(|one, other| one.owner == other.owner) {
        match owners.get(candidates[0].owner) {
            owner @ Owner::AnonVma(_) => {
                give_slots(candidates);
                flush |= replace_ptes(owner, candidates);
            }
            Owner::Object(object) => {
                for candidate in candidates.iter_mut().filter(|candidate| candidate.fate == Fate::Goes) {
                    flush |= candidate.leave_object(object);
                }
            }
        }
    }
    if flush && translations::flush_stale() {
        COUNTERS.flushes.fetch_add(1, Ordering::Relaxed);
    }
    // Before anything is written, which may take long: those that stay are locked no longer.
    unmapped.extend(candidates.drain(..).filter_map(Candidate::settle));
}

/// Marks private pages as given away, each mapped by one PTE: reclaim takes those that are not written from now on without writing
/// them (Linux: `madvise_free_pte_range`). One that is busy, on its way to swap, or that others have too is left alone.
pub(crate) fn free_lazily(batch: &mut FolioBatch) {
    let mut owners = Owners::default();
    let mut given_away = ArrayVec::<Locked<Folio>, BATCH_PAGES>::new();
    for folio in batch.drain(..) {
        let Ok(folio) = Locked::try_lock(folio) else { continue };
        if folio.state().is(FolioFlag::InCache) && !swap::core().try_free_slot(&folio) {
            continue;
        }
        let Some(Owned { owner, index }) = folio::owned(&folio) else { continue };
        let Some(owner) = owners.find(owner) else { continue };
        let mut is_given_away = false;
        owners.get(owner).for_each_pte(&mut [(index, &*folio)], |_, _, pte| {
            // No `fork` gives it another PTE while the tables are locked.
            if folio::is_mapped_once(&folio) {
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
    given_away.iter().for_each(|folio| lru::set_exit(folio, Exit::Drop));
}

fn look(owner: &Owner, candidates: &mut [Candidate]) {
    owner.for_each_pte(candidates, |candidate, _, pte| {
        candidate.flags.take_from(pte);
        candidate.note_write(pte);
        candidate.is_mapped = true;
    });
    if lru::looks_around() {
        candidates.iter().filter(|candidate| candidate.flags.accessed).for_each(|candidate| {
            accessed::look_around(owner, candidate.index);
        });
    }
}

/// Tells the policy what was found, which says what stays; what has to stay does in any case.
fn judge(owners: &Owners, candidates: &mut [Candidate], asked: Asked) {
    let mut judge = lru::Judge::default();
    for candidate in candidates {
        let PteFlags { accessed, locked } = candidate.flags;
        let has_to_stay = || matches!(owners.get(candidate.owner), Owner::Object(object) if object.stays());
        let verdict = if locked || has_to_stay() {
            judge.keep(&candidate.folio)
        } else {
            match asked {
                Asked::ByPolicy => judge.looked_at(&candidate.folio, accessed),
                Asked::ByProgram if accessed => judge.put_back(&candidate.folio),
                Asked::ByProgram => Verdict::Evict,
            }
        };
        if verdict == Verdict::Stay {
            candidate.fate = Fate::Stays;
            let counter = if accessed { &COUNTERS.second_chances } else { &COUNTERS.deactivated };
            counter.fetch_add(1, Ordering::Relaxed);
        } else {
            // From now on, an access comes between.
            candidate.flags = PteFlags::default();
        }
    }
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
    owner.for_each_pte(candidates, |candidate, tables, pte| {
        if !candidate.may_go() || !candidate.flags.take_from(pte) {
            return;
        }
        if candidate.is_given_away() {
            any |= candidate.discard(tables, pte);
            return;
        }
        // The first PTE has its count already.
        let another = || swap::core().duplicate(candidate.folio.state().entry()?).ok();
        let Some(count) = candidate.count.take().or_else(another) else {
            candidate.fate = Fate::Refused;
            return;
        };
        let before = pte.replace(Pte::unmapped(count.into_pte()));
        tables.counts.swapped_out();
        page_tables::hand_on_dirty(before.bits(), &candidate.folio);
        any = true;
    });
    any
}

/// Folios that are out of all page tables.
struct Outgoing<'a> {
    plug: &'a mut Plug,
    /// Their slots have their contents.
    clean: ArrayVec<Locked<Folio>, BATCH_PAGES>,
    /// They were dirty; their slots say that they are zero.
    zero: ArrayVec<Locked<Folio>, BATCH_PAGES>,
    /// No other task has a reference, but for a task that is about to notice that it came too late.
    gone: FolioBatch,
    count: usize,
}

impl Outgoing<'_> {
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
        if large::begins(&folio) {
            self.plug.keep_together(LARGE_PAGES);
        }
        COUNTERS.written.fetch_add(1, Ordering::Relaxed);
        progress::write_started();
        match swap::core().write(self.plug, folio) {
            Written::Queued => return,
            Written::Zero(folio) => self.zero.push(folio),
            Written::Unused(folio) => self.gone.push(folio.unlock()),
            Written::Refused(folio) => {
                progress::write_failed();
                lru::refused(&folio);
            }
            Written::ForAnother(folio) => {
                lru::put_back(&folio);
                self.count -= 1;
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
        lru::put_back(&folio);
        lru::set_exit(&folio, Exit::Swap);
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
/// If another task uses one or it is dirty, it is in a list again. Returns how many go.
pub(crate) fn evict(clean: &mut ArrayVec<Locked<Folio>, BATCH_PAGES>, gone: &mut FolioBatch) -> usize {
    /// The swap cache's and the one in `clean`.
    const REFERENCES: u32 = 2;
    let before = gone.len();
    let mut busy = ArrayVec::<Locked<Folio>, BATCH_PAGES>::new();
    let mut shadows = lru::evicted(clean).into_iter();
    // In the same order, without those that stay.
    let shadow = |folio: &Folio| {
        shadows.find_map(|(frame, shadow)| (frame == folio.frame()).then_some(shadow)).unwrap_or_default()
    };
    swap::core().evict_each(clean.drain(..), REFERENCES, shadow, |outcome| match outcome {
        Ok(folio) => gone.push(folio),
        Err(folio) => busy.push(folio),
    });
    busy.drain(..).for_each(|folio| lru::put_back(&folio));
    gone.len() - before
}
