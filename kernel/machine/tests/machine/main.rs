//! The simulated machine itself: what its processors remember, and how its threads take turns.

mod mmu;
mod schedules;
mod space;
mod threads;
