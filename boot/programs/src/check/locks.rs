//! Locks on files: who keeps whom out, who waits, and when they are gone.

use std::{
    fs::{self, File, OpenOptions},
    io::{Seek, SeekFrom},
    os::fd::AsRawFd,
};

use nix::{
    errno::Errno,
    libc,
    sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    unistd::{Whence, dup, getpid, setuid},
};

use super::outcome::{Check, Outcome, require, require_success};
use crate::{
    files,
    process::{Child, End},
};

pub(super) const CHECKS: &[Check] = &[
    ("locks-conflict", conflict),
    ("locks-split-and-merge", split_and_merge),
    ("locks-refused", refused),
    ("locks-released", released),
    ("locks-of-open-files", of_open_files),
    ("locks-waited-for", waited_for),
    ("locks-in-a-circle", in_a_circle),
    ("locks-whole", whole),
    ("locks-whole-waited-for", whole_waited_for),
    ("locks-of-a-user", of_a_user),
    ("locks-charged", charged),
];

const READ: i16 = libc::F_RDLCK as i16;
pub(super) const WRITE: i16 = libc::F_WRLCK as i16;
const NONE: i16 = libc::F_UNLCK as i16;
const SET: i16 = Whence::SeekSet as i16;

/// What the kernel keeps for locks is charged to the memory group of the one who sets them.
fn charged() -> Outcome {
    /// For a guest's root, whose groups are nobody else's.
    const GROUP: &str = "/sys/fs/cgroup/locks";
    const LOCKS: i64 = 2000;
    if !super::bad::is_small()? {
        return Ok(());
    }
    fs::create_dir(GROUP)?;
    let outcome = require_success("a user with many locks", || {
        files::set(&format!("{GROUP}/cgroup.procs"), "0")?;
        setuid(1000.into())?;
        let current = || files::numbers(&format!("{GROUP}/memory.current")).map(|numbers| numbers[0]);
        let locked = Locked::new("charged")?;
        let before = current()?;
        for number in 0..LOCKS {
            set(&locked.file, WRITE, 2 * number, 1)?;
        }
        let held = current()?;
        set(&locked.file, NONE, 0, 0)?;
        let after = current()?;
        let least = 40 * LOCKS.unsigned_abs();
        require!(held >= before + least, "{LOCKS} locks: {before} bytes before, {held} with them");
        require!(after + least <= held, "{held} bytes with the locks, {after} without");
        Ok(())
    });
    fs::remove_dir(GROUP)?;
    outcome
}

/// A file of this process alone, with its path's name gone when the check is done.
struct Locked {
    path: String,
    file: File,
}

impl Locked {
    fn new(name: &str) -> std::io::Result<Self> {
        let path = format!("/tmp/check-lock-{name}-{}", getpid());
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        Ok(Self { path, file })
    }

    fn again(&self) -> std::io::Result<File> {
        OpenOptions::new().read(true).write(true).open(&self.path)
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

const fn lock(kind: i16, start: i64, length: i64) -> libc::flock {
    libc::flock { l_type: kind, l_whence: SET, l_start: start, l_len: length, l_pid: 0 }
}

fn control(file: &File, command: i32, mut lock: libc::flock) -> nix::Result<libc::flock> {
    // SAFETY: the structure is what these commands take.
    Errno::result(unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) })?;
    Ok(lock)
}

pub(super) fn set(file: &File, kind: i16, start: i64, length: i64) -> nix::Result<()> {
    control(file, libc::F_SETLK, lock(kind, start, length)).map(drop)
}

/// What another process finds that wants to write there: kind, start, length, and whose it is.
fn seen(file: &File, start: i64, length: i64) -> nix::Result<(i16, i64, i64, i32)> {
    let found = control(file, libc::F_OFD_GETLK, lock(WRITE, start, length))?;
    if found.l_type == NONE {
        return Ok((NONE, 0, 0, 0));
    }
    Ok((found.l_type, found.l_start, found.l_len, found.l_pid))
}

