//! What can be asked of a block device and of no file. For a machine whose `/dev/vda` may be lost: a guest.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, MetadataExt, OpenOptionsExt},
    },
    ptr,
};

use nix::{errno::Errno, libc};
use quire_protocol::contents::Contents;

use super::{
    bad::is_small,
    numbers::{MAX, pointer, require_rows},
    outcome::{Check, Outcome, require},
    users::{ANN, as_user, number, require_error},
};
use crate::{areas, files};

pub(super) const CHECKS: &[Check] = &[
    ("disk-zeroed-in-part", zeroed_in_part),
    ("disk-flushed", flushed),
    ("disk-positions", positions),
    ("disk-controlled", controlled),
    ("disk-exclusive", exclusive),
    ("disk-zram-behind-zram", zram_behind_zram),
    ("disk-zram-attributes", zram_attributes),
    ("disk-attribute-modes", attribute_modes),
    ("disk-ghost", ghost),
];

const DISK: &str = "/dev/vda";
const ZRAM: &str = "/dev/zram0";

fn disk() -> Result<File, super::Failure> {
    require!(is_small()?, "this machine is too large to be a guest");
    let areas = fs::read_to_string("/proc/swaps")?;
    require!(!areas.contains(DISK), "{DISK} is in use");
    Ok(File::options().read(true).write(true).open(DISK)?)
}

