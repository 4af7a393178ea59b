//! The interrupt flag. Under shuttle, the timer may interrupt whenever it is set.

use std::sync::Mutex;
use std::sync::atomic::Ordering;

use super::flow;
use super::lock::locked;
use super::processor::{is_of_machine, state, this};

/// Lets another thread run, at the end of an interrupt.
static PREEMPT: Mutex<Option<fn()>> = Mutex::new(None);

/// Every interrupt ends in `preempt`.
pub(super) fn start(preempt: fn()) {
    *locked(&PREEMPT) = Some(preempt);
}

/// Whether interrupts are on.
pub fn are_enabled() -> bool {
    !state().interrupts_off.load(Ordering::Relaxed)
}

/// Switches them off.
pub fn disable() {
    state().interrupts_off.store(true, Ordering::Relaxed);
}

/// Switches them on. A tick that has waited comes now.
pub fn enable() {
    state().interrupts_off.store(false, Ordering::Relaxed);
    if is_of_machine() && flow::chance(8) {
        this().request_reschedule();
        let preempt = *locked(&PREEMPT);
        if let Some(preempt) = preempt {
            preempt();
        }
    }
}
