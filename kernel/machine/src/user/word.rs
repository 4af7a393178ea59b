//! Words as programs give them.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::UserPtr;

/// A word that a program gave. It has no arithmetic: each use first says what the word is taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(transparent)]
pub struct Word(u64);

impl Word {
    /// Null, or no.
    pub const ZERO: Self = Self(0);

    /// As it is in a register.
    #[inline]
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// All of its bits, for flags and commands.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// A C `unsigned int`: what the upper half holds means nothing.
    pub const fn low(self) -> u32 {
        self.0 as u32
    }

    /// A C `int`: what the upper half holds means nothing.
    #[inline]
    pub const fn int(self) -> i32 {
        self.low().cast_signed()
    }

    /// A C `long`.
    pub const fn long(self) -> i64 {
        self.0.cast_signed()
    }

    /// Whether it is null.
    #[inline]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// A pointer, to wherever it points.
    pub const fn pointer<T>(self) -> UserPtr<T> {
        UserPtr::new(self.0)
    }

    /// A pointer, if it is not null.
    pub const fn optional<T>(self) -> Option<UserPtr<T>> {
        if self.is_zero() { None } else { Some(self.pointer()) }
    }

    /// A count of at most `max`, which a greater one is cut to.
    pub fn at_most(self, max: usize) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX).min(max)
    }

    /// A count, if it is no more than `max`.
    pub fn count(self, max: usize) -> Option<usize> {
        usize::try_from(self.0).ok().filter(|count| *count <= max)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Word;

    proptest! {
        #[test]
        fn a_word_is_what_c_takes_it_for(bits: u64, max: usize) {
            let word = Word::new(bits);
            prop_assert_eq!(i128::from(word.int()), i128::from(bits as i32));
            prop_assert_eq!(i128::from(word.long()), i128::from(bits.cast_signed()));
            prop_assert_eq!(word.count(max).map(|count| count as i128), Some(i128::from(bits)).filter(|count| *count <= max as i128));
            prop_assert_eq!(word.at_most(max) as i128, i128::from(bits).min(max as i128));
        }
    }
}
