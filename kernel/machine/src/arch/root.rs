//! The roots of page tables, and who uses them.

use core::sync::atomic::AtomicU32;

use crate::frame::FrameNumber;

/// The root of a user half, made by [`UserTables`](crate::user_tables::UserTables) alone: its upper half is the kernel's.
pub struct Root {
    frame: FrameNumber,
    /// A bit for each processor that uses it.
    users: AtomicU32,
}

impl Root {
    /// Where in it the frame number is.
    #[cfg(target_os = "none")]
    pub(crate) const FRAME_OFFSET: usize = core::mem::offset_of!(Self, frame);

    /// The root in this frame, which no processor uses.
    pub(crate) const fn new(frame: FrameNumber) -> Self {
        Self { frame, users: AtomicU32::new(0) }
    }

    /// Where it is.
    #[inline]
    pub const fn frame(&self) -> FrameNumber {
        self.frame
    }

    /// The processors that use it, a bit each.
    #[inline]
    pub(crate) const fn users(&self) -> &AtomicU32 {
        &self.users
    }
}
