//! Limits of a process on its memory, at every call that could pass them.

use std::ptr;

use nix::{
    errno::Errno,
    libc::{self, c_int, c_void},
    sys::{
        resource::{Resource, setrlimit},
        signal::Signal,
    },
    unistd::{Uid, setuid},
};

use super::outcome::{Check, Outcome, require, require_killed, require_success};
use crate::{
    files,
    memory::PAGE,
    raw::{self, ANONYMOUS, READ, READ_WRITE},
};

pub(super) const CHECKS: &[Check] = &[
    ("bounds-locked", locked),
    ("bounds-locked-future", locked_future),
    ("bounds-address-space", address_space),
    ("bounds-data", data),
    ("bounds-stack", stack),
    ("bounds-page-0", page_0),
];

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Runs `work` as an ordinary user, where the checks run as root, with this limit.
pub(super) fn with_limit(what: &str, resource: Resource, bytes: usize, work: impl FnOnce() -> Outcome) -> Outcome {
    require_success(what, || {
        setrlimit(resource, bytes as u64, bytes as u64)?;
        become_ordinary()?;
        work()
    })
}

pub(super) fn become_ordinary() -> Outcome {
    if Uid::effective().is_root() {
        setuid(Uid::from_raw(1000))?;
    }
    Ok(())
}

/// Fails unless a call gave this error.
pub(super) fn refused<T>(what: &str, result: nix::Result<T>, with: Errno) -> Outcome {
    let error = result.err();
    require!(error == Some(with), "{what} gave {error:?}, not {with}");
    Ok(())
}

fn allowed<T>(what: &str, result: nix::Result<T>) -> Result<T, super::Failure> {
    result.map_err(|error| super::Failure(format!("{what}: {error}")))
}

/// Moves the end of the heap up by so much and back.
pub(super) fn extend_heap(bytes: usize) -> nix::Result<()> {
    // SAFETY: only the end of the heap moves, up and back: what the allocator has stays.
    unsafe {
        let end = libc::sbrk(bytes.cast_signed());
        if end.addr() == usize::MAX {
            return Err(Errno::last());
        }
        libc::brk(end);
    }
    Ok(())
}

fn lock(start: *mut c_void, bytes: usize, flags: c_int) -> nix::Result<()> {
    // SAFETY: locking changes no contents.
    Errno::result(unsafe { libc::syscall(libc::SYS_mlock2, start, bytes, flags) }).map(drop)
}

fn lock_all(flags: c_int) -> nix::Result<()> {
    // SAFETY: locking changes no contents.
    Errno::result(unsafe { libc::mlockall(flags) }).map(drop)
}

fn locked() -> Outcome {
    with_limit("64 KiB may be locked", Resource::RLIMIT_MEMLOCK, 64 * KIB, || {
        let memory = raw::map(256 * KIB, READ_WRITE, ANONYMOUS)?;
        allowed("mlock of 60 KiB", lock(memory, 60 * KIB, 0))?;
        allowed("mlock of them again", lock(memory, 60 * KIB, 0))?;
        let other = memory.wrapping_byte_add(128 * KIB);
        refused("mlock of 8 KiB more", lock(other, 8 * KIB, 0), Errno::ENOMEM)?;
        refused("mlock2 of 8 KiB more", lock(other, 8 * KIB, libc::MLOCK_ONFAULT.cast_signed()), Errno::ENOMEM)?;
        let mapped = raw::map(8 * KIB, READ_WRITE, ANONYMOUS | libc::MAP_LOCKED);
        refused("MAP_LOCKED of 8 KiB more", mapped, Errno::EAGAIN)?;
        refused("mlockall", lock_all(libc::MCL_CURRENT), Errno::ENOMEM)?;
        let moved = |bytes| raw::remap(memory, 60 * KIB, bytes, libc::MREMAP_MAYMOVE, ptr::null_mut());
        refused("mremap to 72 KiB", moved(72 * KIB), Errno::EAGAIN)?;
        let moved = allowed("mremap to 64 KiB", moved(64 * KIB))?;
        refused("mlock of a page more", lock(other, PAGE, 0), Errno::ENOMEM)?;
        raw::unmap(moved, 64 * KIB)?;
        allowed("mlock after munmap", lock(other, 64 * KIB, 0))?;
        Ok(())
    })
}

