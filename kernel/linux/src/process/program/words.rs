//! Lists of words: the arguments and the environment of a program.

use alloc::vec::Vec;

use quire_machine::fallible::{NoMemory, TryVec};

/// A list of words, each with a zero behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words {
    bytes: Vec<u8>,
    count: usize,
}

impl Words {
    /// The most bytes that a word of a program's may have, the zero behind it included (Linux: `MAX_ARG_STRLEN`).
    pub const WORD_MAX: usize = 128 << 10;
    /// However small its stack may become, a program's words may have as many bytes (Linux: `ARG_MAX`).
    pub const LEAST_ROOM: usize = 128 << 10;
    /// However large, they may not have more (Linux: three quarters of `_STK_LIM`).
    pub const MOST_ROOM: usize = 6 << 20;

    /// No words.
    pub const fn new() -> Self {
        Self { bytes: Vec::new(), count: 0 }
    }

    /// Adds `word`, which holds no zero.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub fn push(&mut self, word: &[u8]) -> Result<(), NoMemory> {
        self.bytes.reserve_more(word.len() + 1)?;
        self.bytes.try_extend(word.iter().copied())?;
        self.bytes.try_push(0)?;
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

/// What the command line says of the first process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InitWords<'a> {
    /// Its program, if one is named.
    pub program: Option<&'a str>,
    /// Its arguments, but for its name.
    pub arguments: Words,
    /// Its environment.
    pub environment: Words,
}

impl InitWords<'_> {
    /// Adds an argument.
    pub fn push_argument(&mut self, word: &str) {
        // A command line is shorter than what a program may be given.
        let _ = self.arguments.push(word.as_bytes());
    }

    /// Adds a variable to the environment.
    pub fn push_environment(&mut self, word: &str) {
        // As above.
        let _ = self.environment.push(word.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::Words;

    #[test]
    fn words_come_back_as_they_were() {
        let mut words = Words::new();
        for word in [&b"sh"[..], b"", b"-c"] {
            words.push(word).unwrap();
        }
        assert_eq!(words.iter().collect::<Vec<_>>(), [&b"sh"[..], b"", b"-c"]);
        assert_eq!((words.count(), words.as_bytes()), (3, &b"sh\0\0-c\0"[..]));
    }
}
