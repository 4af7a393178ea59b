//! A disk whose contents change under an encrypted area. Needs `/dev/vda` as the only swap area, of the type `crypt`, just enabled,
//! and the same disk as `/dev/vdb`; and the machine for itself.

use super::{
    outcome::{Check, Outcome, require},
    swapped::{PAGES, paged_out},
};
use crate::{
    damage::{self, Fates},
    files,
    memory::{Memory, squeeze},
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
    let changed = damage::change_every_third(SAME_DISK, used)?;
    let Fates { lost, wrong, .. } = damage::fates(&mut memory, &expected)?;
    require!(wrong == 0, "{wrong} pages of memory are not what was written");
    require!(lost > 0 && lost <= changed, "{lost} pages are lost, of {used} of which every third was changed");
    Ok(())
}
