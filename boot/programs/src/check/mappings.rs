//! What `mmap` and `mremap` refuse, pages that cannot be brought in, and private copies of a file that becomes shorter.

use std::{fs::File, os::fd::AsFd};

use nix::{
    errno::Errno,
    libc::{self, c_int},
    sys::signal::Signal,
};

use super::{
    bounds::refused,
    outcome::{Check, Outcome, require, require_killed},
};
use crate::{
    memory::PAGE,
    raw::{self, ANONYMOUS, READ, READ_WRITE},
};

pub(super) const CHECKS: &[Check] = &[
    ("mappings-flags", flags),
    ("mappings-not-to-be-had", not_to_be_had),
    ("mappings-cut-file", cut_file),
    ("mappings-cut-page", cut_page),
    ("mappings-hole", hole),
];

/// A new file of so many pages that has no name.
pub(super) fn file(pages: usize) -> Result<File, super::Failure> {
    let path = format!("/tmp/check-mappings-{}", std::process::id());
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(path)?;
    file.set_len((pages * PAGE) as u64)?;
    Ok(file)
}

fn flags() -> Outcome {
    const UNKNOWN: c_int = 0x0020_0000;
    let file = file(2)?;
    let of_file = |flags| raw::map_file(file.as_fd(), PAGE, READ_WRITE, flags, 0);
    let free = |flags| raw::map(PAGE, READ_WRITE, flags);
    for (what, result, error) in [
        ("MAP_SYNC", of_file(libc::MAP_SHARED_VALIDATE | libc::MAP_SYNC), Errno::EOPNOTSUPP),
        ("an unknown flag", of_file(libc::MAP_SHARED_VALIDATE | UNKNOWN), Errno::EOPNOTSUPP),
        ("MAP_SHARED_VALIDATE without a file", free(libc::MAP_SHARED_VALIDATE), Errno::EINVAL),
        ("neither shared nor private", free(0), Errno::EINVAL),
        ("a file neither shared nor private", of_file(0), Errno::EINVAL),
        ("huge pages of a file", of_file(libc::MAP_PRIVATE | libc::MAP_HUGETLB), Errno::EINVAL),
        ("huge pages of 32 MiB", free(ANONYMOUS | libc::MAP_HUGETLB | 25 << libc::MAP_HUGE_SHIFT), Errno::EINVAL),
        ("a file that grows down", of_file(libc::MAP_PRIVATE | libc::MAP_GROWSDOWN), Errno::EINVAL),
        ("shared memory that grows down", free(libc::MAP_SHARED | libc::MAP_GROWSDOWN), Errno::EINVAL),
        ("no length", raw::map(0, READ, ANONYMOUS), Errno::EINVAL),
        ("all addresses", raw::map(usize::MAX, READ, ANONYMOUS), Errno::ENOMEM),
        ("half a page into a file", raw::map_file(file.as_fd(), PAGE, READ, libc::MAP_SHARED, 2048), Errno::EINVAL),
    ] {
        refused(what, result, error)?;
    }
    of_file(libc::MAP_SHARED_VALIDATE)?;
    let low = free(ANONYMOUS | libc::MAP_32BIT)?;
    require!(low.addr() >> 31 == 0, "MAP_32BIT gave {low:?}");
    let taken = free(ANONYMOUS)?;
    let place = |flags| raw::map_at(taken, PAGE, READ, ANONYMOUS | flags);
    refused("what is taken", place(libc::MAP_FIXED_NOREPLACE), Errno::EEXIST)?;
    let elsewhere = place(0)?;
    require!(elsewhere != taken, "a hint replaced what was there");
    require!(place(libc::MAP_FIXED)? == taken, "MAP_FIXED went elsewhere");
    Ok(())
}

fn lock(start: *mut libc::c_void, pages: usize) -> nix::Result<()> {
    // SAFETY: locking changes no contents.
    Errno::result(unsafe { libc::mlock(start, pages * PAGE) }).map(drop)
}

fn not_to_be_had() -> Outcome {
    let populate = |start, pages, write| {
        raw::advise(start, pages * PAGE, if write { libc::MADV_POPULATE_WRITE } else { libc::MADV_POPULATE_READ })
    };
    let none = raw::map(4 * PAGE, libc::PROT_NONE, ANONYMOUS | libc::MAP_POPULATE)?;
    refused("mlock of PROT_NONE", lock(none, 4), Errno::ENOMEM)?;
    refused("POPULATE_READ of PROT_NONE", populate(none, 4, false), Errno::EINVAL)?;
    refused("POPULATE_WRITE of PROT_NONE", populate(none, 4, true), Errno::EINVAL)?;
    let read_only = raw::map(4 * PAGE, READ, ANONYMOUS)?;
    lock(read_only, 4)?;
    populate(read_only, 4, false)?;
    refused("POPULATE_WRITE of what cannot be written", populate(read_only, 4, true), Errno::EINVAL)?;
    let write_only = raw::map(4 * PAGE, libc::PROT_WRITE, ANONYMOUS)?;
    refused("POPULATE_READ of what cannot be read", populate(write_only, 4, false), Errno::EINVAL)?;
    lock(write_only, 4)?;

    // Two pages of four are beyond the file's end.
    let file = file(2)?;
    for (flags, protection) in
        [(libc::MAP_SHARED, READ), (libc::MAP_SHARED, READ_WRITE), (libc::MAP_PRIVATE, READ_WRITE)]
    {
        let mapped = raw::map_file(file.as_fd(), 4 * PAGE, protection, flags | libc::MAP_POPULATE, 0)?;
        refused("mlock beyond the end", lock(mapped, 4), Errno::ENOMEM)?;
        lock(mapped, 2)?;
        refused("POPULATE_READ beyond the end", populate(mapped, 4, false), Errno::EFAULT)?;
        if protection == READ_WRITE {
            refused("POPULATE_WRITE beyond the end", populate(mapped, 4, true), Errno::EFAULT)?;
        }
        populate(mapped, 2, protection == READ_WRITE)?;
        raw::unmap(mapped, 4 * PAGE)?;
    }

    let parts = raw::map(4 * PAGE, READ_WRITE, ANONYMOUS)?;
    raw::unmap(parts.wrapping_byte_add(2 * PAGE), PAGE)?;
    refused("POPULATE_WRITE of a gap", populate(parts, 4, true), Errno::ENOMEM)?;
    refused("mlock of a gap", lock(parts, 4), Errno::ENOMEM)?;
    let mut states = [0_u8; 2];
    // SAFETY: there is a byte for each page.
    Errno::result(unsafe { libc::mincore(parts, 2 * PAGE, states.as_mut_ptr()) })?;
    require!(states == [1, 1], "the pages before a gap are not there: {states:?}");
    Ok(())
}

