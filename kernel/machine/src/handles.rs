//! The types that own frames, without what they do: so far down that the table of upcalls can name them, whom allocating and freeing
//! ask. `unique` and `folio` alone make them, and say what they promise.

use crate::frame::FrameNumber;

pub use crate::frame::Folio;

/// 2^order contiguous frames that have no other owner.
#[derive(Debug)]
pub struct UniqueFrame {
    pub(crate) first: FrameNumber,
    pub(crate) order: u8,
}
