//! A disk whose contents change under an encrypted area. Needs `/dev/vda` as the only swap area, of the type `crypt`, just enabled,
//! and the same disk as `/dev/vdb`; and the machine for itself.

use std::{fs::OpenOptions, os::unix::fs::FileExt};

use nix::sys::signal::Signal;
use quire_protocol::contents::hash;

use super::{
    outcome::{Check, Outcome, require},
    swapped::{PAGES, paged_out, squeeze},
};
use crate::{
    files,
    memory::{Memory, PAGE},
    process::{End, end_of},
};

pub(super) const CHECKS: &[Check] = &[("damaged-pages", pages)];

const SAME_DISK: &str = "/dev/vdb";

/// One bit of every third page changes: a task that needs such a page gets SIGBUS, and none gets wrong data.
fn pages() -> Outcome {
    require!(files::swap_used()? == 0, "the area is not new");
    let (mut memory, expected) = paged_out(Memory::private(PAGES)?)?;
    // The first slots are those of these pages; those of other programs come behind.
    let used = files::swap_used()?;
    squeeze()?;
    let disk = OpenOptions::new().read(true).write(true).open(SAME_DISK)?;
    let changed = (1..=used).step_by(3);
    for page in changed.clone() {
        let (place, mut byte) = (page * PAGE as u64 + page % PAGE as u64, [0]);
        disk.read_exact_at(&mut byte, place)?;
        disk.write_all_at(&[byte[0] ^ 1 << (page % 8)], place)?;
    }
    disk.sync_all()?;
    let mut lost = 0;
    for (page, expected) in expected.iter().enumerate() {
        match end_of(|| i32::from(hash(&memory.pages()[page]) != *expected))? {
            End::Exited(0) => {}
            End::Killed(Signal::SIGBUS) => lost += 1,
            other => require!(false, "page {page} of memory is not what was written: {other}"),
        }
    }
    require!(lost > 0 && lost <= changed.count(), "{lost} pages are lost, of {used} of which every third was changed");
    Ok(())
}
