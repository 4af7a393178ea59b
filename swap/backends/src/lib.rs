//! Backends of the swap core that the header of an area names: [`log`] and [`crypt`].
//!
//! # How an area gets one
//!
//! A kernel registers [`LogType`] and [`CryptType`] at boot
//! ([`Swap::register_type`](quire_swap::Swap::register_type)). The [`extension`](quire_swap::extension) of a header names a type,
//! the version of what it stores, and its options as `key=value,...`; the caller that enables the area may change options
//! ([`SwapOnOptions::backend`](quire_swap::SwapOnOptions)). A type, version, option or value that is not known refuses the
//! area. Neither backend stores anything that outlives a `swapoff`, so every option may be changed then.
//!
//! | type | option | value | |
//! |---|---|---|---|
//! | `log` | `reserve` | 5 to 50, usually 15 | percent of the pages that get no slots |
//! | | `segment` | a power of two from 32 to 65536, usually 2048 | KiB of a segment |
//! | `crypt` | `over` | a type, usually `block` | the backend that keeps the encrypted pages, which gets all other options |
//!
//! # How they stand one before another
//!
//! A backend hands the batches that it was given on to the one below, and changes what only that one and the disk see: `crypt`
//! the data ([`WriteBatch::stand_in`](quire_swap::WriteBatch::stand_in)), `log` where it goes
//! ([`WriteBatch::place`](quire_swap::WriteBatch::place), [`ReadBatch::place_each`](quire_swap::ReadBatch::place_each)). Both have
//! themselves told when a folio's I/O is over ([`Watcher`](quire_swap::Watcher)).
//!
//! # The way of a page
//!
//! | station | function | file |
//! |---|---|---|
//! | `log`: a slot behind the last one; a page of a segment for its data | `Log::allocate_slots`, `Segments::take` | `log/ops.rs`, `log/segments.rs` |
//! | `log`: out, behind what was written last; segments are emptied when few are left | `Log::submit_write`, `Map::make_space` | `log/ops.rs`, `log/clean.rs` |
//! | `log`: in, from where it was written last | `Log::submit_read` | `log/ops.rs` |
//! | `crypt`: out, as a sealed copy in a folio of the backend's | `Crypt::submit_write`, `Keeper::seal` | `crypt.rs` |
//! | `crypt`: in, opened and checked in its place | `Crypt::submit_read`, `Keeper::open` | `crypt.rs` |
//!
//! # Locks
//!
//! One, `log`'s segments, at [`Rank::Backend1`](quire_swap::Rank): under the core's, as slots are freed under those.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")
)]

extern crate alloc;

pub mod crypt;
pub mod log;

pub use crypt::CryptType;
pub use log::LogType;
