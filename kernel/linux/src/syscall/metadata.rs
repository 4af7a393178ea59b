//! What is known of files: `stat` and its relatives, permissions, owners, times.

use alloc::sync::Arc;
use core::time::Duration;

use linux_raw_sys::general as linux;
use quire_machine::clock;
use quire_machine::user::{UserPtr, Word};
use quire_swap::header::PAGE_SIZE;

use super::arguments::{Arguments, Calls, Outcome};
use super::location::{given_path, node_at, node_from, opened_or_path, start_at, this_start};
use super::user_data::path;
use crate::errno::Errno;
use crate::fs::access::{self, WRITE};
use crate::fs::node::{Attributes, Device, Handle, Metadata, NAME_MAX, NodeKind, PATH_MAX};
use crate::fs::path::{Follow, walk};
use crate::fs::position::Position;
use crate::process::control_block::this;
use crate::process::credentials::Credentials;

pub(super) const CALLS: Calls = &[
    (linux::__NR_stat, stat),
    (linux::__NR_lstat, lstat),
    (linux::__NR_fstat, fstat),
    (linux::__NR_newfstatat, newfstatat),
    (linux::__NR_statx, statx),
    (linux::__NR_statfs, statfs),
    (linux::__NR_fstatfs, fstatfs),
    (linux::__NR_access, access),
    (linux::__NR_faccessat, faccessat),
    (linux::__NR_faccessat2, faccessat2),
    (linux::__NR_chmod, chmod),
    (linux::__NR_fchmod, fchmod),
    (linux::__NR_fchmodat, fchmodat),
    (linux::__NR_chown, chown),
    (linux::__NR_lchown, lchown),
    (linux::__NR_fchown, fchown),
    (linux::__NR_fchownat, fchownat),
    (linux::__NR_utimensat, utimensat),
    (linux::__NR_truncate, truncate),
    (linux::__NR_readlink, readlink),
    (linux::__NR_readlinkat, readlinkat),
];

fn node(path_address: Word, follow: Follow) -> Result<Handle, Errno> {
    walk(&this_start(), &path(path_address)?, follow)?.node()
}

fn opened(descriptor: Word) -> Result<Handle, Errno> {
    Ok(Arc::clone(this().files.get(descriptor.low())?.node()))
}

fn device_number(kind: NodeKind) -> u64 {
    match kind {
        NodeKind::Character(device) | NodeKind::Block(device) => device.number(),
        _ => 0,
    }
}

/// `struct stat`.
fn write_stat(address: Word, node: &Handle) -> Outcome {
    let metadata = node.metadata();
    let Attributes { user, group, accessed, modified, changed, .. } = metadata.attributes;
    let time = |time: Duration| [time.as_secs(), u64::from(time.subsec_nanos())];
    let ([accessed, accessed_part], [modified, modified_part], [changed, changed_part]) =
        (time(accessed), time(modified), time(changed));
    let words = [
        metadata.device,
        metadata.inode,
        u64::from(metadata.links),
        u64::from(metadata.mode()) | u64::from(user) << 32,
        u64::from(group),
        device_number(metadata.kind),
        metadata.size,
        PAGE_SIZE as u64,
        metadata.blocks,
        accessed,
        accessed_part,
        modified,
        modified_part,
        changed,
        changed_part,
        0,
        0,
        0,
    ];
    address.pointer().write(words)?;
    Ok(0)
}

fn stat(arguments: &Arguments<'_>) -> Outcome {
    write_stat(arguments.word(1), &node(arguments.word(0), Follow::Yes)?)
}

fn lstat(arguments: &Arguments<'_>) -> Outcome {
    write_stat(arguments.word(1), &node(arguments.word(0), Follow::No)?)
}

fn fstat(arguments: &Arguments<'_>) -> Outcome {
    write_stat(arguments.word(1), &opened_or_path(arguments.word(0))?)
}