fn conflict() -> Outcome {
    let locked = Locked::new("conflict")?;
    set(&locked.file, READ, 10, 10)?;
    set(&locked.file, WRITE, 30, 10)?;
    let owner = getpid().as_raw();
    require_success("another process", || {
        let file = locked.again()?;
        for (kind, start, length, expected) in [
            (READ, 10, 10, Ok(())),
            (WRITE, 0, 10, Ok(())),
            (WRITE, 0, 11, Err(Errno::EAGAIN)),
            (WRITE, 19, 1, Err(Errno::EAGAIN)),
            (WRITE, 20, 10, Ok(())),
            (READ, 39, 1, Err(Errno::EAGAIN)),
            (READ, 40, 0, Ok(())),
            (NONE, 0, 0, Ok(())),
        ] {
            let found = set(&file, kind, start, length);
            require!(found == expected, "{kind} at {start}, {length} bytes, gave {found:?}");
        }
        let found = control(&file, libc::F_GETLK, lock(READ, 0, 0))?;
        let told = (found.l_type, found.l_whence, found.l_start, found.l_len, found.l_pid);
        require!(told == (WRITE, SET, 30, 10, owner), "F_GETLK told {told:?}, and the owner is {owner}");
        let found = control(&file, libc::F_GETLK, lock(READ, 0, 30))?;
        require!(found.l_type == NONE && found.l_len == 30, "F_GETLK told {} where nothing is", found.l_type);
        Ok(())
    })?;
    // One's own locks are in one's way nowhere.
    let own = control(&locked.file, libc::F_GETLK, lock(WRITE, 0, 0))?;
    require!(own.l_type == NONE, "F_GETLK told of one's own lock");
    Ok(())
}

fn split_and_merge() -> Outcome {
    let locked = Locked::new("split")?;
    let owner = getpid().as_raw();
    let other = locked.again()?;
    set(&locked.file, WRITE, 0, 100)?;
    set(&locked.file, READ, 40, 20)?;
    set(&locked.file, NONE, 45, 5)?;
    for (start, length, expected) in [
        (0, 1, (WRITE, 0, 40, owner)),
        (40, 1, (READ, 40, 5, owner)),
        (45, 5, (NONE, 0, 0, 0)),
        (50, 10, (READ, 50, 10, owner)),
        (60, 0, (WRITE, 60, 40, owner)),
        (100, 0, (NONE, 0, 0, 0)),
    ] {
        let found = seen(&other, start, length)?;
        require!(found == expected, "at {start} is {found:?}, not {expected:?}");
    }
    set(&locked.file, WRITE, 40, 20)?;
    set(&locked.file, WRITE, 100, 0)?;
    let all = seen(&other, 77, 1)?;
    require!(all == (WRITE, 0, 0, owner), "what touches is not one lock: {all:?}");
    // Counted from elsewhere, and backwards.
    set(&locked.file, NONE, 0, 0)?;
    locked.file.set_len(1000)?;
    (&locked.file).seek(SeekFrom::Start(500))?;
    let from = |whence, start, length| libc::flock { l_whence: whence as i16, ..lock(WRITE, start, length) };
    for (wanted, expected) in [
        (from(libc::SEEK_CUR, 10, 5), (WRITE, 510, 5, owner)),
        (from(libc::SEEK_CUR, 0, -500), (WRITE, 0, 500, owner)),
        (from(libc::SEEK_END, -100, 0), (WRITE, 900, 0, owner)),
        (from(libc::SEEK_SET, i64::MAX, 1), (WRITE, i64::MAX, 0, owner)),
    ] {
        control(&locked.file, libc::F_SETLK, wanted)?;
        let found = seen(&other, 0, 0)?;
        require!(found == expected, "{wanted:?} became {found:?}");
        set(&locked.file, NONE, 0, 0)?;
    }
    Ok(())
}

