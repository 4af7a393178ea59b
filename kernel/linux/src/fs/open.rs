//! Open files, and the tables by which processes number them.
//!
//! An [`OpenFile`] is what POSIX calls an open file description: `dup` and `fork` share it, with its position and flags.
//! The position is read before a transfer and set after it, without a lock in between, so that nothing is locked while a
//! device works; programs that share a position and use it at once lose what they would lose anyway: knowing who read
//! what. What is appended never overlaps.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use linux_raw_sys::general as linux;
use quire_machine::fallible::{self, NoMemory, TryVec};
use quire_machine::physical;
use quire_machine::sync::Rank;
use quire_machine::task::Mutex;
use quire_machine::user::Word;
use quire_memory::charge::Charge;

use super::lock;
use super::node::{File, Handle, Wait};
use super::poll::Ready;
use super::position::{Position, Whence};
use crate::errno::Errno;
use crate::process::credentials::Credentials;
use crate::process::limits;

/// The most files that a process has open, unless it may have fewer.
pub const FILES_MAX: usize = limits::FILES_MAX as usize;

/// The least that `fs.file-max` is at first (Linux: `NR_FILE`).
const LEAST_FILES: u64 = 8192;

/// How many files are open in all.
static OPEN: AtomicU64 = AtomicU64::new(0);
/// `fs.file-max`; 0 until it is set.
static MOST: AtomicU64 = AtomicU64::new(0);

/// How many files are open in all, and how many may be unless root opens more (Linux: `fs/file_table.c`): at first, a tenth of
/// memory would hold them, taken as 1 KiB each.
pub fn totals() -> (u64, u64) {
    let most = match MOST.load(Ordering::Relaxed) {
        0 => (physical::managed_frames() as u64 * 4 / 10).max(LEAST_FILES),
        most => most,
    };
    (OPEN.load(Ordering::Relaxed), most)
}

/// Sets `fs.file-max`.
pub fn set_most(files: u64) {
    MOST.store(files.max(1), Ordering::Relaxed);
}

/// What an open file takes of the heap, roughly: itself, what it was opened as, its node.
const OPEN_BYTES: usize = 512;

/// The flags of `open(2)` that `fcntl(2)` can change later.
const CHANGEABLE: u32 = linux::O_APPEND | linux::O_NONBLOCK | linux::O_DIRECT | linux::O_NOATIME | linux::FASYNC;
/// The flags of `open(2)` that only say how to open.
const ONLY_FOR_OPENING: u32 = linux::O_CREAT | linux::O_EXCL | linux::O_NOCTTY | linux::O_TRUNC | linux::O_CLOEXEC;

/// A node, opened.
pub struct OpenFile {
    node: Handle,
    file: Arc<dyn File>,
    path: Box<[u8]>,
    flags: AtomicU32,
    position: AtomicU64,
    /// Whether it has ever asked for a lock.
    may_have_locks: AtomicBool,
    _charge: Charge,
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if *self.may_have_locks.get_mut() {
            lock::forget_open_file(self.number(), self.node.metadata().identity());
        }
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

impl OpenFile {
    /// `node` opened as `file` with the flags of `open(2)`, by one with `credentials`; `path` is shown to those who ask what is open.
    ///
    /// # Errors
    /// `ENFILE` when as many are open as may be, and `ENOMEM`.
    pub fn new(
        node: Handle,
        file: Arc<dyn File>,
        path: &[u8],
        flags: u32,
        credentials: &Credentials,
    ) -> Result<Arc<Self>, Errno> {
        let (open, most) = totals();
        if open >= most && !credentials.is_superuser() {
            return Err(Errno::ENFILE);
        }
        let charge = Charge::new(OPEN_BYTES + path.len()).map_err(|_| Errno::ENOMEM)?;
        let path = fallible::boxed_slice(path)?;
        let flags = AtomicU32::new(flags & !ONLY_FOR_OPENING);
        // From here on, what is dropped is counted.
        OPEN.fetch_add(1, Ordering::Relaxed);
        Ok(fallible::shared(Self {
            node,
            file,
            path,
            flags,
            position: AtomicU64::new(0),
            may_have_locks: AtomicBool::new(false),
            _charge: charge,
        })?)
    }

