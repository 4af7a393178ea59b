//! Reads archives in cpio's `newc` form, of which an initramfs is made (Linux: `Documentation/driver-api/early-userspace/
//! buffer-format.rst` and `init/initramfs.c`).
//!
//! A member is a header of 110 letters, its name, and its contents, each ending at a multiple of four bytes; a member
//! called `TRAILER!!!` ends the archive. Nothing is believed: whatever the bytes are, the answer is a member or an
//! [`ArchiveError`] that says where the bytes stop making sense.

use core::fmt;

/// The first bytes of a member: the form without and with a checksum of the contents.
const MAGIC: &[u8; 6] = b"070701";
const MAGIC_WITH_CHECKSUM: &[u8; 6] = b"070702";
/// The length of a header: the magic number and thirteen numbers of eight hexadecimal digits.
const HEADER_BYTES: usize = 110;
/// The longest name, its terminating zero included (Linux: `PATH_MAX`).
const NAME_MAX: usize = 4096;
const TRAILER: &[u8] = b"TRAILER!!!";

/// One file of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its path, without a slash in front or behind.
    pub path: &'a [u8],
    /// Its kind and permissions, as in `st_mode`.
    pub mode: u32,
    /// Its owner.
    pub user: u32,
    /// Its group.
    pub group: u32,
    /// How many names it has in this archive.
    pub links: u32,
    /// When it was last changed, in seconds since 1970.
    pub modified: u32,
    /// The device it was on and its number there: names with the same identity are one file.
    pub identity: (u32, u32, u32),
    /// Major and minor number, of a device file.
    pub device: (u32, u32),
    /// A file's bytes, or a symbolic link's target.
    pub contents: &'a [u8],
}

/// What does not make sense, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveError {
    /// The offset in the archive.
    pub offset: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Neither a member's header nor padding.
    Magic,
    /// A field of a header is no hexadecimal number.
    Number,
    /// The archive ends before its last member does.
    Truncated,
    /// A name is empty, too long, or not ended by a zero.
    Name,
    /// The contents have another sum than the header says.
    Checksum,
}

impl fmt::Display for ArchiveError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = match self.problem {
            Problem::Magic => "neither a cpio header nor padding",
            Problem::Number => "not a hexadecimal number",
            Problem::Truncated => "the archive ends in the middle of a file",
            Problem::Name => "a file's name is empty, too long or without an end",
            Problem::Checksum => "the file's contents do not have the sum that its header says",
        };
        write!(formatter, "offset {}: {problem}", self.offset)
    }
}

