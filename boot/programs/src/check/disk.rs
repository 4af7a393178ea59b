//! What can be asked of a block device and of no file. For a machine whose `/dev/vda` may be lost: a guest.

use std::{
    fs::{self, File},
    os::{fd::AsRawFd, unix::fs::FileExt},
};

use nix::{errno::Errno, libc};

use super::{
    Check, Outcome,
    bad::is_small,
    numbers::{MAX, pointer, require_rows},
    require,
};
use crate::files;

pub(super) const CHECKS: &[Check] =
    &[("disk-zeroed-in-part", zeroed_in_part), ("disk-flushed", flushed), ("disk-positions", positions)];

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

/// A device has an end, behind which nothing is and nobody stands.
fn positions() -> Outcome {
    const DISCARD: i64 = 0x1277;
    const ZERO_OUT: i64 = 0x127f;
    use libc::{SYS_ftruncate, SYS_ioctl, SYS_lseek, SYS_pread64, SYS_pwrite64, SYS_write};
    let file = disk()?;
    let disk = file.as_raw_fd().into();
    let (set, current, end) = (libc::SEEK_SET.into(), libc::SEEK_CUR.into(), libc::SEEK_END.into());
    // SAFETY: the call has no pointers.
    let size = Errno::result(unsafe { libc::lseek(file.as_raw_fd(), 0, libc::SEEK_END) })?;
    let mut bytes = [0_u8; 8];
    let bytes = pointer(&mut bytes);
    let mut wrapping = [u64::MAX - 4095, 8192];
    let wrapping = pointer(&mut wrapping);
    let mut beyond = [size.unsigned_abs(), 4096];
    let beyond = pointer(&mut beyond);
    let (invalid, full) = (Err(Errno::EINVAL), Err(Errno::ENOSPC));
    require_rows(&[
        ("stand at the end", SYS_lseek, &[disk, size, set], Ok(size)),
        ("write there", SYS_write, &[disk, bytes, 8], full),
        ("stand behind the end", SYS_lseek, &[disk, size + 1, set], invalid),
        ("go behind the end", SYS_lseek, &[disk, 1, current], invalid),
        ("stand far behind the end", SYS_lseek, &[disk, MAX, end], invalid),
        ("look for data", SYS_lseek, &[disk, 0, libc::SEEK_DATA.into()], invalid),
        ("read across the end", SYS_pread64, &[disk, bytes, 8, size - 3], Ok(3)),
        ("read behind the end", SYS_pread64, &[disk, bytes, 8, MAX - 8], Ok(0)),
        ("read across the last position", SYS_pread64, &[disk, bytes, 8, MAX - 3], invalid),
        ("write across the end", SYS_pwrite64, &[disk, bytes, 8, size - 3], Ok(3)),
        ("write behind the end", SYS_pwrite64, &[disk, bytes, 8, MAX - 8], full),
        ("write across the last position", SYS_pwrite64, &[disk, bytes, 8, MAX - 3], invalid),
        ("cut it", SYS_ftruncate, &[disk, 0], invalid),
        ("discard what wraps", SYS_ioctl, &[disk, DISCARD, wrapping], invalid),
        ("discard what is not there", SYS_ioctl, &[disk, DISCARD, beyond], invalid),
        ("zero what wraps", SYS_ioctl, &[disk, ZERO_OUT, wrapping], invalid),
        ("zero what is not there", SYS_ioctl, &[disk, ZERO_OUT, beyond], invalid),
        ("discard what no memory names", SYS_ioctl, &[disk, DISCARD, -1], Err(Errno::EFAULT)),
    ])
}