    /// What no other open file has as long as this one is open: where it is.
    fn number(&self) -> u64 {
        core::ptr::from_ref(self).addr() as u64
    }

    /// Whose the locks are that it is about to ask for.
    pub fn lock_owner(&self) -> lock::ranges::LockOwner {
        self.may_have_locks.store(true, Ordering::Relaxed);
        lock::ranges::LockOwner::OpenFile(self.number())
    }

    /// What was opened.
    pub fn node(&self) -> &Handle {
        &self.node
    }

    /// What it was opened as.
    pub fn file(&self) -> &Arc<dyn File> {
        &self.file
    }

    /// The path that led to it.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The flags, as `F_GETFL` says them.
    pub fn flags(&self) -> u32 {
        self.flags.load(Ordering::Relaxed)
    }

    /// Whether only its node was asked for (`O_PATH`).
    pub fn is_only_path(&self) -> bool {
        self.flags() & linux::O_PATH != 0
    }

    /// Sets the flags that `F_SETFL` can set.
    pub fn set_flags(&self, flags: u32) {
        let change = |old| Some(old & !CHANGEABLE | flags & CHANGEABLE);
        let _ = self.flags.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
    }

    /// The position.
    pub fn position(&self) -> Position {
        Position::new(self.position.load(Ordering::Relaxed)).unwrap_or(Position::MAX)
    }

    /// Sets the position.
    pub fn set_position(&self, position: Position) {
        self.position.store(position.get(), Ordering::Relaxed);
    }

    /// Whether `bytes` bytes behind `start` have positions, where positions mean anything (Linux: `rw_verify_area`).
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn check_transfer(&self, start: Position, bytes: u64) -> Result<(), Errno> {
        if self.file.length().is_some() { start.end_of_transfer(bytes).map(drop) } else { Ok(()) }
    }

    /// How many of `bytes` bytes one call may write from `start` on, or behind the end with `O_APPEND`.
    ///
    /// # Errors
    /// The file's.
    pub fn writable(&self, start: Position, bytes: usize) -> Result<usize, Errno> {
        let start = self.file.length().filter(|_| self.appends()).unwrap_or(start);
        self.file.writable(start, bytes)
    }

    fn appends(&self) -> bool {
        self.flags() & linux::O_APPEND != 0
    }

    fn wait(&self) -> Wait {
        if self.flags() & linux::O_NONBLOCK == 0 { Wait::Until } else { Wait::Never }
    }

    /// Whether it may be read.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn check_readable(&self) -> Result<(), Errno> {
        // What is opened with both bits of the mode set is for neither.
        let can = matches!(self.flags() & linux::O_ACCMODE, linux::O_RDONLY | linux::O_RDWR);
        if can { Ok(()) } else { Err(Errno::EBADF) }
    }

    /// Whether it may be written.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn check_writable(&self) -> Result<(), Errno> {
        let can = matches!(self.flags() & linux::O_ACCMODE, linux::O_WRONLY | linux::O_RDWR);
        if can { Ok(()) } else { Err(Errno::EBADF) }
    }

    /// Reads at the position and moves it. `first`: nothing was read before on behalf of the same call, so it may wait.
    ///
    /// # Errors
    /// The file's.
    pub fn read(&self, buffer: &mut [u8], first: bool) -> Result<usize, Errno> {
        let position = self.position();
        let bytes = self.file.read(position, buffer, if first { self.wait() } else { Wait::Never })?;
        self.set_position(position.after(bytes));
        Ok(bytes)
    }

    /// Writes at the position, or the end with `O_APPEND`, and moves it.
    ///
    /// # Errors
    /// The file's.
    pub fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        if self.appends() {
            let (written, end) = self.file.append(bytes, self.wait())?;
            self.set_position(end);
            return Ok(written);
        }
        let position = self.position();
        let written = self.file.write(position, bytes, self.wait())?;
        self.set_position(position.after(written));
        Ok(written)
    }

    /// Writes at `position`, or the end with `O_APPEND` (as Linux does, unlike POSIX); the open file stays where it stands.
    ///
    /// # Errors
    /// The file's.
    pub fn write_at(&self, position: Position, bytes: &[u8]) -> Result<usize, Errno> {
        if self.appends() {
            return self.file.append(bytes, self.wait()).map(|(written, _)| written);
        }
        self.file.write(position, bytes, self.wait())
    }
}