fn refused() -> Outcome {
    let locked = Locked::new("refused")?;
    let (reader, writer) = (File::open(&locked.path)?, OpenOptions::new().write(true).open(&locked.path)?);
    let path = nix::fcntl::open(locked.path.as_str(), nix::fcntl::OFlag::O_PATH, nix::sys::stat::Mode::empty())?;
    let path = File::from(path);
    let both = &locked.file;
    let (set, get, open) = (libc::F_SETLK, libc::F_GETLK, libc::F_OFD_SETLK);
    let whence = libc::flock { l_whence: 3, ..lock(READ, 0, 0) };
    let pid = libc::flock { l_pid: 1, ..lock(READ, 0, 0) };
    let cases = [
        ("a kind that there is not", control(both, set, lock(7, 0, 0)), Errno::EINVAL),
        ("a whence that there is not", control(both, set, whence), Errno::EINVAL),
        ("asking for no lock", control(both, get, lock(NONE, 0, 0)), Errno::EINVAL),
        ("before the file", control(both, set, lock(READ, -1, 5)), Errno::EINVAL),
        ("backwards before the file", control(both, set, lock(READ, 3, -4)), Errno::EINVAL),
        ("beyond the last byte", control(both, set, lock(READ, i64::MAX, 2)), Errno::EOVERFLOW),
        ("writing where one may not", control(&reader, set, lock(WRITE, 0, 0)), Errno::EBADF),
        ("reading where one may not", control(&writer, set, lock(READ, 0, 0)), Errno::EBADF),
        ("only a path", control(&path, set, lock(READ, 0, 0)), Errno::EBADF),
        ("only a path, asked", control(&path, get, lock(READ, 0, 0)), Errno::EBADF),
        ("a process for an open file", control(both, open, pid), Errno::EINVAL),
    ];
    for (what, found, error) in cases {
        require!(found.is_err_and(|found| found == error), "{what} gave {:?}, not {error}", found.err());
    }
    // SAFETY: nothing is at that address.
    let nowhere = Errno::result(unsafe { libc::fcntl(both.as_raw_fd(), libc::F_SETLK, 0x1000) });
    require!(nowhere == Err(Errno::EFAULT), "no structure gave {nowhere:?}");
    for (file, operation, error) in [
        (both, libc::LOCK_SH | libc::LOCK_EX, Errno::EINVAL),
        (both, 0, Errno::EINVAL),
        (&path, libc::LOCK_SH, Errno::EBADF),
    ] {
        let found = flock(file, operation);
        require!(found == Err(error), "flock {operation} gave {found:?}, not {error}");
    }
    Ok(())
}

/// The end of a process, and the first number of the file that it closes, release its locks; its children have none.
fn released() -> Outcome {
    let locked = Locked::new("released")?;
    set(&locked.file, WRITE, 0, 10)?;
    let twin = dup(&locked.file)?;
    let other = locked.again()?;
    require!(seen(&other, 0, 0)?.0 == WRITE, "the lock is not seen");
    require_success("a child", || {
        require!(set(&locked.file, WRITE, 0, 1) == Err(Errno::EAGAIN), "a child has its parent's lock");
        set(&locked.file, WRITE, 20, 5)?;
        Ok(())
    })?;
    let left = seen(&other, 20, 0)?;
    require!(left.0 == NONE, "a child that has ended has left {left:?}");
    require!(seen(&other, 0, 0)?.0 == WRITE, "a child that closed its numbers took its parent's lock away");
    drop(twin);
    let left = seen(&other, 0, 0)?;
    require!(left.0 == NONE, "one number of two is closed, and there still is {left:?}");
    Ok(())
}

