//! The acts. Each leaves the machine as it found it.

mod compressed;
mod damaged;
mod disk;
mod file;
mod ghost;
mod limited;
mod policies;

use std::{fs, os::unix::fs::FileExt};

use super::stage::{Outcome, Tally};
use crate::files;

/// What came of an act, or why it cannot be shown on this machine.
pub(super) type Shown = Outcome<Result<Tally, String>>;

/// An act of the show.
pub(super) struct Act {
    pub(super) name: &'static str,
    /// What will be seen, in two sentences.
    pub(super) about: &'static str,
    pub(super) play: fn() -> Shown,
}

pub(super) const ACTS: [Act; 7] = [
    Act {
        name: "a disk",
        about: "Four processes use four times the memory there is, and what does not fit is on the disk /dev/vda. Watch how \
                many pages one request carries: pages go out together, and in order they come back together.",
        play: disk::play,
    },
    Act {
        name: "a swap file",
        about: "The swap area is a file on an ext4 file system now. Its blocks are looked up once, by swapon; after that \
                pages go to the disk without the file system.",
        play: file::play,
    },
    Act {
        name: "zram before the disk",
        about: "Pages are compressed into /dev/zram0, which is memory itself, and go to the disk only when that is full. Watch \
                how many come back without the disk, and how little memory they took.",
        play: compressed::play,
    },
    Act {
        name: "ghost swap with zswap",
        about: "/dev/ghostswap is swap space with nothing behind it: its slots are names, and the pages are in zswap, \
                compressed. Watch that no disk sees any of them.",
        play: ghost::play,
    },
    Act {
        name: "a cgroup with a limit beside one without",
        about: "Two processes do the same work on as many pages, and memory has room for both. One is in a cgroup whose \
                limit is a third of its pages: watch which of them pays for that.",
        play: limited::play,
    },
    Act {
        name: "a damaged encrypted disk",
        about: "Pages are encrypted on their way to a disk, and then one bit of every third slot is changed from outside. \
                A page that cannot be trusted ends the task that needs it, and none ever comes back wrong.",
        play: damaged::play,
    },
    Act {
        name: "one loop under two policies",
        about: "A program touches 300 pages at random and, in turn, walks round a loop of 800 others, with memory for 600. \
                Which page goes is decided by two policies side by side: watch how many touches have to read.",
        play: policies::play,
    },
];

pub(super) const DISK: &str = "/dev/vda";

/// How many processes there are in most acts.
const TASKS: u64 = 4;

/// The fewest pages of memory in which an act that keeps part of it for something else leaves room for the programs.
const NEEDED: u64 = 4096;

/// The memory that programs can have, in pages.
fn memory_pages() -> Outcome<u64> {
    Ok(files::number("/proc/meminfo", "MemAvailable")? / 4)
}

/// The same if it is enough for an act that needs part of it for something else.
fn enough_memory() -> Outcome<Result<u64, String>> {
    let pages = memory_pages()?;
    Ok(if pages < NEEDED { Err(format!("it needs {} MiB of memory", NEEDED >> 8)) } else { Ok(pages) })
}

/// The disks whose label at this offset is `label`, by their paths.
fn labelled(label: &str, offset: u64) -> Outcome<Vec<String>> {
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
