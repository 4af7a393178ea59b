//! What may be done with pages.

/// What may be done with pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// They may be read.
    pub read: bool,
    /// They may be written.
    pub write: bool,
    /// They may be run.
    pub execute: bool,
}

impl Protection {
    /// Nothing may be done.
    pub const NONE: Self = Self { read: false, write: false, execute: false };
    /// Read and write.
    pub const READ_WRITE: Self = Self { read: true, write: true, execute: false };

    /// Whether anything may be done: the processor can forbid writing and running, but not reading alone.
    pub const fn is_some(self) -> bool {
        self.read || self.write || self.execute
    }
}
