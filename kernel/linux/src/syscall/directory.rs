//! Names: making, removing, moving and listing them.

use alloc::vec::Vec;

use linux_raw_sys::general as linux;
use quire_machine::fallible::{NoMemory, TryVec};
use quire_machine::user::Word;

use super::arguments::{Arguments, Calls, Outcome};
use super::location::{given_path, start_at};
use super::user_data::path;
use crate::errno::Errno;
use crate::fs::access::{self, SEARCH, WRITE};
use crate::fs::namespace;
use crate::fs::node::{Device, Entry, Handle, New, NodeKind};
use crate::fs::path::{Follow, Last, Resolved, Start, walk};
use crate::fs::position::Position;
use crate::process::control_block::this;

pub(super) const CALLS: Calls = &[
    (linux::__NR_getdents64, getdents64),
    (linux::__NR_mkdir, mkdir),
    (linux::__NR_mkdirat, mkdirat),
    (linux::__NR_mknod, mknod),
    (linux::__NR_mknodat, mknodat),
    (linux::__NR_symlink, symlink),
    (linux::__NR_symlinkat, symlinkat),
    (linux::__NR_link, link),
    (linux::__NR_linkat, linkat),
    (linux::__NR_unlink, unlink),
    (linux::__NR_unlinkat, unlinkat),
    (linux::__NR_rmdir, rmdir),
    (linux::__NR_rename, rename),
    (linux::__NR_renameat, renameat),
    (linux::__NR_renameat2, renameat2),
];

/// The directory argument that means the working directory.
const HERE: Word = Word::new(linux::AT_FDCWD.cast_unsigned() as u64);

/// A directory's own two entries come before those that its file system lists, whose positions begin here.
const FIRST_POSITION: u64 = 2;
/// The bytes of `struct linux_dirent64` before the name.
const ENTRY_HEADER: usize = 19;

fn getdents64(arguments: &Arguments<'_>) -> Outcome {
    let [descriptor, address, length, ..] = arguments.words();
    let open = this().files.get(descriptor.low())?;
    let node = open.node();
    let metadata = node.metadata();
    if metadata.kind != NodeKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    // A page holds any entry; more is asked for again.
    let mut entries =
        Entries { bytes: Vec::new(), room: (length.low() as usize).min(4096), next: open.position().get() };
    let mut full = false;
    if entries.next == 0 {
        full = !entries.push(1, b".", metadata.inode, NodeKind::Directory)?;
    }
    if entries.next == 1 && !full {
        let parent = node.parent()?.map_or(metadata.inode, |parent| parent.metadata().inode);
        full = !entries.push(FIRST_POSITION, b"..", parent, NodeKind::Directory)?;
    }
    if !full {
        let from = entries.next - FIRST_POSITION;
        let mut outcome = Ok(());
        node.read_directory(from, &mut |entry: &Entry<'_>| {
            let fits = entries.push(entry.position + FIRST_POSITION + 1, entry.name, entry.inode, entry.kind);
            full |= fits != Ok(true);
            outcome = fits.map(drop);
            fits == Ok(true)
        })?;
        outcome?;
    }
    if entries.bytes.is_empty() && full {
        return Err(Errno::EINVAL);
    }
    address.pointer().write_bytes(&entries.bytes)?;
    open.set_position(Position::new(entries.next).unwrap_or(Position::MAX));
    Ok(entries.bytes.len() as u64)
}

/// Entries as `getdents64` gives them.
struct Entries {
    bytes: Vec<u8>,
    room: usize,
    /// The position behind the last entry.
    next: u64,
}

impl Entries {
    /// Appends an entry behind which the directory goes on at `next`; false if there is no room for it.
    fn push(&mut self, next: u64, name: &[u8], inode: u64, kind: NodeKind) -> Result<bool, NoMemory> {
        let length = (ENTRY_HEADER + name.len() + 1).next_multiple_of(8);
        let end = self.bytes.len() + length;
        if end > self.room {
            return Ok(false);
        }
        self.bytes.reserve_more(length)?;
        self.bytes.try_extend(inode.to_le_bytes())?;
        self.bytes.try_extend(next.to_le_bytes())?;
        self.bytes.try_extend((length as u16).to_le_bytes())?;
        self.bytes.try_push(kind.entry_type())?;
        self.bytes.try_extend(name.iter().copied())?;
        self.bytes.try_extend(core::iter::repeat_n(0, end - self.bytes.len()))?;
        self.next = next;
        Ok(true)
    }
}

/// Walks to a name that is to be changed.
fn name_at(directory: Word, path: Word) -> Result<(Start, Resolved), Errno> {
    let path = given_path(path, false)?;
    let start = start_at(directory, &path)?;
    let found = walk(&start, &path, Follow::Never)?;
    Ok((start, found))
}

