//! What can go wrong in the store.

use core::fmt;

use quire_swap::header::PAGE_SIZE;
use quire_swap::heap::NoMemory;

/// Why a page was not stored or loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The pool has all the frames that it may have, which is so many.
    Limit(u64),
    /// There is no frame for the pool.
    NoFrame,
    /// There is no memory for the pool's tables.
    NoMemory,
    /// Contents of so many bytes are longer than a page.
    TooLong(usize),
    /// The object is not what was stored.
    Corrupt {
        /// Its index in the table of handles.
        handle: u32,
    },
}

impl From<NoMemory> for StoreError {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(frames) => write!(formatter, "the pool has its {frames} frames"),
            Self::NoFrame => formatter.write_str("no frame for the pool"),
            Self::NoMemory => formatter.write_str("no memory for the pool's tables"),
            Self::TooLong(bytes) => write!(formatter, "{bytes} bytes are more than {PAGE_SIZE}"),
            Self::Corrupt { handle } => write!(formatter, "object {handle} is not what was stored"),
        }
    }
}

impl core::error::Error for StoreError {}
