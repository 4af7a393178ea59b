//! Paging and reclaim: which page is in memory, where the others are, and which one goes.
//!
//! No file here imports one further down in this table, but for the two that are named below.
//!
//! # What is where, from the bottom up
//!
//! | module | what |
//! |---|---|
//! | `upcall` | what is asked of the rooms above: processes, zswap, disks |
//! | `policy`, `badness`, `trace`, `quota`, `limit`, `fatal` | decisions and words without pages: which page goes, which process is killed |
//! | `large_folio` | which memory gets folios of 64 KiB, and how often |
//! | `counters`, `progress` | what reclaim counts; frames that have come free, writes that are on their way |
//! | `swap::core`, `swap::leaving` | the swap core on this machine; who gives way to a `swapoff` |
//! | `cgroup::counts`, `lru::turns`, `lru::lists` | what memory cgroups are charged; each one's LRU lists, as lists of frames |
//! | `folio`, `lru` | whose page a folio is; what the policy is told of it, and when |
//! | `page_tables` | the tables of one space, and what their PTEs say and own, counted |
//! | `rmap`, `object` | from a folio to every PTE that maps it; pages of files and of shared memory |
//! | `accessed`, `page_out` | accessed bits; taking folios out of memory, a batch at a time |
//! | `reclaim`, `writeback`, `unused` | who looks for pages that can go, when, and for how long; the end of their writes; the end of folios |
//! | `oom`, `cgroup`, `charge` | who dies when nothing else helps; limits; what the kernel keeps for a program |
//! | `frames` | a frame for a page that a task waits for: the allocation that does all of the above |
//! | `object::pages`, `object::contents`, `table_reserve` | bringing an object's pages in; its bytes; frames for page tables |
//! | `vma`, `vmas`, `overcommit` | what an address space has mapped: pure, held to a model; what may be promised |
//! | `address_space`, `admission`, `fork`, `remap`, `advice` | mapping, limits, copying, moving, advice and locking |
//! | `recorder` | what was referenced, for the simulator |
//! | `tasks`, `fault`, `sharing` | threads with an address space; a page is touched; who else can reach a byte |
//! | `swap::swapoff`, `swap::machine`, `swap::pool` | emptying an area; what the swap core asks of this machine |
//! | `statistics`, `frame_use` | what was counted, under Linux's names; what each frame is used for |
//! | `observatory` | where all of this is, for those who look from outside |
//!
//! # Files that import one another
//!
//! - `rmap.rs`, `object/mod.rs`: the owner of a folio is an object or an `anon_vma`, and an object keeps the list of those who map
//!   its pages.
//!
//! # The way of a page
//!
//! First touch, each station with its function and file:
//!
//! 1. a task touches the page: `handle` in `fault/mod.rs`
//! 2. which VMA, and what the PTE says: `attempt` in `fault/mod.rs`. Nothing yet, so a write gets a frame of zeros:
//!    `fill_with_zeros` in `fault/install.rs`; where large folios are on, sixteen at once: `fill_large` in `fault/large.rs`
//! 3. the task's cgroup is charged, and a frame found, by reclaim if it must: `wait_for_frame` in `frames.rs`
//! 4. the folio is dirty, knows its owner, and is mapped: `install_new` and `install` in `fault/install.rs`
//! 5. the policy is told of it, and it is in an LRU list: `add` in `lru/mod.rs`
//!
//! Out:
//!
//! 1. few frames are free: `wake_kswapd` in `reclaim.rs`, or `wait_for_frame` in `frames.rs` for a task that finds none
//! 2. whose pages: `Effort::shrink` in `reclaim.rs`, by `next_to_look_at` in `lru/mod.rs`
//! 3. the policy names the pages that are looked at: `isolate` in `lru/mod.rs`, and by it `Instance::next` in `policy/instance.rs`
//! 4. their locks are tried, their owners found: `unmap` in `page_out/mod.rs`, `Owners::find` in `rmap.rs`
//! 5. the policy is told which were accessed, and says which go: `look` and `judge` in `page_out/mod.rs`; these get slots:
//!    `give_slots` in `page_out/mod.rs`, and by it `Swap::hold_in_swap` in `swap/src/take.rs`; a large folio sixteen in a row:
//!    `give_run` in `page_out/large.rs`
//! 6. every PTE is replaced by the slot's entry: `replace_ptes` in `page_out/mod.rs`; for a page of an object the object's own, while
//!    those of page tables become 0: `leave_object` in `page_out/candidate.rs`; the TLB is flushed once
//! 7. dirty folios are written: `Outgoing::add` in `page_out/mod.rs`, and by it `Swap::write` in `swap/src/write.rs`; the batch goes
//!    to the area's backend with its plug
//! 8. writes end: `writes_ended` in `writeback.rs`
//! 9. a clean folio leaves the swap cache, and a shadow stays: `evict` in `page_out/mod.rs`
//! 10. its last reference goes, and its frame is free: `drop_all` in `folio.rs`; its cgroup is not charged for it any more:
//!     `is_unused` in `unused.rs`
//!
//! In:
//!
//! 1. the task touches the page, and its PTE holds an entry: `handle` and `attempt` in `fault/mod.rs`
//! 2. the folio is found in the swap cache or read, with its neighbours: `swap_in` in `fault/swap_in.rs`, and by it
//!    `Swap::fault_in` in `swap/src/read.rs`
//! 3. for that it gets a frame, which the slot's cgroup is charged for: `wait_for_frame_of` in `frames.rs`; the policy is told what
//!    its eviction left in the slot: `come_back` in `lru/mod.rs`
//! 4. it is mapped: `install` in `fault/install.rs`
//! 5. the PTE's count of the slot is dropped, and a slot that is not worth keeping is free: `swap_in` in `fault/swap_in.rs`, by
//!    `Swap::put_mapped` in `swap/src/counts.rs`
//! 6. a page of an object takes its place in the object first: `map_object` in `fault/object.rs`, by `page` in `object/pages.rs`
//!
//! What else happens to a page:
//!
//! | what | where |
//! |---|---|
//! | `fork` gives it another PTE, or its slot another count | `fork` and `copy_run` in `fork.rs` |
//! | it is written, and another task has it too | `write_to_shared` in `fault/shared.rs` |
//! | `munmap` | `unmap` in `address_space/map.rs`, and by it `zap_where` in `address_space/zap.rs`; slots' counts: `forget_ptes` in `swap/references.rs` |
//! | its process ends | the same for all VMAs, when the last user of the space goes: `release_all` in `address_space/zap.rs` |
//! | `madvise` | `advise` in `advice.rs` |
//! | `swapoff` swaps it in | `disable` in `swap/swapoff.rs`; `swap_in_page` in `fault/swap_in.rs`, or `swap_in_all` in `object/pages.rs` |
//! | its cgroup is at its limit | `charge` in `cgroup/charge.rs`, and by it `shrink_cgroup` in `reclaim.rs`; for slots `charge_swap` in `cgroup/counts.rs` |
//! | nothing can be reclaimed, and its process dies for others | `is_hopeless` in `reclaim.rs`, then `relieve` in `oom.rs` and `reap` in `address_space/usage.rs` |
//!
//! # A page's life
//!
//! *Private*: a first write gives it a frame, dirty; `fork` maps the frame read-only in two spaces of an `anon_vma` (`rmap`); a
//! write copies it, unless no other task has it. Reclaim replaces every PTE by the slot's entry, each with a count; a fault
//! brings it back, and the last PTE that comes back may write again. *Of an object*: the object's own index entry is what goes to
//! swap; the page tables' PTEs become 0 and are filled by faults from the object.
//!
//! # Locks, from high to low
//!
//! An address space's layout (sleeps) → an owner's list of spaces → one space's page tables → an object's index → the swap
//! core's → the LRU lists → the heap → the free frames. A folio's own lock sleeps and is taken before the spinning ones;
//! reclaim only tries it. No two page-table locks are held at once. Reclaim enters at the owners' lists, so it never waits for
//! a layout, and a fault that reclaims holds none.
//!
//! # Several processors
//!
//! One is started for now. Where translations are forgotten is where the others would be told: `flush_user_everywhere` in
//! `quire_machine::arch::translations`, of which reclaim, `fork`, `mprotect` and unmapping call one a batch, and the flushes of a single page
//! in `fault`. Processes have one thread, so the latter concern the processor that faulted alone.

