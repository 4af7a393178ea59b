//! Numbers at the edges of what there is: positions about 2⁶³, lengths and addresses that wrap or leave the user half, times
//! of many years, flags that mean nothing. Tables of calls with what Linux answers, for root and for others.

use std::{
    fmt::Write,
    fs::{self, File, OpenOptions},
    io::Read,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    path::Path,
    process::id,
};

use nix::{
    errno::Errno,
    libc::{self, c_long},
    sys::{
        resource::{Resource, setrlimit},
        signal::{SigHandler, SigSet, SigmaskHow, Signal, raise, sigaction, sigprocmask},
    },
    unistd::{self, Uid},
};

use super::{
    outcome::{Check, Outcome, require, require_success},
    users::as_user,
};
use crate::memory::{Memory, PAGE};

pub(super) const CHECKS: &[Check] = &[
    ("numbers-positions", || for_root_and_others(positions)),
    ("numbers-file-size-limit", || for_root_and_others(file_size_limit)),
    ("numbers-addresses", || for_root_and_others(addresses)),
    ("numbers-mappings", || for_root_and_others(mappings)),
    ("numbers-times", || for_root_and_others(times)),
    ("numbers-flags", || for_root_and_others(flags)),
];

/// The greatest position.
pub(super) const MAX: i64 = i64::MAX;
const PAGE_BYTES: i64 = PAGE.cast_signed() as i64;
/// The first address past the user half.
const USER_END: i64 = 0x7fff_ffff_f000;
/// An address that is the kernel's.
const KERNEL: i64 = i64::MIN >> 16;

/// A call: what it is called here, its number, its arguments, and what it must give.
pub(super) type Row<'a> = (&'a str, c_long, &'a [i64], Result<i64, Errno>);

fn call(number: c_long, arguments: &[i64]) -> Result<i64, Errno> {
    let at = |index: usize| arguments.get(index).copied().unwrap_or(0);
    // SAFETY: the tables' pointers are to memory that is this process's to lose, or to none.
    Errno::result(unsafe { libc::syscall(number, at(0), at(1), at(2), at(3), at(4), at(5)) })
}

/// Makes the calls of a table, and names all that gave something else.
pub(super) fn require_rows(rows: &[Row<'_>]) -> Outcome {
    let mut wrong = String::new();
    for (what, number, arguments, want) in rows {
        let got = call(*number, arguments);
        if got != *want {
            let _ = write!(wrong, "\n  {what} {arguments:x?} gave {got:?}, not {want:?}");
        }
    }
    require!(wrong.is_empty(), "{wrong}");
    Ok(())
}

/// Makes the check as the user who began and, if that is root, as an ordinary user as well.
pub(super) fn for_root_and_others(check: fn() -> Outcome) -> Outcome {
    require_success("as the user who began", check)?;
    if Uid::effective().is_root() { as_user(1000, &[], check) } else { Ok(()) }
}

fn number(file: &impl AsRawFd) -> i64 {
    file.as_raw_fd().into()
}

/// A file of memory, where there are files of more than 16 TiB, that is not there any more by its name.
fn new_file(flags: i32) -> std::io::Result<(File, File)> {
    let directory = if Path::new("/dev/shm").exists() { "/dev/shm" } else { "/tmp" };
    let path = format!("{directory}/check-numbers-{}-{}", id(), Uid::effective());
    let options =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).custom_flags(flags).open(&path)?;
    let reader = File::open(&path)?;
    fs::remove_file(&path)?;
    Ok((options, reader))
}

pub(super) fn pointer<T>(to: &mut T) -> i64 {
    (&raw mut *to).expose_provenance().cast_signed() as i64
}

fn open(path: &str) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

