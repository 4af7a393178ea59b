//! The Quire kernel: a small x86-64 kernel whose subject is swap.
//!
//! # The rooms
//!
//! What only the machine has is below, in `quire_machine`: processor, frames, kernel memory, locks, threads, time. Here is what
//! stands on it; what is pure also compiles on the host, where its tests run.
//!
//! | module | what |
//! |---|---|
//! | `boot`, `upcalls` | from the loader's jump to the verdict; what is answered to the machine |
//! | [`errno`] | Linux's error numbers, for system calls and attributes |
//! | [`fs`] | files: initramfs, tmpfs, devices, `/proc` and `/sys` |
//! | [`futex`] | words of memory that tasks wait for |
//! | [`mm`] | `quire_memory`: address spaces, page faults, reclaim; the swap core on this machine |
//! | [`process`] | processes: programs in ring 3, their signals, their beginning and end |
//! | `syscall` | system calls, by Linux's numbers |
//! | `swap` | swap areas on disks: what the command line names, and the core's requests as the drivers' |
//! | `zram` | starts zram, and makes its devices ready by the command line |
//! | `disk` | disks: requests, interrupts, completion |
//! | [`scenario`] | named pieces of work and checks that end in a verdict |
//!
//! # The way of a page
//!
//! *Out*: an allocation finds few free frames and wakes `kswapd`, or reclaims by itself. Folios from the inactive list's
//! tail get slots and enter the swap cache; their page-table words become swap entries; one TLB flush for all of them;
//! dirty ones are gathered into batches and written; when a write ends, the frame is free. *In*: a fault finds the swap
//! entry, and the folio in the swap cache or by reading it, with its neighbours, from its area; maps it; gives the entry's
//! count back. See `quire_memory::reclaim` and `quire_memory::fault`.

#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")
)]

extern crate alloc;

#[cfg(target_os = "none")]
pub mod boot;
pub mod command_line;
#[cfg(target_os = "none")]
pub mod disk;
pub mod errno;
pub mod fs;
pub mod futex;
#[cfg(target_os = "none")]
pub mod initramfs;
pub mod process;
pub mod scenario;
#[cfg(target_os = "none")]
pub mod swap;
#[cfg(target_os = "none")]
pub mod swap_area;
#[cfg(target_os = "none")]
pub mod swapon;
#[cfg(target_os = "none")]
pub mod syscall;
#[cfg(target_os = "none")]
pub mod system_name;
#[cfg(target_os = "none")]
pub mod upcalls;
#[cfg(target_os = "none")]
pub mod zram;
#[cfg(target_os = "none")]
pub mod zswap;
