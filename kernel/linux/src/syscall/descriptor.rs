//! Open files by number: opening, closing, duplicating, flags.

use alloc::sync::Arc;

use linux_raw_sys::general as linux;
use quire_machine::fallible;
use quire_machine::user::Word;

use super::arguments::{Arguments, Calls, Outcome};
use super::location::{given_path, start_at, this_start};
use super::lock;
use super::user_data::path;
use crate::errno::Errno;
use crate::fs::node::NodeKind;
use crate::fs::open::OpenFile;
use crate::fs::path::Start;
use crate::fs::{access, namespace, pipe, tmpfs};
use crate::process::control_block::this;

/// The flags of `close_range(2)`: with files of one's own, and only when a program is started.
const CLOSE_RANGE_UNSHARE: u32 = 1 << 1;
const CLOSE_RANGE_CLOEXEC: u32 = 1 << 2;
/// Every seal that Linux has (`F_ALL_SEALS`).
const SEALS: u32 = 0x3f;

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

fn open_from(start: &Start, path: &[u8], flags: u32, mode: u32) -> Outcome {
    let process = this();
    let permissions = mode & 0o7777 & !process.location.mask();
    // As Linux does for 64-bit programs.
    let file = namespace::open(start, path, flags | linux::O_LARGEFILE, permissions)?;
    process.files.add(file, 0, flags & linux::O_CLOEXEC != 0).map(u64::from)
}

fn open(arguments: &Arguments<'_>) -> Outcome {
    let [address, flags, mode, ..] = arguments.words();
    open_from(&this_start(), &path(address)?, flags.low(), mode.low())
}

fn openat(arguments: &Arguments<'_>) -> Outcome {
    let [directory, path, flags, mode, ..] = arguments.words();
    let path = given_path(path, false)?;
    open_from(&start_at(directory, &path)?, &path, flags.low(), mode.low())
}

fn creat(arguments: &Arguments<'_>) -> Outcome {
    let [address, mode, ..] = arguments.words();
    open_from(&this_start(), &path(address)?, linux::O_CREAT | linux::O_WRONLY | linux::O_TRUNC, mode.low())
}

fn close(arguments: &Arguments<'_>) -> Outcome {
    this().files.close(arguments.word(0).low()).map(|()| 0)
}

fn close_range(arguments: &Arguments<'_>) -> Outcome {
    let [first, last, flags, ..] = arguments.words().map(Word::low);
    if first > last || flags & !(CLOSE_RANGE_CLOEXEC | CLOSE_RANGE_UNSHARE) != 0 {
        return Err(Errno::EINVAL);
    }
    let files = &this().files;
    if flags & CLOSE_RANGE_CLOEXEC == 0 {
        files.close_range(first, last);
        return Ok(0);
    }
    for descriptor in files.numbers(first)?.into_iter().filter(|descriptor| *descriptor <= last) {
        // One that was closed meanwhile needs no flag.
        let _ = files.set_close_on_exec(descriptor, true);
    }
    Ok(0)
}

fn dup(arguments: &Arguments<'_>) -> Outcome {
    let files = &this().files;
    let file = files.get_or_path(arguments.word(0).low())?;
    files.add(file, 0, false).map(u64::from)
}

fn dup2(arguments: &Arguments<'_>) -> Outcome {
    let [old, new, ..] = arguments.words().map(Word::low);
    if old == new {
        return this().files.get_or_path(old).map(|_| u64::from(new));
    }
    duplicate(old, new, false)
}

fn dup3(arguments: &Arguments<'_>) -> Outcome {
    let [old, new, flags, ..] = arguments.words().map(Word::low);
    if old == new || flags & !linux::O_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    duplicate(old, new, flags != 0)
}

fn duplicate(old: u32, new: u32, close_on_exec: bool) -> Outcome {
    let files = &this().files;
    files.replace(new, files.get_or_path(old)?, close_on_exec)?;
    Ok(u64::from(new))
}