#[expect(clippy::too_many_lines, reason = "they are the rows of a table")]
fn positions() -> Outcome {
    use libc::{
        SYS_fadvise64, SYS_fallocate, SYS_ftruncate, SYS_lseek, SYS_pread64, SYS_preadv, SYS_preadv2, SYS_pwrite64,
        SYS_pwritev, SYS_pwritev2, SYS_read, SYS_sendfile, SYS_truncate, SYS_write,
    };
    let (file, reader) = new_file(0)?;
    let (appended, _) = new_file(libc::O_APPEND)?;
    let (null, zero, text) = (open("/dev/null")?, File::open("/dev/zero")?, File::open("/proc/meminfo")?);
    let (pipe_out, pipe_in) = unistd::pipe()?;
    let mut bytes = [0_u8; 8192];
    let bytes = pointer(&mut bytes);
    let [file, reader, appended, null, zero, text] = [&file, &reader, &appended, &null, &zero, &text].map(number);
    let (pipe_out, pipe_in) = (number(&pipe_out), number(&pipe_in));
    let (set, current, end) = (libc::SEEK_SET.into(), libc::SEEK_CUR.into(), libc::SEEK_END.into());
    let mut vector = [bytes, 8, bytes, 8];
    let vector = pointer(&mut vector);
    let mut at = [-1, MAX - 3, MAX - PAGE_BYTES, MAX, 0];
    let [minus, crossing, last, most, first] = [0, 1, 2, 3, 4].map(|index| pointer(&mut at[index]));
    let invalid = Err(Errno::EINVAL);
    require_rows(&[
        ("write across the last position", SYS_pwrite64, &[file, bytes, 8, MAX - 3], invalid),
        ("write behind the last position", SYS_pwrite64, &[file, bytes, 1, MAX], invalid),
        ("write at a negative position", SYS_pwrite64, &[file, bytes, 8, -1], invalid),
        ("write at the least position", SYS_pwrite64, &[file, bytes, 8, i64::MIN], invalid),
        ("nothing at the last position", SYS_pwrite64, &[file, bytes, 0, MAX], Ok(0)),
        ("a negative position comes before a number", SYS_pwrite64, &[-1, bytes, 8, -1], invalid),
        ("a number comes before memory", SYS_pwrite64, &[-1, KERNEL, 8, 0], Err(Errno::EBADF)),
        ("memory comes before a position's end", SYS_pwrite64, &[file, KERNEL, 8, MAX - 3], Err(Errno::EFAULT)),
        ("write to a reader", SYS_pwrite64, &[reader, bytes, 8, 0], Err(Errno::EBADF)),
        ("write a pipe at a position", SYS_pwrite64, &[pipe_in, bytes, 8, 0], Err(Errno::ESPIPE)),
        ("write pieces across the last position", SYS_pwritev, &[file, vector, 2, MAX - 15], invalid),
        ("write pieces at a negative position", SYS_pwritev, &[file, vector, 2, -1], invalid),
        ("read across the last position", SYS_pread64, &[file, bytes, 8, MAX - 3], invalid),
        ("read up to the last position", SYS_pread64, &[file, bytes, 8, MAX - 8], Ok(0)),
        ("read at a negative position", SYS_pread64, &[file, bytes, 8, -1], invalid),
        ("read zeros across the last position", SYS_pread64, &[zero, bytes, 8, MAX - 3], invalid),
        ("read zeros up to the last position", SYS_pread64, &[zero, bytes, 8, MAX - 8], Ok(8)),
        ("read text across the last position", SYS_pread64, &[text, bytes, 8, MAX - 3], invalid),
        ("read text up to the last position", SYS_pread64, &[text, bytes, 8, MAX - 8], Ok(0)),
        ("read pieces across the last position", SYS_preadv, &[file, vector, 2, MAX - 15], invalid),
        ("read pieces where the file stands", SYS_preadv2, &[file, vector, 2, -1, 0, 0], Ok(0)),
        ("read pieces at a lesser position", SYS_preadv2, &[file, vector, 2, -2, 0, 0], invalid),
        ("write pieces across the last position, too", SYS_pwritev2, &[file, vector, 2, MAX - 15, 0, 0], invalid),
        (
            "read pieces in a way that there is not",
            SYS_preadv2,
            &[file, vector, 2, 0, 0, 1 << 20],
            Err(Errno::EOPNOTSUPP),
        ),
        ("read pieces at a negative position", SYS_preadv, &[file, vector, 2, -1], invalid),
        ("seek to the last position", SYS_lseek, &[file, MAX, set], Ok(MAX)),
        ("seek further", SYS_lseek, &[file, 1, current], invalid),
        ("seek back before the start", SYS_lseek, &[file, i64::MIN, current], invalid),
        ("seek nowhere", SYS_lseek, &[file, 0, current], Ok(MAX)),
        ("read at the last position", SYS_read, &[file, bytes, 8], invalid),
        ("write at the last position", SYS_write, &[file, bytes, 8], invalid),
        ("write nothing there", SYS_write, &[file, bytes, 0], Ok(0)),
        ("seek to a negative position", SYS_lseek, &[file, -1, set], invalid),
        ("seek from where there is none", SYS_lseek, &[file, 0, 9], invalid),
        ("a pipe from where there is none", SYS_lseek, &[pipe_in, 0, 9], invalid),
        ("a pipe", SYS_lseek, &[pipe_in, 0, set], Err(Errno::ESPIPE)),
        ("the upper half of a C int", SYS_lseek, &[file, 5, 1 << 32], Ok(5)),
        ("seek where positions mean nothing", SYS_lseek, &[null, MAX, set], Ok(0)),
        ("and back", SYS_lseek, &[null, i64::MIN, current], Ok(0)),
        ("send from a negative position", SYS_sendfile, &[null, zero, minus, 4096], invalid),
        ("send across the last position", SYS_sendfile, &[null, zero, crossing, 4096], invalid),
        ("send up to the last position", SYS_sendfile, &[null, zero, last, 4096], Ok(4096)),
        ("send nothing from there", SYS_sendfile, &[null, zero, most, 0], Ok(0)),
        ("send a negative number", SYS_sendfile, &[null, zero, first, -1], invalid),
        ("send what cannot be positioned", SYS_sendfile, &[null, pipe_out, first, 1], Err(Errno::ESPIPE)),
        ("send from no memory", SYS_sendfile, &[null, zero, KERNEL, 1], Err(Errno::EFAULT)),
        ("send to the end", SYS_sendfile, &[appended, zero, 0, 1], invalid),
        ("cut to a negative length", SYS_ftruncate, &[file, -1], invalid),
        ("a negative length comes before a number", SYS_ftruncate, &[-1, -1], invalid),
        ("and before a path", SYS_truncate, &[0, -1], invalid),
        ("cut a reader", SYS_ftruncate, &[reader, 0], invalid),
        ("cut a device", SYS_ftruncate, &[null, 0], invalid),
        ("the greatest file", SYS_ftruncate, &[file, MAX], Ok(0)),
        ("its end", SYS_lseek, &[file, 0, end], Ok(MAX)),
        ("behind its end", SYS_lseek, &[file, 1, end], invalid),
        ("far behind its end", SYS_lseek, &[file, MAX, end], invalid),
        ("its last bytes", SYS_pread64, &[file, bytes, 8, MAX - 8], Ok(8)),
        ("write its last bytes", SYS_pwrite64, &[file, bytes, 8, MAX - 8], Ok(8)),
        ("cut it", SYS_ftruncate, &[file, 0], Ok(0)),
        ("make it the greatest again by writing", SYS_pwrite64, &[file, bytes, 8, MAX - 8], Ok(8)),
        ("cut it again", SYS_ftruncate, &[file, 0], Ok(0)),
        ("the greatest file to append to", SYS_ftruncate, &[appended, MAX - 3], Ok(0)),
        ("what fits is appended", SYS_write, &[appended, bytes, 8], Ok(3)),
        ("its position is the last one", SYS_write, &[appended, bytes, 8], invalid),
        ("nothing fits", SYS_pwrite64, &[appended, bytes, 8, 0], Err(Errno::EFBIG)),
        ("reserve from a negative position", SYS_fallocate, &[file, 0, -1, 1], invalid),
        ("reserve nothing", SYS_fallocate, &[file, 0, 0, 0], invalid),
        ("reserve a negative number", SYS_fallocate, &[file, 0, 0, -1], invalid),
        ("reserve behind the last position", SYS_fallocate, &[file, 0, MAX, 1], Err(Errno::EFBIG)),
        ("reserve in a way that there is not", SYS_fallocate, &[file, 0x1000, 0, 1], Err(Errno::EOPNOTSUPP)),
        ("reserve for a reader", SYS_fallocate, &[reader, 0, 0, 1], Err(Errno::EBADF)),
        ("reserve in a pipe", SYS_fallocate, &[pipe_in, 0, 0, 1], Err(Errno::ESPIPE)),
        ("reserve in a device", SYS_fallocate, &[null, 0, 0, 1], Err(Errno::ENODEV)),
        ("advice for a negative length", SYS_fadvise64, &[file, 0, -1, 0], invalid),
        ("advice that there is not", SYS_fadvise64, &[file, 0, 0, 99], invalid),
        ("advice for a pipe", SYS_fadvise64, &[pipe_in, 0, 0, 0], Err(Errno::ESPIPE)),
        ("read more than there is memory", SYS_read, &[zero, bytes, -1], Err(Errno::EFAULT)),
        ("read nothing to the kernel", SYS_read, &[zero, KERNEL, 0], Err(Errno::EFAULT)),
        ("write more than there is memory", SYS_write, &[null, bytes, -1], Err(Errno::EFAULT)),
        ("write from a reader's memory", SYS_write, &[reader, KERNEL, 1], Err(Errno::EBADF)),
    ])?;
    // Whether reading a device moves the position is the device's affair.
    at[2] = 0;
    require!(at == [-1, MAX - 3, 0, MAX, 0], "sendfile left {at:x?}");
    Ok(())
}

