//! The error numbers of Linux that swap's system calls return; used only where an error leaves the core.

use core::fmt;

/// A Linux error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Errno {
    /// `EPERM`
    NotPermitted = 1,
    /// `ENOENT`
    NoEntry = 2,
    /// `EINTR`
    Interrupted = 4,
    /// `EIO`
    Io = 5,
    /// `E2BIG`
    TooBig = 7,
    /// `EAGAIN`
    Again = 11,
    /// `ENOMEM`
    NoMemory = 12,
    /// `EACCES`
    Access = 13,
    /// `ENOTBLK`
    NotBlock = 15,
    /// `EBUSY`
    Busy = 16,
    /// `ENODEV`
    NoDevice = 19,
    /// `EINVAL`
    Invalid = 22,
    /// `ENOSPC`
    NoSpace = 28,
    /// `EROFS`
    ReadOnly = 30,
    /// `ERANGE`
    Range = 34,
}

impl Errno {
    /// The positive number, as in `errno.h`.
    pub const fn number(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::NotPermitted => "EPERM",
            Self::NoEntry => "ENOENT",
            Self::Interrupted => "EINTR",
            Self::Io => "EIO",
            Self::TooBig => "E2BIG",
            Self::Again => "EAGAIN",
            Self::NoMemory => "ENOMEM",
            Self::Access => "EACCES",
            Self::NotBlock => "ENOTBLK",
            Self::Busy => "EBUSY",
            Self::NoDevice => "ENODEV",
            Self::Invalid => "EINVAL",
            Self::NoSpace => "ENOSPC",
            Self::ReadOnly => "EROFS",
            Self::Range => "ERANGE",
        })
    }
}
