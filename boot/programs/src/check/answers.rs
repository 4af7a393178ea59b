//! Which of several things that are wrong with a call is said, and how much of a call is served that meets something wrong on its
//! way. Each was found by comparing what the same calls, at random, get here and on Linux.

use std::{
    ffi::CString,
    fs::{self, File},
    io::Seek,
    os::fd::AsRawFd,
};

use nix::{
    errno::Errno,
    libc::{self, c_int, c_long},
    unistd::{Whence, lseek},
};

use super::outcome::{Check, Outcome, require};
use crate::memory::PAGE;

pub(super) const CHECKS: &[Check] = &[
    ("answers-only-path", only_path),
    ("answers-names", names),
    ("answers-half-a-buffer", half_a_buffer),
    ("answers-holes-in-memory", holes_in_memory),
    ("answers-several-mappings", several_mappings),
    ("answers-holes-in-files", holes_in_files),
    ("answers-order", order),
];

/// Bytes in a page, for arguments.
#[expect(clippy::cast_possible_wrap, reason = "it is 4096")]
const PAGE_BYTES: i64 = PAGE as i64;

/// What is asked of the kernel, the call's number, its arguments, and what it has to give.
type Question<'a> = (&'a str, c_long, &'a [i64], Result<i64, Errno>);

/// What a call gave.
fn call(number: c_long, arguments: &[i64]) -> Result<i64, Errno> {
    let mut six = [0; 6];
    six[..arguments.len()].copy_from_slice(arguments);
    let [first, second, third, fourth, fifth, sixth] = six;
    // SAFETY: what the checks here give to calls is theirs, or nothing.
    Errno::result(unsafe { libc::syscall(number, first, second, third, fourth, fifth, sixth) })
}

fn expect(what: &str, found: Result<i64, Errno>, expected: Result<i64, Errno>) -> Outcome {
    require!(found == expected, "{what} gave {found:?}, not {expected:?}");
    Ok(())
}

/// A directory that is this process's alone, with a file and a directory in it.
fn directory() -> std::io::Result<String> {
    let path = format!("/tmp/check-answers-{}", std::process::id());
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(format!("{path}/directory"))?;
    fs::write(format!("{path}/file"), b"contents")?;
    Ok(path)
}

fn open(path: &str, flags: c_int) -> Result<i64, Errno> {
    let path = CString::new(path).map_err(|_| Errno::EINVAL)?;
    call(libc::SYS_openat, &[libc::AT_FDCWD.into(), path.as_ptr() as i64, flags.into(), 0o600])
}

/// With what is only a path nothing is done but to look at it, to number it and to begin paths there.
fn only_path() -> Outcome {
    let path = directory()?;
    let file = open(&format!("{path}/file"), libc::O_PATH)?;
    let mut bytes = [0_u64; 32];
    let buffer = bytes.as_mut_ptr() as i64;
    let refused: &[(&str, c_long, &[i64])] = &[
        ("read", libc::SYS_read, &[file, buffer, 1]),
        ("pread", libc::SYS_pread64, &[file, buffer, 1, 0]),
        ("pwritev", libc::SYS_pwritev, &[file, buffer, 1, 0]),
        ("lseek", libc::SYS_lseek, &[file, 0, 0]),
        ("ftruncate", libc::SYS_ftruncate, &[file, 0]),
        ("fallocate", libc::SYS_fallocate, &[file, 0, 0, 1]),
        ("fsync", libc::SYS_fsync, &[file]),
        ("syncfs", libc::SYS_syncfs, &[file]),
        ("fadvise64", libc::SYS_fadvise64, &[file, 0, 0, 0]),
        ("fchmod", libc::SYS_fchmod, &[file, 0o600]),
        ("fchown", libc::SYS_fchown, &[file, -1, -1]),
        ("utimensat", libc::SYS_utimensat, &[file, 0, 0, 0]),
        ("getdents64", libc::SYS_getdents64, &[file, buffer, 256]),
        ("ioctl", libc::SYS_ioctl, &[file, 0x5421, buffer]),
        ("flock", libc::SYS_flock, &[file, libc::LOCK_SH.into()]),
        ("F_SETFL", libc::SYS_fcntl, &[file, libc::F_SETFL.into(), 0]),
        ("F_GETLK", libc::SYS_fcntl, &[file, libc::F_GETLK.into(), buffer]),
        ("mmap", libc::SYS_mmap, &[0, PAGE_BYTES, libc::PROT_READ.into(), libc::MAP_PRIVATE.into(), file, 0]),
    ];
    for (name, number, arguments) in refused {
        expect(name, call(*number, arguments), Err(Errno::EBADF))?;
    }
    expect("fstat", call(libc::SYS_fstat, &[file, buffer]), Ok(0))?;
    expect("F_GETFL", call(libc::SYS_fcntl, &[file, libc::F_GETFL.into()]), Ok(libc::O_PATH.into()))?;
    let copy = call(libc::SYS_dup, &[file])?;
    call(libc::SYS_close, &[copy])?;
    call(libc::SYS_close, &[file])?;
    // What is opened for neither reading nor writing is for neither.
    let neither = open(&format!("{path}/file"), libc::O_ACCMODE)?;
    expect("read with neither", call(libc::SYS_read, &[neither, buffer, 1]), Err(Errno::EBADF))?;
    expect("write with neither", call(libc::SYS_write, &[neither, buffer, 1]), Err(Errno::EBADF))?;
    call(libc::SYS_close, &[neither])?;
    Ok(fs::remove_dir_all(path)?)
}

