//! Advisory locks on files: `flock(2)`, and the record locks of `fcntl(2)` (Linux: `fs/locks.c`).

use linux_raw_sys::general as linux;
use quire_machine::user::UserPtr;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::arguments::{Arguments, Calls, Outcome};
use crate::errno::Errno;
use crate::fs::lock::ranges::{FileLock, LockOwner, Mode, Span};
use crate::fs::lock::table::{LockRequest, Sort};
use crate::fs::lock::{acquire, conflict};
use crate::fs::open::OpenFile;
use crate::fs::position::{Position, Whence};
use crate::process::control_block::this;

pub(super) const CALLS: Calls = &[(linux::__NR_flock, flock)];

/// Linux's `struct flock`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct Flock {
    kind: u16,
    whence: u16,
    padding: u32,
    start: i64,
    length: i64,
    pid: i32,
    padding_at_end: u32,
}

/// No lock.
const UNLOCK: u16 = linux::F_UNLCK as u16;
/// Who has a lock of an open file description (`l_pid`).
const NO_PROCESS: i32 = -1;

impl Flock {
    fn mode(&self) -> Result<Option<Mode>, Errno> {
        match u32::from(self.kind) {
            linux::F_RDLCK => Ok(Some(Mode::Shared)),
            linux::F_WRLCK => Ok(Some(Mode::Exclusive)),
            linux::F_UNLCK => Ok(None),
            _ => Err(Errno::EINVAL),
        }
    }

    fn span(&self, open: &OpenFile) -> Result<Span, Errno> {
        let base = match Whence::new(self.whence.into()) {
            Some(Whence::Start) => Position::START,
            Some(Whence::Current) => open.position(),
            Some(Whence::End) => Position::new(open.node().metadata().size).unwrap_or(Position::MAX),
            _ => return Err(Errno::EINVAL),
        };
        Span::from(base, self.start, self.length)
    }

    /// What is asked for of an open file, for the process or for the open file itself.
    fn request(&self, open: &OpenFile, is_for_file: bool) -> Result<LockRequest, Errno> {
        let span = self.span(open)?;
        let mode = self.mode()?;
        let owner = if is_for_file { open.lock_owner() } else { LockOwner::Process(this().pid()) };
        Ok(LockRequest { file: open.node().metadata().identity(), sort: Sort::Record, owner, span, mode })
    }

    /// Locks of open files name no process.
    fn check_process(&self, is_for_file: bool) -> Result<(), Errno> {
        if is_for_file && self.pid != 0 { Err(Errno::EINVAL) } else { Ok(()) }
    }

    /// What is told of a lock that is in the way.
    fn of(lock: &FileLock) -> Self {
        let kind = match lock.mode {
            Mode::Shared => linux::F_RDLCK,
            Mode::Exclusive => linux::F_WRLCK,
        };
        let pid = match lock.owner {
            LockOwner::Process(pid) => pid.cast_signed(),
            LockOwner::OpenFile(_) => NO_PROCESS,
        };
        let (start, length) = lock.span.to_start_and_length();
        Self { kind: kind as u16, whence: linux::SEEK_SET as u16, padding: 0, start, length, pid, padding_at_end: 0 }
    }
}

/// The commands of `fcntl(2)` for record locks; `None` for others.
pub(super) fn fcntl(open: &OpenFile, command: u32, argument: UserPtr<Flock>) -> Option<Outcome> {
    match command {
        linux::F_GETLK => Some(get(open, argument, false)),
        linux::F_OFD_GETLK => Some(get(open, argument, true)),
        linux::F_SETLK => Some(set(open, argument, false, false)),
        linux::F_SETLKW => Some(set(open, argument, false, true)),
        linux::F_OFD_SETLK => Some(set(open, argument, true, false)),
        linux::F_OFD_SETLKW => Some(set(open, argument, true, true)),
        _ => None,
    }
}

fn get(open: &OpenFile, argument: UserPtr<Flock>, is_for_file: bool) -> Outcome {
    let asked = argument.read()?;
    // Before where it is. Of its own locks only an open file can ask.
    if !is_for_file && asked.mode()?.is_none() {
        return Err(Errno::EINVAL);
    }
    let request = asked.request(open, is_for_file)?;
    asked.check_process(is_for_file)?;
    argument.write(conflict(&request).map_or(Flock { kind: UNLOCK, ..asked }, |lock| Flock::of(&lock)))?;
    Ok(0)
}

fn set(open: &OpenFile, argument: UserPtr<Flock>, is_for_file: bool, waits: bool) -> Outcome {
    let asked = argument.read()?;
    let request = asked.request(open, is_for_file)?;
    match request.mode {
        Some(Mode::Shared) => open.check_readable()?,
        Some(Mode::Exclusive) => open.check_writable()?,
        None => {}
    }
    asked.check_process(is_for_file)?;
    acquire(request, waits).map(|()| 0)
}

fn flock(arguments: &Arguments<'_>) -> Outcome {
    let [descriptor, command, ..] = arguments.words();
    let command = command.low();
    if command & linux::LOCK_MAND != 0 {
        // As on Linux, which did this wrongly once and does nothing now.
        return Ok(0);
    }
    let mode = match command & !linux::LOCK_NB {
        linux::LOCK_SH => Some(Mode::Shared),
        linux::LOCK_EX => Some(Mode::Exclusive),
        linux::LOCK_UN => None,
        _ => return Err(Errno::EINVAL),
    };
    let open = this().files.get(descriptor.low())?;
    let file = open.node().metadata().identity();
    let request = LockRequest { file, sort: Sort::Whole, owner: open.lock_owner(), span: Span::WHOLE, mode };
    acquire(request, command & linux::LOCK_NB == 0).map(|()| 0)
}
