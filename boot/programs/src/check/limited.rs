//! File systems in memory: their options, their limits, and what `fallocate` reserves. For root in a guest.

use std::{
    ffi::CString,
    fs::{self, File},
    io::{self, Read},
    os::{
        fd::AsRawFd,
        unix::fs::{FileExt, MetadataExt},
    },
    sync::atomic::{AtomicU32, Ordering},
};

use nix::{
    errno::Errno,
    fcntl::{FallocateFlags, fallocate},
    libc,
    mount::{MntFlags, MsFlags, mount, umount2},
    sys::{signal::Signal, statvfs::statvfs},
};

use super::{
    outcome::{Check, Outcome, require, require_killed},
    place::Place,
    users::{ANN, as_user, number, require_error},
};
use crate::{
    files::swap_used,
    memory::PAGE,
    process::{End, end_of},
};

pub(super) const CHECKS: &[Check] = &[
    ("limited-options", options),
    ("limited-remount", remounted),
    ("limited-blocks", blocks),
    ("limited-mapped", mapped),
    ("limited-nodes", nodes),
    ("limited-allocated", allocated),
    ("limited-punched", punched),
];

/// For a machine with swap.
pub(super) const SWAP_CHECKS: &[Check] = &[("swapped-noswap", stays_in_memory)];

/// A file system that is gone with this value.
struct Mounted {
    path: String,
    _place: Place,
}

impl Mounted {
    fn new(kind: &str, options: &str) -> Result<Self, super::Failure> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let place = Place::new(&format!("limited-{}", NEXT.fetch_add(1, Ordering::Relaxed)))?;
        let path = place.directory("mounted", 0o777, (0, 0))?;
        try_mount(kind, &path, options)?;
        Ok(Self { path, _place: place })
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// Blocks and free ones, nodes and free ones.
    fn usage(&self) -> nix::Result<[u64; 4]> {
        let usage = statvfs(&*self.path)?;
        Ok([usage.blocks(), usage.blocks_free(), usage.files(), usage.files_free()])
    }

    fn remount(&self, options: &str) -> io::Result<()> {
        let none = None::<&str>;
        number(mount(none, &*self.path, none, MsFlags::MS_REMOUNT, Some(options)))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&*self.path, MntFlags::empty());
    }
}

fn try_mount(kind: &str, path: &str, options: &str) -> io::Result<()> {
    number(mount(Some("none"), path, Some(kind), MsFlags::empty(), Some(options)))
}

/// What a file system has not is refused, and what it has is heeded.
fn options() -> Outcome {
    let place = Place::new("options")?;
    let path = place.directory("at", 0o777, (0, 0))?;
    for (kind, options) in [
        ("tmpfs", "banana"),
        ("tmpfs", "size=1m,banana=1"),
        ("tmpfs", "size=1x"),
        ("tmpfs", "size"),
        ("tmpfs", "huge=sometimes"),
        ("tmpfs", "mode=9"),
        ("tmpfs", "uid=4294967295"),
        ("ramfs", "size=1m"),
        ("proc", "banana"),
        ("sysfs", "banana"),
        ("cgroup2", "banana"),
        ("devtmpfs", "banana"),
    ] {
        require_error(&format!("{kind} with {options}"), try_mount(kind, &path, options), Errno::EINVAL)?;
    }
    require_error("umount2 with flags that there are not", unmount(&path, 0x100), Errno::EINVAL)?;
    unmounted()?;
    let mounted = Mounted::new("tmpfs", "mode=1750,uid=5,gid=6,size=3m,nr_inodes=2k,rw")?;
    let root = fs::metadata(&mounted.path)?;
    require!((root.mode() & 0o7777, root.uid(), root.gid()) == (0o1750, 5, 6), "the root directory is another's");
    let all = fs::read_to_string("/proc/mounts")?;
    let line = all.lines().find(|line| line.contains(&mounted.path)).unwrap_or_default();
    let expected = "tmpfs rw,relatime,size=3072k,nr_inodes=2048,mode=1750,uid=5,gid=6,inode64 0 0";
    require!(line.ends_with(expected), "/proc/mounts says {line:?}");
    require!(mounted.usage()?[..2] == [768, 768] && mounted.usage()?[2..] == [2048, 2047], "{:?}", mounted.usage()?);
    let unlimited = Mounted::new("tmpfs", "size=0,nr_inodes=0")?;
    require!(unlimited.usage()? == [0; 4], "there is a limit: {:?}", unlimited.usage()?);
    let usual = Mounted::new("tmpfs", "")?;
    let [blocks, free, nodes, _] = usual.usage()?;
    let memory = crate::files::number("/proc/meminfo", "MemTotal")? / 4;
    require!(blocks == memory / 2 && nodes == blocks && free == blocks, "half of {memory} pages is not {blocks}");
    let read_only = Mounted::new("tmpfs", "ro")?;
    require_error("a file where nothing changes", fs::write(read_only.at("file"), ""), Errno::EROFS)
}