fn names() -> Outcome {
    let path = directory()?;
    let create = libc::O_CREAT | libc::O_WRONLY;
    for (name, flags, expected) in [
        ("file/", create, Errno::EISDIR),
        ("new/", create, Errno::EISDIR),
        ("directory/", create | libc::O_EXCL, Errno::EISDIR),
        ("file/", libc::O_RDONLY, Errno::ENOTDIR),
        ("new", create | libc::O_DIRECTORY, Errno::EINVAL),
    ] {
        expect(&format!("opening {name}"), open(&format!("{path}/{name}"), flags), Err(expected))?;
    }
    let paths = ["file", "file/", "new/", "gone", "directory/."].map(|name| CString::new(format!("{path}/{name}")));
    let [file, slashed, new, gone, dot] =
        paths.each_ref().map(|path| path.as_ref().map_or(0, |path| path.as_ptr() as i64));
    let (null, empty) = (c"/dev/null".as_ptr() as i64, c"".as_ptr() as i64);
    let (here, noreplace) = (libc::AT_FDCWD.into(), libc::RENAME_NOREPLACE.into());
    let times = [libc::timespec { tv_sec: 0, tv_nsec: -1 }; 2];
    let answers: &[Question<'_>] = &[
        ("a directory over a file", libc::SYS_mkdir, &[slashed, 0], Err(Errno::EEXIST)),
        ("a link with a slash behind it", libc::SYS_link, &[file, new], Err(Errno::ENOENT)),
        ("a link to another file system", libc::SYS_link, &[null, gone], Err(Errno::EXDEV)),
        ("unlink with a slash", libc::SYS_unlink, &[slashed], Err(Errno::ENOTDIR)),
        ("rename with a slash", libc::SYS_rename, &[slashed, gone], Err(Errno::ENOTDIR)),
        ("rename to itself", libc::SYS_rename, &[file, file], Ok(0)),
        (
            "rename to itself, replacing nothing",
            libc::SYS_renameat2,
            &[here, file, here, file, noreplace],
            Err(Errno::EEXIST),
        ),
        ("rename of nothing to elsewhere", libc::SYS_rename, &[gone, null], Err(Errno::EXDEV)),
        ("rename of a dot", libc::SYS_rename, &[dot, gone], Err(Errno::EBUSY)),
        ("a link's target without room", libc::SYS_readlink, &[gone, 0, 0], Err(Errno::EINVAL)),
        ("times of nothing", libc::SYS_utimensat, &[here, gone, times.as_ptr() as i64, 0], Err(Errno::ENOENT)),
        ("impossible times", libc::SYS_utimensat, &[here, file, times.as_ptr() as i64, 0], Err(Errno::EINVAL)),
        // An absolute path does without the directory, and an empty one is none before it is looked at.
        ("an absolute path from nowhere", libc::SYS_faccessat, &[-1, file, 0], Ok(0)),
        ("an empty path from nowhere", libc::SYS_faccessat, &[-1, empty, 0], Err(Errno::ENOENT)),
        ("a program that is not there, with bad arguments", libc::SYS_execve, &[gone, -1, 0], Err(Errno::ENOENT)),
        ("a signal that is none to a process that is none", libc::SYS_kill, &[i32::MAX.into(), 100], Err(Errno::ESRCH)),
        ("a memory file with unknown flags", libc::SYS_memfd_create, &[empty, -1], Err(Errno::EINVAL)),
    ];
    for (what, number, arguments, expected) in answers {
        expect(what, call(*number, arguments), *expected)?;
    }
    Ok(fs::remove_dir_all(path)?)
}

/// Two pages, of which the second is nobody's, and where they are.
fn one_page_before_a_hole() -> Result<i64, Errno> {
    let page = PAGE_BYTES;
    let both = libc::PROT_READ | libc::PROT_WRITE;
    let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let address = call(libc::SYS_mmap, &[0, 3 * page, both.into(), private.into(), -1, 0])?;
    call(libc::SYS_munmap, &[address + page, page])?;
    Ok(address)
}