/// They conflict with those of processes, and go with the last number.
fn of_open_files() -> Outcome {
    let locked = Locked::new("open")?;
    let other = locked.again()?;
    control(&locked.file, libc::F_OFD_SETLK, lock(WRITE, 5, 5))?;
    let twin = dup(&locked.file)?;
    let again = control(&other, libc::F_OFD_SETLK, lock(READ, 0, 0)).err();
    require!(again == Some(Errno::EAGAIN), "another open file of the same process gave {again:?}");
    let own = set(&locked.file, READ, 7, 1);
    require!(own == Err(Errno::EAGAIN), "the process itself, for itself, gave {own:?}");
    let told = seen(&other, 0, 0)?;
    require!(told == (WRITE, 5, 5, -1), "F_OFD_GETLK told {told:?}");
    require_success("a child, which shares it", || {
        control(&locked.file, libc::F_OFD_SETLK, lock(WRITE, 0, 7))?;
        Ok(())
    })?;
    let told = seen(&other, 0, 0)?;
    require!(told == (WRITE, 0, 10, -1), "a child's share in it is {told:?}");
    drop(twin);
    require!(seen(&other, 0, 0)?.0 == WRITE, "the lock went with one number of two");
    // The process's own locks go with any number, these do not.
    let Locked { .. } = &locked;
    let third = locked.again()?;
    drop(third);
    require!(seen(&other, 0, 0)?.0 == WRITE, "the lock went with another open file");
    let Locked { path, .. } = &locked;
    let path = path.clone();
    let last = OpenOptions::new().read(true).write(true).open(path)?;
    control(&last, libc::F_OFD_SETLK, lock(READ, 50, 1))?;
    drop(last);
    let left = seen(&other, 50, 0)?;
    require!(left.0 == NONE, "an open file that is closed has left {left:?}");
    Ok(())
}

/// Waits until the child sleeps.
fn sleeps(child: Child) -> Outcome {
    loop {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.0))?;
        match stat.rsplit(") ").next().and_then(|rest| rest.chars().next()) {
            Some('S') => return Ok(()),
            Some('R' | 'D') => std::thread::yield_now(),
            other => require!(false, "a child that should sleep is in state {other:?}"),
        }
    }
}

/// Handles `SIGUSR1` by nothing.
fn handle(flags: SaFlags) -> nix::Result<()> {
    extern "C" fn nothing(_: i32) {}
    // SAFETY: the handler does nothing.
    unsafe { sigaction(Signal::SIGUSR1, &SigAction::new(SigHandler::Handler(nothing), flags, SigSet::empty())) }
        .map(drop)
}

fn waited_for() -> Outcome {
    let locked = Locked::new("waited")?;
    for command in [libc::F_SETLKW, libc::F_OFD_SETLKW] {
        set(&locked.file, WRITE, 0, 10)?;
        let waiter = |flags, expected: nix::Result<()>| {
            let locked = &locked;
            Child::start(move || {
                let own = locked.again().map_err(|_| Errno::EIO).and_then(|file| {
                    handle(flags)?;
                    control(&file, command, lock(READ, 9, 1)).map(drop)
                });
                i32::from(own != expected)
            })
        };
        let patient = waiter(SaFlags::SA_RESTART, Ok(()))?;
        let impatient = waiter(SaFlags::empty(), Err(Errno::EINTR))?;
        let killed = waiter(SaFlags::empty(), Ok(()))?;
        for child in [patient, impatient, killed] {
            sleeps(child)?;
        }
        killed.signal(Signal::SIGKILL)?;
        let end = killed.wait()?;
        require!(end == End::Killed(Signal::SIGKILL), "a waiter that was killed: {end}");
        for child in [patient, impatient] {
            child.signal(Signal::SIGUSR1)?;
        }
        let end = impatient.wait()?;
        require!(end == End::Exited(0), "a waiter that was interrupted: {end}");
        sleeps(patient)?;
        // What still is locked does not concern it.
        set(&locked.file, NONE, 9, 1)?;
        let end = patient.wait()?;
        require!(end == End::Exited(0), "a waiter: {end}");
        set(&locked.file, NONE, 0, 0)?;
    }
    Ok(())
}

