//! Time since boot, by the time-stamp counter, and timed sleeps, by the timer interrupt.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use intrusive_collections::LinkedList;
use quire_drivers::real_time_clock;

use super::scheduler::{self, current};
use super::thread::{SleepAdapter, Thread};
use crate::sync::{Rank, SpinLock};

/// Timer interrupts a second; also the time slice.
pub const TICKS_PER_SECOND: u32 = 250;
/// The time from one timer interrupt to the next.
pub const TICK: Duration = Duration::from_nanos(1_000_000_000 / TICKS_PER_SECOND as u64);

static BOOT: AtomicU64 = AtomicU64::new(0);
static PER_SECOND: AtomicU64 = AtomicU64::new(0);
/// The time of the boot, in nanoseconds since 1970.
static BOOT_SINCE_1970: AtomicU64 = AtomicU64::new(0);
static SLEEPERS: SpinLock<LinkedList<SleepAdapter>> = SpinLock::new(Rank::Sleepers, LinkedList::new(SleepAdapter::NEW));

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

/// Time since the beginning of 1970 UTC, as far as somebody has set it.
pub fn since_1970() -> Duration {
    since_boot() + Duration::from_nanos(BOOT_SINCE_1970.load(Ordering::Relaxed))
}

/// The time since boot at which it is this long since the beginning of 1970; zero for what was before.
pub fn to_since_boot(since_1970: Duration) -> Duration {
    since_1970.saturating_sub(Duration::from_nanos(BOOT_SINCE_1970.load(Ordering::Relaxed)))
}

/// Sets the time by the machine's clock, which nothing else uses; if there is none, the boot was in 1970.
pub fn read_clock() {
    // SAFETY: this is called once, at the start, and nothing else uses the clock.
    if let Some(seconds) = unsafe { real_time_clock::read() } {
        set_since_1970(Duration::from_secs(seconds));
    }
}

/// Sets the time since the beginning of 1970 UTC; times before the boot become the boot's.
pub fn set_since_1970(now: Duration) {
    BOOT_SINCE_1970.store(nanoseconds(now.saturating_sub(since_boot())), Ordering::Relaxed);
}

/// As many nanoseconds as a word holds.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Time since `start`, an earlier time since boot.
pub fn since(start: Duration) -> Duration {
    since_boot().saturating_sub(start)
}

/// The timer interrupt: wakes whoever has slept long enough.
pub fn tick() {
    let now = since_boot().as_nanos() as u64;
    let mut sleepers = SLEEPERS.lock();
    let mut cursor = sleepers.front_mut();
    while let Some(thread) = cursor.get() {
        if thread.wake_at.load(Ordering::Relaxed) > now {
            cursor.move_next();
        } else if let Some(thread) = cursor.remove() {
            // Not the last reference, whose end is no work for an interrupt: the alarm that put it here has another.
            scheduler::unpark(&thread);
        }
    }
}

/// While it lives, the current thread is unparked at a deadline. A thread has one alarm at a time.
pub(super) struct Alarm {
    thread: Arc<Thread>,
}

impl Alarm {
    pub(super) fn new(deadline: Duration) -> Self {
        let thread = current();
        thread.wake_at.store(nanoseconds(deadline), Ordering::Relaxed);
        SLEEPERS.lock().push_back(Arc::clone(&thread));
        Self { thread }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        let mut sleepers = SLEEPERS.lock();
        if self.thread.sleep_link.is_linked() {
            // SAFETY: the thread's link is only used for this list, which is locked.
            unsafe { sleepers.cursor_mut_from_ptr(Arc::as_ptr(&self.thread)) }.remove();
        }
    }
}

/// Sleeps for `duration`.
pub fn sleep(duration: Duration) {
    let deadline = since_boot() + duration;
    while since_boot() < deadline {
        let _alarm = Alarm::new(deadline);
        scheduler::park();
    }
}