fn fcntl(arguments: &Arguments<'_>) -> Outcome {
    let [descriptor, command, argument, ..] = arguments.words();
    let descriptor = descriptor.low();
    let process = this();
    let files = &process.files;
    let command = command.low();
    let file = match command {
        linux::F_DUPFD | linux::F_DUPFD_CLOEXEC | linux::F_GETFD | linux::F_SETFD | linux::F_GETFL => {
            files.get_or_path(descriptor)
        }
        _ => files.get(descriptor),
    }?;
    match command {
        command @ (linux::F_DUPFD | linux::F_DUPFD_CLOEXEC) => {
            let from = argument.bits();
            if from >= files.end() as u64 {
                return Err(Errno::EINVAL);
            }
            files.add(file, from as u32, command == linux::F_DUPFD_CLOEXEC).map(u64::from)
        }
        linux::F_GETFD => files.closes_on_exec(descriptor).map(u64::from),
        linux::F_SETFD => files.set_close_on_exec(descriptor, argument.low() & linux::FD_CLOEXEC != 0).map(|()| 0),
        linux::F_GETFL => Ok(u64::from(file.flags())),
        linux::F_SETFL => {
            let flags = argument.low();
            // Neither a pipe of packets, nor a device whose reads could go round a cache.
            if flags & linux::O_DIRECT != 0
                && !matches!(file.node().metadata().kind, NodeKind::File | NodeKind::Block(_))
            {
                return Err(Errno::EINVAL);
            }
            if flags & !file.flags() & linux::O_NOATIME != 0 {
                access::check_owner(&process.credentials(), &file.node().metadata().attributes)?;
            }
            file.set_flags(flags);
            Ok(0)
        }
        // Files in memory are sealed against seals.
        linux::F_GET_SEALS if tmpfs::is_file(file.node()) => Ok(u64::from(linux::F_SEAL_SEAL)),
        linux::F_ADD_SEALS => {
            file.check_writable().map_err(|_| Errno::EPERM)?;
            Err(if argument.low() & !SEALS == 0 && tmpfs::is_file(file.node()) { Errno::EPERM } else { Errno::EINVAL })
        }
        linux::F_GETPIPE_SZ => pipe::capacity(&**file.file()),
        linux::F_SETPIPE_SZ => pipe::set_capacity(&**file.file(), argument.low().into()),
        command => lock::fcntl(&file, command, argument.pointer()).unwrap_or(Err(Errno::EINVAL)),
    }
}

fn pipe(arguments: &Arguments<'_>) -> Outcome {
    make_pipe(arguments.word(0), 0)
}

fn pipe2(arguments: &Arguments<'_>) -> Outcome {
    make_pipe(arguments.word(0), arguments.word(1).low())
}

fn make_pipe(address: Word, flags: u32) -> Outcome {
    // A pipe of packets (`O_DIRECT`) is not among those that there are.
    if flags & !(linux::O_CLOEXEC | linux::O_NONBLOCK) != 0 {
        return Err(Errno::EINVAL);
    }
    let (node, [reader, writer]) = pipe::new()?;
    let shown = fallible::text(format_args!("pipe:[{}]", node.metadata().inode))?;
    let kept = flags & linux::O_NONBLOCK;
    let process = this();
    let open = |node, end, mode| OpenFile::new(node, end, shown.as_bytes(), mode | kept, &process.credentials());
    let reader = open(Arc::clone(&node), reader, linux::O_RDONLY)?;
    let writer = open(node, writer, linux::O_WRONLY)?;
    let files = &process.files;
    let close_on_exec = flags & linux::O_CLOEXEC != 0;
    let first = files.add(reader, 0, close_on_exec)?;
    let result = files.add(writer, 0, close_on_exec).and_then(|second| {
        let written = address.pointer().write([first, second]).map_err(Errno::from);
        written.inspect_err(|_| _ = files.close(second))
    });
    result.inspect_err(|_| _ = files.close(first)).map(|()| 0)
}
