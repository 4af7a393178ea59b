//! The swap core: everything about swap that needs no hardware and no page tables.
//!
//! The core knows folios, slots, devices and batches; it never knows which address space maps a page or which page
//! should go next. It runs on a [`Machine`], which is a kernel or, in the tests, a fake.
//!
//! # The way of a page
//!
//! A kernel, once: implements [`Machine`], [`Folio`] (its frame metadata contains a [`FolioState`]) and [`Disk`]; keeps a
//! [`Swap`] in a `static`; enables disks by [`Swap::swapon`] (`swapon.rs`).
//!
//! Out, for victims that reclaim has taken from its list and locked by [`Locked::try_lock`]:
//!
//! | | station | function | file |
//! |---|---|---|---|
//! | 1 | the folio gets a slot, with a count for the first PTE that maps it, and is in the swap cache | [`Swap::hold_in_swap`]; several that are to lie together [`Swap::hold_together_in_swap`]; a folio of several pages by [`Swap::add_to_swap`] | `take.rs` |
//! | | which slot that is | `Area::allocate`, inside a cluster `FreeSlots::take` | `allocate.rs`, `free.rs` |
//! | | a folio that has a slot already gets that count alone | [`Swap::duplicate_each`] | `counts.rs` |
//! | 2 | the PTE is replaced, and each other one that maps the folio, for a count more; a dirty bit in one makes the folio [`Dirty`](FolioFlag::Dirty) | [`SlotReference::into_pte`], [`Swap::duplicate`] | `reference.rs`, `counts.rs` |
//! | 3 | the TLB is flushed, once for all victims of the round | the kernel's | |
//! | 4 | a dirty folio joins the batch of the round's [`Plug`]: it is unlocked and under writeback. One that is all zero is clean at once | [`Swap::write`] | `write.rs`, `plug.rs` |
//! | 5 | the batch goes to the area's backend: when it is full, cannot take the next folio, or the round ends | [`Plug::submit`], [`SwapOps::submit_write`] | `plug.rs`, `block.rs`, `disk.rs` |
//! | 6 | it is done: writeback ends | [`WriteBatch::complete`], [`Machine::writes_ended`] | `batch.rs`, `machine.rs` |
//! | 7 | a clean folio leaves the cache, and a shadow stays; when the references are dropped, the frames are free | [`Swap::evict_each`] | `cached.rs`, `cache.rs` |
//!
//! A page that its area's backend had no space for stays in the swap cache: [`Swap::return_refused`] (`space.rs`), in a thread
//! of its own, has it mapped again, so that it gets another slot on its next way out.
//!
//! In, for a page fault:
//!
//! | | station | function | file |
//! |---|---|---|---|
//! | 1 | the PTE holds an entry | [`DecodedPte::decode`] | `entry.rs` |
//! | 2 | the folio is found in the swap cache, or a new one is put there and read along with neighbours; on [`FaultError::Gone`] the PTE has changed | [`Swap::fault_in`] | `read.rs`, `readahead.rs` |
//! | 3 | the read is done: the folio is up to date and unlocked | [`ReadBatch::complete`] | `batch.rs` |
//! | 4 | under the page table's lock, if the PTE is still the same, the folio is mapped: without the dirty bit after a read, so that it can be dropped later without being written | the kernel's | |
//! | 5 | the old PTE's count is dropped, and the slot is freed if it is not worth keeping: then the folio is dirty | [`Swap::put_mapped`] | `counts.rs`, `cache.rs` |
//! | 6 | the slot is free, and its backend is told | `Area::free_run`, [`SwapOps::slot_free_notify`] | `release.rs`, `ops.rs` |
//!
//! `fork` copies a PTE by [`Swap::duplicate`]; unmapping drops its [`SlotReference`], or calls [`Swap::drop_if_unused`] for the
//! folio that it mapped. [`Swap::swapoff`] (`swapoff.rs`) asks the kernel for its page tables through [`Users`].
//!
//! Each decision is made in one place: whether a page is zero and not written, [`Swap::write`]; whether a slot is worth keeping,
//! [`Swap::is_slot_worthless`]; whether the caller has the last references to a folio, `Area::evict_in`; whether a slot has
//! lost its last count, `Area::put_in`, and whether its folio then goes, `Area::try_free_in`.
//!
//! # Backends
//!
//! An area's pages are kept by a [`SwapOps`], chosen once, at `swapon`: by the [`extension`] of its header, which names a
//! [`BackendType`]; without one by the disk's driver, if it is registered as a [`BlockDriver`]; else it is the
//! [`BlockBackend`]. A backend gets batches of
//! folios by value, is told of each freed slot, and may keep some bits for each slot in use. It may choose the slots of a folio
//! ([`SwapOps::allocate_slots`]) and where on the disk a page goes ([`WriteBatch::place`]), and stand before another one
//! ([`Opening::below`]).
//!
//! A layer may be before the backends of areas ([`Frontswap`]), as zswap is, which keeps what compresses in memory and writes
//! the coldest of it to the disk later. The [`ghost`] device is an area without a disk ([`Swap::swapon_without_disk`]), whose
//! pages are with its backend, or on slots of other areas that belong to its own ([`Slots::give_to`]), one to one or several
//! to one ([`Slots::share_among`]).
//!
//! # What owns what
//!
//! | value | owns | released by |
//! |---|---|---|
//! | [`Slots`] | slots that are in use for nothing else | drop |
//! | [`OwnedSlot`] | a slot that belongs to a slot of another area | drop |
//! | [`SharedSlot`] | a part of a slot that several slots of other areas have together | drop; the last one frees it |
//! | [`SlotReference`] | one count of a slot, on its way to or from a PTE | drop |
//! | [`Locked`] | a folio's lock and a reference | drop, or by starting I/O |
//! | [`ReadBatch`] | the locks of its folios | [`ReadBatch::complete`], or drop, which fails it |
//! | [`WriteBatch`] | the writeback of its folios | [`WriteBatch::complete`], or drop, which fails it |
//! | [`DiskRequest`] | the batch that it is part of | [`DiskRequest::complete`], or drop, which fails it |
//! | an entry of the swap table | a reference to its folio | leaving the swap cache |
//!
//! A slot is in use as long as a PTE or the swap cache holds it. It is freed with the last of them, in the
//! same critical section, and its backend is told there ([`SwapOps::slot_free_notify`]). A folio that is locked or under
//! writeback meanwhile is looked at again when that ends: [`Folio::orphaned`] says how none is missed.
//!
//! # Locks
//!
//! A task takes locks in falling order of rank. All of them spin, none is held while sleeping or across I/O.
//!
//! | rank | lock | guards | taken by |
//! |---|---|---|---|
//! | [`Rank::Driver1`], [`Rank::Driver2`] | | a driver's own, under which the core may be called | the driver |
//! | [`Rank::Registry`] | one | the block drivers' operations | `register`, `swapon` |
//! | [`Rank::Cluster`] | one for each cluster | its table: entries, counts, free slots | faults, reclaim, unmapping |
//! | [`Rank::InnerCluster`] | as above | a slot that belongs to a slot of another area | freeing both |
//! | [`Rank::Lists`] | one for each area | the lists of its clusters | allocating and freeing slots |
//! | [`Rank::Priorities`] | one | the order in which areas are tried | allocating, `swapon`, `swapoff` |
//! | [`Rank::BatchPool`] | one | the idle batches | plugs and completions |
//! | [`Rank::Backend1`] to [`Rank::Backend4`] | | a backend's own, which may be taken under those above | the backend |
//! | [`Rank::Sparse`] | one for each [`Sparse`] array | which of its leaves there are | making one |
//!
//! The machine's own locks lie around these: the core calls [`Machine`] and [`Folio`] functions that take no sleeping
//! lock ([`Machine::may_allocate`], the heap, references and wake-ups) under the cluster lock, so what those take ranks
//! below [`Rank::Sparse`]; page-table locks, under which PTEs are duplicated and dropped, rank above
//! [`Rank::Registry`]. A folio's lock sleeps: it is taken before all of these, and under them only tried.
//!
//! Looking a folio up takes no lock and never waits; [`Swap::lookup`] and the cluster's documentation say how.
//!
//! # Files that import one another
//!
//! - `area.rs`, `ops.rs`, `batch.rs`, `disk.rs`, `watcher.rs` and `slot_request.rs`: an area has a backend, a backend is given
//!   batches and asked for slots, and a batch belongs to the area that it completes in, as do a request of the area's disk that
//!   is made of it, and what watchers are told of it.
//!
//! # Memory
//!
//! Writing pages out allocates nothing but the table of a cluster that was unused: 4160 bytes for 512 slots, asked for by
//! [`Machine::may_allocate`], where a kernel can keep a reserve. Without it swap fills up the clusters that have tables.
//! Batches come from a pool made at the first `swapon`. An unused slot costs at most 0.1 byte, a used one 8 bytes
//! and a bit, with 64 bits of its backend's 16; of an area without a disk, unused clusters cost nothing.

