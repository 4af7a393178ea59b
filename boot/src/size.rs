//! Sizes as a person writes them: `64M`, `512K`, `1G` or a number of bytes.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// Why a text is no [`Size`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SizeError {
    /// Not a whole number with or without a suffix.
    #[error("not a size; write a whole number of bytes or one with the suffix K, M or G, such as 64M")]
    NotASize,
    /// More bytes than fit into 64 bits.
    #[error("more than any disk or memory holds; write something such as 64M")]
    TooLarge,
}

const SUFFIXES: [(char, u64); 3] = [('G', 1 << 30), ('M', 1 << 20), ('K', 1 << 10)];

impl Size {
    /// `count` bytes.
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// `count` times 2^20 bytes.
    pub const fn mebibytes(count: u64) -> Self {
        Self(count << 20)
    }

    /// The number of bytes.
    pub const fn in_bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let suffix = SUFFIXES.into_iter().find(|(letter, _)| text.ends_with([*letter, letter.to_ascii_lowercase()]));
        let (digits, unit) = suffix.map_or((text, 1), |(_, unit)| (&text[..text.len() - 1], unit));
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(SizeError::NotASize);
        }
        let count: u64 = digits.parse().map_err(|_| SizeError::TooLarge)?;
        count.checked_mul(unit).map(Self).ok_or(SizeError::TooLarge)
    }
}

/// Exact, with the largest suffix that divides it.
impl fmt::Display for Size {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SUFFIXES.into_iter().find(|(_, unit)| self.0 != 0 && self.0.is_multiple_of(*unit)) {
            Some((letter, unit)) => write!(formatter, "{}{letter}", self.0 / unit),
            None => write!(formatter, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Size, SizeError};

    #[test]
    fn a_number_with_or_without_a_suffix_is_a_size() {
        for (text, bytes) in [("0", 0), ("4096", 4096), ("40k", 40 << 10), ("64M", 64 << 20), ("3G", 3 << 30)] {
            assert_eq!(text.parse(), Ok(Size::bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn nonsense_is_no_size() {
        for text in ["", "M", "banana", "-1", "+1", "1.5G", "64 M", "64MB", "0x10", "M64", "é", "1é"] {
            assert_eq!(text.parse::<Size>(), Err(SizeError::NotASize), "{text}");
        }
        for text in ["18446744073709551616", "17179869184G"] {
            assert_eq!(text.parse::<Size>(), Err(SizeError::TooLarge), "{text}");
        }
    }

    #[test]
    fn a_size_is_shown_exactly_and_read_back() {
        for text in ["0", "1", "4097", "8193K", "64M", "1025M", "2G"] {
            assert_eq!(text.parse::<Size>().unwrap().to_string(), text);
        }
        assert_eq!(Size::bytes(1 << 30).to_string(), "1G");
    }
}
