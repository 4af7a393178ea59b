//! Whatever is written to a setting, what follows from it can be calculated and read. For a guest: values are tried that could
//! cost a machine its work.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use nix::{
    mount::{MsFlags, mount, umount},
    sys::{stat::Mode, statfs::statfs},
    unistd::mkdir,
};

use super::{
    outcome::{Check, Outcome, require},
    place::Place,
    setting::chosen,
};
use crate::files;

pub(super) const CHECKS: &[Check] = &[("settings-extremes", extremes), ("settings-mounted", mounted)];

/// Numbers at the edges of every type, and words that mean something to some of them.
const VALUES: &[&str] = &[
    "",
    "0",
    "-1",
    "max",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "15E",
    "1 2 3 4 5 6 7 8 9",
    "page_indexes=0-18446744073709551615",
    "type=huge threshold=18446744073709551615 max_pages=0",
    "priority=18446744073709551615 level=-9223372036854775808",
    "\0",
];

/// What does something else than to set.
const OTHERS: &[&str] = &["cgroup.procs", "hot_add", "hot_remove"];

/// All files below a directory; a directory that goes meanwhile has none.
fn files_below(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        if kind.is_dir() {
            files_below(&path, files);
        } else if kind.is_file() && !OTHERS.iter().any(|other| path.ends_with(other)) {
            files.push(path);
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(1 << 16).read_to_string(&mut text)?;
    Ok(text)
}

/// Reads what the kernel says of itself, as any program may.
fn read_all() -> Outcome {
    for entry in fs::read_dir("/proc")?.flatten() {
        let name = entry.file_name();
        if entry.file_type()?.is_file() && !name.to_string_lossy().starts_with("kpage") {
            read(&entry.path())?;
        }
    }
    require!(!files::text("/proc/self/status")?.is_empty(), "a process says nothing of itself");
    Ok(())
}

/// Tries each value for each setting below `directory`, and puts back what was there.
fn try_all(directory: &str) -> Outcome {
    let mut all = Vec::new();
    files_below(Path::new(directory), &mut all);
    require!(!all.is_empty(), "{directory} has no settings");
    let is_setting = |path: &&PathBuf| fs::metadata(path).is_ok_and(|it| it.permissions().mode() & 0o222 != 0);
    for path in all.iter().filter(is_setting) {
        let before = read(path);
        for value in VALUES.iter().copied().chain([&*"9".repeat(4096), &*"A".repeat(4096)]) {
            // Whether it is taken is not asked here.
            let _ = fs::File::options().write(true).open(path).and_then(|mut file| file.write_all(value.as_bytes()));
            all.iter().filter(|other| other.parent() == path.parent()).for_each(|other| drop(read(other)));
            read_all()?;
            if let Ok(before) = &before {
                let _ = fs::write(path, chosen(before));
            }
        }
    }
    Ok(())
}

fn extremes() -> Outcome {
    const GROUP: &str = "/sys/fs/cgroup/check-settings";
    let number = files::text("/sys/class/zram-control/hot_add")?;
    let zram = format!("/sys/block/zram{number}");
    mkdir(GROUP, Mode::S_IRWXU)?;
    for directory in ["/proc/sys", "/sys/kernel", "/sys/module", "/sys/block", GROUP] {
        try_all(directory)?;
    }
    // One of the values may have been a size.
    files::set(&format!("{zram}/reset"), "1")?;
    files::set(&format!("{zram}/disksize"), "1M")?;
    try_all(&zram)?;
    files::set(&format!("{zram}/reset"), "1")?;
    fs::remove_dir(GROUP)?;
    Ok(files::set("/sys/class/zram-control/hot_remove", &number)?)
}

/// A file system that may have more blocks than there are bytes to count.
fn mounted() -> Outcome {
    let place = Place::new("settings")?;
    let directory = place.at("mounted");
    fs::create_dir(&directory)?;
    for options in ["nr_blocks=9223372036854775807", "nr_inodes=18014398509481983", "size=18446744073709551615"] {
        mount(Some("check"), &*directory, Some("tmpfs"), MsFlags::empty(), Some(options))?;
        let found = read_all().and_then(|()| {
            let line = files::text("/proc/mounts")?.lines().last().map(str::to_owned);
            require!(line.as_ref().is_some_and(|line| line.starts_with("check ")), "/proc/mounts ends with {line:?}");
            Ok(statfs(&*directory)?)
        });
        umount(&*directory)?;
        require!(found?.block_size() > 0, "{options}: statfs says nothing");
    }
    Ok(())
}