fn newfstatat(arguments: &Arguments<'_>) -> Outcome {
    let [directory, path, address, flags, ..] = arguments.words();
    let flags = flags.low();
    let known = linux::AT_EMPTY_PATH | linux::AT_SYMLINK_NOFOLLOW | linux::AT_NO_AUTOMOUNT;
    if flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    write_stat(address, &node_at(directory, path, flags & linux::AT_SYMLINK_NOFOLLOW == 0, flags)?)
}

fn statx(arguments: &Arguments<'_>) -> Outcome {
    let [directory, path, flags, mask, address, _] = arguments.words();
    let flags = flags.low();
    let freshness = linux::AT_STATX_SYNC_TYPE;
    let known = linux::AT_EMPTY_PATH | linux::AT_SYMLINK_NOFOLLOW | linux::AT_NO_AUTOMOUNT | freshness;
    if flags & !known != 0 || flags & freshness == freshness || mask.low() & linux::STATX__RESERVED != 0 {
        return Err(Errno::EINVAL);
    }
    let metadata = node_at(directory, path, flags & linux::AT_SYMLINK_NOFOLLOW == 0, flags)?.metadata();
    address.pointer().write(statx_words(&metadata))?;
    Ok(0)
}

/// `struct statx`, as 32 words.
fn statx_words(metadata: &Metadata) -> [u64; 32] {
    let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    let attributes = &metadata.attributes;
    let device = Device::from_number(metadata.device);
    let special = Device::from_number(device_number(metadata.kind));
    let mut words = [0; 32];
    words[0] = pair(linux::STATX_BASIC_STATS, PAGE_SIZE as u32);
    words[2] = pair(metadata.links, attributes.user);
    words[3] = pair(attributes.group, metadata.mode());
    words[4] = metadata.inode;
    words[5] = metadata.size;
    words[6] = metadata.blocks;
    for (at, time) in [(8, attributes.accessed), (12, attributes.changed), (14, attributes.modified)] {
        words[at] = time.as_secs();
        words[at + 1] = u64::from(time.subsec_nanos());
    }
    words[16] = pair(special.major, special.minor);
    words[17] = pair(device.major, device.minor);
    words
}

/// `struct statfs`.
fn write_statfs(address: Word, node: &Handle) -> Outcome {
    let usage = node.usage();
    let device = node.metadata().device;
    let page = PAGE_SIZE as u64;
    let flags = u64::from(this_start().mounts.options_of(device).statfs_flags());
    let words = [
        u64::from(usage.magic),
        page,
        usage.pages,
        usage.free_pages,
        usage.free_pages,
        usage.nodes,
        usage.free_nodes,
        device,
        NAME_MAX as u64,
        page,
        flags,
        0,
        0,
        0,
        0,
    ];
    address.pointer().write(words)?;
    Ok(0)
}

fn statfs(arguments: &Arguments<'_>) -> Outcome {
    write_statfs(arguments.word(1), &node(arguments.word(0), Follow::Yes)?)
}

fn fstatfs(arguments: &Arguments<'_>) -> Outcome {
    write_statfs(arguments.word(1), &opened_or_path(arguments.word(0))?)
}

/// Asks as the real user, for programs that act as another, unless `flags` say otherwise.
fn check_access(directory: Word, path: Word, mode: Word, flags: u32) -> Outcome {
    let mode = mode.low();
    let known = linux::AT_EACCESS | linux::AT_SYMLINK_NOFOLLOW | linux::AT_EMPTY_PATH;
    if mode & !(linux::R_OK | linux::W_OK | linux::X_OK) != 0 || flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let path = given_path(path, flags & linux::AT_EMPTY_PATH != 0)?;
    let mut start = start_at(directory, &path)?;
    if flags & linux::AT_EACCESS == 0 {
        start.credentials = start.credentials.as_real();
    }
    let credentials = start.credentials.clone();
    let node = node_from(start, &path, flags & linux::AT_SYMLINK_NOFOLLOW == 0)?;
    let metadata = node.metadata();
    let is_stored = matches!(metadata.kind, NodeKind::File | NodeKind::Directory | NodeKind::Link);
    if mode & linux::W_OK != 0 && is_stored {
        this_start().check_mount(&metadata)?;
    }
    access::check(&credentials, &metadata, mode).map(|()| 0)
}

