//! The time-stamp counter: nanoseconds since the machine was started.

use std::sync::atomic::{AtomicU64, Ordering};

static NOW: AtomicU64 = AtomicU64::new(0);

/// How much it counts in a second.
pub(super) const FREQUENCY: u64 = 1_000_000_000;

/// What it says.
pub(super) fn now() -> u64 {
    NOW.load(Ordering::Relaxed)
}

/// Sets it.
pub(super) fn set(now: u64) {
    NOW.store(now, Ordering::Relaxed);
}
