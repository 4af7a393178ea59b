//! What programs say about how they will use their memory: `madvise`, `mlock`, `mincore`, and bringing pages in ahead.

use alloc::sync::Arc;
use core::ops::Range;

use quire_machine::address_map::USER_END;
use quire_machine::arch::translations;
use quire_machine::task::{HeedKill, Killed};
use quire_machine::upcall::Access;
use quire_swap::header::PAGE_SIZE;
use quire_swap::{DecodedPte, Entry};

use crate::address_space::{AddressSpace, LockNew, MapError, check};
use crate::admission::Limit;
use crate::fatal::Fatal;
use crate::fault;
use crate::folio::{self, BATCH, Folio, FolioBatch};
use crate::large_folio::Wanted;
use crate::lru;
use crate::page_out;
use crate::page_tables::{self, folio_frame, is_mapped};
use crate::rmap::RmapLink;
use crate::swap::{self, Plug};
use crate::vma::{Totals, Vma};

const PAGE: u64 = PAGE_SIZE as u64;

/// How pages will be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advice {
    /// Nothing that Quire heeds.
    Nothing,
    /// The contents are not needed any more: private pages are zero from now on, others are as their object has them.
    DontNeed,
    /// The contents of private pages may be forgotten until they are written again.
    Free,
    /// The pages are next to leave memory.
    Cold,
    /// The pages are to leave memory now.
    PageOut,
    /// The pages will be needed soon.
    WillNeed,
    /// The pages are brought in as if they were read, or written.
    Populate {
        /// As if they were written.
        write: bool,
    },
    /// A child does not get the VMA, or does.
    Inherit(bool),
    /// Whether large folios are wanted (`MADV_HUGEPAGE`, `MADV_NOHUGEPAGE`).
    Want(Wanted),
    /// The object's pages are forgotten, too (`MADV_REMOVE`).
    Remove,
}

/// The parts of `range` that VMAs cover.
fn parts(space: &AddressSpace, range: &Range<u64>) -> impl Iterator<Item = Vma<Arc<RmapLink>>> {
    let mut rest = range.clone();
    core::iter::from_fn(move || {
        let part = space.layout().vmas.parts(&rest).next()?;
        rest.start = part.range.end;
        Some(part)
    })
}

/// Why a page was not brought in, to the caller of a system call.
const fn not_brought_in(fatal: Fatal) -> MapError {
    match fatal {
        Fatal::OutOfMemory => MapError::NoMemory,
        Fatal::Killed => MapError::Killed,
        _ => MapError::NotToBeHad,
    }
}

impl AddressSpace {
    /// Heeds the advice for what is mapped in `range`.
    ///
    /// # Errors
    /// [`MapError::NotMapped`] when part of it is not mapped; the rest was served. [`MapError::NotAllowed`] when the advice
    /// does not go with what is mapped.
    pub fn advise(&self, range: Range<u64>, advice: Advice) -> Result<(), MapError> {
        if range.is_empty() {
            return Ok(());
        }
        check(&range)?;
        if let Advice::Populate { write } = advice {
            return self.populate_as(range, write);
        }
        let is_private = |vma: &Vma<Arc<RmapLink>>| vma.object.is_none();
        let is_refused = |vma: &Vma<Arc<RmapLink>>| match advice {
            Advice::DontNeed | Advice::PageOut | Advice::Cold => vma.locked,
            Advice::Free => vma.locked || !is_private(vma),
            Advice::Remove => vma.locked || !vma.shared || !vma.protection.write,
            _ => false,
        };
        for vma in parts(self, &range).heed_kill() {
            let vma = vma?;
            // As on Linux, those before it have been served.
            if is_refused(&vma) {
                return Err(MapError::NotAllowed);
            }
            match advice {
                Advice::Nothing | Advice::Populate { .. } => {}
                Advice::DontNeed => {
                    // A fault that is under way must not map what it has found before.
                    self.tables.mappings_changed();
                    self.zap(vma.range.clone());
                }
                Advice::Remove => {
                    if let Some((link, object)) = vma.object.as_ref().and_then(|a| Some((a, a.object()?))) {
                        object.discard(link.index(vma.range.start)..link.index(vma.range.end));
                    }
                }
                Advice::Free => self.set_free(vma.range.clone())?,
                Advice::Cold => self.deactivate(vma.range.clone())?,
                Advice::PageOut => self.page_out(vma.range.clone())?,
                // A hint: what cannot be had is not needed yet.
                Advice::WillNeed => drop(self.bring_in_swapped(vma.range.clone())),
                Advice::Want(wanted) => self.layout().vmas.change(&vma.range, |vma| vma.wanted = wanted)?,
                Advice::Inherit(inherit) => {
                    self.layout().vmas.change(&vma.range, |vma| vma.not_inherited = !inherit)?;
                }
            }
        }
        if self.layout().vmas.covers(&range) { Ok(()) } else { Err(MapError::NotMapped) }
    }

