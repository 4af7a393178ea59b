//! Who writes to an object, and who executes it.

use core::sync::atomic::{AtomicI32, Ordering};

/// Who writes an object's bytes through a file, or who executes them: not both (Linux: `i_writecount`).
#[derive(Debug, Default)]
pub(crate) struct WriteCount(AtomicI32);

impl WriteCount {
    /// Counts one more by `step`, unless there are some of the other kind.
    pub(crate) fn enter(&self, step: i32) -> Result<(), Busy> {
        let next = |count: i32| if count.signum() == -step { None } else { count.checked_add(step) };
        let entered = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        entered.map(drop).map_err(|_| Busy)
    }

    /// Counts one less.
    pub(crate) fn leave(&self, step: i32) {
        self.0.fetch_sub(step, Ordering::AcqRel);
    }
}

/// An object is executed and cannot be written, or the other way round (Linux: `ETXTBSY`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;
