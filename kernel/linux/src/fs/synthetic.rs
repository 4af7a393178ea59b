//! File systems whose files are made as they are read: `/proc`, `/sys`, memory cgroups.
//!
//! A directory says what is in it ([`Directory`]), a file what its text is and what writing to it does ([`Text`]); names,
//! numbers, positions and errors are here. A new file is a function and a line in its directory's list.
//!
//! A file's text is made when it is read from its beginning, and stays for the reads that follow. Each `write` is a value of
//! its own, whatever the offset.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::fmt;

use linux_raw_sys::general as linux;
use quire_machine::clock;
use quire_machine::fallible::{self, TryText, TryVec};
use quire_machine::sync::Rank;
use quire_machine::task::{Mutex, check_killed};
use quire_memory::charge::Charge;
use quire_swap::header::PAGE_SIZE;

use super::mount::new_filesystem_number;
use super::node::{
    Attributes, Entry, File, FilesystemUsage, Handle, Metadata, New, Node, NodeKind, Target, Wait, writes,
};
use super::open::OpenDirectory;
use super::path::{Start, path_of};
use super::position::{Position, Whence};
use crate::errno::Errno;

/// A file of text.
pub trait Text: Send + Sync {
    /// The permissions.
    fn permissions(&self) -> u32;

    /// Appends the text.
    ///
    /// # Errors
    /// What `read` returns.
    fn read(&self, out: &mut String) -> Result<(), Errno> {
        let _ = out;
        Err(Errno::EIO)
    }

    /// Appends a part of the text, from `cursor` on, which is 0 at first; returns the cursor of the next part, if there is one. For a
    /// text whose length programs decide, parts of about a page each (Linux: `seq_read`).
    ///
    /// # Errors
    /// What `read` returns.
    fn read_part(&self, cursor: u64, out: &mut String) -> Result<Option<u64>, Errno> {
        let _ = cursor;
        self.read(out).map(|()| None)
    }

    /// Of a file that is no text: copies bytes from `position` on to the buffer, and says how many.
    ///
    /// # Errors
    /// What `read` returns.
    fn read_bytes(&self, position: u64, buffer: &mut [u8]) -> Option<Result<usize, Errno>> {
        let _ = (position, buffer);
        None
    }

    /// It is opened.
    ///
    /// # Errors
    /// What `open` returns.
    fn opened(&self) -> Result<(), Errno> {
        Ok(())
    }

    /// Takes a value.
    ///
    /// # Errors
    /// What `write` returns.
    fn write(&self, value: &str) -> Result<(), Errno> {
        let _ = value;
        Err(Errno::EIO)
    }
}

/// A user and a group.
pub type Ownership = (u32, u32);