fn access(arguments: &Arguments<'_>) -> Outcome {
    check_access(Word::new(linux::AT_FDCWD.cast_unsigned().into()), arguments.word(0), arguments.word(1), 0)
}

fn faccessat(arguments: &Arguments<'_>) -> Outcome {
    let [directory, path, mode, ..] = arguments.words();
    check_access(directory, path, mode, 0)
}

fn faccessat2(arguments: &Arguments<'_>) -> Outcome {
    let [directory, path, mode, flags, ..] = arguments.words();
    check_access(directory, path, mode, flags.low())
}

/// Changes attributes as far as `change` finds that the caller may.
fn change(node: &Handle, mut change: impl FnMut(&Credentials, &mut Attributes) -> Result<(), Errno>) -> Outcome {
    let credentials = this().credentials();
    this_start().check_mount(&node.metadata())?;
    let mut result = Ok(());
    node.set_attributes(&mut |attributes: &mut Attributes| {
        let mut new = Attributes { changed: clock::since_1970(), ..*attributes };
        result = change(&credentials, &mut new);
        if result.is_ok() {
            *attributes = new;
        }
    })?;
    result.map(|()| 0)
}

fn set_mode(node: &Handle, mode: Word) -> Outcome {
    change(node, |credentials, attributes| {
        attributes.permissions = access::new_permissions(credentials, attributes, mode.low() & 0o7777)?;
        Ok(())
    })
}

fn chmod(arguments: &Arguments<'_>) -> Outcome {
    set_mode(&node(arguments.word(0), Follow::Yes)?, arguments.word(1))
}

fn fchmod(arguments: &Arguments<'_>) -> Outcome {
    set_mode(&opened(arguments.word(0))?, arguments.word(1))
}

fn fchmodat(arguments: &Arguments<'_>) -> Outcome {
    let [directory, path, mode, ..] = arguments.words();
    set_mode(&node_at(directory, path, true, 0)?, mode)
}

/// Sets the owner and the group; -1 leaves one as it is.
fn set_owner(node: &Handle, user: Word, group: Word) -> Outcome {
    let given = |id: Word| Some(id.low()).filter(|id| *id != u32::MAX);
    let (user, group) = (given(user), given(group));
    let is_directory = node.metadata().kind == NodeKind::Directory;
    change(node, |credentials, attributes| {
        access::check_new_owner(credentials, attributes, user, group)?;
        attributes.user = user.unwrap_or(attributes.user);
        attributes.group = group.unwrap_or(attributes.group);
        if !is_directory {
            attributes.permissions = access::without_set_ids(attributes.permissions);
        }
        Ok(())
    })
}

fn chown(arguments: &Arguments<'_>) -> Outcome {
    set_owner(&node(arguments.word(0), Follow::Yes)?, arguments.word(1), arguments.word(2))
}

fn lchown(arguments: &Arguments<'_>) -> Outcome {
    set_owner(&node(arguments.word(0), Follow::No)?, arguments.word(1), arguments.word(2))
}

fn fchown(arguments: &Arguments<'_>) -> Outcome {
    set_owner(&opened(arguments.word(0))?, arguments.word(1), arguments.word(2))
}

fn fchownat(arguments: &Arguments<'_>) -> Outcome {
    let [directory, path, user, group, flags, _] = arguments.words();
    let flags = flags.low();
    if flags & !(linux::AT_EMPTY_PATH | linux::AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    set_owner(&node_at(directory, path, flags & linux::AT_SYMLINK_NOFOLLOW == 0, flags)?, user, group)
}

/// One of the two times of `utimensat`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NewTime {
    Now,
    Same,
    At(Duration),
}