/// What is beyond `RLIMIT_FSIZE` cannot be written, and a signal says so.
fn file_size_limit() -> Outcome {
    use libc::{SYS_fallocate, SYS_ftruncate, SYS_lseek, SYS_pwrite64, SYS_pwritev, SYS_sendfile, SYS_write};
    extern "C" fn nothing(_: i32) {}
    let too_big = Err(Errno::EFBIG);
    let signal = SigSet::from(Signal::SIGXFSZ);
    let (file, _) = new_file(0)?;
    let (appended, _) = new_file(libc::O_APPEND)?;
    let (null, zero) = (open("/dev/null")?, File::open("/dev/zero")?);
    let [file, appended, null, zero] = [&file, &appended, &null, &zero].map(number);
    let mut bytes = vec![0_u8; 3 << 16];
    let bytes = bytes.as_mut_ptr().expose_provenance().cast_signed() as i64;
    let mut vector = [bytes, 8, bytes, 1 << 16];
    let vector = pointer(&mut vector);
    let whole = Ok(1 << 16);
    setrlimit(Resource::RLIMIT_FSIZE, 1 << 16, libc::RLIM_INFINITY)?;
    // Blocked, it stays pending, so that each refusal can be seen to have sent it and nothing else to have.
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&signal), None)?;
    let is_pending = || -> Result<bool, Errno> {
        let mut pending: u64 = 0;
        call(libc::SYS_rt_sigpending, &[pointer(&mut pending), 8])?;
        let is_pending = pending & 1 << (Signal::SIGXFSZ as u32 - 1) != 0;
        if is_pending {
            signal.wait()?;
        }
        Ok(is_pending)
    };
    let rows: &[Row<'_>] = &[
        ("up to the limit", SYS_pwrite64, &[file, bytes, 1 << 16, 0], whole),
        ("across the limit", SYS_pwrite64, &[file, bytes, 8, (1 << 16) - 3], Ok(3)),
        ("far across the limit", SYS_pwrite64, &[file, bytes, 3 << 16, 0], whole),
        ("pieces across the limit", SYS_pwritev, &[file, vector, 2, 0], whole),
        ("at the limit", SYS_pwrite64, &[file, bytes, 1, 1 << 16], too_big),
        ("nothing at the limit", SYS_pwrite64, &[file, bytes, 0, 1 << 16], Ok(0)),
        ("longer", SYS_ftruncate, &[file, (1 << 16) + 1], too_big),
        ("shorter", SYS_ftruncate, &[file, 100], Ok(0)),
        ("as long as may be", SYS_ftruncate, &[file, 1 << 16], Ok(0)),
        ("reserved beyond", SYS_fallocate, &[file, 0, 1 << 16, 1], too_big),
        ("at the end", SYS_lseek, &[file, 0, libc::SEEK_END.into()], whole),
        ("written there", SYS_write, &[file, bytes, 1], too_big),
        ("sent there", SYS_sendfile, &[file, zero, 0, 1], too_big),
        ("nearly at the end", SYS_lseek, &[file, 10, 0], Ok(10)),
        ("sent across", SYS_sendfile, &[file, zero, 0, 1 << 16], Ok((1 << 16) - 10)),
        ("appended", SYS_write, &[appended, bytes, 2 << 16], whole),
        ("appended beyond", SYS_write, &[appended, bytes, 1], too_big),
        ("a device has no length", SYS_pwrite64, &[null, bytes, 8, 1 << 20], Ok(8)),
    ];
    for row in rows {
        require_rows(std::slice::from_ref(row))?;
        let pending = is_pending()?;
        require!(
            pending == (row.3 == too_big || row.1 == SYS_sendfile),
            "{}: SIGXFSZ {}",
            row.0,
            if pending { "was sent" } else { "was not sent" }
        );
    }
    // SAFETY: the handler does nothing.
    let ignore =
        nix::sys::signal::SigAction::new(SigHandler::Handler(nothing), nix::sys::signal::SaFlags::empty(), signal);
    // SAFETY: as above.
    unsafe { sigaction(Signal::SIGXFSZ, &ignore) }?;
    sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&signal), None)?;
    require_rows(&[("with a handler", SYS_pwrite64, &[file, bytes, 1, 1 << 16], too_big)])?;
    super::outcome::require_killed(Signal::SIGXFSZ, "writing beyond the limit", || {
        // SAFETY: the default action is no handler.
        let _ = unsafe { nix::sys::signal::signal(Signal::SIGXFSZ, SigHandler::SigDfl) };
        let _ = call(SYS_pwrite64, &[file, bytes, 1, 1 << 16]);
        let _ = raise(Signal::SIGTERM);
        0
    })
}

