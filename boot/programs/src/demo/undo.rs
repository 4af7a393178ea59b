//! What the show has set up and is to undo, as a list of shell commands in a file that outlives the processes: however the show
//! ends, the process that waits for it undoes what is listed, and if that was killed as well, the next show does.
//!
//! A command is listed before what it undoes is done. They are carried out from the last to the first, when the processes that
//! use what they take away have ended; one that has nothing to undo is no failure.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
};

use nix::{
    errno::Errno,
    mount::{MntFlags, umount2},
};

use crate::{areas, cgroup::Cgroup, files};

const DIRECTORY: &str = "/run";
const LIST: &str = "/run/demo";

/// Takes the list for this show, until this process and its children have ended; waits while another show has it.
pub(super) fn take() -> io::Result<File> {
    let _ = fs::create_dir(DIRECTORY);
    let list = OpenOptions::new().append(true).create(true).open(LIST);
    let list = list.map_err(|error| io::Error::new(error.kind(), format!("{LIST}: {error}")))?;
    if list.try_lock().is_err() {
        println!("Another demo is running: this one begins when that has ended.");
        list.lock()?;
    }
    Ok(list)
}

/// Enables a swap area.
pub(super) fn enable(device: &str, priority: u16) -> io::Result<()> {
    if areas::is_enabled(device)? {
        return Err(io::Error::other(format!("{device} is in use for swap: swapoff {device}, and start again")));
    }
    later(&format!("swapoff {device}"))?;
    areas::enable(device, priority)
}

/// Writes `value` to one of the kernel's files, and `before` afterwards.
pub(super) fn set(path: &str, value: &str, before: &str) -> io::Result<()> {
    later(&format!("echo {before} >{path}"))?;
    files::set(path, value)
}

/// Makes a memory cgroup.
pub(super) fn cgroup(name: &str) -> io::Result<Cgroup> {
    later(&format!("rmdir {}", Cgroup::path(name)))?;
    Cgroup::new(name)
}

/// Lists a command.
pub(super) fn later(command: &str) -> io::Result<()> {
    writeln!(OpenOptions::new().append(true).open(LIST)?, "{command}")
}

/// Carries out what is listed, and returns it. What fails stays in the list.
pub(super) fn all() -> io::Result<Vec<String>> {
    let (mut done, mut left, mut result) = (Vec::new(), Vec::new(), Ok(()));
    for command in fs::read_to_string(LIST)?.lines().rev() {
        match carry_out(command) {
            Ok(()) => done.push(command.to_owned()),
            Err(error) => {
                left.insert(0, format!("{command}\n"));
                result = Err(io::Error::new(error.kind(), format!("{command}: {error}")));
            }
        }
    }
    fs::write(LIST, left.concat())?;
    result.map(|()| done)
}

fn carry_out(command: &str) -> io::Result<()> {
    match command.split(' ').collect::<Vec<_>>()[..] {
        ["swapoff", device] if areas::is_enabled(device)? => areas::disable(device),
        ["umount", place] => match umount2(place, MntFlags::empty()) {
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => Ok(()),
            Err(error) => Err(error.into()),
        },
        ["rm", path] => match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
        ["rmdir", path] => {
            drop(Cgroup::at(path));
            Ok(())
        }
        ["echo", value, path] => files::set(path.trim_start_matches('>'), value),
        _ => Ok(()),
    }
}
