//! The initramfs: inflated where it is compressed, and unpacked into names.
//!
//! The archive stays in memory in one piece of kernel addresses, since the files that do not change are read from there.
//! Only what was compressed is let go again. A file may hold several archives, each plain or a gzip member, with zeros
//! between them (Linux: `init/initramfs.c`); later ones add to earlier ones and replace files of theirs.
//!
//! An archive that cannot be read to its end is an error that names the offset: a kernel that went on with half of its
//! programs would fail later, and say less.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;
use core::time::Duration;

use quire_machine::archive::{Archive, Window};
use quire_machine::log;

use super::cpio::{self, ArchiveError, Member};
use super::gzip::{self, GzipError, Output};
use super::namespace;
use super::node::{Attributes, Device, Handle, New, NodeKind};
use super::path::{Follow, Last, Start, walk};
use super::tmpfs;
use crate::errno::Errno;
use crate::process::credentials::Credentials;

/// Why there is no initramfs to work with.
#[derive(Debug)]
pub enum InitramfsError {
    /// There is no memory for it.
    NoMemory,
    /// What is neither an archive nor compressed nor zero.
    Unknown(usize),
    /// A compressed part.
    Gzip(GzipError),
    /// An archive as it was fetched.
    Archive(ArchiveError),
    /// An archive that was compressed; the offset is behind the beginning of what came out.
    Inflated(ArchiveError),
}

impl fmt::Display for InitramfsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory => formatter.write_str("initramfs: too little memory for it"),
            Self::Unknown(offset) => write!(formatter, "initramfs: offset {offset}: neither cpio nor gzip"),
            Self::Gzip(error) => write!(formatter, "initramfs: {error}"),
            Self::Archive(error) => write!(formatter, "initramfs: {error}"),
            Self::Inflated(error) => write!(formatter, "initramfs, inflated: {error}"),
        }
    }
}

/// Unpacks the initramfs.
///
/// # Errors
/// [`InitramfsError`]; part of it may be unpacked.
#[expect(clippy::disallowed_methods, reason = "once, as the kernel starts")]
pub fn load(fetched: Archive) -> Result<(), InitramfsError> {
    let inflated = Archive::new(Window::Inflated).ok_or(InitramfsError::NoMemory)?;
    let (parts, inflated) = inflate(fetched.bytes(), inflated)?;
    let (fetched_bytes, inflated_bytes) = (fetched.length(), inflated.length());
    let plain: Vec<_> = parts.iter().filter(|part| matches!(part, Part::Plain(_))).cloned().collect();
    if plain.is_empty() {
        drop(fetched);
    } else {
        let bytes = fetched.keep();
        for part in plain {
            unpack(&bytes[..part.range().end], part.range().start).map_err(InitramfsError::Archive)?;
        }
    }
    let bytes = inflated.keep();
    for part in parts.iter().filter(|part| matches!(part, Part::Inflated(_))) {
        unpack_all(&bytes[part.range()])?;
    }
    match inflated_bytes >> 10 {
        0 => log!("fs", "initramfs: {} KiB", fetched_bytes >> 10),
        inflated => log!("fs", "initramfs: {} KiB, inflated to {inflated} KiB", fetched_bytes >> 10),
    }
    Ok(())
}

impl Output for Archive {
    fn bytes(&mut self) -> &mut [u8] {
        self.all_bytes_mut()
    }

    fn grow(&mut self) -> bool {
        Self::grow(self).is_some()
    }
}

/// An archive, where it lies.
#[derive(Clone, Debug)]
enum Part {
    Plain(Range<usize>),
    Inflated(Range<usize>),
}

impl Part {
    fn range(&self) -> Range<usize> {
        match self {
            Self::Plain(range) | Self::Inflated(range) => range.clone(),
        }
    }
}

