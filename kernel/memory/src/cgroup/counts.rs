//! What each cgroup is charged, and its limits, by number: no more is done here than counting.

use core::sync::atomic::{AtomicU8, Ordering};

use quire_machine::event;
use quire_machine::frame::{Frame, Kind};
use quire_machine::physical;
use quire_machine::task::{self, scheduler};
use quire_machine::unique::UniqueFrame;
use quire_machine::watermark::Purpose;
use quire_swap::AllocateError;

use super::held::Held;
pub(crate) use super::state::{CgroupEvent, MOST, ROOT, STATES};

/// Takes a frame for the kernel to keep, charged to the cgroup of the thread that runs this; `None` also when that has reached
/// its limit.
pub fn allocate(kind: Kind) -> Option<UniqueFrame> {
    let cgroup = Held::new(current);
    try_charge(cgroup.number()).inspect_err(|full| note(*full, CgroupEvent::Max)).ok()?;
    let Some(frame) = UniqueFrame::allocate(0, kind, Purpose::Kernel) else {
        uncharge(cgroup.number());
        return None;
    };
    physical::frames()[frame.number().index()].cgroup.store(cgroup.number(), Ordering::Relaxed);
    Some(frame)
}

/// Frees a frame from [`allocate`].
pub fn free(frame: UniqueFrame) {
    uncharge(physical::frames()[frame.number().index()].cgroup.swap(ROOT, Ordering::AcqRel));
    drop(frame);
}

/// Cgroups have numbers up to this.
static LAST: AtomicU8 = AtomicU8::new(ROOT);

/// Cgroups have, and had, numbers up to this.
pub(crate) fn last() -> u8 {
    LAST.load(Ordering::Relaxed)
}

/// A cgroup has that number from now on.
pub(crate) fn note_number(number: u8) {
    LAST.fetch_max(number, Ordering::Relaxed);
}

/// The cgroup and its ancestors, but for the root.
pub(crate) fn upwards(number: u8) -> impl Iterator<Item = u8> {
    let next = |number: u8| (number != ROOT).then_some(number);
    core::iter::successors(next(number), move |number| {
        next(STATES[usize::from(*number)].parent.load(Ordering::Relaxed))
    })
}

/// How many pages the cgroup is charged.
pub(crate) fn pages(number: u8) -> usize {
    STATES[usize::from(number)].current.load(Ordering::Relaxed)
}

/// Whether the cgroup is `ancestor` or in it.
pub(crate) fn is_within(number: u8, ancestor: u8) -> bool {
    ancestor == ROOT || upwards(number).any(|number| number == ancestor)
}

pub(crate) fn note(number: u8, event: CgroupEvent) {
    if event == CgroupEvent::Max {
        event::note(event::EventKind::CgroupLimit, number.into(), 0);
    }
    for number in upwards(number) {
        STATES[usize::from(number)].events[event as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// The cgroup of the thread that runs this.
#[inline]
pub(crate) fn current() -> u8 {
    scheduler::with_current(task::Thread::memory_cgroup).unwrap_or(ROOT)
}

/// Charges a page, unless a limit is reached.
///
/// # Errors
/// The cgroup whose limit is reached.
pub(crate) fn try_charge(number: u8) -> Result<(), u8> {
    try_charge_pages(number, 1)
}

/// The same for several pages, or none of them.
///
/// # Errors
/// As for [`try_charge`].
#[inline]
pub(crate) fn try_charge_pages(number: u8, pages: usize) -> Result<(), u8> {
    for charged in upwards(number) {
        let state = &STATES[usize::from(charged)];
        let after = state.current.fetch_add(pages, Ordering::AcqRel) + pages;
        if after > state.max.load(Ordering::Relaxed) {
            for undone in upwards(number) {
                STATES[usize::from(undone)].current.fetch_sub(pages, Ordering::AcqRel);
                if undone == charged {
                    break;
                }
            }
            return Err(charged);
        }
        state.peak.fetch_max(after, Ordering::Relaxed);
    }
    Ok(())
}

/// The cgroup, of this one and its ancestors, whose limit leaves no more space than a program's own pages are to have beside
/// what the kernel keeps: without any, a program that is refused more could not go on to give something up.
pub(crate) fn lacks_space(number: u8) -> Option<u8> {
    const SPACE: usize = 64;
    upwards(number).find(|number| {
        let state = &STATES[usize::from(*number)];
        let max = state.max.load(Ordering::Relaxed);
        state.current.load(Ordering::Acquire).saturating_add(SPACE.min(max / 16)) > max
    })
}

/// The cgroup's parent has this page of it from now on, which was charged both.
pub(crate) fn leave_to_parent(number: u8) {
    STATES[usize::from(number)].current.fetch_sub(1, Ordering::AcqRel);
}

/// Takes the charge of a page back.
#[inline]
pub(crate) fn uncharge(number: u8) {
    for number in upwards(number) {
        STATES[usize::from(number)].current.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Charges slots of swap for what is in the frame to its cgroup (Linux: `mem_cgroup_try_charge_swap`); returns its number, or
/// `None` if the limit of the cgroup or of one that it is in does not allow it.
pub(crate) fn charge_swap(frame: &Frame, slots: usize) -> Option<u8> {
    loop {
        let number = frame.cgroup.load(Ordering::Acquire);
        let mut charged = 0;
        for payer in upwards(number) {
            let state = &STATES[usize::from(payer)];
            charged += 1;
            let after = state.swapped.fetch_add(slots, Ordering::AcqRel) + slots;
            if after > state.swap_max.load(Ordering::Relaxed) {
                lower_swapped(upwards(number).take(charged), slots);
                note(number, CgroupEvent::SwapMax);
                note(number, CgroupEvent::SwapFail);
                return None;
            }
            state.swap_peak.fetch_max(after, Ordering::Relaxed);
        }
        // Its cgroup may have gone meanwhile, and left it to its parent.
        if frame.cgroup.load(Ordering::Acquire) == number {
            return Some(number);
        }
        uncharge_swap(number, slots);
    }
}

/// Slots that the cgroup was charged for are free.
pub(crate) fn uncharge_swap(number: u8, slots: usize) {
    lower_swapped(upwards(number), slots);
}

fn lower_swapped(cgroups: impl Iterator<Item = u8>, slots: usize) {
    for number in cgroups {
        STATES[usize::from(number)].swapped.fetch_sub(slots, Ordering::AcqRel);
    }
}

/// A page of the frame's cgroup got no slot; that its limit was reached was noted already.
pub(crate) fn note_no_slot(frame: &Frame, error: AllocateError) {
    if error != AllocateError::OverLimit {
        note(frame.cgroup.load(Ordering::Relaxed), CgroupEvent::SwapFail);
    }
}

/// The page in the frame with this number moves to its slot, or has come from there.
pub(crate) fn note_moved(frame: u64, event: CgroupEvent) {
    if let Some(frame) = physical::frames().get(frame as usize) {
        note(frame.cgroup.load(Ordering::Relaxed), event);
    }
}

/// Whether a limit keeps another page of the cgroup from going to swap.
pub(crate) fn is_swap_full(number: u8) -> bool {
    upwards(number).any(|number| {
        let state = &STATES[usize::from(number)];
        state.swapped.load(Ordering::Relaxed) >= state.swap_max.load(Ordering::Relaxed)
    })
}
