//! The student's crate. `mirror.rs` is to be written; this file, `disk.rs`, `pieces.rs` and `main.rs` are given.
//!
//! The code here is the kind that a kernel has: there are `core`, `alloc` and the swap core, and no `std`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod disk;
pub mod mirror;
pub mod pieces;
