//! The rules of `setrlimit`, and limits that are not on memory.

use std::{
    fs,
    os::fd::{AsFd, AsRawFd},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use nix::{
    errno::Errno,
    libc::{self, c_int},
    sys::{
        resource::{Resource, getrlimit, rlim_t, setrlimit},
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
    },
    unistd::{Pid, Uid, dup, execv, pipe, read, setpgid, setuid, write},
};

use super::{
    bounds::{become_ordinary, refused},
    outcome::{Check, Outcome, require, require_killed, require_success},
};
use crate::{
    memory::Shared,
    process::{Child, End},
};

pub(super) const CHECKS: &[Check] = &[
    ("rules-raising", raising),
    ("rules-shown", shown),
    ("rules-processor-time", processor_time),
    ("rules-open-files", open_files),
    ("rules-signals", signals),
    ("rules-processes", processes),
    ("rules-groups", groups),
];

fn raising() -> Outcome {
    require_success("limits that an ordinary user sets", || {
        let set = |soft, hard| setrlimit(Resource::RLIMIT_DATA, soft, hard);
        refused("a soft limit above the hard one", set(2, 1), Errno::EINVAL)?;
        let most: rlim_t = fs::read_to_string("/proc/sys/fs/nr_open")?.trim().parse()?;
        let files = |hard| setrlimit(Resource::RLIMIT_NOFILE, 16, hard);
        refused("more open files than there can be", files(most + 1), Errno::EPERM)?;
        become_ordinary()?;
        set(1 << 30, 1 << 31)?;
        refused("a higher hard limit", set(1 << 30, (1 << 31) + 1), Errno::EPERM)?;
        refused("no hard limit", set(1 << 30, libc::RLIM_INFINITY), Errno::EPERM)?;
        refused("neither rule", set(1 << 32, 1 << 31), Errno::EINVAL)?;
        set(1 << 31, 1 << 31)?;
        require!(getrlimit(Resource::RLIMIT_DATA)? == (1 << 31, 1 << 31), "the limit was not set");
        let prlimit = |pid: i32, resource: u32, new: *const [u64; 2]| {
            // SAFETY: the new limit is none, or one; the old one is not wanted.
            Errno::result(unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, new, 0_usize) })
        };
        let limit = [5_u64, 6];
        refused("a limit that there is not", prlimit(0, 16, std::ptr::null()), Errno::EINVAL)?;
        refused("a limit at no address", prlimit(0, 16, std::ptr::without_provenance::<[u64; 2]>(1)), Errno::EFAULT)?;
        refused("process 1's limit", prlimit(1, libc::RLIMIT_DATA, &raw const limit), Errno::EPERM)?;
        refused("nobody's limit", prlimit(0x7fff_fff0, libc::RLIMIT_DATA, &raw const limit), Errno::ESRCH)?;
        Ok(())
    })
}

fn shown() -> Outcome {
    require_success("/proc/self/limits", || {
        setrlimit(Resource::RLIMIT_CPU, 1234, 5678)?;
        let text = fs::read_to_string("/proc/self/limits")?;
        let line = "Max cpu time              1234                 5678                 seconds   ";
        require!(text.lines().nth(1) == Some(line), "the second line of\n{text}is not\n{line}");
        require!(text.lines().count() == 17, "{text}");
        Ok(())
    })
}

static TOLD: AtomicU32 = AtomicU32::new(0);

extern "C" fn told(_: c_int) {
    TOLD.fetch_add(1, Ordering::Relaxed);
}

