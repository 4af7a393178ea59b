//! What can be asked of a block device and of no file. For a machine whose `/dev/vda` may be lost: a guest.

use std::{
    fs::{self, File},
    os::{fd::AsRawFd, unix::fs::FileExt},
};

use nix::{errno::Errno, libc};

use super::{Check, Outcome, bad::is_small, require};
use crate::files;

pub(super) const CHECKS: &[Check] = &[("disk-zeroed-in-part", zeroed_in_part), ("disk-flushed", flushed)];

const DISK: &str = "/dev/vda";

fn disk() -> Result<File, super::Failure> {
    require!(is_small()?, "this machine is too large to be a guest");
    let areas = fs::read_to_string("/proc/swaps")?;
    require!(!areas.contains(DISK), "{DISK} is in use");
    Ok(File::options().read(true).write(true).open(DISK)?)
}

/// Zeros are written to the bytes that are named, sectors of two pages, and to no other.
fn zeroed_in_part() -> Outcome {
    const ZERO_OUT: libc::c_ulong = 0x127f;
    let disk = disk()?;
    disk.write_all_at(&[7; 3 * 4096], 4096)?;
    let range: [u64; 2] = [4096 + 512, 6144];
    // SAFETY: the request reads two words.
    Errno::result(unsafe { libc::ioctl(disk.as_raw_fd(), ZERO_OUT, range.as_ptr()) })?;
    let mut found = [0; 3 * 4096];
    disk.read_exact_at(&mut found, 4096)?;
    let (zeros, others) = (&found[512..512 + 6144], found[..512].iter().chain(&found[512 + 6144..]));
    require!(zeros.iter().all(|&byte| byte == 0), "not all of it is zero");
    require!(others.copied().all(|byte| byte == 7), "bytes beside it have changed");
    Ok(())
}

/// What `fsync` says to be safe is no longer in the disk's own cache.
fn flushed() -> Outcome {
    let flushes = || files::numbers("/sys/block/vda/stat").map(|columns| columns.get(15).copied().unwrap_or(0));
    let disk = disk()?;
    disk.write_all_at(&[7; 4096], 4096)?;
    let before = flushes()?;
    disk.sync_all()?;
    let after = flushes()?;
    require!(after == before + 1, "the disk was flushed {} times", after - before);
    Ok(())
}
