//! The interrupt flag. Under shuttle, the timer may interrupt whenever it is set.

use std::sync::atomic::Ordering;

use super::{cpu, flow};
use crate::task;

/// Whether interrupts are on.
pub fn are_enabled() -> bool {
    !cpu::state().interrupts_off.load(Ordering::Relaxed)
}

/// Switches them off.
pub fn disable() {
    cpu::state().interrupts_off.store(true, Ordering::Relaxed);
}

/// Switches them on. A tick that has waited comes now.
pub fn enable() {
    cpu::state().interrupts_off.store(false, Ordering::Relaxed);
    if cpu::is_of_machine() && flow::chance(8) {
        cpu::this().request_reschedule();
        task::preempt();
    }
}

/// Switches them on and waits for one.
pub fn enable_and_hlt() {
    enable();
    cpu::halt();
}
