//! Mounting file systems.

use alloc::string::String;
use alloc::vec::Vec;

use linux_raw_sys::general as linux;
use quire_machine::fallible;
use quire_swap::header::PAGE_SIZE;

use super::arguments::{Arguments, Calls, Outcome, require_superuser};
use super::location::this_start;
use super::user_data::{path, string};
use crate::errno::Errno;
use crate::fs::mount::{Mount, ON_DISK, Options, filesystem_name};
use crate::fs::node::{Device, NodeKind};
use crate::fs::path::{Follow, Start, path_of, walk};
use crate::fs::start::filesystem;
use crate::fs::tmpfs_options::{flag, no_options, words};
use crate::fs::{ext4, namespace, tmpfs};

pub(super) const CALLS: Calls = &[(linux::__NR_mount, mount), (linux::__NR_umount2, umount2)];

fn text(bytes: Vec<u8>) -> Result<String, Errno> {
    String::from_utf8(bytes).map_err(|_| Errno::EINVAL)
}

/// The words of `data` that are for the file system itself.
fn own(data: &str) -> impl Iterator<Item = &str> + Clone {
    words(data).filter(|word| flag(word).is_none())
}

fn mount(arguments: &Arguments<'_>) -> Outcome {
    let [source, target, kind, flags, data, _] = arguments.words();
    let data = if data.is_zero() { String::new() } else { text(string(data, PAGE_SIZE, Errno::EINVAL)?)? };
    let flags = words(&data).filter_map(flag).fold(flags.low(), |flags, (set, clear)| flags & !clear | set);
    let options = Options::from_flags(flags);
    let start = this_start();
    let covered = walk(&start, &path(target)?, Follow::Yes)?.node()?;
    require_superuser()?;
    if covered.metadata().kind != NodeKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    if flags & linux::MS_REMOUNT != 0 {
        if start.mounts.with_root(&covered).is_none() {
            return Err(Errno::EINVAL);
        }
        tmpfs::remount(&covered, own(&data))?;
        return namespace::remount(&covered, options).map(|()| 0);
    }
    if flags & (linux::MS_BIND | linux::MS_MOVE) != 0 {
        return Err(Errno::EINVAL);
    }
    let kind = text(string(kind, 64, Errno::EINVAL)?)?;
    let kind = filesystem_name(&kind).ok_or(Errno::ENODEV)?;
    let given = if source.is_zero() { None } else { Some(path(source)?) };
    let root = if kind == ON_DISK {
        no_options(own(&data))?;
        ext4::mount(disk(&start, given.as_deref().ok_or(Errno::EINVAL)?)?, options.is_read_only())?
    } else {
        filesystem(kind, own(&data))?
    };
    let source = text(given.map_or_else(|| fallible::copy(b"none"), Ok)?)?;
    let place = path_of(&start, &covered)?;
    // Below what the kernel mounted there itself, if it did.
    let covered = match start.mounts.with_root(&covered) {
        Some(early) if early.early && early.kind == kind => start.mounts.covered_by(&covered).ok_or(Errno::EBUSY)?,
        Some(same) if same.kind == kind && kind != "tmpfs" => return Err(Errno::EBUSY),
        _ => covered,
    };
    let mut mount = Mount::new(&source, kind, &text(place)?, Some(covered), root)?;
    mount.options = options;
    namespace::mount(&mount).map(|()| 0)
}

/// The disk that is to be mounted (Linux: `lookup_bdev`).
fn disk(start: &Start, path: &[u8]) -> Result<Device, Errno> {
    let metadata = walk(start, path, Follow::Yes)?.node()?.metadata();
    match metadata.kind {
        NodeKind::Block(_) if start.mounts.options_of(metadata.device).has_no_devices() => Err(Errno::EACCES),
        NodeKind::Block(device) => Ok(device),
        _ => Err(Errno::ENOTBLK),
    }
}

fn umount2(arguments: &Arguments<'_>) -> Outcome {
    let [target, flags, ..] = arguments.words();
    let flags = flags.low();
    // No file system has anything that force would break.
    if flags & !(linux::MNT_FORCE | linux::MNT_DETACH | linux::MNT_EXPIRE | linux::UMOUNT_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let follow = if flags & linux::UMOUNT_NOFOLLOW == 0 { Follow::Yes } else { Follow::No };
    let node = walk(&this_start(), &path(target)?, follow)?.node()?;
    require_superuser()?;
    if flags & linux::MNT_EXPIRE != 0 {
        let is_mount = this_start().mounts.covered_by(&node).is_some();
        // Whether one was used since it was looked at last is not known, so each is taken for used.
        let is_possible = is_mount && flags & (linux::MNT_FORCE | linux::MNT_DETACH) == 0;
        return Err(if is_possible { Errno::EBUSY } else { Errno::EINVAL });
    }
    namespace::unmount(&node, flags & linux::MNT_DETACH != 0).map(|()| 0)
}
