//! Images of swap disks, with any header.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use quire_boot::{Disk, Machine};
use quire_swap::header::{BadPages, Header, PAGE_SIZE, Page};
use tempfile::TempDir;

/// Where fields of the header lie, for tests that break one.
pub mod offset {
    /// The version, a 32-bit number.
    pub const VERSION: usize = 1024;
    /// The last page, a 32-bit number.
    pub const LAST_PAGE: usize = 1028;
    /// The number of bad pages, a 32-bit number.
    pub const BAD_PAGE_COUNT: usize = 1032;
    /// The first bad page, a 32-bit number.
    pub const BAD_PAGES: usize = 1536;
    /// The magic, ten bytes.
    pub const MAGIC: usize = 4086;
}

/// A disk image that is gone with this value.
#[derive(Debug)]
pub struct Image {
    path: PathBuf,
    _directory: TempDir,
}

impl Image {
    /// An image of `pages` zero pages.
    pub fn empty(pages: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk.img");
        File::create(&path).unwrap().set_len(pages * PAGE_SIZE as u64).unwrap();
        Self { path, _directory: directory }
    }

    /// An image of as many pages as its `header` speaks of.
    pub fn of(header: &Page) -> Self {
        let last_page = u32::from_le_bytes(*header[offset::LAST_PAGE..].first_chunk().unwrap());
        Self::with_header(u64::from(last_page) + 1, header)
    }

    /// An image of `pages` pages that begins with `header`, whatever that says.
    pub fn with_header(pages: u64, header: &Page) -> Self {
        let image = Self::empty(pages);
        image.write(0, header);
        image
    }

    /// An image of `pages` pages that `mkswap` made, given these further `options`.
    pub fn made_by_mkswap(pages: u64, options: &[&str]) -> Self {
        let image = Self::empty(pages);
        image.util_linux("mkswap", options);
        image
    }

    /// Runs a program of util-linux on the image and returns what it printed.
    #[track_caller]
    pub fn util_linux(&self, program: &str, options: &[&str]) -> String {
        // Debian's `PATH` of a person does not have the directories of system programs.
        let found =
            ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].iter().map(|directory| Path::new(directory).join(program));
        let program = found.into_iter().find(|path| path.exists()).unwrap_or_else(|| program.into());
        let output = Command::new(&program).args(options).arg(&self.path).output();
        let Output { status, stdout, stderr } = output.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        assert!(status.success(), "{} {options:?}: {}", program.display(), String::from_utf8_lossy(&stderr));
        String::from_utf8(stdout).unwrap()
    }

    /// Writes `bytes` at `offset`.
    pub fn write(&self, offset: u64, bytes: &[u8]) {
        File::options().write(true).open(&self.path).unwrap().write_all_at(bytes, offset).unwrap();
    }

    /// The whole image.
    pub fn read(&self) -> Vec<u8> {
        fs::read(&self.path).unwrap()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The image as a disk.
    pub fn disk(&self) -> Disk {
        Disk::file(&self.path)
    }

    /// A machine that has the image as its only disk.
    pub fn machine(&self) -> Machine {
        Machine::new().disk(self.disk())
    }
}

/// A header that nothing is wrong with.
pub fn header(last_page: u32, bad_pages: &[u32]) -> Page {
    let mut page = [0; PAGE_SIZE];
    let bad_pages = BadPages::new(bad_pages);
    Header { last_page, uuid: [7; 16], label: *b"quire-test\0\0\0\0\0\0", bad_pages }.encode(&mut page).unwrap();
    page
}

/// Puts `number` at `offset` in the byte order of this machine's headers.
pub fn set(page: &mut Page, offset: usize, number: u32) {
    page[offset..offset + 4].copy_from_slice(&number.to_le_bytes());
}