/// What is in a directory: names and what they lead to.
pub type Entries = Vec<(Cow<'static, str>, Item)>;

/// A directory.
pub trait Directory: Send + Sync {
    /// The permissions.
    fn permissions(&self) -> u32 {
        0o555
    }

    /// Whose it is, and whose what is in it is, if that is not as in the directory above.
    fn owners(&self) -> Option<[Ownership; 2]> {
        None
    }

    /// What is in it now.
    ///
    /// # Errors
    /// `ENOMEM`.
    fn entries(&self) -> Result<Entries, Errno>;

    /// One of its entries.
    ///
    /// # Errors
    /// `ENOENT`, `ENOMEM`.
    fn find(&self, name: &str) -> Result<Item, Errno> {
        self.entries()?.into_iter().find(|(other, _)| other == name).map(|(_, item)| item).ok_or(Errno::ENOENT)
    }

    /// Makes a directory in it.
    ///
    /// # Errors
    /// `EPERM` where that means nothing.
    fn make(&self, name: &str) -> Result<(), Errno> {
        let _ = name;
        Err(Errno::EPERM)
    }

    /// Removes a directory in it.
    ///
    /// # Errors
    /// `EPERM` where that means nothing.
    fn remove(&self, name: &str) -> Result<(), Errno> {
        let _ = name;
        Err(Errno::EPERM)
    }
}

/// An entry of a directory.
pub enum Item {
    /// A directory.
    Directory(Arc<dyn Directory>),
    /// A file.
    Text(Arc<dyn Text>),
    /// A symbolic link to a path.
    Link(Cow<'static, str>),
    /// A link that leads to a node, and what it says.
    To(Handle, Vec<u8>),
    /// A link that leads to a directory, and says where that is from a start. The path is found when it is asked for: it may
    /// lead through the directory that this is an entry of, which is then listed again.
    Place(Start, Handle),
    /// Such a link that the caller may not follow.
    Hidden,
}

/// A directory whose entries a function lists.
struct Listed<F>(F);

impl<F: Fn() -> Result<Entries, Errno> + Send + Sync> Directory for Listed<F> {
    fn entries(&self) -> Result<Entries, Errno> {
        self.0()
    }
}

/// What is listed one by one.
///
/// # Errors
/// `ENOMEM`.
pub fn list<const COUNT: usize>(entries: [(Cow<'static, str>, Item); COUNT]) -> Result<Entries, Errno> {
    Ok(fallible::collect(entries)?)
}

/// A directory of what `list` lists.
///
/// # Errors
/// `ENOMEM`.
pub fn listed(list: impl Fn() -> Result<Entries, Errno> + Send + Sync + 'static) -> Result<Arc<dyn Directory>, Errno> {
    Ok(fallible::shared(Listed(list))?)
}

/// As [`listed`], as an entry.
///
/// # Errors
/// `ENOMEM`.
pub fn directory(list: impl Fn() -> Result<Entries, Errno> + Send + Sync + 'static) -> Result<Item, Errno> {
    listed(list).map(Item::Directory)
}

/// A file.
///
/// # Errors
/// `ENOMEM`.
pub fn text(text: impl Text + 'static) -> Result<Item, Errno> {
    Ok(Item::Text(fallible::shared(text)?))
}

type Read = Box<dyn Fn(&mut String) -> Result<(), Errno> + Send + Sync>;
type Write = Box<dyn Fn(&str) -> Result<(), Errno> + Send + Sync>;

struct Functions {
    permissions: u32,
    read: Option<Read>,
    write: Option<Write>,
}

impl Text for Functions {
    fn permissions(&self) -> u32 {
        self.permissions
    }

    fn read(&self, out: &mut String) -> Result<(), Errno> {
        self.read.as_ref().map_or(Err(Errno::EIO), |read| read(out))
    }

    fn write(&self, value: &str) -> Result<(), Errno> {
        self.write.as_ref().map_or(Err(Errno::EIO), |write| write(value))
    }
}

/// A file that every user can read.
///
/// # Errors
/// `ENOMEM`.
pub fn read_only(read: impl Fn(&mut String) -> Result<(), Errno> + Send + Sync + 'static) -> Result<Item, Errno> {
    text(Functions { permissions: 0o444, read: Some(fallible::boxed(read)?), write: None })
}

/// A file that every user can read and its owner can write.
///
/// # Errors
/// `ENOMEM`.
pub fn read_write(
    read: impl Fn(&mut String) -> Result<(), Errno> + Send + Sync + 'static,
    write: impl Fn(&str) -> Result<(), Errno> + Send + Sync + 'static,
) -> Result<Item, Errno> {
    let (read, write): (Read, Write) = (fallible::boxed(read)?, fallible::boxed(write)?);
    text(Functions { permissions: 0o644, read: Some(read), write: Some(write) })
}

/// A file that its owner can write.
///
/// # Errors
/// `ENOMEM`.
pub fn write_only(write: impl Fn(&str) -> Result<(), Errno> + Send + Sync + 'static) -> Result<Item, Errno> {
    text(Functions { permissions: 0o200, read: None, write: Some(fallible::boxed(write)?) })
}

/// A value as a line.
///
/// # Errors
/// As [`print()`].
pub fn line(out: &mut String, value: impl fmt::Display) -> Result<(), Errno> {
    print(out, format_args!("{value}\n"))
}

/// Formatted text.
///
/// # Errors
/// `ENOMEM`: programs decide how much there is to say, so the heap is asked.
pub fn print(out: &mut String, text: fmt::Arguments<'_>) -> Result<(), Errno> {
    Ok(out.try_format(text)?)
}

/// A number that a program wrote.
///
/// # Errors
/// `EINVAL`.
pub fn number<N: core::str::FromStr>(value: &str) -> Result<N, Errno> {
    value.trim_ascii().parse().map_err(|_| Errno::EINVAL)
}

/// A file system.
pub struct Synthetic {
    device: u64,
    magic: u32,
    /// The length that `stat` says of a file.
    length: u64,
    /// Below this path permissions bind the superuser, too.
    strict: Option<&'static str>,
    root: Arc<dyn Directory>,
}

impl Synthetic {
    /// A file system whose root directory is `root`; `magic` is what `statfs` says. Files of `/sys` claim to have a page,
    /// those of `/proc` nothing. Below the path `strict`, such as `/sys`, the superuser may not open what permissions do not
    /// let every user open so (Linux: `KERNFS_ROOT_EXTRA_OPEN_PERM_CHECK`, `proc_sys_permission`).
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn new(
        magic: u32,
        has_length: bool,
        strict: Option<&'static str>,
        root: Arc<dyn Directory>,
    ) -> Result<Arc<Self>, Errno> {
        let length = if has_length { PAGE_SIZE as u64 } else { 0 };
        Ok(fallible::shared(Self { device: new_filesystem_number(), magic, length, strict, root })?)
    }

    /// Its root directory.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn root(self: &Arc<Self>) -> Result<Handle, Errno> {
        let item = Item::Directory(Arc::clone(&self.root));
        let node = SyntheticNode { filesystem: Arc::clone(self), path: String::new(), item, above: (0, 0) };
        Ok(fallible::shared(node)?)
    }
}

struct SyntheticNode {
    filesystem: Arc<Synthetic>,
    /// From the file system's root, with a slash before each name.
    path: String,
    item: Item,
    /// Whose what is in the directory above is.
    above: Ownership,
}

/// A node's number: the FNV-1a hash of its path, so that it is the same each time.
pub(super) fn inode(path: &str) -> u64 {
    path.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Where an entry stands in its directory: numbers by their value, so that they stay where they are while others come and
/// go, behind everything else.
fn position(index: usize, name: &str) -> u64 {
    name.parse::<u32>().map_or(index as u64, |number| (1 << 32) + u64::from(number))
}

impl SyntheticNode {
    /// Whose it is, and whose what is in it is.
    fn owners(&self) -> [Ownership; 2] {
        match &self.item {
            Item::Directory(directory) => directory.owners().unwrap_or([self.above; 2]),
            _ => [self.above; 2],
        }
    }

    /// The path of what is called `name` in it.
    fn path_to(&self, name: &str) -> Result<String, Errno> {
        Ok(fallible::text(format_args!("{}/{name}", self.path))?)
    }

    fn directory(&self) -> Result<&Arc<dyn Directory>, Errno> {
        match &self.item {
            Item::Directory(directory) => Ok(directory),
            _ => Err(Errno::ENOTDIR),
        }
    }
}

fn kind(item: &Item) -> NodeKind {
    match item {
        Item::Directory(_) => NodeKind::Directory,
        Item::Text(_) => NodeKind::File,
        Item::Link(_) | Item::To(..) | Item::Place(..) | Item::Hidden => NodeKind::Link,
    }
}

impl Node for SyntheticNode {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn metadata(&self) -> Metadata {
        let (permissions, links) = match &self.item {
            Item::Directory(directory) => (directory.permissions(), 2),
            Item::Text(text) => (text.permissions(), 1),
            Item::Link(_) | Item::To(..) | Item::Place(..) | Item::Hidden => (0o777, 1),
        };
        let [(user, group), _] = self.owners();
        Metadata {
            device: self.filesystem.device,
            inode: inode(&self.path),
            kind: kind(&self.item),
            links,
            attributes: Attributes { user, group, ..Attributes::new(permissions, clock::since_1970()) },
            size: if matches!(self.item, Item::Text(_)) { self.filesystem.length } else { 0 },
            blocks: 0,
        }
    }

    fn usage(&self) -> FilesystemUsage {
        FilesystemUsage { magic: self.filesystem.magic, pages: 0, free_pages: 0, nodes: 0, free_nodes: 0 }
    }

    fn open(&self, flags: u32) -> Result<Arc<dyn File>, Errno> {
        match &self.item {
            Item::Directory(_) => Ok(fallible::shared(OpenDirectory)?),
            Item::Text(text) => {
                let is_strict = self.filesystem.strict.is_some_and(|path| self.path.starts_with(path));
                let denied = |mode, asked: bool| asked && text.permissions() & mode == 0;
                let (reads, writes) = (flags & linux::O_ACCMODE != linux::O_WRONLY, writes(flags));
                if is_strict && (denied(0o444, reads) || denied(0o222, writes)) {
                    return Err(Errno::EACCES);
                }
                text.opened()?;
                let read = Mutex::new(Rank::Text, Part::default());
                let is_setting = self.path.starts_with("/sys");
                let end =
                    (self.filesystem.magic != linux::PROC_SUPER_MAGIC || is_setting).then_some(self.filesystem.length);
                Ok(fallible::shared(OpenText { text: Arc::clone(text), read, end })?)
            }
            Item::Link(_) | Item::To(..) | Item::Place(..) | Item::Hidden => Err(Errno::ELOOP),
        }
    }

    /// A program that writes a value may truncate the file before: that does nothing.
    fn set_length(&self, _length: Position) -> Result<(), Errno> {
        if matches!(self.item, Item::Text(_)) { Ok(()) } else { Err(Errno::EINVAL) }
    }

    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        match &self.item {
            Item::Link(target) => Ok(fallible::copy(target.as_bytes())?),
            Item::To(_, text) => Ok(fallible::copy(text)?),
            Item::Place(start, node) => path_of(start, node),
            Item::Hidden => Err(Errno::EACCES),
            _ => Err(Errno::EINVAL),
        }
    }

    fn follow(&self) -> Result<Target, Errno> {
        match &self.item {
            Item::To(node, path) => Ok(Target::Node(Arc::clone(node), fallible::copy(path)?)),
            // One whose path is too long to be shown leads there all the same.
            Item::Place(start, node) => Ok(Target::Node(Arc::clone(node), path_of(start, node).unwrap_or_default())),
            _ => self.read_link().map(Target::Path),
        }
    }

    fn lookup(&self, name: &[u8]) -> Result<Handle, Errno> {
        let name = core::str::from_utf8(name).map_err(|_| Errno::ENOENT)?;
        let item = self.directory()?.find(name)?;
        let path = self.path_to(name)?;
        let [_, above] = self.owners();
        Ok(fallible::shared(Self { filesystem: Arc::clone(&self.filesystem), path, item, above })?)
    }

    fn parent(&self) -> Result<Option<Handle>, Errno> {
        let Some((path, _)) = self.path.rsplit_once('/') else { return Ok(None) };
        let mut at = self.filesystem.root()?;
        for name in path.split('/').skip(1) {
            at = match at.lookup(name.as_bytes()) {
                Ok(next) => next,
                Err(Errno::ENOENT) => return Ok(None),
                Err(error) => return Err(error),
            };
        }
        Ok(Some(at))
    }

    fn name_of(&self, number: u64) -> Result<Option<Vec<u8>>, Errno> {
        for (name, _) in self.directory()?.entries()? {
            if inode(&self.path_to(&name)?) == number {
                return Ok(Some(fallible::copy(name.as_bytes())?));
            }
        }
        Ok(None)
    }

    fn read_directory(&self, from: u64, each: &mut dyn FnMut(&Entry<'_>) -> bool) -> Result<(), Errno> {
        let mut entries = Vec::new();
        for (index, (name, item)) in self.directory()?.entries()?.into_iter().enumerate() {
            entries.try_push((position(index, &name), name, kind(&item)))?;
        }
        entries.sort_unstable_by_key(|entry| entry.0);
        for (position, name, kind) in entries.into_iter().filter(|entry| entry.0 >= from) {
            let inode = inode(&self.path_to(&name)?);
            if !each(&Entry { position, name: name.as_bytes(), inode, kind }) {
                break;
            }
        }
        Ok(())
    }

    fn create(&self, name: &[u8], new: New<'_>, _attributes: Attributes) -> Result<Handle, Errno> {
        // `/proc` looks for a name before it is asked to make it, and has no name but those that it has (Linux:
        // `proc_lookup`); the others can be asked (`kernfs_iop_lookup`).
        if self.filesystem.magic == linux::PROC_SUPER_MAGIC {
            return Err(Errno::ENOENT);
        }
        let text = core::str::from_utf8(name).map_err(|_| Errno::EINVAL)?;
        match new {
            New::Node(NodeKind::Directory) => self.directory()?.make(text)?,
            New::Node(NodeKind::File) => return Err(Errno::EACCES),
            _ => return Err(Errno::EPERM),
        }
        self.lookup(name)
    }

    fn unlink(&self, name: &[u8], directory: bool) -> Result<(), Errno> {
        if !directory {
            return Err(Errno::EPERM);
        }
        self.directory()?.remove(core::str::from_utf8(name).map_err(|_| Errno::ENOENT)?)
    }
}

/// The part of a text that was read last.
#[derive(Default)]
struct Part {
    /// Where in the text it begins.
    start: u64,
    text: String,
    /// The cursor of the part behind it; none at the end, and before anything was read.
    next: Option<u64>,
    is_read: bool,
    charge: Charge,
}

impl Part {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.text.len() as u64)
    }

    /// Goes on until it has `position`, or is the last.
    fn seek(&mut self, position: u64, text: &dyn Text) -> Result<(), Errno> {
        if position == 0 || position < self.start || !self.is_read {
            *self = Self { next: Some(0), is_read: true, ..Self::default() };
        }
        while position >= self.end()
            && let Some(cursor) = self.next
        {
            check_killed()?;
            self.start = self.end();
            self.text.clear();
            self.charge = Charge::NONE;
            self.next = text.read_part(cursor, &mut self.text)?;
            // It stays for as long as the file is open.
            self.charge = Charge::new(self.text.capacity()).map_err(|_| Errno::ENOMEM)?;
        }
        Ok(())
    }
}

struct OpenText {
    text: Arc<dyn Text>,
    read: Mutex<Part>,
    /// Where `lseek` finds the end; files of `/proc` but the settings have none (Linux: `seq_lseek`, `default_llseek`).
    end: Option<u64>,
}

impl File for OpenText {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, position: Position, buffer: &mut [u8], _: Wait) -> Result<usize, Errno> {
        if let Some(outcome) = self.text.read_bytes(position.get(), buffer) {
            return outcome;
        }
        // Read without the lock: that may sleep, or take any other. Another reader meanwhile begins anew.
        let mut part = core::mem::take(&mut *self.read.lock());
        part.seek(position.get(), &*self.text)?;
        let skipped = part.text.len().min(position.get().saturating_sub(part.start) as usize);
        let rest = &part.text.as_bytes()[skipped..];
        let bytes = rest.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&rest[..bytes]);
        *self.read.lock() = part;
        Ok(bytes)
    }

    fn write(&self, _: Position, bytes: &[u8], _: Wait) -> Result<usize, Errno> {
        self.text.write(core::str::from_utf8(bytes).map_err(|_| Errno::EINVAL)?)?;
        Ok(bytes.len())
    }

    fn length(&self) -> Option<Position> {
        Position::new(self.read.lock().end())
    }

    fn seek(&self, current: Position, offset: i64, whence: Whence) -> Result<Position, Errno> {
        let end = match (self.end, whence) {
            (None, Whence::End | Whence::Data | Whence::Hole) => return Err(Errno::EINVAL),
            (end, _) => Position::new(end.unwrap_or(0)).unwrap_or(Position::MAX),
        };
        current.seek(end, Position::MAX, offset, whence)
    }
}
