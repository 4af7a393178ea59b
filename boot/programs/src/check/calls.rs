//! Every system call and every request of `ioctl(2)`, with arguments of every plausible kind, by the superuser and by another
//! user: nothing is asked of the answers, but the kernel is there afterwards. Its checks of the order of locks and of
//! arithmetic are on meanwhile, so each path has to be gone once, and not at an unlucky moment.

use std::{
    fs::{self, File, OpenOptions, create_dir_all},
    os::fd::{AsRawFd, IntoRawFd, RawFd},
    os::unix::fs::OpenOptionsExt,
};

use nix::{
    errno::Errno,
    libc,
    sys::{
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
        termios::{SetArg, tcgetattr, tcsetattr},
    },
    unistd::{Gid, Uid, dup2_stderr, dup2_stdin, dup2_stdout, getpid, getppid, pause, pipe, setgid, setsid, setuid},
};

use super::{
    bad::is_small,
    outcome::{Check, Failure, Outcome, require},
};
use crate::process::Child;

pub(super) const CHECKS: &[Check] = &[
    ("calls-terminal-of-another-session", terminal_of_another_session),
    ("calls-every-number", every_number),
    ("calls-every-request", every_request),
];

/// An ordinary user.
const PERSON: u32 = 1000;

/// More than the greatest number of a call.
const NUMBERS: i64 = 512;

/// What would go on as two processes, or end more than the process that calls it: called elsewhere, with care.
const NOT_CALLED: [i64; 11] = [
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_clone,
    libc::SYS_clone3,
    libc::SYS_reboot,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_tgkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_vhangup,
];

const WRITES: [i64; 9] = [
    libc::SYS_write,
    libc::SYS_pwrite64,
    libc::SYS_writev,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_sendfile,
    libc::SYS_splice,
    libc::SYS_tee,
    libc::SYS_vmsplice,
];

const DIRECTORY: &str = "/tmp/calls";
const FILE: &str = "/tmp/calls/file";
const TERMINAL: &str = "/dev/console";
const LOG: &str = "/dev/kmsg";

/// One of each kind of file; what a machine does not have is left out.
const FILES: [&str; 15] = [
    FILE,
    DIRECTORY,
    TERMINAL,
    "/dev/null",
    "/dev/zero",
    LOG,
    "/dev/vda",
    "/dev/zram0",
    "/dev/ghostswap",
    "/proc/self/maps",
    "/proc/self/fd",
    "/proc/1/status",
    "/proc/sys/vm/swappiness",
    "/sys/block/zram0/mm_stat",
    "/sys/fs/cgroup/memory.stat",
];

/// A child that leads a session of its own, with one of each kind of file, and memory that calls may read and write.
struct Caller {
    files: Vec<RawFd>,
    /// Those of them whose readers want sentences.
    says: Vec<u64>,
    path: Vec<u8>,
    zeros: Vec<u64>,
    /// `struct iovec`, `struct timespec`, `struct pollfd`, an array of pointers: whatever it is taken for.
    words: Vec<u64>,
}

