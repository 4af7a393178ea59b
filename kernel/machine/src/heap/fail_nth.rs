//! Failing the n-th allocation of a task, so that a test can see what becomes of each of them (Linux: `fault-injection.rst`,
//! `/proc/PID/fail-nth`). Only in builds with debug assertions.
//!
//! What counts is each question whether memory may be had, and each block of the heap that the task takes. A block that was
//! asked for, and taken by a way that cannot fail, is taken while this is [`Suspended`].

use core::sync::atomic::{AtomicU32, Ordering};

use crate::arch::cpu;

/// Whether the allocation that the running task is about to make is to fail.
pub fn fails_now() -> bool {
    cfg!(debug_assertions) && cpu::with_running(|running| running.fail_nth.is_over()) == Some(true)
}

/// While it lives, the running task's allocations neither fail nor count.
pub struct Suspended(());

impl Suspended {
    /// From now on.
    pub fn begin() -> Self {
        Self::change(|suspended| suspended.fetch_add(1, Ordering::Relaxed));
        Self(())
    }

    fn change(change: fn(&AtomicU32) -> u32) {
        if cfg!(debug_assertions) {
            cpu::with_running(|running| change(&running.fail_nth.suspended));
        }
    }
}

impl Drop for Suspended {
    fn drop(&mut self) {
        Self::change(|suspended| suspended.fetch_sub(1, Ordering::Relaxed));
    }
}
