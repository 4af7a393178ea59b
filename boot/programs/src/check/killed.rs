//! Who is killed in the middle of a long call dies within 64 pages' work of it. Each check runs calls of one sort, each in a
//! process that is killed when a part of the work is done, and counts what was done after that. For a guest: counters are read
//! that Linux keeps for each processor and adds up late.

use std::{
    fs::{self, File},
    io::Read,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    ptr,
    sync::atomic::{AtomicU64, Ordering},
    thread::yield_now,
};

use nix::{
    errno::Errno,
    libc::{self, c_int, c_void},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        resource::{Resource, setrlimit},
        signal::Signal,
        stat::Mode,
    },
    unistd::{mkdir, pause, pipe, read, setuid, write},
};
use quire_protocol::contents::Contents;

use super::outcome::{Check, Failure, Outcome, require};
use crate::{
    areas, files,
    memory::{Memory, PAGE, Shared, squeeze},
    process::{Child, End},
};

pub(super) const CHECKS: &[Check] = &[
    ("killed-locking", locking),
    ("killed-locking-user", || as_user(locking)),
    ("killed-reading", reading),
    ("killed-reading-user", || as_user(reading)),
    ("killed-writing", writing),
    ("killed-writing-user", || as_user(writing)),
    ("killed-device", device),
    ("killed-swapping", swapping),
    ("killed-swapoff", swapoff),
    ("killed-lowering", lowering),
];

/// How much each call is to do, in pages.
const PAGES: usize = 6000;
/// How much may be done after the kill, in pages.
const LATE: u64 = 64;
/// How often a call may have come to its end before it could be killed.
const ATTEMPTS: usize = 20;

/// What a child does: what it returns is not 0 if it could not even begin. It waits at the gate before the call.
type Work<'a> = &'a dyn Fn(&Gate) -> i32;

/// How far a child's call is, in pages.
enum Progress<'a> {
    /// As far as its memory grows.
    Resident,
    /// As far as this says, also when the child is gone.
    Counter(&'a dyn Fn() -> Result<u64, Failure>),
}

/// Where a child waits until its parent has seen it.
struct Gate {
    reached: (OwnedFd, OwnedFd),
    opened: (OwnedFd, OwnedFd),
}

impl Gate {
    fn new() -> nix::Result<Self> {
        Ok(Self { reached: pipe()?, opened: pipe()? })
    }

    fn wait(&self) {
        // A gate that cannot be waited at makes a call that ends before its parent looks: that is noticed.
        let _ = write(&self.reached.1, b"x");
        let _ = read(&self.opened.0, &mut [0]);
    }

    fn is_reached(&self) -> nix::Result<bool> {
        let mut ends = [PollFd::new(self.reached.0.as_fd(), PollFlags::POLLIN)];
        Ok(poll(&mut ends, PollTimeout::ZERO)? > 0)
    }

    fn open(&self) -> nix::Result<usize> {
        write(&self.opened.1, b"x")
    }
}

fn as_user(check: fn() -> Outcome) -> Outcome {
    const USER: u32 = 1000;
    setrlimit(Resource::RLIMIT_MEMLOCK, libc::RLIM_INFINITY, libc::RLIM_INFINITY)?;
    setuid(USER.into())?;
    check()
}

/// The pages that a process has in memory; `None` when it has none any more.
fn resident(child: Child) -> Option<u64> {
    files::number(&format!("/proc/{}/status", child.0), "VmRSS").ok().map(|kib| kib / 4)
}

/// Waits for a child's end; says also the most pages that it ever had in memory. `None` if it has not ended and that is not
/// to be waited for.
fn end_and_most(child: Child, waits: bool) -> nix::Result<Option<(End, u64)>> {
    let (mut status, mut usage) = (0, std::mem::MaybeUninit::<libc::rusage>::zeroed());
    let options = if waits { 0 } else { libc::WNOHANG };
    // SAFETY: both are of the types that the call fills.
    let found = Errno::result(unsafe { libc::wait4(child.0.as_raw(), &raw mut status, options, usage.as_mut_ptr()) })?;
    if found == 0 {
        return Ok(None);
    }
    // SAFETY: it was zero, which is a value, and was filled.
    let most = unsafe { usage.assume_init() }.ru_maxrss.unsigned_abs() / 4;
    let end = if libc::WIFSIGNALED(status) {
        End::Killed(Signal::try_from(libc::WTERMSIG(status))?)
    } else {
        End::Exited(libc::WEXITSTATUS(status))
    };
    Ok(Some((end, most)))
}

