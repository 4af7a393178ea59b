//! Nodes and open files of a mounted ext4.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::ops::Range;
use core::time::Duration;

use linux_raw_sys::general as linux;
use quire_machine::fallible;
use quire_swap::header::PAGE_SIZE;
use rsext4::{
    DeviceNumber, DirectoryCursor, DirectoryEntryType, Ext4Result, Ext4Timestamp, FileName, FilePermissions,
    InodeFlags, InodeInfo, InodeMetadataUpdate, InodeNumber, MutationContext, PreallocationOptions, RangeOperation,
    RenameOptions, SpecialInodeKind, UnlinkOutcome,
};

use super::volume::{Mounted, Nodes, NodesGuard, Volume, free};
use crate::errno::Errno;
use crate::fs::devices;
use crate::fs::mount::Mounts;
use crate::fs::node::{
    Attributes, Device, Entry, File, FilesystemUsage, Handle, Metadata, NAME_MAX, New, Node, NodeKind, PATH_MAX, Wait,
};
use crate::fs::position::Position;
use crate::fs::special::open_special;
use crate::fs::{access, block, limit};
use crate::process::control_block::this;

/// What `statfs` says.
const MAGIC: u32 = 0xef53;
/// How many entries of a directory are read together.
const ENTRIES_AT_ONCE: usize = 16;
/// The most that one call writes: a kernel buffer is as large.
const WRITTEN_MAX: usize = 16 << 10;
/// Behind the last entry of a directory.
const END: u64 = i64::MAX as u64 - 64;

/// A node of a mounted file system; while it is there, the volume has the node in use.
pub(super) struct Ext4Node {
    pub(super) volume: Arc<Volume>,
    pub(super) number: u32,
}

/// Mounts the disk with this number; returns the root.
///
/// # Errors
/// As `mount(2)`: `ENXIO` if there is no such disk, `EINVAL` for one that holds no such file system.
pub fn mount(device: Device, read_only: bool) -> Result<Handle, Errno> {
    let path = block::path(device)?;
    let disk = devices::disk(&path).ok_or(Errno::EINVAL)?;
    let volume = Volume::mount(disk, read_only)?;
    let mut nodes = volume.nodes()?;
    let info = volume.run(&mut nodes, &[], |ext4| {
        let root = ext4.root_inode();
        ext4.inode(root)
    })?;
    if !info.is_directory() {
        return Err(Errno::EINVAL);
    }
    Ok(Ext4Node::new(&volume, nodes, info)?)
}

/// Writes what mounted file systems have not written yet (Linux: `ksys_sync`); errors are for those who sync a file.
pub fn sync_all(mounts: &Mounts) {
    for mount in mounts.all() {
        let _ = of(mount.root()).and_then(|node| node.volume.sync());
    }
}

pub(super) fn of(node: &Handle) -> Result<&Ext4Node, Errno> {
    node.as_any().downcast_ref().ok_or(Errno::EXDEV)
}

fn kind(info: &InodeInfo) -> NodeKind {
    let device = info
        .device_number
        .map_or(Device { major: 0, minor: 0 }, |device| Device { major: device.major(), minor: device.minor() });
    // The crate has none other than these, but a disk may.
    NodeKind::from_mode(info.mode.into(), device).unwrap_or(NodeKind::Socket)
}

fn entry_kind(kind: DirectoryEntryType) -> NodeKind {
    let none = Device { major: 0, minor: 0 };
    match kind {
        DirectoryEntryType::Directory => NodeKind::Directory,
        DirectoryEntryType::Symlink => NodeKind::Link,
        DirectoryEntryType::CharacterDevice => NodeKind::Character(none),
        DirectoryEntryType::BlockDevice => NodeKind::Block(none),
        DirectoryEntryType::Fifo => NodeKind::Pipe,
        DirectoryEntryType::Socket => NodeKind::Socket,
        DirectoryEntryType::RegularFile | DirectoryEntryType::Unknown => NodeKind::File,
    }
}

