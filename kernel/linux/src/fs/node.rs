//! What every file system's nodes can do, and what every open file can.
//!
//! A [`Node`] is what a name leads to; a [`File`] is one opening of it. A file system implements both with what it has;
//! the rest has Linux's errors here.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::ops::Range;
use core::time::Duration;

use linux_raw_sys::general as linux;
use quire_machine::fallible;
use quire_machine::user::Word;

use super::poll::Ready;
use super::position::{Position, Whence};
use crate::errno::Errno;

/// The longest name in a directory.
pub const NAME_MAX: usize = 255;
/// The longest path, its terminating zero included, and the longest target of a symbolic link.
pub const PATH_MAX: usize = 4096;

/// What a name leads to.
pub type Handle = Arc<dyn Node>;

/// What distinguishes a node from every other: its file system's number and its own.
pub type NodeIdentity = (u64, u64);

/// What kinds of nodes there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A character device.
    Character(Device),
    /// A block device.
    Block(Device),
    /// A named pipe.
    Pipe,
    /// A socket.
    Socket,
}

/// A device's major and minor number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// Which driver.
    pub major: u32,
    /// Which of its devices.
    pub minor: u32,
}

impl Device {
    /// As in `st_rdev` (glibc: `makedev`).
    pub const fn number(self) -> u64 {
        let (major, minor) = (self.major as u64, self.minor as u64);
        (major & !0xfff) << 32 | (major & 0xfff) << 8 | (minor & !0xff) << 12 | minor & 0xff
    }

    /// The device with this `st_rdev`.
    pub const fn from_number(number: u64) -> Self {
        let major = (number >> 32 & 0xffff_f000 | number >> 8 & 0xfff) as u32;
        Self { major, minor: (number >> 12 & 0xffff_ff00 | number & 0xff) as u32 }
    }
}

impl NodeKind {
    /// The file-type bits of `st_mode`.
    pub const fn bits(self) -> u32 {
        match self {
            Self::File => linux::S_IFREG,
            Self::Directory => linux::S_IFDIR,
            Self::Link => linux::S_IFLNK,
            Self::Character(_) => linux::S_IFCHR,
            Self::Block(_) => linux::S_IFBLK,
            Self::Pipe => linux::S_IFIFO,
            Self::Socket => linux::S_IFSOCK,
        }
    }

    /// The kind that `st_mode` and `st_rdev` say.
    pub const fn from_mode(mode: u32, device: Device) -> Option<Self> {
        match mode & linux::S_IFMT {
            linux::S_IFREG => Some(Self::File),
            linux::S_IFDIR => Some(Self::Directory),
            linux::S_IFLNK => Some(Self::Link),
            linux::S_IFCHR => Some(Self::Character(device)),
            linux::S_IFBLK => Some(Self::Block(device)),
            linux::S_IFIFO => Some(Self::Pipe),
            linux::S_IFSOCK => Some(Self::Socket),
            _ => None,
        }
    }

    /// The type that a directory's entry names (`d_type`).
    pub const fn entry_type(self) -> u8 {
        (self.bits() >> 12) as u8
    }
}

/// What can be changed of a node without touching its contents. Times are since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// The permissions: the lower twelve bits of `st_mode`.
    pub permissions: u32,
    /// The owner.
    pub user: u32,
    /// The group.
    pub group: u32,
    /// When it was last read.
    pub accessed: Duration,
    /// When its contents were last changed.
    pub modified: Duration,
    /// When its contents or attributes were last changed.
    pub changed: Duration,
}

impl Attributes {
    /// Of something made at `now` by the superuser.
    pub const fn new(permissions: u32, now: Duration) -> Self {
        Self { permissions, user: 0, group: 0, accessed: now, modified: now, changed: now }
    }
}

/// What `stat` says.
#[derive(Clone, Copy, Debug)]
pub struct Metadata {
    /// The file system's number.
    pub device: u64,
    /// The node's number in it.
    pub inode: u64,
    /// What it is.
    pub kind: NodeKind,
    /// How many names it has.
    pub links: u32,
    /// Owner, permissions, times.
    pub attributes: Attributes,
    /// Its length in bytes.
    pub size: u64,
    /// The memory that it has, in 512 bytes.
    pub blocks: u64,
}

impl Metadata {
    /// What distinguishes the node from every other.
    pub const fn identity(&self) -> NodeIdentity {
        (self.device, self.inode)
    }

    /// `st_mode`.
    pub const fn mode(&self) -> u32 {
        self.kind.bits() | self.attributes.permissions
    }
}

/// What `statfs` says.
#[derive(Clone, Copy, Debug)]
pub struct FilesystemUsage {
    /// The file system's type (`f_type`).
    pub magic: u32,
    /// Its size in pages; 0 if it has none.
    pub pages: u64,
    /// How many of them are free.
    pub free_pages: u64,
    /// How many nodes it can have; 0 if that has no limit.
    pub nodes: u64,
    /// How many more it can have.
    pub free_nodes: u64,
}

