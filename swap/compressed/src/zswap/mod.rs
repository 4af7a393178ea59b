//! zswap: a compressed cache in memory before the areas that want it (Linux: `mm/zswap.c`), and what keeps the pages of
//! areas that have no storage of their own (Linux: ghost swap, virtual swap).
//!
//! [`Zswap::start`] puts it before swap. From then on an area has zswap before it if its pages go to the block backend, its
//! device is slower than memory, and the parameter `enabled` was set when the area was; a ghost area always has. What
//! compresses to less than `max_compressed_percent` of a page is stored, all else goes to the area's own backend, and is not
//! compressed again until it is written. The coldest pages go there later: [`Zswap::shrink`].
//!
//! # Where the page of a slot is
//!
//! Two numbers say it: the slot's entry in the swap table, which is the core's, and its metadata, 64 bits, which are zswap's
//! and exist only in clusters in use. With both a used slot costs 16 bytes; a slot of another area with the page costs its
//! own 8 in addition.
//!
//! | metadata | free | in the cache | in no frame, zero | in no frame |
//! |---|---|---|---|---|
//! | nowhere | free | only in memory, or on its way out; or on the disk's own slot | zero page | on the disk's own slot; **never in a ghost area** |
//! | same, pool | **never** | in memory and stored | **never** | stored |
//! | slot | **never** | in memory and on the other slot, or on its way there | **never** | on the other slot |
//! | packed | **never** | in memory and on the own slot | **never** | on the own slot |
//! | lost | **never** | **never** | **never** | could not be read when its area went: reading fails |
//!
//! "Slot" and "lost" are there in ghost areas only, "packed" only before a disk. Only the following changes the metadata:
//!
//! | what | from | to |
//! |---|---|---|
//! | a write | any | same, pool; slot, if refused and an area with a disk has a free one; nowhere, if refused |
//! | a write that finds the page zero | any | nowhere |
//! | a load | same, pool | the same, of the youngest generation; nowhere, if memory is short and the folio dirty then |
//! | writeback | pool | slot, packed or nowhere, when the bytes are on the disk; else as it was |
//! | `swapoff` of the other slot's area | slot | nowhere, and the folio dirty; lost, if it cannot be read |
//! | the slot is freed | any | free |
//!
//! # What owns what
//!
//! The metadata owns the object in the pool, or the other slot, that it names, which is freed when it is replaced. The other
//! slot's table entry points back, and says in what form the page is there before it is written.
//!
//! Only a task that has the slot's folio in the cache, locked or under writeback, changes the metadata. So writeback and
//! `swapoff` put a locked folio, not up to date, into the cache first: a fault waits for its lock and then looks again, and
//! the slot is neither written nor freed meanwhile. Freeing is the one change without a folio, when there is none.
//!
//! A load keeps the stored copy, which is right whatever becomes of the folio. It takes the copy over only by making the
//! folio dirty first, since a clean folio may be dropped.
//!
//! # Memory
//!
//! The pool has at most `max_pool_percent` of memory. Once that is reached, nothing is stored until writeback or freeing
//! has brought it down to `accept_threshold_percent` of that. Without a disk nothing is written back: pages are refused,
//! and stay in memory.

mod age;
mod attributes;
mod cache;
mod frontswap;
mod ghost;
mod location;
mod ops;
mod settings;
mod shrink;
mod statistics;

pub use attributes::{ATTRIBUTES, Directory, ZswapError};
pub use cache::{Whereabouts, Zswap};
