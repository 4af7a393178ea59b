//! What a simulated processor does while it spins or is idle.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::flow::{self, Flow};
use super::lock::locked;
pub(crate) use super::processor::is_of_machine;
use super::processor::{self, number, state};
pub use super::processor::{disable_preemption, enable_preemption, this};
use super::{context, counter, interrupt_flag};
pub use crate::arch::per_cpu::{MAX_CPUS, PerCpu};
use crate::running::Running;

/// The most processors that a machine has.
pub const MOST_PROCESSORS: usize = 4;

/// Those that are idle, with their numbers; and how many there are in all.
static IDLE: Mutex<(Vec<(usize, Flow)>, usize)> = Mutex::new((Vec::new(), 0));

/// How often a processor has spun since a thread became ready.
static TURNS: AtomicU32 = AtomicU32::new(0);
/// So many, and time passes.
const TURNS_TO_WAIT: u32 = if cfg!(miri) { 10 } else { 10_000 };

/// Lets time pass until a sleeper is woken; whether there is one.
static PASS: Mutex<Option<fn() -> bool>> = Mutex::new(None);

/// Makes `count` processors, of which the caller runs the first. When all wait, `pass` lets time pass until a sleeper is woken, and
/// says whether there is one.
pub(super) fn start(count: usize, pass: fn() -> bool) {
    processor::start();
    *locked(&IDLE) = (Vec::new(), count);
    *locked(&PASS) = Some(pass);
    TURNS.store(0, Ordering::Relaxed);
}

fn pass() -> bool {
    let pass = *locked(&PASS);
    pass.is_some_and(|pass| pass())
}

/// Calls `look` with what is known here of the running thread; `None` before threads are started.
#[inline]
pub fn with_running<R>(look: impl FnOnce(&Running) -> R) -> Option<R> {
    this().with_running(look)
}

/// Waits until `lock` is free, and takes it.
///
/// # Panics
/// When the lock is held and no other processor can release it.
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
        let may_be_interrupted = interrupt_flag::are_enabled() && this().held_ranks() == 0 && this().preemption_is_on();
        let time_passes = turns.is_multiple_of(TURNS_TO_WAIT) && may_be_interrupted && pass();
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

/// The time-stamp counter: nanoseconds.
pub fn counter() -> u64 {
    counter::now()
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
    for state in processor::all() {
        state.woken.store(true, Ordering::Relaxed);
    }
    let idle = std::mem::take(&mut locked(&IDLE).0);
    for (_, flow) in idle {
        flow.wake();
    }
}

/// Switches interrupts on and waits for one.
pub fn enable_and_hlt() {
    interrupt_flag::enable();
    halt();
}

/// Waits for an interrupt: until a thread is ready, or a sleeper is woken.
///
/// # Panics
/// When all processors wait, and nothing will ever come.
fn halt() {
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
            assert!(pass(), "every thread waits for another, and no timer will wake one");
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
