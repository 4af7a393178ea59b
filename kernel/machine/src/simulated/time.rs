//! The clock, which moves when it is told to, or when all processors are idle: then to when the first sleeper wants to be woken.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::interrupts;
use crate::task::time::{next_deadline, tick};

/// Nanoseconds since the machine was started.
static NOW: AtomicU64 = AtomicU64::new(0);

/// How much the counter counts in a second.
pub(super) const FREQUENCY: u64 = 1_000_000_000;

/// The time-stamp counter.
pub(super) fn counter() -> u64 {
    NOW.load(Ordering::Relaxed)
}

/// Begins at zero.
pub(super) fn start() {
    NOW.store(0, Ordering::Relaxed);
    crate::clock::begin();
    crate::clock::set_counter_frequency(FREQUENCY);
}

/// Lets time pass, with a tick at the end.
pub fn advance(duration: Duration) {
    NOW.fetch_add(crate::clock::nanoseconds(duration), Ordering::Relaxed);
    interrupt();
}

/// Lets time pass until a sleeper is woken; whether there is one.
pub(super) fn pass() -> bool {
    let Some(deadline) = next_deadline() else { return false };
    NOW.fetch_max(crate::clock::nanoseconds(deadline), Ordering::Relaxed);
    interrupt();
    true
}

/// The timer's interrupt, which none comes into.
fn interrupt() {
    let were_on = interrupts::are_enabled();
    interrupts::disable();
    tick();
    if were_on {
        interrupts::enable();
    }
}
