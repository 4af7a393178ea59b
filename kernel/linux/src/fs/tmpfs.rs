//! A file system in memory: names in a [`Tree`], contents in memory objects whose pages go to swap.
//!
//! A file of the initramfs is read where the archive lies until it is opened for writing, or mapped; then it gets an
//! object with the archive as its source, of which only pages that are written or mapped are copied. So the archive is
//! never changed, and what lies over it costs what was changed.
//!
//! # Locking
//!
//! One sleeping lock for the tree. Contents are never touched under it: a transfer takes a reference to the object and
//! leaves the tree. What the tree gives up is dropped after the lock is.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;
use core::ops::Range;

use linux_raw_sys::general as linux;
use quire_machine::clock;
use quire_machine::fallible::{self, NoMemory};
use quire_machine::physical;
use quire_machine::sync::Rank;
use quire_machine::task::{Mutex, MutexGuard};
use quire_memory::object::writers::Writer;
use quire_memory::object::{self, FileSystemAccount, Object, ObjectError, Source};
use quire_memory::quota::Quota;
use quire_memory::swap;
use quire_swap::header::{PAGE_SIZE, Page};

use super::mount::new_filesystem_number;
use super::node::{
    Attributes, Entry, File, FilesystemUsage, Handle, Metadata, New, Node, NodeKind, PATH_MAX, Wait, writes,
};
use super::position::{Position, Whence};
use super::special::open_special;
use super::tmpfs_options::{TmpfsOptions, no_options};
use super::tree::{Body, Directory, Inode, Number, ROOT, Replace, Tree};
use super::{access, limit};
use crate::errno::Errno;
use crate::process::control_block::this;

/// How many pages files could still have: what is free, can be dropped, or can go to swap, but for what programs need when
/// memory is short. A file that grows gets `ENOSPC` before a process has to be killed for it.
fn room() -> u64 {
    let available = physical::free_frames() as u64 + object::file_pages() as u64 + swap::core().totals().1;
    available.saturating_sub(2 * physical::watermarks().high as u64)
}

fn check_room(bytes: &[u8]) -> Result<(), Errno> {
    if room() > (bytes.len() / PAGE_SIZE) as u64 { Ok(()) } else { Err(Errno::ENOSPC) }
}

/// What `statfs` says of a ramfs (Linux: `RAMFS_MAGIC`).
const RAMFS_MAGIC: u32 = 0x8584_58f6;

/// What a node may take of the heap, its name included; more must be there to make one.
const NODE_BYTES: usize = 2048;

/// A file system.
pub struct Tmpfs {
    device: u64,
    /// What `statfs` says.
    magic: u32,
    tree: Mutex<Tree<Contents>>,
    account: Arc<FileSystemAccount>,
    /// The root directory's permissions, owner and group at first.
    root: (u32, u32, u32),
}

/// The limits of a file system that nothing was said about: half of memory (Linux: `shmem_default_max_blocks`).
fn default_limit() -> u64 {
    physical::managed_frames() as u64 / 2
}

/// A file's contents.
#[derive(Clone)]
enum Contents {
    /// As in the archive.
    Archived(&'static [u8]),
    /// In memory or swap, or, as far as it was not written, as in the archive.
    Object(Arc<Object>),
}

impl Contents {
    fn length(&self) -> u64 {
        match self {
            Self::Archived(bytes) => bytes.len() as u64,
            Self::Object(object) => object.length(),
        }
    }