/// One that others are mounted in goes only together with them.
fn unmounted() -> Outcome {
    let outer = Mounted::new("tmpfs", "")?;
    let [inner, innermost] = [outer.at("inner"), outer.at("inner/most")];
    for place in [&inner, &innermost] {
        fs::create_dir(place)?;
        try_mount("tmpfs", place, "")?;
        fs::write(format!("{place}/file"), "kept")?;
    }
    let mut open = File::open(format!("{innermost}/file"))?;
    for (flags, expected) in [
        (0, Errno::EBUSY),
        (libc::MNT_EXPIRE | libc::MNT_DETACH, Errno::EINVAL),
        (libc::MNT_EXPIRE | libc::MNT_FORCE, Errno::EINVAL),
        (libc::MNT_EXPIRE, Errno::EBUSY),
    ] {
        require_error(&format!("umount2 with {flags:#x}"), unmount(&outer.path, flags), expected)?;
    }
    unmount(&outer.path, libc::MNT_DETACH)?;
    let left = fs::read_to_string("/proc/mounts")?;
    require!(!left.contains(&outer.path), "what was mounted in it stays: {left}");
    require_error("a second time", unmount(&outer.path, libc::MNT_DETACH), Errno::EINVAL)?;
    let mut text = String::new();
    open.read_to_string(&mut text)?;
    require!(text == "kept", "what was open there says {text:?}");
    Ok(())
}

fn unmount(path: &str, flags: i32) -> io::Result<()> {
    let path = CString::new(path)?;
    // SAFETY: the path is a string that ends.
    number(Errno::result(unsafe { libc::umount2(path.as_ptr(), flags) }))
}

/// Limits can be raised, but not lowered below what is in use; there is none where there was none before.
fn remounted() -> Outcome {
    let mounted = Mounted::new("tmpfs", "size=1m,nr_inodes=4")?;
    fs::write(mounted.at("file"), vec![1; 64 * PAGE])?;
    for refused in ["size=252k", "nr_blocks=63", "nr_inodes=1", "banana", "noswap"] {
        require_error(refused, mounted.remount(refused), Errno::EINVAL)?;
    }
    require!(mounted.usage()? == [256, 192, 4, 2], "a refusal changed something: {:?}", mounted.usage()?);
    mounted.remount("size=256k,nr_inodes=2")?;
    require!(mounted.usage()? == [64, 0, 2, 0], "{:?}", mounted.usage()?);
    mounted.remount("size=0")?;
    require_error("a limit where there was none", mounted.remount("size=100m"), Errno::EINVAL)?;
    let in_memory = Mounted::new("tmpfs", "noswap")?;
    in_memory.remount("noswap,size=1m")?;
    // It stays without swap, said or not.
    in_memory.remount("size=2m")?;
    let all = fs::read_to_string("/proc/mounts")?;
    let line = all.lines().find(|line| line.contains(&in_memory.path)).unwrap_or_default();
    require!(line.contains("size=2048k") && line.contains("noswap"), "/proc/mounts says {line:?}");
    Ok(())
}

/// Writes pages until there is no room; returns how many there was room for.
fn fill(file: &File) -> Result<u64, super::Failure> {
    for page in 0.. {
        if let Err(error) = file.write_all_at(&[7; PAGE], page * PAGE as u64) {
            require!(error.raw_os_error() == Some(Errno::ENOSPC as i32), "page {page}: {error}");
            return Ok(page);
        }
    }
    unreachable!("a file has an end")
}