    /// Calls `serve` with references to the folios of the pages in `range` that have one, a batch at a time, with nothing
    /// locked. With `forget_access`, only an access from now on counts as one.
    ///
    /// # Errors
    /// [`Killed`]; the rest was not served.
    fn for_each_batch(
        &self,
        range: Range<u64>,
        forget_access: bool,
        mut serve: impl FnMut(&mut FolioBatch),
    ) -> Result<(), Killed> {
        let mut walk = self.tables.walk(range);
        while let Some(run) = walk.next_run_unless_killed()? {
            let mut found = FolioBatch::new();
            for cell in run.iter() {
                if found.len() == BATCH {
                    walk.go_back_to(cell.address());
                    break;
                }
                if let Some(folio) = folio_frame(cell.bits()).and_then(Folio::try_from_frame) {
                    if forget_access {
                        cell.clear_accessed();
                    }
                    found.push(folio);
                }
            }
            drop(run);
            serve(&mut found);
        }
        Ok(())
    }

    fn page_out(&self, range: Range<u64>) -> Result<(), Killed> {
        let mut plug = Plug::default();
        self.for_each_batch(range, true, |batch| {
            // What others use too is left alone.
            batch.retain(|folio| folio::is_mapped_once(folio));
            lru::take(batch);
            page_out::page_out(batch, page_out::Asked::ByProgram, &mut plug);
        })
    }

    fn deactivate(&self, range: Range<u64>) -> Result<(), Killed> {
        let served = self.for_each_batch(range, true, |batch| {
            batch.iter().filter(|folio| folio::is_mapped_once(folio)).for_each(lru::look_soon);
        });
        translations::flush_user_everywhere();
        served
    }

    /// Private pages may be dropped unless they are written again: those in memory when it is short, what is in swap at once.
    fn set_free(&self, range: Range<u64>) -> Result<(), Killed> {
        self.tables.mappings_changed();
        self.zap_where(range.clone(), |pte| pte != 0 && !is_mapped(pte));
        self.for_each_batch(range, false, |batch| {
            batch.retain(|folio| folio::is_mapped_once(folio));
            page_out::free_lazily(batch);
        })
    }

    /// Brings the pages of `range` in; stops at the first that is not to be had and says why.
    fn bring_in(&self, range: Range<u64>, write: bool) -> Result<(), (u64, Fatal)> {
        for page in range.clone().step_by(PAGE_SIZE).heed_kill() {
            let page = page.map_err(|Killed| (range.start, Fatal::Killed))?;
            let pte = self.tables.bits(page);
            let is_wanted = match DecodedPte::decode(pte) {
                DecodedPte::None | DecodedPte::Entry(_) | DecodedPte::Poisoned(_) => true,
                _ => write && !page_tables::is_writable(pte),
            };
            if is_wanted {
                self.touch(page, write).map_err(|fatal| (page, fatal))?;
            }
        }
        Ok(())
    }

    /// Brings in those pages of `range` that are in swap; the others are not looked for one by one. Stops at the first that is
    /// not to be had.
    fn bring_in_swapped(&self, range: Range<u64>) -> Result<(), Fatal> {
        let mut rest = range;
        while let Some((page, _)) = self.tables.find_map(rest.clone(), Entry::from_pte) {
            self.touch(page, false)?;
            rest.start = page + PAGE;
        }
        Ok(())
    }

    fn touch(&self, page: u64, write: bool) -> Result<(), Fatal> {
        fault::serve(self, page, Access { write, execute: false, user: true }).map(drop)
    }

    /// Brings in what is mapped in `range`, to be written if it may; stops at the first page that is not to be had (Linux:
    /// `populate_vma_page_range`).
    pub(crate) fn populate(&self, range: Range<u64>) -> Result<(), Fatal> {
        parts(self, &range).into_iter().try_for_each(|vma| {
            if vma.protection.is_some() {
                let write = vma.is_written_privately();
                self.bring_in(vma.range, write).map_err(|(_, fatal)| fatal)
            } else {
                Err(Fatal::NotAllowed(vma.range.start))
            }
        })
    }

    /// Brings in all pages of `range` as if they were read, or written (Linux: `madvise_populate`).
    fn populate_as(&self, range: Range<u64>, write: bool) -> Result<(), MapError> {
        let mut reached = range.start;
        for Vma { range, protection, .. } in parts(self, &range) {
            if range.start != reached {
                break;
            }
            if !(if write { protection.write } else { protection.read }) {
                return Err(MapError::NotAllowed);
            }
            reached = range.end;
            self.bring_in(range, write).map_err(|(page, fatal)| match not_brought_in(fatal) {
                MapError::NotToBeHad if self.is_lost(page) => MapError::Poisoned,
                error => error,
            })?;
        }
        if reached == range.end { Ok(()) } else { Err(MapError::NotMapped) }
    }

    fn is_lost(&self, page: u64) -> bool {
        matches!(DecodedPte::decode(self.tables.bits(page)), DecodedPte::Poisoned(_))
    }

