//! The student's crate. `ram_disk.rs` is to be written; this file, `memory.rs` and `main.rs` are given.
//!
//! The code here is the kind that a kernel has: there are `core`, `alloc` and the swap core, and no `std`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod memory;
pub mod ram_disk;

/// Slots of a bank of the RAM disk: a transfer is within one.
pub const BANK_SLOTS: u32 = 16;
