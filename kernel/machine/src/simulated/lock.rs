//! How the simulated machine's own structures are locked.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the machine's own structures are locked by: never while another thread gets its turn.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