/// Kills a call that has `pages` to do in the middle, and counts what it does after that.
fn dies_midway(name: &str, pages: usize, progress: &Progress<'_>, work: Work<'_>) -> Outcome {
    let pages = pages as u64;
    let said = |child| match progress {
        Progress::Resident => Ok::<_, Failure>(resident(child)),
        Progress::Counter(count) => count().map(Some),
    };
    for _ in 0..ATTEMPTS {
        let gate = Gate::new()?;
        let child = Child::start(|| work(&gate))?;
        let mut end = None;
        // What it does on its way to the gate is not counted.
        while end.is_none() && !gate.is_reached()? {
            yield_now();
            end = end_and_most(child, false)?;
        }
        let before = said(child)?.unwrap_or(0);
        gate.open()?;
        let mut done = 0;
        while done < pages / 5 && end.is_none() {
            yield_now();
            done = said(child)?.map_or(done, |said| said.saturating_sub(before));
            end = end_and_most(child, false)?;
        }
        if end.is_none() {
            child.signal(Signal::SIGKILL)?;
        }
        let at_kill = said(child)?;
        let (end, most) = match end {
            Some(end) => end,
            None => end_and_most(child, true)?.ok_or("a child without an end")?,
        };
        if end == End::Exited(0) {
            continue;
        }
        require!(end == End::Killed(Signal::SIGKILL), "{name}: {end}");
        let last = if let Progress::Counter(count) = progress { count()? } else { most };
        let all = last.saturating_sub(before);
        // Without a mark at the kill, the child had gone before it could be made.
        let late = at_kill.map_or(0, |at_kill| last.saturating_sub(at_kill));
        require!(
            late <= LATE,
            "{name}: {late} of {pages} pages were done after the kill: {before} before, {done} seen, {at_kill:?}, {last}"
        );
        if all < pages * 9 / 10 {
            return Ok(());
        }
    }
    require!(false, "{name}: it was over each time before it was killed");
    Ok(())
}

fn fresh(pages: usize, flags: c_int) -> Option<*mut c_void> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags);
    // SAFETY: the kernel chooses a place where nothing is.
    let start = unsafe { libc::mmap(ptr::null_mut(), pages * PAGE, protection, flags, -1, 0) };
    (start != libc::MAP_FAILED).then_some(start)
}

fn status(succeeded: bool) -> i32 {
    i32::from(!succeeded)
}

/// A call that fills memory which was never touched before.
fn into_fresh(name: &str, call: &dyn Fn(*mut c_void) -> bool) -> Outcome {
    dies_midway(name, PAGES, &Progress::Resident, &|gate| {
        let start = fresh(PAGES, 0);
        gate.wait();
        status(start.is_some_and(call))
    })
}

fn locking() -> Outcome {
    let bytes = PAGES * PAGE;
    let grows = |name: &str, work: Work<'_>| dies_midway(name, PAGES, &Progress::Resident, work);
    let on_fresh = |gate: &Gate, call: &dyn Fn(*mut c_void) -> bool| {
        let start = fresh(PAGES, 0);
        gate.wait();
        status(start.is_some_and(call))
    };
    let with_flags = |gate: &Gate, flags| {
        gate.wait();
        status(fresh(PAGES, flags).is_some())
    };
    // SAFETY: locking changes no contents.
    let lock_later = || unsafe { libc::mlockall(libc::MCL_FUTURE) == 0 };
    // SAFETY: locking changes no contents.
    grows("mlock", &|gate| on_fresh(gate, &|start| unsafe { libc::mlock(start, bytes) == 0 }))?;
    // SAFETY: as above.
    grows("mlockall", &|gate| on_fresh(gate, &|_| unsafe { libc::mlockall(libc::MCL_CURRENT) == 0 }))?;
    grows("MADV_POPULATE_WRITE", &|gate| {
        // SAFETY: the advice changes no contents.
        on_fresh(gate, &|start| unsafe { libc::madvise(start, bytes, libc::MADV_POPULATE_WRITE) == 0 })
    })?;
    grows("MAP_POPULATE", &|gate| with_flags(gate, libc::MAP_POPULATE))?;
    grows("MAP_LOCKED", &|gate| with_flags(gate, libc::MAP_LOCKED))?;
    grows("mremap of locked memory", &|gate| {
        let start = lock_later().then(|| fresh(1, 0)).flatten();
        gate.wait();
        // SAFETY: the old range is not used after this.
        let moved = |start| unsafe { libc::mremap(start, PAGE, bytes, libc::MREMAP_MAYMOVE) };
        status(start.map(moved).is_some_and(|start| start != libc::MAP_FAILED))
    })?;
    grows("brk of locked memory", &|gate| {
        let is_locked = lock_later();
        gate.wait();
        // SAFETY: a longer heap is nobody's yet.
        let before = unsafe { libc::sbrk(bytes.cast_signed()) };
        status(is_locked && before.addr() != usize::MAX)
    })
}

