//! Which of the bugs that were planted in this copy of the core is awake: none, or one.

use core::sync::atomic::{AtomicU32, Ordering};

static AWAKE: AtomicU32 = AtomicU32::new(0);

/// Wakes the bug of this number; 0 is none.
pub fn plant(number: u32) {
    AWAKE.store(number, Ordering::Relaxed);
}

pub(crate) fn is(number: u32) -> bool {
    AWAKE.load(Ordering::Relaxed) == number
}
