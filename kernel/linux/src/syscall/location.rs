//! Where paths begin: the working directory, the root, open directories.

use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general as linux;
use quire_machine::fallible::TryVec;
use quire_machine::user::Word;

use super::arguments::{Arguments, Calls, Outcome, require_superuser};
use super::user_data::path;
use crate::errno::Errno;
use crate::fs::access::{self, SEARCH};
use crate::fs::node::{Handle, NodeKind};
use crate::fs::path::{Follow, Start, path_of, walk};
use crate::process::control_block::this;

pub(super) const CALLS: Calls = &[
    (linux::__NR_chdir, chdir),
    (linux::__NR_fchdir, fchdir),
    (linux::__NR_getcwd, getcwd),
    (linux::__NR_chroot, chroot),
    (linux::__NR_umask, umask),
];

/// Where the process's paths begin.
pub(super) fn this_start() -> Start {
    let process = this();
    process.location.start(process.credentials())
}

/// The node of an open file, be it only a path.
///
/// # Errors
/// `EBADF`.
pub(super) fn opened_or_path(descriptor: Word) -> Result<Handle, Errno> {
    Ok(Arc::clone(this().files.get_or_path(descriptor.low())?.node()))
}

/// A path that is given with an open directory.
///
/// # Errors
/// `ENOENT` for an empty one, unless it may be; those of [`path`].
pub(super) fn given_path(address: Word, may_be_empty: bool) -> Result<Vec<u8>, Errno> {
    let path = path(address)?;
    if path.is_empty() && !may_be_empty { Err(Errno::ENOENT) } else { Ok(path) }
}

/// Where a path begins that is given with an open directory, which an absolute one does without.
///
/// # Errors
/// `EBADF`.
pub(super) fn start_at(directory: Word, path: &[u8]) -> Result<Start, Errno> {
    let mut start = this_start();
    if directory.int() != linux::AT_FDCWD && path.first() != Some(&b'/') {
        start.directory = opened_or_path(directory)?;
    }
    Ok(start)
}

/// The node that a call with a directory, a path and flags means: with `AT_EMPTY_PATH` and an empty path the open file
/// itself.
///
/// # Errors
/// `EBADF`, and those of the walk.
pub(super) fn node_at(directory: Word, path_address: Word, follow: bool, flags: u32) -> Result<Handle, Errno> {
    let path = given_path(path_address, flags & linux::AT_EMPTY_PATH != 0)?;
    node_from(start_at(directory, &path)?, &path, follow)
}

/// As [`node_at`], from where the path begins.
///
/// # Errors
/// Those of the walk.
pub(super) fn node_from(start: Start, path: &[u8], follow: bool) -> Result<Handle, Errno> {
    if path.is_empty() {
        return Ok(start.directory);
    }
    walk(&start, path, if follow { Follow::Yes } else { Follow::No })?.node()
}

/// The directory at a path, to begin at from now on.
fn directory(node: Handle) -> Result<Handle, Errno> {
    let metadata = node.metadata();
    if metadata.kind != NodeKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    access::check(&this().credentials(), &metadata, SEARCH)?;
    Ok(node)
}

fn chdir(arguments: &Arguments<'_>) -> Outcome {
    let node = walk(&this_start(), &path(arguments.word(0))?, Follow::Yes)?.node()?;
    this().location.set_directory(directory(node)?);
    Ok(0)
}

fn fchdir(arguments: &Arguments<'_>) -> Outcome {
    let node = opened_or_path(arguments.word(0))?;
    this().location.set_directory(directory(node)?);
    Ok(0)
}

fn chroot(arguments: &Arguments<'_>) -> Outcome {
    let node = walk(&this_start(), &path(arguments.word(0))?, Follow::Yes)?.node()?;
    let root = directory(node)?;
    require_superuser()?;
    this().location.set_root(root);
    Ok(0)
}

fn getcwd(arguments: &Arguments<'_>) -> Outcome {
    let [address, length, ..] = arguments.words();
    let start = this_start();
    let mut path = path_of(&start, &start.directory)?;
    path.try_push(0)?;
    if length.count(path.len() - 1).is_some() {
        return Err(Errno::ERANGE);
    }
    address.pointer().write_bytes(&path)?;
    Ok(path.len() as u64)
}

fn umask(arguments: &Arguments<'_>) -> Outcome {
    Ok(u64::from(this().location.set_mask(arguments.word(0).low())))
}
