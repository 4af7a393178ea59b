//! Memory in one piece of kernel addresses, made of single frames: for the initramfs, which may be larger than what frames lie
//! side by side.
//!
//! There are two such places, each used by at most one [`Archive`] at a time, which alone maps, changes and unmaps what is
//! there.

use quire_swap::header::PAGE_SIZE;

use crate::address_map::{ARCHIVE, INFLATED_ARCHIVE};
use crate::frame::Kind;
use crate::kernel_map;
use crate::unique::UniqueFrame;
use crate::watermark::Purpose;
use crate::window::Taken;
pub use crate::window::Window;

/// Memory that grows at its end, by a frame at a time, in which is what was in it.
#[derive(Debug)]
pub struct Archive {
    place: Taken,
    /// In bytes, whole frames.
    mapped: usize,
    /// How much of it is used.
    length: usize,
}

impl Archive {
    /// No memory yet; `None` while there is another one in that place.
    pub fn new(window: Window) -> Option<Self> {
        Taken::new(window).map(|place| Self { place, mapped: 0, length: 0 })
    }

    const fn start(&self) -> u64 {
        match self.place.window() {
            Window::Fetched => ARCHIVE,
            Window::Inflated => INFLATED_ARCHIVE,
        }
    }

    /// How much is used.
    pub const fn length(&self) -> usize {
        self.length
    }

    /// Says how much is used.
    ///
    /// # Panics
    /// If that is more than there is.
    pub fn set_length(&mut self, length: usize) {
        assert!(length <= self.mapped, "{length} bytes are used of {}", self.mapped);
        self.length = length;
    }

    /// What is used.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the frames are mapped as long as this value is there, which alone changes them; their bytes have values, as
        // all of memory has.
        unsafe { core::slice::from_raw_parts(self.start() as *const u8, self.length) }
    }

    /// All that there is, used or not.
    pub fn all_bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and they are mapped writable.
        unsafe { core::slice::from_raw_parts_mut(self.start() as *mut u8, self.mapped) }
    }

    /// Maps another frame; returns its physical address. `None` when there is no memory.
    pub fn grow(&mut self) -> Option<u64> {
        let frame = UniqueFrame::allocate(0, Kind::Archive, Purpose::Kernel)?;
        let physical = frame.number().address();
        kernel_map::map(self.start() + self.mapped as u64, frame, kernel_map::DATA).ok()?;
        self.mapped += PAGE_SIZE;
        Some(physical)
    }

    /// What is used, which stays for ever.
    pub fn keep(self) -> &'static [u8] {
        let (start, length) = (self.start(), self.length);
        core::mem::forget(self);
        // SAFETY: the frames stay mapped from now on, and the place stays taken: nothing changes them any more.
        unsafe { core::slice::from_raw_parts(start as *const u8, length) }
    }
}

impl Drop for Archive {
    fn drop(&mut self) {
        for offset in (0..self.mapped).step_by(PAGE_SIZE) {
            // SAFETY: the page was mapped by `grow`, and what was borrowed of it is borrowed no more.
            drop(unsafe { kernel_map::unmap(self.start() + offset as u64) });
        }
    }
}
