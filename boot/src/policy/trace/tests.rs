//! Every format, and what is none.

use std::{fs, io::Write};

use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use tempfile::NamedTempFile;

use super::{Trace, TraceError};

fn read(bytes: &[u8]) -> Result<Vec<u64>, TraceError> {
    let file = NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let trace = Trace::read(file.path())?;
    Ok(trace.references.iter().map(|page| trace.pages[*page as usize]).collect())
}

#[track_caller]
fn refused(text: &str, line: usize, what: &str) {
    let error = read(text.as_bytes()).unwrap_err();
    assert!(matches!(error, TraceError::Line { line: found, .. } if found == line), "{text:?}: {error}");
    let message = error.to_string();
    assert!(
        message.contains(what) && message.contains(&format!("line {line} ")) && !message.contains('\n'),
        "{message}"
    );
}

#[test]
fn each_format_is_read() {
    for (text, pages) in [
        ("5\n7\n5\n", &[5, 7, 5][..]),
        ("\n# pages\n 5 \r\n7", &[5, 7]),
        ("18446744073709551614\n0\n", &[u64::MAX - 1, 0]),
        ("10 3 0 1\n11 1 0 2\n9 0 0 3\n", &[10, 11, 12, 11]),
        (
            "==12== Lackey\nI  0401000,3\n L 1ffeffe7c8,8\n S 0402fff,2\n M 0403000,4\n",
            &[0x401, 0x01ff_effe, 0x402, 0x403, 0x403],
        ),
        (
            "# PID, TID, IP, ADDR, WEIGHT, DSRC, SYMBOL\n 7 7 0x401000 0x7f0000001008 9 0x68 /bin/x:main\n",
            &[0x7_f000_0001],
        ),
        ("  7f0000001008\n  7f0000002000\n", &[0x7_f000_0001, 0x7_f000_0002]),
    ] {
        assert_eq!(read(text.as_bytes()).unwrap(), pages, "{text:?}");
    }
}

#[test]
fn a_wrong_line_is_named_with_its_number() {
    refused("1\n2\nx\n", 3, "number of a page");
    refused("1\n\n# x\n-2\n", 4, "number of a page");
    refused("1\n+2\n", 2, "number of a page");
    refused("1\n2 3\n", 2, "number of a page");
    refused("18446744073709551615\n", 1, "number of a page");
    refused("18446744073709551616\n", 1, "number of a page");
    refused("banana split\n", 1, "START LENGTH");
    refused("1 2 3 4\n5\n", 2, "START LENGTH");
    refused("1 -2 3 4\n", 1, "START LENGTH");
    refused("18446744073709551614 1 0 1\n18446744073709551614 2 0 1\n", 2, "last page");
    refused("0 999999999999 0 0\n", 1, "134217728 references");
    refused(" L 10,8\n L zz,8\n", 2, "lackey");
    refused(" L 10,8\n 10\n", 2, "lackey");
    refused("7f00zz\n", 1, "address");
    refused(" 1 1 0x10 0x20\n 1 1 0x10\n", 2, "address");
    refused(&format!("1\n{}\n", "2".repeat(5_000)), 2, "text");
}

#[test]
fn what_is_no_text_or_says_nothing_is_refused() {
    assert!(matches!(read(b"1\n\xff\xfe\n"), Err(TraceError::Line { line: 2, .. })));
    for nothing in ["", "\n\n", "# nothing\n", "9 0 0 3\n"] {
        assert!(matches!(read(nothing.as_bytes()), Err(TraceError::Empty { .. })), "{nothing:?}");
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `printf '1\n2\n3\n2\n' | xz --check=crc32`
const XZ: &[u8] = &[
    0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x01, 0x69, 0x22, 0xde, 0x36, 0x02, 0x00, 0x21, 0x01, 0x1c, 0x00, 0x00,
    0x00, 0x10, 0xcf, 0x58, 0xcc, 0x01, 0x00, 0x07, 0x31, 0x0a, 0x32, 0x0a, 0x33, 0x0a, 0x32, 0x0a, 0x00, 0x35, 0x02,
    0x9b, 0x69, 0x00, 0x01, 0x1c, 0x08, 0x44, 0x60, 0x2a, 0xc8, 0x90, 0x42, 0x99, 0x0d, 0x01, 0x00, 0x00, 0x00, 0x00,
    0x01, 0x59, 0x5a,
];

#[test]
fn compressed_files_are_read_and_torn_ones_refused() {
    let zipped = gzip(b"1\n2\n3\n2\n");
    assert_eq!(read(&zipped).unwrap(), [1, 2, 3, 2]);
    assert_eq!(read(&[&zipped[..], &zipped].concat()).unwrap(), [1, 2, 3, 2, 1, 2, 3, 2], "one after the other");
    assert_eq!(read(XZ).unwrap(), [1, 2, 3, 2]);
    for whole in [&zipped[..], XZ] {
        for end in 6..whole.len() {
            assert!(matches!(read(&whole[..end]), Err(TraceError::Unreadable { .. })), "{end} of {}", whole.len());
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_in_a_file_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), start in 0_usize..4) {
        let start: &[u8] = [&b""[..], b"1\n", b"\x1f\x8b\x08", b"\xfd7zXZ\0"][start];
        let _ = read(&[start, &bytes].concat());
    }

    #[test]
    fn words_of_all_formats_in_any_order_are_read_or_refused(words in proptest::collection::vec(
        prop_oneof![Just("1"), Just("0x10"), Just("L"), Just("10,8"), Just("\n"), Just(" "), Just("#"), Just("=="), Just("ff"), Just("4096 2 0 1")],
        0..40,
    )) {
        let _ = read(words.join(" ").as_bytes());
    }

    #[test]
    fn what_was_written_is_read(pages in proptest::collection::vec(0..u64::MAX, 1..100)) {
        let text: String = pages.iter().map(|page| page.to_string() + "\n").collect();
        prop_assert_eq!(read(&gzip(text.as_bytes())).unwrap(), pages);
    }
}