/// An entry of a directory.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Its position; the next is greater.
    pub position: u64,
    /// Its name.
    pub name: &'a [u8],
    /// Its node's number.
    pub inode: u64,
    /// Its node's kind.
    pub kind: NodeKind,
}

/// What is to be made.
#[derive(Clone, Copy, Debug)]
pub enum New<'a> {
    /// A symbolic link to this.
    Link(&'a [u8]),
    /// Anything else.
    Node(NodeKind),
}

/// Where following a link leads.
pub enum Target {
    /// To a path, from the directory that the link is in.
    Path(Vec<u8>),
    /// To this, which is shown with this path.
    Node(Handle, Vec<u8>),
}

/// What a name leads to.
pub trait Node: Send + Sync {
    /// For file systems that must recognise their own nodes.
    fn as_any(&self) -> &dyn Any;

    /// What it is.
    fn metadata(&self) -> Metadata;

    /// What file system it is in.
    fn usage(&self) -> FilesystemUsage;

    /// Whether its file system has to stay mounted, because something of it is in use beside this node, its root, of which there
    /// are so many `handles`, with the mount's and the caller's. What is in memory stays as long as it is in use.
    fn keeps_mounted(&self, handles: usize) -> bool {
        let _ = handles;
        false
    }

    /// Changes the attributes.
    ///
    /// # Errors
    /// `EPERM` where they are fixed.
    fn set_attributes(&self, change: &mut dyn FnMut(&mut Attributes)) -> Result<(), Errno> {
        let _ = change;
        Err(Errno::EPERM)
    }

    /// Opens it; `flags` are `open(2)`'s.
    ///
    /// # Errors
    /// `ENXIO` for what cannot be opened; the node's own.
    fn open(&self, flags: u32) -> Result<Arc<dyn File>, Errno> {
        let _ = flags;
        Err(Errno::ENXIO)
    }

    /// Makes a file shorter, or longer with zeros.
    ///
    /// # Errors
    /// `EINVAL` for what is no file; `EFBIG` beyond the process's limit.
    fn set_length(&self, length: Position) -> Result<(), Errno> {
        let _ = length;
        Err(Errno::EINVAL)
    }

    /// Gives a file's bytes memory; what is beyond its end makes it longer, unless it keeps its length.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for what has no memory; `ENOSPC`, and nothing has changed.
    fn allocate(&self, bytes: Range<u64>, keeps_length: bool) -> Result<(), Errno> {
        let _ = (bytes, keeps_length);
        Err(Errno::EOPNOTSUPP)
    }

    /// Makes a file's bytes zeros and takes their memory back; the length stays.
    ///
    /// # Errors
    /// `EOPNOTSUPP` for what has no memory.
    fn punch_hole(&self, bytes: Range<u64>) -> Result<(), Errno> {
        let _ = bytes;
        Err(Errno::EOPNOTSUPP)
    }

    /// What a symbolic link says.
    ///
    /// # Errors
    /// `EINVAL` for what is none.
    fn read_link(&self) -> Result<Vec<u8>, Errno> {
        Err(Errno::EINVAL)
    }

    /// Where a symbolic link leads.
    ///
    /// # Errors
    /// As [`Self::read_link`].
    fn follow(&self) -> Result<Target, Errno> {
        self.read_link().map(Target::Path)
    }

    /// The node called `name` in a directory; neither `.` nor `..`.
    ///
    /// # Errors
    /// `ENOTDIR`, `ENOENT`, `ENAMETOOLONG`.
    fn lookup(&self, name: &[u8]) -> Result<Handle, Errno> {
        let _ = name;
        Err(Errno::ENOTDIR)
    }

    /// The directory that this directory is in, in the same file system.
    ///
    /// # Errors
    /// `ENOMEM`.
    fn parent(&self) -> Result<Option<Handle>, Errno> {
        Ok(None)
    }

