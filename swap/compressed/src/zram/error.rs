//! What a device answers to control.

use core::fmt;

use quire_swap::IoError;
use quire_swap::heap::NoMemory;

use crate::killed::Killed;
use crate::store::StoreError;

/// Why something was not done. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZramError {
    /// There is no such attribute.
    NoAttribute,
    /// The attribute can only be written.
    WriteOnly,
    /// The attribute can only be read.
    ReadOnly,
    /// The value means nothing here, or the device has no size yet.
    Invalid,
    /// The value is too long.
    TooLong,
    /// The device is in use, or has a size already.
    Busy,
    /// There is no such device.
    NoDevice,
    /// There is no backing device.
    NoBacking,
    /// The backing device is none.
    NotBlock,
    /// There is no such file.
    NoFile,
    /// The backing device cannot be written.
    WriteProtected,
    /// There is no such slot.
    Range,
    /// The budget of writeback is spent.
    NoBudget,
    /// The backing device is full.
    NoSpace,
    /// The backing device failed.
    Backing(IoError),
    /// Slots are being written back already.
    Again,
    /// No memory.
    NoMemory,
    /// The task was killed meanwhile; what was done until then stays.
    Killed,
}

impl fmt::Display for ZramError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoAttribute => "no such attribute",
            Self::WriteOnly => "the attribute cannot be read",
            Self::ReadOnly => "the attribute cannot be written",
            Self::Invalid => "invalid value, or not in this state",
            Self::TooLong => "the value is too long",
            Self::Busy => "the device is in use",
            Self::NoDevice => "no such device",
            Self::NoBacking => "there is no backing device",
            Self::NotBlock => "not a block device",
            Self::NoFile => "no such file",
            Self::WriteProtected => "the backing device is read-only",
            Self::Range => "no such slot",
            Self::NoBudget => "the budget is spent",
            Self::NoSpace => "the backing device is full",
            Self::Backing(error) => return write!(formatter, "backing device: {error}"),
            Self::Again => "busy with the same already",
            Self::NoMemory => "no memory",
            Self::Killed => "interrupted",
        })
    }
}

impl core::error::Error for ZramError {}

impl From<NoMemory> for ZramError {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}

impl From<Killed> for ZramError {
    fn from(Killed: Killed) -> Self {
        Self::Killed
    }
}

impl From<StoreError> for ZramError {
    fn from(_: StoreError) -> Self {
        Self::NoMemory
    }
}
