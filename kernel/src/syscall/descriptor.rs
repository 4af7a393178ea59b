//! Open files by number: opening, closing, duplicating, flags.

use alloc::format;
use alloc::sync::Arc;

use linux_raw_sys::general as linux;

use super::location::{start_at, this_start};
use super::user_data::{path, write_u32};
use super::{Arguments, Calls, Outcome};
use crate::errno::Errno;
use crate::fs::open::{FILES_MAX, OpenFile};
use crate::fs::path::Start;
use crate::fs::{access, namespace, pipe};
use crate::process::this;

/// The flags of `close_range(2)`: with files of one's own, and only when a program is started.
const CLOSE_RANGE_UNSHARE: u32 = 1 << 1;
const CLOSE_RANGE_CLOEXEC: u32 = 1 << 2;

pub(super) const CALLS: Calls = &[
    (linux::__NR_open, open),
    (linux::__NR_openat, openat),
    (linux::__NR_creat, creat),
    (linux::__NR_close, close),
    (linux::__NR_close_range, close_range),
    (linux::__NR_dup, dup),
    (linux::__NR_dup2, dup2),
    (linux::__NR_dup3, dup3),
    (linux::__NR_fcntl, fcntl),
    (linux::__NR_pipe, pipe),
    (linux::__NR_pipe2, pipe2),
];

fn open_from(start: &Start, path_address: u64, flags: u32, mode: u32) -> Outcome {
    let process = this();
    let path = path(path_address)?;
    let permissions = mode & 0o7777 & !process.location.mask();
    let file = namespace::open(start, &path, flags, permissions)?;
    process.files.add(file, 0, flags & linux::O_CLOEXEC != 0).map(u64::from)
}

fn open(arguments: &Arguments) -> Outcome {
    let [path, flags, mode, ..] = arguments.a;
    open_from(&this_start(), path, flags as u32, mode as u32)
}

fn openat(arguments: &Arguments) -> Outcome {
    let [directory, path, flags, mode, ..] = arguments.a;
    open_from(&start_at(directory)?, path, flags as u32, mode as u32)
}

fn creat(arguments: &Arguments) -> Outcome {
    let [path, mode, ..] = arguments.a;
    open_from(&this_start(), path, linux::O_CREAT | linux::O_WRONLY | linux::O_TRUNC, mode as u32)
}

fn close(arguments: &Arguments) -> Outcome {
    this().files.close(arguments.a[0] as u32).map(|()| 0)
}

fn close_range(arguments: &Arguments) -> Outcome {
    let [first, last, flags, ..] = arguments.a.map(|argument| argument as u32);
    if first > last || flags & !(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE) != 0 {
        return Err(Errno::EINVAL);
    }
    let files = &this().files;
    if flags & CLOSE_RANGE_CLOEXEC == 0 {
        files.close_range(first, last);
        return Ok(0);
    }
    for descriptor in files.numbers(first).into_iter().filter(|descriptor| *descriptor <= last) {
        // One that was closed meanwhile needs no flag.
        let _ = files.set_close_on_exec(descriptor, true);
    }
    Ok(0)
}

fn dup(arguments: &Arguments) -> Outcome {
    let files = &this().files;
    let file = files.get(arguments.a[0] as u32)?;
    files.add(file, 0, false).map(u64::from)
}

fn dup2(arguments: &Arguments) -> Outcome {
    let [old, new, ..] = arguments.a.map(|argument| argument as u32);
    if old == new {
        return this().files.get(old).map(|_| u64::from(new));
    }
    duplicate(old, new, false)
}

fn dup3(arguments: &Arguments) -> Outcome {
    let [old, new, flags, ..] = arguments.a.map(|argument| argument as u32);
    if old == new || flags & !linux::O_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    duplicate(old, new, flags != 0)
}

fn duplicate(old: u32, new: u32, close_on_exec: bool) -> Outcome {
    let files = &this().files;
    files.replace(new, files.get(old)?, close_on_exec)?;
    Ok(u64::from(new))
}

fn fcntl(arguments: &Arguments) -> Outcome {
    let [descriptor, command, argument, ..] = arguments.a;
    let descriptor = descriptor as u32;
    let process = this();
    let files = &process.files;
    let file = files.get(descriptor)?;
    match command as u32 {
        command @ (linux::F_DUPFD | linux::F_DUPFD_CLOEXEC) => {
            if argument >= FILES_MAX as u64 {
                return Err(Errno::EINVAL);
            }
            files.add(file, argument as u32, command == linux::F_DUPFD_CLOEXEC).map(u64::from)
        }
        linux::F_GETFD => files.closes_on_exec(descriptor).map(u64::from),
        linux::F_SETFD => files.set_close_on_exec(descriptor, argument & u64::from(linux::FD_CLOEXEC) != 0).map(|()| 0),
        linux::F_GETFL => Ok(u64::from(file.flags())),
        linux::F_SETFL => {
            let flags = argument as u32;
            if flags & !file.flags() & linux::O_NOATIME != 0 {
                access::check_owner(&process.credentials(), &file.node().metadata().attributes)?;
            }
            file.set_flags(flags);
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}

fn pipe(arguments: &Arguments) -> Outcome {
    make_pipe(arguments.a[0], 0)
}

fn pipe2(arguments: &Arguments) -> Outcome {
    make_pipe(arguments.a[0], arguments.a[1] as u32)
}

fn make_pipe(address: u64, flags: u32) -> Outcome {
    if flags & !(linux::O_CLOEXEC | linux::O_NONBLOCK | linux::O_DIRECT) != 0 {
        return Err(Errno::EINVAL);
    }
    let (node, [reader, writer]) = pipe::new();
    let shown = format!("pipe:[{}]", node.metadata().inode);
    let kept = flags & linux::O_NONBLOCK;
    let reader = OpenFile::new(Arc::clone(&node), reader, shown.as_bytes(), linux::O_RDONLY | kept)?;
    let writer = OpenFile::new(node, writer, shown.as_bytes(), linux::O_WRONLY | kept)?;
    let files = &this().files;
    let close_on_exec = flags & linux::O_CLOEXEC != 0;
    let first = files.add(reader, 0, close_on_exec)?;
    let result = files.add(writer, 0, close_on_exec).and_then(|second| {
        let written = write_u32(address, first).and_then(|()| write_u32(address.wrapping_add(4), second));
        written.inspect_err(|_| _ = files.close(second))
    });
    result.inspect_err(|_| _ = files.close(first)).map(|()| 0)
}
