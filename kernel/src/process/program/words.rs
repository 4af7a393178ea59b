//! Lists of words: the arguments and the environment of a program.

use alloc::vec::Vec;

/// A list of words, each with a zero behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    bytes: Vec<u8>,
    count: usize,
}

/// The words are too many or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl Words {
    /// The most bytes that a list may have. Linux allows a quarter of the stack; here the words are on the kernel heap for a
    /// moment.
    pub const BYTES_MAX: usize = 128 << 10;

    /// No words.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), count: 0 }
    }

    /// Adds `word`, which holds no zero.
    ///
    /// # Errors
    /// [`TooLong`]
    pub fn push(&mut self, word: &[u8]) -> Result<(), TooLong> {
        let bytes = word.len() + 1;
        if self.bytes.len() + bytes > Self::BYTES_MAX {
            return Err(TooLong);
        }
        self.bytes.try_reserve(bytes).map_err(|_| TooLong)?;
        self.bytes.extend_from_slice(word);
        self.bytes.push(0);
        self.count += 1;
        Ok(())
    }

    /// How many words there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// All the words, each with a zero behind it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The words.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.split_inclusive(|&byte| byte == 0).map(|word| &word[..word.len() - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::{TooLong, Words};

    #[test]
    fn words_come_back_as_they_were() {
        let mut words = Words::new();
        for word in [&b"sh"[..], b"", b"-c"] {
            words.push(word).unwrap();
        }
        assert_eq!(words.iter().collect::<Vec<_>>(), [&b"sh"[..], b"", b"-c"]);
        assert_eq!((words.count(), words.as_bytes()), (3, &b"sh\0\0-c\0"[..]));
    }

    #[test]
    fn there_is_an_end_to_them() {
        let mut words = Words::new();
        words.push(&vec![b'x'; Words::BYTES_MAX - 2]).unwrap();
        words.push(b"").unwrap();
        assert_eq!(words.push(b""), Err(TooLong));
    }
}