impl NewTime {
    fn new([seconds, part]: [Word; 2]) -> Result<Self, Errno> {
        const NOW: u64 = linux::UTIME_NOW as u64;
        const OMIT: u64 = linux::UTIME_OMIT as u64;
        match part.bits() {
            NOW => Ok(Self::Now),
            OMIT => Ok(Self::Same),
            part @ 0..1_000_000_000 => Ok(Self::At(Duration::new(seconds.bits(), part as u32))),
            _ => Err(Errno::EINVAL),
        }
    }

    fn after(self, old: Duration) -> Duration {
        match self {
            Self::Now => clock::since_1970(),
            Self::Same => old,
            Self::At(time) => time,
        }
    }
}

/// A process that may write a file may set its times to now; other times are the owner's to set.
fn check_new_times(credentials: &Credentials, node: &Metadata, times: [NewTime; 2]) -> Result<(), Errno> {
    match access::check_owner(credentials, &node.attributes) {
        Err(_) if times == [NewTime::Now; 2] => access::check(credentials, node, WRITE),
        owner => owner,
    }
}

fn utimensat(arguments: &Arguments<'_>) -> Outcome {
    let [directory, path, times, flags, ..] = arguments.words();
    let times = times.optional::<[[Word; 2]; 2]>().map(UserPtr::read).transpose()?.map(|times| times.map(NewTime::new));
    // Linux does not even look for the file then.
    if times == Some([Ok(NewTime::Same); 2]) {
        return Ok(0);
    }
    let flags = flags.low();
    let is_opened = path.is_zero() && directory.low() != linux::AT_FDCWD.cast_unsigned();
    if flags & !(linux::AT_EMPTY_PATH | linux::AT_SYMLINK_NOFOLLOW) != 0 || is_opened && flags != 0 {
        return Err(Errno::EINVAL);
    }
    let node = if is_opened {
        opened(directory)?
    } else {
        node_at(directory, path, flags & linux::AT_SYMLINK_NOFOLLOW == 0, flags)?
    };
    let [accessed, modified] = times.unwrap_or([Ok(NewTime::Now); 2]);
    let times = [accessed?, modified?];
    check_new_times(&this().credentials(), &node.metadata(), times)?;
    change(&node, |_, attributes| {
        attributes.accessed = times[0].after(attributes.accessed);
        attributes.modified = times[1].after(attributes.modified);
        Ok(())
    })
}

fn truncate(arguments: &Arguments<'_>) -> Outcome {
    let [path, length, ..] = arguments.words();
    let length = Position::from_word(length)?;
    let node = node(path, Follow::Yes)?;
    let metadata = node.metadata();
    match metadata.kind {
        NodeKind::File => {
            this_start().check_mount(&metadata)?;
            access::check(&this().credentials(), &metadata, WRITE)?;
            node.set_length(length).map(|()| 0)
        }
        NodeKind::Directory => Err(Errno::EISDIR),
        _ => Err(Errno::EINVAL),
    }
}

/// The room for a link's target, looked at before the link.
fn room(length: Word) -> Result<usize, Errno> {
    usize::try_from(length.int()).ok().filter(|room| *room > 0).ok_or(Errno::EINVAL)
}

fn write_link(node: &Handle, address: Word, room: usize) -> Outcome {
    let target = node.read_link()?;
    let bytes = target.len().min(room).min(PATH_MAX);
    address.pointer().write_bytes(&target[..bytes])?;
    Ok(bytes as u64)
}

fn readlink(arguments: &Arguments<'_>) -> Outcome {
    let [path, address, length, ..] = arguments.words();
    let room = room(length)?;
    write_link(&node(path, Follow::No)?, address, room)
}

fn readlinkat(arguments: &Arguments<'_>) -> Outcome {
    let [directory, path_address, address, length, ..] = arguments.words();
    let room = room(length)?;
    let path = given_path(path_address, true)?;
    let node = node_from(start_at(directory, &path)?, &path, false)?;
    write_link(&node, address, room)
}
