//! The swap core and its backends.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod area;
mod batch;
mod cache;
mod cluster;
mod disk;
mod entry;
pub mod errno;
mod extents;
mod folio;
pub mod header;
mod heap;
mod lists;
mod machine;
mod ops;
mod plug;
mod priorities;
mod read;
mod readahead;
mod registry;
mod slots;
mod statistics;
mod swap;
mod swapoff;
mod swapon;
mod sync;
mod word;
mod write;

pub use area::Area;
pub use batch::{BATCH_FOLIOS, Batch, POOL_BATCHES, ReadBatch, WriteBatch};
pub use cache::DuplicateError;
pub use cluster::{CLUSTER_SLOTS, ORDERS};
pub use disk::{BlockBackend, Disk, DiskProperties, DiskRequest, SECTOR_SIZE, SynchronousBlockBackend};
pub use entry::{ENTRY_AREAS, Entry, PageTableWord};
pub use extents::{Extent, ExtentError, Extents};
pub use folio::{Folio, FolioFlag, FolioState, Locked};
pub use machine::{Event, IoError, Level, MAX_CPUS, Machine, Purpose};
pub use ops::{Direction, SlotRun, SwapOps, SwapOpsFlags};
pub use plug::Plug;
pub use read::{FaultError, FaultIn, FaultKind};
pub use readahead::{PAGE_CLUSTER_MAX, PageCluster, Readahead};
pub use registry::{BlockDriver, DriverId, RegistryError};
pub use slots::{SlotReference, Slots};
pub use statistics::{Counter, Snapshot, Statistics};
pub use swap::{AllocateError, MAX_AREAS, Swap};
pub use swapoff::{SlotRange, SwapOffError, Users};
pub use swapon::{DEFAULT_PRIORITY, Discard, SwapOnError, SwapOnOptions};
pub use sync::Rank;
pub use word::SHADOW_BITS;
pub use write::Written;
