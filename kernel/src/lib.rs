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
//! The documentation of `quire_memory` lists its stations out and in, that of `quire_swap` those between a folio and its area, and
//! that of `quire_machine` what both stand on. What passes here:
//!
//! | station | function | file |
//! |---|---|---|
//! | the machine has a page fault, and asks who serves it | `page_fault`, `user_copy_fault` | `upcalls.rs` |
//! | few frames are free, and `kswapd` is woken by `memory_is_low` | `MACHINE` | `upcalls.rs` |
//! | a batch is on its way to or from a disk: its runs become requests of virtio | `SwapDisk::submit` | `swap.rs` |
//! | a request is in the disk's queue, and the disk is told | `VirtioDisk::submit` | `disk.rs` |
//! | the interrupt wakes the disk's thread, which ends the batch | `ring`, `complete_for_ever` | `disk.rs` |

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
