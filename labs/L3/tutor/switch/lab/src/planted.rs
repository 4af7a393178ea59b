//! The core with the bugs.

pub use quire_swap::planted::plant;
