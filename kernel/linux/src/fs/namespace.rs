//! What is mounted, where each process stands in it, and how paths are opened.
//!
//! # Mounts
//!
//! The root is a file system in memory that holds the initramfs. The kernel mounts `/dev`, `/proc`, `/sys` and the memory
//! groups at once, which Linux leaves to programs: a program that does it too takes the kernel's mount over, and gets
//! `EBUSY` the next time as on Linux. The mounts are a list that is never changed, only replaced, so that a walk sees one
//! state of it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general as linux;
use quire_machine::clock;
use quire_machine::fallible::{self, TryVec};
use quire_machine::sync::Once;
use quire_machine::sync::Rank;
use quire_machine::task::Mutex;

use super::access::{self, READ, SEARCH, WRITE};
use super::mount::{Mount, Mounts, Options};
use super::node::{Attributes, Handle, Metadata, New, NodeKind, writes};
use super::open::{OnlyPath, OpenFile};
use super::path::{Follow, Last, Resolved, Start, path_of, walk};
use super::position::Position;
use crate::errno::Errno;
use crate::process::credentials::Credentials;

static MOUNTS: Once<Mutex<Arc<Mounts>>> = Once::new();

/// Makes `root` the root of everything.
///
/// # Errors
/// `ENOMEM`.
pub fn start(root: Handle) -> Result<(), Errno> {
    let mounts = Mounts::default().with(Mount::new("rootfs", "rootfs", "/", None, root)?)?;
    let mounts = fallible::shared(mounts)?;
    MOUNTS.call_once(|| Mutex::new(Rank::Mounts, mounts));
    Ok(())
}

/// What is mounted.
///
/// # Panics
/// Before [`start`].
pub fn mounts() -> Arc<Mounts> {
    Arc::clone(&MOUNTS.get().expect("the root is mounted before any path is walked").lock())
}

fn replace_mounts(change: impl FnOnce(&Mounts) -> Result<Mounts, Errno>) -> Result<(), Errno> {
    let lock = MOUNTS.get().ok_or(Errno::ENOENT)?;
    let mut mounts = lock.lock();
    let new = fallible::shared(change(&mounts)?)?;
    let old = core::mem::replace(&mut *mounts, new);
    // Handles may be dropped with the old list, which takes locks: not under this one.
    drop(mounts);
    drop(old);
    Ok(())
}

/// Mounts a file system.
///
/// # Errors
/// `EBUSY` if it is mounted already, by a program.
pub fn mount(mount: &Mount) -> Result<(), Errno> {
    let place = mount.covered_identity();
    replace_mounts(|mounts| {
        let same = |other: &&Mount| other.kind == mount.kind && other.covered_identity() == place;
        match mounts.all().iter().find(same) {
            Some(early) if early.early => {
                let others = mounts.without(early.root())?;
                // The same file system: others are mounted in it.
                others.with(early.taken_over(mount))
            }
            Some(_) if mount.kind != "tmpfs" => Err(Errno::EBUSY),
            _ => mounts.with(mount.clone()),
        }
    })
}

/// Changes what may not be done with what is on the mount with this root.
///
/// # Errors
/// `EINVAL` if it is no mount's root.
pub fn remount(root: &Handle, options: Options) -> Result<(), Errno> {
    replace_mounts(|mounts| mounts.with_options(root, options))
}

/// Takes the file system with this root away; what is open there stays open. With `detaches`, those that are mounted in it go
/// as well (`MNT_DETACH`).
///
/// # Errors
/// `EINVAL` if it is no mount's root; `EBUSY` for the root and, unless it `detaches`, for what others are mounted in, and for a disk's
/// file system of which something is in use.
pub fn unmount(root: &Handle, detaches: bool) -> Result<(), Errno> {
    replace_mounts(|mounts| {
        let mount = mounts.with_root(root).ok_or(Errno::EINVAL)?;
        let device = root.metadata().device;
        let is_busy = || mounts.has_mounts_in(device) || root.keeps_mounted(Arc::strong_count(root));
        if mount.covered_identity().is_none() || !detaches && is_busy() {
            return Err(Errno::EBUSY);
        }
        mounts.without(root)?.without_those_in(device)
    })
}

/// Where a process stands.
pub struct Location {
    places: Mutex<Places>,
}

#[derive(Clone)]
struct Places {
    root: Handle,
    directory: Handle,
    mask: u32,
}

impl Location {
    /// The first process's: the root.
    pub fn initial() -> Self {
        let root = Arc::clone(mounts().all()[0].root());
        let places = Places { directory: Arc::clone(&root), root, mask: 0o022 };
        Self { places: Mutex::new(Rank::Location, places) }
    }

    /// A child's: the same.
    #[must_use]
    pub fn fork(&self) -> Self {
        let places = self.places.lock().clone();
        Self { places: Mutex::new(Rank::Location, places) }
    }

    /// Stands nowhere in particular any more: the process has ended.
    pub fn leave(&self) {
        let root = Arc::clone(mounts().all()[0].root());
        self.set_directory(Arc::clone(&root));
        self.set_root(root);
    }

    /// The permissions that new files do not get.
    pub fn mask(&self) -> u32 {
        self.places.lock().mask
    }

    /// Replaces the permissions that new files do not get; returns the old ones.
    pub fn set_mask(&self, mask: u32) -> u32 {
        core::mem::replace(&mut self.places.lock().mask, mask & 0o777)
    }

    /// Where a walk begins.
    pub fn start(&self, credentials: Credentials) -> Start {
        let places = self.places.lock().clone();
        let mounts = mounts();
        Start { root: places.root, directory: places.directory, mounts, credentials }
    }

    /// Makes `directory` the working directory.
    pub fn set_directory(&self, directory: Handle) {
        let old = core::mem::replace(&mut self.places.lock().directory, directory);
        drop(old);
    }