/// What lies before a page that is not there is transferred.
fn half_a_buffer() -> Outcome {
    let page = PAGE_BYTES;
    let address = one_page_before_a_hole()?;
    let mut file = tempfile_of(2)?;
    let number = i64::from(file.as_raw_fd());
    expect("write", call(libc::SYS_write, &[number, address + 96, 2 * page]), Ok(page - 96))?;
    file.rewind()?;
    expect("read", call(libc::SYS_read, &[number, address + 96, 2 * page]), Ok(page - 96))?;
    expect("read behind", call(libc::SYS_read, &[number, address + page, 1]), Err(Errno::EFAULT))?;
    // What a pipe holds is not lost for want of a place.
    let (reader, writer) = nix::unistd::pipe()?;
    let (reader, writer) = (i64::from(reader.as_raw_fd()), i64::from(writer.as_raw_fd()));
    expect("write of half a page", call(libc::SYS_write, &[writer, address + page - 64, 128]), Err(Errno::EFAULT))?;
    expect("write of pages", call(libc::SYS_write, &[writer, address, 2 * page]), Ok(page))?;
    expect("read to nowhere", call(libc::SYS_read, &[reader, address + page, page]), Err(Errno::EFAULT))?;
    expect("read of the pipe", call(libc::SYS_read, &[reader, address, page]), Ok(page))?;
    call(libc::SYS_munmap, &[address, 3 * page])?;
    Ok(())
}

/// A file in memory that is so many pages long.
fn tempfile_of(pages: i64) -> Result<File, Errno> {
    use std::os::fd::FromRawFd;
    let number = call(libc::SYS_memfd_create, &[c"answers".as_ptr() as i64, 0])?;
    call(libc::SYS_ftruncate, &[number, pages * PAGE_BYTES])?;
    // SAFETY: the number is new and no other task's.
    Ok(unsafe { File::from_raw_fd(i32::try_from(number).map_err(|_| Errno::EMFILE)?) })
}

/// What is before a hole is served, and the hole is told.
fn holes_in_memory() -> Outcome {
    let page = PAGE_BYTES;
    let address = one_page_before_a_hole()?;
    let read = i64::from(libc::PROT_READ);
    expect("mprotect", call(libc::SYS_mprotect, &[address, 3 * page, read]), Err(Errno::ENOMEM))?;
    let zeros = open("/dev/zero", libc::O_RDONLY)?;
    expect("a store before the hole", call(libc::SYS_read, &[zeros, address, 1]), Err(Errno::EFAULT))?;
    expect("a store behind it", call(libc::SYS_read, &[zeros, address + 2 * page, 1]), Ok(1))?;
    let mut bytes = [0_u8; 3];
    let vector = bytes.as_mut_ptr() as i64;
    expect("mincore", call(libc::SYS_mincore, &[address, 3 * page, vector]), Err(Errno::ENOMEM))?;
    expect("mincore to nowhere", call(libc::SYS_mincore, &[address, 3 * page, address + page]), Err(Errno::EFAULT))?;
    // Bits of the protection are looked at before what is mapped; a stack that grows is not everything.
    expect("a protection that is none", call(libc::SYS_mprotect, &[address, 1 << 62, 0x10]), Err(Errno::EINVAL))?;
    let (down, up) = (i64::from(libc::PROT_GROWSDOWN), i64::from(libc::PROT_GROWSUP));
    expect("no stack that grows down", call(libc::SYS_mprotect, &[address, page, read | down]), Err(Errno::EINVAL))?;
    expect("no stack that grows up", call(libc::SYS_mprotect, &[address, page, read | up]), Err(Errno::EINVAL))?;
    expect("nothing that grows", call(libc::SYS_mprotect, &[address + page, page, read | up]), Err(Errno::ENOMEM))?;
    let invalidate = (libc::MS_SYNC | libc::MS_INVALIDATE).into();
    call(libc::SYS_mlock, &[address, page])?;
    expect("msync of what stays", call(libc::SYS_msync, &[address, 3 * page, invalidate]), Err(Errno::EBUSY))?;
    call(libc::SYS_close, &[zeros])?;
    call(libc::SYS_munmap, &[address, 3 * page])?;
    Ok(())
}

