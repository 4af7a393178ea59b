//! Each simulated processor's own data.
//!
//! A thread of the host that runs no processor, as that of a test without a [`Machine`](super::Machine), has data of its own: pure
//! code that asks what its thread may take, or takes a lock, finds it anywhere.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::arch::per_cpu::{MAX_CPUS, PerCpu};

/// A processor.
pub(super) struct State {
    data: PerCpu,
    pub(super) interrupts_off: AtomicBool,
    /// A thread became ready since it last went idle.
    pub(super) woken: AtomicBool,
}

impl State {
    const fn new() -> Self {
        Self { data: PerCpu::new(), interrupts_off: AtomicBool::new(false), woken: AtomicBool::new(false) }
    }
}

static PROCESSORS: [State; MAX_CPUS] = [const { State::new() }; MAX_CPUS];
thread_local! {
    /// The processor that this thread of the host runs, if any.
    static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    static OF_NONE: &'static State = Box::leak(Box::new(State::new()));
}

/// The processor that the thread of the host runs.
pub(super) fn number() -> Option<usize> {
    NUMBER.get()
}

/// Lets the thread of the host run another processor, or none.
pub(super) fn set_number(number: Option<usize>) {
    NUMBER.set(number);
}

/// Whether this runs on the machine, and not in a test without one.
pub(crate) fn is_of_machine() -> bool {
    number().is_some()
}

pub(super) fn state() -> &'static State {
    match number() {
        Some(number) => &PROCESSORS[number],
        None => OF_NONE.with(|state| *state),
    }
}

/// Every processor.
pub(super) fn all() -> &'static [State] {
    &PROCESSORS
}

/// Makes them as at the start; the caller runs the first.
pub(super) fn start() {
    for (number, state) in PROCESSORS.iter().enumerate() {
        state.data.reset(number as u32);
        state.interrupts_off.store(false, Ordering::Relaxed);
        state.woken.store(false, Ordering::Relaxed);
    }
    set_number(Some(0));
}

/// The processor that runs this.
#[inline]
pub fn this() -> &'static PerCpu {
    &state().data
}

impl PerCpu {
    /// Makes the kernel be entered on the stack that ends at `top`: there is no entry.
    pub(crate) fn set_kernel_stack(&self, top: u64) {
        self.kernel_stack.store(top, Ordering::Relaxed);
    }

    /// As at the start.
    fn reset(&self, number: u32) {
        self.number.store(number, Ordering::Relaxed);
        self.preemption_off.store(0, Ordering::Relaxed);
        self.set_held_ranks(0);
        let _ = self.take_reschedule();
        // SAFETY: null is no thread.
        unsafe { self.set_current(std::ptr::null_mut(), std::ptr::null()) };
    }
}

/// Keeps the current thread on this processor, running, until [`enable_preemption`].
#[inline]
pub fn disable_preemption() {
    this().preemption_off.fetch_add(1, Ordering::Relaxed);
}

/// Takes back one [`disable_preemption`].
#[inline]
pub fn enable_preemption() {
    this().preemption_off.fetch_sub(1, Ordering::Relaxed);
}
