//! What is mapped and was never touched costs nothing to walk, however much it is; and a process that walks it all the time
//! can be killed for its memory.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
    os::{fd::AsFd, unix::fs::MetadataExt},
    ptr,
    time::Instant,
};

use nix::{
    libc::{self, c_int, c_void},
    sys::{
        memfd::{MFdFlags, memfd_create},
        signal::Signal,
    },
    unistd::{ftruncate, setuid},
};

use super::{
    limits::memory_is_back,
    outcome::{Check, Failure, Outcome, require, require_success},
};
use crate::{
    files,
    memory::{Memory, PAGE},
    process::{Child, End},
    raw,
};

pub(super) const CHECKS: &[Check] = &[
    ("huge-mappings", mappings),
    ("huge-mappings-user", || as_user(mappings)),
    ("huge-files", sparse_files),
    ("huge-files-user", || as_user(sparse_files)),
    ("huge-victim", victim),
];

/// For a machine whose clock counts instructions.
pub(super) const COUNTED_CHECKS: &[Check] = &[("links-of-a-file", links), ("links-neighbours", neighbours)];

/// 40,000 GiB.
const BYTES: usize = 40_000 << 30;
/// Often enough that a walk of the pages would be noticed.
const TIMES: usize = 20;

fn as_user(check: fn() -> Outcome) -> Outcome {
    require_success("user 1000", || {
        setuid(1000.into())?;
        check()
    })
}

/// A reservation of [`BYTES`] in which the first page, one in the middle and the last can be used.
fn reserve() -> Option<*mut c_void> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: the kernel chooses a place where nothing is.
    let start = unsafe { libc::mmap(ptr::null_mut(), BYTES, libc::PROT_NONE, flags, -1, 0) };
    (start != libc::MAP_FAILED).then_some(start)
}

const USED: [usize; 3] = [0, BYTES / 2, BYTES - PAGE];

fn protect(start: *mut c_void, bytes: usize, protection: c_int) -> bool {
    // SAFETY: the range is a reservation's, of which no references are kept.
    unsafe { libc::mprotect(start, bytes, protection) == 0 }
}

/// Moves a reservation to a place that the kernel chooses.
fn moved(start: *mut c_void) -> Option<*mut c_void> {
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    let place = reserve()?;
    // SAFETY: what is at the new place is the reservation that was just made for this.
    let start = unsafe { libc::mremap(start, BYTES, BYTES, flags, place) };
    (start != libc::MAP_FAILED).then_some(start)
}

fn mappings() -> Outcome {
    const READ_WRITE: c_int = libc::PROT_READ | libc::PROT_WRITE;
    let mut start = reserve().ok_or("no room for the reservation")?;
    for place in USED {
        let page = start.wrapping_byte_add(place);
        require!(protect(page, PAGE, READ_WRITE), "a page of the reservation cannot be used");
        // SAFETY: the page can be written.
        unsafe { page.cast::<u8>().write_volatile(place as u8 | 1) };
    }
    require!(protect(start, BYTES, READ_WRITE), "the reservation cannot be used");
    let all = [
        libc::MADV_NORMAL,
        libc::MADV_COLD,
        libc::MADV_PAGEOUT,
        libc::MADV_WILLNEED,
        libc::MADV_DONTFORK,
        libc::MADV_DOFORK,
    ];
    for _ in 0..TIMES {
        require!(protect(start, BYTES, libc::PROT_READ), "mprotect");
        require!(protect(start, BYTES, READ_WRITE), "mprotect");
        for advice in all {
            // SAFETY: the advice changes no contents.
            require!(unsafe { libc::madvise(start, BYTES, advice) } == 0, "madvise {advice}");
        }
        // SAFETY: it changes no contents.
        require!(unsafe { libc::msync(start, BYTES, libc::MS_ASYNC) } == 0, "msync");
        // SAFETY: as above.
        require!(unsafe { libc::munlock(start, BYTES) } == 0, "munlock");
        start = moved(start).ok_or("mremap")?;
        require_success("a child", || Ok(()))?;
        for file in ["maps", "status", "statm"] {
            fs::read(format!("/proc/self/{file}"))?;
        }
    }
    for place in USED {
        // SAFETY: the page can be read.
        let found = unsafe { start.wrapping_byte_add(place).cast::<u8>().read_volatile() };
        require!(found == place as u8 | 1, "a page was lost on the way");
    }
    // SAFETY: the contents are not needed any more.
    require!(unsafe { libc::madvise(start, BYTES, libc::MADV_DONTNEED) } == 0, "MADV_DONTNEED");
    // SAFETY: nothing uses the reservation any more.
    require!(unsafe { libc::munmap(start, BYTES) } == 0, "munmap");
    Ok(())
}

