//! Inflates gzip members (RFC 1952) into memory that grows with what comes out.
//!
//! The length that a member claims stands at its end and cannot be believed, so the output asks for memory as it is
//! needed ([`Output`]). Length and checksum are compared in the end. Whatever the bytes are, the answer is the inflated
//! bytes or a [`GzipError`].

use alloc::boxed::Box;
use core::fmt;

use crc::{CRC_32_ISO_HDLC, Crc};
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const METHOD_DEFLATE: u8 = 8;
const HEADER_BYTES: usize = 10;
const TRAILER_BYTES: usize = 8;
const FLAG_HEADER_CHECKSUM: u8 = 1 << 1;
const FLAG_EXTRA: u8 = 1 << 2;
const FLAG_NAME: u8 = 1 << 3;
const FLAG_COMMENT: u8 = 1 << 4;
const FLAGS_RESERVED: u8 = 0xe0;

static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Memory for what comes out, all of it in one piece.
pub trait Output {
    /// What there is.
    fn bytes(&mut self) -> &mut [u8];
    /// Makes it longer without changing what is in it; false when there is no more memory.
    fn grow(&mut self) -> bool;
}

/// Why a member cannot be inflated, and where the input is to blame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GzipError {
    /// The offset in the input.
    pub offset: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The header is none, or asks for what does not exist.
    Header,
    /// The input ends before the member does.
    Truncated,
    /// The compressed data make no sense.
    Corrupt,
    /// What came out has another checksum or length than the member says.
    Checksum,
    /// There is no memory for what comes out.
    NoMemory,
}

impl fmt::Display for GzipError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self.problem {
            Problem::Header => "not a gzip header",
            Problem::Truncated => "the compressed data end too early",
            Problem::Corrupt => "the compressed data are corrupt",
            Problem::Checksum => "the inflated data do not have the checksum and length that the archive says",
            Problem::NoMemory => "too little memory for the inflated data",
        };
        write!(formatter, "offset {}: {problem}", self.offset)
    }
}

/// Whether a member begins at `offset`.
pub fn begins_at(bytes: &[u8], offset: usize) -> bool {
    bytes.get(offset..).is_some_and(|rest| rest.starts_with(&MAGIC))
}

/// Inflates the member at `offset` of `input` into `output` from `from` on. Returns where the member ends in the input,
/// and where its contents end in the output.
///
/// # Errors
/// [`GzipError`]; the output has junk in it.
pub fn inflate(
    input: &[u8],
    offset: usize,
    output: &mut impl Output,
    from: usize,
) -> Result<(usize, usize), GzipError> {
    let mut read = offset + header_length(&input[offset..]).map_err(|problem| GzipError { offset, problem })?;
    let mut written = from;
    let mut state = Box::<DecompressorOxide>::default();
    // All the input is here.
    let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    loop {
        let (status, taken, given) =
            decompress(&mut state, &input[read..], &mut output.bytes()[from..], written - from, flags);
        read += taken;
        written += given;
        let problem = match status {
            TINFLStatus::Done => break,
            TINFLStatus::HasMoreOutput if output.grow() => continue,
            TINFLStatus::HasMoreOutput => Problem::NoMemory,
            TINFLStatus::NeedsMoreInput | TINFLStatus::FailedCannotMakeProgress => Problem::Truncated,
            _ => Problem::Corrupt,
        };
        return Err(GzipError { offset: read, problem });
    }
    let trailer = input.get(read..read + TRAILER_BYTES);
    let trailer = trailer.ok_or(GzipError { offset: input.len(), problem: Problem::Truncated })?;
    let contents = &output.bytes()[from..written];
    let sums = [CRC.checksum(contents), contents.len() as u32];
    if trailer != sums.map(u32::to_le_bytes).as_flattened() {
        return Err(GzipError { offset: read, problem: Problem::Checksum });
    }
    Ok((read + TRAILER_BYTES, written))
}

fn header_length(input: &[u8]) -> Result<usize, Problem> {
    let header = input.get(..HEADER_BYTES).ok_or(Problem::Truncated)?;
    let flags = header[3];
    if header[..2] != MAGIC || header[2] != METHOD_DEFLATE || flags & FLAGS_RESERVED != 0 {
        return Err(Problem::Header);
    }
    let mut length = HEADER_BYTES;
    if flags & FLAG_EXTRA != 0 {
        let field = input.get(length..length + 2).ok_or(Problem::Truncated)?;
        length += 2 + usize::from(u16::from_le_bytes([field[0], field[1]]));
    }
    for text in [FLAG_NAME, FLAG_COMMENT] {
        if flags & text != 0 {
            let rest = input.get(length..).ok_or(Problem::Truncated)?;
            length += 1 + rest.iter().position(|byte| *byte == 0).ok_or(Problem::Truncated)?;
        }
    }
    if flags & FLAG_HEADER_CHECKSUM != 0 {
        length += 2;
    }
    if length > input.len() { Err(Problem::Truncated) } else { Ok(length) }
}