fn metadata(volume: &Volume, info: &InodeInfo) -> Metadata {
    let time = |seconds: u32| Duration::from_secs(seconds.into());
    Metadata {
        device: volume.number,
        inode: info.number.raw().into(),
        kind: kind(info),
        links: info.links.into(),
        attributes: Attributes {
            permissions: u32::from(info.mode) & 0o7777,
            user: info.uid,
            group: info.gid,
            accessed: time(info.atime),
            modified: time(info.mtime),
            changed: time(info.ctime),
        },
        size: info.size,
        blocks: info.blocks,
    }
}

fn permissions(attributes: &Attributes) -> Ext4Result<FilePermissions> {
    FilePermissions::new((attributes.permissions & 0o7777) as u16)
}

fn timestamp(time: Duration) -> Ext4Timestamp {
    Ext4Timestamp::new(time.as_secs().cast_signed(), time.subsec_nanos())
}

/// A name that may be in a directory, on the way to the volume's thread.
fn name(bytes: &[u8]) -> Result<Vec<u8>, Errno> {
    if bytes.len() > NAME_MAX {
        return Err(Errno::ENAMETOOLONG);
    }
    Ok(fallible::copy(bytes)?)
}

/// Where reading a directory goes on. A position is behind an entry; those of an indexed directory are hashes, as on Linux
/// (`hash2pos`), so that entries that come and go between two calls move no other.
fn cursor(position: u64, is_indexed: bool) -> DirectoryCursor {
    match position {
        0 => DirectoryCursor::Start,
        END.. => DirectoryCursor::End,
        _ if is_indexed => {
            DirectoryCursor::HTree { major: (position >> 32 << 1) as u32, minor: position as u32, collision: 0 }
        }
        offset => DirectoryCursor::Linear { offset },
    }
}

fn position(cursor: DirectoryCursor) -> u64 {
    match cursor {
        DirectoryCursor::Start => 0,
        DirectoryCursor::Linear { offset } => offset.min(END),
        DirectoryCursor::HTree { major, minor, .. } => (u64::from(major >> 1) << 32 | u64::from(minor)).min(END),
        DirectoryCursor::End => END,
    }
}

impl Ext4Node {
    /// A handle. The nodes have been let go before there may be no memory for it, because what was taken into use is released
    /// then.
    fn new(volume: &Arc<Volume>, mut nodes: NodesGuard<'_>, info: InodeInfo) -> Result<Arc<Self>, Errno> {
        let number = info.number.raw();
        nodes.hold(info)?;
        drop(nodes);
        Ok(fallible::shared(Self { volume: Arc::clone(volume), number })?)
    }

