//! A mounted file system: the thread that it runs in, and which of its nodes are in use.
//!
//! # Invariants
//!
//! A node that has handles is in the table, with what was last read of it, so that a handle's metadata need no disk. A node without
//! a name is freed with its last handle. Everything that is asked of the thread is asked under the table's lock, one thing
//! after another.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

use quire_machine::fallible::{self, TryMap, certain};
use quire_machine::in_file_system::InFileSystem;
use quire_machine::stack::KernelStack;
use quire_machine::sync::{Rank, SpinLock};
use quire_machine::task::{self, JoinHandle, Mutex, MutexGuard, WaitQueue};
use quire_machine::{clock, log, log_limited};
use quire_swap::Held;
use rsext4::{
    Clock, Ext4, Ext4Error, Ext4ErrorKind, Ext4Result, Ext4Timestamp, FileExtentTarget, InodeInfo, InodeNumber,
    MountOptions, MountServices, MountedServices, NoopObserver,
};

use super::layout::{Layout, LayoutError, Mapping, OPERATION_BYTES};
use super::sectors::Sectors;
use crate::errno::Errno;
use crate::fs::devices::BlockDevice;
use crate::fs::mount::new_filesystem_number;

/// The file system as the crate has it.
pub(super) type Mounted = Ext4<Sectors, MountedServices<(), NoopObserver>>;

/// A mounted file system. It is unmounted when it is dropped.
pub(super) struct Volume {
    /// Its number among file systems.
    pub(super) number: u64,
    /// The disk that it is on.
    pub(super) disk: Arc<dyn BlockDevice>,
    /// The disk's path, for the log.
    name: String,
    nodes: Mutex<Nodes>,
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
    _held: Held,
}

/// The nodes in use.
pub(super) struct Nodes {
    live: BTreeMap<u32, Live>,
    layout: Layout,
    sectors: Sectors,
}

/// The nodes in use, and the thread's attention, of one caller, who is in the file system until this is dropped.
pub(super) struct NodesGuard<'a> {
    nodes: MutexGuard<'a, Nodes>,
    _inside: InFileSystem,
}

/// A node in use.
pub(super) struct Live {
    /// What was last read of it.
    pub(super) info: InodeInfo,
    /// The name of the swap area that it is.
    pub(super) swap_area: Option<Arc<str>>,
    handles: u32,
    mapping: Mapping,
    /// How many of its extents are only supposed.
    supposed: u64,
}

/// What the thread and those who ask it share.
struct Server {
    job: SpinLock<Option<Job>>,
    is_asked: AtomicBool,
    asked: WaitQueue,
    answered: WaitQueue,
}

/// The place of an answer.
struct Answer<R> {
    value: SpinLock<Option<R>>,
    is_there: AtomicBool,
}

/// What the thread is asked; it ends when it is told to.
enum Job {
    Work(Box<Work>),
    End,
}

type Work = dyn FnOnce(&mut Option<Mounted>) + Send;

/// How many extents of a file are supposed before they are counted.
const SUPPOSED_MAX: u64 = 2048;

struct WallClock;

impl Clock for WallClock {
    fn now(&self) -> Ext4Result<Ext4Timestamp> {
        let now = clock::since_1970();
        Ok(Ext4Timestamp::new(now.as_secs().cast_signed(), now.subsec_nanos()))
    }
}

impl Server {
    fn serve(&self) {
        let _inside = InFileSystem::enter();
        let mut mounted = None;
        loop {
            self.asked.wait_until(|| self.is_asked.swap(false, Ordering::Acquire));
            let job = self.job.lock().take();
            match job {
                Some(Job::Work(work)) => certain(|| work(&mut mounted)),
                Some(Job::End) | None => return,
            }
            self.answered.wake_all();
        }
    }

    fn ask(&self, job: Job) {
        *self.job.lock() = Some(job);
        self.is_asked.store(true, Ordering::Release);
        self.asked.wake_all();
    }
}

