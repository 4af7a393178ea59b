//! The ghost swap device on this machine: `swapon=/dev/ghostswap[,PRIORITY][,size=SIZE]` on the command line, and what a
//! program reads from the device file.

use quire_machine::physical;
use quire_swap::ghost;

/// Reads the device; returns how many bytes.
pub fn read(offset: u64, buffer: &mut [u8]) -> usize {
    ghost::read(frames(), offset, buffer)
}

/// The pages of an area that is given no size.
pub fn default_pages() -> u64 {
    ghost::default_pages(frames())
}

fn frames() -> u64 {
    physical::managed_frames() as u64
}
