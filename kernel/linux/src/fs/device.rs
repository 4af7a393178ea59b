//! Device files: from a number to what it opens.
//!
//! | number | name | what |
//! |---|---|---|
//! | 1:3, 1:5, 1:7 | null, zero, full | nothing to read or zeros; takes what is written, or has no room for it |
//! | 1:8, 1:9 | random, urandom | [`quire_machine::random`] |
//! | 1:11 | kmsg | the log, a line for each read; what is written becomes a line of it |
//! | 1:13 | ghostswap | a swap area's header, for the area without a device: [`super::ghost`] |
//! | 4:64, 5:0, 5:1 | ttyS0, tty, console | the serial console |
//! | 252:N, 254:16 N | zramN, vda… | disks: see [`super::block`] |
//!
//! Linux gives zram and virtio disks their major numbers at run time; here they are those that it usually gives.

use alloc::sync::Arc;
use core::any::Any;

use quire_machine::fallible;
use quire_machine::physical;
use quire_machine::random;
use quire_machine::task::check_signals;
use quire_machine::user::Word;
use quire_swap::header::PAGE_SIZE;

use super::ghost::{self, GHOST, Ghost};
use super::node::{Device, File, NodeKind, Wait};
use super::position::{Position, Whence};
use super::{block, kmsg, terminal};
use crate::errno::Errno;

/// The number of the endless zeros, which a program may map.
pub const ZERO: Device = Device { major: 1, minor: 5 };

/// The number of what is empty.
pub const NULL: Device = Device { major: 1, minor: 3 };

/// The device files that there are always: name, number, permissions.
pub const CHARACTERS: [(&str, u32, u32, u32); 10] = [
    ("null", 1, 3, 0o666),
    ("zero", 1, 5, 0o666),
    ("full", 1, 7, 0o666),
    ("random", 1, 8, 0o666),
    ("urandom", 1, 9, 0o666),
    ("kmsg", 1, 11, 0o644),
    ("ghostswap", GHOST.major, GHOST.minor, ghost::PERMISSIONS),
    ("ttyS0", 4, 64, 0o600),
    ("tty", 5, 0, 0o666),
    ("console", 5, 1, 0o600),
];

/// Opens a device.
///
/// # Errors
/// `ENXIO` if there is none of that number.
pub fn open(kind: NodeKind, flags: u32) -> Result<Arc<dyn File>, Errno> {
    match kind {
        NodeKind::Character(GHOST) => Ok(fallible::shared(Ghost::new(physical::managed_frames() as u64))?),
        NodeKind::Character(Device { major: 1, minor }) => match minor {
            3 => Ok(fallible::shared(Endless::Null)?),
            5 => Ok(fallible::shared(Endless::Zero)?),
            7 => Ok(fallible::shared(Endless::Full)?),
            8 | 9 => Ok(fallible::shared(Endless::Random)?),
            11 => kmsg::open(),
            _ => Err(Errno::ENXIO),
        },
        NodeKind::Character(device @ (Device { major: 4, minor: 64 } | Device { major: 5, minor: 0 | 1 })) => {
            terminal::file::open(device, flags)
        }
        NodeKind::Block(device) => block::open(device, flags),
        _ => Err(Errno::ENXIO),
    }
}

/// Devices that are nothing but an endless run of bytes.
enum Endless {
    Null,
    Zero,
    Full,
    Random,
}

impl File for Endless {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, _: Position, buffer: &mut [u8], _: Wait) -> Result<usize, Errno> {
        // Between pages any signal ends it (Linux: `read_iter_zero`, `get_random_bytes_user`).
        let most = if check_signals().is_ok() { buffer.len() } else { buffer.len().min(PAGE_SIZE) };
        let buffer = &mut buffer[..most];
        match self {
            Self::Null => return Ok(0),
            Self::Zero | Self::Full => buffer.fill(0),
            Self::Random => random::fill(buffer),
        }
        Ok(buffer.len())
    }

    fn write(&self, _: Position, bytes: &[u8], _: Wait) -> Result<usize, Errno> {
        if matches!(self, Self::Full) { Err(Errno::ENOSPC) } else { Ok(bytes.len()) }
    }

    fn length(&self) -> Option<Position> {
        Some(Position::START)
    }

    fn without_memory(&self, bytes: usize, writes: bool) -> Option<Result<usize, Errno>> {
        match (self, writes) {
            (Self::Null, false) => Some(Ok(0)),
            (Self::Null | Self::Zero, true) => Some(Ok(bytes)),
            (Self::Full, true) => Some(Err(Errno::ENOSPC)),
            _ => None,
        }
    }

    /// Linux lets these be positioned, to no effect (`null_lseek`, `noop_llseek`), and neither reading nor writing moves them.
    fn seek(&self, _: Position, _: i64, _: Whence) -> Result<Position, Errno> {
        Ok(Position::START)
    }

    fn control(&self, _: u32, _: Word) -> Result<u64, Errno> {
        Err(if matches!(self, Self::Random) { Errno::EINVAL } else { Errno::ENOTTY })
    }
}