fn addresses() -> Outcome {
    use libc::{
        SYS_execve, SYS_getcwd, SYS_getgroups, SYS_getrandom, SYS_poll, SYS_readlink, SYS_readv, SYS_rt_sigaction,
        SYS_sched_getaffinity, SYS_select, SYS_writev,
    };
    let zero = File::open("/dev/zero")?;
    let null = open("/dev/null")?;
    let (zero, null) = (number(&zero), number(&null));
    let mut bytes = [0_u8; 256];
    let bytes = pointer(&mut bytes);
    let mut path = *b"/proc/self/exe\0";
    let path = pointer(&mut path);
    let mut pair = [0_i64, 0];
    let arguments = pointer(&mut pair);
    let mut piece = [bytes, -1];
    let negative = pointer(&mut piece);
    let mut piece = [KERNEL, 1];
    let kernel = pointer(&mut piece);
    // In the heap, which ends far below the user half's end.
    let heap = Box::new([0_u64; 2]);
    let heap = (&raw const *heap).expose_provenance().cast_signed() as i64;
    let mut piece = [heap, 1 << 46, KERNEL, 8];
    let long = pointer(&mut piece);
    let (fault, invalid) = (Err(Errno::EFAULT), Err(Errno::EINVAL));
    require_rows(&[
        ("arguments at the last address", SYS_execve, &[path, -1, 0], fault),
        ("arguments across the last address", SYS_execve, &[path, -8, 0], fault),
        ("arguments across the user half's end", SYS_execve, &[path, USER_END - 4, 0], fault),
        ("an environment at the last address", SYS_execve, &[path, arguments, -1], fault),
        ("a path at the last address", SYS_execve, &[-1, arguments, 0], fault),
        ("a piece of negative length", SYS_readv, &[zero, negative, 1], invalid),
        ("a piece in the kernel", SYS_readv, &[zero, kernel, 1], fault),
        ("a piece that leaves the user half", SYS_writev, &[null, kernel, 1], fault),
        ("a long piece is cut", SYS_readv, &[null, long, 1], Ok(0)),
        ("one of several is not", SYS_readv, &[null, long, 2], fault),
        ("pieces in the kernel", SYS_readv, &[zero, KERNEL, 1], fault),
        ("pieces at the last address", SYS_readv, &[zero, -8, 1], fault),
        ("no pieces", SYS_readv, &[zero, KERNEL, 0], Ok(0)),
        ("too many pieces", SYS_readv, &[zero, negative, 1025], invalid),
        ("a negative number of pieces", SYS_readv, &[zero, negative, -1], invalid),
        ("too many files", SYS_poll, &[bytes, -1, 0], invalid),
        ("files at the last address", SYS_poll, &[-1, 1, 0], fault),
        ("a negative number of files", SYS_select, &[-1, 0, 0, 0, 0], invalid),
        ("random numbers for the kernel", SYS_getrandom, &[KERNEL, 8, 0], fault),
        ("too many of them", SYS_getrandom, &[-8, -1, 0], fault),
        ("a negative number of groups", SYS_getgroups, &[-1, bytes], invalid),
        ("no room for a directory", SYS_getcwd, &[bytes, 0], Err(Errno::ERANGE)),
        ("a link with no room", SYS_readlink, &[path, bytes, 0], invalid),
        ("a link with negative room", SYS_readlink, &[path, bytes, -1], invalid),
        ("processors with little room", SYS_sched_getaffinity, &[0, 7, bytes], invalid),
        ("a set of signals of another size", SYS_rt_sigaction, &[1, 0, 0, 9], invalid),
    ])?;
    if Uid::effective().is_root() {
        require_rows(&[
            ("too many groups", libc::SYS_setgroups, &[65_537, 0], invalid),
            ("a negative number of groups to have", libc::SYS_setgroups, &[-1, 0], invalid),
            ("a name of negative length", libc::SYS_sethostname, &[0, -1], invalid),
            ("a name that is too long", libc::SYS_sethostname, &[0, 65], invalid),
        ])?;
    }
    Ok(())
}