    /// The memory that it has, in 512 bytes.
    fn blocks(&self) -> u64 {
        match self {
            Self::Archived(bytes) => bytes.len().div_ceil(512) as u64,
            Self::Object(object) => object.pages() * (PAGE_SIZE as u64 / 512),
        }
    }
}

/// A node of a [`Tmpfs`]; while it is there, so is the node.
struct TmpNode {
    filesystem: Arc<Tmpfs>,
    number: Number,
}

/// A file of the archive, as a memory object's source.
struct Archived(&'static [u8]);

impl Source for Archived {
    fn length(&self) -> u64 {
        self.0.len() as u64
    }

    fn fill(&self, index: u64, page: &mut Page) {
        let start = self.0.len().min(index as usize * PAGE_SIZE);
        let bytes = &self.0[start..self.0.len().min(start + PAGE_SIZE)];
        page[..bytes.len()].copy_from_slice(bytes);
        page[bytes.len()..].fill(0);
    }
}

impl From<ObjectError> for Errno {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::BeyondEnd => Self::EFBIG,
            ObjectError::NoMemory | ObjectError::NoPromise | ObjectError::NoSpace => Self::ENOSPC,
            ObjectError::Killed => Self::EINTR,
            ObjectError::ReadFailed(_) => Self::EIO,
        }
    }
}

impl Tmpfs {
    /// A new file system.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new(wanted: &TmpfsOptions) -> Result<Arc<Self>, Errno> {
        Self::with(linux::TMPFS_MAGIC, wanted)
    }

    /// A new file system without limits whose pages stay in memory (Linux: ramfs).
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn unlimited(mode: Option<u32>) -> Result<Arc<Self>, Errno> {
        let mode = mode.or(Some(0o755));
        let wanted = TmpfsOptions { blocks: Some(0), inodes: Some(0), mode, stays: true, ..TmpfsOptions::default() };
        Self::with(RAMFS_MAGIC, &wanted)
    }

    fn with(magic: u32, wanted: &TmpfsOptions) -> Result<Arc<Self>, Errno> {
        let (mode, user, group) = (wanted.mode.unwrap_or(0o1777), wanted.user.unwrap_or(0), wanted.group.unwrap_or(0));
        let mut tree = Tree::new(Attributes { user, group, ..Attributes::new(mode, clock::since_1970()) })?;
        tree.set_limit(wanted.inodes.unwrap_or_else(default_limit));
        let blocks = Quota::new(wanted.blocks.unwrap_or_else(default_limit));
        Ok(fallible::shared(Self {
            device: new_filesystem_number(),
            magic,
            tree: Mutex::new(Rank::Tree, tree),
            account: fallible::shared(FileSystemAccount { blocks, stays: wanted.stays })?,
            root: (mode, user, group),
        })?)
    }

    /// Changes the limits (Linux: `shmem_reconfigure`). The root directory stays as it is.
    ///
    /// # Errors
    /// `EINVAL`: more is in use, there was no limit before, or pages that go to swap would have to stay in memory.
    fn reconfigure(&self, wanted: &TmpfsOptions) -> Result<(), Errno> {
        let mut tree = self.tree.lock();
        let inodes_fit = |limit| limit == 0 || tree.limit() > 0 && tree.used() <= limit;
        let fits = wanted.blocks.is_none_or(|limit| self.account.blocks.allows_limit(limit))
            && wanted.inodes.is_none_or(inodes_fit)
            && (self.account.stays || !wanted.stays);
        if !fits {
            return Err(Errno::EINVAL);
        }
        wanted.blocks.inspect(|limit| self.account.blocks.set_limit(*limit));
        wanted.inodes.inspect(|limit| tree.set_limit(*limit));
        Ok(())
    }

    /// Its root directory.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn root(self: &Arc<Self>) -> Result<Handle, Errno> {
        Ok(self.handle(self.tree.lock(), ROOT)?)
    }

    /// A node's handle. The tree has been let go before there may be no memory for it, because what was held is released then.
    fn handle(
        self: &Arc<Self>,
        mut tree: MutexGuard<'_, Tree<Contents>>,
        number: Number,
    ) -> Result<Arc<TmpNode>, NoMemory> {
        tree.hold(number);
        drop(tree);
        fallible::shared(TmpNode { filesystem: Arc::clone(self), number })
    }
}

