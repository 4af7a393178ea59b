//! There is no memory: of the heap, or of frames.

use core::fmt;

/// The heap has no memory for what was needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too little memory")
    }
}

/// There is no memory for what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocationError;

impl From<NoMemory> for AllocationError {
    fn from(NoMemory: NoMemory) -> Self {
        Self
    }
}

impl fmt::Display for AllocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too little memory")
    }
}