fn mappings() -> Outcome {
    use libc::{
        SYS_brk, SYS_madvise, SYS_mincore, SYS_mlock, SYS_mmap, SYS_mprotect, SYS_mremap, SYS_msync, SYS_munlock,
        SYS_munmap,
    };
    const FIXED: i64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED) as i64;
    const PRIVATE: i64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as i64;
    const MOVE_TO: i64 = (libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED) as i64;
    let (file, _) = new_file(0)?;
    let file = number(&file);
    let mut memory = Memory::private(2)?;
    memory.touch(0);
    memory.touch(1);
    let at = memory.address(0).expose_provenance().cast_signed() as i64;
    let mut answer = [0_u8; 2];
    let answer = pointer(&mut answer);
    let end = call(SYS_brk, &[0])?;
    let shared = libc::MAP_SHARED.into();
    let (invalid, none) = (Err(Errno::EINVAL), Err(Errno::ENOMEM));
    require_rows(&[
        ("a file from far beyond its end", SYS_mmap, &[0, PAGE_BYTES, 1, shared, file, -0x8000], Err(Errno::EOVERFLOW)),
        ("a file's last page and more", SYS_mmap, &[0, PAGE_BYTES, 1, shared, file, MAX - 4095], Err(Errno::EOVERFLOW)),
        ("a file from within a page", SYS_mmap, &[0, PAGE_BYTES, 1, shared, file, 1], invalid),
        ("no bytes", SYS_mmap, &[0, 0, 1, PRIVATE, -1, 0], invalid),
        ("bytes that wrap", SYS_mmap, &[0, -1, 1, PRIVATE, -1, 0], none),
        ("more than there are addresses", SYS_mmap, &[0, USER_END + PAGE_BYTES, 1, PRIVATE, -1, 0], none),
        ("half of all addresses", SYS_mmap, &[0, i64::MIN, 1, PRIVATE, -1, 0], none),
        ("across the user half's end", SYS_mmap, &[USER_END - PAGE_BYTES, 2 * PAGE_BYTES, 1, FIXED, -1, 0], none),
        ("at the user half's end", SYS_mmap, &[USER_END, PAGE_BYTES, 1, FIXED, -1, 0], none),
        ("at the last page", SYS_mmap, &[-PAGE_BYTES, PAGE_BYTES, 1, FIXED, -1, 0], none),
        ("across the last page", SYS_mmap, &[-PAGE_BYTES, 2 * PAGE_BYTES, 1, FIXED, -1, 0], none),
        ("within a page", SYS_mmap, &[at + 1, PAGE_BYTES, 1, FIXED, -1, 0], invalid),
        ("unmap nothing", SYS_munmap, &[at, 0], invalid),
        ("unmap within a page", SYS_munmap, &[at + 1, PAGE_BYTES], invalid),
        ("unmap what wraps", SYS_munmap, &[at, -1], invalid),
        ("unmap the last page", SYS_munmap, &[-PAGE_BYTES, PAGE_BYTES], invalid),
        ("unmap across the user half's end", SYS_munmap, &[USER_END - PAGE_BYTES, 2 * PAGE_BYTES], invalid),
        ("protect nothing", SYS_mprotect, &[at, 0, 1], Ok(0)),
        ("protect what wraps", SYS_mprotect, &[at, -1, 1], none),
        ("protect the last page", SYS_mprotect, &[-PAGE_BYTES, PAGE_BYTES, 1], none),
        ("protect in a way that there is not", SYS_mprotect, &[at, PAGE_BYTES, 0x80], invalid),
        ("advise what wraps", SYS_madvise, &[at, -1, 0], invalid),
        ("advise what ends before it begins", SYS_madvise, &[at, -PAGE_BYTES, 0], invalid),
        ("advise beyond the user half", SYS_madvise, &[USER_END, PAGE_BYTES, 0], none),
        ("advise nothing", SYS_madvise, &[at, 0, 0], Ok(0)),
        ("advise nothing in an unknown way", SYS_madvise, &[at, 0, 999], invalid),
        ("write back what wraps to nothing", SYS_msync, &[at, -1, libc::MS_SYNC.into()], Ok(0)),
        ("write back what ends before it begins", SYS_msync, &[at, -PAGE_BYTES, libc::MS_SYNC.into()], none),
        ("look at what wraps", SYS_mincore, &[at, -1, answer], none),
        ("look beyond the user half", SYS_mincore, &[USER_END, PAGE_BYTES, answer], none),
        ("look without memory for the answer", SYS_mincore, &[at, PAGE_BYTES, -1], Err(Errno::EFAULT)),
        ("lock what wraps to nothing", SYS_mlock, &[at, -1], Ok(0)),
        ("unlock what wraps to nothing", SYS_munlock, &[at, -1], Ok(0)),
        ("unlock what ends before it begins", SYS_munlock, &[at, -PAGE_BYTES], invalid),
        ("resize to what wraps to nothing", SYS_mremap, &[at, PAGE_BYTES, -1, 1], invalid),
        ("resize to nothing", SYS_mremap, &[at, PAGE_BYTES, 0, 1], invalid),
        ("resize in a way that there is not", SYS_mremap, &[at, PAGE_BYTES, PAGE_BYTES, 0x80], invalid),
        ("move to within a page", SYS_mremap, &[at, PAGE_BYTES, PAGE_BYTES, MOVE_TO, at + PAGE_BYTES + 1], invalid),
        ("move to the user half's end", SYS_mremap, &[at, PAGE_BYTES, PAGE_BYTES, MOVE_TO, USER_END], invalid),
        ("move to the last page", SYS_mremap, &[at, PAGE_BYTES, PAGE_BYTES, MOVE_TO, -PAGE_BYTES], invalid),
        ("move onto itself", SYS_mremap, &[at, 2 * PAGE_BYTES, PAGE_BYTES, MOVE_TO, at], invalid),
        ("the heap to the last address", SYS_brk, &[-1], Ok(end)),
        ("the heap to the user half's end", SYS_brk, &[USER_END], Ok(end)),
    ])?;
    if !Uid::effective().is_root() {
        let refused = Err(Errno::EPERM);
        require_rows(&[
            ("move to page 0", SYS_mremap, &[at, PAGE_BYTES, PAGE_BYTES, MOVE_TO, 0], refused),
            ("map page 0", SYS_mmap, &[0, PAGE_BYTES, 1, FIXED, -1, 0], refused),
        ])?;
    }
    require!(memory.pages()[1][0] == 1, "a page that was not to be moved is another one");
    // The last page that a file can have; nothing is there.
    let last = call(SYS_mmap, &[0, PAGE_BYTES, 1, shared, file, MAX - 8191])?;
    call(SYS_munmap, &[last, PAGE_BYTES])?;
    Ok(())
}

