//! Frames for pages that tasks wait for: an allocation that reclaims, waits, and has a process killed when nothing else helps.

use core::sync::atomic::Ordering;

use quire_machine::AllocationError;
use quire_machine::physical;
use quire_machine::task::{self, is_killed};
use quire_machine::watermark::Purpose;
use quire_swap::Entry;

use crate::accessed;
use crate::cgroup::held::Held;
use crate::cgroup::{charge, counts, throttle};
use crate::counters::COUNTERS;
use crate::folio::NewFolio;
use crate::large_folio::{LARGE_PAGES, NoLargeFolio};
use crate::oom::{self, OomOutcome};
use crate::reclaim::Effort;
use crate::swap;
use crate::swap::leaving::{Patience, disables_swap};

/// Whether so few frames are free that a task that takes one reclaims for itself.
#[inline]
fn are_short() -> bool {
    physical::free_frames() < physical::watermarks().low
}

/// Takes a frame for a page that a task waits for, and charges the task's cgroup; reclaims and sleeps if it must, and
/// has a process killed when nothing can be reclaimed.
///
/// # Errors
/// [`AllocationError`] when nothing helps, or the task's own process is the one that was killed.
pub fn wait_for_frame() -> Result<NewFolio, AllocationError> {
    let cgroup = Held::new(counts::current);
    accessed::settle(cgroup.number());
    if cgroup.number() != counts::ROOT {
        charge::charge(cgroup.number())?;
    }
    let folio = charged(&cgroup, take_frame)?;
    let number = cgroup.number();
    // A cgroup that is to be removed does not wait for this.
    drop(cgroup);
    throttle::after_charge(number);
    Ok(folio)
}

/// Waits until a frame can be had, for an allocation that cannot wait itself: the next attempt will find one.
///
/// # Errors
/// As for [`wait_for_frame`].
pub(crate) fn wait_for_any() -> Result<(), AllocationError> {
    wait_for_frame().map(drop)
}

/// [`wait_for_frame`] for the page in a slot, which the slot's cgroup is charged for, as it was when the page left.
///
/// That was `payer` a moment ago. The task's own pays where the slot's cannot: it is full, and has no process that could be ended for
/// it, or an area is being disabled, for which no process is ended. On Linux the task would try for ever.
///
/// # Errors
/// As for [`wait_for_frame`].
pub(crate) fn wait_for_frame_of(entry: Entry, payer: u8) -> Result<NewFolio, AllocationError> {
    // The root stays the payer of what it pays for.
    let owner = Held::new(|| if payer == counts::ROOT { payer } else { swap::core().payer(entry) });
    if owner.number() == counts::current() {
        drop(owner);
        return wait_for_frame();
    }
    accessed::settle(owner.number());
    let is_charged = if disables_swap() {
        counts::try_charge(owner.number()).is_ok()
    } else {
        charge::charge(owner.number()).is_ok()
    };
    if is_charged {
        return charged(&owner, take_frame);
    }
    drop(owner);
    if is_killed() { Err(AllocationError) } else { wait_for_frame() }
}

/// Takes a frame for the page in a slot, which may be wanted soon, if there is one and the slot's cgroup may have it.
pub(crate) fn frame_if_free(entry: Entry) -> Option<NewFolio> {
    let owner = Held::new(|| swap::core().payer(entry));
    counts::try_charge(owner.number()).ok()?;
    charged(&owner, || NewFolio::allocate(Purpose::Task).ok_or(AllocationError)).ok()
}

/// Takes the frames of a large folio for a task, and charges the task's cgroup. Where a task that wants a page shares the work of
/// `kswapd`, so does this one: a page that is refused here has fifteen beside it that come one by one then.
///
/// # Errors
/// [`NoLargeFolio`]
pub(crate) fn large_folio() -> Result<[NewFolio; LARGE_PAGES], NoLargeFolio> {
    if are_short() {
        COUNTERS.direct.fetch_add(1, Ordering::Relaxed);
        Effort::default().try_once();
    }
    large_folio_for(counts::current)
}