    /// Makes `directory` the root.
    pub fn set_root(&self, directory: Handle) {
        let old = core::mem::replace(&mut self.places.lock().root, directory);
        drop(old);
    }
}

/// Opens a path with the flags of `open(2)`; a new file gets `permissions`.
///
/// # Errors
/// As `open(2)`.
pub fn open(start: &Start, path: &[u8], flags: u32, permissions: u32) -> Result<Arc<OpenFile>, Errno> {
    let only_path = flags & linux::O_PATH != 0;
    let flags = if only_path { flags & (linux::O_PATH | linux::O_DIRECTORY | linux::O_NOFOLLOW) } else { flags };
    let creates = flags & linux::O_CREAT != 0;
    if creates && flags & linux::O_DIRECTORY != 0 {
        return Err(Errno::EINVAL);
    }
    // Whatever is there: what is made here is no directory.
    if creates && path.ends_with(b"/") && matches!(walk(start, path, Follow::Never)?.last, Last::Name(_)) {
        return Err(Errno::EISDIR);
    }
    let exclusive = creates && flags & linux::O_EXCL != 0;
    let follow = if exclusive || flags & linux::O_NOFOLLOW != 0 { Follow::No } else { Follow::Yes };
    let found = walk(start, path, follow)?;
    let shown = shown_path(start, &found)?;
    let (node, is_new) = match &found.node {
        Some(_) if exclusive => return Err(Errno::EEXIST),
        Some(node) => (Arc::clone(node), false),
        None if !creates => return Err(Errno::ENOENT),
        None if found.slash => return Err(Errno::EISDIR),
        None => (create(start, &found, New::Node(NodeKind::File), permissions)?, true),
    };
    let metadata = node.metadata();
    check_kind(&metadata, flags)?;
    if only_path {
        return OpenFile::new(node, fallible::shared(OnlyPath)?, &shown, flags, &start.credentials);
    }
    if matches!(metadata.kind, NodeKind::Character(_) | NodeKind::Block(_))
        && start.mounts.options_of(metadata.device).has_no_devices()
    {
        return Err(Errno::EACCES);
    }
    if metadata.kind == NodeKind::File && wanted(flags) & WRITE != 0 {
        start.check_mount(&metadata)?;
    }
    if !is_new {
        access::check(&start.credentials, &metadata, wanted(flags))?;
    }
    if flags & linux::O_NOATIME != 0 {
        access::check_owner(&start.credentials, &metadata.attributes)?;
    }
    if flags & linux::O_TRUNC != 0 && metadata.kind == NodeKind::File && !is_new {
        node.set_length(Position::START)?;
    }
    let file = node.open(flags)?;
    OpenFile::new(node, file, &shown, flags, &start.credentials)
}

fn check_kind(metadata: &Metadata, flags: u32) -> Result<(), Errno> {
    let only_path = flags & linux::O_PATH != 0;
    match metadata.kind {
        NodeKind::Directory if writes(flags) || flags & linux::O_CREAT != 0 => Err(Errno::EISDIR),
        NodeKind::Directory => Ok(()),
        NodeKind::Link if !only_path => Err(Errno::ELOOP),
        _ if flags & linux::O_DIRECTORY != 0 => Err(Errno::ENOTDIR),
        _ => Ok(()),
    }
}

/// The permissions that opening with `flags` needs.
fn wanted(flags: u32) -> u32 {
    let cuts = if flags & linux::O_TRUNC != 0 { WRITE } else { 0 };
    cuts | match flags & linux::O_ACCMODE {
        linux::O_RDONLY => READ,
        linux::O_WRONLY => WRITE,
        _ => READ | WRITE,
    }
}

/// The path of what was found, for `/proc`; nothing where there is none that can be shown.
///
/// # Errors
/// `ENOMEM`; the disk's.
pub fn shown_path(start: &Start, found: &Resolved) -> Result<Vec<u8>, Errno> {
    if let Last::Other(path) = &found.last {
        return Ok(fallible::copy(path)?);
    }
    let mut path = match path_of(start, &found.parent) {
        Err(Errno::ENOENT | Errno::ENAMETOOLONG) => return Ok(Vec::new()),
        path => path?,
    };
    if let Last::Name(name) = &found.last {
        if path.last() != Some(&b'/') {
            path.try_push(b'/')?;
        }
        path.try_extend(name.iter().copied())?;
    }
    Ok(path)
}

/// Makes what was not found.
///
/// # Errors
/// `EEXIST` if it was; `EPERM` for a device, unless it is the superuser who makes it; as [`super::node::Node::create`].
pub fn create(start: &Start, found: &Resolved, new: New<'_>, permissions: u32) -> Result<Handle, Errno> {
    let Last::Name(name) = &found.last else { return Err(Errno::EEXIST) };
    if found.node.is_some() {
        return Err(Errno::EEXIST);
    }
    let directory = found.parent.metadata();
    start.check_mount(&directory)?;
    access::check(&start.credentials, &directory, WRITE | SEARCH)?;
    let kind = match new {
        New::Link(_) => NodeKind::Link,
        New::Node(kind) => kind,
    };
    // A character device without a number stands for what is not there, where file systems lie over one another: it may be
    // any user's.
    let needs_superuser = match kind {
        NodeKind::Character(device) => device.number() != 0,
        NodeKind::Block(_) => true,
        _ => false,
    };
    if needs_superuser && !start.credentials.is_superuser() {
        return Err(Errno::EPERM);
    }
    let wanted = Attributes::new(permissions & 0o7777, clock::since_1970());
    let attributes = access::new_attributes(&start.credentials, &directory.attributes, kind, wanted);
    found.parent.create(name, new, attributes)
}
