//! Archives in cpio's `newc` form, the one that Linux takes an initramfs in: the same bytes from the same files, in
//! whatever order these were added.
//!
//! Each entry is a header of hexadecimal digits, the name and the contents, each padded to four bytes; an entry of a
//! fixed name ends the archive. Owner is root unless said otherwise, time is 0.

use std::collections::BTreeMap;

/// The name of the entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// What tapes liked, and what kernels expect between archives that follow one another.
const BLOCK: usize = 512;

const DIRECTORY: u32 = 0o040_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// A tree of files to be packed. Paths are given without a leading slash; directories on the way are made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Archive {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// Type and permissions, as in `st_mode`.
    mode: u32,
    /// The number of its user and its group.
    owner: u32,
    /// Major and minor number of a device.
    device: (u32, u32),
    contents: Vec<u8>,
}

impl Archive {
    /// Without any file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory that everybody may read, and those above it.
    pub fn directory(&mut self, path: &str) {
        self.parents(path);
        self.entries.entry(path.to_owned()).or_insert_with(|| Entry::new(DIRECTORY | 0o755, Vec::new()));
    }

    /// Adds a directory with these permissions that belongs to the user and the group of that number.
    pub fn directory_of(&mut self, path: &str, permissions: u32, owner: u32) {
        let entry = Entry::new(DIRECTORY | permissions, Vec::new());
        self.insert(path, Entry { owner, ..entry });
    }

    /// Adds a file with these permissions.
    pub fn file(&mut self, path: &str, permissions: u32, contents: impl Into<Vec<u8>>) {
        self.insert(path, Entry::new(FILE | permissions, contents.into()));
    }

    /// Adds a symbolic link to `target`.
    pub fn link(&mut self, path: &str, target: &str) {
        self.insert(path, Entry::new(LINK | 0o777, target.as_bytes().to_vec()));
    }

    /// Adds a character device with these numbers, for root only.
    pub fn device(&mut self, path: &str, major: u32, minor: u32) {
        let entry = Entry::new(CHARACTER_DEVICE | 0o600, Vec::new());
        self.insert(path, Entry { device: (major, minor), ..entry });
    }

    /// The archive's bytes.
    pub fn pack(&self) -> Vec<u8> {
        let mut packed = Vec::new();
        for (number, (path, entry)) in (1..).zip(&self.entries) {
            entry.pack(number, path, &mut packed);
        }
        Entry::new(0, Vec::new()).pack(0, TRAILER, &mut packed);
        packed.resize(packed.len().next_multiple_of(BLOCK), 0);
        packed
    }

    fn insert(&mut self, path: &str, entry: Entry) {
        self.parents(path);
        self.entries.insert(path.to_owned(), entry);
    }

    fn parents(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
    }
}

impl Entry {
    fn new(mode: u32, contents: Vec<u8>) -> Self {
        Self { mode, owner: 0, device: (0, 0), contents }
    }

    fn pack(&self, number: u32, path: &str, packed: &mut Vec<u8>) {
        let links = if self.mode & 0o170_000 == DIRECTORY { 2 } else { 1 };
        let (major, minor) = self.device;
        let length = |bytes: usize| u32::try_from(bytes).expect("an initramfs holds no file of 4 GiB");
        let (size, name_size) = (length(self.contents.len()), length(path.len() + 1));
        packed.extend(b"070701");
        // Inode, mode, user, group, links, time, size, the file system's device, the device's numbers, the name's size
        // with its terminator, and a checksum that this form does not have.
        for field in [number, self.mode, self.owner, self.owner, links, 0, size, 0, 0, major, minor, name_size, 0] {
            packed.extend(format!("{field:08x}").bytes());
        }
        packed.extend(path.bytes());
        packed.push(0);
        pad(packed);
        packed.extend(&self.contents);
        pad(packed);
    }
}

fn pad(packed: &mut Vec<u8>) {
    packed.resize(packed.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::Archive;

    fn sample() -> Archive {
        let mut archive = Archive::new();
        archive.link("bin/sh", "busybox");
        archive.file("bin/busybox", 0o755, *b"12345");
        archive.device("dev/console", 5, 1);
        archive
    }

    #[test]
    fn an_entry_has_the_fields_of_newc() {
        let mut archive = Archive::new();
        archive.file("ab", 0o644, *b"xyz");
        let packed = archive.pack();
        let entry = [
            "070701",
            "00000001", // inode
            "000081a4", // mode
            "00000000", // user
            "00000000", // group
            "00000001", // links
            "00000000", // time
            "00000003", // size
            "00000000", // major number of the file system
            "00000000", // minor number of the file system
            "00000000", // major number of the device
            "00000000", // minor number of the device
            "00000003", // size of the name
            "00000000", // checksum
            "ab\0\0\0\0",
            "xyz\0",
        ];
        assert!(packed.starts_with(entry.concat().as_bytes()), "{}", String::from_utf8_lossy(&packed));
        assert_eq!(packed.len(), 512);
    }

    #[test]
    fn a_directory_has_its_owner() {
        let mut archive = Archive::new();
        archive.directory_of("home", 0o700, 1000);
        let packed = String::from_utf8(archive.pack()).unwrap();
        assert!(packed.starts_with("07070100000001000041c0000003e8000003e800000002"), "{packed}");
    }

    #[test]
    fn directories_come_before_what_is_in_them_and_the_trailer_last() {
        let packed = String::from_utf8(sample().pack()).unwrap();
        let names = ["bin\0", "bin/busybox\0", "bin/sh\0", "dev\0", "dev/console\0", "TRAILER!!!\0"];
        let places: Vec<_> = names.iter().map(|name| packed.find(name).unwrap()).collect();
        assert!(places.is_sorted(), "{places:?}");
        assert_eq!(packed.matches("070701").count(), names.len());
    }

    #[test]
    fn the_order_of_adding_does_not_matter() {
        let mut other = Archive::new();
        other.device("dev/console", 5, 1);
        other.file("bin/busybox", 0o755, *b"12345");
        other.link("bin/sh", "busybox");
        assert_eq!(sample().pack(), other.pack());
    }

    #[test]
    fn a_directory_that_is_there_keeps_its_files() {
        let mut archive = sample();
        archive.directory("bin");
        assert_eq!(archive, sample());
    }
}