/// Zeros are written to the bytes that are named, sectors of two pages, and to no other.
fn zeroed_in_part() -> Outcome {
    let disk = disk()?;
    disk.write_all_at(&[7; 3 * 4096], 4096)?;
    let range: [u64; 2] = [4096 + 512, 6144];
    // SAFETY: the request reads two words.
    Errno::result(unsafe { libc::ioctl(disk.as_raw_fd(), ioctl::ZERO_OUT, range.as_ptr()) })?;
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

/// The ioctls of block devices by Linux's numbers (`linux/fs.h`).
mod ioctl {
    pub(super) const SET_READ_ONLY: u64 = 0x125d;
    pub(super) const FLUSH: u64 = 0x1261;
    pub(super) const DISCARD: u64 = 0x1277;
    pub(super) const SECURE_DISCARD: u64 = 0x127d;
    pub(super) const ZERO_OUT: u64 = 0x127f;
}

fn control<T>(file: &File, request: u64, argument: *const T) -> std::io::Result<()> {
    // SAFETY: the request reads what it is given, or refuses an address that is none.
    number(Errno::result(unsafe { libc::ioctl(file.as_raw_fd(), request, argument) }))
}

/// What changes a device needs a descriptor that may, and is refused in Linux's order of errors.
fn controlled() -> Outcome {
    drop(disk()?);
    for path in [DISK, ZRAM] {
        if path == ZRAM {
            files::set("/sys/block/zram0/disksize", "1M")?;
        }
        let (reader, writer) = (File::open(path)?, File::options().read(true).write(true).open(path)?);
        writer.write_all_at(&[7; 3 * 4096], 4096)?;
        let (page, on, off): ([u64; 2], u32, u32) = ([4096, 4096], 1, 0);
        for request in [ioctl::DISCARD, ioctl::SECURE_DISCARD, ioctl::ZERO_OUT] {
            let result = control(&reader, request, &raw const page);
            require_error(&format!("{request:#x} of {path} by a reader"), result, Errno::EBADF)?;
        }
        let mut found = [0; 3 * 4096];
        reader.read_exact_at(&mut found, 4096)?;
        require!(found == [7; 3 * 4096], "{path} has changed");
        let null = std::ptr::null::<[u64; 2]>();
        require_error("a secure discard", control(&writer, ioctl::SECURE_DISCARD, &raw const page), Errno::EOPNOTSUPP)?;
        require_error("zeros at no address", control(&writer, ioctl::ZERO_OUT, null), Errno::EFAULT)?;
        let size = writer.metadata().map(|_| fs::read_to_string(format!("/sys/block/{}/size", &path[5..])))??;
        let size = size.trim_end().parse::<u64>()? * 512;
        for range in [[4096, 0], [4097, 4096], [4096, 100], [size, 4096], [u64::MAX - 4095, 4096], [0, u64::MAX - 511]]
        {
            let result = control(&writer, ioctl::ZERO_OUT, &raw const range);
            require_error(&format!("zeros to {range:?} of {path}"), result, Errno::EINVAL)?;
        }
        control(&writer, ioctl::ZERO_OUT, &raw const page)?;
        as_user(ANN, &[], || {
            require_error(
                "BLKROSET by a user",
                control(&writer, ioctl::SET_READ_ONLY, &raw const page),
                Errno::EACCES,
            )?;
            require_error("BLKFLSBUF by a user", control(&writer, ioctl::FLUSH, null), Errno::EACCES)
        })?;
        control(&reader, ioctl::SET_READ_ONLY, &raw const on)?;
        require_error("opening it to write", File::options().write(true).open(path), Errno::EACCES)?;
        require_error("writing to it", writer.write_at(&[1], 0), Errno::EPERM)?;
        require_error("zeros to it", control(&writer, ioctl::ZERO_OUT, &raw const page), Errno::EPERM)?;
        control(&reader, ioctl::SET_READ_ONLY, &raw const off)?;
        writer.write_all_at(&[1], 0)?;
    }
    Ok(files::set("/sys/block/zram0/reset", "1")?)
}

/// A device has one exclusive user, whichever way.
fn exclusive() -> Outcome {
    drop(disk()?);
    let open = |path: &str, flags: i32| File::options().read(true).custom_flags(flags).open(path);
    let set = |name: &str, value: &str| fs::write(format!("/sys/block/zram0/{name}"), value);
    areas::make(DISK, 1024)?;
    let is_busy = |what: &str, result: std::io::Result<()>| require_error(what, result, Errno::EBUSY);
    let swapon = |path: &str| number(areas::swapon(path, 0));

    let held = open(DISK, libc::O_EXCL)?;
    let _shared = open(DISK, 0)?;
    is_busy("O_EXCL twice", open(DISK, libc::O_EXCL).map(drop))?;
    is_busy("swapon of what is open with O_EXCL", swapon(DISK))?;
    is_busy("backing_dev of what is open with O_EXCL", set("backing_dev", DISK))?;
    drop(held);
    drop(open(DISK, libc::O_EXCL)?);

    swapon(DISK)?;
    is_busy("O_EXCL of a swap area", open(DISK, libc::O_EXCL).map(drop))?;
    is_busy("backing_dev of a swap area", set("backing_dev", DISK))?;
    is_busy("swapon twice", swapon(DISK))?;
    let writer = File::options().write(true).open(DISK)?;
    require_error("writing to a swap area", writer.write_at(&[0; 4096], 0), Errno::ETXTBSY)?;
    areas::disable(DISK)?;

    set("backing_dev", &format!("{DISK}\n"))?;
    is_busy("O_EXCL of a backing device", open(DISK, libc::O_EXCL).map(drop))?;
    is_busy("swapon of a backing device", swapon(DISK))?;
    set("reset", "1")?;
    drop(open(DISK, libc::O_EXCL)?);

    // zram, open with a size and without.
    let device = open(ZRAM, libc::O_EXCL)?;
    is_busy("a reset of what is open", set("reset", "1"))?;
    is_busy("removing what is open", fs::write("/sys/class/zram-control/hot_remove", "0"))?;
    is_busy("O_EXCL of zram twice", open(ZRAM, libc::O_EXCL).map(drop))?;
    set("disksize", "4M")?;
    is_busy("disksize twice", set("disksize", "4M"))?;
    areas::make(ZRAM, 1024)?;
    is_busy("swapon of zram that is open with O_EXCL", swapon(ZRAM))?;
    drop(device);
    swapon(ZRAM)?;
    is_busy("O_EXCL of zram that is swapped to", open(ZRAM, libc::O_EXCL).map(drop))?;
    is_busy("a reset of zram that is swapped to", set("reset", "1"))?;
    areas::disable(ZRAM)?;
    Ok(set("reset", "1")?)
}

/// A zram device writes to another what is not worth its memory.
fn zram_behind_zram() -> Outcome {
    const PAGES: u64 = 8;
    let number = files::text("/sys/class/zram-control/hot_add")?;
    let set = |device: &str, name: &str, value: &str| fs::write(format!("/sys/block/zram{device}/{name}"), value);
    set(&number, "disksize", "1M")?;
    set("0", "backing_dev", &format!("/dev/zram{number}"))?;
    require_error("a reset of a backing device", set(&number, "reset", "1"), Errno::EBUSY)?;
    set("0", "disksize", "1M")?;
    let device = File::options().read(true).write(true).open(ZRAM)?;
    let mut page = [0; 4096];
    for index in 0..PAGES {
        Contents::Random.fill(&mut page, index);
        device.write_all_at(&page, index * 4096)?;
    }
    set("0", "writeback", "huge")?;
    let backed = files::numbers("/sys/block/zram0/bd_stat")?;
    require!(backed[0] == PAGES, "{backed:?} says the backing device");
    for index in 0..PAGES {
        let mut expected = [0; 4096];
        Contents::Random.fill(&mut expected, index);
        device.read_exact_at(&mut page, index * 4096)?;
        require!(page == expected, "page {index} is another");
    }
    drop(device);
    set("0", "reset", "1")?;
    set(&number, "reset", "1")?;
    Ok(fs::write("/sys/class/zram-control/hot_remove", number)?)
}

/// zram's attributes where they are easily got wrong.
fn zram_attributes() -> Outcome {
    let at = |name: &str| format!("/sys/block/zram0/{name}");
    let set = |name: &str, value: &str| fs::write(at(name), value);
    for (path, error) in [
        ("/tmp", Errno::EISDIR),
        ("/init", Errno::ENOTBLK),
        ("/dev/null", Errno::ENOTBLK),
        ("/dev/nothing", Errno::ENOENT),
        (ZRAM, Errno::EINVAL),
    ] {
        require_error(&format!("{path} as backing_dev"), set("backing_dev", path), error)?;
    }
    set("writeback_limit", "7")?;
    set("writeback_limit_enable", "1")?;
    set("disksize", "8M")?;
    require!(files::text(&at("writeback_limit"))? == "7", "the limit is gone");
    set("mem_limit", "64K")?;
    let device = File::options().read(true).write(true).open(ZRAM)?;
    let mut page = [0_u8; 4096];
    let mut written = 0;
    let refused = loop {
        // Nothing that can be compressed.
        page.iter_mut().zip(1_u32..).for_each(|(byte, at)| *byte ^= (at.wrapping_mul(2_654_435_761) >> 13) as u8);
        page[..8].copy_from_slice(&u64::to_le_bytes(u64::wrapping_mul(written, 0x9e37_79b9_7f4a_7c15)));
        if let Err(error) = device.write_all_at(&page, written * 4096) {
            break error;
        }
        written += 1;
        require!(written < 2048, "the limit does not hold");
    };
    require!(refused.raw_os_error() == Some(Errno::EIO as i32), "beyond mem_limit: {refused}");
    let before = files::numbers(&at("io_stat"))?;
    let range: [u64; 2] = [0, 16 * 4096];
    control(&device, ioctl::DISCARD, &raw const range)?;
    let after = files::numbers(&at("io_stat"))?;
    require!(after[3] - before[3] == 16, "{} pages were discarded", after[3] - before[3]);
    drop(device);
    Ok(set("reset", "1")?)
}

/// Who may not do with an attribute what is asked is told when it is opened; root, too, in `/sys` and `/proc/sys`.
fn attribute_modes() -> Outcome {
    let open = |path: &str, write: bool| File::options().read(!write).write(write).open(path).map(drop);
    let denied = |path: &str, write: bool| require_error(path, open(path, write), Errno::EACCES);
    let strict = || {
        denied("/sys/block/vda/size", true)?;
        denied("/sys/block/zram0/mm_stat", true)?;
        denied("/sys/block/zram0/reset", false)?;
        denied("/sys/class/zram-control/hot_remove", false)?;
        denied("/sys/class/zram-control/hot_add", true)?;
        denied("/proc/sys/kernel/ostype", true)
    };
    strict()?;
    let mut meminfo = File::options().write(true).open("/proc/meminfo")?;
    require_error("writing /proc/meminfo", meminfo.write(b"1"), Errno::EIO)?;
    as_user(ANN, &[], || {
        strict()?;
        denied("/sys/block/zram0/disksize", true)?;
        denied("/sys/class/zram-control/hot_add", false)?;
        denied("/proc/sys/vm/swappiness", true)?;
        denied("/proc/meminfo", true)?;
        open("/sys/block/zram0/disksize", false)?;
        Ok(open("/proc/sys/vm/swappiness", false)?)
    })?;
    let cluster = "/proc/sys/vm/page-cluster";
    for (value, is_right) in [("0", true), ("31", true), ("32", false), ("-1", false), ("3", true)] {
        let result = fs::write(cluster, value);
        require!(result.is_ok() == is_right, "{value} to {cluster}: {result:?}");
    }
    Ok(())
}

/// The ghost swap device reads as a header and takes what is written.
fn ghost() -> Outcome {
    const GHOST: &str = "/dev/ghostswap";
    let mut device = File::options().read(true).write(true).open(GHOST)?;
    let metadata = device.metadata()?;
    require!(metadata.mode() == libc::S_IFCHR | 0o660, "its mode is {:o}", metadata.mode());
    require!(metadata.rdev() == libc::makedev(1, 13), "its number is {:#x}", metadata.rdev());
    let mut page = [0; 8192];
    require!(device.read(&mut page)? == 4096, "it is not one page");
    require!(page[4086..4096] == *b"SWAPSPACE2", "it reads as no header");
    require!(device.read(&mut page)? == 0, "there is something behind it");
    for place in [SeekFrom::Start(4090), SeekFrom::Current(-1), SeekFrom::End(1 << 40)] {
        require!(device.seek(place)? == 0, "{place:?} leads elsewhere");
    }
    let short = device.read_at(&mut page, 4090)?;
    require!(short == 6 && page[..6] == *b"SPACE2", "{short} bytes were read up to its end");
    // SAFETY: there is no memory at this address, which the call finds out.
    let nowhere = Errno::result(unsafe { libc::read(device.as_raw_fd(), ptr::without_provenance_mut(8), 10) });
    require!(nowhere == Err(Errno::EFAULT), "reading to nowhere gave {nowhere:?}");
    require!(device.read(&mut page[..1028])? == 1028 && page[1024..1028] == [1, 0, 0, 0], "a failed read moved it");
    require!(device.write_at(&[7; 100], 0)? == 100, "not all was written");
    require!(device.write(&[7; 3000])? == 3000, "not all was written");
    require!(device.read(&mut page)? == 4096 - 1028, "a write moved it");
    // SAFETY: there is no memory at this address, which the call does not look for.
    let from_nowhere = Errno::result(unsafe { libc::write(device.as_raw_fd(), ptr::without_provenance(8), 10) });
    require!(from_nowhere == Ok(10), "writing from nowhere gave {from_nowhere:?}");
    require!(device.read_at(&mut page[..1], 0)? == 1 && page[0] == 0, "something was kept");
    Ok(())
}
