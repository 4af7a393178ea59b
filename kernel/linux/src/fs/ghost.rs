//! The device file of the ghost swap device: its header can be read, and what is written is gone.

use core::any::Any;

use quire_swap::ghost;

use super::node::{Device, File, Wait};
use super::position::{Position, Whence};
use crate::errno::Errno;

/// The device's number.
pub const GHOST: Device = Device { major: 1, minor: 13 };
/// What may be done with its file.
pub const PERMISSIONS: u32 = 0o660;

/// The device, opened.
pub struct Ghost {
    frames: u64,
}

impl Ghost {
    /// That of a machine with so many frames.
    pub const fn new(frames: u64) -> Self {
        Self { frames }
    }
}

impl File for Ghost {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, position: Position, buffer: &mut [u8], _: Wait) -> Result<usize, Errno> {
        Ok(ghost::read(self.frames, position.get(), buffer))
    }

    fn write(&self, _: Position, bytes: &[u8], _: Wait) -> Result<usize, Errno> {
        Ok(bytes.len())
    }

    fn length(&self) -> Option<Position> {
        Some(Position::START)
    }

    /// Writing looks at no memory and moves nothing (Linux: `write_null`).
    fn without_memory(&self, bytes: usize, writes: bool) -> Option<Result<usize, Errno>> {
        writes.then_some(Ok(bytes))
    }

    /// Every place is the first one (Linux: `null_lseek`).
    fn seek(&self, _: Position, _: i64, _: Whence) -> Result<Position, Errno> {
        Ok(Position::START)
    }
}

#[cfg(test)]
mod tests {
    use super::{GHOST, Ghost, PERMISSIONS};
    use crate::fs::node::{File, Wait};
    use crate::fs::position::{Position, Whence};

    #[test]
    fn the_node_is_the_one_of_linux() {
        assert_eq!((GHOST.number(), PERMISSIONS), (0x10d, 0o660));
    }

    #[test]
    fn it_reads_as_its_header_to_the_end_of_the_page() {
        let ghost = Ghost::new(1000);
        let read = |position, length: usize| {
            let mut buffer = [0xee; 64];
            let count = ghost.read(Position::new(position).unwrap(), &mut buffer[..length], Wait::Never).unwrap();
            assert!(buffer[count..].iter().all(|byte| *byte == 0xee), "nothing behind what was read");
            buffer[..count].to_vec()
        };
        assert_eq!(read(1024, 8), [1, 0, 0, 0, 999_u32.to_le_bytes()[0], 3, 0, 0]);
        assert_eq!(read(4086, 10), b"SWAPSPACE2");
        assert_eq!(read(4090, 64), b"SPACE2");
        assert_eq!(read(4095, 0), b"");
        for end in [4096, 4097, 1 << 40, i64::MAX.cast_unsigned()] {
            assert_eq!(read(end, 64), b"");
        }
    }

    #[test]
    fn what_is_written_is_gone_and_every_place_is_the_first() {
        let ghost = Ghost::new(1000);
        assert_eq!(ghost.write(Position::START, &[7; 9], Wait::Never), Ok(9));
        assert_eq!(ghost.without_memory(9, true), Some(Ok(9)));
        assert_eq!(ghost.without_memory(9, false), None);
        assert_eq!(ghost.length(), Some(Position::START));
        for whence in [Whence::Start, Whence::Current, Whence::End, Whence::Data, Whence::Hole] {
            for offset in [0, 100, -1, i64::MIN, i64::MAX] {
                assert_eq!(ghost.seek(Position::MAX, offset, whence), Ok(Position::START), "{whence:?} {offset}");
            }
        }
    }
}
