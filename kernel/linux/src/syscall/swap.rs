//! `swapon` and `swapoff`: from a path to an area (Linux: `mm/swapfile.c`), in Linux's order of errors.

use alloc::string::String;

use linux_raw_sys::general as linux;
use quire_machine::fallible;
use quire_machine::user::Word;
use quire_memory::swap;
use quire_swap::{MAX_AREAS, SwapOnOptions};

use super::arguments::{Arguments, Calls, Outcome, require_superuser};
use super::location::this_start;
use super::user_data::path;
use crate::errno::Errno;
use crate::fs::block;
use crate::fs::ghost::GHOST;
use crate::fs::node::NodeKind;
use crate::fs::path::{Follow, walk};
use crate::swap_area;

pub(super) const CALLS: Calls = &[(linux::__NR_swapon, swapon), (linux::__NR_swapoff, swapoff)];

/// The name by which the kernel knows what `path` leads to. Only devices are areas: files in memory have nowhere to be
/// read from when memory is short.
fn device_name(path_address: Word) -> Result<String, Errno> {
    let node = walk(&this_start(), &path(path_address)?, Follow::Yes)?.node()?;
    match node.metadata().kind {
        NodeKind::Directory => Err(Errno::EISDIR),
        NodeKind::Block(device) => block::path(device),
        NodeKind::Character(GHOST) => Ok(fallible::text(format_args!("{}", quire_swap::ghost::PATH))?),
        _ => Err(Errno::EINVAL),
    }
}

fn swapon(arguments: &Arguments<'_>) -> Outcome {
    require_superuser()?;
    let [path, flags, ..] = arguments.words();
    let options = SwapOnOptions::from_flags(flags.low())?;
    if (0..MAX_AREAS as u8).all(|index| swap::core().area(index).is_some()) {
        return Err(Errno::EPERM);
    }
    swap_area::enable(&device_name(path)?, options, None).map_err(|error| error.errno())?;
    Ok(0)
}

fn swapoff(arguments: &Arguments<'_>) -> Outcome {
    require_superuser()?;
    let name = device_name(arguments.word(0))?;
    let is_meant = |index: &u8| swap::core().area(*index).is_some_and(|area| area.name() == name);
    let index = (0..MAX_AREAS as u8).find(is_meant).ok_or(Errno::EINVAL)?;
    swap::swapoff::disable(index)?;
    Ok(0)
}
