//! A disk whose contents change under a swap area, and what becomes of the pages that are there.

use std::{fs::OpenOptions, io, os::unix::fs::FileExt};

use nix::sys::signal::Signal;
use quire_protocol::contents::hash;

use crate::{
    memory::{Memory, PAGE},
    process::{End, end_of},
};

/// What became of pages that were swapped to a disk that has changed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fates {
    /// They came back as they were written.
    pub(crate) right: usize,
    /// The task that needed them got SIGBUS.
    pub(crate) lost: usize,
    /// Anything else.
    pub(crate) wrong: usize,
}

/// Changes one bit of every third of the first `slots` slots of the disk; returns how many those are.
pub(crate) fn change_every_third(disk: &str, slots: u64) -> io::Result<usize> {
    let disk = OpenOptions::new().read(true).write(true).open(disk)?;
    let changed = (1..=slots).step_by(3);
    for slot in changed.clone() {
        let (place, mut byte) = (slot * PAGE as u64 + slot % PAGE as u64, [0]);
        disk.read_exact_at(&mut byte, place)?;
        disk.write_all_at(&[byte[0] ^ 1 << (slot % 8)], place)?;
    }
    disk.sync_all()?;
    Ok(changed.count())
}

/// Has a task of its own need each page, whose hash is to be the expected one.
pub(crate) fn fates(memory: &mut Memory, expected: &[u64]) -> nix::Result<Fates> {
    let mut fates = Fates::default();
    for (page, expected) in expected.iter().enumerate() {
        let fate = match end_of(|| i32::from(hash(&memory.pages()[page]) != *expected))? {
            End::Exited(0) => &mut fates.right,
            End::Killed(Signal::SIGBUS) => &mut fates.lost,
            _ => &mut fates.wrong,
        };
        *fate += 1;
    }
    Ok(fates)
}
