//! Places in files.

// The tests calculate in `i128`, where nothing of this wraps.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use linux_raw_sys::general as linux;
use quire_machine::user::Word;

use crate::errno::Errno;

/// What an offset of `lseek(2)` counts from, or looks for from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whence {
    /// The file's beginning.
    Start,
    /// Where the open file stands.
    Current,
    /// The file's end.
    End,
    /// The next data.
    Data,
    /// The next hole.
    Hole,
}

impl Whence {
    /// That of `number`, if there is one.
    pub const fn new(number: u32) -> Option<Self> {
        match number {
            linux::SEEK_SET => Some(Self::Start),
            linux::SEEK_CUR => Some(Self::Current),
            linux::SEEK_END => Some(Self::End),
            linux::SEEK_DATA => Some(Self::Data),
            linux::SEEK_HOLE => Some(Self::Hole),
            _ => None,
        }
    }
}

/// A place in a file, or a length of one: Linux's `loff_t`, when it is not negative. It cannot be more than 2⁶³−1, which is
/// also the most that a file may have (Linux: `MAX_LFS_FILESIZE`), so it is moved by checked steps only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(u64);

impl Position {
    /// The first byte.
    pub const START: Self = Self(0);
    /// The last place that there is: no byte can be here.
    pub const MAX: Self = Self(i64::MAX.cast_unsigned());

    /// The place behind `bytes` bytes; none if that is too far.
    pub const fn new(bytes: u64) -> Option<Self> {
        if bytes <= Self::MAX.0 { Some(Self(bytes)) } else { None }
    }

    /// What a program gives as one.
    ///
    /// # Errors
    /// `EINVAL` for a negative one.
    pub fn from_word(word: Word) -> Result<Self, Errno> {
        Self::new(word.bits()).ok_or(Errno::EINVAL)
    }

    /// How many bytes lie before it.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// How many bytes can lie behind it.
    pub const fn room(self) -> u64 {
        Self::MAX.0.saturating_sub(self.0)
    }

    /// The place `bytes` bytes further, or the last one that there is.
    #[must_use]
    pub const fn after(self, bytes: usize) -> Self {
        match Self::new(self.0.saturating_add(bytes as u64)) {
            Some(after) => after,
            None => Self::MAX,
        }
    }

    /// The place `by` bytes further, or nearer; none where there is no place.
    pub fn moved(self, by: i64) -> Option<Self> {
        self.0.checked_add_signed(by).and_then(Self::new)
    }

    /// Where `lseek(2)` leads in a file of `length` bytes, at most to `max` (Linux: `generic_file_llseek_size`). The file does
    /// not say where its holes are: it is all data, with a hole at its end.
    ///
    /// # Errors
    /// `EINVAL` where there is no place; `ENXIO` for data or a hole from beyond the end.
    pub fn seek(self, length: Self, max: Self, offset: i64, whence: Whence) -> Result<Self, Errno> {
        let from = match whence {
            Whence::Current => self,
            Whence::End => length,
            Whence::Data | Whence::Hole if offset.cast_unsigned() >= length.0 => return Err(Errno::ENXIO),
            Whence::Start | Whence::Data => Self::START,
            Whence::Hole => return Ok(length),
        };
        from.moved(offset).filter(|place| *place <= max).ok_or(Errno::EINVAL)
    }

    /// The place behind a transfer of `bytes` bytes that begins here.
    ///
    /// # Errors
    /// `EINVAL` where there is none (Linux: `rw_verify_area`).
    pub fn end_of_transfer(self, bytes: u64) -> Result<Self, Errno> {
        self.0.checked_add(bytes).and_then(Self::new).ok_or(Errno::EINVAL)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Position, Whence};
    use crate::errno::Errno;

    const MAX: i128 = i64::MAX as i128;

    fn edges() -> impl Strategy<Value = u64> {
        let edge = prop::sample::select(vec![0, 0x1000, 1 << 62, 1 << 63, u64::MAX]);
        prop_oneof![any::<u64>(), (edge, -9_i64..9).prop_map(|(edge, by)| edge.saturating_add_signed(by))]
    }

    proptest! {
        #[test]
        fn positions_move_as_whole_numbers_do_within_their_limits(at in edges(), bytes in edges(), by: i64) {
            let place = |exact: i128| (0..=MAX).contains(&exact).then_some(exact);
            let exact = |position: Position| i128::from(position.get());
            prop_assert_eq!(Position::new(at).map(exact), place(at.into()));
            let Some(from) = Position::new(at) else { return Ok(()) };
            prop_assert_eq!(exact(from) + i128::from(from.room()), MAX);
            prop_assert_eq!(exact(from.after(bytes as usize)), (exact(from) + i128::from(bytes)).min(MAX));
            prop_assert_eq!(from.moved(by).map(exact), place(exact(from) + i128::from(by)));
            for (whence, base) in [(Whence::Start, 0), (Whence::Current, exact(from)), (Whence::End, 4096)] {
                let length = Position::new(4096).unwrap();
                let moved = place(base + i128::from(by)).ok_or(Errno::EINVAL);
                prop_assert_eq!(from.seek(length, Position::MAX, by, whence).map(exact), moved);
                let within = moved.and_then(|place| if place <= 4096 { Ok(place) } else { Err(Errno::EINVAL) });
                prop_assert_eq!(from.seek(length, length, by, whence).map(exact), within);
            }
            let end = place(exact(from) + i128::from(bytes)).ok_or(Errno::EINVAL);
            prop_assert_eq!(from.end_of_transfer(bytes).map(exact), end);
        }
    }
}
