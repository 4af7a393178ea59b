//! What there is before the first program: the root with the initramfs in it, and what is mounted over it.

use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general as linux;
use quire_machine::archive::Archive;
use quire_machine::fallible;
use quire_machine::physical;
use quire_memory::object::Object;
use quire_memory::object::writers::Executed;

use super::access::{self, EXECUTE};
use super::devtmpfs::{self, add_block_devices, devices};
use super::initramfs::{self, InitramfsError};
use super::mount::Mount;
use super::namespace::{self, Location};
use super::node::{Handle, New, NodeKind};
use super::open::{Descriptors, OpenFile};
use super::path::{Follow, Start, walk};
use super::terminal::input;
use super::tmpfs::{self, Tmpfs};
use super::tmpfs_options::{TmpfsOptions, no_options};
use super::{cgroup, proc, sys};
use crate::errno::Errno;
use crate::process::credentials::Credentials;

/// Makes the root, unpacks the initramfs if it was `fetched`, and mounts what programs expect; `command_line` is the kernel's.
///
/// # Errors
/// [`InitramfsError`]: there is one, but it makes no sense.
pub fn start(command_line: &'static str, fetched: Option<Archive>) -> Result<(), InitramfsError> {
    proc::system::set_command_line(command_line);
    let root = Tmpfs::new(&devtmpfs::DIRECTORY).and_then(|root| root.root());
    root.and_then(namespace::start).map_err(|_| InitramfsError::NoMemory)?;
    fetched.map_or(Ok(()), initramfs::load)?;
    add_block_devices().map_err(|_| InitramfsError::NoMemory)?;
    for (kind, path) in [("devtmpfs", "dev"), ("proc", "proc"), ("sysfs", "sys"), ("cgroup2", "sys/fs/cgroup")] {
        // What cannot be mounted, because a file is in the way, programs can mount elsewhere.
        let _ = mount_early(kind, path);
    }
    Ok(())
}

fn root() -> Start {
    Location::initial().start(Credentials::SUPERUSER)
}

fn mount_early(kind: &'static str, path: &str) -> Result<(), Errno> {
    let start = root();
    let found = walk(&start, path.as_bytes(), Follow::Yes)?;
    let covered = match &found.node {
        Some(node) if node.metadata().kind == NodeKind::Directory => Arc::clone(node),
        Some(_) => return Err(Errno::ENOTDIR),
        None => namespace::create(&start, &found, New::Node(NodeKind::Directory), 0o755)?,
    };
    let path = fallible::text(format_args!("/{path}"))?;
    let root = filesystem(kind, core::iter::empty())?;
    let mut mount = Mount::new(kind, kind, &path, Some(covered), root)?;
    mount.early = true;
    namespace::mount(&mount)
}

/// The root of the file system of that kind, a new one where there can be several.
///
/// # Errors
/// `ENODEV` if there is no such kind; `EINVAL` for an option that it has not; `ENOMEM`.
pub fn filesystem<'a>(kind: &str, options: impl Iterator<Item = &'a str>) -> Result<Handle, Errno> {
    match kind {
        "devtmpfs" => {
            tmpfs::remount(devices()?, options)?;
            Ok(Arc::clone(devices()?))
        }
        "tmpfs" => Tmpfs::new(&TmpfsOptions::parse(options, physical::managed_frames() as u64)?)?.root(),
        "ramfs" => Tmpfs::unlimited(TmpfsOptions::parse_mode(options)?)?.root(),
        "cgroup2" => no_options(options).and_then(|()| cgroup::filesystem()?.root()),
        "proc" => no_options(options).and_then(|()| proc::filesystem()?.root()),
        "sysfs" => no_options(options).and_then(|()| sys::filesystem()?.root()),
        _ => Err(Errno::ENODEV),
    }
}

/// A program's file.
pub struct ProgramFile {
    /// Its path.
    pub path: Vec<u8>,
    /// What the path leads to.
    pub node: Handle,
    /// Its contents.
    pub object: Arc<Object>,
    /// While there is one, nothing writes them.
    pub executed: Arc<Executed>,
    /// As whom it acts, user and group, if not as the process that runs it.
    pub ids: (Option<u32>, Option<u32>),
}

/// Finds the program at `path`.
///
/// # Errors
/// The walk's, and `EACCES` for what is no file that may be executed; `ETXTBSY` for one that is open to be written.
pub fn open_program(start: &Start, path: &[u8]) -> Result<ProgramFile, Errno> {
    let opened = namespace::open(start, path, linux::O_PATH, 0)?;
    let node = Arc::clone(opened.node());
    let metadata = node.metadata();
    if metadata.kind != NodeKind::File {
        return Err(Errno::EACCES);
    }
    let options = start.mounts.options_of(metadata.device);
    if options.has_no_programs() {
        return Err(Errno::EACCES);
    }
    access::check(&start.credentials, &metadata, EXECUTE)?;
    let ids = if options.ignores_set_ids() { (None, None) } else { access::program_ids(&metadata.attributes) };
    let object = tmpfs::object_of(&node)?.ok_or(Errno::EACCES)?;
    let executed = fallible::shared(Executed::new(Arc::clone(&object))?)?;
    Ok(ProgramFile { path: fallible::copy(opened.path())?, node, object, executed, ids })
}

/// Gives the first process the console as its files 0, 1 and 2, and listens to what is typed there.
///
/// # Errors
/// There is no `/dev/console`; no memory.
pub fn console(files: &Descriptors) -> Result<(), Errno> {
    input::start()?;
    let node = devices()?.lookup(b"console")?;
    let console = OpenFile::new(
        Arc::clone(&node),
        node.open(linux::O_RDWR)?,
        b"/dev/console",
        linux::O_RDWR,
        &Credentials::SUPERUSER,
    )?;
    (0..3).try_for_each(|descriptor| files.replace(descriptor, Arc::clone(&console), false))
}
