//! Pages that a disk reads or writes, owned by their request until it has ended.

use alloc::boxed::Box;
use core::num::NonZeroU32;

use quire_drivers::block::{BlockError, Completion, DmaMemory, Segment};
use quire_swap::header::PAGE_SIZE;
use quire_swap::{Direction, DiskRequest, Machine};

use crate::folio::{Folio, NewFolio};
use crate::frame::FrameNumber;

/// What owns whole pages that may be transferred.
///
/// # Safety
/// While the value lives and nothing has a mutable reference to it, each frame that it names stays allocated, and nothing has a
/// reference to its bytes. If it may be read into, nothing else reads or writes it.
pub unsafe trait Pages: Send + 'static {
    /// Calls `each` with the frames, in the order of the sectors.
    fn for_each_frame(&self, each: impl FnMut(FrameNumber));

    /// Whether a device may write to them.
    fn may_be_read_into(&self) -> bool {
        true
    }
}

// SAFETY: a request has its folios: for a read with their locks and without contents, so only the request's own methods reach
// the bytes, which take it mutably; for a write under writeback, where only its own methods make references to them.
unsafe impl<M: Machine<Folio = Folio>> Pages for DiskRequest<M> {
    fn for_each_frame(&self, mut each: impl FnMut(FrameNumber)) {
        self.folios().for_each(|folio| each(folio.frame()));
    }

    fn may_be_read_into(&self) -> bool {
        self.direction() == Direction::Read
    }
}

// SAFETY: it has the frame, whose bytes only its own methods reach.
unsafe impl Pages for NewFolio {
    fn for_each_frame(&self, mut each: impl FnMut(FrameNumber)) {
        each(self.number());
    }
}

/// Pages on their way; `end` gets them back.
pub struct Transfer<P, E> {
    /// The pages.
    pub pages: P,
    /// What happens with them at the end.
    pub end: E,
}

impl<P: Pages, E: FnOnce(P, Result<(), BlockError>) + Send> Completion for Transfer<P, E> {
    fn complete(self: Box<Self>, result: Result<(), BlockError>) {
        let Self { pages, end } = *self;
        end(pages, result);
    }
}

// SAFETY: the box has the pages, and is not touched before it is completed.
unsafe impl<P: Pages, E: FnOnce(P, Result<(), BlockError>) + Send> DmaMemory for Transfer<P, E> {
    fn for_each_segment(&self, mut each: impl FnMut(Segment)) {
        const PAGE: NonZeroU32 = NonZeroU32::new(PAGE_SIZE as u32).unwrap();
        self.pages.for_each_frame(|frame| each(Segment::new(frame.address(), PAGE)));
    }

    fn may_be_read_into(&self) -> bool {
        self.pages.may_be_read_into()
    }
}