/// Each of three has a byte and wants the next one's; who closes the circle is told.
fn in_a_circle() -> Outcome {
    let locked = Locked::new("circle")?;
    set(&locked.file, WRITE, 0, 1)?;
    let waiter = |own: i64, next: i64| {
        let locked = &locked;
        Child::start(move || {
            let (Ok(()), Ok(_)) =
                (set(&locked.file, WRITE, own, 1), control(&locked.file, libc::F_SETLKW, lock(WRITE, next, 1)))
            else {
                return 1;
            };
            0
        })
    };
    let second = waiter(2, 0)?;
    sleeps(second)?;
    let first = waiter(1, 2)?;
    sleeps(first)?;
    let closing = control(&locked.file, libc::F_SETLKW, lock(WRITE, 1, 1)).err();
    require!(closing == Some(Errno::EDEADLK), "closing a circle of three gave {closing:?}");
    let busy = set(&locked.file, WRITE, 1, 1);
    require!(busy == Err(Errno::EAGAIN), "asking without waiting gave {busy:?}");
    set(&locked.file, NONE, 0, 0)?;
    for child in [second, first] {
        let end = child.wait()?;
        require!(end == End::Exited(0), "one of the others: {end}");
    }
    Ok(())
}

fn flock(file: &File, operation: i32) -> nix::Result<()> {
    // SAFETY: the call has no arguments in memory.
    Errno::result(unsafe { libc::flock(file.as_raw_fd(), operation) }).map(drop)
}

fn whole() -> Outcome {
    let locked = Locked::new("whole")?;
    let (one, other) = (&locked.file, locked.again()?);
    let (shared, exclusive) = (libc::LOCK_SH | libc::LOCK_NB, libc::LOCK_EX | libc::LOCK_NB);
    flock(one, shared)?;
    flock(&other, shared)?;
    let refused = flock(one, exclusive);
    require!(refused == Err(Errno::EWOULDBLOCK), "making it exclusive while another shares it gave {refused:?}");
    // That it was tried has lost it.
    flock(&other, exclusive)?;
    let refused = flock(one, shared);
    require!(refused == Err(Errno::EWOULDBLOCK), "a lock that was to be changed is still there: {refused:?}");
    // Those of processes are others, and what `dup` and `fork` made is the same open file.
    set(one, WRITE, 0, 0)?;
    let twin = File::from(dup(&other)?);
    flock(&twin, exclusive)?;
    require_success("a child", || {
        flock(&other, shared)?;
        Ok(())
    })?;
    flock(one, shared)?;
    flock(&twin, libc::LOCK_UN)?;
    flock(one, exclusive)?;
    flock(one, libc::LOCK_UN)?;
    flock(&other, exclusive)?;
    drop((other, twin));
    flock(one, exclusive)?;
    Ok(())
}

fn whole_waited_for() -> Outcome {
    let locked = Locked::new("wholewait")?;
    flock(&locked.file, libc::LOCK_EX)?;
    let waiter = |flags, expected: nix::Result<()>| {
        let locked = &locked;
        Child::start(move || {
            let own = locked.again().map_err(|_| Errno::EIO).and_then(|file| {
                handle(flags)?;
                flock(&file, libc::LOCK_SH)
            });
            i32::from(own != expected)
        })
    };
    let (one, other) = (waiter(SaFlags::SA_RESTART, Ok(()))?, waiter(SaFlags::empty(), Ok(()))?);
    let impatient = waiter(SaFlags::empty(), Err(Errno::EINTR))?;
    for child in [one, other, impatient] {
        sleeps(child)?;
    }
    impatient.signal(Signal::SIGUSR1)?;
    let end = impatient.wait()?;
    require!(end == End::Exited(0), "a waiter that was interrupted: {end}");
    flock(&locked.file, libc::LOCK_SH)?;
    for child in [one, other] {
        let end = child.wait()?;
        require!(end == End::Exited(0), "a waiter: {end}");
    }
    Ok(())
}

/// Where this runs as root, an ordinary user's locks are as good as root's.
fn of_a_user() -> Outcome {
    let locked = Locked::new("user")?;
    set(&locked.file, WRITE, 0, 1)?;
    require_success("user 1000", || {
        if nix::unistd::Uid::effective().is_root() {
            setuid(1000.into())?;
        }
        require!(set(&locked.file, READ, 0, 1) == Err(Errno::EAGAIN), "root's lock was not heeded");
        set(&locked.file, WRITE, 1, 1)?;
        flock(&locked.file, libc::LOCK_EX)?;
        Ok(())
    })
}
