//! What `FUTEX_WAKE_OP` does to its second word, and what it asks of what that was (Linux: `futex_atomic_op_inuser`).

use linux_raw_sys::general as linux;

/// An operation and a comparison, as a program encodes them: four bits each, and twelve for each argument.
#[derive(Clone, Copy, Debug)]
pub struct Operation(u32);

/// There is no such operation or comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown;

impl Operation {
    /// The operation that a program's word says.
    pub const fn new(word: u32) -> Self {
        Self(word)
    }

    /// The twelve bits from `shift` on, with their sign.
    const fn argument(self, shift: u32) -> u32 {
        ((self.0 << (20 - shift)).cast_signed() >> 20).cast_unsigned()
    }

    /// What becomes of `old`.
    ///
    /// # Errors
    /// [`Unknown`]
    pub fn apply(self, old: u32) -> Result<u32, Unknown> {
        let (kind, argument) = (self.0 >> 28, self.argument(12));
        let argument = if kind & linux::FUTEX_OP_OPARG_SHIFT == 0 { argument } else { 1 << (argument & 31) };
        match kind & !linux::FUTEX_OP_OPARG_SHIFT {
            linux::FUTEX_OP_SET => Ok(argument),
            linux::FUTEX_OP_ADD => Ok(old.wrapping_add(argument)),
            linux::FUTEX_OP_OR => Ok(old | argument),
            linux::FUTEX_OP_ANDN => Ok(old & !argument),
            linux::FUTEX_OP_XOR => Ok(old ^ argument),
            _ => Err(Unknown),
        }
    }

    /// Whether `old` is what the second word's waiters are woken for.
    ///
    /// # Errors
    /// [`Unknown`]
    pub fn holds(self, old: u32) -> Result<bool, Unknown> {
        let (old, argument) = (old.cast_signed(), self.argument(0).cast_signed());
        match self.0 >> 24 & 15 {
            linux::FUTEX_OP_CMP_EQ => Ok(old == argument),
            linux::FUTEX_OP_CMP_NE => Ok(old != argument),
            linux::FUTEX_OP_CMP_LT => Ok(old < argument),
            linux::FUTEX_OP_CMP_LE => Ok(old <= argument),
            linux::FUTEX_OP_CMP_GT => Ok(old > argument),
            linux::FUTEX_OP_CMP_GE => Ok(old >= argument),
            _ => Err(Unknown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn operation(kind: u32, argument: u32, comparison: u32, compared: u32) -> Operation {
        Operation::new(kind << 28 | comparison << 24 | (argument & 0xfff) << 12 | compared & 0xfff)
    }

    #[test]
    fn words_change_as_linux_changes_them() {
        let apply = |kind, argument| operation(kind, argument, 0, 0).apply(0b1010);
        assert_eq!([0, 1, 2, 3, 4].map(|kind| apply(kind, 0b0110)), [6, 16, 14, 8, 12].map(Ok));
        assert_eq!((apply(0, u32::MAX), apply(1, u32::MAX)), (Ok(u32::MAX), Ok(9)));
        // Shifted, of which five bits count.
        assert_eq!((apply(8, 5), apply(9, 33), apply(8, 31)), (Ok(32), Ok(12), Ok(1 << 31)));
        assert_eq!([5, 6, 7, 13].map(|kind| apply(kind, 1)), [Err(Unknown); 4]);
    }

    #[test]
    fn what_the_word_was_is_compared_with_its_sign() {
        let holds = |comparison, old: i32| operation(0, 0, comparison, u32::MAX).holds(old.cast_unsigned());
        for (comparison, expected) in [
            (0, [false, true, false]),
            (1, [true, false, true]),
            (2, [true, false, false]),
            (3, [true, true, false]),
            (4, [false, false, true]),
            (5, [false, true, true]),
        ] {
            assert_eq!([-2, -1, 0].map(|old| holds(comparison, old)), expected.map(Ok), "{comparison}");
        }
        assert_eq!([6, 15].map(|comparison| holds(comparison, 0)), [Err(Unknown); 2]);
    }
}
