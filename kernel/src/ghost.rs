//! The ghost swap device on this machine: `swapon=/dev/ghostswap[,PRIORITY][,size=SIZE]` on the command line, and the device
//! file.

use quire_machine::physical;
use quire_swap::ghost;

use crate::fs::ghost::Ghost;

/// Opens the device.
pub fn open() -> Ghost {
    Ghost::new(frames())
}

/// The pages of an area that is given no size.
pub fn default_pages() -> u64 {
    ghost::default_pages(frames())
}

fn frames() -> u64 {
    physical::managed_frames() as u64
}