/// A megabyte is a megabyte, for everybody, and comes back.
fn blocks() -> Outcome {
    let mounted = Mounted::new("tmpfs", "size=1m,mode=1777")?;
    for user in [0, ANN] {
        as_user(user, &[], || {
            let file = File::create(mounted.at("file"))?;
            require!(fill(&file)? == 256, "it is not a megabyte");
            require!(mounted.usage()?[1] == 0 && file.metadata()?.blocks() == 2048, "it is not full");
            file.set_len(3 * PAGE as u64 + 1)?;
            require!(mounted.usage()?[1] == 252, "a cut gave {} blocks back", mounted.usage()?[1]);
            // A hole takes nothing, and what is written far away takes one block.
            file.set_len(1 << 30)?;
            file.write_all_at(b"x", 1 << 29)?;
            require!(mounted.usage()?[1] == 251, "a page in a hole took {} blocks", 252 - mounted.usage()?[1]);
            fs::remove_file(mounted.at("file"))?;
            require!(mounted.usage()?[1] == 251, "it is open still");
            drop(file);
            require!(mounted.usage()?[1] == 256, "its blocks stay");
            Ok(())
        })?;
    }
    Ok(())
}

/// A page that there is no room for is SIGBUS; one that there is room for is counted.
fn mapped() -> Outcome {
    let mounted = Mounted::new("tmpfs", "size=16k")?;
    let file = File::options().read(true).write(true).create(true).truncate(false).open(mounted.at("file"))?;
    file.set_len(8 * PAGE as u64)?;
    let touch = |pages: usize| {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping where the kernel likes.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), 8 * PAGE, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return 7;
        }
        // SAFETY: within the mapping.
        (0..pages).for_each(|page| unsafe { start.cast::<u8>().add(page * PAGE).write_volatile(1) });
        0
    };
    require!(end_of(|| touch(4))? == End::Exited(0), "there is no room for the pages that there is room for");
    require!(mounted.usage()?[1] == 0, "{:?}", mounted.usage()?);
    require_killed(Signal::SIGBUS, "a page too many", || touch(5))?;
    file.set_len(PAGE as u64)?;
    require!(mounted.usage()?[1] == 3, "{:?}", mounted.usage()?);
    Ok(())
}

/// Files, directories, links and further names of a file are counted.
fn nodes() -> Outcome {
    let mounted = Mounted::new("tmpfs", "nr_inodes=5,mode=1777")?;
    as_user(ANN, &[], || {
        fs::write(mounted.at("file"), "")?;
        fs::create_dir(mounted.at("directory"))?;
        std::os::unix::fs::symlink("target", mounted.at("link"))?;
        fs::hard_link(mounted.at("file"), mounted.at("name"))?;
        require_error("a file too many", fs::write(mounted.at("more"), ""), Errno::ENOSPC)?;
        require_error("a name too many", fs::hard_link(mounted.at("file"), mounted.at("more")), Errno::ENOSPC)?;
        require_error("a directory too many", fs::create_dir(mounted.at("more")), Errno::ENOSPC)?;
        require_error("what is there", fs::create_dir(mounted.at("file")), Errno::EEXIST)?;
        for name in ["name", "link", "file"] {
            fs::remove_file(mounted.at(name))?;
        }
        fs::remove_dir(mounted.at("directory"))?;
        require!(mounted.usage()?[3] == 4, "{:?}", mounted.usage()?);
        Ok(())
    })
}