#![cfg_attr(target_os = "none", no_std)]
#![deny(unsafe_code)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")
)]

extern crate alloc;

mod accessed;
pub mod address_space;
pub mod admission;
pub mod advice;
pub mod badness;
pub mod cgroup;
pub mod charge;
pub mod counters;
pub mod fatal;
pub mod fault;
pub mod folio;
mod fork;
pub mod frame_use;
pub mod frames;
pub mod large_folio;
pub mod limit;
pub mod lru;
pub mod object;
mod observatory;
pub mod oom;
pub mod overcommit;
mod page_out;
mod page_tables;
pub mod policy;
pub mod progress;
pub mod quota;
pub mod reclaim;
pub mod recorder;
pub mod remap;
pub mod rmap;
pub mod sharing;
pub mod statistics;
pub mod swap;
mod table_reserve;
pub mod tasks;
pub mod trace;
pub mod unused;
pub mod upcall;
pub mod vma;
pub mod vmas;
pub mod writeback;

pub use address_space::AddressSpace;
pub use quire_machine::AllocationError;

/// Starts what memory does by itself: `kswapd`, and the thread of the swap core.
///
/// # Errors
/// [`AllocationError`] when there is no memory for that.
pub fn start() -> Result<(), AllocationError> {
    quire_machine::pte::start()?;
    observatory::start();
    reclaim::start()?;
    swap::work::start()
}