/// Changes the options of a mounted file system.
///
/// # Errors
/// `EINVAL` for what its kind has not, or cannot have now.
pub fn remount<'a>(root: &Handle, options: impl Iterator<Item = &'a str>) -> Result<(), Errno> {
    match of(root) {
        Ok(node) if node.filesystem.magic == linux::TMPFS_MAGIC => {
            node.filesystem.reconfigure(&TmpfsOptions::parse(options, physical::managed_frames() as u64)?)
        }
        _ => no_options(options),
    }
}

/// What `/proc/mounts` says of a file system beyond its mount's options (Linux: `shmem_show_options`).
pub struct Shown<'a>(pub &'a Handle);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(TmpNode { filesystem, .. }) = of(self.0) else { return Ok(()) };
        let (mode, user, group) = filesystem.root;
        if filesystem.magic != linux::TMPFS_MAGIC {
            return if mode == 0o755 { Ok(()) } else { write!(f, ",mode={mode:o}") };
        }
        let (blocks, inodes) = (filesystem.account.blocks.limit(), filesystem.tree.lock().limit());
        if blocks != default_limit() {
            // `nr_blocks=` may be more than there are bytes to count.
            write!(f, ",size={}k", u128::from(blocks) * (PAGE_SIZE as u128 >> 10))?;
        }
        if inodes != default_limit() {
            write!(f, ",nr_inodes={inodes}")?;
        }
        if mode != 0o1777 {
            write!(f, ",mode={mode:03o}")?;
        }
        for (name, id) in [("uid", user), ("gid", group)].into_iter().filter(|(_, id)| *id != 0) {
            write!(f, ",{name}={id}")?;
        }
        f.write_str(if filesystem.account.stays { ",inode64,noswap" } else { ",inode64" })
    }
}

/// Makes a file of `directory`, a directory of a [`Tmpfs`], that has its contents in the archive.
///
/// # Errors
/// As [`Node::create`].
pub fn create_archived(
    directory: &Handle,
    name: &[u8],
    contents: &'static [u8],
    attributes: Attributes,
) -> Result<Handle, Errno> {
    let node = of(directory)?;
    node.create_node(name, Body::File(Contents::Archived(contents)), attributes)
}

/// Gives a file of the initramfs, which was not opened yet, its contents.
///
/// # Errors
/// `EXDEV` if it is no file of a [`Tmpfs`].
pub fn set_archived(file: &Handle, contents: &'static [u8]) -> Result<(), Errno> {
    let node = of(file)?;
    let mut tree = node.filesystem.tree.lock();
    let Body::File(place) = &mut tree.node_mut(node.number).body else { return Err(Errno::EXDEV) };
    *place = Contents::Archived(contents);
    Ok(())
}

/// The memory object of a file; none for what is no file of a [`Tmpfs`].
///
/// # Errors
/// `ENOMEM`.
pub fn object_of(node: &Handle) -> Result<Option<Arc<Object>>, Errno> {
    match of(node) {
        Ok(node) => node.object(),
        Err(_) => Ok(None),
    }
}

/// Whether it is a file of a [`Tmpfs`].
pub fn is_file(node: &Handle) -> bool {
    of(node).is_ok() && node.metadata().kind == NodeKind::File
}

fn of(node: &Handle) -> Result<&TmpNode, Errno> {
    node.as_any().downcast_ref().ok_or(Errno::EXDEV)
}

impl TmpNode {
    fn create_node(&self, name: &[u8], body: Body<Contents>, attributes: Attributes) -> Result<Handle, Errno> {
        fallible::ask(NODE_BYTES).map_err(|_| Errno::ENOSPC)?;
        let mut tree = self.filesystem.tree.lock();
        let number = tree.create(self.number, name, attributes, body)?;
        self.touch(&mut tree);
        let is_directory = tree.node(number).kind() == NodeKind::Directory;
        let handle = self.filesystem.handle(tree, number);
        // What its maker has no handle of was not made.
        Ok(handle.inspect_err(|_| _ = self.unlink(name, is_directory))?)
    }