/// What opening with `O_PATH` gives: only the node.
pub struct OnlyPath;

impl File for OnlyPath {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, _: Position, _: &mut [u8], _: Wait) -> Result<usize, Errno> {
        Err(Errno::EBADF)
    }

    fn write(&self, _: Position, _: &[u8], _: Wait) -> Result<usize, Errno> {
        Err(Errno::EBADF)
    }

    fn ready(&self) -> Ready {
        Ready(linux::POLLNVAL)
    }

    fn control(&self, _: u32, _: Word) -> Result<u64, Errno> {
        Err(Errno::EBADF)
    }
}

/// An open directory; its entries are read through its node.
pub struct OpenDirectory;

impl File for OpenDirectory {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, _: Position, _: &mut [u8], _: Wait) -> Result<usize, Errno> {
        Err(Errno::EISDIR)
    }

    fn length(&self) -> Option<Position> {
        Some(Position::MAX)
    }

    fn seek(&self, current: Position, offset: i64, whence: Whence) -> Result<Position, Errno> {
        match whence {
            Whence::Start | Whence::Current => current.seek(Position::MAX, Position::MAX, offset, whence),
            _ => Err(Errno::EINVAL),
        }
    }

    fn sync(&self) -> Result<(), Errno> {
        Ok(())
    }
}

#[derive(Clone)]
struct Descriptor {
    file: Arc<OpenFile>,
    close_on_exec: bool,
}

impl Descriptor {
    /// Process `pid` has this number no more, and so, as POSIX says, no record locks on the file, whatever other numbers it has of
    /// it.
    fn close(self, pid: u32) {
        let Self { file, .. } = self;
        if !file.is_only_path() {
            lock::forget_process(pid, || file.node().metadata().identity());
        }
    }
}

/// A process's open files, by number.
pub struct Descriptors {
    pid: u32,
    files: Mutex<Vec<Option<Descriptor>>>,
    end: AtomicUsize,
}

impl Descriptors {
    /// No open files, for process `pid`.
    pub const fn new(pid: u32) -> Self {
        Self { pid, files: Mutex::new(Rank::Descriptors, Vec::new()), end: AtomicUsize::new(FILES_MAX) }
    }

