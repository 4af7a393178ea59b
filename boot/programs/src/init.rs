//! Process 1: `init [COMMAND [ARGUMENT…]]`.
//!
//! Mounts what programs expect, runs the command to its end, and ends with its exit status, which becomes the machine's
//! verdict. Without a command, or afterwards with `shell=after` in its environment, it runs a login shell on the console
//! and ends when that does; the shell's exit status counts only without a command, and a command's does not if a person
//! interrupted it to get to the shell. Words of the kernel's command line get here as on Linux: behind `--` as arguments,
//! and `name=value` in the environment. `LINES` and `COLUMNS` there set the console's size.

use std::{env, ffi::CString, fs, os::fd::AsRawFd, process::ExitCode};

use nix::{
    errno::Errno,
    libc,
    mount::{MsFlags, mount},
    sys::{
        signal::{SigHandler, Signal, signal},
        wait::WaitPidFlag,
    },
    unistd::{Pid, execvp, setsid},
};

use crate::{
    memory::lock_all,
    process::{Child, exit, wait_for_any},
};

const FILE_SYSTEMS: [(&str, &str); 4] = [("devtmpfs", "/dev"), ("proc", "/proc"), ("sysfs", "/sys"), ("tmpfs", "/tmp")];

/// The status of a program that was ended by the key for that.
const INTERRUPTED: i32 = 128 + libc::SIGINT;

const SHELL: [&str; 2] = ["/bin/sh", "-l"];

pub(crate) fn main(arguments: &[String]) -> ExitCode {
    for (kind, place) in FILE_SYSTEMS {
        if let Err(error) = mount_at(kind, place) {
            eprintln!("init: {kind} at {place}: {error}");
        }
    }
    // Who counts what programs have in swap shall not find process 1 there. It works without that, too.
    let _ = lock_all();
    set_window_size();
    let run = |words: &[String]| {
        run(words).unwrap_or_else(|error| {
            eprintln!("init: {}: {error}", words[0]);
            127
        })
    };
    let shell = SHELL.map(str::to_owned);
    let status = run(if arguments.is_empty() { &shell } else { arguments });
    if !arguments.is_empty() && env::var("shell").is_ok_and(|when| when == "after") {
        run(&shell);
        if status == INTERRUPTED {
            return ExitCode::SUCCESS;
        }
    }
    // Exit status 0 to 255 of a program, 128 and its number for a signal: never more than a byte.
    ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX))
}

/// Mounts, unless something is mounted there already.
pub(crate) fn mount_at(kind: &str, place: &str) -> nix::Result<()> {
    let _ = fs::create_dir(place);
    match mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>) {
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Runs a program on the console to its end, and says how that was as a shell does. Orphans are waited for meanwhile.
fn run(words: &[String]) -> nix::Result<i32> {
    let words: Vec<CString> =
        words.iter().map(|word| CString::new(word.as_str())).collect::<Result<_, _>>().map_err(|_| Errno::EINVAL)?;
    let child = Child::start(|| {
        take_terminal();
        // Rust's runtime ignores it, which the program would go on doing.
        // SAFETY: the default action runs no code.
        let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
        let Err(error) = execvp(&words[0], &words);
        eprintln!("init: {}: {error}", words[0].to_string_lossy());
        exit(127)
    })?;
    wait_for(child.0)
}

fn wait_for(child: Pid) -> nix::Result<i32> {
    loop {
        match wait_for_any(WaitPidFlag::empty()) {
            Ok(Some((pid, status))) if pid == child => {
                if status > 128 && status != INTERRUPTED {
                    eprintln!("init: the program ended with status {status}, as of signal {}", status - 128);
                }
                return Ok(status);
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Makes the console the terminal of a new session, so that the keys that interrupt and stop work.
fn take_terminal() {
    if setsid().is_ok() {
        // SAFETY: the request has no argument in memory. Without a terminal there is nothing to take.
        let _ = unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) };
    }
}

fn set_window_size() {
    let number = |name| env::var(name).ok().and_then(|value: String| value.parse::<u16>().ok());
    let (Some(rows), Some(columns)) = (number("LINES"), number("COLUMNS")) else { return };
    let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request reads a `winsize`. A console that has no size keeps none.
    let _ = unsafe { libc::ioctl(std::io::stdin().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
}
