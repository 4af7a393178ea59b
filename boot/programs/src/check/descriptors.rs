//! Open files by number: what they allow, who shares them, when they are closed, and that nothing is lost on the way.

use std::{
    collections::BTreeSet,
    ffi::CString,
    fs::{self, File, OpenOptions},
    io::{IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write},
    os::fd::AsRawFd,
};

use nix::{
    errno::Errno,
    fcntl::{FcntlArg, OFlag, fcntl},
    libc,
    sys::{
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{self, Whence, dup2, lseek, pipe, pipe2},
};

use super::outcome::{Check, Outcome, require};
use crate::process::Child;

pub(super) const CHECKS: &[Check] = &[
    ("descriptors-closed-by-exec", closed_by_exec),
    ("descriptors-replaced", replaced),
    ("descriptors-flags", flags),
    ("descriptors-modes", modes),
    ("descriptors-positions", positions),
    ("descriptors-pieces", pieces),
    ("descriptors-entries", entries),
    ("descriptors-nothing-lost", nothing_lost),
    ("descriptors-short-writes-whole", short_writes_whole),
];

/// A path that is this process's alone.
fn path(name: &str) -> String {
    format!("/tmp/check-{name}-{}", std::process::id())
}

fn raw<T>(result: std::io::Result<T>) -> Result<T, Errno> {
    result.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(0)))
}

/// A child of this process, that has become another program and stopped, still holds what need not be closed.
fn closed_by_exec() -> Outcome {
    let program = CString::new("/proc/self/exe")?;
    let number = CString::new((Signal::SIGSTOP as i32).to_string())?;
    for (flag, expected) in [(OFlag::O_CLOEXEC, Ok(0)), (OFlag::empty(), Err(Errno::EAGAIN))] {
        let (reader, writer) = pipe2(flag | OFlag::O_NONBLOCK)?;
        let child = Child::start(|| {
            let Err(error) = unistd::execv(&program, &[c"check", c"--raise", number.as_c_str()]);
            error as i32
        })?;
        drop(writer);
        let status = waitpid(child.0, Some(WaitPidFlag::WUNTRACED))?;
        let found = unistd::read(&reader, &mut [0]);
        child.signal(Signal::SIGKILL)?;
        require!(
            status == WaitStatus::Stopped(child.0, Signal::SIGSTOP),
            "another program, to stop at once: {status:?}"
        );
        child.wait()?;
        require!(found == expected, "with {flag:?} a pipe whose writer is another program now gave {found:?}");
    }
    Ok(())
}

fn replaced() -> Outcome {
    let ((reader, writer), (other_reader, mut other)) = (pipe2(OFlag::O_NONBLOCK)?, pipe2(OFlag::O_NONBLOCK)?);
    let number = other.as_raw_fd();
    dup2(&writer, &mut other)?;
    require!(other.as_raw_fd() == number, "dup2 gave another number than it was asked for");
    let end = unistd::read(&other_reader, &mut [0]);
    require!(end == Ok(0), "what had the number is still open: its pipe gave {end:?}");
    unistd::write(&other, b"x")?;
    drop((writer, other));
    let mut bytes = [0; 4];
    let found = (unistd::read(&reader, &mut bytes)?, unistd::read(&reader, &mut bytes)?);
    require!(found == (1, 0) && bytes[0] == b'x', "the pipe that took the number gave {found:?}, {bytes:?}");
    // SAFETY: the calls have no arguments in memory; the numbers are of a file that stays open, and of none.
    let same = Errno::result(unsafe { libc::dup2(reader.as_raw_fd(), reader.as_raw_fd()) });
    require!(same == Ok(reader.as_raw_fd()), "dup2 to itself gave {same:?}");
    // SAFETY: as above.
    let none = Errno::result(unsafe { libc::dup2(999, 999) });
    require!(none == Err(Errno::EBADF), "dup2 of a file that is not open gave {none:?}");
    Ok(())
}