/// A name with a slash behind it can only become a directory's.
fn check_slash(found: &Resolved, new: &New<'_>) -> Result<(), Errno> {
    let is_in_vain = found.slash && found.node.is_none() && !matches!(new, New::Node(NodeKind::Directory));
    if is_in_vain { Err(Errno::ENOENT) } else { Ok(()) }
}

fn make(directory: Word, path: Word, new: New<'_>, mode: Word) -> Outcome {
    let (start, found) = name_at(directory, path)?;
    check_slash(&found, &new)?;
    let permissions = match new {
        New::Link(_) => 0o777,
        New::Node(kind) => {
            // Only what a directory is made in says whether it sets groups.
            let meant = if kind == NodeKind::Directory { 0o1777 } else { 0o7777 };
            mode.low() & meant & !this().location.mask()
        }
    };
    namespace::create(&start, &found, new, permissions).map(|_| 0)
}

fn mkdir(arguments: &Arguments<'_>) -> Outcome {
    make(HERE, arguments.word(0), New::Node(NodeKind::Directory), arguments.word(1))
}

fn mkdirat(arguments: &Arguments<'_>) -> Outcome {
    make(arguments.word(0), arguments.word(1), New::Node(NodeKind::Directory), arguments.word(2))
}

fn make_node(directory: Word, path: Word, mode: Word, device: Word) -> Outcome {
    let device = Device::from_number(device.low().into());
    let kind = match mode.low() & linux::S_IFMT {
        0 => NodeKind::File,
        linux::S_IFDIR => return Err(Errno::EPERM),
        _ => NodeKind::from_mode(mode.low(), device).filter(|kind| *kind != NodeKind::Link).ok_or(Errno::EINVAL)?,
    };
    make(directory, path, New::Node(kind), mode)
}

fn mknod(arguments: &Arguments<'_>) -> Outcome {
    make_node(HERE, arguments.word(0), arguments.word(1), arguments.word(2))
}

fn mknodat(arguments: &Arguments<'_>) -> Outcome {
    make_node(arguments.word(0), arguments.word(1), arguments.word(2), arguments.word(3))
}

fn make_symlink(target: Word, directory: Word, name: Word) -> Outcome {
    let target = path(target)?;
    if target.is_empty() {
        return Err(Errno::ENOENT);
    }
    make(directory, name, New::Link(&target), Word::ZERO)
}

fn symlink(arguments: &Arguments<'_>) -> Outcome {
    make_symlink(arguments.word(0), HERE, arguments.word(1))
}

fn symlinkat(arguments: &Arguments<'_>) -> Outcome {
    make_symlink(arguments.word(0), arguments.word(1), arguments.word(2))
}

fn make_link(from: (Word, Word), to: (Word, Word), flags: u32) -> Outcome {
    if flags & !(linux::AT_SYMLINK_FOLLOW | linux::AT_EMPTY_PATH) != 0 {
        return Err(Errno::EINVAL);
    }
    let node = super::location::node_at(from.0, from.1, flags & linux::AT_SYMLINK_FOLLOW != 0, flags)?;
    let (start, found) = name_at(to.0, to.1)?;
    if found.node.is_some() {
        return Err(Errno::EEXIST);
    }
    let (parent, name) = last_name(&found, Errno::EEXIST)?;
    check_slash(&found, &New::Node(NodeKind::File))?;
    if node.metadata().device != parent.metadata().device {
        return Err(Errno::EXDEV);
    }
    check_change(&start, &found)?;
    parent.link(name, &node).map(|()| 0)
}

fn link(arguments: &Arguments<'_>) -> Outcome {
    make_link((HERE, arguments.word(0)), (HERE, arguments.word(1)), 0)
}

fn linkat(arguments: &Arguments<'_>) -> Outcome {
    let [from_directory, from, to_directory, to, flags, _] = arguments.words();
    make_link((from_directory, from), (to_directory, to), flags.low())
}

/// The directory and the name that a change is about.
fn last_name(found: &Resolved, no_name: Errno) -> Result<(&Handle, &[u8]), Errno> {
    let Last::Name(name) = &found.last else { return Err(no_name) };
    Ok((&found.parent, name))
}

/// Whether a name may be made, or taken from what has it.
fn check_change(start: &Start, found: &Resolved) -> Result<(), Errno> {
    let directory = found.parent.metadata();
    start.check_mount(&directory)?;
    match &found.node {
        Some(node) => access::check_removal(&start.credentials, &directory, &node.metadata()),
        None => access::check(&start.credentials, &directory, WRITE | SEARCH),
    }
}