/// Private copies beyond a file's new end are gone, wherever they are, and do not come back when it grows.
fn cut_file() -> Outcome {
    let file = file(8)?;
    let mapped = raw::map_file(file.as_fd(), 8 * PAGE, READ_WRITE, libc::MAP_PRIVATE, 0)?;
    let byte = |page: usize| mapped.wrapping_byte_add(page * PAGE).cast::<u8>();
    for page in 0..8 {
        // SAFETY: the page is mapped.
        unsafe { byte(page).write_volatile(7) };
    }
    raw::advise(byte(4).cast(), 2 * PAGE, libc::MADV_PAGEOUT)?;
    // A child's copies are in both.
    let child = crate::process::Child::start(|| {
        // SAFETY: this process only waits for its end.
        unsafe { libc::pause() }
    })?;
    file.set_len(2 * PAGE as u64 + 100)?;
    for page in [3, 4, 7] {
        // SAFETY: the page is mapped; beyond the end it ends the process.
        let touch = || i32::from(unsafe { byte(page).read_volatile() });
        require_killed(Signal::SIGBUS, "a private copy beyond the end", touch)?;
        // SAFETY: the same.
        require_killed(Signal::SIGBUS, "a write to a private copy", || unsafe {
            byte(page).write_volatile(1);
            0
        })?;
    }
    file.set_len(8 * PAGE as u64)?;
    // SAFETY: all pages are mapped.
    let found: Vec<u8> = (0..8).map(|page| unsafe { byte(page).read_volatile() }).collect();
    child.signal(Signal::SIGKILL)?;
    child.wait()?;
    // The page in which the file ended is the program's own: only the file's was cut.
    require!(found == [7, 7, 7, 0, 0, 0, 0, 0], "after the file had grown again its pages were {found:?}");
    Ok(())
}

/// The rest of the page in which a file ends is zero once it grows again, and shared memory sees it at once.
fn cut_page() -> Outcome {
    use std::os::unix::fs::FileExt;
    let file = file(0)?;
    file.write_all_at(&[5; 2 * PAGE], 0)?;
    let mapped = raw::map_file(file.as_fd(), 2 * PAGE, READ, libc::MAP_SHARED, 0)?.cast::<u8>();
    // SAFETY: the page is mapped.
    let byte = |at| unsafe { mapped.wrapping_byte_add(at).read_volatile() };
    require!(byte(0) == 5 && byte(PAGE) == 5, "the file's bytes are not there");
    file.set_len(100)?;
    require!(byte(99) == 5 && byte(100) == 0 && byte(PAGE - 1) == 0, "the rest of the last page was not cleared");
    file.set_len(2 * PAGE as u64)?;
    let mut read = [1; 2 * PAGE];
    file.read_exact_at(&mut read, 0)?;
    require!(read[..100] == [5; 100] && read[100..].iter().all(|byte| *byte == 0), "what was cut came back");
    Ok(())
}

/// `MADV_REMOVE` takes the file's pages and leaves private copies.
fn hole() -> Outcome {
    let file = file(4)?;
    let map = |flags| raw::map_file(file.as_fd(), 4 * PAGE, READ_WRITE, flags, 0);
    let (shared, private) = (map(libc::MAP_SHARED)?.cast::<u8>(), map(libc::MAP_PRIVATE)?.cast::<u8>());
    for page in 0..4 {
        // SAFETY: the page is mapped.
        unsafe { shared.wrapping_byte_add(page * PAGE).write_volatile(3) };
    }
    // SAFETY: the page is mapped.
    unsafe { private.wrapping_byte_add(PAGE).write_volatile(4) };
    raw::advise(shared.cast(), 3 * PAGE, libc::MADV_REMOVE)?;
    // SAFETY: all pages are mapped.
    let seen =
        |start: *mut u8| [0, 1, 2, 3].map(|page| unsafe { start.wrapping_byte_add(page * PAGE).read_volatile() });
    require!(seen(shared) == [0, 0, 0, 3], "the file has {:?}", seen(shared));
    require!(seen(private) == [0, 4, 0, 3], "a private mapping has {:?}", seen(private));
    Ok(())
}