#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")
)]

extern crate alloc;

mod allocate;
mod area;
mod availability;
mod backend;
mod batch;
mod block;
mod cache;
mod cached;
mod choose;
mod cluster;
mod clusters;
mod counts;
mod cursor;
mod direction;
mod disk;
mod empty;
mod entry;
pub mod extension;
mod extents;
mod folio;
mod free;
mod frontswap;
mod geometry;
pub mod ghost;
pub mod header;
pub mod heap;
mod list_id;
mod lists;
mod machine;
mod ops;
pub mod page;
mod panicking;
mod plug;
mod priorities;
mod rank;
mod ratelimit;
mod read;
mod readahead;
mod reference;
mod registry;
mod release;
mod slot_request;
mod slots;
mod space;
mod span;
mod sparse;
mod statistics;
mod swap;
mod swapoff;
mod swapon;
pub mod sync;
mod table_entry;
mod take;
mod together;
mod users;
mod watcher;
mod write;

pub use area::Area;
pub use backend::{BLOCK_TYPE, BackendError, BackendType, Opening, Settings};
pub use batch::{BATCH_FOLIOS, BATCH_PAGES, Batch, POOL_BATCHES, ReadBatch, WriteBatch};
pub use block::BlockBackend;
pub use cache::{DuplicateError, InsertError, Inserted};
pub use disk::{Claim, DeviceState, Disk, DiskProperties, DiskRequest, DriverId, Held, SECTOR_SIZE, SECTORS_PER_PAGE};
pub use entry::{DecodedPte, ENTRY_AREAS, Entry};
pub use extents::{Extent, ExtentError, Extents, FileRun};
pub use folio::{Folio, FolioFlag, FolioState, Forgotten, FrameState, InTransit, Locked, ReadAccess, WriteAccess};
pub use frontswap::Frontswap;
pub use geometry::{CLUSTER_SLOTS, MAX_AREAS, ORDERS};
pub use machine::{AreaLayout, ClusterLayout, Event, FolioUse, IoError, Level, MAX_CPUS, Machine, Occurrence};
pub use ops::{Direction, SlotRun, SwapOps, SwapOpsFlags};
pub use panicking::is_panicking;
pub use plug::Plug;
pub use rank::Rank;
pub use ratelimit::{Line, RateLimit};
pub use read::{FaultError, FaultIn, FaultKind};
pub use readahead::{Neighbourhood, PAGE_CLUSTER_MAX, Readahead, ReadaheadPolicy};
pub use reference::SlotReference;
pub use registry::{BlockDriver, RegistryError};
pub use slot_request::{NoSlot, SlotRequest, Taken};
pub use slots::{OwnedSlot, SharedSlot, Slots};
pub use sparse::Sparse;
pub use statistics::{Counter, Snapshot, Statistics};
pub use swap::Swap;
pub use swapon::{DEFAULT_PRIORITY, Deviceless, Discard, SwapFile, SwapOnError, SwapOnOptions};
pub use table_entry::{PAYER_MAX, SHADOW_BITS, SlotState, TableEntry};
pub use take::AllocateError;
pub use together::{FaultInTogether, Mapped};
pub use users::{SlotRange, SwapOffError, Users};
pub use watcher::{ReadFolio, Watcher};
pub use write::Written;
