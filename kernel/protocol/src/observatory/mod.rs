//! What the kernel publishes of itself for those who look at the guest's memory from outside.
//!
//! The kernel has one page, the static `OBSERVATORY`, that says where its structures are and how they are laid out: [`Page`]. The
//! launcher finds it in the memory file by its [`MAGIC`] number and by the physical address that it says it is at, which a copy of it,
//! in the kernel's image on the boot disk or in the firmware's buffers, has not. From there everything is found by addresses, which
//! are virtual ones of the kernel half: [`Page::root`] is the root of the page tables that translate them.
//!
//! Nothing is copied to be looked at: what is published is where the kernel's own structures are. Those that Rust may lay out as it
//! likes are described by offsets that the kernel's compiler has computed ([`Threads`], [`Area`]).
//!
//! # What a reader must expect
//!
//! The guest runs meanwhile. [`Task`], [`Area`] and what [`Page::stop`] leads to have a *sequence* word: odd while they are changed, another
//! even number afterwards. Frame metadata and swap tables change word by word: a reader reads twice. A record of a ring says
//! itself which one it is ([`event`]).

pub mod event;
mod frame;
mod page;
mod words;

pub use self::event::{Compressed, FaultService, Reclaimer};
pub use self::frame::{FrameRecord, folio_flag, kind};
pub use self::page::{
    Area, AtomicArea, AtomicCgroups, AtomicCounter, AtomicHeap, AtomicPage, AtomicPool, AtomicRing, AtomicStop,
    AtomicTask, AtomicThreads, Cgroups, Counter, Heap, Page, Pool, Ring, Stop, Task, Threads,
};

/// What the page begins with.
pub const MAGIC: u64 = u64::from_le_bytes(*b"QuireObs");

/// The version of everything here: another one is not understood.
pub const VERSION: u64 = 3;

/// The name of the kernel's static that is the page.
pub const SYMBOL: &str = "OBSERVATORY";
