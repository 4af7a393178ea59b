//! The Quire kernel: a small x86-64 kernel whose subject is swap.
//!
//! # The rooms
//!
//! `arch` and its neighbours exist only for `x86_64-unknown-none`; what is pure (the buddy allocator, the
//! watermarks, the command line, the workload's contents) also compiles on the host, where its tests run.
//!
//! | module | what |
//! |---|---|
//! | `arch` | descriptor tables, traps, page-table words, context switch, user access |
//! | `boot` | from the loader's jump to the verdict |
//! | [`errno`] | Linux's error numbers, for system calls and attributes |
//! | [`fallible`] | memory of the kernel heap that may be refused |
//! | [`fs`] | files: initramfs, tmpfs, devices, `/proc` and `/sys` |
//! | [`futex`] | words of memory that tasks wait for |
//! | [`mm`] | frames, address spaces, page faults, reclaim |
//! | [`process`] | processes: programs in ring 3, their signals, their beginning and end |
//! | `syscall` | system calls, by Linux's numbers |
//! | `task` | threads, scheduler, sleeping |
//! | `random` | numbers that nobody can guess |
//! | `swap` | introduces the swap core to this machine, and disks to the swap core |
//! | [`leaving`] | who gives way when memory is short while an area is being disabled |
//! | [`user`] | what programs give: words, pointers and ranges that cannot wrap |
//! | `zram` | starts zram, and makes its devices ready by the command line |
//! | `disk` | disks: requests, interrupts, completion |
//! | [`scenario`] | named pieces of work and checks that end in a verdict |
//! | `sync` | spinning locks, and the table of lock ranks |
//!
//! # The way of a page
//!
//! *Out*: an allocation finds few free frames and wakes `kswapd`, or reclaims by itself. Folios from the inactive list's
//! tail get slots and enter the swap cache; their page-table words become swap entries; one TLB flush for all of them;
//! dirty ones are gathered into batches and written; when a write ends, the frame is free. *In*: a fault finds the swap
//! entry, and the folio in the swap cache or by reading it, with its neighbours, from its area; maps it; gives the entry's
//! count back. See `mm::reclaim` and `mm::fault`.

#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")
)]

extern crate alloc;

#[cfg(target_os = "none")]
pub mod arch;
#[cfg(target_os = "none")]
pub mod boot;
pub mod command_line;
#[cfg(target_os = "none")]
pub mod disk;
pub mod errno;
pub mod fallible;
pub mod fs;
pub mod futex;
#[cfg(target_os = "none")]
pub mod ghost;
pub mod leaving;
#[cfg(target_os = "none")]
pub mod log;
pub mod log_ring;
pub mod mm;
#[cfg(target_os = "none")]
pub mod panic;
#[cfg(target_os = "none")]
mod pool;
pub mod process;
#[cfg(target_os = "none")]
pub mod random;
pub mod scenario;
#[cfg(target_os = "none")]
pub mod swap;
#[cfg(target_os = "none")]
pub mod sync;
#[cfg(target_os = "none")]
pub mod syscall;
#[cfg(target_os = "none")]
pub mod task;
pub mod user;
#[cfg(target_os = "none")]
pub mod zram;
#[cfg(target_os = "none")]
pub mod zswap;
