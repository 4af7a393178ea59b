//! A disk whose contents change under an encrypted area. They need a swap area of the type `crypt`, the only one and just enabled, and
//! the machine for themselves; `damaged-pages` needs it on `/dev/vda`, and the same disk as `/dev/vdb`, and `changed-by-host` a
//! person or a test at the terminal.

use std::io;

use super::{
    outcome::{Check, Outcome, require},
    swapped::{PAGES, paged_out},
};
use crate::{
    damage::{self, Fates},
    files,
    memory::{Memory, squeeze},
};

pub(super) const CHECKS: &[Check] = &[("damaged-pages", pages), ("changed-by-host", by_host)];

const SAME_DISK: &str = "/dev/vdb";

/// One bit of every third page changes: a task that needs such a page gets SIGBUS, and none gets wrong data.
fn pages() -> Outcome {
    require!(files::swap_used()? == 0, "the area is not new");
    let (mut memory, expected) = paged_out(Memory::private(PAGES)?)?;
    // The first slots are those of these pages; those of other programs come behind.
    let used = files::swap_used()?;
    squeeze()?;
    let changed = damage::change_every_third(SAME_DISK, used)?;
    let Fates { lost, wrong, .. } = damage::fates(&mut memory, &expected)?;
    require!(wrong == 0, "{wrong} pages of memory are not what was written");
    require!(lost > 0 && lost <= changed, "{lost} pages are lost, of {used} of which every third was changed");
    Ok(())
}

/// The same, where another changes the pages: it is told how many slots there are, and ends the line when it has done so.
fn by_host() -> Outcome {
    require!(files::swap_used()? == 0, "the area is not new");
    let (mut memory, expected) = paged_out(Memory::private(PAGES)?)?;
    let used = files::swap_used()?;
    squeeze()?;
    println!("  slots in use: {used}. Change some, then press Enter");
    io::stdin().read_line(&mut String::new())?;
    let Fates { right, lost, wrong } = damage::fates(&mut memory, &expected)?;
    println!("  pages: right={right} lost={lost} wrong={wrong}");
    require!(wrong == 0, "{wrong} pages of memory are not what was written");
    Ok(())
}
