//! A value that is made once for each start of the machine.

use std::any::Any;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::flow;
use super::lock::locked;

/// How often the machine was started.
static STARTS: AtomicU64 = AtomicU64::new(0);

/// Everything that was made for an earlier start is forgotten.
pub(super) fn forget_all() {
    STARTS.fetch_add(1, Ordering::Relaxed);
}

/// As `spin::Once`, with a value for each start of the machine: a value of an earlier start is as if it had not been made. It
/// is never dropped, since references to it may live on.
#[derive(Debug)]
pub struct Once<T: 'static>(Mutex<Option<(u64, &'static T)>>);

impl<T: Any + Send + Sync> Once<T> {
    /// Without a value.
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The value, if it was made since the start.
    pub fn get(&self) -> Option<&'static T> {
        locked(&self.0).filter(|(start, _)| *start == STARTS.load(Ordering::Relaxed)).map(|(_, value)| value)
    }

    /// The value, which `make` makes if it was not made since the start.
    pub fn call_once(&self, make: impl FnOnce() -> T) -> &'static T {
        if let Some(value) = self.get() {
            return value;
        }
        let value = Box::leak(Box::new(make()));
        *locked(&self.0) = Some((STARTS.load(Ordering::Relaxed), value));
        value
    }

    /// As [`Self::call_once`], with a `make` that can fail.
    ///
    /// # Errors
    /// What `make` returns; there is no value then.
    pub fn try_call_once<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<&'static T, E> {
        match self.get() {
            Some(value) => Ok(value),
            None => make().map(|value| self.call_once(|| value)),
        }
    }

    /// The value, once another thread has made it.
    pub fn wait(&self) -> &'static T {
        loop {
            match self.get() {
                Some(value) => return value,
                None => flow::turn(true),
            }
        }
    }

    /// Whether the value was made since the start.
    pub fn is_completed(&self) -> bool {
        self.get().is_some()
    }
}

impl<T: Any + Send + Sync> Default for Once<T> {
    fn default() -> Self {
        Self::new()
    }
}