/// What is reserved is there, what does not fit is refused whole, and lengths change only as asked.
fn allocated() -> Outcome {
    let mounted = Mounted::new("tmpfs", "size=64k")?;
    let file = File::options().read(true).write(true).create(true).truncate(false).open(mounted.at("file"))?;
    let allocate = |mode: FallocateFlags, bytes: usize| number(fallocate(&file, mode, 0, bytes.cast_signed() as i64));
    let (plain, keep) = (FallocateFlags::empty(), FallocateFlags::FALLOC_FL_KEEP_SIZE);
    file.write_all_at(b"here", PAGE as u64)?;
    require_error("more than there is", allocate(plain, 17 * PAGE), Errno::ENOSPC)?;
    require!(mounted.usage()?[1] == 15 && file.metadata()?.len() == PAGE as u64 + 4, "a refusal left something");
    allocate(keep, 4 * PAGE)?;
    require!(mounted.usage()?[1] == 12 && file.metadata()?.len() == PAGE as u64 + 4, "{:?}", mounted.usage()?);
    allocate(plain, 16 * PAGE)?;
    require!(mounted.usage()?[1] == 0 && file.metadata()?.len() == 16 * PAGE as u64, "{:?}", mounted.usage()?);
    require_error("another page", fs::write(mounted.at("other"), "x"), Errno::ENOSPC)?;
    file.write_all_at(&vec![1; 16 * PAGE], 0)?;
    let modes = [
        FallocateFlags::FALLOC_FL_PUNCH_HOLE,
        FallocateFlags::FALLOC_FL_ZERO_RANGE,
        FallocateFlags::FALLOC_FL_COLLAPSE_RANGE,
    ];
    for mode in modes {
        require_error(&format!("{mode:?}"), allocate(mode, PAGE), Errno::EOPNOTSUPP)?;
    }
    file.set_len(0)?;
    require!(mounted.usage()?[1] == 16, "{:?}", mounted.usage()?);
    Ok(())
}

/// A hole is zeros and free blocks, and what is beside it stays.
fn punched() -> Outcome {
    let mounted = Mounted::new("tmpfs", "size=64k")?;
    let file = File::options().read(true).write(true).create(true).truncate(false).open(mounted.at("file"))?;
    file.write_all_at(&vec![7; 8 * PAGE], 0)?;
    let mode = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    for (from, bytes, free) in
        [(100, 200, 8), (PAGE + 5, 2 * PAGE, 9), (4 * PAGE, 2 * PAGE, 11), (7 * PAGE + 1, 1 << 30, 11)]
    {
        fallocate(&file, mode, from.cast_signed() as i64, bytes.cast_signed() as i64)?;
        let mut found = vec![0; 8 * PAGE];
        file.read_exact_at(&mut found, 0)?;
        require!(found[from..(from + bytes).min(8 * PAGE)].iter().all(|byte| *byte == 0), "{bytes} bytes at {from}");
        require!(found[from - 1] == 7 && found.get(from + bytes).is_none_or(|byte| *byte == 7), "beside {from}");
        require!(mounted.usage()?[1] == free, "{} blocks are free after {from}", mounted.usage()?[1]);
    }
    require!(file.metadata()?.len() == 8 * PAGE as u64, "it has another length");
    Ok(())
}

/// Pages of `noswap` are not written to swap when others are.
fn stays_in_memory() -> Outcome {
    for (options, stays) in [("size=8m", false), ("size=8m,noswap", true)] {
        let mounted = Mounted::new("tmpfs", options)?;
        let file = File::options().read(true).write(true).create(true).truncate(false).open(mounted.at("file"))?;
        for page in 0..1024 {
            file.write_all_at(&[page as u8; PAGE], page * PAGE as u64)?;
        }
        let used = swap_used()?;
        // SAFETY: a new mapping where the kernel likes, of which only the kernel looks at the pages.
        let outcome = unsafe {
            let length = 1024 * PAGE;
            let start =
                libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0);
            require!(start != libc::MAP_FAILED, "mmap: {}", Errno::last());
            for page in 0..1024 {
                start.cast::<u8>().add(page * PAGE).read_volatile();
            }
            libc::madvise(start, length, libc::MADV_PAGEOUT)
        };
        Errno::result(outcome)?;
        let out = swap_used()? - used;
        require!(if stays { out == 0 } else { out > 500 }, "{out} pages of {options} are in swap");
        for page in 0..1024 {
            let mut found = [0; PAGE];
            file.read_exact_at(&mut found, page * PAGE as u64)?;
            require!(found == [page as u8; PAGE], "page {page} of {options}");
        }
    }
    Ok(())
}
