//! What each cgroup is charged, and its limits, by number: no more is done here than counting.

use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use quire_machine::event;
use quire_machine::frame::{Frame, Kind};
use quire_machine::physical;
use quire_machine::task::{self, scheduler};
use quire_machine::unique::UniqueFrame;
use quire_machine::watermark::Purpose;
use quire_protocol::observatory::Cgroups;
use quire_swap::{AllocateError, PAYER_MAX};

use super::held::Held;

/// The most cgroups at once, the root included: a slot's table entry has room for no greater number.
pub const MOST: usize = PAYER_MAX as usize + 1;
/// The number of the root cgroup.
pub const ROOT: u8 = 0;

/// What happened to a cgroup (Linux: `memory.events`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was about to exceed its limit (`max`).
    Max,
    /// Nothing in it could be reclaimed (`oom`).
    OutOfMemory,
    /// A process in it was killed for it (`oom_kill`).
    Kill,
    /// It was about to exceed its limit on swap (`memory.swap.events`: `max`).
    SwapMax,
    /// A page of it got no slot, for that limit or because there was none (`memory.swap.events`: `fail`).
    SwapFail,
    /// A task took a page while it had more in swap than it should (`memory.swap.events`: `high`).
    SwapHigh,
    /// A page of it began its way to its slot (`memory.stat`: `pswpout`).
    PageOut,
    /// A page of it was read from its slot (`memory.stat`: `pswpin`).
    PageIn,
}

impl Event {
    pub(crate) const COUNT: usize = 8;
}

pub(crate) struct State {
    pub(crate) is_used: AtomicBool,
    /// It is being removed: what would be charged to it is charged to its parent (`held.rs`).
    pub(crate) is_leaving: AtomicBool,
    pub(crate) parent: AtomicU8,
    /// Those who are about to charge something to it.
    pub(crate) holders: AtomicUsize,
    /// In pages, as are all limits.
    pub(crate) current: AtomicUsize,
    pub(crate) peak: AtomicUsize,
    pub(crate) swapped: AtomicUsize,
    pub(crate) swap_peak: AtomicUsize,
    pub(crate) max: AtomicUsize,
    pub(crate) swap_max: AtomicUsize,
    pub(crate) swap_high: AtomicUsize,
    pub(crate) events: [AtomicU64; Event::COUNT],
}

pub(crate) static STATES: [State; MOST] = [const {
    State {
        is_used: AtomicBool::new(false),
        is_leaving: AtomicBool::new(false),
        parent: AtomicU8::new(ROOT),
        holders: AtomicUsize::new(0),
        current: AtomicUsize::new(0),
        peak: AtomicUsize::new(0),
        swapped: AtomicUsize::new(0),
        swap_peak: AtomicUsize::new(0),
        max: AtomicUsize::new(usize::MAX),
        swap_max: AtomicUsize::new(usize::MAX),
        swap_high: AtomicUsize::new(usize::MAX),
        events: [const { AtomicU64::new(0) }; Event::COUNT],
    }
}; MOST];

/// Where they are, for those who look from outside.
pub(crate) fn layout() -> Cgroups {
    Cgroups {
        first: STATES.as_ptr().addr() as u64,
        count: STATES.len() as u64,
        bytes: size_of::<State>() as u64,
        is_used: offset_of!(State, is_used) as u64,
        parent: offset_of!(State, parent) as u64,
        current: offset_of!(State, current) as u64,
        peak: offset_of!(State, peak) as u64,
        swapped: offset_of!(State, swapped) as u64,
        max: offset_of!(State, max) as u64,
        swap_max: offset_of!(State, swap_max) as u64,
        events: offset_of!(State, events) as u64,
    }
}

/// Takes a frame for the kernel to keep, charged to the cgroup of the thread that runs this; `None` also when that has reached
/// its limit.
pub fn allocate(kind: Kind) -> Option<UniqueFrame> {
    let cgroup = Held::new(current);
    try_charge(cgroup.number()).inspect_err(|full| note(*full, Event::Max)).ok()?;
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

pub(crate) fn note(number: u8, event: Event) {
    if event == Event::Max {
        event::note(event::Kind::CgroupLimit, number.into(), 0);
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
    for charged in upwards(number) {
        let state = &STATES[usize::from(charged)];
        let after = state.current.fetch_add(1, Ordering::AcqRel) + 1;
        if after > state.max.load(Ordering::Relaxed) {
            for undone in upwards(number) {
                STATES[usize::from(undone)].current.fetch_sub(1, Ordering::AcqRel);
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

/// The cgroup, of this one and its ancestors, whose limit leaves no more room than a program's own pages are to have beside
/// what the kernel keeps: without any, a program that is refused more could not go on to give something up.
pub(crate) fn lacks_room(number: u8) -> Option<u8> {
    const ROOM: usize = 64;
    upwards(number).find(|number| {
        let state = &STATES[usize::from(*number)];
        let max = state.max.load(Ordering::Relaxed);
        state.current.load(Ordering::Acquire).saturating_add(ROOM.min(max / 16)) > max
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
                give_slots_back(upwards(number).take(charged), slots);
                note(number, Event::SwapMax);
                note(number, Event::SwapFail);
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
    give_slots_back(upwards(number), slots);
}

fn give_slots_back(cgroups: impl Iterator<Item = u8>, slots: usize) {
    for number in cgroups {
        STATES[usize::from(number)].swapped.fetch_sub(slots, Ordering::AcqRel);
    }
}

/// A page of the frame's cgroup got no slot; that its limit was reached was noted already.
pub(crate) fn note_no_slot(frame: &Frame, error: AllocateError) {
    if error != AllocateError::OverLimit {
        note(frame.cgroup.load(Ordering::Relaxed), Event::SwapFail);
    }
}

/// The page in the frame with this number moves to its slot, or has come from there.
pub(crate) fn note_moved(frame: u64, event: Event) {
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
