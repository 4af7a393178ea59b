//! Memory by way of files that have no name, and of the device that is all zeros.

use std::{
    ffi::CString,
    fs::{self, File, OpenOptions},
    io::{Read, Seek, Write},
    os::fd::{AsRawFd, FromRawFd},
    os::unix::fs::{MetadataExt, PermissionsExt},
    ptr,
};

use nix::{errno::Errno, libc, unistd::setuid};

use super::outcome::{Check, Outcome, require, require_success};
use crate::memory::PAGE;

pub(super) const CHECKS: &[Check] = &[
    ("memory-files-created", created),
    ("memory-files-refused", refused),
    ("memory-files-mapped", mapped),
    ("memory-files-zeros", zeros),
];

fn create(name: &str, flags: u32) -> nix::Result<File> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the name is a string.
    let number = Errno::result(unsafe { libc::memfd_create(name.as_ptr(), flags) })?;
    // SAFETY: the number is new and nobody else's.
    Ok(unsafe { File::from_raw_fd(number) })
}

fn created() -> Outcome {
    require_success("an ordinary user", || {
        if nix::unistd::Uid::effective().is_root() {
            setuid(1000.into())?;
        }
        let owner = nix::unistd::Uid::effective().as_raw();
        let mut file = create("some name", libc::MFD_CLOEXEC)?;
        let metadata = file.metadata()?;
        let found = (metadata.permissions().mode(), metadata.nlink(), metadata.len(), metadata.uid());
        require!(found == (0o100_777, 0, 0, owner), "mode, links, length and owner are {found:?}");
        let shown = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
        require!(shown.to_string_lossy() == "/memfd:some name (deleted)", "it is shown as {}", shown.display());
        file.write_all(b"contents")?;
        file.rewind()?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        require!(text == "contents", "what was written reads as {text:?}");
        // The same name is another file.
        require!(create("some name", 0)?.metadata()?.ino() != metadata.ino(), "two are one file");
        create(&"n".repeat(249), 0)?;
        create("", 0)?;
        Ok(())
    })
}

fn refused() -> Outcome {
    let long = "n".repeat(250);
    for (what, name, flags) in [("a name of 250 bytes", long.as_str(), 0), ("a flag that there is not", "x", 0x1000)] {
        let found = create(name, flags).map(drop);
        require!(found == Err(Errno::EINVAL), "{what} gave {found:?}");
    }
    // SAFETY: nothing is at that address.
    let nowhere = Errno::result(unsafe { libc::memfd_create(ptr::without_provenance(0x1000), 0) });
    require!(nowhere == Err(Errno::EFAULT), "no name gave {nowhere:?}");
    Ok(())
}

/// Maps a page of the file, to be read and written.
fn map(file: &File, flags: i32) -> nix::Result<*mut u8> {
    let (length, protection) = (PAGE, libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: the kernel chooses a place where nothing is.
    let start = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, file.as_raw_fd(), 0) };
    if start == libc::MAP_FAILED { Err(Errno::last()) } else { Ok(start.cast()) }
}

/// Writes a byte of the page; a child sees it.
fn child_sees(page: *mut u8) -> Result<bool, super::Failure> {
    let end = crate::process::end_of(|| {
        // SAFETY: the page stays mapped until the process ends.
        unsafe { page.write_volatile(7) };
        0
    })?;
    require!(end == crate::process::End::Exited(0), "a child that writes there: {end}");
    // SAFETY: as above.
    Ok(unsafe { page.read_volatile() } == 7)
}

fn mapped() -> Outcome {
    let file = create("mapped", 0)?;
    file.set_len(PAGE as u64)?;
    let (one, other) = (map(&file, libc::MAP_SHARED)?, map(&file, libc::MAP_SHARED)?);
    // SAFETY: both are mapped until the process ends.
    unsafe { one.write_volatile(5) };
    // SAFETY: as above.
    require!(unsafe { other.read_volatile() } == 5, "two mappings of one file differ");
    require!(child_sees(one)?, "a child's write to a shared file is not seen");
    require!(!child_sees(map(&create("private", 0).and_then(grown)?, libc::MAP_PRIVATE)?)?, "a private one is shared");
    Ok(())
}

fn grown(file: File) -> nix::Result<File> {
    file.set_len(PAGE as u64).map_err(|_| Errno::EIO)?;
    Ok(file)
}

fn zeros() -> Outcome {
    let file = OpenOptions::new().read(true).write(true).open("/dev/zero")?;
    let (shared, private) = (map(&file, libc::MAP_SHARED)?, map(&file, libc::MAP_PRIVATE)?);
    // SAFETY: both are mapped until the process ends.
    require!(unsafe { (shared.read_volatile(), private.read_volatile()) } == (0, 0), "not zero at first");
    require!(child_sees(shared)? && !child_sees(private)?, "a child's write is seen where it should not, or is not");
    let another = map(&file, libc::MAP_SHARED)?;
    // SAFETY: as above.
    require!(unsafe { another.read_volatile() } == 0, "what one mapping wrote is in another");
    let reader = File::open("/dev/zero")?;
    let refused = map(&reader, libc::MAP_SHARED).map(drop);
    require!(refused == Err(Errno::EACCES), "sharing what may only be read, to write it, gave {refused:?}");
    map(&reader, libc::MAP_PRIVATE)?;
    Ok(())
}
