//! The short name of a process.

use core::fmt;

/// At most 15 bytes, as Linux's `comm`; any bytes but 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Name([u8; Name::BYTES]);

impl Name {
    /// The room for a name with the zero behind it (`TASK_COMM_LEN`).
    pub const BYTES: usize = 16;

    /// As much of `bytes` as fits, up to the first zero.
    pub fn new(bytes: &[u8]) -> Self {
        let mut name = [0; Self::BYTES];
        let length = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len()).min(Self::BYTES - 1);
        name[..length].copy_from_slice(&bytes[..length]);
        Self(name)
    }

    /// The name of a program at `path`: what follows the last slash.
    pub fn of_program(path: &[u8]) -> Self {
        Self::new(path.rsplit(|&byte| byte == b'/').next().unwrap_or(path))
    }

    /// The name as two words.
    pub fn to_words(self) -> [u64; 2] {
        let word = |start: usize| u64::from_le_bytes(core::array::from_fn(|index| self.0[start + index]));
        [word(0), word(8)]
    }

    /// The name of two words; one that is just being changed comes out as parts of both.
    pub fn from_words(words: [u64; 2]) -> Self {
        let mut name = [0; Self::BYTES];
        name[..8].copy_from_slice(&words[0].to_le_bytes());
        name[8..].copy_from_slice(&words[1].to_le_bytes());
        name[Self::BYTES - 1] = 0;
        Self(name)
    }

    /// The name's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        let length = self.0.iter().position(|&byte| byte == 0).unwrap_or(Self::BYTES);
        &self.0[..length]
    }

    /// The name and zeros behind it.
    pub fn padded(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_bytes().utf8_chunks().try_for_each(|chunk| {
            f.write_str(chunk.valid())?;
            if chunk.invalid().is_empty() { Ok(()) } else { f.write_str("?") }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn a_name_is_the_end_of_a_path_cut_to_fifteen_bytes() {
        assert_eq!(Name::of_program(b"/bin/busybox").to_string(), "busybox");
        assert_eq!(Name::of_program(b"init").as_bytes(), b"init");
        assert_eq!(Name::of_program(b"/a/sixteen-letters-or-more").as_bytes(), b"sixteen-letters");
        assert_eq!(Name::new(b"odd\xff\0rest").to_string(), "odd?");
        let name = Name::new(b"fifteen-letters");
        assert_eq!(Name::from_words(name.to_words()), name);
    }
}
