//! Memory: mapping, protecting, moving and advising; the heap; locking. Errors are as in Linux's `mm/mmap.c`,
//! `mm/mprotect.c`, `mm/mremap.c`, `mm/madvise.c`, `mm/mincore.c` and `mm/mlock.c`.

use alloc::sync::Arc;
use core::ops::Range;

use linux_raw_sys::general as linux;
use quire_swap::header::PAGE_SIZE;

use super::{Arguments, Calls, Outcome};
use crate::arch::{USER_END, user};
use crate::errno::Errno;
use crate::fs::{namespace, tmpfs};
use crate::mm::AddressSpace;
use crate::mm::address_space::{Backing, LOWEST, MapError, MapRequest, Place};
use crate::mm::advice::Advice;
use crate::mm::region::Protection;
use crate::mm::remap::Move;
use crate::process;
use crate::process::limits::Resource;

pub(super) const CALLS: Calls = &[
    (linux::__NR_mmap, mmap),
    (linux::__NR_mprotect, mprotect),
    (linux::__NR_munmap, munmap),
    (linux::__NR_brk, brk),
    (linux::__NR_mremap, mremap),
    (linux::__NR_msync, msync),
    (linux::__NR_mincore, mincore),
    (linux::__NR_madvise, madvise),
    (linux::__NR_mlock, mlock),
    (linux::__NR_mlock2, mlock2),
    (linux::__NR_munlock, munlock),
    (linux::__NR_mlockall, mlockall),
    (linux::__NR_munlockall, munlockall),
];

const PAGE: u64 = PAGE_SIZE as u64;

fn space() -> Result<Arc<AddressSpace>, Errno> {
    process::this().space().ok_or(Errno::ENOMEM)
}

fn errno(error: MapError) -> Errno {
    match error {
        MapError::OutOfRange => Errno::EINVAL,
        MapError::Overlap => Errno::EEXIST,
        MapError::NotMapped | MapError::NoMemory => Errno::ENOMEM,
        MapError::NotAllowed => Errno::EACCES,
        MapError::LockLimit => Errno::EAGAIN,
    }
}

/// The pages from `start` on that `length` bytes touch; `start` must be aligned, and all must be in the user half, or the
/// error is `beyond`.
fn pages(start: u64, length: u64, beyond: Errno) -> Result<Range<u64>, Errno> {
    if !start.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL);
    }
    let end = length.checked_next_multiple_of(PAGE).and_then(|length| start.checked_add(length)).ok_or(beyond)?;
    if end > USER_END { Err(beyond) } else { Ok(start..end) }
}

fn protection(bits: u64) -> Result<Protection, Errno> {
    let known = linux::PROT_READ | linux::PROT_WRITE | linux::PROT_EXEC | linux::PROT_SEM;
    if bits & !u64::from(known) != 0 {
        return Err(Errno::EINVAL);
    }
    let has = |bit: u32| bits & u64::from(bit) != 0;
    Ok(Protection { read: has(linux::PROT_READ), write: has(linux::PROT_WRITE), execute: has(linux::PROT_EXEC) })
}

fn mmap(&Arguments { a: [address, length, bits, flags, file, offset], .. }: &Arguments) -> Outcome {
    let has = |flag: u32| flags & u64::from(flag) != 0;
    if !offset.is_multiple_of(PAGE) || length == 0 {
        return Err(Errno::EINVAL);
    }
    let shared = match flags as u32 & linux::MAP_TYPE {
        linux::MAP_PRIVATE => false,
        linux::MAP_SHARED | linux::MAP_SHARED_VALIDATE => true,
        _ => return Err(Errno::EINVAL),
    };
    if has(linux::MAP_HUGETLB) {
        return Err(Errno::ENOMEM);
    }
    let place = if has(linux::MAP_FIXED) || has(linux::MAP_FIXED_NOREPLACE) {
        let range = pages(address, length, Errno::ENOMEM)?;
        if range.start < LOWEST {
            return Err(Errno::EPERM);
        }
        if has(linux::MAP_FIXED_NOREPLACE) { Place::FixedNoReplace(address) } else { Place::Fixed(address) }
    } else {
        Place::Anywhere { hint: address }
    };
    if has(linux::MAP_LOCKED) {
        check_may_lock()?;
    }
    // As on Linux, bits of the protection that mean nothing are not refused here.
    let known = linux::PROT_READ | linux::PROT_WRITE | linux::PROT_EXEC;
    let protection = protection(bits & u64::from(known))?;
    let (backing, may_write) = if has(linux::MAP_ANONYMOUS) {
        (Backing::Anonymous, true)
    } else {
        file_backing(file, offset, shared, protection)?
    };
    let request = MapRequest {
        place,
        length,
        protection,
        backing,
        shared,
        may_write,
        grows_down: has(linux::MAP_GROWSDOWN),
        no_reserve: has(linux::MAP_NORESERVE),
        locked: has(linux::MAP_LOCKED),
        populate: has(linux::MAP_POPULATE),
        name: None,
    };
    space()?.map(&request).map_err(errno)
}