/// An archive, read from its front.
#[derive(Clone, Debug)]
pub struct Archive<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Archive<'a> {
    /// The archive that begins at `offset` of `bytes`, to which its padding and its errors' offsets refer.
    pub const fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { bytes, offset }
    }

    /// Whether an archive begins at `offset`.
    pub fn begins_at(bytes: &[u8], offset: usize) -> bool {
        bytes.get(offset..).is_some_and(|rest| rest.starts_with(MAGIC) || rest.starts_with(MAGIC_WITH_CHECKSUM))
    }

    /// The next member; none once the trailer was read.
    ///
    /// # Errors
    /// [`ArchiveError`]: the archive cannot be read any further.
    pub fn next_member(&mut self) -> Result<Option<Member<'a>>, ArchiveError> {
        let start = self.offset;
        let header = self.take(HEADER_BYTES)?;
        let has_checksum = header.starts_with(MAGIC_WITH_CHECKSUM);
        if !has_checksum && !header.starts_with(MAGIC) {
            return Err(ArchiveError { offset: start, problem: Problem::Magic });
        }
        let mut numbers = [0; 13];
        for (index, number) in numbers.iter_mut().enumerate() {
            let place = MAGIC.len() + 8 * index;
            *number = hexadecimal(&header[place..place + 8])
                .ok_or(ArchiveError { offset: start + place, problem: Problem::Number })?;
        }
        let [inode, mode, user, group, links, modified, size, major, minor, device_major, device_minor, name, sum] =
            numbers;

        let bad_name = ArchiveError { offset: self.offset, problem: Problem::Name };
        if name as usize > NAME_MAX {
            return Err(bad_name);
        }
        let path = self.take(name as usize)?;
        let path = path.split_last().filter(|(end, path)| **end == 0 && !path.contains(&0)).ok_or(bad_name)?.1;
        if path == TRAILER {
            self.pad();
            return Ok(None);
        }
        let first = path.iter().position(|byte| *byte != b'/').unwrap_or(path.len());
        let last = path.iter().rposition(|byte| *byte != b'/').map_or(first, |last| last + 1);
        let path = &path[first..last];
        self.pad();
        let contents_at = self.offset;
        let contents = self.take(size as usize)?;
        let bytes_sum = || contents.iter().fold(0u32, |sum, byte| sum.wrapping_add((*byte).into()));
        if has_checksum && bytes_sum() != sum {
            return Err(ArchiveError { offset: contents_at, problem: Problem::Checksum });
        }
        self.pad();
        Ok(Some(Member {
            path,
            mode,
            user,
            group,
            links,
            modified,
            identity: (major, minor, inode),
            device: (device_major, device_minor),
            contents,
        }))
    }

    /// Where the next member, or what follows the archive, begins.
    pub const fn offset(&self) -> usize {
        self.offset
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], ArchiveError> {
        let end = self.offset.checked_add(bytes).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(ArchiveError { offset: self.offset, problem: Problem::Truncated })?;
        let taken = &self.bytes[self.offset..end];
        self.offset = end;
        Ok(taken)
    }

    /// Goes to the next multiple of four bytes; the last member's padding may be missing.
    fn pad(&mut self) {
        self.offset = self.offset.next_multiple_of(4).min(self.bytes.len());
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};

    use super::{Archive, ArchiveError, HEADER_BYTES, MAGIC, MAGIC_WITH_CHECKSUM, Problem};

    /// Appends a member whose identity is its place.
    fn push(archive: &mut Vec<u8>, magic: &[u8], name: &[u8], mode: u32, contents: &[u8]) {
        let sum = contents.iter().map(|byte| u32::from(*byte)).sum();
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("short");
        let place = length(archive);
        archive.extend(magic);
        for number in [place, mode, 1, 2, 1, 3, length(contents), 8, 1, 4, 64, length(name) + 1, sum] {
            archive.extend(format!("{number:08x}").bytes());
        }
        archive.extend(name);
        archive.push(0);
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(contents);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }

    /// Path, mode and contents of a member.
    type Sample = (Vec<u8>, u32, Vec<u8>);

    fn read(bytes: &[u8]) -> Result<Vec<Sample>, ArchiveError> {
        let mut archive = Archive::new(bytes, 0);
        let mut members = Vec::new();
        while let Some(member) = archive.next_member()? {
            members.push((member.path.to_vec(), member.mode, member.contents.to_vec()));
        }
        Ok(members)
    }

    fn sample() -> Vec<u8> {
        let mut bytes = Vec::new();
        push(&mut bytes, MAGIC, b"./bin", 0o040_755, b"");
        push(&mut bytes, MAGIC_WITH_CHECKSUM, b"/bin/tool", 0o100_755, b"contents");
        push(&mut bytes, MAGIC, b"TRAILER!!!", 0, b"");
        bytes
    }

    #[test]
    fn members_come_with_all_that_their_headers_say() {
        let mut bytes = Vec::new();
        push(&mut bytes, MAGIC, b"dev/vda", 0o060_660, b"12345");
        let mut archive = Archive::new(&bytes, 0);
        let member = archive.next_member().expect("whole").expect("a member");
        assert_eq!((member.path, member.mode, member.contents), (&b"dev/vda"[..], 0o060_660, &b"12345"[..]));
        assert_eq!((member.user, member.group, member.links, member.modified), (1, 2, 1, 3));
        assert_eq!((member.identity, member.device), ((8, 1, 0), (4, 64)));
        let end = bytes.len();
        let truncated = ArchiveError { offset: end, problem: Problem::Truncated };
        assert_eq!(archive.next_member(), Err(truncated), "there is no trailer");
        assert_eq!(read(&sample()).expect("whole")[1].0, b"bin/tool");
        let mut bytes = Vec::new();
        push(&mut bytes, MAGIC, b" a name ", 0, b"");
        push(&mut bytes, MAGIC, b"TRAILER!!!", 0, b"");
        assert_eq!(read(&bytes).expect("whole")[0].0, b" a name ", "spaces are part of a name");
    }

    #[test]
    fn an_error_names_where_the_archive_stops_making_sense() {
        let whole = sample();
        let second = HEADER_BYTES + 6;
        let damaged = |at: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            read(&bytes).unwrap_err()
        };
        let error = |offset, problem| ArchiveError { offset, problem };
        assert_eq!(damaged(second, b'x'), error(second, Problem::Magic));
        assert_eq!(damaged(second + 6 + 16 + 3, b'x'), error(second + 6 + 16, Problem::Number));
        assert_eq!(damaged(second + HEADER_BYTES + 9, b'x'), error(second + HEADER_BYTES, Problem::Name));
        let contents = second + HEADER_BYTES + 10;
        assert_eq!(damaged(contents, b'C'), error(contents, Problem::Checksum));
        assert_eq!(read(&whole[..contents + 3]).unwrap_err(), error(contents, Problem::Truncated));
        let message = error(116, Problem::Magic).to_string();
        assert_eq!(message, "offset 116: neither a cpio header nor padding");
    }

    fn member() -> impl Strategy<Value = Sample> {
        ("[a-z]([a-z/]{0,30}[a-z])?", any::<u32>(), prop::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(name, mode, contents)| (name.into_bytes(), mode, contents))
    }

    proptest! {
        #[test]
        fn what_was_archived_comes_back(members in prop::collection::vec(member(), 0..8)) {
            let mut bytes = Vec::new();
            for (name, mode, contents) in &members {
                push(&mut bytes, MAGIC_WITH_CHECKSUM, name, *mode, contents);
            }
            push(&mut bytes, MAGIC, b"TRAILER!!!", 0, b"");
            prop_assert_eq!(read(&bytes), Ok(members));
        }

        #[test]
        fn damage_is_an_error_or_other_members_but_never_more(
            at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()
        ) {
            let mut bytes = sample();
            let length = bytes.len();
            bytes[at.index(length)] = byte;
            bytes.truncate(cut.index(length + 1));
            if let Err(error) = read(&bytes) {
                prop_assert!(error.offset <= bytes.len());
            }
        }

        #[test]
        fn any_bytes_are_read_to_an_end(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(read(&bytes).is_err(), "no header in junk");
        }
    }
}