fn locked_future() -> Outcome {
    with_limit("64 KiB may be locked from now on", Resource::RLIMIT_MEMLOCK, 64 * KIB, || {
        allowed("mlockall(MCL_FUTURE)", lock_all(libc::MCL_FUTURE))?;
        refused("mmap of 128 KiB", raw::map(128 * KIB, READ_WRITE, ANONYMOUS), Errno::EAGAIN)?;
        refused("brk of 128 KiB", extend_heap(128 * KIB), Errno::ENOMEM)?;
        let memory = allowed("mmap of 32 KiB", raw::map(32 * KIB, READ_WRITE, ANONYMOUS))?;
        let grown = raw::remap(memory, 32 * KIB, 128 * KIB, libc::MREMAP_MAYMOVE, ptr::null_mut());
        refused("mremap to 128 KiB", grown, Errno::EAGAIN)?;
        refused("mmap of 36 KiB more", raw::map(36 * KIB, READ_WRITE, ANONYMOUS), Errno::EAGAIN)?;
        // SAFETY: unlocking changes no contents.
        Errno::result(unsafe { libc::munlockall() })?;
        allowed("mmap after munlockall", raw::map(128 * KIB, READ_WRITE, ANONYMOUS))?;
        Ok(())
    })
}

/// A limit with so much room above what this process has now.
fn with_room(name: &str, bytes: usize) -> Result<usize, super::Failure> {
    Ok(files::number("/proc/self/status", name)? as usize * KIB + bytes)
}

fn address_space() -> Outcome {
    let limit = with_room("VmSize", MIB)?;
    with_limit("1 MiB may be mapped", Resource::RLIMIT_AS, limit, || {
        let memory = allowed("mmap of half", raw::map(512 * KIB, READ_WRITE, ANONYMOUS))?;
        refused("mmap of all", raw::map(MIB, READ, ANONYMOUS), Errno::ENOMEM)?;
        let over = |bytes| raw::map_at(memory, bytes, READ_WRITE, ANONYMOUS | libc::MAP_FIXED);
        allowed("mmap over what is there", over(512 * KIB))?;
        let remapped = |bytes| raw::remap(memory, 512 * KIB, bytes, libc::MREMAP_MAYMOVE, ptr::null_mut());
        refused("mremap to twice as much as is left", remapped(1536 * KIB), Errno::ENOMEM)?;
        refused("brk", extend_heap(MIB), Errno::ENOMEM)?;
        raw::unmap(memory, 512 * KIB)?;
        // Where nothing but this is.
        let place = allowed("mmap of most", raw::map(960 * KIB, READ, ANONYMOUS))?;
        raw::unmap(place, 960 * KIB)?;
        raw::map_at(place, 512 * KIB, READ_WRITE, ANONYMOUS | libc::MAP_FIXED)?;
        let wider = raw::map_at(place, 896 * KIB, READ_WRITE, ANONYMOUS | libc::MAP_FIXED);
        allowed("mmap over half and beyond", wider)?;
        let place = place.wrapping_byte_add(512 * KIB);
        let wider = raw::map_at(place, 896 * KIB, READ_WRITE, ANONYMOUS | libc::MAP_FIXED_NOREPLACE);
        require!(wider.is_err(), "more than may be mapped was");
        Ok(())
    })
}

fn data() -> Outcome {
    let limit = with_room("VmData", MIB)?;
    with_limit("1 MiB may be data", Resource::RLIMIT_DATA, limit, || {
        allowed("mmap of half", raw::map(512 * KIB, READ_WRITE, ANONYMOUS))?;
        refused("mmap of all", raw::map(MIB, READ_WRITE, ANONYMOUS), Errno::ENOMEM)?;
        refused(
            "mmap of all without reserve",
            raw::map(MIB, READ_WRITE, ANONYMOUS | libc::MAP_NORESERVE),
            Errno::ENOMEM,
        )?;
        let read_only = allowed("mmap of all to read", raw::map(MIB, READ, ANONYMOUS))?;
        refused("mprotect of all", raw::protect(read_only, MIB, READ_WRITE), Errno::ENOMEM)?;
        allowed("mprotect of a part", raw::protect(read_only, 64 * KIB, READ_WRITE))?;
        allowed("mprotect of it again", raw::protect(read_only, 64 * KIB, READ_WRITE | libc::PROT_EXEC))?;
        let grown = raw::remap(read_only, 64 * KIB, MIB, libc::MREMAP_MAYMOVE, ptr::null_mut());
        refused("mremap of data", grown, Errno::ENOMEM)?;
        let shared = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        allowed("mmap of shared memory", raw::map(2 * MIB, READ_WRITE, shared))?;
        refused("brk", extend_heap(MIB), Errno::ENOMEM)
    })
}