/// A file in memory with a few pages far from each other.
fn sparse_files() -> Outcome {
    const LENGTH: u64 = 1 << 62;
    let path = format!("/tmp/check-huge-{}", std::process::id());
    let mut file = fs::File::options().read(true).write(true).create_new(true).open(&path)?;
    fs::remove_file(&path)?;
    for _ in 0..TIMES {
        for bits in (12..62).step_by(5) {
            file.seek(SeekFrom::Start(1 << bits))?;
            file.write_all(b"x")?;
        }
        file.set_len(LENGTH)?;
        require!(file.metadata()?.len() == LENGTH, "the file is not as long as it was made");
        file.set_len(0)?;
        require!(file.metadata()?.blocks() == 0, "an empty file has pages");
    }
    Ok(())
}

/// A process that keeps its memory's layout locked as well as it can is the one to go, once, and others do not wait for it.
fn victim() -> Outcome {
    let free_before = files::number("/proc/meminfo", "MemFree")?;
    let all = files::number("/proc/meminfo", "MemTotal")? + files::number("/proc/meminfo", "SwapTotal")?;
    require!(all < 1 << 20, "this machine is too large to fill");
    let kills = || files::number("/proc/vmstat", "oom_kill");
    let before = kills()?;
    let victim = Child::start(|| {
        if files::set("/proc/self/oom_score_adj", "1000").is_err() {
            return 1;
        }
        let Ok(mut memory) = Memory::private(1000) else { return 2 };
        (0..1000).for_each(|page| memory.touch(page));
        let Some(mut start) = reserve() else { return 3 };
        while let Some(next) = moved(start) {
            start = next;
        }
        4
    })?;
    let glutton = Child::start(|| {
        let pages = all as usize / 4;
        let Ok(mut memory) =
            Memory::map(pages, nix::sys::mman::MapFlags::MAP_PRIVATE | nix::sys::mman::MapFlags::MAP_NORESERVE)
        else {
            return 1;
        };
        (0..pages).for_each(|page| memory.touch(page));
        0
    })?;
    let end = victim.wait()?;
    require!(end == End::Killed(Signal::SIGKILL), "the process that moves its memory gave {end}");
    glutton.signal(Signal::SIGKILL)?;
    glutton.wait()?;
    require!(kills()? - before <= 2, "{} processes were killed for one", kills()? - before);
    memory_is_back(free_before)
}

/// Many mappings of a file, each of which has another distance between its place and the file's, cost a `fork`, the child's
/// end and their own as much as there are, and not the square of it.
fn links() -> Outcome {
    let file = memfd_create(c"links", MFdFlags::empty())?;
    ftruncate(&file, 1 << 40)?;
    costs_as_much_as_there_are(|count| {
        let place = raw::map(count * 2 * PAGE, libc::PROT_NONE, raw::ANONYMOUS | libc::MAP_NORESERVE)?;
        for (index, offset) in (0..count).zip((0..).step_by(5 * PAGE)) {
            raw::map_file_at(place.wrapping_byte_add(index * 2 * PAGE), file.as_fd(), PAGE, raw::READ, offset)?;
        }
        let end = Child::start(|| 0)?.wait()?;
        require!(end == End::Exited(0), "a child with {count} mappings gave {end}");
        Ok(raw::unmap(place, count * 2 * PAGE)?)
    })
}

/// As many without a file, one beside the other.
fn neighbours() -> Outcome {
    costs_as_much_as_there_are(|count| {
        let place = raw::map(count * 2 * PAGE, libc::PROT_NONE, raw::ANONYMOUS | libc::MAP_NORESERVE)?;
        for index in 0..count {
            raw::protect(place.wrapping_byte_add(index * 2 * PAGE), PAGE, raw::READ)?;
        }
        // SAFETY: locking changes no contents.
        let locked = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_ONFAULT) == 0 && libc::munlockall() == 0 };
        require!(locked, "{count} mappings cannot be locked");
        let end = Child::start(|| 0)?.wait()?;
        require!(end == End::Exited(0), "a child with {count} mappings gave {end}");
        Ok(raw::unmap(place, count * 2 * PAGE)?)
    })
}

/// Whether `work` with eight times as many takes about eight times as long, and not 64.
fn costs_as_much_as_there_are(work: impl Fn(usize) -> Outcome) -> Outcome {
    const FEW: usize = 2000;
    const MANY: usize = 8 * FEW;
    let time = |count| -> Result<u128, Failure> {
        let begin = Instant::now();
        work(count)?;
        Ok(begin.elapsed().as_nanos())
    };
    // The first one finds nothing prepared.
    time(FEW)?;
    let (few, many) = (time(FEW)?, time(MANY)?);
    println!("  {FEW} mappings took {few} ns, and {MANY} {many} ns");
    require!(many < few * 16, "{FEW} mappings took {few} ns, and {MANY} {many} ns");
    Ok(())
}
