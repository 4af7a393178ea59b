//! What a device answers to control.

use core::fmt;

use crate::errno::Errno;
use crate::heap::NoMemory;
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
    /// No memory.
    NoMemory,
}

impl ZramError {
    /// What the system call returns.
    pub const fn errno(self) -> Errno {
        match self {
            Self::NoAttribute => Errno::NoEntry,
            Self::WriteOnly | Self::ReadOnly => Errno::Io,
            Self::Invalid => Errno::Invalid,
            Self::TooLong => Errno::TooBig,
            Self::Busy => Errno::Busy,
            Self::NoDevice => Errno::NoDevice,
            Self::NoMemory => Errno::NoMemory,
        }
    }
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
            Self::NoMemory => "no memory",
        })
    }
}

impl core::error::Error for ZramError {}

impl From<NoMemory> for ZramError {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}

impl From<StoreError> for ZramError {
    fn from(_: StoreError) -> Self {
        Self::NoMemory
    }
}