fn reading() -> Outcome {
    let bytes = PAGES * PAGE;
    let zero = File::open("/dev/zero")?;
    let zero = zero.as_raw_fd();
    // SAFETY: this call and those below fill memory that is used for nothing else.
    into_fresh("read of zeros", &|start| unsafe { libc::read(zero, start, bytes) > 0 })?;
    into_fresh("readv of zeros", &|start| {
        let half = libc::iovec { iov_base: start, iov_len: bytes / 2 };
        let other = libc::iovec { iov_base: start.wrapping_byte_add(bytes / 2), iov_len: bytes / 2 };
        // SAFETY: as above.
        unsafe { libc::readv(zero, [half, other].as_ptr(), 2) > 0 }
    })?;
    // SAFETY: as above.
    into_fresh("getrandom", &|start| unsafe { libc::getrandom(start, bytes, 0) > 0 })?;
    let path = format!("/tmp/check-killed-{}", std::process::id());
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    fs::remove_file(&path)?;
    file.set_len(bytes as u64)?;
    // SAFETY: as above.
    into_fresh("pread of a hole", &|start| unsafe { libc::pread(file.as_raw_fd(), start, bytes, 0) > 0 })?;
    // A page of answers is about 16 MiB.
    let mapped = fresh(PAGES << 12, libc::MAP_NORESERVE).ok_or("no room for a mapping")?;
    // SAFETY: as above.
    into_fresh("mincore", &|start| unsafe { libc::mincore(mapped, PAGES << 24, start.cast()) == 0 })
}

fn writing() -> Outcome {
    let bytes = PAGES * PAGE;
    let path = format!("/tmp/check-killed-{}", std::process::id());
    let source = fresh(PAGES, 0).ok_or("no room for a mapping")?;
    let zero = File::open("/dev/zero")?;
    let into_file = |name: &str, call: &dyn Fn(c_int) -> bool| {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
        fs::remove_file(&path)?;
        let length = || Ok(file.metadata()?.len() / PAGE as u64);
        dies_midway(name, PAGES, &Progress::Counter(&length), &|gate| {
            if file.set_len(0).is_err() {
                return 1;
            }
            gate.wait();
            status(call(file.as_raw_fd()))
        })
    };
    // SAFETY: this call and those below read memory that is mapped.
    into_file("write", &|file| unsafe { libc::write(file, source, bytes) > 0 })?;
    into_file("pwritev", &|file| {
        let half = libc::iovec { iov_base: source, iov_len: bytes / 2 };
        // SAFETY: as above.
        unsafe { libc::pwritev(file, [half, half].as_ptr(), 2, 0) > 0 }
    })?;
    // SAFETY: without a place for the position nothing is written to memory.
    into_file("sendfile", &|file| unsafe { libc::sendfile(file, zero.as_raw_fd(), ptr::null_mut(), bytes) > 0 })?;
    drained(source)
}