    /// Has the volume's thread do `work`, which is about this node.
    fn run<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Mounted, InodeNumber) -> Ext4Result<R> + Send + 'static,
    ) -> Result<R, Errno> {
        let mut nodes = self.volume.nodes()?;
        self.run_in(&mut nodes, work)
    }

    pub(super) fn run_in<R: Send + 'static>(
        &self,
        nodes: &mut Nodes,
        work: impl FnOnce(&mut Mounted, InodeNumber) -> Ext4Result<R> + Send + 'static,
    ) -> Result<R, Errno> {
        let number = self.number;
        self.volume.run(nodes, &[number], move |ext4| work(ext4, InodeNumber::new(number)?))
    }

    /// As [`Self::run_in`], for what changes the node: what it is afterwards is remembered.
    fn change(
        &self,
        nodes: &mut Nodes,
        work: impl FnOnce(&mut Mounted, InodeNumber) -> Ext4Result<()> + Send + 'static,
    ) -> Result<(), Errno> {
        let (result, info) = self.run_in(nodes, move |ext4, number| {
            let result = work(ext4, number);
            Ok((result, ext4.inode(number)))
        })?;
        if let Ok(info) = info {
            self.volume.changed(nodes, info);
        }
        result.map_err(|error| self.volume.errno(error))
    }

    fn info(&self, nodes: &Nodes) -> Result<InodeInfo, Errno> {
        nodes.get(self.number).map(|live| live.info).ok_or(Errno::EIO)
    }

    /// While a file is a swap area, its contents are the swap core's (Linux: `IS_SWAPFILE`).
    fn check_no_swap_area(&self, nodes: &Nodes, error: Errno) -> Result<(), Errno> {
        if nodes.get(self.number).is_some_and(|live| live.swap_area.is_some()) { Err(error) } else { Ok(()) }
    }

    /// What is called `name` in this directory must not be a swap area (Linux: `may_delete`).
    fn check_may_go(&self, nodes: &mut Nodes, name: &[u8]) -> Result<u32, Errno> {
        let wanted = fallible::copy(name)?;
        let found = self.run_in(nodes, move |ext4, directory| ext4.lookup_child(directory, FileName::new(&wanted)?))?;
        let number = found.ok_or(Errno::ENOENT)?.number.raw();
        if nodes.get(number).is_some_and(|live| live.swap_area.is_some()) { Err(Errno::EPERM) } else { Ok(number) }
    }

    /// A name was taken from an inode; without another one it is freed, now or with its last handle.
    fn unlinked(&self, nodes: &mut Nodes, outcome: UnlinkOutcome) -> Result<(), Errno> {
        let number = outcome.inode.raw();
        if let Some(live) = nodes.get_mut(number) {
            live.info.links = outcome.remaining_links;
            return Ok(());
        }
        if outcome.requires_reap() { self.volume.run(nodes, &[number], move |ext4| free(ext4, number)) } else { Ok(()) }
    }

    /// Remembers what this directory has become.
    fn refresh(&self, nodes: &mut Nodes) {
        if let Ok(info) = self.run_in(nodes, Mounted::inode) {
            nodes.refresh(info);
        }
    }

    fn write(&self, nodes: &mut Nodes, offset: u64, bytes: &[u8]) -> Result<usize, Errno> {
        self.check_no_swap_area(nodes, Errno::ETXTBSY)?;
        let bytes = fallible::copy(&bytes[..bytes.len().min(WRITTEN_MAX)])?;
        let written = bytes.len();
        let clears = self.info(nodes)?.mode & 0o6000 != 0 && !this().identity().is_superuser_of_files();
        self.change(nodes, move |ext4, number| {
            ext4.write_inode(number, offset, &bytes)?;
            if clears {
                let mode = access::without_set_ids(u32::from(ext4.inode(number)?.mode) & 0o7777);
                let permissions = Some(FilePermissions::new(mode as u16)?);
                ext4.update_inode_metadata(number, InodeMetadataUpdate { permissions, ..Default::default() })?;
            }
            Ok(())
        })?;
        Ok(written)
    }

    fn operate(&self, bytes: Range<u64>, operation: RangeOperation) -> Result<(), Errno> {
        let mut nodes = self.volume.nodes()?;
        self.check_no_swap_area(&nodes, Errno::ETXTBSY)?;
        let length = bytes.end.saturating_sub(bytes.start);
        self.change(&mut nodes, move |ext4, number| ext4.operate_inode_range(number, bytes.start, length, operation))
    }
}

impl Drop for Ext4Node {
    fn drop(&mut self) {
        self.volume.release(self.number);
    }
}

impl Node for Ext4Node {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn metadata(&self) -> Metadata {
        let nodes = self.volume.nodes_in_any_case();
        let live = nodes.get(self.number).expect("a node is in use while it has a handle");
        metadata(&self.volume, &live.info)
    }

    fn keeps_mounted(&self, handles: usize) -> bool {
        handles > 2 || self.volume.nodes_in_any_case().handles() > 1
    }

