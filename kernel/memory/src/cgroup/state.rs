//! What is known of each cgroup, by number.

use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize};

use quire_protocol::observatory::Cgroups;
use quire_swap::PAYER_MAX;

/// The most cgroups at once, the root included: a slot's table entry has bits for no greater number.
pub const MOST: usize = PAYER_MAX as usize + 1;
/// The number of the root cgroup.
pub const ROOT: u8 = 0;

/// What happened to a cgroup (Linux: `memory.events`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupEvent {
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

impl CgroupEvent {
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
    pub(crate) events: [AtomicU64; CgroupEvent::COUNT],
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
        events: [const { AtomicU64::new(0) }; CgroupEvent::COUNT],
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