/// A pipe that another process empties.
fn drained(source: *mut c_void) -> Outcome {
    let emptied = Shared::new(AtomicU64::new(0))?;
    let (reader, writer) = pipe()?;
    let mut reader = File::from(reader);
    let drain = Child::start(|| {
        let mut page = [0; PAGE];
        while let Ok(bytes) = reader.read(&mut page) {
            emptied.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        0
    })?;
    let count = || Ok(emptied.load(Ordering::Relaxed) / PAGE as u64);
    let outcome = dies_midway("write to a pipe", PAGES, &Progress::Counter(&count), &|gate| {
        gate.wait();
        // SAFETY: the memory is mapped.
        status(unsafe { libc::write(writer.as_fd().as_raw_fd(), source, PAGES * PAGE) > 0 })
    });
    drain.signal(Signal::SIGKILL)?;
    drain.wait()?;
    outcome
}

/// A zram device of its own: what is written, discarded, zeroed and read.
fn device() -> Outcome {
    const ZERO_OUT: libc::c_ulong = 0x127f;
    const DISCARD: libc::c_ulong = 0x1277;
    /// What a page of one repeated word costs is little.
    const SIZE: usize = 40_000;
    let number = files::text("/sys/class/zram-control/hot_add")?;
    let attribute = |name: &str| format!("/sys/block/zram{number}/{name}");
    files::set(&attribute("disksize"), &(SIZE * PAGE).to_string())?;
    let disk = File::options().read(true).write(true).open(format!("/dev/zram{number}"))?;
    let control = |request| {
        let range: [u64; 2] = [0, (SIZE * PAGE) as u64];
        // SAFETY: the requests read two words.
        unsafe { libc::ioctl(disk.as_raw_fd(), request, range.as_ptr()) == 0 }
    };
    let source = fresh(SIZE, libc::MAP_NORESERVE).ok_or("no room for a mapping")?;
    // SAFETY: the memory is mapped.
    let fill = || unsafe { libc::pwrite(disk.as_raw_fd(), source, SIZE * PAGE, 0) == (SIZE * PAGE).cast_signed() };
    let stored = || Ok(files::numbers(&attribute("mm_stat"))?[0] / PAGE as u64);
    let gone = || Ok(SIZE as u64 - stored()?);
    dies_midway("write to zram", SIZE, &Progress::Counter(&stored), &|gate| {
        let is_empty = control(DISCARD);
        gate.wait();
        status(is_empty && fill())
    })?;
    for (name, request) in [("BLKDISCARD", DISCARD), ("BLKZEROOUT", ZERO_OUT)] {
        dies_midway(name, SIZE, &Progress::Counter(&gone), &|gate| {
            let is_full = fill();
            gate.wait();
            status(is_full && control(request))
        })?;
    }
    into_fresh("read of zram", &|start| {
        // SAFETY: the memory is used for nothing else.
        unsafe { libc::pread(disk.as_raw_fd(), start, PAGES * PAGE, 0) > 0 }
    })?;
    drop(disk);
    Ok(files::set("/sys/class/zram-control/hot_remove", &number)?)
}

/// To swap and back, because the program says so.
fn swapping() -> Outcome {
    let out = || Ok(files::number("/proc/vmstat", "pswpout")?);
    dies_midway("MADV_PAGEOUT", PAGES / 2, &Progress::Counter(&out), &|gate| {
        let Ok(mut memory) = Memory::private(PAGES / 2) else { return 1 };
        memory.pages().iter_mut().zip(0..).for_each(|(page, number)| Contents::Mix.fill(page, number));
        gate.wait();
        status(memory.page_out().is_ok())
    })?;
    let mut memory = Memory::private(PAGES / 2)?;
    memory.pages().iter_mut().zip(0..).for_each(|(page, number)| Contents::Mix.fill(page, number));
    memory.page_out()?;
    squeeze()?;
    dies_midway("MADV_WILLNEED", PAGES / 2, &Progress::Resident, &|gate| {
        gate.wait();
        // SAFETY: the advice changes no contents.
        status(unsafe { libc::madvise(memory.address(0).cast(), PAGES / 2 * PAGE, libc::MADV_WILLNEED) == 0 })
    })
}

/// The area stays as it was, but for what had come back by then.
fn swapoff() -> Outcome {
    const AREA: &str = "/dev/vda";
    let mut memory = Memory::private(PAGES)?;
    memory.pages().iter_mut().zip(0..).for_each(|(page, number)| Contents::Mix.fill(page, number));
    memory.page_out()?;
    // What a dead process alone still holds is freed by its end, not by the call.
    // SAFETY: the advice changes no contents.
    Errno::result(unsafe { libc::madvise(memory.address(0).cast(), PAGES * PAGE, libc::MADV_DONTFORK) })?;
    squeeze()?;
    let freed = || Ok(u64::from(u32::MAX) - files::swap_used()?);
    dies_midway("swapoff", PAGES, &Progress::Counter(&freed), &|gate| {
        gate.wait();
        status(areas::disable(AREA).is_ok())
    })?;
    require!(files::text("/proc/swaps")?.contains(AREA), "the area has gone all the same");
    Ok(())
}

/// What is above a group's new limit is not the dead's business.
fn lowering() -> Outcome {
    const GROUP: &str = "/sys/fs/cgroup/check-killed";
    mkdir(GROUP, Mode::S_IRWXU)?;
    let gate = Gate::new()?;
    let holder = Child::start(|| {
        let Ok(mut memory) = Memory::private(PAGES) else { return 1 };
        if files::set(&format!("{GROUP}/cgroup.procs"), &std::process::id().to_string()).is_err() {
            return 2;
        }
        memory.pages().iter_mut().zip(0..).for_each(|(page, number)| Contents::Mix.fill(page, number));
        let _ = gate.open();
        pause();
        0
    })?;
    gate.wait();
    let limit = format!("{GROUP}/memory.max");
    let shrunk = || Ok(u64::from(u32::MAX) - files::numbers(&format!("{GROUP}/memory.current"))?[0] / PAGE as u64);
    let outcome = dies_midway("a lower memory.max", PAGES, &Progress::Counter(&shrunk), &|gate| {
        gate.wait();
        status(files::set(&limit, "4096").is_ok())
    });
    holder.signal(Signal::SIGKILL)?;
    let end = holder.wait()?;
    // A group goes when its processes have.
    while let Err(error) = fs::remove_dir(GROUP) {
        require!(error.raw_os_error() == Some(Errno::EBUSY as i32), "the group cannot be removed: {error}");
        yield_now();
    }
    outcome?;
    require!(end == End::Killed(Signal::SIGKILL), "the process in the group gave {end}");
    Ok(())
}
