//! Charging a page to a cgroup whose limit may be reached: pages of it are reclaimed, or a process of it is killed.

use core::sync::atomic::Ordering;

use quire_machine::AllocationError;
use quire_machine::task::is_killed;

use crate::cgroup::counts::{CgroupEvent, STATES, is_swap_full, note, try_charge};
use crate::oom::{self, OomOutcome};
use crate::reclaim;
use crate::swap::leaving::{Patience, disables_swap};

/// Charges a page; reclaims in the cgroup whose limit is reached, has a `swapoff` give up that keeps its pages in memory, or
/// kills there.
///
/// # Errors
/// [`AllocationError`] when the caller is the one to go.
pub(crate) fn charge(number: u8) -> Result<(), AllocationError> {
    let mut patience = Patience::default();
    while let Err(full) = try_charge(number) {
        note(full, CgroupEvent::Max);
        if !is_killed() && reclaim::shrink_cgroup(full) {
            continue;
        }
        if !is_killed() && !is_swap_full(full) && patience.is_worth_it() {
            continue;
        }
        note(full, CgroupEvent::OutOfMemory);
        if is_killed() || disables_swap() || !kill_in(full, 1) || is_killed() {
            return Err(AllocationError);
        }
    }
    Ok(())
}

/// Has a process of the cgroup killed, unless `more` pages fit below its limit by now; `false` if there is none.
pub(crate) fn kill_in(number: u8, more: usize) -> bool {
    let state = &STATES[usize::from(number)];
    let fits = || state.current.load(Ordering::Acquire) + more <= state.max.load(Ordering::Relaxed);
    let verdict = oom::relieve(number, fits);
    if verdict == OomOutcome::Killed {
        note(number, CgroupEvent::Kill);
    }
    verdict != OomOutcome::NoVictim
}