    /// The contents have changed.
    fn touch(&self, tree: &mut Tree<Contents>) {
        let now = clock::since_1970();
        let attributes = &mut tree.node_mut(self.number).attributes;
        (attributes.modified, attributes.changed) = (now, now);
    }

    /// The file's object, which is made if there is none yet; none for what is no file.
    fn object(&self) -> Result<Option<Arc<Object>>, Errno> {
        let archived = match &self.filesystem.tree.lock().node(self.number).body {
            Body::File(Contents::Object(object)) => return Ok(Some(Arc::clone(object))),
            Body::File(Contents::Archived(bytes)) => *bytes,
            _ => return Ok(None),
        };
        let account = Arc::clone(&self.filesystem.account);
        let source = fallible::shared(Archived(archived))?;
        let new = Object::from_source(source, Some(account)).map_err(|_| Errno::ENOMEM)?;
        let mut tree = self.filesystem.tree.lock();
        let Body::File(contents) = &mut tree.node_mut(self.number).body else { return Ok(None) };
        if let Contents::Object(object) = contents {
            // Another task was faster; the new one goes when the lock has gone.
            let object = Arc::clone(object);
            drop(tree);
            drop(new);
            return Ok(Some(object));
        }
        *contents = Contents::Object(Arc::clone(&new));
        Ok(Some(new))
    }

    fn contents(&self) -> Result<Contents, Errno> {
        match &self.filesystem.tree.lock().node(self.number).body {
            Body::File(contents) => Ok(contents.clone()),
            _ => Err(Errno::EINVAL),
        }
    }

    /// A program has changed the file's contents.
    fn mark_modified(&self) {
        let is_trusted = || this().identity().is_superuser_of_files();
        let mut tree = self.filesystem.tree.lock();
        self.touch(&mut tree);
        let permissions = &mut tree.node_mut(self.number).attributes.permissions;
        if *permissions & (access::SET_USER | access::SET_GROUP) != 0 && !is_trusted() {
            *permissions = access::without_set_ids(*permissions);
        }
    }
}

impl Drop for TmpNode {
    fn drop(&mut self) {
        let gone: Option<Inode<Contents>> = self.filesystem.tree.lock().release(self.number);
        drop(gone);
    }
}

impl Node for TmpNode {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn metadata(&self) -> Metadata {
        let tree = self.filesystem.tree.lock();
        let node = tree.node(self.number);
        let (size, blocks) = match &node.body {
            Body::Directory(_) => (PAGE_SIZE as u64, 0),
            Body::File(contents) => (contents.length(), contents.blocks()),
            Body::Link(target) => (target.len() as u64, 0),
            Body::Special(_) => (0, 0),
        };
        Metadata {
            device: self.filesystem.device,
            inode: self.number,
            kind: node.kind(),
            links: node.links(),
            attributes: node.attributes,
            size,
            blocks,
        }
    }

    fn usage(&self) -> FilesystemUsage {
        let (blocks, tree) = (&self.filesystem.account.blocks, self.filesystem.tree.lock());
        let bounded = |limit: u64, free: u64| if limit == 0 { 0 } else { free };
        FilesystemUsage {
            magic: self.filesystem.magic,
            pages: blocks.limit(),
            free_pages: bounded(blocks.limit(), blocks.free()),
            nodes: tree.limit(),
            free_nodes: bounded(tree.limit(), tree.limit().saturating_sub(tree.used())),
        }
    }

    fn set_attributes(&self, change: &mut dyn FnMut(&mut Attributes)) -> Result<(), Errno> {
        change(&mut self.filesystem.tree.lock().node_mut(self.number).attributes);
        Ok(())
    }

