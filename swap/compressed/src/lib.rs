//! Backends of the swap core that keep pages in memory, compressed: the [`store`], which both rest on, [`zram`], a block
//! device, and [`zswap`], a cache before other areas.
//!
//! They run on a [`PoolMachine`]: a [`Machine`](quire_swap::Machine) that has frames for the pool as well.
//!
//! # The way of a page
//!
//! The core's way ([`quire_swap`]) comes here at `submit_write`, `submit_read` and `slot_free_notify`.
//!
//! | | through zswap | through zram | file |
//! |---|---|---|---|
//! | out | `Layer::submit_write`, `Zswap::write` | `ZramDisk::submit_write`, [`ZramDisk::write`](zram::ZramDisk::write) | `zswap/ops.rs`; `zram/ops.rs`, `zram/disk.rs` |
//! | a page that repeats 8 bytes is those; any other is compressed | `Store::store_within` | [`Store::store`](store::Store::store) | `store/mod.rs`, `store/codec.rs` |
//! | and becomes an object in a zspage of its size class | `Pool::insert` | `Pool::insert` | `store/pool.rs`, `store/zspage.rs` |
//! | the slot says where it is | its metadata: `Zswap::replace` | the device's slot: `SlotGuard::replace` | `zswap/cache.rs`, `zswap/location.rs`; `zram/slot.rs` |
//! | what is refused | goes to the backend below, or a slot of another area: `Zswap::write_elsewhere` | stays in memory: [`IoError::NoSpace`](quire_swap::IoError) | `zswap/ops.rs` |
//! | later, to a disk | [`Zswap::shrink`](zswap::Zswap::shrink) | `ZramDisk::write_back` | `zswap/shrink.rs`; `zram/writeback.rs` |
//! | in | `Layer::submit_read`, `Zswap::fetch` | `ZramDisk::submit_read`, [`ZramDisk::read`](zram::ZramDisk::read) | `zswap/ops.rs`, `zswap/cache.rs`; `zram/ops.rs`, `zram/disk.rs` |
//! | the slot is freed | `Zswap::release` | `ZramDisk::slot_freed` | `zswap/cache.rs`; `zram/disk.rs` |
//!
//! # What owns what
//!
//! | value | owns | released by |
//! |---|---|---|
//! | [`Object`](store::Object) | an object in the pool; the value itself is a number, kept with one slot | [`Store::free`](store::Store::free), once |
//! | a slot's metadata of zswap | an object, or a slot of another area | being replaced, or freeing the slot |
//!
//! # Locks
//!
//! A task takes locks in falling order of rank. All of them spin, none is held while sleeping or across I/O. The first three
//! rank above all of the core's ([`quire_swap::Rank`]), the others below.
//!
//! | lock | guards | taken by |
//! |---|---|---|
//! | control, one | which zram devices there are | adding, removing and finding them |
//! | zram, one for each device | its settings | its attributes |
//! | zswap, one | what it reads blocks into | reading from a disk what lies with others |
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
mod level;
mod machine;
mod ranks;
pub mod store;
pub mod zram;
pub mod zswap;

pub use attribute::{Access, boolean, leading_size, size};
pub use machine::{PoolLayout, PoolMachine, StoredBy};
