//! Headers against util-linux: what `mkswap` writes is read, and what is written here `blkid` and `swaplabel` read.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use quire_swap::extension::{BackendOptions, Extension, TypeName};
use quire_swap::header::{BadPages, Header, HeaderError, Medium, PAGE_SIZE, Page};

const PAGES: u32 = 128;
const DISK: Medium = Medium { pages: PAGES as u64, is_file: false };
const UUID: &str = "12345678-abcd-abcd-abcd-1234567890ab";

struct Image(PathBuf);

impl Image {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("quire-header-{}-{name}.img", std::process::id()));
        fs::write(&path, vec![0xa5; PAGES as usize * PAGE_SIZE]).unwrap();
        Self(path)
    }

    fn first_page(&self) -> Page {
        fs::read(&self.0).unwrap()[..PAGE_SIZE].try_into().unwrap()
    }

    fn set_first_page(&self, page: &Page) {
        let mut bytes = fs::read(&self.0).unwrap();
        bytes[..PAGE_SIZE].copy_from_slice(page);
        fs::write(&self.0, bytes).unwrap();
    }

    /// The standard output of a tool of util-linux, run on the image.
    fn run(&self, tool: &str, arguments: &[&str]) -> String {
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        let output = Command::new(tool).env("PATH", path).args(arguments).arg(&self.0).output();
        let output = output.unwrap_or_else(|error| panic!("{tool} of util-linux is needed: {error}"));
        assert!(output.status.success(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn made_by_mkswap() -> Image {
    let image = Image::new("mkswap");
    image.run("mkswap", &["-q", "-L", "label", "-U", UUID]);
    image
}

fn header(bad_pages: &[u32]) -> Header<'_> {
    Header {
        last_page: PAGES - 1,
        uuid: 0x1234_5678_abcd_abcd_abcd_1234_5678_90ab_u128.to_be_bytes(),
        label: *b"label\0\0\0\0\0\0\0\0\0\0\0",
        bad_pages: BadPages::new(bad_pages),
    }
}

#[test]
fn what_mkswap_writes_is_read_and_written_the_same() {
    let image = made_by_mkswap();
    let theirs = image.first_page();
    assert_eq!(Header::parse(&theirs, DISK), Ok(header(&[])));
    let mut ours = [0xa5; PAGE_SIZE];
    header(&[]).encode(&mut ours).unwrap();
    assert_eq!(ours[1024..], theirs[1024..], "byte for byte");
    let mut big_endian = theirs;
    for offset in [1024, 1028, 1032] {
        big_endian[offset..offset + 4].reverse();
    }
    assert_eq!(Header::parse(&big_endian, DISK), Ok(header(&[])));
}

#[test]
fn an_area_for_larger_pages_is_refused() {
    let image = Image::new("pages");
    image.run("mkswap", &["-q", "-p", "8192"]);
    assert!(matches!(Header::parse(&image.first_page(), DISK), Err(HeaderError::Magic(_))));
}

#[test]
fn util_linux_reads_a_header_with_bad_pages_and_an_extension() {
    let image = Image::new("quire");
    let mut page = image.first_page();
    header(&[3, 100]).encode(&mut page).unwrap();
    let extension =
        Extension { backend: TypeName::new("packed").unwrap(), version: 1, options: BackendOptions("codec=lz4") };
    extension.encode(&mut page).unwrap();
    image.set_first_page(&page);
    assert_eq!(image.run("blkid", &["-p", "-o", "value", "-s", "TYPE"]).trim(), "swap");
    let listed = image.run("swaplabel", &[]);
    assert!(listed.contains("LABEL: label") && listed.contains(UUID), "{listed}");
    image.run("swaplabel", &["-L", "other"]);
    let relabelled = image.first_page();
    let read = Header::parse(&relabelled, DISK).unwrap();
    assert_eq!(&read.label[..6], b"other\0");
    assert_eq!(read.bad_pages, BadPages::new(&[3, 100]));
    assert_eq!(Extension::parse(&relabelled), Ok(Some(extension)), "the label is not part of the sum");
}