    fn usage(&self) -> FilesystemUsage {
        let pages = |blocks: u64, bytes: u64| blocks.saturating_mul(bytes) / PAGE_SIZE as u64;
        let stats = self.run(|ext4, _| Ok(ext4.statfs()));
        let none = FilesystemUsage { magic: MAGIC, pages: 0, free_pages: 0, nodes: 0, free_nodes: 0 };
        stats.map_or(none, |stats| FilesystemUsage {
            magic: MAGIC,
            pages: pages(stats.total_blocks, stats.block_size),
            free_pages: pages(stats.free_blocks, stats.block_size),
            nodes: stats.total_inodes.into(),
            free_nodes: stats.free_inodes.into(),
        })
    }

    fn set_attributes(&self, change: &mut dyn FnMut(&mut Attributes)) -> Result<(), Errno> {
        let mut nodes = self.volume.nodes()?;
        let old = metadata(&self.volume, &self.info(&nodes)?).attributes;
        let mut new = old;
        change(&mut new);
        let wanted = InodeMetadataUpdate {
            permissions: Some(permissions(&new).map_err(|_| Errno::EINVAL)?),
            owner: ((new.user, new.group) != (old.user, old.group)).then_some((new.user, new.group)),
            atime: (new.accessed != old.accessed).then(|| timestamp(new.accessed)),
            mtime: (new.modified != old.modified).then(|| timestamp(new.modified)),
            ..InodeMetadataUpdate::default()
        };
        self.change(&mut nodes, move |ext4, number| ext4.update_inode_metadata(number, wanted).map(drop))
    }

    fn open(&self, flags: u32) -> Result<Arc<dyn File>, Errno> {
        if let Some(opened) = open_special(&self.metadata(), flags)? {
            return Ok(opened);
        }
        let nodes = self.volume.nodes()?;
        let info = self.info(&nodes)?;
        let node = Self::new(&self.volume, nodes, info)?;
        Ok(fallible::shared(Ext4File(node))?)
    }

    fn set_length(&self, length: Position) -> Result<(), Errno> {
        let mut nodes = self.volume.nodes()?;
        let info = self.info(&nodes)?;
        match kind(&info) {
            NodeKind::Directory => return Err(Errno::EISDIR),
            NodeKind::File => {}
            _ => return Err(Errno::EINVAL),
        }
        limit::check_new_length(info.size, length)?;
        if length.get() <= info.size {
            self.check_no_swap_area(&nodes, Errno::ETXTBSY)?;
        }
        self.change(&mut nodes, move |ext4, number| ext4.truncate_inode(number, length.get()))
    }

    fn allocate(&self, bytes: Range<u64>, keeps_length: bool) -> Result<(), Errno> {
        self.operate(bytes, RangeOperation::Allocate(PreallocationOptions { keep_size: keeps_length }))
    }

    fn punch_hole(&self, bytes: Range<u64>) -> Result<(), Errno> {
        self.operate(bytes, RangeOperation::PunchHole)
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        if self.metadata().kind != NodeKind::Link {
            return Err(Errno::EINVAL);
        }
        let mut target = fallible::filled(0, PATH_MAX - 1)?;
        self.run(move |ext4, number| {
            let length = ext4.read_inode(number, 0, &mut target)?;
            target.truncate(length);
            Ok(target)
        })
    }

    fn lookup(&self, wanted: &[u8]) -> Result<Handle, Errno> {
        let wanted = name(wanted)?;
        let mut nodes = self.volume.nodes()?;
        if !self.info(&nodes)?.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        let found =
            self.run_in(&mut nodes, move |ext4, directory| ext4.lookup_child(directory, FileName::new(&wanted)?))?;
        Ok(Self::new(&self.volume, nodes, found.ok_or(Errno::ENOENT)?)?)
    }