    /// Calls `report` with the index of each page of `range` that is in memory, up to the end of the mapping that it begins in
    /// (`mincore(2)`), and returns that. What has no page table is passed over, unless it is an object's.
    ///
    /// # Errors
    /// [`MapError::NotMapped`] when it begins in none.
    pub fn in_core(&self, range: Range<u64>, mut report: impl FnMut(usize)) -> Result<u64, MapError> {
        check(&range)?;
        let vma = parts(self, &range).next().filter(|vma| vma.range.start == range.start).ok_or(MapError::NotMapped)?;
        let end = vma.range.end;
        let index = |page: u64| ((page - range.start) / PAGE) as usize;
        let is_here =
            |pte: u64| is_mapped(pte) || Entry::from_pte(pte).is_some_and(|entry| swap::core().lookup(entry).is_some());
        let mut walk = self.tables.walk(vma.range.clone());
        while let Some(run) = walk.next_run() {
            run.iter().filter(|cell| is_here(cell.bits())).for_each(|cell| report(index(cell.address())));
        }
        if let Some((link, object)) = vma.object.as_ref().and_then(|a| Some((a, a.object()?))) {
            for page in vma.range.step_by(PAGE_SIZE) {
                if self.tables.bits(page) == 0 && object.is_resident(link.index(page)) {
                    report(index(page));
                }
            }
        }
        Ok(end)
    }

    /// Keeps the pages of `range` in memory, or does not any more, as far as it is mapped without a gap. Unless `lazily`, they
    /// are brought in; those that are have stay when one cannot be had.
    ///
    /// # Errors
    /// [`MapError::NotMapped`] when part of it is not mapped, [`MapError::LockLimit`] when the limit is reached,
    /// [`MapError::NotToBeHad`] when a page cannot be brought in.
    pub fn lock(&self, range: Range<u64>, lock: bool, lazily: bool) -> Result<(), MapError> {
        if range.is_empty() {
            return Ok(());
        }
        check(&range)?;
        let wanted = range.end;
        let range = {
            let mut layout = self.layout();
            let within = layout.vmas.totals_in(&range);
            if lock {
                self.admit(
                    &mut layout,
                    Totals::NONE,
                    Totals { locked: within.mapped - within.locked, ..Totals::NONE },
                )?;
            }
            let range = range.start..layout.vmas.covered_until(&range).min(range.end);
            let before = layout.vmas.totals().locked;
            layout.vmas.change(&range, |vma| vma.locked = lock)?;
            if before != layout.vmas.totals().locked {
                self.tables.mappings_changed();
                self.for_each_pte(range.clone(), |cell| cell.set_locked(lock));
            }
            range
        };
        self.for_each_batch(range.clone(), false, |batch| {
            for folio in batch {
                if lock {
                    lru::keep(folio);
                } else {
                    lru::unkeep(folio);
                }
            }
        })?;
        if range.end < wanted {
            return Err(MapError::NotMapped);
        }
        if lock && !lazily {
            self.populate(range).map_err(not_brought_in)?;
        }
        Ok(())
    }

    /// [`Self::lock`] for all that is mapped (`now`), as far as its pages can be had, and says what happens to what will be.
    ///
    /// # Errors
    /// [`MapError::LockLimit`] when the limit is reached; nothing changes.
    pub fn lock_all(&self, now: bool, later: LockNew, lazily: bool) -> Result<(), MapError> {
        {
            let mut layout = self.layout();
            if now && !self.is_within(Limit::Locked, layout.vmas.totals().mapped) {
                return Err(MapError::LockLimit);
            }
            layout.lock_new = later;
        }
        if now {
            // As on Linux, what is not to be had does not keep the rest from being locked.
            for range in self.ranges().heed_kill() {
                if self.lock(range?, true, lazily) == Err(MapError::Killed) {
                    return Err(MapError::Killed);
                }
            }
        }
        Ok(())
    }

    /// Nothing need stay in memory any more, nor what will be mapped.
    ///
    /// # Errors
    /// [`MapError::NoMemory`] when there is none to note it.
    pub fn unlock_all(&self) -> Result<(), MapError> {
        self.layout().lock_new = LockNew::No;
        self.ranges().heed_kill().try_for_each(|range| self.lock(range?, false, true))
    }

    fn ranges(&self) -> impl Iterator<Item = Range<u64>> {
        parts(self, &(0..USER_END)).map(|vma| vma.range)
    }

    /// Whether all of `range` is mapped.
    pub fn is_mapped(&self, range: &Range<u64>) -> bool {
        self.layout().vmas.covers(range)
    }

    /// Whether nothing of `range` is mapped.
    pub fn is_free(&self, range: &Range<u64>) -> bool {
        self.layout().vmas.is_free(range)
    }

    /// Whether something of `range` stays in memory.
    pub fn has_locked(&self, range: &Range<u64>) -> bool {
        self.layout().vmas.totals_in(range).locked > 0
    }
}
