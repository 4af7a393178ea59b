//! Frames that have one owner: what is allocated, until it is shared, mapped or freed.
//!
//! # Invariants
//!
//! The owner of a [`UniqueFrame`] is the only one who reads or writes the frames, so their bytes are reached by ordinary
//! references. Dropping it frees them. Who keeps frames in a form of its own, a page-table entry, a folio, a list, takes the
//! number out and promises to make one owner of it again.

use core::mem::ManuallyDrop;
use core::slice;

use quire_swap::header::PAGE_SIZE;

use crate::address_map::direct;
pub use crate::frame::UniqueFrame;
use crate::frame::{FrameNumber, Kind};
use crate::physical;
use crate::watermark::Purpose;

impl UniqueFrame {
    /// Takes 2^`order` frames, without sleeping, if `purpose` may have them. Their contents are junk.
    ///
    /// # Panics
    /// When the kind is that of free frames, which the free lists take for theirs.
    #[inline]
    pub fn allocate(order: u8, kind: Kind, purpose: Purpose) -> Option<Self> {
        assert!(!matches!(kind, Kind::Free | Kind::FreeTail), "what is taken is not free");
        physical::allocate(order, kind, purpose).map(|first| Self { first, order })
    }

    /// The number of the first frame.
    #[inline]
    pub const fn number(&self) -> FrameNumber {
        self.first
    }

    /// Their bytes.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the frames are in the direct map and stay allocated while they have this owner, who alone reaches them.
        unsafe { slice::from_raw_parts_mut(direct(self.first.address()), PAGE_SIZE << self.order) }
    }

    /// An owner for each of the frames, which are freed one by one from now on. Takes no memory.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn split<const FRAMES: usize>(self) -> [Self; FRAMES] {
        assert_eq!(1 << self.order, FRAMES);
        let first = self.into_number();
        physical::frames()[first.index()].set_order(0);
        core::array::from_fn(|frame| Self { first: FrameNumber(first.0 + frame as u32), order: 0 })
    }

    /// Leaves the frames to the caller, which keeps their number.
    pub fn into_number(self) -> FrameNumber {
        ManuallyDrop::new(self).first
    }

    /// The owner of frames whose number was kept.
    ///
    /// # Safety
    /// [`Self::into_number`] gave `first` for 2^`order` frames, no owner was made of them since, and nothing reaches them
    /// any more.
    pub const unsafe fn from_number(first: FrameNumber, order: u8) -> Self {
        Self { first, order }
    }
}

impl Drop for UniqueFrame {
    fn drop(&mut self) {
        physical::free(self.first, self.order);
    }
}