    fn open(&self, flags: u32) -> Result<Arc<dyn File>, Errno> {
        if let Some(opened) = open_special(&self.metadata(), flags)? {
            return Ok(opened);
        }
        let object = if writes(flags) { self.object()? } else { None };
        let writer = object.map(Writer::new).transpose()?;
        let node = self.filesystem.handle(self.filesystem.tree.lock(), self.number)?;
        Ok(fallible::shared(TmpFile { node, _writer: writer })?)
    }

    fn set_length(&self, length: Position) -> Result<(), Errno> {
        if self.metadata().kind == NodeKind::Directory {
            return Err(Errno::EISDIR);
        }
        let object = self.object()?.ok_or(Errno::EINVAL)?;
        let _writer = Writer::new(Arc::clone(&object))?;
        limit::check_new_length(object.length(), length)?;
        object.set_length(length.get())?;
        self.mark_modified();
        Ok(())
    }

    fn allocate(&self, bytes: Range<u64>, keeps_length: bool) -> Result<(), Errno> {
        let object = self.object()?.ok_or(Errno::EINVAL)?;
        object.allocate(bytes.clone(), room())?;
        if !keeps_length {
            object.lengthen(bytes.end);
        }
        self.mark_modified();
        Ok(())
    }

    fn punch_hole(&self, bytes: Range<u64>) -> Result<(), Errno> {
        self.object()?.ok_or(Errno::EINVAL)?.punch_hole(bytes)?;
        self.mark_modified();
        Ok(())
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        match &self.filesystem.tree.lock().node(self.number).body {
            Body::Link(target) => Ok(fallible::copy(target)?),
            _ => Err(Errno::EINVAL),
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<Handle, Errno> {
        let tree = self.filesystem.tree.lock();
        let number = tree.lookup(self.number, name)?;
        Ok(self.filesystem.handle(tree, number)?)
    }

    fn parent(&self) -> Result<Option<Handle>, Errno> {
        let tree = self.filesystem.tree.lock();
        let Some(parent) = tree.parent(self.number) else { return Ok(None) };
        Ok(Some(self.filesystem.handle(tree, parent)?))
    }

    fn name_of(&self, inode: u64) -> Result<Option<Vec<u8>>, Errno> {
        Ok(self.filesystem.tree.lock().name_of(self.number, inode).map(fallible::copy).transpose()?)
    }

    fn read_directory(&self, position: u64, each: &mut dyn FnMut(&Entry<'_>) -> bool) -> Result<(), Errno> {
        let tree = self.filesystem.tree.lock();
        let mut from = position;
        loop {
            let names = tree.names(self.number, from)?;
            let Some(last) = names.last() else { return Ok(()) };
            from = last.position + 1;
            for entry in names {
                let kind = tree.node(entry.number).kind();
                if !each(&Entry { position: entry.position, name: entry.name, inode: entry.number, kind }) {
                    return Ok(());
                }
            }
        }
    }

    fn create(&self, name: &[u8], new: New<'_>, attributes: Attributes) -> Result<Handle, Errno> {
        let body = match new {
            New::Link(target) if target.len() >= PATH_MAX => return Err(Errno::ENAMETOOLONG),
            New::Link(target) => Body::Link(fallible::boxed_slice(target)?),
            New::Node(NodeKind::Directory) => Body::Directory(Directory::default()),
            New::Node(NodeKind::File) => Body::File(Contents::Object(
                Object::of_file_system(&self.filesystem.account).map_err(|_| Errno::ENOSPC)?,
            )),
            New::Node(NodeKind::Link) => return Err(Errno::EINVAL),
            New::Node(kind) => Body::Special(kind),
        };
        self.create_node(name, body, attributes)
    }

    fn link(&self, name: &[u8], node: &Handle) -> Result<(), Errno> {
        let node = of(node).ok().filter(|node| Arc::ptr_eq(&node.filesystem, &self.filesystem)).ok_or(Errno::EXDEV)?;
        fallible::ask(NODE_BYTES).map_err(|_| Errno::ENOSPC)?;
        let mut tree = self.filesystem.tree.lock();
        tree.link(self.number, name, node.number)?;
        tree.node_mut(node.number).attributes.changed = clock::since_1970();
        self.touch(&mut tree);
        Ok(())
    }

    fn unlink(&self, name: &[u8], directory: bool) -> Result<(), Errno> {
        let mut tree = self.filesystem.tree.lock();
        let gone = if directory { tree.remove_directory(self.number, name) } else { tree.unlink(self.number, name) }?;
        self.touch(&mut tree);
        drop(tree);
        drop(gone);
        Ok(())
    }

    fn rename(&self, old: &[u8], to: &Handle, new: &[u8], flags: u32) -> Result<(), Errno> {
        let to = of(to).ok().filter(|to| Arc::ptr_eq(&to.filesystem, &self.filesystem)).ok_or(Errno::EXDEV)?;
        let replace = match flags {
            0 => Replace::Yes,
            linux::RENAME_NOREPLACE => Replace::No,
            linux::RENAME_EXCHANGE => Replace::Exchange,
            _ => return Err(Errno::EINVAL),
        };
        let mut tree = self.filesystem.tree.lock();
        let gone = tree.rename((self.number, old), (to.number, new), replace)?;
        self.touch(&mut tree);
        to.touch(&mut tree);
        drop(tree);
        drop(gone);
        Ok(())
    }
}

/// An open file of a [`Tmpfs`].
struct TmpFile {
    node: Arc<TmpNode>,
    /// It may be written, so it cannot be executed.
    _writer: Option<Writer>,
}

impl TmpFile {
    fn object(&self) -> Result<Arc<Object>, Errno> {
        self.node.object()?.ok_or(Errno::EINVAL)
    }
}

impl File for TmpFile {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, position: Position, buffer: &mut [u8], _: Wait) -> Result<usize, Errno> {
        match self.node.contents()? {
            Contents::Archived(bytes) => {
                let rest = &bytes[bytes.len().min(position.get() as usize)..];
                let bytes = rest.len().min(buffer.len());
                buffer[..bytes].copy_from_slice(&rest[..bytes]);
                Ok(bytes)
            }
            Contents::Object(object) => Ok(object.read_at(position.get(), buffer)?),
        }
    }

    fn write(&self, position: Position, bytes: &[u8], _: Wait) -> Result<usize, Errno> {
        if bytes.is_empty() {
            return Ok(0);
        }
        check_room(bytes)?;
        let written = self.object()?.write_at(position.get(), bytes)?;
        self.node.mark_modified();
        Ok(written)
    }

    fn append(&self, bytes: &[u8], _: Wait) -> Result<(usize, Position), Errno> {
        check_room(bytes)?;
        let (start, written) = self.object()?.append(bytes)?;
        self.node.mark_modified();
        Ok((written, Position::new(start).unwrap_or(Position::MAX).after(written)))
    }

    fn writable(&self, start: Position, bytes: usize) -> Result<usize, Errno> {
        limit::writable(start, bytes)
    }

    fn seek(&self, current: Position, offset: i64, whence: Whence) -> Result<Position, Errno> {
        let length = self.length().ok_or(Errno::EIO)?;
        let place = current.seek(length, Position::MAX, offset, whence)?;
        let Contents::Object(object) = self.node.contents()? else { return Ok(place) };
        // In whole pages, as on Linux (`mapping_seek_hole_data`).
        let (page, from) = (PAGE_SIZE as u64, offset.cast_unsigned());
        let found = match whence {
            Whence::Data => object.next_data(from / page).ok_or(Errno::ENXIO)?,
            Whence::Hole => object.next_hole(from / page),
            _ => return Ok(place),
        };
        Ok(Position::new(from.max(found.saturating_mul(page))).unwrap_or(length).min(length))
    }

    fn length(&self) -> Option<Position> {
        self.node.contents().ok().and_then(|contents| Position::new(contents.length()))
    }

    fn sync(&self) -> Result<(), Errno> {
        Ok(())
    }
}
