//! `/proc/kpageflags`, `/proc/kpagecount` and `/proc/kpagecgroup`: what each frame is used for, as Linux says it. For root.

use std::{
    fs::{self, File},
    io::{ErrorKind, Seek, SeekFrom},
    os::unix::fs::{FileExt, MetadataExt},
};

use super::{
    outcome::{Check, Failure, Outcome, require},
    users::{ANN, as_user},
};
use crate::{
    cgroup::Cgroup,
    files,
    memory::Memory,
    process::{Child, End},
};

pub(super) const CHECKS: &[Check] =
    &[("kpage-reads", reads), ("kpage-flags", flags), ("kpage-count", count), ("kpage-cgroup", cgroup)];

const FILES: [&str; 3] = ["/proc/kpageflags", "/proc/kpagecount", "/proc/kpagecgroup"];
const PAGES: usize = 1000;
/// What other programs and the kernel may change meanwhile.
const SLACK: usize = 64;

const BUDDY: u64 = 1 << 10;
const MMAP: u64 = 1 << 11;
const ANON: u64 = 1 << 12;
const NOPAGE: u64 = 1 << 20;

/// The numbers of all frames.
fn numbers(path: &str) -> Result<Vec<u64>, Failure> {
    let file = File::open(path)?;
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let length = file.read_at(&mut piece, all.len() as u64 * 8)?;
        require!(length % 8 == 0, "{path}: a read gave {length} bytes");
        if length == 0 {
            return Ok(all);
        }
        let (whole, _) = piece[..length].as_chunks();
        all.extend(whole.iter().map(|bytes| u64::from_ne_bytes(*bytes)));
    }
}

fn those_with(path: &str, holds: impl Fn(u64) -> bool) -> Result<usize, Failure> {
    Ok(numbers(path)?.into_iter().filter(|number| holds(*number)).count())
}

/// Reads are of whole numbers, from whole numbers on, and root's alone.
fn reads() -> Outcome {
    for path in FILES {
        let mut file = File::open(path)?;
        let mut buffer = [0; 24];
        require!(file.read_at(&mut buffer, 16)? == 24, "{path}: three numbers were not read");
        for (length, offset) in [(7, 0), (12, 8), (8, 4), (8, 1)] {
            let error = file.read_at(&mut buffer[..length], offset).err().map(|error| error.kind());
            require!(error == Some(ErrorKind::InvalidInput), "{path}: {length} bytes at {offset} gave {error:?}");
        }
        require!(file.read_at(&mut buffer, 1 << 50)? == 0, "{path}: there are frames behind the last");
        require!(file.seek(SeekFrom::End(0)).is_err(), "{path} has an end to seek to");
        let metadata = fs::metadata(path)?;
        require!(metadata.mode() & 0o7777 == 0o400 && metadata.len() == 0, "{path}: {:o}", metadata.mode());
        as_user(ANN, &[], || {
            let refused = File::open(FILES[0]).err().map(|error| error.kind());
            require!(refused == Some(ErrorKind::PermissionDenied), "a user's open gave {refused:?}");
            Ok(())
        })?;
    }
    let lengths = [numbers(FILES[0])?.len(), numbers(FILES[1])?.len(), numbers(FILES[2])?.len()];
    require!(lengths == [lengths[0]; 3], "the files have {lengths:?} numbers");
    Ok(())
}

/// Free frames, private pages and holes are what `/proc/meminfo` says.
fn flags() -> Outcome {
    let anonymous = || those_with(FILES[0], |flags| flags & ANON != 0);
    let before = anonymous()?;
    let mut memory = Memory::private(PAGES)?;
    (0..PAGES).for_each(|page| memory.touch(page));
    let after = anonymous()?;
    require!(after.abs_diff(before + PAGES) <= SLACK, "{before} anonymous frames, and {after} with {PAGES} more");
    let said = files::number("/proc/meminfo", "AnonPages")? as usize / 4;
    require!(after.abs_diff(said) <= SLACK, "{after} anonymous frames, and AnonPages says {said}");
    let mapped = those_with(FILES[0], |flags| flags & (ANON | MMAP) == ANON | MMAP)?;
    require!(mapped >= PAGES, "{mapped} anonymous frames are mapped");
    let free = those_with(FILES[0], |flags| flags & BUDDY != 0)?;
    let said = files::number("/proc/meminfo", "MemFree")? as usize / 4;
    require!(free.abs_diff(said) <= 4 * SLACK, "{free} free frames, and MemFree says {said}");
    let odd = those_with(FILES[0], |flags| flags & NOPAGE != 0 && flags & (ANON | BUDDY) != 0)?;
    require!(odd == 0, "{odd} frames are used that are not there");
    Ok(())
}

/// A page that two processes map is counted twice.
fn count() -> Outcome {
    let shared = || those_with(FILES[1], |count| count >= 2);
    let mut memory = Memory::private(PAGES)?;
    (0..PAGES).for_each(|page| memory.touch(page));
    let before = shared()?;
    let (reader, writer) = nix::unistd::pipe()?;
    let child = Child::start(|| i32::from(nix::unistd::read(&reader, &mut [0]).is_err()))?;
    let after = shared()?;
    let _ = nix::unistd::write(&writer, &[1]);
    let end = child.wait()?;
    require!(end == End::Exited(0), "the child: {end}");
    require!(after >= before + PAGES, "{before} frames were mapped twice, and {after} when {PAGES} pages were shared");
    Ok(())
}

/// A page is charged to the cgroup whose directory's inode number the file says.
fn cgroup() -> Outcome {
    let cgroup = Cgroup::new("check-kpage")?;
    let inode = fs::metadata("/sys/fs/cgroup/check-kpage")?.ino();
    let charged = || those_with(FILES[2], |number| number == inode);
    require!(charged()? == 0, "a new cgroup is charged for pages");
    let (reader, writer) = nix::unistd::pipe()?;
    let (wait_reader, done) = nix::unistd::pipe()?;
    let child = Child::start(|| {
        let work = || -> Outcome {
            cgroup.enter()?;
            let mut memory = Memory::private(PAGES)?;
            (0..PAGES).for_each(|page| memory.touch(page));
            nix::unistd::write(&writer, &[1])?;
            nix::unistd::read(&wait_reader, &mut [0])?;
            Ok(())
        };
        i32::from(work().is_err())
    })?;
    nix::unistd::read(&reader, &mut [0])?;
    let found = charged();
    let _ = nix::unistd::write(&done, &[1]);
    let end = child.wait()?;
    require!(end == End::Exited(0), "the child: {end}");
    let found = found?;
    require!((PAGES..=PAGES + SLACK).contains(&found), "{found} frames are charged to a cgroup that has {PAGES} pages");
    Ok(())
}
