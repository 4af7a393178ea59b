//! What zram's and zswap's attributes have in common: what can be done with one, and how Linux reads values.

/// What can be done with an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It can be read.
    Read,
    /// It can be written.
    Write,
    /// Both.
    Both,
}

/// A switch (Linux: `kstrtobool`).
pub fn boolean(value: &str) -> Option<bool> {
    match value.as_bytes() {
        [b'1' | b'y' | b'Y' | b't' | b'T', ..] | [b'o' | b'O', b'n' | b'N', ..] => Some(true),
        [b'0' | b'n' | b'N' | b'f' | b'F', ..] | [b'o' | b'O', b'f' | b'F', ..] => Some(false),
        _ => None,
    }
}

/// A number of bytes and nothing else: see [`leading_size`].
pub fn size(text: &str) -> Option<u64> {
    leading_size(text).filter(|(_, rest)| rest.is_empty()).map(|(bytes, _)| bytes)
}

/// A number of bytes, whatever follows it: see [`leading_size`].
pub(crate) fn memory_size(text: &str) -> Option<u64> {
    leading_size(text).map(|(bytes, _)| bytes)
}

/// A number of bytes with an optional suffix, each a factor of 1024, and what follows it (Linux: `memparse`). `None` if the
/// text does not begin with a number, or the number is too large.
pub fn leading_size(text: &str) -> Option<(u64, &str)> {
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.starts_with('0') => (text, 8),
        None => (text, 10),
    };
    let end = digits.find(|letter: char| !letter.is_digit(radix)).unwrap_or(digits.len());
    let number = u64::from_str_radix(digits.get(..end)?, radix).ok()?;
    let shift = match digits.as_bytes().get(end).map(u8::to_ascii_uppercase) {
        Some(b'K') => 10,
        Some(b'M') => 20,
        Some(b'G') => 30,
        Some(b'T') => 40,
        Some(b'P') => 50,
        Some(b'E') => 60,
        _ => 0,
    };
    let rest = &digits[end + usize::from(shift > 0)..];
    Some((number.checked_mul(1 << shift)?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_read_as_linux_reads_them() {
        for (text, on) in [
            ("1", Some(true)),
            ("Yes", Some(true)),
            ("t", Some(true)),
            ("on", Some(true)),
            ("0", Some(false)),
            ("N", Some(false)),
            ("false", Some(false)),
            ("Off", Some(false)),
            ("", None),
            ("o", None),
            ("2", None),
        ] {
            assert_eq!(boolean(text), on, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_as_linux_reads_them() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("107374182400", Some(107_374_182_400)),
            ("128M", Some(128 << 20)),
            ("010", Some(8)),
            ("1k", Some(1024)),
            ("0x10K", Some(16 << 10)),
            ("2G and more", Some(2 << 30)),
            ("", None),
            ("banana", None),
            ("-1", None),
            ("0x", None),
            ("99999999999999999999", None),
            ("99999999999E", None),
        ] {
            assert_eq!(memory_size(text), bytes, "{text}");
        }
    }

    #[test]
    fn a_size_alone_has_nothing_behind_it() {
        for (text, bytes) in [("4096", 4096), ("12k", 12 << 10), ("32M", 32 << 20), ("1G", 1 << 30), ("16T", 16 << 40)]
        {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
        for nonsense in ["", "M", "banana", "-1", "1.5M", "1M ", "99999999999G"] {
            assert_eq!(size(nonsense), None, "{nonsense}");
        }
    }
}