/// The signal at the soft limit, each second, then the end at the hard one; all by what was used, however long that takes.
fn processor_time() -> Outcome {
    let spin = |soft, hard| {
        move || {
            let set = setrlimit(Resource::RLIMIT_CPU, soft, hard);
            if set.is_err() {
                return 1;
            }
            loop {
                std::hint::spin_loop();
            }
        }
    };
    require_killed(Signal::SIGXCPU, "a second of processor time", spin(1, 5))?;
    require_killed(Signal::SIGKILL, "a second, and no more", spin(1, 1))?;
    let count = Shared::new(AtomicU32::new(0))?;
    require_killed(Signal::SIGKILL, "three seconds", || {
        let action = SigAction::new(SigHandler::Handler(told), SaFlags::empty(), SigSet::empty());
        // SAFETY: the handler adds to a counter.
        if unsafe { sigaction(Signal::SIGXCPU, &action) }.is_err() || setrlimit(Resource::RLIMIT_CPU, 1, 3).is_err() {
            return 1;
        }
        loop {
            count.store(TOLD.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    })?;
    let times = count.load(Ordering::Relaxed);
    require!(times == 2, "who used three seconds of one was told {times} times");
    Ok(())
}

fn open_files() -> Outcome {
    require_success("four open files", || {
        for descriptor in 3..32 {
            // SAFETY: no value of this process owns one of these that is used again.
            unsafe { libc::close(descriptor) };
        }
        setrlimit(Resource::RLIMIT_NOFILE, 4, 4)?;
        let null = fs::File::open("/dev/null")?;
        require!(null.as_raw_fd() == 3, "the file has number {}", null.as_raw_fd());
        refused("a fifth", dup(null.as_fd()), Errno::EMFILE)?;
        refused("a pipe", pipe(), Errno::EMFILE)?;
        // SAFETY: numbers that nothing has.
        let duplicate = |to: c_int| Errno::result(unsafe { libc::dup2(3, to) });
        refused("number 4 for one that is there", duplicate(4), Errno::EBADF)?;
        // SAFETY: the same.
        let from = |from: c_int| Errno::result(unsafe { libc::fcntl(3, libc::F_DUPFD, from) });
        refused("a number from 4 on", from(4), Errno::EINVAL)?;
        refused("a number from 3 on", from(3), Errno::EMFILE)?;
        let mut wanted = [libc::pollfd { fd: -1, events: 0, revents: 0 }; 5];
        // SAFETY: the list has as many entries as is said.
        let mut poll = |count| Errno::result(unsafe { libc::poll(wanted.as_mut_ptr(), count, 0) });
        refused("to look at five", poll(5), Errno::EINVAL)?;
        Ok(())
    })
}

fn signals() -> Outcome {
    require_success("three signals that wait", || {
        become_ordinary()?;
        let blocked: SigSet = Signal::iterator().collect();
        blocked.thread_block()?;
        let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the set is filled before it is used.
        unsafe {
            libc::sigfillset(set.as_mut_ptr());
            libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
        }
        setrlimit(Resource::RLIMIT_SIGPENDING, 3, 3)?;
        let value = libc::sigval { sival_ptr: std::ptr::null_mut() };
        // SAFETY: the signal is blocked.
        let queue = || Errno::result(unsafe { libc::sigqueue(libc::getpid(), libc::SIGRTMIN(), value) });
        for number in 1..=3 {
            require!(queue().is_ok(), "signal {number} of 3 was refused");
        }
        refused("a fourth", queue(), Errno::EAGAIN)
    })
}

/// A child that runs a program of its own is not its parent's to put into a group any more.
fn groups() -> Outcome {
    let mut child = Command::new("/proc/self/exe").args(["check", "--ids"]).stdout(Stdio::null()).spawn()?;
    let pid = Pid::from_raw(child.id().cast_signed());
    let moved = setpgid(pid, pid);
    child.wait()?;
    refused("another group for a child that runs another program", moved, Errno::EACCES)?;
    let child = Child::start(|| {
        // SAFETY: this process only waits for its end.
        unsafe { libc::pause() }
    })?;
    let moved = setpgid(child.0, child.0);
    child.signal(Signal::SIGKILL)?;
    child.wait()?;
    Ok(moved?)
}

fn processes() -> Outcome {
    /// No other process is this user's.
    const USER: u32 = 54_321;
    if !Uid::effective().is_root() {
        return Ok(());
    }
    require_success("two processes of a user", || {
        setrlimit(Resource::RLIMIT_NPROC, 2, 2)?;
        let first = Child::start(|| {
            let work = || -> Outcome {
                setuid(Uid::from_raw(USER))?;
                let held = Child::start(|| {
                    // SAFETY: this process only waits for its end.
                    unsafe { libc::pause() }
                })?;
                let third = Child::start(|| 0);
                held.signal(Signal::SIGKILL)?;
                held.wait()?;
                require!(third.err() == Some(Errno::EAGAIN), "a third process was made");
                Child::start(|| 0)?.wait()?;
                Ok(())
            };
            i32::from(work().is_err())
        })?;
        let end = first.wait()?;
        require!(end == End::Exited(0), "the first gave {end}");
        Ok(())
    })?;
    require_success("a process that becomes one too many of a user", || {
        let mut held = Vec::new();
        for _ in 0..2 {
            let (ready, told) = pipe()?;
            held.push(Child::start(move || {
                if setuid(Uid::from_raw(USER)).is_err() || write(&told, b"x").is_err() {
                    return 1;
                }
                // SAFETY: this process only waits for its end.
                unsafe { libc::pause() }
            })?);
            read(&ready, &mut [0])?;
        }
        setrlimit(Resource::RLIMIT_NPROC, 1, 1)?;
        let joined = Child::start(|| {
            if setuid(Uid::from_raw(USER)).is_err() {
                return 1;
            }
            let Err(error) = execv(c"/proc/self/exe", &[c"check"]);
            error as i32
        })?;
        let end = joined.wait()?;
        for child in held {
            child.signal(Signal::SIGKILL)?;
            child.wait()?;
        }
        require!(end == End::Exited(Errno::EAGAIN as i32), "its program gave {end}, not EAGAIN");
        Ok(())
    })
}