impl Caller {
    /// Calls that wait are interrupted, again and again.
    fn new(user: u32) -> Result<Self, Failure> {
        extern "C" fn nothing(_: libc::c_int) {}
        setsid()?;
        let null = open("/dev/null").ok_or("there is no /dev/null")?;
        dup2_stdin(&null)?;
        dup2_stdout(&null)?;
        dup2_stderr(&null)?;
        let (mut files, mut says) = (Vec::new(), Vec::new());
        for path in FILES {
            if let Some(file) = open(path) {
                let file = file.into_raw_fd();
                files.push(file);
                if [TERMINAL, LOG].contains(&path) {
                    says.push(register(file));
                }
            }
        }
        let (read, write) = pipe()?;
        files.extend([read.into_raw_fd(), write.into_raw_fd()]);
        if user != 0 {
            setgid(Gid::from_raw(user))?;
            setuid(Uid::from_raw(user))?;
        }
        let action = SigAction::new(SigHandler::Handler(nothing), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler does nothing.
        unsafe { sigaction(Signal::SIGALRM, &action) }?;
        let often = libc::timeval { tv_sec: 0, tv_usec: 8000 };
        let timer = libc::itimerval { it_interval: often, it_value: often };
        // SAFETY: the structure is read, and there is no place to write the old one to.
        Errno::result(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) })?;
        let zeros = vec![0; 8192];
        let words = [zeros.as_ptr() as u64, 64].repeat(64);
        Ok(Self { files, says, path: format!("{FILE}\0").into_bytes(), zeros, words })
    }

    fn sets(&self, number: i64) -> Vec<[u64; 6]> {
        const ALL: u64 = u64::MAX;
        let here = register(libc::AT_FDCWD);
        let (path, zeros, words) = (self.path.as_ptr() as u64, self.zeros.as_ptr() as u64, self.words.as_ptr() as u64);
        let (own, parent) = (register(getpid().as_raw()), register(getppid().as_raw()));
        let mut sets = vec![
            [path, zeros, 64, 0, 0, 0],
            [path, path, path, 0, zeros, 0],
            [path, words, words, 0, 0, 0],
            [path, 1000, 1000, 0, 0, 0],
            [here, path, zeros, 64, 0, 0],
            [here, path, 0o644, 0, 0, 0],
            [here, path, here, path, 0, 0],
            [here, path, 1000, 1000, 0, 0],
            [zeros, words, zeros, words, zeros, words],
            [words, zeros, words, zeros, words, zeros],
            [words, 3, 1, 0, 0, 0],
            [zeros, 4096, 3, 0x22, ALL, 0],
            [zeros, 64, 1, 0, 0, 0],
            [own, zeros, 64, 0, 0, 0],
            [parent, 0, words, zeros, 0, 0],
            [0, own, 0, zeros, 0, 0],
            [0, parent, 0, words, zeros, 0],
            [0, zeros, zeros, 8, 0, 0],
            [1, words, zeros, 8, 0, 0],
            [1000, 1000, 1000, 0, 0, 0],
            [2, zeros, zeros, zeros, zeros, zeros],
            [0; 6],
            [1; 6],
            [2; 6],
            [ALL; 6],
        ];
        let first = register(self.files[0]);
        for &file in &self.files {
            let file = register(file);
            // Not into the middle of what the machine says of itself.
            if WRITES.contains(&number) && self.says.contains(&file) {
                continue;
            }
            sets.extend([
                [file, zeros, 64, 0, 0, 0],
                [file, words, 2, 0, 0, 0],
                [file, path, 0, 0, 0, 0],
                [file, 0, 0, 0, 0, 0],
                [file, 1, zeros, 4, 0, 0],
                [file, first, 0, 64, 0, 0],
                [first, file, zeros, 64, 0, 0],
                [0, 4096, 1, 2, file, 0],
                [0, 4096, 1, 1, file, 0],
            ]);
        }
        sets
    }
}

fn open(path: &str) -> Option<File> {
    let open = |write| OpenOptions::new().read(true).write(write).custom_flags(libc::O_NOCTTY).open(path);
    open(true).or_else(|_| open(false)).ok()
}

/// What a register holds of a C `int`.
fn register(int: libc::c_int) -> u64 {
    i64::from(int).cast_unsigned()
}

fn call(number: i64, arguments: [u64; 6]) {
    let [first, second, third, fourth, fifth, sixth] = arguments;
    // SAFETY: none: the process may be ended by what this does to it, and it has no children.
    let _ = unsafe { libc::syscall(number, first, second, third, fourth, fifth, sixth) };
}

/// Makes an empty file, if calls before have left something else in its place.
fn place_file() -> std::io::Result<()> {
    create_dir_all(DIRECTORY)?;
    if fs::symlink_metadata(FILE).is_ok_and(|found| found.is_file()) {
        return Ok(());
    }
    let _ = fs::remove_file(FILE).or_else(|_| fs::remove_dir_all(FILE));
    File::create(FILE).map(drop)
}

/// Gives the terminal to a session that does nothing, does `work`, and sees to it that the terminal is as before.
fn beside_the_terminal(work: impl FnOnce() -> Outcome) -> Outcome {
    require!(is_small()?, "this machine is too large to be a guest");
    place_file()?;
    fs::write(FILE, [b'x'; 10_000])?;
    let terminal = File::options().read(true).write(true).custom_flags(libc::O_NOCTTY).open(TERMINAL)?;
    let settings = tcgetattr(&terminal)?;
    let (ready, say) = pipe()?;
    let holder = Child::start(|| {
        // SAFETY: this request takes a number.
        let taken = setsid().is_ok() && unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSCTTY, 1) } == 0;
        let _ = nix::unistd::write(&say, &[u8::from(taken)]);
        loop {
            pause();
        }
    })?;
    let mut taken = [0];
    nix::unistd::read(&ready, &mut taken)?;
    let outcome = if taken == [1] { work() } else { Err("the terminal was not given to another session".into()) };
    holder.signal(Signal::SIGKILL)?;
    holder.wait()?;
    tcsetattr(&terminal, SetArg::TCSANOW, &settings)?;
    outcome
}

