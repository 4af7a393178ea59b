//! What can be done with a file without waiting.

use core::ops::{BitAnd, BitOr, BitOrAssign};

use linux_raw_sys::general as linux;

/// What can be done, as the bits of `poll(2)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready(pub u32);

impl Ready {
    /// There is something to read, or the end.
    pub const IN: Self = Self(linux::POLLIN | linux::POLLRDNORM);
    /// Something can be written.
    pub const OUT: Self = Self(linux::POLLOUT | linux::POLLWRNORM);
    /// What is written has no reader.
    pub const ERROR: Self = Self(linux::POLLERR);
    /// There is no writer any more.
    pub const HANG_UP: Self = Self(linux::POLLHUP);
}

impl BitOr for Ready {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Ready {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl BitAnd for Ready {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}
