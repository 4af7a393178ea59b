//! The kernel's command line: words separated by white space, most of them `key=value`, as on Linux.
//!
//! Unknown words are ignored, as Linux ignores them; a word that is known but whose value makes no sense is an error,
//! because whoever wrote it expected something to happen.

use core::fmt;

/// A command line, looked up by key.
#[derive(Clone, Copy, Debug)]
pub struct CommandLine<'a> {
    line: &'a str,
}

/// A known word with a value that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadValue<'a> {
    /// The word's key.
    pub key: &'a str,
    /// What stood behind the equals sign.
    pub value: &'a str,
    /// What would have been right.
    pub expected: &'static str,
}

impl fmt::Display for BadValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command line: {}={}: expected {}", self.key, self.value, self.expected)
    }
}

impl<'a> CommandLine<'a> {
    /// Looks at `line`.
    pub const fn new(line: &'a str) -> Self {
        Self { line }
    }

    /// The line as it came.
    pub const fn as_str(&self) -> &'a str {
        self.line
    }

    /// Every value of `key`, in order.
    pub fn values(&self, key: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
        self.line.split_whitespace().filter_map(move |word| word.strip_prefix(key)?.strip_prefix('='))
    }

    /// The last value of `key`: a later word overrides an earlier one.
    pub fn value(&self, key: &'a str) -> Option<&'a str> {
        self.values(key).last()
    }

    /// The last value of `key` as a size in bytes.
    ///
    /// # Errors
    /// [`BadValue`] when it is no size.
    pub fn size(&self, key: &'a str) -> Result<Option<u64>, BadValue<'a>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        parse_size(value).map(Some).ok_or(BadValue { key, value, expected: "a size such as 32M" })
    }

    /// The last value of `key` as a whole number.
    ///
    /// # Errors
    /// [`BadValue`] when it is no number.
    pub fn number(&self, key: &'a str) -> Result<Option<u64>, BadValue<'a>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.parse().map(Some).map_err(|_| BadValue { key, value, expected: "a whole number" })
    }
}

/// Reads a size in bytes: digits, then nothing, `K`, `M`, `G` or `T` (powers of 1,024; lower case too), as Linux's `memparse`.
pub fn parse_size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 10),
        b'm' | b'M' => (&text[..text.len() - 1], 20),
        b'g' | b'G' => (&text[..text.len() - 1], 30),
        b't' | b'T' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::{BadValue, CommandLine, parse_size};

    #[test]
    fn sizes_are_read_as_linux_reads_them() {
        assert_eq!(parse_size("4096"), Some(4096));
        assert_eq!(parse_size("12k"), Some(12 << 10));
        assert_eq!(parse_size("32M"), Some(32 << 20));
        assert_eq!(parse_size("1G"), Some(1 << 30));
        assert_eq!(parse_size("16T"), Some(16 << 40));
        for nonsense in ["", "M", "banana", "-1", "1.5M", "99999999999G"] {
            assert_eq!(parse_size(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn a_later_word_overrides_and_lists_keep_their_order() {
        let line = CommandLine::new("mem=64M swapon=/dev/vda,5 quiet mem=32M  swapon=/dev/vdb");
        assert_eq!(line.size("mem"), Ok(Some(32 << 20)));
        assert_eq!(line.values("swapon").collect::<Vec<_>>(), ["/dev/vda,5", "/dev/vdb"]);
        assert_eq!(line.value("scenario"), None);
        assert_eq!(line.value("swap"), None, "a key is a whole word");
    }

    #[test]
    fn nonsense_is_named() {
        let bad = CommandLine::new("mem=banana").size("mem").unwrap_err();
        assert_eq!(bad, BadValue { key: "mem", value: "banana", expected: "a size such as 32M" });
        assert_eq!(bad.to_string(), "command line: mem=banana: expected a size such as 32M");
    }
}
