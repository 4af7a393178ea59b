//! Frames for pages that tasks wait for: an allocation that reclaims, waits, and has a process killed when nothing else helps.

use core::sync::atomic::Ordering;

use quire_machine::AllocationError;
use quire_machine::physical;
use quire_machine::task::{self, is_killed};
use quire_machine::watermark::Purpose;

use crate::accessed;
use crate::cgroup::charge;
use crate::cgroup::counts;
use crate::counters::COUNTERS;
use crate::folio::NewFolio;
use crate::oom::{self, Verdict};
use crate::reclaim::Effort;
use crate::swap::leaving::{Patience, disables_swap};

/// Takes a frame for a page that a task waits for, and charges the task's cgroup; reclaims and sleeps if it must, and
/// has a process killed when nothing can be reclaimed.
///
/// # Errors
/// [`AllocationError`] when nothing helps, or the task's own process is the one that was killed.
pub fn wait_for_frame() -> Result<NewFolio, AllocationError> {
    let cgroup = counts::current();
    accessed::settle(cgroup);
    if cgroup != counts::ROOT {
        charge::charge(cgroup)?;
    }
    let folio = take_frame().inspect_err(|AllocationError| counts::uncharge(cgroup))?;
    folio.metadata().cgroup.store(cgroup, Ordering::Relaxed);
    Ok(folio)
}

/// Takes a frame for a page that may be wanted soon, if there is one and the cgroup may have it.
pub fn frame_if_free() -> Option<NewFolio> {
    let cgroup = counts::current();
    counts::try_charge(cgroup).ok()?;
    let Some(folio) = NewFolio::allocate(Purpose::Task) else {
        counts::uncharge(cgroup);
        return None;
    };
    folio.metadata().cgroup.store(cgroup, Ordering::Relaxed);
    Some(folio)
}

#[inline]
fn take_frame() -> Result<NewFolio, AllocationError> {
    if physical::free_frames() >= physical::watermarks().low
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
    if physical::free_frames() < physical::watermarks().low {
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
            // A task that disables an area just does not get the frame.
            let is_over = || effort.has_news();
            let is_refused = disables_swap()
                || if task::works_for_process() {
                    oom::relieve(counts::ROOT, is_over) == Verdict::NoVictim
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
pub fn make_room() {
    if physical::free_frames() < physical::watermarks().min {
        make_room_slowly();
    }
}

#[inline(never)]
fn make_room_slowly() {
    /// More than a call takes that is not refused.
    const PASSES: usize = 8;
    COUNTERS.direct.fetch_add(1, Ordering::Relaxed);
    let mut effort = Effort::default();
    for _ in 0..PASSES {
        if physical::free_frames() >= physical::watermarks().low || effort.shrink().looked_at == 0 {
            break;
        }
    }
}