impl Volume {
    /// Mounts what is on `disk`.
    ///
    /// # Errors
    /// `EBUSY` if the disk has another exclusive user; `EACCES` if it cannot be written but is to be; `EINVAL` for what is no file system
    /// that can be mounted; `EIO`; `ENOMEM`. The log says which field is wrong.
    pub(super) fn mount(disk: &Arc<dyn BlockDevice>, read_only: bool) -> Result<Arc<Self>, Errno> {
        let held = disk.device_state().claim().ok_or(Errno::EBUSY)?;
        if disk.properties().read_only && !read_only {
            return Err(Errno::EACCES);
        }
        let mut sectors = Sectors::new(disk)?;
        let bytes = sectors.bytes();
        let read = &mut |offset, bytes: &mut [u8]| sectors.read_bytes(offset, bytes);
        let name = fallible::text(format_args!("{}", disk.name()))?;
        let layout = Layout::read(bytes, read).map_err(|error| {
            log!("ext4", "{name}: {error}");
            if error == LayoutError::Unreadable { Errno::EIO } else { Errno::EINVAL }
        })?;
        let journal = layout.journal.map_or(Ok(Mapping::default()), |journal| layout.mapping(journal, read));
        let journal = journal.map_err(|_| {
            log!("ext4", "{name}: the journal's inode cannot be read");
            Errno::EINVAL
        })?;
        let cost = layout.mount_bytes(journal);
        let server = fallible::shared(Server {
            job: SpinLock::new(Rank::WaitQueue, None),
            is_asked: AtomicBool::new(false),
            asked: WaitQueue::new(),
            answered: WaitQueue::new(),
        })?;
        let for_thread = Arc::clone(&server);
        let stack = KernelStack::deep().map_err(|_| Errno::ENOMEM)?;
        let thread = task::spawn_on("ext4", stack, move || for_thread.serve()).map_err(|_| Errno::ENOMEM)?;
        sectors.forget();
        let nodes = Nodes { live: BTreeMap::new(), layout, sectors: Sectors::new(disk)? };
        let volume = fallible::shared(Self {
            number: new_filesystem_number(),
            disk: Arc::clone(disk),
            name,
            nodes: Mutex::new(Rank::Volume, nodes),
            server,
            thread: Some(thread),
            _held: held,
        })?;
        let options = MountOptions { readonly: read_only, ..MountOptions::read_write() };
        let mounted = volume.call(cost, move |mounted| {
            let services = MountServices::new(WallClock, (), NoopObserver);
            *mounted = Some(Ext4::mount(sectors, services, options)?);
            Ok(())
        });
        mounted.map_err(|error| {
            if matches!(error, Errno::EIO | Errno::ENOMEM | Errno::EROFS) { error } else { Errno::EINVAL }
        })?;
        Ok(volume)
    }

