//! A recording of the page references of a machine, as its kernel writes it and the launcher reads it: bytes through an I/O port,
//! QEMU's `isa-debugcon`.
//!
//! A page is named by a number of its own, most of whose followers are close by: each reference is the distance from the page
//! after the last one, zigzag-coded (0, −1, 1, −2, …), in LEB128: seven bits a byte, the lowest first, the eighth says that more follow.

/// The port; each byte that is written there goes to the recording.
pub const RECORDING_PORT: u16 = 0x505;

/// The command-line word that makes the kernel record.
pub const RECORD_TRACE_WORD: &str = "record-trace";

/// The most bytes of one reference.
pub const REFERENCE_MAX: usize = 10;

/// Puts references into bytes.
#[derive(Debug)]
pub struct Encoder {
    /// The page after the last one.
    expected: u64,
}

impl Encoder {
    /// At the start of a recording.
    pub const fn new() -> Self {
        Self { expected: 0 }
    }

    /// Calls `write` with each byte of a reference to the page.
    pub fn encode(&mut self, page: u64, mut write: impl FnMut(u8)) {
        let distance = page.wrapping_sub(self.expected).cast_signed();
        self.expected = page.wrapping_add(1);
        let mut rest = (distance << 1 ^ distance >> 63).cast_unsigned();
        while rest > 0x7f {
            write(rest as u8 | 0x80);
            rest >>= 7;
        }
        write(rest as u8);
    }
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

/// The pages of a recording, in their order. A reference that is cut off by the machine's end is left out; any bytes are some pages.
pub fn pages(recording: impl IntoIterator<Item = u8>) -> impl Iterator<Item = u64> {
    let (mut bytes, mut expected) = (recording.into_iter(), 0_u64);
    core::iter::from_fn(move || {
        let mut zigzag = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes.next()?;
            zigzag |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                break;
            }
        }
        let distance = zigzag >> 1 ^ (zigzag & 1).wrapping_neg();
        let page = expected.wrapping_add(distance);
        expected = page.wrapping_add(1);
        Some(page)
    })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test may end for want of memory")]
mod tests {
    use std::vec::Vec;

    use super::{Encoder, REFERENCE_MAX, pages};

    fn recorded(references: &[u64]) -> Vec<u8> {
        let (mut encoder, mut bytes) = (Encoder::new(), Vec::new());
        for page in references {
            encoder.encode(*page, |byte| bytes.push(byte));
        }
        bytes
    }

    #[test]
    fn what_was_recorded_is_read() {
        let references = [0, 1, 2, 2, 1, 65, u64::MAX, 0, u64::MAX / 2, 7 << 36, (7 << 36) + 64];
        let bytes = recorded(&references);
        assert_eq!(pages(bytes.iter().copied()).collect::<Vec<_>>(), references);
        let cut = pages(bytes[..bytes.len() - 1].iter().copied()).collect::<Vec<_>>();
        assert_eq!(cut, references[..references.len() - 1]);
    }

    #[test]
    fn a_page_nearby_is_a_byte_and_none_is_longer_than_the_most() {
        assert_eq!(recorded(&[0, 1, 2, 66, 3]), [0, 0, 0, 126, 127]);
        assert_eq!(recorded(&[1 << 63]).len(), REFERENCE_MAX);
    }

    #[test]
    fn any_bytes_are_some_pages() {
        assert_eq!(pages([0xff; 40]).count(), 0);
        assert_eq!(pages([0xff; 40].into_iter().chain([0, 0])).count(), 2);
    }
}