/// Whether something is mounted where the walk ended: the name below must stay.
fn check_not_mounted(start: &Start, found: &Resolved) -> Result<(), Errno> {
    let mounted = found.node.as_ref().is_some_and(|node| start.mounts.with_root(node).is_some());
    if mounted { Err(Errno::EBUSY) } else { Ok(()) }
}

fn remove(directory: Word, path: Word, is_directory: bool) -> Outcome {
    let (start, found) = name_at(directory, path)?;
    let no_name = match (is_directory, &found.last) {
        (false, _) => Errno::EISDIR,
        (true, Last::Dot) => Errno::EINVAL,
        (true, Last::DotDot) => Errno::ENOTEMPTY,
        (true, _) => Errno::EBUSY,
    };
    let (parent, name) = last_name(&found, no_name)?;
    let node = found.node.as_ref().ok_or(Errno::ENOENT)?;
    if !is_directory && found.slash {
        return Err(if node.metadata().kind == NodeKind::Directory { Errno::EISDIR } else { Errno::ENOTDIR });
    }
    check_change(&start, &found)?;
    check_not_mounted(&start, &found)?;
    parent.unlink(name, is_directory).map(|()| 0)
}

fn unlink(arguments: &Arguments<'_>) -> Outcome {
    remove(HERE, arguments.word(0), false)
}

fn unlinkat(arguments: &Arguments<'_>) -> Outcome {
    let [directory, path, flags, ..] = arguments.words();
    match flags.low() {
        0 => remove(directory, path, false),
        linux::AT_REMOVEDIR => remove(directory, path, true),
        _ => Err(Errno::EINVAL),
    }
}

fn rmdir(arguments: &Arguments<'_>) -> Outcome {
    remove(HERE, arguments.word(0), true)
}

fn move_name(from: (Word, Word), to: (Word, Word), flags: u32) -> Outcome {
    let exclusive = linux::RENAME_NOREPLACE | linux::RENAME_WHITEOUT;
    if flags & !(exclusive | linux::RENAME_EXCHANGE) != 0
        || flags & exclusive != 0 && flags & linux::RENAME_EXCHANGE != 0
    {
        return Err(Errno::EINVAL);
    }
    let ((from_start, old), (to_start, new)) = (name_at(from.0, from.1)?, name_at(to.0, to.1)?);
    if old.parent.metadata().device != new.parent.metadata().device {
        return Err(Errno::EXDEV);
    }
    let (parent, name) = last_name(&old, Errno::EBUSY)?;
    let no_name = if flags & linux::RENAME_NOREPLACE != 0 { Errno::EEXIST } else { Errno::EBUSY };
    let (new_parent, new_last) = last_name(&new, no_name)?;
    let moved = old.node.as_ref().ok_or(Errno::ENOENT)?.metadata();
    if flags & linux::RENAME_NOREPLACE != 0 && new.node.is_some() {
        return Err(Errno::EEXIST);
    }
    if (old.slash || new.slash) && moved.kind != NodeKind::Directory {
        return Err(Errno::ENOTDIR);
    }
    if new.node.as_ref().is_some_and(|node| node.metadata().identity() == moved.identity()) {
        return Ok(0);
    }
    check_change(&from_start, &old)?;
    check_change(&to_start, &new)?;
    check_not_mounted(&from_start, &old)?;
    check_not_mounted(&to_start, &new)?;
    // No file system here leaves something behind for those that lie over it.
    if flags & linux::RENAME_WHITEOUT != 0 {
        return Err(Errno::EINVAL);
    }
    // A directory that moves to another one is changed itself: `..` leads elsewhere.
    if parent.metadata().identity() != new_parent.metadata().identity() {
        let back = new.node.as_ref().filter(|_| flags & linux::RENAME_EXCHANGE != 0).map(|node| node.metadata());
        for moved in [Some(moved), back].into_iter().flatten().filter(|moved| moved.kind == NodeKind::Directory) {
            access::check(&from_start.credentials, &moved, WRITE)?;
        }
    }
    parent.rename(name, new_parent, new_last, flags).map(|()| 0)
}

fn rename(arguments: &Arguments<'_>) -> Outcome {
    move_name((HERE, arguments.word(0)), (HERE, arguments.word(1)), 0)
}

fn renameat(arguments: &Arguments<'_>) -> Outcome {
    let [from_directory, from, to_directory, to, ..] = arguments.words();
    move_name((from_directory, from), (to_directory, to), 0)
}

fn renameat2(arguments: &Arguments<'_>) -> Outcome {
    let [from_directory, from, to_directory, to, flags, _] = arguments.words();
    move_name((from_directory, from), (to_directory, to), flags.low())
}
