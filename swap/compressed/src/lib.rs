//! Backends of the swap core that keep pages in memory, compressed: the [`store`], which both rest on, [`zram`], a block
//! device, and [`zswap`], a cache before other areas.
//!
//! They run on a [`PoolMachine`]: a [`Machine`](quire_swap::Machine) that has frames for the pool as well.
//!
//! # What owns what
//!
//! | value | owns | released by |
//! |---|---|---|
//! | [`Object`](store::Object) | an object in the pool; the value itself is a number, kept in one slot's entry | [`Store::free`](store::Store::free), once |
//! | a slot's 64 bits of zswap | an object, or a slot of another area | other bits, or freeing the slot |
//!
//! # Locks
//!
//! A task takes locks in falling order of rank. All of them spin, none is held while sleeping or across I/O. The first two
//! rank above all of the core's ([`quire_swap::Rank`]), the others below.
//!
//! | lock | guards | taken by |
//! |---|---|---|
//! | control, one | which zram devices there are | adding, removing and finding them |
//! | zram, one for each device | its settings | its attributes |
//! | slot, one for each slot of a zram device | the slot | reading, writing and freeing it |
//! | workspace, one for each processor and store | what it compresses with | storing and loading |
//! | class, one for each size class of a store | its zspages and their lists | storing, freeing, compaction |
//! | numbers, two for each store | the handles and zspages that are free | as above |

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")
)]

extern crate alloc;

mod attribute;
mod killed;
mod machine;
mod ranks;
pub mod store;
pub mod zram;
pub mod zswap;

pub use attribute::{Access, boolean, leading_size};
pub use machine::PoolMachine;