/// Finds the archives, and inflates those that are compressed into `inflated`.
#[expect(clippy::disallowed_methods, reason = "once, as the kernel starts")]
fn inflate(bytes: &[u8], mut inflated: Archive) -> Result<(Vec<Part>, Archive), InitramfsError> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(zeros) = bytes[at..].iter().position(|byte| *byte != 0) {
        at += zeros;
        if gzip::begins_at(bytes, at) {
            let from = inflated.length();
            let (end, length) = gzip::inflate(bytes, at, &mut inflated, from).map_err(InitramfsError::Gzip)?;
            inflated.set_length(length);
            parts.push(Part::Inflated(from..length));
            at = end;
        } else if cpio::Archive::begins_at(bytes, at) {
            let end = end_of(bytes, at).map_err(InitramfsError::Archive)?;
            parts.push(Part::Plain(at..end));
            at = end;
        } else {
            return Err(InitramfsError::Unknown(at));
        }
    }
    Ok((parts, inflated))
}

fn end_of(bytes: &[u8], offset: usize) -> Result<usize, ArchiveError> {
    let mut archive = cpio::Archive::new(bytes, offset);
    while archive.next_member()?.is_some() {}
    Ok(archive.offset())
}

/// Unpacks the archives that lie in `bytes`, with zeros between them.
fn unpack_all(bytes: &'static [u8]) -> Result<(), InitramfsError> {
    let mut at = 0;
    while let Some(zeros) = bytes[at..].iter().position(|byte| *byte != 0) {
        at = unpack(bytes, at + zeros).map_err(InitramfsError::Inflated)?;
    }
    Ok(())
}

/// Unpacks one archive; returns where it ends.
fn unpack(bytes: &'static [u8], offset: usize) -> Result<usize, ArchiveError> {
    let mounts = namespace::mounts();
    let root = mounts.all()[0].root().clone();
    let start = Start { directory: root.clone(), root, mounts, credentials: Credentials::SUPERUSER };
    let mut linked = BTreeMap::new();
    let mut archive = cpio::Archive::new(bytes, offset);
    while let Some(member) = archive.next_member()? {
        if let Err(error) = unpack_member(&start, &member, &mut linked) {
            log!("fs", "initramfs: {}: left out: {error}", member.path.escape_ascii());
        }
    }
    Ok(archive.offset())
}

/// Makes a member's node, as Linux does: directories are not made by themselves, and what is in the way is replaced unless
/// it is a directory.
#[expect(clippy::disallowed_methods, reason = "once, as the kernel starts")]
fn unpack_member(
    start: &Start,
    member: &Member<'static>,
    linked: &mut BTreeMap<(u32, u32, u32), Handle>,
) -> Result<(), Errno> {
    let (major, minor) = member.device;
    let kind = NodeKind::from_mode(member.mode, Device { major, minor }).ok_or(Errno::EINVAL)?;
    let modified = Duration::from_secs(member.modified.into());
    let attributes =
        Attributes { user: member.user, group: member.group, ..Attributes::new(member.mode & 0o7777, modified) };
    let path = if member.path.is_empty() { b"." } else { member.path };
    let found = walk(start, path, Follow::Never)?;
    let Last::Name(name) = &found.last else { return set_attributes(&found.node()?, attributes) };
    if let Some(node) = &found.node {
        if node.metadata().kind == NodeKind::Directory {
            return if kind == NodeKind::Directory { set_attributes(node, attributes) } else { Err(Errno::EISDIR) };
        }
        found.parent.unlink(name, false)?;
    }
    let other = if member.links > 1 && kind == NodeKind::File { linked.get(&member.identity) } else { None };
    let node = match (kind, other) {
        (NodeKind::File, Some(other)) => {
            found.parent.link(name, other)?;
            // One of the names has the contents, usually the last.
            if !member.contents.is_empty() {
                tmpfs::set_archived(other, member.contents)?;
            }
            return Ok(());
        }
        (NodeKind::File, None) => tmpfs::create_archived(&found.parent, name, member.contents, attributes)?,
        (NodeKind::Link, _) => found.parent.create(name, New::Link(member.contents), attributes)?,
        _ => found.parent.create(name, New::Node(kind), attributes)?,
    };
    if member.links > 1 && kind == NodeKind::File {
        linked.insert(member.identity, node);
    }
    Ok(())
}

fn set_attributes(node: &Handle, new: Attributes) -> Result<(), Errno> {
    node.set_attributes(&mut |attributes| *attributes = new)
}