    /// The nodes in use, and the thread's attention.
    pub(super) fn nodes(&self) -> Result<NodesGuard<'_>, Errno> {
        let inside = InFileSystem::enter();
        Ok(NodesGuard { nodes: self.nodes.lock_unless_killed()?, _inside: inside })
    }

    /// As [`Self::nodes`], for what cannot fail.
    pub(super) fn nodes_in_any_case(&self) -> NodesGuard<'_> {
        let inside = InFileSystem::enter();
        NodesGuard { nodes: self.nodes.lock(), _inside: inside }
    }

    /// Has the thread do `work` with the file system, which takes at most `bytes` of the heap.
    fn call<R: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&mut Option<Mounted>) -> Ext4Result<R> + Send + 'static,
    ) -> Result<R, Errno> {
        fallible::ask(bytes)?;
        self.call_in_need(work)
    }

    /// As [`Self::call`], also with what is kept back: for what must not stay undone.
    fn call_in_need<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Option<Mounted>) -> Ext4Result<R> + Send + 'static,
    ) -> Result<R, Errno> {
        let value = SpinLock::new(Rank::WaitQueue, None);
        let answer = fallible::shared_in_need(Answer { value, is_there: AtomicBool::new(false) })?;
        let place = Arc::clone(&answer);
        let job = fallible::boxed_in_need(move |mounted: &mut Option<Mounted>| {
            let result = work(mounted);
            *place.value.lock() = Some(result);
            place.is_there.store(true, Ordering::Release);
        })?;
        self.server.ask(Job::Work(job));
        self.server.answered.wait_until(|| answer.is_there.load(Ordering::Acquire));
        let result = answer.value.lock().take();
        result.unwrap_or(Err(Ext4Error::io())).map_err(|error| self.errno(error))
    }

    /// Has the thread do `work` about these nodes.
    ///
    /// # Errors
    /// What the crate says, as Linux would; `ENOMEM`.
    pub(super) fn run<R: Send + 'static>(
        &self,
        nodes: &mut Nodes,
        about: &[u32],
        work: impl FnOnce(&mut Mounted) -> Ext4Result<R> + Send + 'static,
    ) -> Result<R, Errno> {
        let mut bytes = OPERATION_BYTES;
        for number in about {
            bytes = bytes.saturating_add(nodes.cost(*number)?);
        }
        self.call(bytes, |mounted| work(mounted.as_mut().ok_or_else(Ext4Error::io)?))
    }

    /// What the crate's error is to a program; what is about the disk is said in the log as well.
    pub(super) fn errno(&self, error: Ext4Error) -> Errno {
        let (errno, is_said) = errno(error.kind());
        if is_said {
            log_limited!("ext4", "{}: {error}", self.name);
        }
        errno
    }

    /// Takes back a [`Nodes::hold`]; a node that has no name is freed then.
    pub(super) fn release(&self, number: u32) {
        let mut nodes = self.nodes_in_any_case();
        let Some(live) = nodes.live.get_mut(&number) else { return };
        live.handles -= 1;
        if live.handles > 0 {
            return;
        }
        let is_nameless = live.info.links == 0;
        if is_nameless
            && let Err(error) =
                self.call_in_need(move |mounted| mounted.as_mut().map_or(Ok(()), |ext4| free(ext4, number)))
        {
            log!("ext4", "{}: inode {number} is not freed: {error}", self.name);
        }
        nodes.live.remove(&number);
    }

    /// A node's contents were changed; it is `info` now. Its extents are counted before too many are only supposed.
    pub(super) fn changed(&self, nodes: &mut Nodes, info: InodeInfo) {
        let number = info.number;
        nodes.refresh(info);
        if nodes.get(number.raw()).is_none_or(|live| live.supposed < SUPPOSED_MAX) {
            return;
        }
        let count = move |ext4: &mut Mounted| {
            ext4.inode_extents(number, 0, i64::MAX.cast_unsigned(), FileExtentTarget::Data, 0)
        };
        // What cannot be counted stays supposed.
        if let Ok(map) = self.run(nodes, &[number.raw()], count)
            && let Some(live) = nodes.get_mut(number.raw())
        {
            (live.mapping.extents, live.supposed) = (map.mapped_extents as u64, 0);
        }
    }

    /// Writes what is not on the disk yet.
    pub(super) fn sync(&self) -> Result<(), Errno> {
        let mut nodes = self.nodes()?;
        self.run(&mut nodes, &[], Mounted::sync)
    }
}

/// Frees an inode that has no name any more: first its blocks, an extent at a time, because the crate lists the blocks of what
/// it frees as a whole.
pub(super) fn free(ext4: &mut Mounted, number: u32) -> Ext4Result<()> {
    let number = InodeNumber::new(number)?;
    if !ext4.inode(number)?.is_directory() {
        // A symbolic link or device has no blocks to be cut.
        let _ = ext4.truncate_inode(number, 0);
    }
    ext4.reap_unlinked_inode(number)
}

impl Deref for NodesGuard<'_> {
    type Target = Nodes;

    fn deref(&self) -> &Nodes {
        &self.nodes
    }
}

impl DerefMut for NodesGuard<'_> {
    fn deref_mut(&mut self) -> &mut Nodes {
        &mut self.nodes
    }
}