/// What `fcntl` sets holds for every number of the same open file.
fn flags() -> Outcome {
    let (reader, writer) = pipe()?;
    let twin = unistd::dup(&reader)?;
    fcntl(&reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    let empty = unistd::read(&twin, &mut [0]);
    require!(empty == Err(Errno::EAGAIN), "reading an empty pipe with O_NONBLOCK gave {empty:?}");
    drop(writer);
    let path = path("flags");
    fs::write(&path, "one")?;
    let mut file = OpenOptions::new().write(true).open(&path)?;
    fcntl(&file, FcntlArg::F_SETFL(OFlag::O_APPEND))?;
    file.write_all(b"two")?;
    let text = fs::read_to_string(&path)?;
    require!(text == "onetwo", "writing with O_APPEND, set later, made {text:?}");
    Ok(fs::remove_file(path)?)
}

fn modes() -> Outcome {
    let path = path("modes");
    fs::write(&path, "long text")?;
    let refused = raw(File::open(&path)?.write(b"x"));
    require!(refused == Err(Errno::EBADF), "writing to a file opened to be read gave {refused:?}");
    let refused = raw(OpenOptions::new().write(true).open(&path)?.read(&mut [0]));
    require!(refused == Err(Errno::EBADF), "reading from a file opened to be written gave {refused:?}");
    OpenOptions::new().write(true).truncate(true).open(&path)?.write_all(b"x")?;
    let text = fs::read_to_string(&path)?;
    require!(text == "x", "a file that was cut and written is {text:?}");
    Ok(fs::remove_file(path)?)
}

fn positions() -> Outcome {
    let path = path("positions");
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    file.seek(SeekFrom::Start(10_000))?;
    require!(file.read(&mut [0])? == 0, "there is something behind a file's end");
    file.write_all(b"x")?;
    let bytes = fs::read(&path)?;
    require!(bytes.len() == 10_001 && bytes[..10_000].iter().all(|&byte| byte == 0), "a hole is not zero");
    let refused = raw(file.seek(SeekFrom::Current(-10_002)));
    require!(refused == Err(Errno::EINVAL), "a position before the beginning gave {refused:?}");
    require!(file.stream_position()? == 10_001, "a position that was refused moved the file's");
    let refused = lseek(pipe()?.0, 0, Whence::SeekCur);
    require!(refused == Err(Errno::ESPIPE), "the position of a pipe gave {refused:?}");
    Ok(fs::remove_file(path)?)
}

fn pieces() -> Outcome {
    let path = path("pieces");
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    let written = file.write_vectored(&[b"one", &b""[..], b"three"].map(IoSlice::new))?;
    require!(written == 8, "eight bytes in three pieces were written as {written}");
    file.rewind()?;
    let (mut first, mut second) = ([0; 2], [0; 10]);
    let read = file.read_vectored(&mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)])?;
    require!(read == 8 && first == *b"on" && second[..6] == *b"ethree", "{read} bytes: {first:?} {second:?}");
    Ok(fs::remove_file(path)?)
}

/// The names that `getdents64` gives, in pieces of so many bytes.
fn names(directory: &File, piece: usize) -> nix::Result<Vec<String>> {
    let mut names = Vec::new();
    loop {
        let mut bytes = vec![0_u8; piece];
        // SAFETY: the buffer is as long as it is said to be.
        let read = unsafe { libc::syscall(libc::SYS_getdents64, directory.as_raw_fd(), bytes.as_mut_ptr(), piece) };
        let mut rest = &bytes[..Errno::result(read)?.unsigned_abs() as usize];
        if rest.is_empty() {
            return Ok(names);
        }
        while let [_, .., _] = rest {
            let length = usize::from(u16::from_le_bytes([rest[16], rest[17]]));
            let name = rest[19..length].split(|&byte| byte == 0).next().unwrap_or_default();
            names.push(String::from_utf8_lossy(name).into_owned());
            rest = &rest[length..];
        }
    }
}

fn entries() -> Outcome {
    let path = path("entries");
    fs::create_dir(&path)?;
    let made: BTreeSet<String> = (0..100).map(|number| format!("{number}{}", "x".repeat(number % 40))).collect();
    made.iter().try_for_each(|name| fs::write(format!("{path}/{name}"), ""))?;
    let expected: BTreeSet<String> = made.into_iter().chain([".", ".."].map(str::to_owned)).collect();
    let mut directory = File::open(&path)?;
    for piece in [80, 200, 1000, 32_768] {
        let found = names(&directory, piece)?;
        require!(found.len() == 102, "in pieces of {piece} bytes there are {} names", found.len());
        require!(found.into_iter().collect::<BTreeSet<_>>() == expected, "in pieces of {piece} bytes names are wrong");
        directory.rewind()?;
    }
    let refused = names(&directory, 10);
    require!(refused == Err(Errno::EINVAL), "a piece that holds no name gave {refused:?}");
    Ok(fs::remove_dir_all(path)?)
}

/// Bytes that have no place to go stay in the pipe.
fn nothing_lost() -> Outcome {
    let (reader, writer) = pipe2(OFlag::O_NONBLOCK)?;
    unistd::write(&writer, b"text")?;
    // SAFETY: the kernel must refuse the address.
    let refused = Errno::result(unsafe { libc::syscall(libc::SYS_read, reader.as_raw_fd(), 16, 4) });
    require!(refused == Err(Errno::EFAULT), "reading to no address gave {refused:?}");
    let mut bytes = [0; 8];
    let read = unistd::read(&reader, &mut bytes)?;
    require!(bytes[..read] == *b"text", "then there was {:?}", &bytes[..read]);
    Ok(())
}

/// Up to `PIPE_BUF` bytes are written as one, or not at all.
fn short_writes_whole() -> Outcome {
    let (reader, writer) = pipe2(OFlag::O_NONBLOCK)?;
    let written = unistd::write(&writer, &vec![1; 64_536])?;
    let refused = unistd::write(&writer, &[2; 4096]);
    require!(refused == Err(Errno::EAGAIN), "after {written} bytes of 65536, 4096 more gave {refused:?}");
    require!(unistd::write(&writer, &[3; 1000])? == 1000, "what there is room for was not taken");
    let mut bytes = vec![0; 65_536];
    let read = unistd::read(&reader, &mut bytes)?;
    require!(read == 65_536 && !bytes.contains(&2), "{read} bytes, and some of a write that was refused");
    Ok(())
}