/// The same for the pages in slots for which one cgroup pays, which is charged for them, as it was when they left. Only one of them is
/// wanted for certain: nothing is reclaimed for the others.
///
/// # Errors
/// [`NoLargeFolio`]
pub(crate) fn large_folio_of(first: Entry) -> Result<[NewFolio; LARGE_PAGES], NoLargeFolio> {
    if are_short() {
        return Err(NoLargeFolio::Memory);
    }
    large_folio_for(|| swap::core().payer(first))
}

fn large_folio_for(cgroup: impl Fn() -> u8) -> Result<[NewFolio; LARGE_PAGES], NoLargeFolio> {
    let cgroup = Held::new(cgroup);
    let number = cgroup.number();
    accessed::settle(number);
    let folios = charged_large(&cgroup)?;
    drop(cgroup);
    if number != counts::ROOT && number == counts::current() {
        (0..LARGE_PAGES).for_each(|_| throttle::after_charge(number));
    }
    Ok(folios)
}

fn charged_large(cgroup: &Held) -> Result<[NewFolio; LARGE_PAGES], NoLargeFolio> {
    let folios = NewFolio::allocate_large(Purpose::Task).ok_or(NoLargeFolio::Memory)?;
    let number = cgroup.number();
    counts::try_charge_pages(number, LARGE_PAGES).map_err(|_| NoLargeFolio::Charge)?;
    for folio in &folios {
        folio.metadata().cgroup.store(number, Ordering::Relaxed);
    }
    Ok(folios)
}

/// Takes a frame that the cgroup is charged for already.
#[inline]
fn charged(
    cgroup: &Held,
    take: impl FnOnce() -> Result<NewFolio, AllocationError>,
) -> Result<NewFolio, AllocationError> {
    let number = cgroup.number();
    let folio = take().inspect_err(|AllocationError| counts::uncharge(number))?;
    folio.metadata().cgroup.store(number, Ordering::Relaxed);
    Ok(folio)
}

#[inline]
fn take_frame() -> Result<NewFolio, AllocationError> {
    if !are_short()
        && let Some(folio) = NewFolio::allocate(Purpose::Task)
    {
        return Ok(folio);
    }
    reclaim_for_frame()
}

#[inline(never)]
fn reclaim_for_frame() -> Result<NewFolio, AllocationError> {
    let mut patience = Patience::default();
    let mut effort = Effort::default();
    if are_short() {
        // A task that takes frames faster than `kswapd` frees them shares its work, so that some are left for readahead.
        COUNTERS.direct.fetch_add(1, Ordering::Relaxed);
        effort.shrink();
    }
    loop {
        if let Some(folio) = NewFolio::allocate(Purpose::Task) {
            return Ok(folio);
        }
        if is_killed() {
            return Err(AllocationError);
        }
        if effort.is_hopeless() {
            effort.plug.submit();
            // Where an area is being emptied nothing can go: that gives up before a task has to die for it.
            if patience.is_worth_it() {
                effort.in_vain = 0;
                continue;
            }
            // A task that disables an area just does not get the frame. Not all frames that come free are news: the last reference to
            // a page that was taken away may be that of a task which was just looking at it (Linux: `__alloc_pages_may_oom`, which
            // tries once more).
            let is_over = || effort.has_news() || physical::free_frames() > physical::watermarks().floor(Purpose::Task);
            let is_refused = disables_swap()
                || if task::works_for_process() {
                    oom::relieve(counts::ROOT, is_over) == OomOutcome::NoVictim
                } else {
                    oom::give_up_own(is_over)
                };
            if is_refused {
                return Err(AllocationError);
            }
            effort.in_vain = 0;
            continue;
        }
        COUNTERS.direct.fetch_add(1, Ordering::Relaxed);
        effort.try_once();
    }
}

/// Before a task makes the kernel keep something: if what the kernel keeps has come out of the reserve, reclaims some, as nothing can
/// be reclaimed where it is taken. Costs nothing while memory is not that short.
#[inline]
pub fn refill_reserve() {
    if physical::free_frames() < physical::watermarks().min {
        refill_reserve_slowly();
    }
}

#[inline(never)]
fn refill_reserve_slowly() {
    /// More than a call takes that is not refused.
    const PASSES: usize = 8;
    COUNTERS.direct.fetch_add(1, Ordering::Relaxed);
    let mut effort = Effort::default();
    for _ in 0..PASSES {
        if !are_short() || effort.shrink().looked_at == 0 {
            break;
        }
    }
}
