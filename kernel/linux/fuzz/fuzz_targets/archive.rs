//! Any bytes as an initramfs: read to an end, or to an error at a place in it, plain or compressed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quire_linux::fs::cpio::Archive;
use quire_linux::fs::gzip::{self, Output};

/// Memory up to a megabyte, in steps that no format knows.
struct Growing(Vec<u8>);

impl Output for Growing {
    fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }

    fn grow(&mut self) -> bool {
        let length = (self.0.len() + 4099).min(1 << 20);
        let grows = length > self.0.len();
        self.0.resize(length, 0);
        grows
    }
}

fn read(bytes: &[u8]) {
    let mut archive = Archive::new(bytes, 0);
    let mut offset = 0;
    loop {
        match archive.next_member() {
            Ok(Some(member)) => {
                assert!(member.offset >= offset && member.contents.len() <= bytes.len());
                assert!(!member.path.contains(&0) && !member.path.starts_with(b"/") && !member.path.ends_with(b"/"));
                assert!(archive.offset() > member.offset && archive.offset() <= bytes.len());
                offset = archive.offset();
            }
            Ok(None) => break,
            Err(error) => return assert!(error.offset <= bytes.len()),
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    if gzip::begins_at(bytes, 0) {
        let mut output = Growing(Vec::new());
        match gzip::inflate(bytes, 0, &mut output, 0) {
            Ok((end, length)) => {
                assert!(end <= bytes.len() && length <= output.0.len());
                read(&output.0[..length]);
            }
            Err(error) => assert!(error.offset <= bytes.len()),
        }
    }
});