fn times() -> Outcome {
    use libc::{
        SYS_clock_nanosleep, SYS_nanosleep, SYS_poll, SYS_ppoll, SYS_pselect6, SYS_rt_sigtimedwait, SYS_select,
        SYS_setitimer, SYS_utimensat,
    };
    extern "C" fn nothing(_: i32) {}
    let (file, _) = new_file(0)?;
    let mut word = [0_i64; 8];
    let mut times: [[i64; 2]; 8] = [
        [-1, 0],
        [0, 1_000_000_000],
        [0, -1],
        [i64::MIN, 0],
        [i64::MAX, 999_999_999],
        [0, 1 << 32],
        [i64::MAX, 2_000_000],
        [0, 1_000_000],
    ];
    let [negative, long_part, negative_part, least, most, wide_part, wrapping, long_micros] =
        [0, 1, 2, 3, 4, 5, 6, 7].map(|index| pointer(&mut times[index]));
    let set = pointer(&mut word);
    let (monotonic, absolute) = (libc::CLOCK_MONOTONIC.into(), libc::TIMER_ABSTIME.into());
    let invalid = Err(Errno::EINVAL);
    for wrong in [negative, long_part, negative_part, least, wide_part] {
        require_rows(&[
            ("nanosleep", SYS_nanosleep, &[wrong, 0], invalid),
            ("clock_nanosleep", SYS_clock_nanosleep, &[monotonic, absolute, wrong, 0], invalid),
            ("ppoll", SYS_ppoll, &[0, 0, wrong, 0, 8], invalid),
            ("pselect6", SYS_pselect6, &[0, 0, 0, 0, wrong, 0], invalid),
            ("rt_sigtimedwait", SYS_rt_sigtimedwait, &[set, 0, wrong, 8], invalid),
        ])?;
    }
    require_rows(&[
        ("select for a negative time", SYS_select, &[0, 0, 0, 0, negative], invalid),
        ("select for a time that wraps", SYS_select, &[0, 0, 0, 0, wrapping], invalid),
        ("select for negative microseconds", SYS_select, &[0, 0, 0, 0, negative_part], invalid),
        ("a timer of too many microseconds", SYS_setitimer, &[0, long_micros, 0], invalid),
        ("poll at once", SYS_poll, &[0, 0, 1 << 32], Ok(0)),
    ])?;
    // A time that no task lives to see is waited for like any other, until a signal comes.
    // SAFETY: the handler does nothing.
    unsafe { nix::sys::signal::signal(Signal::SIGALRM, SigHandler::Handler(nothing)) }?;
    let interrupted = Err(Errno::EINTR);
    for (what, number, arguments) in [
        ("nanosleep", SYS_nanosleep, [most, 0, 0, 0, 0, 0]),
        ("clock_nanosleep", SYS_clock_nanosleep, [monotonic, absolute, most, 0, 0, 0]),
        ("ppoll", SYS_ppoll, [0, 0, most, 0, 8, 0]),
        ("pselect6", SYS_pselect6, [0, 0, 0, 0, most, 0]),
        ("rt_sigtimedwait", SYS_rt_sigtimedwait, [set, 0, most, 8, 0, 0]),
    ] {
        // Again and again, should one come before the wait.
        let mut alarm = [0_i64, 20_000, 0, 20_000];
        call(SYS_setitimer, &[0, pointer(&mut alarm), 0])?;
        times[4] = [i64::MAX, 999_999_999];
        require_rows(&[(what, number, &arguments, interrupted)])?;
    }
    let mut alarm = [i64::MAX, 999_999, i64::MAX, 999_999];
    call(SYS_setitimer, &[0, pointer(&mut alarm), 0])?;
    let left = call(libc::SYS_alarm, &[0])?;
    require!(left > 1 << 20, "a timer of many years has {left} seconds left");
    // Times of files may lie before 1970 and far ahead.
    let mut both = [[-2_i64, 5], [i64::MAX - 1, 999_999_999]];
    call(SYS_utimensat, &[number(&file), 0, pointer(&mut both), 0])?;
    let metadata = file.metadata()?;
    let seen = {
        use std::os::unix::fs::MetadataExt;
        [[metadata.atime(), metadata.atime_nsec()], [metadata.mtime(), metadata.mtime_nsec()]]
    };
    require!(seen == both, "times {both:?} became {seen:?}");
    let mut both = [[0_i64, 1 << 32], [0, 0]];
    let wrong_part = [number(&file), 0, pointer(&mut both), 0];
    let unknown_flag = [number(&file), 0, 0, 0x10];
    require_rows(&[
        ("a part of a second that is too long", SYS_utimensat, &wrong_part, invalid),
        ("flags that there are not", SYS_utimensat, &unknown_flag, invalid),
    ])
}

