//! The number of a cgroup, kept from going to another one while something is about to be charged to it.
//!
//! A cgroup that is being removed is charged no more: its number stands for its nearest ancestor that stays (Linux:
//! `parent_mem_cgroup` at swap-in). [`Cgroup`](super::Cgroup)'s end waits for those who held it before.

use core::sync::atomic::Ordering;

use super::state::{ROOT, STATES, State};

/// A cgroup's number, held. Dropping it lets the cgroup go.
pub(crate) struct Held(u8);

#[inline]
fn state(number: u8) -> &'static State {
    &STATES[usize::from(number)]
}

/// The cgroup, or the nearest that it is in which stays.
fn lasting(mut number: u8) -> u8 {
    while number != ROOT && state(number).is_leaving.load(Ordering::SeqCst) {
        number = state(number).parent.load(Ordering::Relaxed);
    }
    number
}

impl Held {
    /// Holds the cgroup that `read` names, which may name another at any moment until it is held.
    #[inline]
    pub(crate) fn new(read: impl Fn() -> u8) -> Self {
        loop {
            let number = read();
            if number == ROOT {
                return Self(ROOT);
            }
            let held = Self::count(lasting(number));
            if lasting(read()) == held.0 {
                return held;
            }
        }
    }

    fn count(number: u8) -> Self {
        if number != ROOT {
            state(number).holders.fetch_add(1, Ordering::SeqCst);
        }
        Self(number)
    }

    /// The number.
    #[inline]
    pub(crate) const fn number(&self) -> u8 {
        self.0
    }
}

impl Drop for Held {
    #[inline]
    fn drop(&mut self) {
        if self.0 != ROOT {
            state(self.0).holders.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
