//! The block layer and the device drivers.
//!
//! [`block`] says what a disk request is, who owns it and how it ends; [`virtio_blk`] carries requests to a disk; [`pci`]
//! finds the disk and gives it an interrupt. The rest are the small devices of a PC: [`serial`], [`local_apic`],
//! [`calibration`], [`real_time_clock`], [`fw_cfg`], [`debug_exit`], [`recording`].
//!
//! # The way of a request
//!
//! | station | function | file |
//! |---|---|---|
//! | it is made, with the memory that it reads or writes | `Request::with_memory` | `block.rs` |
//! | it is in the disk's queue; one doorbell for all that are | `VirtioBlk::submit`, `VirtioBlk::kick` | `virtio_blk.rs` |
//! | the device interrupts, and it is taken out again | `VirtioBlk::interrupted`, `VirtioBlk::complete` | `virtio_blk.rs` |
//! | its owner is told how it ended, and has its memory back | `Finished::deliver` | `block.rs` |
//!
//! The crate knows nothing of processes, page tables or swap. What it needs of memory it asks of the [`Hal`] that the
//! kernel implements. No driver holds a lock: methods take `&mut self` and the kernel decides which lock that is. Nothing
//! that a device answers makes a driver panic.
//!
//! The tests run on the host, against a [`Hal`] and devices made of ordinary memory.

#![no_std]
#![allow(unsafe_code, reason = "registers, ports and memory that devices write")]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod block;
pub mod calibration;
pub mod debug_exit;
#[cfg(test)]
mod fake;
pub mod fw_cfg;
mod hal;
pub mod local_apic;
mod mmio;
pub mod pci;
pub mod real_time_clock;
pub mod recording;
pub mod serial;
pub mod virtio_blk;

pub use hal::Hal;
/// What [`Hal`] builds on, and the types its methods use. No more of that crate: by its safe functions a device can be told to write
/// anywhere.
pub use virtio_drivers::{BufferDirection, Hal as VirtioHal, PhysAddr};