#[cfg(test)]
mod tests {
    use miniz_oxide::deflate::compress_to_vec;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    use super::{CRC, FLAG_COMMENT, FLAG_EXTRA, FLAG_HEADER_CHECKSUM, FLAG_NAME, GzipError, Output, Problem, inflate};

    /// Grows by a few bytes at a time, up to a limit.
    struct Growing {
        bytes: Vec<u8>,
        limit: usize,
    }

    impl Output for Growing {
        fn bytes(&mut self) -> &mut [u8] {
            &mut self.bytes
        }

        fn grow(&mut self) -> bool {
            let length = (self.bytes.len() + 7).min(self.limit);
            let grows = length > self.bytes.len();
            self.bytes.resize(length, 0);
            grows
        }
    }

    fn member(flags: u8, fields: &[u8], contents: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
        bytes.extend(fields);
        bytes.extend(compress_to_vec(contents, 6));
        bytes.extend(CRC.checksum(contents).to_le_bytes());
        bytes.extend(u32::try_from(contents.len()).expect("short").to_le_bytes());
        bytes
    }

    fn inflated(input: &[u8], limit: usize) -> Result<Vec<u8>, GzipError> {
        let mut output = Growing { bytes: Vec::new(), limit };
        let (read, written) = inflate(input, 0, &mut output, 0)?;
        assert_eq!(read, input.len());
        output.bytes.truncate(written);
        Ok(output.bytes)
    }

    #[test]
    fn every_optional_field_of_a_header_is_passed_over() {
        let flags = FLAG_EXTRA | FLAG_NAME | FLAG_COMMENT | FLAG_HEADER_CHECKSUM;
        let input = member(flags, b"\x03\x00abcname\0comment\0\x12\x34", b"text text text text");
        assert_eq!(inflated(&input, 1000), Ok(b"text text text text".to_vec()));
    }

    #[test]
    fn members_follow_one_another_in_one_output() {
        let mut input = member(0, b"", b"the first");
        let first = input.len();
        input.extend(member(0, b"", b", the second"));
        let mut output = Growing { bytes: Vec::new(), limit: 1000 };
        assert_eq!(inflate(&input, 0, &mut output, 0), Ok((first, 9)));
        assert_eq!(inflate(&input, first, &mut output, 9), Ok((input.len(), 21)));
        assert_eq!(&output.bytes[..21], b"the first, the second");
    }

    #[test]
    fn an_error_says_what_is_wrong_and_where() {
        let whole = member(0, b"", &[b'a'; 1000]);
        let end = whole.len();
        let error = |offset, problem| GzipError { offset, problem };
        assert_eq!(inflated(&whole[..9], 2000), Err(error(0, Problem::Truncated)));
        assert_eq!(inflated(&whole[..end - 9], 2000), Err(error(end - 9, Problem::Truncated)));
        assert_eq!(inflated(&whole[..end - 1], 2000), Err(error(end - 1, Problem::Truncated)));
        assert_eq!(inflated(&whole, 999).unwrap_err().problem, Problem::NoMemory);
        for (at, problem) in [(2, Problem::Header), (3, Problem::Header), (end - 8, Problem::Checksum)] {
            let mut input = whole.clone();
            input[at] ^= 0xff;
            assert_eq!(inflated(&input, 2000).unwrap_err().problem, problem, "{at}");
        }
    }

    proptest! {
        #[test]
        fn what_was_compressed_comes_back(contents in prop::collection::vec(0u8..4, 0..2000)) {
            prop_assert_eq!(inflated(&member(0, b"", &contents), 2000), Ok(contents));
        }

        #[test]
        fn damage_is_noticed(
            contents in prop::collection::vec(0u8..4, 100..400), at in any::<prop::sample::Index>(), bit in 0u8..8
        ) {
            let whole = member(0, b"", &contents);
            let mut input = whole.clone();
            // Behind the header, whose time and system are not checked.
            let at = 10 + at.index(whole.len() - 10);
            input[at] ^= 1 << bit;
            let mut output = Growing { bytes: Vec::new(), limit: 1000 };
            if let Ok((_, written)) = inflate(&input, 0, &mut output, 0) {
                // Bits that pad the last byte of the data mean nothing.
                prop_assert_eq!(&output.bytes[..written], &contents[..]);
            }
        }

        #[test]
        fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut input = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
            input.extend(bytes);
            let mut output = Growing { bytes: Vec::new(), limit: 1000 };
            if let Ok((read, _)) = inflate(&input, 0, &mut output, 0) {
                prop_assert!(read <= input.len());
            }
        }
    }
}
