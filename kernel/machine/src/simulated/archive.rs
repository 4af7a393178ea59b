//! Memory in one piece that is made of single frames: the frames are taken, and the piece is the host's, since no window of the
//! kernel half can be reached there.

use quire_swap::header::PAGE_SIZE;

use crate::frame::Kind;
use crate::unique::UniqueFrame;
use crate::watermark::Purpose;
use crate::window::Taken;
pub use crate::window::Window;

/// Memory that grows at its end, by a frame of zeros at a time.
#[derive(Debug)]
pub struct Archive {
    _place: Taken,
    frames: Vec<UniqueFrame>,
    bytes: Vec<u8>,
    length: usize,
}

impl Archive {
    /// No memory yet; `None` while there is another one in that place.
    pub fn new(window: Window) -> Option<Self> {
        Taken::new(window).map(|place| Self { _place: place, frames: Vec::new(), bytes: Vec::new(), length: 0 })
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
        assert!(length <= self.bytes.len(), "{length} bytes are used of {}", self.bytes.len());
        self.length = length;
    }

    /// What is used.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// All that there is, used or not.
    pub fn all_bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Adds a frame of zeros; returns its physical address. `None` when there is no memory.
    pub fn grow(&mut self) -> Option<u64> {
        let frame = UniqueFrame::allocate(0, Kind::Archive, Purpose::Kernel)?;
        let physical = frame.number().address();
        self.frames.push(frame);
        self.bytes.resize(self.frames.len() * PAGE_SIZE, 0);
        Some(physical)
    }

    /// What is used, which stays for ever.
    pub fn keep(mut self) -> &'static [u8] {
        std::mem::take(&mut self.frames).into_iter().for_each(std::mem::forget);
        let bytes = std::mem::take(&mut self.bytes).leak();
        &bytes[..self.length]
    }
}
