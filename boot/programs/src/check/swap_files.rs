//! Swap files as LTP tests them (`swapon01` to `swapon03`, `swapoff01`, `swapoff02`), written anew after its descriptions. For root,
//! on an ext4 at `/mnt` with some 16 MiB of room; an area besides these does no harm.

use std::{
    fs, io,
    os::unix::fs::{PermissionsExt, symlink},
    process,
};

use nix::errno::Errno;

use super::{
    outcome::{Check, Outcome, require},
    swapped::{PAGES, hashes, paged_out},
    users::{as_user, number, require_error},
};
use crate::{
    areas,
    files::{self, swap_used},
    memory::{Memory, PAGE},
};

pub(super) const CHECKS: &[Check] = &[
    ("swap-files-swapon01", swapon_succeeds),
    ("swap-files-swapon02", swapon_refuses),
    ("swap-files-swapon03", swapon_has_a_limit),
    ("swap-files-swapoff01", swapoff_succeeds),
    ("swap-files-swapoff02", swapoff_refuses),
];

/// The user of LTP's tests who may do nothing.
const NOBODY: u32 = 65534;
/// Before every other area.
const FIRST: u16 = 32767;
/// LTP's least, and what it takes to be worth a test of paging.
const FEW_PAGES: u64 = 10;
const MANY_PAGES: u64 = 2 * PAGES as u64;

/// A directory of this check's own on the file system. It goes with its files, which are no areas any more.
struct Directory(String);

impl Directory {
    fn new() -> io::Result<Self> {
        let path = format!("/mnt/check-swap-files-{}", process::id());
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{name}", self.0)
    }

    /// A file of zeros with blocks of its own, and a swap header.
    fn swap_file(&self, name: &str, pages: u64) -> io::Result<String> {
        let path = self.file(name, pages)?;
        areas::make(&path, pages)?;
        Ok(path)
    }

    fn file(&self, name: &str, pages: u64) -> io::Result<String> {
        let path = self.at(name);
        fs::write(&path, vec![0; pages as usize * PAGE])?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        Ok(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A check that failed may have left an area, whose file cannot go.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn swapon(path: &str) -> io::Result<()> {
    number(areas::swapon(path, 0))
}

fn swapoff(path: &str) -> io::Result<()> {
    number(areas::swapoff(path))
}

/// swapon01: a swap file is enabled, and pages go there and come back.
fn swapon_succeeds() -> Outcome {
    let directory = Directory::new()?;
    let path = directory.swap_file("swapfile", MANY_PAGES)?;
    areas::enable(&path, FIRST)?;
    require!(areas::is_enabled(&path)?, "it is not listed");
    let (mut memory, expected) = paged_out(Memory::private(PAGES)?)?;
    let row = files::text("/proc/swaps")?.lines().find(|line| line.starts_with(&path)).map(str::to_owned);
    let columns: Vec<String> = row.unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let used = columns.get(3).and_then(|used| used.parse::<u64>().ok()).unwrap_or(0);
    require!(columns.get(1).is_some_and(|kind| kind == "file") && used > 0, "its row is {columns:?}");
    require!(hashes(&mut memory) == expected, "pages are not what they were");
    drop(memory);
    Ok(areas::disable(&path)?)
}

/// swapon02: what is not there, is no swap file, is an area already, or is wanted by one who may not.
fn swapon_refuses() -> Outcome {
    let directory = Directory::new()?;
    let none = directory.at("none");
    let invalid = directory.file("invalid", FEW_PAGES)?;
    let used = directory.swap_file("used", FEW_PAGES)?;
    let unused = directory.swap_file("unused", FEW_PAGES)?;
    require_error("swapon of what is not there", swapon(&none), Errno::ENOENT)?;
    require_error("swapon of what is no swap file", swapon(&invalid), Errno::EINVAL)?;
    as_user(NOBODY, &[], || require_error("swapon by a user", swapon(&unused), Errno::EPERM))?;
    swapon(&used)?;
    require_error("swapon of an area", swapon(&used), Errno::EBUSY)?;
    let other_name = directory.at("other-name");
    symlink(&used, &other_name)?;
    require_error("swapon of an area by another name", swapon(&other_name), Errno::EBUSY)?;
    Ok(swapoff(&used)?)
}

/// swapon03: there is a most number of areas. It is found, not known.
fn swapon_has_a_limit() -> Outcome {
    /// Linux's, where nothing is configured that needs numbers of swap entries for itself (`MAX_SWAPFILES`).
    const MOST: usize = 32;
    let directory = Directory::new()?;
    let mut enabled = Vec::new();
    let refused = loop {
        let path = directory.swap_file(&format!("swapfile{}", enabled.len()), FEW_PAGES)?;
        match swapon(&path) {
            Ok(()) => enabled.push(path),
            Err(error) => break error,
        }
        require!(enabled.len() <= MOST, "there is no limit");
    };
    let lines = files::text("/proc/swaps")?.lines().count() - 1;
    enabled.iter().try_for_each(|path| swapoff(path))?;
    require!(refused.raw_os_error() == Some(Errno::EPERM as i32), "one area too many gave {refused}");
    require!(lines >= enabled.len() && lines > MOST / 2, "with {lines} areas no more were allowed");
    Ok(())
}

/// swapoff01: an area with pages in it is disabled, and they are what they were.
fn swapoff_succeeds() -> Outcome {
    let directory = Directory::new()?;
    let path = directory.swap_file("swapfile", MANY_PAGES)?;
    let used_before = swap_used()?;
    areas::enable(&path, FIRST)?;
    let (mut memory, expected) = paged_out(Memory::private(PAGES)?)?;
    swapoff(&path)?;
    require!(!areas::is_enabled(&path)?, "it is still listed");
    require!(swap_used()? <= used_before, "slots are left");
    require!(hashes(&mut memory) == expected, "pages are not what they were");
    // Its blocks are the file system's again.
    Ok(fs::write(&path, "no swap file any more")?)
}

/// swapoff02: what is not there, is no area, or is one, for a user who may not.
fn swapoff_refuses() -> Outcome {
    let directory = Directory::new()?;
    let plain = directory.file("plain", FEW_PAGES)?;
    let used = directory.swap_file("used", FEW_PAGES)?;
    require_error("swapoff of what is not there", swapoff(&directory.at("none")), Errno::ENOENT)?;
    require_error("swapoff of what is no area", swapoff(&plain), Errno::EINVAL)?;
    require_error("swapoff of a swap file that is none", swapoff(&used), Errno::EINVAL)?;
    swapon(&used)?;
    as_user(NOBODY, &[], || require_error("swapoff by a user", swapoff(&used), Errno::EPERM))?;
    require!(areas::is_enabled(&used)?, "it is no area any more");
    Ok(swapoff(&used)?)
}
