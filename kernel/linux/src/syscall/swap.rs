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
use crate::fs::ghost::GHOST;
use crate::fs::namespace::shown_path;
use crate::fs::node::{Handle, NodeKind};
use crate::fs::path::{Follow, walk};
use crate::fs::{block, ext4};
use crate::swap_area;

pub(super) const CALLS: Calls = &[(linux::__NR_swapon, swapon), (linux::__NR_swapoff, swapoff)];

/// What is to be an area, or is one.
enum Source {
    /// The device with this path.
    Device(String),
    /// A file, shown as this path.
    File(Handle, String),
}

/// What `path` leads to. A file is only one whose file system can say where on a disk it is: files in memory have nowhere to be read
/// from when memory is short.
fn source(path_address: Word) -> Result<Source, Errno> {
    let start = this_start();
    let found = walk(&start, &path(path_address)?, Follow::Yes)?;
    let shown = shown_path(&start, &found)?;
    let node = found.node()?;
    let metadata = node.metadata();
    match metadata.kind {
        NodeKind::Directory => Err(Errno::EISDIR),
        NodeKind::Block(device) => Ok(Source::Device(block::path(device)?)),
        NodeKind::Character(GHOST) => Ok(Source::Device(fallible::text(format_args!("{}", quire_swap::ghost::PATH))?)),
        NodeKind::File => {
            start.check_mount(&metadata)?;
            Ok(Source::File(node, String::from_utf8(shown).map_err(|_| Errno::EINVAL)?))
        }
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
    match source(path)? {
        Source::Device(name) => swap_area::enable(&name, options, None).map_err(|error| error.errno())?,
        Source::File(node, name) => ext4::enable(&node, &name, options)?,
    };
    Ok(0)
}

fn swapoff(arguments: &Arguments<'_>) -> Outcome {
    require_superuser()?;
    let disable = |name: &str| {
        let is_meant = |index: &u8| swap::core().area(*index).is_some_and(|area| area.name() == name);
        let index = (0..MAX_AREAS as u8).find(is_meant).ok_or(Errno::EINVAL)?;
        Ok::<_, Errno>(swap::swapoff::disable(index)?)
    };
    match source(arguments.word(0))? {
        Source::Device(name) => disable(&name)?,
        Source::File(node, _) => {
            disable(&ext4::area_name(&node).ok_or(Errno::EINVAL)?)?;
            ext4::disable(&node)?;
        }
    }
    Ok(0)
}
