//! The clock, which moves when it is told to, or when all processors are idle: then to when the first sleeper wants to be woken.

use std::time::Duration;

use super::{counter, interrupt_flag as interrupts};
use crate::task::time::{next_deadline, tick};

/// Begins at zero.
pub(super) fn start() {
    counter::set(0);
    crate::clock::begin();
    crate::clock::set_counter_frequency(counter::FREQUENCY);
}

/// Lets time pass, with a tick at the end.
pub fn advance(duration: Duration) {
    counter::set(counter::now().saturating_add(crate::clock::nanoseconds(duration)));
    interrupt();
}

/// Lets time pass until a sleeper is woken; whether there is one.
pub(super) fn pass() -> bool {
    let Some(deadline) = next_deadline() else { return false };
    counter::set(counter::now().max(crate::clock::nanoseconds(deadline)));
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