/// `mremap` moves several mappings at once if none changes its length, which Linux does from 6.17 on, and gives up those that do not
/// stay.
fn several_mappings() -> Outcome {
    let page = PAGE_BYTES;
    let fixed = i64::from(libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED);
    let address = one_page_before_a_hole()?;
    let target = one_page_before_a_hole()?;
    expect("mremap of nothing", call(libc::SYS_mremap, &[address + page, page, page, 0]), Err(Errno::EFAULT))?;
    expect("mremap to nothing", call(libc::SYS_mremap, &[address, page, 0, 0]), Err(Errno::EINVAL))?;
    expect("mremap to be longer", call(libc::SYS_mremap, &[address, 3 * page, 4 * page, 1]), Err(Errno::EFAULT))?;
    let shorter = call(libc::SYS_mremap, &[address, 3 * page, page, fixed, target]);
    expect("mremap to be shorter elsewhere", shorter, Ok(target))?;
    let mut bytes = [0_u8];
    let vector = bytes.as_mut_ptr() as i64;
    let rest = call(libc::SYS_mincore, &[address + 2 * page, page, vector]);
    expect("what did not stay", rest, Err(Errno::ENOMEM))?;
    call(libc::SYS_munmap, &[target, 3 * page])?;
    Ok(())
}

fn holes_in_files() -> Outcome {
    let file = tempfile_of(20)?;
    for page in [2, 3, 9] {
        let written =
            call(libc::SYS_pwrite64, &[file.as_raw_fd().into(), c"x".as_ptr() as i64, 1, page * PAGE_BYTES + 7]);
        expect("pwrite", written, Ok(1))?;
    }
    let page = PAGE_BYTES;
    for (from, whence, expected) in [
        (0, Whence::SeekData, Ok(2 * page)),
        (2 * page + 5, Whence::SeekData, Ok(2 * page + 5)),
        (4 * page, Whence::SeekData, Ok(9 * page)),
        (10 * page, Whence::SeekData, Err(Errno::ENXIO)),
        (5, Whence::SeekHole, Ok(5)),
        (2 * page, Whence::SeekHole, Ok(4 * page)),
        (9 * page + 1, Whence::SeekHole, Ok(10 * page)),
        (20 * page, Whence::SeekHole, Err(Errno::ENXIO)),
    ] {
        expect(&format!("{whence:?} from {from}"), lseek(&file, from, whence), expected)?;
    }
    Ok(())
}

/// What is said first.
fn order() -> Outcome {
    let page = PAGE_BYTES;
    let address = one_page_before_a_hole()?;
    let path = directory()?;
    let file = open(&format!("{path}/file"), libc::O_RDONLY)?;
    let (private, fixed) = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE);
    let (reader, writer) = nix::unistd::pipe()?;
    drop(reader);
    let writer = i64::from(writer.as_raw_fd());
    let length = i64::MAX;
    let range = |kind: c_int| libc::flock {
        l_type: kind as _,
        l_whence: libc::SEEK_SET as _,
        l_start: 1 << 62,
        l_len: length,
        l_pid: 0,
    };
    let (locked, odd) = (range(libc::F_WRLCK), range(77));
    let (locked, odd) = ((&raw const locked) as i64, (&raw const odd) as i64);
    let collapse = libc::FALLOC_FL_COLLAPSE_RANGE.into();
    let answers: &[(&str, c_long, &[i64], Errno)] = &[
        ("mmap of no kind over something", libc::SYS_mmap, &[address, page, 0, fixed.into(), -1, 0], Errno::EEXIST),
        ("mmap of too much", libc::SYS_mmap, &[0, -1, 0, libc::MAP_ANONYMOUS.into(), -1, 0], Errno::ENOMEM),
        ("mmap of nothing", libc::SYS_mmap, &[0, 0, 0, private.into(), -1, 0], Errno::EINVAL),
        ("a range that collapses in what is read", libc::SYS_fallocate, &[file, collapse, 0, 1], Errno::EBADF),
        ("so many pieces of what is read", libc::SYS_writev, &[file, 0, -1], Errno::EBADF),
        (
            "a pipe without readers that nothing is sent to",
            libc::SYS_sendfile,
            &[writer, file, 0, 0x1000],
            Errno::EPIPE,
        ),
        ("a lock that overflows", libc::SYS_fcntl, &[file, libc::F_SETLK.into(), locked], Errno::EOVERFLOW),
        ("a question of no kind", libc::SYS_fcntl, &[file, libc::F_GETLK.into(), odd], Errno::EINVAL),
    ];
    // SAFETY: to ignore a signal runs no code.
    unsafe { nix::sys::signal::signal(nix::sys::signal::Signal::SIGPIPE, nix::sys::signal::SigHandler::SigIgn) }?;
    for (what, number, arguments, expected) in answers {
        expect(what, call(*number, arguments), Err(*expected))?;
    }
    call(libc::SYS_close, &[file])?;
    Ok(fs::remove_dir_all(path)?)
}
