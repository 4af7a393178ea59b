//! The simulated machine itself: what its processors remember, and how its threads take turns.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")]
#![allow(unsafe_code, reason = "page-table words are looked at as they are")]

mod mmu;
mod owners;
#[cfg(not(miri))]
mod schedules;
mod space;
mod threads;