    /// The same open files, for a child, process `pid`.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub fn fork(&self, pid: u32) -> Result<Arc<Self>, NoMemory> {
        let files = fallible::copy(&self.files.lock())?;
        fallible::shared(Self { pid, files: Mutex::new(Rank::Descriptors, files), end: AtomicUsize::new(self.end()) })
    }

    /// What new numbers are below: the process's `RLIMIT_NOFILE`.
    pub fn end(&self) -> usize {
        self.end.load(Ordering::Relaxed)
    }

    /// The process has this `RLIMIT_NOFILE` now.
    pub fn set_limit(&self, limit: u64) {
        self.end.store(usize::try_from(limit).unwrap_or(FILES_MAX).min(FILES_MAX), Ordering::Relaxed);
    }

    /// Closes what is not for the next program.
    pub fn close_on_exec(&self) {
        self.close_where(|_, close_on_exec| close_on_exec);
    }

    /// Closes every file: the process has ended.
    pub fn close_all(&self) {
        self.close_where(|_, _| true);
    }

    /// Closes the files from `first` to `last`.
    pub fn close_range(&self, first: u32, last: u32) {
        self.close_where(|descriptor, _| (first..=last).contains(&descriptor));
    }

    fn close_where(&self, is_meant: impl Fn(u32, bool) -> bool) {
        let mut from = 0;
        let mut take = || {
            let mut files = self.files.lock();
            let mut files = files.iter_mut().enumerate().skip(from);
            files.find_map(|(descriptor, open)| {
                from = descriptor + 1;
                open.take_if(|open| is_meant(descriptor as u32, open.close_on_exec))
            })
        };
        // Closing may sleep, or take locks above the table's: it has been let go.
        while let Some(closed) = take() {
            closed.close(self.pid);
        }
    }

    /// The open file of that number, unless it is only a path (`O_PATH`), with which hardly anything can be done (Linux: `fdget`).
    ///
    /// # Errors
    /// `EBADF`.
    pub fn get(&self, descriptor: u32) -> Result<Arc<OpenFile>, Errno> {
        self.get_or_path(descriptor).and_then(|file| if file.is_only_path() { Err(Errno::EBADF) } else { Ok(file) })
    }

    /// The open file of that number, be it only a path (Linux: `fdget_raw`).
    ///
    /// # Errors
    /// `EBADF`.
    pub fn get_or_path(&self, descriptor: u32) -> Result<Arc<OpenFile>, Errno> {
        self.descriptor(descriptor).map(|open| open.file)
    }

    /// Whether it is closed when a program is started.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn closes_on_exec(&self, descriptor: u32) -> Result<bool, Errno> {
        self.descriptor(descriptor).map(|open| open.close_on_exec)
    }

    fn descriptor(&self, number: u32) -> Result<Descriptor, Errno> {
        self.files.lock().get(number as usize).cloned().flatten().ok_or(Errno::EBADF)
    }

    /// Says whether it is closed when a program is started.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn set_close_on_exec(&self, descriptor: u32, close_on_exec: bool) -> Result<(), Errno> {
        let mut files = self.files.lock();
        let open = files.get_mut(descriptor as usize).and_then(Option::as_mut).ok_or(Errno::EBADF)?;
        open.close_on_exec = close_on_exec;
        Ok(())
    }

    /// Gives an open file the lowest free number from `from` on.
    ///
    /// # Errors
    /// `EMFILE`, `ENOMEM`.
    pub fn add(&self, file: Arc<OpenFile>, from: u32, close_on_exec: bool) -> Result<u32, Errno> {
        let most = self.end();
        let mut files = self.files.lock();
        let free = (from as usize..most).find(|index| files.get(*index).is_none_or(Option::is_none));
        let index = free.ok_or(Errno::EMFILE)?;
        reach(&mut files, index)?;
        files[index] = Some(Descriptor { file, close_on_exec });
        Ok(index as u32)
    }

    /// Gives an open file this number; what had it is closed.
    ///
    /// # Errors
    /// `EBADF` if there is no such number; `ENOMEM`.
    pub fn replace(&self, descriptor: u32, file: Arc<OpenFile>, close_on_exec: bool) -> Result<(), Errno> {
        if descriptor as usize >= self.end() {
            return Err(Errno::EBADF);
        }
        let mut files = self.files.lock();
        reach(&mut files, descriptor as usize)?;
        let before = files[descriptor as usize].replace(Descriptor { file, close_on_exec });
        drop(files);
        if let Some(before) = before {
            before.close(self.pid);
        }
        Ok(())
    }

    /// Closes one file.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn close(&self, descriptor: u32) -> Result<(), Errno> {
        let open = self.files.lock().get_mut(descriptor as usize).and_then(Option::take);
        open.map(|open| open.close(self.pid)).ok_or(Errno::EBADF)
    }

    /// The numbers in use, from `from` on.
    ///
    /// # Errors
    /// [`NoMemory`]
    pub fn numbers(&self, from: u32) -> Result<Vec<u32>, NoMemory> {
        let files = self.files.lock();
        let used = files.iter().enumerate().skip(from as usize).filter(|(_, open)| open.is_some());
        fallible::collect(used.map(|(descriptor, _)| descriptor as u32))
    }
}

/// Makes the table long enough to have `index`.
fn reach(files: &mut Vec<Option<Descriptor>>, index: usize) -> Result<(), Errno> {
    let more = (index + 1).saturating_sub(files.len());
    Ok(files.try_extend(core::iter::repeat_n(None, more))?)
}
