//! The archive that programs come from: plain, compressed, damaged.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use quire_boot::{Initramfs, Machine};
use quire_tests::Run;

fn packed() -> Vec<u8> {
    Initramfs::new().pack().unwrap_or_else(|error| panic!("{error}"))
}

/// Boots with this archive and runs a program in it.
fn boot(archive: &[u8]) -> Run {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("root.cpio");
    fs::write(&path, archive).unwrap();
    Run::of("check", "-- check pages-zero-at-first", Machine::new().initrd(path))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = gzip.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || input.write_all(bytes).unwrap());
        gzip.wait_with_output().unwrap().stdout
    })
}

#[test]
fn a_compressed_archive_is_as_good_as_a_plain_one() {
    boot(&gzip(&packed())).figures().require_exactly("checks", 1);
}

/// The kernel refuses the archive and names a place in it.
#[track_caller]
fn refused(archive: &[u8]) -> String {
    let run = boot(archive);
    run.require_status(quire_boot::Status::Verdict(quire_protocol::Verdict::Failure));
    let named = run.lines_with("initramfs").find(|line| line.contains("offset")).map(str::to_owned);
    run.require(named.is_some(), "the place of the damage is not named");
    named.unwrap_or_default()
}

#[test]
fn a_truncated_archive_is_refused() {
    let archive = packed();
    refused(&archive[..archive.len() / 2]);
}

#[test]
fn a_damaged_archive_is_refused_with_the_place() {
    let mut archive = packed();
    let second = archive[6..].windows(6).position(|part| part == b"070701").unwrap() + 6;
    archive[second + 3] = b'x';
    let line = refused(&archive);
    assert!(line.contains(&format!("offset {second}")), "{second}: {line}");
}

#[test]
fn a_truncated_compressed_archive_is_refused() {
    let archive = gzip(&packed());
    refused(&archive[..archive.len() * 3 / 4]);
}