impl Nodes {
    /// What a node maps, as far as the disk has it; what was changed since is as large as what was written.
    fn mapping(&mut self, number: u32) -> Result<Mapping, Errno> {
        let Self { layout, sectors, .. } = self;
        sectors.forget();
        layout
            .mapping(number, &mut |offset, bytes: &mut [u8]| sectors.read_bytes(offset, bytes))
            .map_err(|_| Errno::EIO)
    }

    /// What an operation about a node takes beyond [`OPERATION_BYTES`]. Of a file no single blocks are listed.
    fn cost(&mut self, number: u32) -> Result<usize, Errno> {
        match self.live.get(&number) {
            Some(live) if !live.info.is_directory() => Ok(live.mapping.extent_bytes()),
            Some(live) => Ok(live.mapping.bytes()),
            None => Ok(self.mapping(number)?.extent_bytes()),
        }
    }

    /// Takes a node into use.
    pub(super) fn hold(&mut self, info: InodeInfo) -> Result<(), Errno> {
        let number = info.number.raw();
        if let Some(live) = self.live.get_mut(&number) {
            live.info = info;
            live.handles += 1;
            return Ok(());
        }
        let mapping = self.mapping(number)?;
        self.live.insert_if_memory(number, Live { info, swap_area: None, handles: 1, mapping, supposed: 0 })?;
        Ok(())
    }

    /// A node in use.
    pub(super) fn get(&self, number: u32) -> Option<&Live> {
        self.live.get(&number)
    }

    /// A node in use.
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Live> {
        self.live.get_mut(&number)
    }

    /// What a node is now, if it is in use. Each block that came to it may be an extent.
    pub(super) fn refresh(&mut self, info: InodeInfo) {
        if let Some(live) = self.live.get_mut(&info.number.raw()) {
            let more = self.layout.blocks_of(info.blocks.saturating_sub(live.info.blocks));
            live.mapping = Mapping { blocks: live.mapping.blocks + more, extents: live.mapping.extents + more };
            live.supposed += more;
            live.info = info;
        }
    }

    /// How many handles there are.
    pub(super) fn handles(&self) -> u64 {
        self.live.values().map(|live| u64::from(live.handles)).sum()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let result = self.call_in_need(|mounted| mounted.as_mut().map_or(Ok(()), Mounted::unmount));
        if let Err(error) = result {
            log!("ext4", "{} is not unmounted cleanly: {error}", self.name);
        }
        self.server.ask(Job::End);
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

/// What an error is on Linux, and whether the log should say it.
fn errno(kind: Ext4ErrorKind) -> (Errno, bool) {
    use Ext4ErrorKind as Kind;
    match kind {
        Kind::Io | Kind::Timeout => (Errno::EIO, true),
        Kind::Corrupted | Kind::Overflow => (Errno::EUCLEAN, true),
        Kind::ChecksumMismatch => (Errno::EBADMSG, true),
        Kind::BadSuperblock | Kind::InvalidMagic => (Errno::EINVAL, true),
        Kind::JournalAborted => (Errno::EROFS, true),
        Kind::UnsupportedFeature | Kind::UnsupportedCapability | Kind::Unsupported => (Errno::EOPNOTSUPP, true),
        Kind::ReadOnly => (Errno::EROFS, false),
        Kind::NoSpace | Kind::QuotaExceeded => (Errno::ENOSPC, false),
        Kind::NoMemory => (Errno::ENOMEM, false),
        Kind::TooManyLinks => (Errno::EMLINK, false),
        Kind::PermissionDenied => (Errno::EPERM, false),
        Kind::NotFound => (Errno::ENOENT, false),
        Kind::AlreadyExists => (Errno::EEXIST, false),
        Kind::NotDirectory => (Errno::ENOTDIR, false),
        Kind::IsDirectory => (Errno::EISDIR, false),
        Kind::NotEmpty => (Errno::ENOTEMPTY, false),
        Kind::Busy => (Errno::EBUSY, false),
        Kind::BadFileDescriptor => (Errno::EBADF, false),
        Kind::InvalidInput => (Errno::EINVAL, false),
        Kind::FileTooLarge => (Errno::EFBIG, false),
    }
}
