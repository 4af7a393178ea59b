//! The alarms of all processes.
//!
//! The timer interrupt looks at the earliest deadline of all; only when that has passed does it go over
//! the processes, to send what is due and to find the next deadline.

use core::sync::atomic::{AtomicU64, Ordering};

use quire_machine::clock;

use super::alarm::Alarm;
use super::control_block::Process;
use super::signal::{Info, Signal};
use super::table;

const NEVER: u64 = u64::MAX;

/// The earliest deadline in nanoseconds since boot, or an earlier time.
static EARLIEST: AtomicU64 = AtomicU64::new(NEVER);

/// The alarm of `process`.
pub fn get(process: &Process) -> Alarm {
    process.alarm.get()
}

/// Gives `process` another alarm; returns the one that it had.
pub fn set(process: &Process, alarm: Alarm) -> Alarm {
    let before = process.alarm.replace(alarm);
    note(alarm);
    before
}

fn note(alarm: Alarm) {
    if let Some(deadline) = alarm.deadline {
        EARLIEST.fetch_min(u64::try_from(deadline.as_nanos()).unwrap_or(NEVER), Ordering::AcqRel);
    }
}

/// Sends the alarms that are due. Called by the timer interrupt.
pub fn tick() {
    let now = clock::since_boot();
    if EARLIEST.load(Ordering::Acquire) > now.as_nanos() as u64 {
        return;
    }
    // Forgotten before the processes are looked at: what is set meanwhile is noted as it is set.
    EARLIEST.store(NEVER, Ordering::Release);
    table::for_each(|process| {
        let (due, next) = process.alarm.update(|alarm| {
            let due = alarm.deadline.is_some_and(|deadline| deadline <= now);
            if due {
                // Those that were missed meanwhile are one.
                alarm.deadline = (!alarm.interval.is_zero()).then(|| now.saturating_add(alarm.interval));
            }
            (due, *alarm)
        });
        note(next);
        if due {
            // Not a real-time signal, so there is room; and it continues no process, so the parent need not know.
            let _ = process.add_signal(Signal::SIGALRM, Info::Kernel);
        }
    });
}
