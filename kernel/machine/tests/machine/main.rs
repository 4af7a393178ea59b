//! The simulated machine itself: what its processors remember, and how its threads take turns.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")]

mod mmu;
#[cfg(not(miri))]
mod schedules;
mod space;
mod threads;