/// What an open file's pages come from, and whether the mapping may be made writable.
fn file_backing(file: u64, offset: u64, shared: bool, protection: Protection) -> Result<(Backing, bool), Errno> {
    let file = process::this().files.get(file as u32)?;
    file.check_readable().map_err(|_| Errno::EACCES)?;
    let may_write = !shared || file.check_writable().is_ok();
    if protection.write && !may_write {
        return Err(Errno::EACCES);
    }
    let device = file.node().metadata().device;
    if protection.execute && namespace::mounts().options_of(device).has_no_programs() {
        return Err(Errno::EPERM);
    }
    let object = tmpfs::object_of(file.node())?.ok_or(Errno::ENODEV)?;
    Ok((Backing::Object { object, offset }, may_write))
}

fn mprotect(&Arguments { a: [start, length, bits, ..], .. }: &Arguments) -> Outcome {
    let range = pages(start, length, Errno::ENOMEM)?;
    let protection = protection(bits)?;
    if !range.is_empty() {
        space()?.protect(range, protection).map_err(errno)?;
    }
    Ok(0)
}

fn munmap(&Arguments { a: [start, length, ..], .. }: &Arguments) -> Outcome {
    let range = pages(start, length, Errno::EINVAL)?;
    space()?.unmap(range).map_err(errno)?;
    Ok(0)
}

fn brk(&Arguments { a: [end, ..], .. }: &Arguments) -> Outcome {
    Ok(space()?.set_break(end))
}

fn mremap(&Arguments { a: [old, old_length, new_length, flags, new, _], .. }: &Arguments) -> Outcome {
    let (may_move, fixed) = (u64::from(linux::MREMAP_MAYMOVE), u64::from(linux::MREMAP_FIXED));
    let movement = match flags {
        0 => Move::Never,
        flags if flags == may_move => Move::IfNeeded,
        flags if flags == may_move | fixed => Move::To(new),
        _ => return Err(Errno::EINVAL),
    };
    let range = pages(old, old_length, Errno::EFAULT)?;
    if new_length > USER_END {
        return Err(Errno::ENOMEM);
    }
    space()?.remap(range, new_length, movement).map_err(|error| match error {
        MapError::NotMapped => Errno::EFAULT,
        error => errno(error),
    })
}

/// Nothing of what is mapped has another copy that would have to be brought up to date.
fn msync(&Arguments { a: [start, length, flags, ..], .. }: &Arguments) -> Outcome {
    let known = u64::from(linux::MS_ASYNC | linux::MS_INVALIDATE | linux::MS_SYNC);
    let both = u64::from(linux::MS_ASYNC | linux::MS_SYNC);
    if flags & !known != 0 || flags & both == both {
        return Err(Errno::EINVAL);
    }
    let range = pages(start, length, Errno::ENOMEM)?;
    if range.is_empty() || space()?.is_mapped(&range) { Ok(0) } else { Err(Errno::ENOMEM) }
}