    /// A name that leads from this directory to the node with that number.
    ///
    /// # Errors
    /// `ENOMEM`, `ENOTDIR`.
    fn name_of(&self, inode: u64) -> Result<Option<Vec<u8>>, Errno> {
        let mut found = None;
        let look = &mut |entry: &Entry<'_>| {
            if entry.inode == inode {
                found = Some(fallible::copy(entry.name));
            }
            found.is_none()
        };
        self.read_directory(0, look)?;
        Ok(found.transpose()?)
    }

    /// Calls `each` with the entries from `position` on while it returns true; `.` and `..` are not among them.
    ///
    /// # Errors
    /// `ENOTDIR`.
    fn read_directory(&self, position: u64, each: &mut dyn FnMut(&Entry<'_>) -> bool) -> Result<(), Errno> {
        let _ = (position, each);
        Err(Errno::ENOTDIR)
    }

    /// Makes a node called `name` in this directory.
    ///
    /// # Errors
    /// `EPERM` where nothing can be made; `EEXIST`, `ENOSPC` and the like.
    fn create(&self, name: &[u8], new: New<'_>, attributes: Attributes) -> Result<Handle, Errno> {
        let _ = (name, new, attributes);
        Err(Errno::EPERM)
    }

    /// Gives `node` another name in this directory.
    ///
    /// # Errors
    /// `EPERM` where there is only one; `EXDEV` for a node of another file system.
    fn link(&self, name: &[u8], node: &Handle) -> Result<(), Errno> {
        let _ = (name, node);
        Err(Errno::EPERM)
    }

    /// Removes a name from this directory, of a directory if `directory` says so.
    ///
    /// # Errors
    /// `EPERM` where nothing can be removed; `EISDIR`, `ENOTDIR`, `ENOTEMPTY`.
    fn unlink(&self, name: &[u8], directory: bool) -> Result<(), Errno> {
        let _ = (name, directory);
        Err(Errno::EPERM)
    }

    /// Moves what is called `old` in this directory to `new` in another; `flags` are `renameat2(2)`'s.
    ///
    /// # Errors
    /// `EPERM` where names are fixed; `EXDEV` for a directory of another file system.
    fn rename(&self, old: &[u8], to: &Handle, new: &[u8], flags: u32) -> Result<(), Errno> {
        let _ = (old, to, new, flags);
        Err(Errno::EPERM)
    }
}

/// How a read or write is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It waits until it can do something.
    Until,
    /// It fails with `EAGAIN` instead of waiting.
    Never,
}

/// One opening of a node. Positions mean nothing to what cannot be positioned, such as a pipe.
pub trait File: Send + Sync {
    /// Reads what is there at `position`; 0 bytes at the end.
    ///
    /// # Errors
    /// `EINVAL` for what cannot be read.
    fn read(&self, position: Position, buffer: &mut [u8], wait: Wait) -> Result<usize, Errno> {
        let _ = (position, buffer, wait);
        Err(Errno::EINVAL)
    }

    /// Writes at `position`, at least one byte of those there are.
    ///
    /// # Errors
    /// `EINVAL` for what cannot be written.
    fn write(&self, position: Position, bytes: &[u8], wait: Wait) -> Result<usize, Errno> {
        let _ = (position, bytes, wait);
        Err(Errno::EINVAL)
    }

    /// Writes at the end; returns how much, and the position behind it.
    ///
    /// # Errors
    /// As [`Self::write`].
    fn append(&self, bytes: &[u8], wait: Wait) -> Result<(usize, Position), Errno> {
        self.write(Position::START, bytes, wait).map(|written| (written, Position::START))
    }

    /// How many of `bytes` bytes a call may write from `start` on: what limits there are for such files.
    ///
    /// # Errors
    /// `EFBIG`.
    fn writable(&self, start: Position, bytes: usize) -> Result<usize, Errno> {
        let _ = start;
        Ok(bytes)
    }

    /// The length for `SEEK_END`; none for what cannot be positioned.
    fn length(&self) -> Option<Position> {
        None
    }

    /// Where `lseek(2)` leads from `current`.
    ///
    /// # Errors
    /// `ESPIPE` for what cannot be positioned; `EINVAL` where there is no place, `ENXIO` where there are no data.
    fn seek(&self, current: Position, offset: i64, whence: Whence) -> Result<Position, Errno> {
        let length = self.length().ok_or(Errno::ESPIPE)?;
        current.seek(length, Position::MAX, offset, whence)
    }

    /// What reading or writing `bytes` comes to where no memory is looked at for it (Linux: `read_null`, `write_null`).
    fn without_memory(&self, bytes: usize, writes: bool) -> Option<Result<usize, Errno>> {
        let _ = (bytes, writes);
        None
    }

    /// What can be done without waiting.
    fn ready(&self) -> Ready {
        Ready::IN | Ready::OUT
    }

    /// Does what `ioctl(2)` asks.
    ///
    /// # Errors
    /// `ENOTTY` for what is not known.
    fn control(&self, request: u32, argument: Word) -> Result<u64, Errno> {
        let _ = (request, argument);
        Err(Errno::ENOTTY)
    }

    /// Makes what was written durable.
    ///
    /// # Errors
    /// `EINVAL` for what keeps nothing.
    fn sync(&self) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// For those who must know what exactly is open.
    fn as_any(&self) -> &dyn Any;
}

/// Whether `flags` of `open(2)` ask to write.
pub fn writes(flags: u32) -> bool {
    flags & linux::O_ACCMODE != linux::O_RDONLY
}

#[cfg(test)]
mod tests {
    use super::Device;

    #[test]
    fn device_numbers_are_linuxs() {
        assert_eq!(Device { major: 8, minor: 1 }.number(), 0x801);
        let large = Device { major: 0x12345, minor: 0x6789a };
        assert_eq!(large.number(), 0x0001_2000_6783_459a);
        for device in [large, Device { major: 254, minor: 16 }, Device { major: 1, minor: 0xfffff }] {
            assert_eq!(Device::from_number(device.number()), device);
        }
    }
}
