//! What acts need of the machine, and what comes of them.

use std::{fs, os::unix::fs::FileExt};

use super::stage::{Outcome, Tally};
use crate::files;

/// What came of an act, or why it cannot be shown on this machine.
pub(super) type Shown = Outcome<Result<Tally, String>>;

pub(super) const DISK: &str = "/dev/vda";

/// How many processes there are in most acts.
pub(super) const TASKS: u64 = 4;

/// The fewest pages of memory in which an act that keeps part of it for something else leaves room for the programs.
pub(super) const NEEDED: u64 = 4096;

/// The memory that programs can have, in pages.
pub(super) fn memory_pages() -> Outcome<u64> {
    Ok(files::number("/proc/meminfo", "MemAvailable")? / 4)
}

/// The same if it is enough for an act that needs part of it for something else.
pub(super) fn enough_memory() -> Outcome<Result<u64, String>> {
    let pages = memory_pages()?;
    Ok(if pages < NEEDED { Err(format!("it needs {} MiB of memory", NEEDED >> 8)) } else { Ok(pages) })
}

/// The disks whose label at this offset is `label`, by their paths.
pub(super) fn labelled(label: &str, offset: u64) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/sys/block")? {
        let path = format!("/dev/{}", entry?.file_name().to_string_lossy());
        let mut there = [0; 16];
        let read = fs::File::open(&path).and_then(|disk| disk.read_exact_at(&mut there, offset));
        if read.is_ok() && there.starts_with(label.as_bytes()) && there[label.len()..].iter().all(|byte| *byte == 0) {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}
