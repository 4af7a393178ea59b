//! What the errors of the swap core, of zram and of zswap are to a program.

use quire_compressed::zram::ZramError;
use quire_compressed::zswap::ZswapError;
use quire_swap::{RegistryError, SwapOffError, SwapOnError};

use crate::errno::Errno;

/// `swapon(2)`
impl From<SwapOnError> for Errno {
    fn from(error: SwapOnError) -> Self {
        match error {
            SwapOnError::TooManyAreas => Self::EPERM,
            SwapOnError::NoMemory => Self::ENOMEM,
            SwapOnError::Busy | SwapOnError::Claimed => Self::EBUSY,
            SwapOnError::ReadOnly => Self::EROFS,
            SwapOnError::HeaderUnreadable(_) => Self::EIO,
            SwapOnError::Header(_)
            | SwapOnError::Flags(_)
            | SwapOnError::Extension(_)
            | SwapOnError::Backend(_)
            | SwapOnError::Extents(_) => Self::EINVAL,
        }
    }
}

/// `swapoff(2)`
impl From<SwapOffError> for Errno {
    fn from(error: SwapOffError) -> Self {
        match error {
            SwapOffError::NotActive => Self::EINVAL,
            SwapOffError::NoMemory => Self::ENOMEM,
            SwapOffError::Interrupted => Self::EINTR,
        }
    }
}

impl From<RegistryError> for Errno {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Taken(_) => Self::EBUSY,
            RegistryError::NotRegistered(_) => Self::EINVAL,
            RegistryError::NoMemory => Self::ENOMEM,
        }
    }
}

/// Linux: `drivers/block/zram/zram_drv.c`
impl From<ZramError> for Errno {
    fn from(error: ZramError) -> Self {
        match error {
            ZramError::NoAttribute | ZramError::NoFile => Self::ENOENT,
            ZramError::WriteOnly | ZramError::ReadOnly | ZramError::NoBudget | ZramError::Backing(_) => Self::EIO,
            ZramError::Invalid => Self::EINVAL,
            ZramError::TooLong => Self::E2BIG,
            ZramError::Busy => Self::EBUSY,
            ZramError::NoDevice | ZramError::NoBacking => Self::ENODEV,
            ZramError::NotBlock => Self::ENOTBLK,
            ZramError::WriteProtected => Self::EACCES,
            ZramError::Range => Self::ERANGE,
            ZramError::NoSpace => Self::ENOSPC,
            ZramError::Again => Self::EAGAIN,
            ZramError::NoMemory => Self::ENOMEM,
            ZramError::Killed => Self::EINTR,
        }
    }
}

/// Linux: `mm/zswap.c`
impl From<ZswapError> for Errno {
    fn from(error: ZswapError) -> Self {
        match error {
            ZswapError::NoAttribute => Self::ENOENT,
            ZswapError::ReadOnly => Self::EIO,
            ZswapError::Invalid => Self::EINVAL,
            ZswapError::NoMemory => Self::ENOMEM,
        }
    }
}

#[cfg(test)]
mod tests {
    use quire_swap::IoError;
    use quire_swap::header::HeaderError;

    use super::*;

    #[test]
    fn swapon_and_swapoff_fail_as_on_linux() {
        for (error, errno) in [
            (SwapOnError::Flags(0x8_0000), Errno::EINVAL),
            (SwapOnError::TooManyAreas, Errno::EPERM),
            (SwapOnError::Busy, Errno::EBUSY),
            (SwapOnError::Claimed, Errno::EBUSY),
            (SwapOnError::ReadOnly, Errno::EROFS),
            (SwapOnError::HeaderUnreadable(IoError::Device), Errno::EIO),
            (SwapOnError::Header(HeaderError::Magic([0; 10])), Errno::EINVAL),
        ] {
            assert_eq!(Errno::from(error), errno, "{error}");
        }
        assert_eq!(Errno::from(SwapOffError::NotActive), Errno::EINVAL);
        assert_eq!(Errno::from(SwapOffError::Interrupted), Errno::EINTR);
        assert_eq!(Errno::from(RegistryError::Taken("fake")), Errno::EBUSY);
    }

    #[test]
    fn attributes_fail_as_on_linux() {
        for (error, errno) in [
            (ZramError::NoAttribute, Errno::ENOENT),
            (ZramError::NoFile, Errno::ENOENT),
            (ZramError::NoBudget, Errno::EIO),
            (ZramError::TooLong, Errno::E2BIG),
            (ZramError::NoBacking, Errno::ENODEV),
            (ZramError::NotBlock, Errno::ENOTBLK),
            (ZramError::WriteProtected, Errno::EACCES),
            (ZramError::Range, Errno::ERANGE),
            (ZramError::Again, Errno::EAGAIN),
            (ZramError::Killed, Errno::EINTR),
        ] {
            assert_eq!(Errno::from(error), errno, "{error}");
        }
        assert_eq!(Errno::from(ZswapError::ReadOnly), Errno::EIO);
    }
}