    fn parent(&self) -> Result<Option<Handle>, Errno> {
        let mut nodes = self.volume.nodes()?;
        let found = self.run_in(&mut nodes, |ext4, directory| {
            if directory == ext4.root_inode() {
                return Ok(None);
            }
            // The first two entries are the directory itself and its parent.
            let entries = ext4.read_directory(directory, DirectoryCursor::Start, 2)?;
            let parent = entries.iter().find(|entry| entry.name == b"..").map(|entry| entry.inode);
            parent.map(|parent| ext4.inode(parent)).transpose()
        })?;
        match found {
            Some(info) if info.is_directory() => Ok(Some(Self::new(&self.volume, nodes, info)?)),
            _ => Ok(None),
        }
    }

    fn read_directory(&self, position: u64, each: &mut dyn FnMut(&Entry<'_>) -> bool) -> Result<(), Errno> {
        let mut from = position;
        loop {
            let entries = {
                let mut nodes = self.volume.nodes()?;
                let info = self.info(&nodes)?;
                let cursor = cursor(from, info.flags.contains(InodeFlags::DIRECTORY_INDEX));
                self.run_in(&mut nodes, move |ext4, directory| ext4.read_directory(directory, cursor, ENTRIES_AT_ONCE))?
            };
            let Some(last) = entries.last() else { return Ok(()) };
            let next = self::position(last.next_cursor);
            for entry in entries.iter().filter(|entry| ![&b"."[..], b".."].contains(&&*entry.name)) {
                let position = self::position(entry.next_cursor).saturating_sub(1);
                let (name, inode, kind) = (&*entry.name, entry.inode.raw().into(), entry_kind(entry.file_type));
                if !each(&Entry { position, name, inode, kind }) {
                    return Ok(());
                }
            }
            // What a disk says may go backwards.
            if next <= from {
                return Ok(());
            }
            from = next;
        }
    }

    fn create(&self, wanted: &[u8], new: New<'_>, attributes: Attributes) -> Result<Handle, Errno> {
        let wanted = name(wanted)?;
        let target = match new {
            New::Link(target) if target.len() >= PATH_MAX => return Err(Errno::ENAMETOOLONG),
            New::Link(target) => Some(fallible::copy(target)?),
            New::Node(NodeKind::Link) => return Err(Errno::EINVAL),
            New::Node(_) => None,
        };
        let kind = if let New::Node(kind) = new { kind } else { NodeKind::Link };
        let mut nodes = self.volume.nodes()?;
        if self.info(&nodes)?.links == 0 {
            return Err(Errno::ENOENT);
        }
        let info = self.run_in(&mut nodes, move |ext4, directory| {
            let context = MutationContext::new(attributes.user, attributes.group, 0, 0);
            let (name, permissions) = (FileName::new(&wanted)?, permissions(&attributes)?);
            let number = |device: Device| DeviceNumber::new(device.major, device.minor);
            let special = match kind {
                NodeKind::File => return ext4.create_regular_file(context, directory, name, permissions),
                NodeKind::Directory => return ext4.create_directory(context, directory, name, permissions),
                NodeKind::Link => {
                    return ext4.create_symlink(context, directory, name, target.as_deref().unwrap_or_default());
                }
                NodeKind::Character(device) => SpecialInodeKind::CharacterDevice(number(device)?),
                NodeKind::Block(device) => SpecialInodeKind::BlockDevice(number(device)?),
                NodeKind::Pipe => SpecialInodeKind::Fifo,
                NodeKind::Socket => SpecialInodeKind::Socket,
            };
            ext4.create_special_inode(context, directory, name, permissions, special)
        })?;
        self.refresh(&mut nodes);
        Ok(Self::new(&self.volume, nodes, info)?)
    }

    fn link(&self, wanted: &[u8], node: &Handle) -> Result<(), Errno> {
        let node = of(node).ok().filter(|node| Arc::ptr_eq(&node.volume, &self.volume)).ok_or(Errno::EXDEV)?;
        let (wanted, target) = (name(wanted)?, node.number);
        let mut nodes = self.volume.nodes()?;
        let info = node.info(&nodes)?;
        if info.is_directory() {
            return Err(Errno::EPERM);
        }
        if info.links == 0 || self.info(&nodes)?.links == 0 {
            return Err(Errno::ENOENT);
        }
        let info = self.run_in(&mut nodes, move |ext4, directory| {
            ext4.hard_link(InodeNumber::new(target)?, directory, FileName::new(&wanted)?)
        })?;
        nodes.refresh(info);
        self.refresh(&mut nodes);
        Ok(())
    }

    fn unlink(&self, wanted: &[u8], directory: bool) -> Result<(), Errno> {
        let wanted = name(wanted)?;
        let mut nodes = self.volume.nodes()?;
        self.check_may_go(&mut nodes, &wanted)?;
        let outcome = self.run_in(&mut nodes, move |ext4, parent| {
            let name = FileName::new(&wanted)?;
            if directory { ext4.remove_empty_directory(parent, name) } else { ext4.unlink(parent, name) }
        })?;
        self.refresh(&mut nodes);
        self.unlinked(&mut nodes, outcome)
    }

    fn rename(&self, old: &[u8], to: &Handle, new: &[u8], flags: u32) -> Result<(), Errno> {
        let to = of(to).ok().filter(|to| Arc::ptr_eq(&to.volume, &self.volume)).ok_or(Errno::EXDEV)?;
        let options = match flags {
            0 => RenameOptions::REPLACE,
            linux::RENAME_NOREPLACE => RenameOptions::NO_REPLACE,
            linux::RENAME_EXCHANGE => RenameOptions::EXCHANGE,
            _ => return Err(Errno::EINVAL),
        };
        let (old, new, target) = (name(old)?, name(new)?, to.number);
        let mut nodes = self.volume.nodes()?;
        if to.info(&nodes)?.links == 0 {
            return Err(Errno::ENOENT);
        }
        let moved = self.check_may_go(&mut nodes, &old)?;
        let replaced = match to.check_may_go(&mut nodes, &new) {
            Ok(number) => Some(number),
            Err(Errno::ENOENT) => None,
            Err(error) => return Err(error),
        };
        if replaced == Some(moved) {
            return Ok(());
        }
        let about = [self.number, target, moved];
        let parent = self.number;
        let outcome = self.volume.run(&mut nodes, &about, move |ext4| {
            let (from, to) = (InodeNumber::new(parent)?, InodeNumber::new(target)?);
            ext4.rename(from, FileName::new(&old)?, to, FileName::new(&new)?, options)
        })?;
        self.refresh(&mut nodes);
        to.refresh(&mut nodes);
        outcome.replaced.map_or(Ok(()), |replaced| self.unlinked(&mut nodes, replaced))
    }
}

/// An open file.
struct Ext4File(Arc<Ext4Node>);

impl File for Ext4File {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, position: Position, buffer: &mut [u8], _: Wait) -> Result<usize, Errno> {
        let mut bytes = fallible::filled(0, buffer.len().min(WRITTEN_MAX))?;
        let bytes = self.0.run(move |ext4, number| {
            let read = ext4.read_inode(number, position.get(), &mut bytes)?;
            bytes.truncate(read);
            Ok(bytes)
        })?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn write(&self, position: Position, bytes: &[u8], _: Wait) -> Result<usize, Errno> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let mut nodes = self.0.volume.nodes()?;
        self.0.write(&mut nodes, position.get(), bytes)
    }

    fn append(&self, bytes: &[u8], _: Wait) -> Result<(usize, Position), Errno> {
        let mut nodes = self.0.volume.nodes()?;
        let end = Position::new(self.0.info(&nodes)?.size).ok_or(Errno::EFBIG)?;
        let written = self.0.write(&mut nodes, end.get(), bytes)?;
        Ok((written, end.after(written)))
    }

    fn writable(&self, start: Position, bytes: usize) -> Result<usize, Errno> {
        limit::writable(start, bytes)
    }

    fn length(&self) -> Option<Position> {
        Position::new(self.0.metadata().size)
    }

    fn sync(&self) -> Result<(), Errno> {
        self.0.volume.sync()
    }
}