fn terminal_of_another_session() -> Outcome {
    beside_the_terminal(|| {
        for (user, force, expected) in
            [(PERSON, 0, libc::EPERM), (PERSON, 1, libc::EPERM), (0, 0, libc::EPERM), (0, 1, 0)]
        {
            super::outcome::require_success(&format!("user {user} with {force}"), || {
                let caller = Caller::new(user)?;
                let terminal = caller.files[2];
                // SAFETY: this request takes a number.
                let result = unsafe { libc::ioctl(terminal, libc::TIOCSCTTY, force) };
                let error = if result == 0 { 0 } else { Errno::last_raw() };
                require!(error == expected, "TIOCSCTTY gave {error}, not {expected}");
                Ok(())
            })?;
        }
        Ok(())
    })
}

/// In a process of its own, whose end is its own affair.
fn alone(user: u32, work: impl FnOnce(&Caller)) -> Outcome {
    // Where memory has ended there may be none for a file.
    let _ = place_file();
    let child = Child::start(|| match Caller::new(user) {
        Ok(caller) => {
            work(&caller);
            0
        }
        Err(Failure(why)) => {
            println!("  {why}");
            1
        }
    })?;
    child.wait()?;
    Ok(())
}

/// Every call with every set, each call in a process of its own.
pub(super) fn every_number_as(user: u32) -> Outcome {
    for number in (0..NUMBERS).filter(|number| !NOT_CALLED.contains(number)) {
        match alone(user, |caller| caller.sets(number).into_iter().for_each(|set| call(number, set))) {
            // Where memory has ended there may be none for a process.
            Err(Failure(why)) if why.contains("EAGAIN") || why.contains("ENOMEM") => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

fn every_number() -> Outcome {
    beside_the_terminal(|| {
        for user in [0, PERSON] {
            every_number_as(user)?;
            // Signals to itself, its group, the first process and its parent; 0 is none, and only looks.
            alone(user, |_| {
                let own = i64::from(getpid().as_raw());
                let parent = i64::from(getppid().as_raw());
                for (target, signal) in
                    [(own, 0), (own, 18), (-own, 18), (0, 28), (1, 0), (parent, 0), (-1, 0), (parent, 18)]
                {
                    let (target, information) =
                        (target.cast_unsigned(), [signal, 0, u64::MAX - 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                    let information = information.as_ptr() as u64;
                    call(libc::SYS_kill, [target, signal, 0, 0, 0, 0]);
                    call(libc::SYS_tkill, [target, signal, 0, 0, 0, 0]);
                    call(libc::SYS_tgkill, [target, target, signal, 0, 0, 0]);
                    call(libc::SYS_rt_sigqueueinfo, [target, signal, information, 0, 0, 0]);
                    call(libc::SYS_rt_tgsigqueueinfo, [target, target, signal, information, 0, 0]);
                }
            })?;
        }
        Ok(())
    })
}

fn every_request() -> Outcome {
    /// Direction and size, as they are coded in a request: none, and a number of 4 or 8 bytes that is read or written.
    const CODES: [u64; 5] = [0, 0x8004_0000, 0x8008_0000, 0x4004_0000, 0x4008_0000];
    beside_the_terminal(|| {
        for user in [0, PERSON] {
            for code in CODES {
                alone(user, |caller| {
                    let zeros = caller.zeros.as_ptr() as u64;
                    for number in (0x1200..0x1300).chain(0x5400..0x5480).chain([0x4c00, 0x4c01, 0xf501, 0x6601, 0x6602])
                    {
                        for &file in &caller.files {
                            // The first stops a terminal, the second lets it go on.
                            for argument in [0, 1, zeros] {
                                call(libc::SYS_ioctl, [register(file), code | number, argument, 0, 0, 0]);
                            }
                        }
                    }
                })?;
            }
        }
        Ok(())
    })
}
