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
//! and exist only in clusters in use. With both a used slot costs 16 bytes, and before a disk one more; a slot of another area with the
//! page costs its own 8 in addition.
//!
//! | metadata | free | in the cache | in no frame, zero | in no frame |
//! |---|---|---|---|---|
//! | nowhere | free | only in memory, or on its way out; or on the disk's own slot | zero page | on the disk's own slot; **never in a ghost area** |
//! | same, pool | **never** | in memory and stored | **never** | stored |
//! | slot | **never** | in memory and on the other slot, or on its way there | **never** | on the other slot |
//! | part | **never** | in memory, and on other slots or pages of the own disk with others; or being read | **never** | there |
//! | page | **never** | in memory and on a page of the own disk | **never** | there |
//! | lost | **never** | **never** | **never** | could not be read when its area went: reading fails |
//!
//! "Slot" and "lost" are there in ghost areas only, "page" only before a disk. Only the following changes the metadata:
//!
//! | what | from | to |
//! |---|---|---|
//! | a write | any | same, pool; refused, nowhere, or a slot that an area with a disk has free, or a page if others have its own |
//! | a write that finds the page zero | any | nowhere |
//! | a load | same, pool | the same, of the youngest generation; nowhere, if memory is short and the folio dirty then |
//! | writeback | pool | slot, part, page or nowhere, when the bytes are on the disk; else as it was |
//! | a load of another part of its block | part | pool, of the youngest generation, if that takes more |
//! | `swapoff` of the other slot's area | slot, part | nowhere, and the folio dirty; lost, if it cannot be read |
//! | the slot is freed | any | free |
//!
//! # What owns what
//!
//! The metadata owns the object in the pool, or its part of the disk, that it names, which is freed when it is replaced. The other
//! slot's table entry points back, and says in what form the page is there before it is written.
//!
//! Only a task that has the slot's folio in the cache, locked or under writeback, changes the metadata. So writeback and
//! `swapoff` put a locked folio, not up to date, into the cache first: a fault waits for its lock and then looks again, and
//! the slot is neither written nor freed meanwhile. There are two changes without a folio: freeing, when there is none; and the move
//! of a part into the pool, which changes where the bytes are, not which, and only if they still are where they were read. A task
//! that then finds something else where its part was looks at the metadata again.
//!
//! # Several pages in a block
//!
//! With `compressed_writeback`, pages go to the disk as they are stored, in blocks that follow one another without gaps
//! (`store/packed.rs`, as zram's do; `pack.rs`), so what is written, and read again, is a page's compressed size: text, of which
//! LZ4 makes 2,620 bytes, takes 0.65 of a block. An object that ends in a second block has a part of both; they are read by one
//! request. The other pages of what was read come into the pool (`unpack.rs`): they went out together, so they are likely to be wanted together.
//!
//! A ghost area's blocks are in slots of an area with a disk. The owners of a block's parts are in the labels on the disk; in memory
//! a slot only counts them, so a part costs no more than the metadata's 8 bytes that there are for each slot anyway. Only `swapoff`
//! has to look for the owners, once for each cluster.
//!
//! The blocks of an area before a disk take no slots: they are in vacant pages of that disk (`disk_pages.rs`), of which there are as many as
//! slots. So the area holds as many pages as without zswap. Its slots whose pages of the disk have blocks are of no use to ghost areas.
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
mod cold;
mod disk_pages;
mod frontswap;
mod ghost;
mod location;
mod ops;
mod pack;
mod settings;
mod shrink;
mod statistics;
mod unpack;
mod vacate;

pub use attributes::{ATTRIBUTES, Directory, ZswapError};
pub use cache::{Whereabouts, Zswap};
