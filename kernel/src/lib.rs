//! The Quire kernel: a small x86-64 kernel whose subject is swap.
//!
//! # What is where
//!
//! All that does the work is below, each room in a crate of its own: `quire_machine`, `quire_memory`, `quire_linux`, and the swap
//! core. Here they are started in their order, and told of one another.
//!
//! | module | what |
//! |---|---|
//! | `boot` | from the loader's jump to the verdict |
//! | `upcalls` | what is answered to the machine and to memory |
//! | [`command_line`], `swapon` | the words of the command line; the swap areas that they name |
//! | `initramfs` | fetches the archive of the root's files |
//! | `disk`, `swap` | disks: requests, interrupts, completion; the swap core's and the files' requests as the drivers' |
//! | `block_devices` | the table of drivers of block devices |
//! | `backends` | makes the types of backends known that headers name |
//! | `zram`, `zswap` | start zram and zswap, and set what the command line says |
//! | [`scenario`] | named pieces of work and checks that end in a verdict |
//!
//! # The way of a page
//!
//! *Out*: an allocation finds few free frames and wakes `kswapd`, or reclaims by itself. Folios from the inactive list's
//! tail get slots and enter the swap cache; their PTEs become swap PTEs; one TLB flush for all of them;
//! dirty ones are gathered into batches and written; when a write ends, the frame is free. *In*: a fault finds the swap
//! entry, and the folio in the swap cache or by reading it, with its neighbours, from its area; maps it; drops the entry's
//! count. See `quire_memory::reclaim` and `quire_memory::fault`.

#![cfg_attr(target_os = "none", no_std)]
#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "a test may end for want of memory")
)]

extern crate alloc;

#[cfg(target_os = "none")]
pub mod backends;
#[cfg(target_os = "none")]
pub mod block_devices;
#[cfg(target_os = "none")]
pub mod boot;
pub mod command_line;
#[cfg(target_os = "none")]
pub mod disk;
#[cfg(target_os = "none")]
pub mod initramfs;
pub mod scenario;
#[cfg(target_os = "none")]
pub mod swap;
#[cfg(target_os = "none")]
pub mod swapon;
#[cfg(target_os = "none")]
pub mod upcalls;
#[cfg(target_os = "none")]
pub mod zram;
#[cfg(target_os = "none")]
pub mod zswap;
