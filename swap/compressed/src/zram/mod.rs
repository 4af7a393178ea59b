//! zram: a block device whose pages are compressed in memory (Linux: `drivers/block/zram`).
//!
//! [`Control`] has the devices. A device ([`Zram`]) is made ready by its attributes, which [`Zram::store`] and
//! [`Zram::show`] take and give as text; with a size it is a [`ZramDisk`], which can be read and written page by page, by
//! swap through [`SwapOps`](quire_swap::SwapOps) or by block requests through [`Disk`](quire_swap::Disk).
//!
//! A slot of a swap area is the page of the same number on the device. The table of slots has 16 bytes for each, and has
//! its parts only where pages were written.
//!
//! With a backing device, pages that are not worth their memory can be written to it ([`Zram::store`] of `writeback`); they
//! are read from there when they are wanted: one that is wanted alone by a request of its own, several at once by a request for
//! each run of blocks that they lie in (`gather.rs`).
//!
//! What stays for long can be compressed again by a stronger algorithm ([`Zram::store`] of `recompress`).
//!
//! # Locks
//!
//! Each slot has its own lock, a bit: two slots never wait for one another. A page is compressed before its slot is
//! locked, and replaces the old one only when it is stored, so a write that fails changes nothing. Reading decompresses
//! under the slot's lock, and marks the slot accessed under the same. Swap's notice that a slot is free comes under other
//! locks and only tries; a slot that is busy keeps its page until it is written again, and is counted as missed.

mod algorithms;
mod attributes;
mod backing;
mod control;
mod disk;
mod error;
mod gather;
mod gathered;
mod ops;
mod recompress;
mod slot;
mod statistics;
mod writeback;

pub use attributes::{ATTRIBUTES, OpenZram, Zram};
pub use control::Control;
pub use disk::ZramDisk;
pub use error::ZramError;
pub use ops::ZRAM;