/// Flags that there are not.
fn flags() -> Outcome {
    /// A bit that no call of these knows.
    const UNKNOWN: i64 = 1 << 28;
    use libc::{
        SYS_clock_nanosleep, SYS_close_range, SYS_dup3, SYS_faccessat2, SYS_fchownat, SYS_getrandom, SYS_linkat,
        SYS_madvise, SYS_mlock2, SYS_mlockall, SYS_newfstatat, SYS_pipe2, SYS_renameat2, SYS_rt_sigprocmask, SYS_statx,
        SYS_umount2, SYS_unlinkat, SYS_wait4, SYS_waitid,
    };
    let mut path = *b"/tmp\0";
    let path = pointer(&mut path);
    let mut bytes = [0_u8; 512];
    let bytes = pointer(&mut bytes);
    let memory = Memory::private(1)?;
    let at = memory.address(0).expose_provenance().cast_signed() as i64;
    let here = libc::AT_FDCWD.into();
    let invalid = Err(Errno::EINVAL);
    require_rows(&[
        ("newfstatat", SYS_newfstatat, &[here, path, bytes, UNKNOWN], invalid),
        ("statx", SYS_statx, &[here, path, UNKNOWN, 0x7ff, bytes], invalid),
        ("statx for both kinds of freshness", SYS_statx, &[here, path, 0x6000, 0x7ff, bytes], invalid),
        ("statx for what is kept back", SYS_statx, &[here, path, 0, 1 << 31, bytes], invalid),
        ("faccessat2", SYS_faccessat2, &[here, path, 0, UNKNOWN], invalid),
        ("faccessat2 for what there is not", SYS_faccessat2, &[here, path, 8, 0], invalid),
        ("fchownat", SYS_fchownat, &[here, path, -1, -1, UNKNOWN], invalid),
        ("linkat", SYS_linkat, &[here, path, here, path, UNKNOWN], invalid),
        ("unlinkat", SYS_unlinkat, &[here, path, UNKNOWN], invalid),
        ("renameat2", SYS_renameat2, &[here, path, here, path, UNKNOWN], invalid),
        ("renameat2 both ways", SYS_renameat2, &[here, path, here, path, 3], invalid),
        ("dup3", SYS_dup3, &[0, 9, UNKNOWN], invalid),
        ("pipe2", SYS_pipe2, &[bytes, UNKNOWN], invalid),
        ("close_range", SYS_close_range, &[90, 99, UNKNOWN], invalid),
        ("getrandom", SYS_getrandom, &[bytes, 1, UNKNOWN], invalid),
        ("clock_nanosleep of no clock", SYS_clock_nanosleep, &[99, 0, bytes, 0], invalid),
        ("mlock2", SYS_mlock2, &[at, PAGE_BYTES, UNKNOWN], invalid),
        ("mlockall", SYS_mlockall, &[UNKNOWN], invalid),
        ("mlockall of nothing", SYS_mlockall, &[0], invalid),
        ("madvise", SYS_madvise, &[at, PAGE_BYTES, UNKNOWN], invalid),
        ("rt_sigprocmask", SYS_rt_sigprocmask, &[9, bytes, 0, 8], invalid),
        ("umount2", SYS_umount2, &[path, UNKNOWN], invalid),
        ("wait4", SYS_wait4, &[-1, 0, UNKNOWN, 0], invalid),
        ("waitid", SYS_waitid, &[0, 0, 0, UNKNOWN | 4, 0], invalid),
        ("waitid for nothing", SYS_waitid, &[0, 0, 0, 0, 0], invalid),
    ])?;
    let mut nothing = [0; 1];
    require!(File::open("/dev/null")?.read(&mut nothing)? == 0, "a file was closed");
    Ok(())
}
