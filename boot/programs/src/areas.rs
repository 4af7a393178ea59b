//! Swap areas, as `mkswap`, `swapon` and `swapoff` treat them.

use std::{
    ffi::CString,
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom},
    os::unix::fs::FileExt,
};

use nix::{errno::Errno, libc};
use quire_swap::{
    extension::Extension,
    header::{BadPages, Header, PAGE_SIZE},
};

use crate::files;

/// The bit of `swapon(2)` that says that a priority follows in the lowest bits.
const PREFER: i32 = 0x8000;

/// Writes a swap header for all of a device of `pages` pages.
pub(crate) fn make(device: &str, pages: u64) -> io::Result<()> {
    make_typed(device, pages, [0; 16], None)
}

/// The same with a label and an extension. The boot block stays as it is.
pub(crate) fn make_typed(
    device: &str,
    pages: u64,
    label: [u8; 16],
    extension: Option<Extension<'_>>,
) -> io::Result<()> {
    let last_page = u32::try_from(pages.saturating_sub(1)).map_err(io::Error::other)?;
    let header = Header { last_page, uuid: [0; 16], label, bad_pages: BadPages::new(&[]) };
    let device = OpenOptions::new().read(true).write(true).open(device)?;
    let mut page = [0; PAGE_SIZE];
    device.read_exact_at(&mut page, 0)?;
    header.encode(&mut page).map_err(|error| io::Error::other(error.to_string()))?;
    if let Some(extension) = extension {
        extension.encode(&mut page).map_err(|error| io::Error::other(error.to_string()))?;
    }
    device.write_all_at(&page, 0)
}

/// The length of a device or file in pages.
pub(crate) fn pages(device: &str) -> io::Result<u64> {
    Ok(File::open(device)?.seek(SeekFrom::End(0))? / PAGE_SIZE as u64)
}

/// `swapon(2)`.
pub(crate) fn swapon(path: &str, flags: i32) -> nix::Result<()> {
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the path is a string that ends.
    Errno::result(unsafe { libc::swapon(path.as_ptr(), flags) }).map(drop)
}

/// `swapoff(2)`.
pub(crate) fn swapoff(path: &str) -> nix::Result<()> {
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    // SAFETY: the path is a string that ends.
    Errno::result(unsafe { libc::swapoff(path.as_ptr()) }).map(drop)
}

/// Enables an area, to be filled before those of lower priority; the error says what was asked for.
pub(crate) fn enable(device: &str, priority: u16) -> io::Result<()> {
    named("swapon", device, swapon(device, PREFER | i32::from(priority)))
}

/// Brings back what is in an area and disables it; the error says what was asked for.
pub(crate) fn disable(device: &str) -> io::Result<()> {
    named("swapoff", device, swapoff(device))
}

/// Whether an area is in use for swap.
pub(crate) fn is_enabled(device: &str) -> io::Result<bool> {
    Ok(files::text("/proc/swaps")?.lines().any(|line| line.split_whitespace().next() == Some(device)))
}

fn named(call: &str, device: &str, outcome: nix::Result<()>) -> io::Result<()> {
    outcome.map_err(|error| io::Error::other(format!("{call} {device}: {error}")))
}
