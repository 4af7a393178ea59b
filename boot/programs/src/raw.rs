//! The memory calls as they are, with the kernel's errors: for checks of just these.

use std::os::fd::{AsRawFd, BorrowedFd};

use nix::{
    errno::Errno,
    libc::{self, c_int, c_void},
};

/// To read.
pub(crate) const READ: c_int = libc::PROT_READ;
/// To read and write.
pub(crate) const READ_WRITE: c_int = libc::PROT_READ | libc::PROT_WRITE;
/// Private and without a file.
pub(crate) const ANONYMOUS: c_int = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

fn address(result: *mut c_void) -> nix::Result<*mut c_void> {
    if result == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(result) }
}

/// Maps memory without a file anywhere.
pub(crate) fn map(bytes: usize, protection: c_int, flags: c_int) -> nix::Result<*mut c_void> {
    map_at(std::ptr::null_mut(), bytes, protection, flags)
}

/// Maps memory without a file. With `MAP_FIXED`, only where the caller has mapped what it does not need any more.
pub(crate) fn map_at(place: *mut c_void, bytes: usize, protection: c_int, flags: c_int) -> nix::Result<*mut c_void> {
    // SAFETY: a mapping elsewhere touches nothing that is there; one that is fixed replaces what is the caller's.
    address(unsafe { libc::mmap(place, bytes, protection, flags | libc::MAP_ANONYMOUS, -1, 0) })
}

/// Maps a file anywhere.
pub(crate) fn map_file(
    file: BorrowedFd<'_>,
    bytes: usize,
    protection: c_int,
    flags: c_int,
    offset: i64,
) -> nix::Result<*mut c_void> {
    // SAFETY: the kernel chooses a place where nothing is.
    address(unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, file.as_raw_fd(), offset) })
}

/// Maps a file to read or write together with others, where the caller has mapped what it does not need any more.
pub(crate) fn map_file_at(
    place: *mut c_void,
    file: BorrowedFd<'_>,
    bytes: usize,
    protection: c_int,
    offset: i64,
) -> nix::Result<*mut c_void> {
    let flags = libc::MAP_SHARED | libc::MAP_FIXED;
    // SAFETY: what it replaces is the caller's.
    address(unsafe { libc::mmap(place, bytes, protection, flags, file.as_raw_fd(), offset) })
}

/// Moves or resizes what the caller has mapped.
pub(crate) fn remap(
    start: *mut c_void,
    old: usize,
    new: usize,
    flags: c_int,
    to: *mut c_void,
) -> nix::Result<*mut c_void> {
    // SAFETY: the old range is the caller's, and so is what lies at a fixed place.
    address(unsafe { libc::mremap(start, old, new, flags, to) })
}

/// Unmaps what the caller has mapped.
pub(crate) fn unmap(start: *mut c_void, bytes: usize) -> nix::Result<()> {
    // SAFETY: the range is the caller's.
    Errno::result(unsafe { libc::munmap(start, bytes) }).map(drop)
}

/// Changes what may be done with what the caller has mapped.
pub(crate) fn protect(start: *mut c_void, bytes: usize, protection: c_int) -> nix::Result<()> {
    // SAFETY: the range is the caller's; who uses it against its protection asks for the signal.
    Errno::result(unsafe { libc::mprotect(start, bytes, protection) }).map(drop)
}

/// Tells the kernel how what the caller has mapped is used.
pub(crate) fn advise(start: *mut c_void, bytes: usize, advice: c_int) -> nix::Result<()> {
    // SAFETY: the range is the caller's, and zeros in the place of its contents are contents too.
    Errno::result(unsafe { libc::madvise(start, bytes, advice) }).map(drop)
}