/// What grows down does so as far as the limits on stacks, on all that is mapped and on what is locked let it.
fn stack() -> Outcome {
    let grow = |pages: usize| -> Outcome {
        let place = raw::map(4 * MIB, libc::PROT_NONE, ANONYMOUS | libc::MAP_NORESERVE)?;
        raw::unmap(place, 4 * MIB)?;
        let last = place.wrapping_byte_add(4 * MIB - PAGE);
        raw::map_at(last, PAGE, READ_WRITE, ANONYMOUS | libc::MAP_FIXED | libc::MAP_GROWSDOWN)?;
        for page in 0..=pages {
            let address = last.wrapping_byte_sub(page * PAGE).cast::<u8>();
            // SAFETY: nothing of this program is there: it is the stack's growth, or ends this process.
            unsafe { address.write_volatile(1) };
        }
        Ok(())
    };
    let limited = |resource, bytes: usize, pages| {
        move || {
            let set = setrlimit(resource, bytes as u64, bytes as u64).is_ok() && become_ordinary().is_ok();
            if set { i32::from(grow(pages).is_err()) } else { 2 }
        }
    };
    require_success("a stack of 15 pages", || {
        setrlimit(Resource::RLIMIT_STACK, 64 * KIB as u64, 64 * KIB as u64)?;
        grow(15)
    })?;
    require_killed(Signal::SIGSEGV, "a stack of 17 pages of 16", limited(Resource::RLIMIT_STACK, 64 * KIB, 16))?;
    // The place for it is looked for first, with as much as that takes.
    let mapped = with_room("VmSize", 4 * MIB)?;
    require_killed(Signal::SIGSEGV, "a stack beyond all that may be mapped", move || {
        let filled = || -> Outcome {
            setrlimit(Resource::RLIMIT_STACK, libc::RLIM_INFINITY, libc::RLIM_INFINITY)?;
            setrlimit(Resource::RLIMIT_AS, mapped as u64, mapped as u64)?;
            grow(MIB * 5 / PAGE)
        };
        i32::from(filled().is_err())
    })
}

/// An ordinary user maps nothing at the lowest addresses, whatever the call.
fn page_0() -> Outcome {
    require_success("page 0", || {
        become_ordinary()?;
        let memory = raw::map(PAGE, READ_WRITE, ANONYMOUS)?;
        let fixed = raw::map_at(ptr::null_mut(), PAGE, READ_WRITE, ANONYMOUS | libc::MAP_FIXED);
        refused("mmap at 0", fixed, Errno::EPERM)?;
        let noreplace = raw::map_at(ptr::null_mut(), PAGE, READ_WRITE, ANONYMOUS | libc::MAP_FIXED_NOREPLACE);
        refused("mmap at 0 in place of nothing", noreplace, Errno::EPERM)?;
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        refused("mremap to 0", raw::remap(memory, PAGE, PAGE, flags, ptr::null_mut()), Errno::EPERM)?;
        let hinted = raw::map_at(ptr::without_provenance_mut(1), PAGE, READ_WRITE, ANONYMOUS)?;
        let lowest: usize = files::text("/proc/sys/vm/mmap_min_addr")?.parse()?;
        require!(hinted.addr() >= lowest, "a hint of 1 gave {hinted:?}");
        Ok(())
    })?;
    require_killed(Signal::SIGSEGV, "a stack that grows below the lowest address", || {
        let grow = || -> Outcome {
            become_ordinary()?;
            let lowest = ptr::without_provenance_mut(files::text("/proc/sys/vm/mmap_min_addr")?.parse()?);
            raw::map_at(lowest, PAGE, READ_WRITE, ANONYMOUS | libc::MAP_FIXED | libc::MAP_GROWSDOWN)?;
            // SAFETY: nothing is there, and nothing can be: it ends this process.
            unsafe { lowest.cast::<u8>().wrapping_byte_sub(1).write_volatile(1) };
            Ok(())
        };
        i32::from(grow().is_err())
    })
}
