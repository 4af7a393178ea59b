//! The clocks: time since boot, by the time-stamp counter, and the time of day.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

pub use crate::arch::cpu::counter;

/// Timer interrupts a second; also the time slice.
pub const TICKS_PER_SECOND: u32 = 250;
/// The time from one timer interrupt to the next.
pub const TICK: Duration = Duration::from_nanos(1_000_000_000 / TICKS_PER_SECOND as u64);

static BOOT: AtomicU64 = AtomicU64::new(0);
static PER_SECOND: AtomicU64 = AtomicU64::new(0);
/// The time of the boot, in nanoseconds since 1970.
static BOOT_SINCE_1970: AtomicU64 = AtomicU64::new(0);

/// Notes when time begins.
pub fn begin() {
    BOOT.store(counter(), Ordering::Relaxed);
}

/// Notes how fast the counter counts; until then, time stands still at zero.
pub fn set_counter_frequency(per_second: u64) {
    PER_SECOND.store(per_second, Ordering::Relaxed);
}

/// How fast the counter counts, in ticks a second; 0 until that is known.
pub fn counter_frequency() -> &'static AtomicU64 {
    &PER_SECOND
}

/// Time since boot.
#[inline]
pub fn since_boot() -> Duration {
    let per_second = PER_SECOND.load(Ordering::Relaxed);
    if per_second == 0 {
        return Duration::ZERO;
    }
    let elapsed = counter().saturating_sub(BOOT.load(Ordering::Relaxed));
    let nanoseconds = u128::from(elapsed) * 1_000_000_000 / u128::from(per_second);
    Duration::from_nanos(nanoseconds as u64)
}

/// Time since the beginning of 1970 UTC, as far as it was set.
pub fn since_1970() -> Duration {
    since_boot() + Duration::from_nanos(BOOT_SINCE_1970.load(Ordering::Relaxed))
}

/// The time since boot at which it is this long since the beginning of 1970; zero for what was before.
pub fn to_since_boot(since_1970: Duration) -> Duration {
    since_1970.saturating_sub(Duration::from_nanos(BOOT_SINCE_1970.load(Ordering::Relaxed)))
}

/// Sets the time by the machine's clock, which nothing else uses; if there is none, the boot was in 1970.
#[cfg(target_os = "none")]
pub fn read_clock() {
    // SAFETY: this is called once, at the start, and nothing else uses the clock.
    if let Some(seconds) = unsafe { quire_drivers::real_time_clock::read() } {
        set_since_1970(Duration::from_secs(seconds));
    }
}

/// Sets the time since the beginning of 1970 UTC; times before the boot become the boot's.
pub fn set_since_1970(now: Duration) {
    BOOT_SINCE_1970.store(nanoseconds(now.saturating_sub(since_boot())), Ordering::Relaxed);
}

/// As many nanoseconds as a word holds.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Time since `start`, an earlier time since boot.
pub fn since(start: Duration) -> Duration {
    since_boot().saturating_sub(start)
}