fn mincore(&Arguments { a: [start, length, vector, ..], .. }: &Arguments) -> Outcome {
    /// Pages that are asked for at a time.
    const PART: usize = 512;
    let range = pages(start, length, Errno::ENOMEM)?;
    let space = space()?;
    let mut answers = [0; PART];
    for (index, part) in range.clone().step_by(PART * PAGE_SIZE).enumerate() {
        let end = range.end.min(part + (PART * PAGE_SIZE) as u64);
        space.in_core(part..end, |page, is_here| answers[page] = u8::from(is_here)).map_err(errno)?;
        let pages = ((end - part) / PAGE) as usize;
        user::write(vector + (index * PART) as u64, &answers[..pages]).map_err(|_| Errno::EFAULT)?;
    }
    Ok(0)
}

fn madvise(&Arguments { a: [start, length, advice, ..], .. }: &Arguments) -> Outcome {
    let advice = match u32::try_from(advice).map_err(|_| Errno::EINVAL)? {
        linux::MADV_NORMAL
        | linux::MADV_RANDOM
        | linux::MADV_SEQUENTIAL
        | linux::MADV_HUGEPAGE
        | linux::MADV_NOHUGEPAGE
        | linux::MADV_DONTDUMP
        | linux::MADV_DODUMP => Advice::Nothing,
        linux::MADV_WILLNEED => Advice::WillNeed,
        linux::MADV_DONTNEED => Advice::DontNeed,
        linux::MADV_FREE => Advice::Free,
        linux::MADV_REMOVE => Advice::Remove,
        linux::MADV_DONTFORK => Advice::Inherit(false),
        linux::MADV_DOFORK => Advice::Inherit(true),
        linux::MADV_COLD => Advice::Cold,
        linux::MADV_PAGEOUT => Advice::PageOut,
        linux::MADV_POPULATE_READ => Advice::Populate { write: false },
        linux::MADV_POPULATE_WRITE => Advice::Populate { write: true },
        _ => return Err(Errno::EINVAL),
    };
    let range = pages(start, length, Errno::ENOMEM)?;
    space()?.advise(range, advice).map_err(|error| match error {
        MapError::NotAllowed => Errno::EINVAL,
        error => errno(error),
    })?;
    Ok(0)
}

/// Whether any memory may be locked at all.
fn check_may_lock() -> Result<(), Errno> {
    let process = process::this();
    let may = process.limit(Resource::LOCKED).soft != 0 || process.identity().is_superuser();
    if may { Ok(()) } else { Err(Errno::EPERM) }
}

fn lock(start: u64, length: u64, lock: bool, lazily: bool) -> Outcome {
    if lock {
        check_may_lock()?;
    }
    let first = start / PAGE * PAGE;
    let range = pages(first, length.saturating_add(start - first), Errno::ENOMEM)?;
    space()?.lock(range, lock, lazily).map_err(|error| match error {
        MapError::LockLimit => Errno::ENOMEM,
        error => errno(error),
    })?;
    Ok(0)
}

fn mlock(&Arguments { a: [start, length, ..], .. }: &Arguments) -> Outcome {
    lock(start, length, true, false)
}

fn mlock2(&Arguments { a: [start, length, flags, ..], .. }: &Arguments) -> Outcome {
    if flags & !u64::from(linux::MLOCK_ONFAULT) != 0 {
        return Err(Errno::EINVAL);
    }
    lock(start, length, true, flags != 0)
}

fn munlock(&Arguments { a: [start, length, ..], .. }: &Arguments) -> Outcome {
    lock(start, length, false, true)
}

fn mlockall(&Arguments { a: [flags, ..], .. }: &Arguments) -> Outcome {
    let has = |flag: u32| flags & u64::from(flag) != 0;
    let known = u64::from(linux::MCL_CURRENT | linux::MCL_FUTURE | linux::MCL_ONFAULT);
    if flags & !known != 0 || flags == 0 || flags == u64::from(linux::MCL_ONFAULT) {
        return Err(Errno::EINVAL);
    }
    check_may_lock()?;
    let lazily = has(linux::MCL_ONFAULT);
    space()?.lock_all(has(linux::MCL_CURRENT), has(linux::MCL_FUTURE), lazily).map_err(|_| Errno::ENOMEM)?;
    Ok(0)
}

fn munlockall(_: &Arguments) -> Outcome {
    space()?.unlock_all().map_err(errno)?;
    Ok(0)
}
