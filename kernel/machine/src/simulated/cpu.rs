//! Each simulated processor's own data; what a processor does while it spins or is idle.
//!
//! A thread of the host that runs no processor, as that of a test without a [`Machine`](super::Machine), has data of its own: pure
//! code that asks what its thread may take, or takes a lock, finds it anywhere.

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use quire_swap::header::Page;

use super::flow::{self, Flow};
use super::{context, interrupts, locked, time};
pub use crate::arch::per_cpu::{MAX_CPUS, PerCpu, with_running};

/// The most processors that a machine has.
pub const MOST_PROCESSORS: usize = 4;

/// A processor.
pub(super) struct State {
    data: PerCpu,
    pub(super) interrupts_off: AtomicBool,
    /// A thread became ready since it last went idle.
    woken: AtomicBool,
}

impl State {
    const fn new() -> Self {
        Self { data: PerCpu::new(), interrupts_off: AtomicBool::new(false), woken: AtomicBool::new(false) }
    }
}

static PROCESSORS: [State; MAX_CPUS] = [const { State::new() }; MAX_CPUS];
/// Those that are idle, with their numbers; and how many there are in all.
static IDLE: Mutex<(Vec<(usize, Flow)>, usize)> = Mutex::new((Vec::new(), 0));

/// How often a processor has spun since a thread became ready.
static TURNS: AtomicU32 = AtomicU32::new(0);
/// So many, and time passes.
const TURNS_TO_WAIT: u32 = if cfg!(miri) { 10 } else { 10_000 };

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

/// Makes `count` processors, of which the caller runs the first.
pub(super) fn start(count: usize) {
    for (number, state) in PROCESSORS.iter().enumerate() {
        state.data.reset(number as u32);
        state.interrupts_off.store(false, Ordering::Relaxed);
        state.woken.store(false, Ordering::Relaxed);
    }
    *locked(&IDLE) = (Vec::new(), count);
    TURNS.store(0, Ordering::Relaxed);
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

/// Waits until `lock` is free, and takes it.
///
/// # Panics
/// When the lock is held and no other processor can give it back.
pub fn spin<T>(lock: &spin::Mutex<T>) -> spin::MutexGuard<'_, T> {
    overtaken();
    loop {
        if let Some(guard) = lock.try_lock() {
            return guard;
        }
        assert!(
            !is_of_machine() || flow::is_exploring(),
            "the only processor waits for a lock that is held: by a thread that sleeps, or by this one"
        );
        relax();
    }
}

/// Called while spinning: another processor goes on. Time passes for those who spin for long, until a sleeper is woken.
///
/// # Panics
/// When no other processor could end the wait, and no sleeper.
pub fn relax() {
    flow::turn(true);
    if is_of_machine() {
        let turns = TURNS.fetch_add(1, Ordering::Relaxed) + 1;
        let may_be_interrupted = interrupts::are_enabled() && this().held_ranks() == 0 && this().preemption_is_on();
        let time_passes = turns.is_multiple_of(TURNS_TO_WAIT) && may_be_interrupted && time::pass();
        assert!(
            time_passes || flow::is_exploring() || turns < TURNS_TO_WAIT * 100,
            "the only processor spins for what no other can change"
        );
    }
}

/// A point at which another processor may be faster.
pub fn overtaken() {
    flow::turn(false);
}

/// Fills a page with zeros.
pub(crate) fn clear(page: &mut Page) {
    page.fill(0);
}

/// The time-stamp counter: nanoseconds.
pub fn counter() -> u64 {
    time::counter()
}

/// A word from the processor's generator: it has none, so that the same test finds the same numbers.
pub(crate) const fn random_word() -> Option<u64> {
    None
}

/// A thread is ready to run: the processors that are idle look for it.
pub fn wake_idle() {
    if !is_of_machine() {
        return;
    }
    TURNS.store(0, Ordering::Relaxed);
    for state in &PROCESSORS {
        state.woken.store(true, Ordering::Relaxed);
    }
    let idle = std::mem::take(&mut locked(&IDLE).0);
    for (_, flow) in idle {
        flow.wake();
    }
}

/// Waits for an interrupt: until a thread is ready, or a sleeper is woken.
///
/// # Panics
/// When all processors wait, and nothing will ever come.
pub(super) fn halt() {
    let number = number().expect("an idle processor has a number");
    let me = Flow::current();
    while !state().woken.swap(false, Ordering::Relaxed) {
        let all_are_idle = {
            let mut idle = locked(&IDLE);
            if idle.0.iter().all(|(other, _)| *other != number) {
                idle.0.push((number, me.clone()));
            }
            let all_are_idle = idle.0.len() == idle.1;
            if all_are_idle {
                // Not while it serves the timer: another one that looks then would find that nothing will come.
                idle.0.retain(|(other, _)| *other != number);
            }
            all_are_idle
        };
        if all_are_idle {
            assert!(time::pass(), "every thread waits for another, and no timer will wake one");
            continue;
        }
        if !state().woken.load(Ordering::Relaxed) {
            flow::wait();
            context::end_if_stopped();
        }
    }
    locked(&IDLE).0.retain(|(other, _)| *other != number);
}

/// Whether all processors but the one that asks are idle.
pub(super) fn others_are_idle() -> bool {
    let idle = locked(&IDLE);
    idle.0.len() + 1 >= idle.1
}

/// Wakes the idle processors, for the end of the machine.
pub(super) fn take_idle() -> Vec<Flow> {
    std::mem::take(&mut locked(&IDLE).0).into_iter().map(|(_, flow)| flow).collect()
}
