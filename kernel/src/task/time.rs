//! Time since boot, by the time-stamp counter, and timed sleeps, by the timer interrupt.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use super::Thread;
use super::scheduler::{self, current};
use crate::sync::{Rank, SpinLock};

/// Timer interrupts a second; also the time slice.
pub const TICKS_PER_SECOND: u32 = 250;

/// The most threads that can sleep until a time at once.
const ALARMS: usize = 32;

static BOOT: AtomicU64 = AtomicU64::new(0);
static PER_SECOND: AtomicU64 = AtomicU64::new(0);
static TICKS: AtomicU64 = AtomicU64::new(0);
/// Who sleeps until when.
type Sleeper = Option<(Duration, Arc<Thread>)>;
static SLEEPERS: SpinLock<[Sleeper; ALARMS]> = SpinLock::new(Rank::Sleepers, [const { None }; ALARMS]);

/// The time-stamp counter.
pub fn counter() -> u64 {
    // SAFETY: every x86-64 processor has the counter, and the kernel may read it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Notes when time begins.
pub fn begin() {
    BOOT.store(counter(), Ordering::Relaxed);
}

/// Notes how fast the counter counts; until then, time stands still at zero.
pub fn set_counter_frequency(per_second: u64) {
    PER_SECOND.store(per_second, Ordering::Relaxed);
}

/// Time since boot.
pub fn since_boot() -> Duration {
    let per_second = PER_SECOND.load(Ordering::Relaxed);
    if per_second == 0 {
        return Duration::ZERO;
    }
    let elapsed = counter().saturating_sub(BOOT.load(Ordering::Relaxed));
    let nanoseconds = u128::from(elapsed) * 1_000_000_000 / u128::from(per_second);
    Duration::from_nanos(nanoseconds as u64)
}

/// Time since `start`, an earlier time since boot.
pub fn since(start: Duration) -> Duration {
    since_boot().saturating_sub(start)
}

/// Timer interrupts so far.
pub fn ticks() -> u64 {
    TICKS.load(Ordering::Relaxed)
}

/// The timer interrupt: wakes whoever has slept long enough.
pub fn tick() {
    TICKS.fetch_add(1, Ordering::Relaxed);
    let now = since_boot();
    for sleeper in SLEEPERS.lock().iter_mut() {
        if sleeper.as_ref().is_some_and(|(deadline, _)| *deadline <= now)
            && let Some((_, thread)) = sleeper.take()
        {
            scheduler::unpark(&thread);
            // Dropping a thread is no work for an interrupt; the alarm that set this holds another reference.
            debug_assert!(Arc::strong_count(&thread) > 1);
        }
    }
}

/// While it lives, the current thread is unparked at a deadline.
pub(super) struct Alarm {
    place: Option<usize>,
    thread: Arc<Thread>,
}

impl Alarm {
    /// Sets the alarm. With more than [`ALARMS`] sleepers, later ones are only woken by what they wait for.
    pub(super) fn new(deadline: Duration) -> Self {
        let thread = current();
        let mut sleepers = SLEEPERS.lock();
        let place = sleepers.iter().position(Option::is_none);
        if let Some(place) = place {
            sleepers[place] = Some((deadline, Arc::clone(&thread)));
        }
        Self { place, thread }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let mut sleepers = SLEEPERS.lock();
        let own = sleepers[place].as_ref().is_some_and(|(_, thread)| Arc::ptr_eq(thread, &self.thread));
        let _rung = if own { sleepers[place].take() } else { None };
    }
}

/// Sleeps for `duration`.
pub fn sleep(duration: Duration) {
    let deadline = since_boot() + duration;
    while since_boot() < deadline {
        let alarm = Alarm::new(deadline);
        if alarm.place.is_some() {
            scheduler::park();
        } else {
            scheduler::yield_now();
        }
    }
}
