//! Reading and writing open files.

use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general as linux;
use quire_machine::fallible::{self, TryVec};
use quire_machine::task::{Interrupted, check_killed, check_signals};
use quire_machine::user::{Fault, UserPtr, UserRange, Word};
use quire_swap::header::PAGE_SIZE;

use super::arguments::{Arguments, Calls, Outcome};
use crate::errno::Errno;
use crate::fs::node::{NodeKind, Wait};
use crate::fs::open::OpenFile;
use crate::fs::position::{Position, Whence};
use crate::fs::{device, ext4, limit, namespace};
use crate::process::control_block::this;
use crate::process::signal::{Info, Signal};
use crate::process::table;

pub(super) const CALLS: Calls = &[
    (linux::__NR_read, read),
    (linux::__NR_write, write),
    (linux::__NR_pread64, pread),
    (linux::__NR_pwrite64, pwrite),
    (linux::__NR_readv, readv),
    (linux::__NR_writev, writev),
    (linux::__NR_preadv, preadv),
    (linux::__NR_pwritev, pwritev),
    (linux::__NR_preadv2, preadv2),
    (linux::__NR_pwritev2, pwritev2),
    (linux::__NR_lseek, lseek),
    (linux::__NR_sendfile, sendfile),
    (linux::__NR_ftruncate, ftruncate),
    (linux::__NR_fallocate, fallocate),
    (linux::__NR_fsync, fsync),
    (linux::__NR_fdatasync, fsync),
    (linux::__NR_syncfs, syncfs),
    (linux::__NR_sync, sync),
    (linux::__NR_fadvise64, fadvise),
    (linux::__NR_ioctl, ioctl),
];

/// The most that one call transfers (Linux: `MAX_RW_COUNT`).
pub(super) const MOST: usize = 0x7fff_f000;
/// The most that is copied at once through the kernel.
const CHUNK: usize = 16 << 10;
/// The most pieces of a `readv` or `writev` (`IOV_MAX`).
const PIECES_MAX: usize = 1024;

fn open_file(descriptor: Word) -> Result<Arc<OpenFile>, Errno> {
    this().files.get(descriptor.low())
}

fn chunk(length: usize) -> Result<Vec<u8>, Errno> {
    let bytes = length.min(CHUNK);
    Ok(fallible::filled(0, bytes)?)
}

fn total(pieces: &[UserRange]) -> usize {
    pieces.iter().map(|piece| piece.len()).sum()
}

/// Fills pieces of user memory. `transfer` reads into a buffer; it is told how much was read before.
fn fill(pieces: &[UserRange], mut transfer: impl FnMut(&mut [u8], usize) -> Result<usize, Errno>) -> Outcome {
    let total = total(pieces);
    let mut buffer = chunk(total)?;
    let mut done = 0;
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() {
            let wanted = buffer.len().min(rest.len());
            // What is read from a pipe or a terminal is gone from there: not if it has no place to go.
            let place = check_killed().map_err(Errno::from).and_then(|()| Ok(rest.first(wanted).writable()?));
            let result = place.and_then(|room| transfer(&mut buffer[..room], done)).and_then(|bytes| {
                rest.write(&buffer[..bytes])?;
                Ok(bytes)
            });
            match result {
                Ok(bytes) => {
                    rest = rest.behind(bytes);
                    done += bytes;
                    // At the end of what there is, or of what can be written.
                    if bytes < wanted {
                        return Ok(done as u64);
                    }
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => return Ok(done as u64),
            }
        }
    }
    if total == 0 {
        transfer(&mut [], 0)?;
    }
    Ok(done as u64)
}

/// Empties pieces of user memory, up to `most` bytes, a `chunk` at a time, which `read` says how much can be read of. `transfer`
/// writes from a buffer; it is told how much was written before.
fn empty(
    pieces: &[UserRange],
    most: usize,
    chunk: usize,
    read: impl Fn(UserRange, &mut [u8]) -> Result<usize, Fault>,
    mut transfer: impl FnMut(&[u8], usize) -> Result<usize, Errno>,
) -> Outcome {
    let mut buffer = fallible::filled(0, most.min(chunk))?;
    let mut done = 0;
    for piece in pieces {
        let mut rest = piece.first(most - done);
        while !rest.is_empty() {
            let wanted = buffer.len().min(rest.len());
            let found = check_killed().map_err(Errno::from).and_then(|()| Ok(read(rest, &mut buffer[..wanted])?));
            let result = found.and_then(|bytes| transfer(&buffer[..bytes], done));
            match result {
                Ok(bytes) => {
                    rest = rest.behind(bytes);
                    done += bytes;
                    if bytes == 0 {
                        return Ok(done as u64);
                    }
                }
                Err(error) => {
                    let error = broken_pipe(error);
                    return if done == 0 { Err(error) } else { Ok(done as u64) };
                }
            }
        }
    }
    if most == 0 {
        transfer(&[], 0)?;
    }
    Ok(done as u64)
}

/// A process that writes to a pipe without readers is sent a signal, too.
fn broken_pipe(error: Errno) -> Errno {
    if error == Errno::EPIPE {
        // Not a real-time signal: there is always room for it.
        let _ = table::send_to(&this(), Signal::SIGPIPE, Info::Kernel);
    }
    error
}

/// The memory of a call that has one piece: all that the program names is in the user half, also what is too much to be
/// transferred.
fn piece(address: Word, length: Word) -> Result<[UserRange; 1], Errno> {
    Ok([address.pointer::<u8>().range(length.bits())?.first(MOST)])
}

/// The pieces of a `struct iovec` array (Linux: `__import_iovec`).
fn pieces(array: Word, count: Word) -> Result<Vec<UserRange>, Errno> {
    let count = count.count(PIECES_MAX).ok_or(Errno::EINVAL)?;
    let array = array.pointer::<[Word; 2]>();
    let mut room = MOST;
    let mut pieces = fallible::with_capacity(count)?;
    for index in 0..count {
        let [address, length] = array.element(index).read()?;
        if length.long() < 0 {
            return Err(Errno::EINVAL);
        }
        // One piece alone is cut before it is looked at where it ends.
        let named = if count == 1 { length.at_most(MOST) as u64 } else { length.bits() };
        let piece = address.pointer::<u8>().range(named)?.first(room);
        room -= piece.len();
        pieces.try_push(piece)?;
    }
    Ok(pieces)
}

/// Where a call reads or writes.
#[derive(Clone, Copy)]
enum TransferStart {
    /// Where the open file stands, which moves on.
    Here,
    /// There, where only what can be positioned has something.
    At(Position),
}

impl TransferStart {
    fn start(self, open: &OpenFile) -> Position {
        match self {
            Self::Here => open.position(),
            Self::At(start) => start,
        }
    }
}

fn read_pieces(open: &OpenFile, pieces: &[UserRange], place: TransferStart) -> Outcome {
    open.check_readable()?;
    let total = total(pieces);
    open.check_transfer(place.start(open), total as u64)?;
    if let Some(result) = open.file().without_memory(total, false) {
        return result.map(|bytes| bytes as u64);
    }
    match place {
        TransferStart::Here => fill(pieces, |buffer, done| open.read(buffer, done == 0)),
        TransferStart::At(start) => {
            fill(pieces, |buffer, done| open.file().read(start.after(done), buffer, Wait::Until))
        }
    }
}

fn write_pieces(open: &OpenFile, pieces: &[UserRange], place: TransferStart) -> Outcome {
    open.check_writable()?;
    let (start, total) = (place.start(open), total(pieces));
    open.check_transfer(start, total as u64)?;
    if let Some(result) = open.file().without_memory(total, true) {
        return result.map(|bytes| bytes as u64);
    }
    let most = open.writable(start, total)?;
    // To a pipe goes page by page, and of a page that cannot all be read nothing (Linux: `pipe_write`).
    if open.node().metadata().kind == NodeKind::Pipe {
        let whole = |from: UserRange, to: &mut [u8]| from.read(to).map(|()| to.len());
        return empty(pieces, most, PAGE_SIZE, whole, |bytes, _| open.write(bytes));
    }
    empty(pieces, most, CHUNK, UserRange::read_some, |bytes, done| match place {
        TransferStart::Here => open.write(bytes),
        TransferStart::At(start) => open.write_at(start.after(done), bytes),
    })
}

/// An open file that a call names a position in.
fn positioned(descriptor: Word, position: Word) -> Result<(Arc<OpenFile>, TransferStart), Errno> {
    let position = Position::from_word(position)?;
    let open = open_file(descriptor)?;
    open.file().length().ok_or(Errno::ESPIPE)?;
    Ok((open, TransferStart::At(position)))
}

fn read(arguments: &Arguments<'_>) -> Outcome {
    let [descriptor, address, length, ..] = arguments.words();
    let open = open_file(descriptor)?;
    open.check_readable()?;
    read_pieces(&open, &piece(address, length)?, TransferStart::Here)
}

fn write(arguments: &Arguments<'_>) -> Outcome {
    let [descriptor, address, length, ..] = arguments.words();
    let open = open_file(descriptor)?;
    open.check_writable()?;
    write_pieces(&open, &piece(address, length)?, TransferStart::Here)
}

fn pread(arguments: &Arguments<'_>) -> Outcome {
    let [descriptor, address, length, position, ..] = arguments.words();
    let (open, place) = positioned(descriptor, position)?;
    open.check_readable()?;
    read_pieces(&open, &piece(address, length)?, place)
}

fn pwrite(arguments: &Arguments<'_>) -> Outcome {
    let [descriptor, address, length, position, ..] = arguments.words();
    let (open, place) = positioned(descriptor, position)?;
    open.check_writable()?;
    write_pieces(&open, &piece(address, length)?, place)
}

fn readv(arguments: &Arguments<'_>) -> Outcome {
    let [descriptor, array, count, ..] = arguments.words();
    let open = open_file(descriptor)?;
    open.check_readable()?;
    read_pieces(&open, &pieces(array, count)?, TransferStart::Here)
}

fn writev(arguments: &Arguments<'_>) -> Outcome {
    let [descriptor, array, count, ..] = arguments.words();
    let open = open_file(descriptor)?;
    open.check_writable()?;
    write_pieces(&open, &pieces(array, count)?, TransferStart::Here)
}

fn preadv(arguments: &Arguments<'_>) -> Outcome {
    let [descriptor, array, count, position, ..] = arguments.words();
    let (open, place) = positioned(descriptor, position)?;
    open.check_readable()?;
    read_pieces(&open, &pieces(array, count)?, place)
}

fn pwritev(arguments: &Arguments<'_>) -> Outcome {
    let [descriptor, array, count, position, ..] = arguments.words();
    let (open, place) = positioned(descriptor, position)?;
    open.check_writable()?;
    write_pieces(&open, &pieces(array, count)?, place)
}

/// The open file and the place that `preadv2` and `pwritev2` are given: -1 stands for where the file stands. Nothing of what
/// their flags ask for is done here.
fn with_flags(arguments: &Arguments<'_>) -> Result<(Arc<OpenFile>, TransferStart), Errno> {
    let [descriptor, _, _, position, _, flags] = arguments.words();
    let found = if position.long() == -1 {
        (open_file(descriptor)?, TransferStart::Here)
    } else {
        positioned(descriptor, position)?
    };
    if flags.low() == 0 { Ok(found) } else { Err(Errno::EOPNOTSUPP) }
}

fn preadv2(arguments: &Arguments<'_>) -> Outcome {
    let [_, array, count, ..] = arguments.words();
    let (open, place) = with_flags(arguments)?;
    open.check_readable()?;
    read_pieces(&open, &pieces(array, count)?, place)
}

fn pwritev2(arguments: &Arguments<'_>) -> Outcome {
    let [_, array, count, ..] = arguments.words();
    let (open, place) = with_flags(arguments)?;
    open.check_writable()?;
    write_pieces(&open, &pieces(array, count)?, place)
}

fn lseek(arguments: &Arguments<'_>) -> Outcome {
    let [descriptor, offset, whence, ..] = arguments.words();
    let open = open_file(descriptor)?;
    let whence = Whence::new(whence.low()).ok_or(Errno::EINVAL)?;
    let position = open.file().seek(open.position(), offset.long(), whence)?;
    open.set_position(position);
    Ok(position.get())
}

/// After Linux's `do_sendfile`, in its order of errors.
fn sendfile(arguments: &Arguments<'_>) -> Outcome {
    let [out, from, place, count, ..] = arguments.words();
    let place = place.optional::<Word>();
    let given = place.map(UserPtr::read).transpose()?;
    let from = open_file(from)?;
    from.check_readable()?;
    // Linux reads only from what can be mapped.
    let is_read_by_parts =
        !matches!(from.node().metadata().kind, NodeKind::Directory | NodeKind::Character(device::NULL));
    let can_be_read_from = from.file().length().is_some();
    if place.is_some() && !can_be_read_from {
        return Err(Errno::ESPIPE);
    }
    let start = given.map_or(Ok(from.position()), Position::from_word)?;
    if count.long() < 0 {
        return Err(Errno::EINVAL);
    }
    from.check_transfer(start, count.bits())?;
    let out = open_file(out)?;
    out.check_writable()?;
    let count = count.at_most(MOST);
    out.check_transfer(out.position(), count as u64)?;
    // Before anything is read.
    if out.node().metadata().kind == NodeKind::Pipe && out.file().ready().0 & linux::POLLERR != 0 {
        return Err(broken_pipe(Errno::EPIPE));
    }
    if !can_be_read_from || !is_read_by_parts || out.flags() & linux::O_APPEND != 0 && out.file().length().is_some() {
        return Err(Errno::EINVAL);
    }
    let mut buffer = chunk(count)?;
    let mut done = 0;
    while done < count {
        let wanted = buffer.len().min(count - done);
        // Any signal ends it (Linux: `splice_from_pipe_next`).
        let part = check_signals()
            .map_err(|Interrupted| Errno::RESTART)
            .and_then(|()| from.file().read(start.after(done), &mut buffer[..wanted], Wait::Until))
            .and_then(|read| {
                // Each part by itself reaches the limit, as on Linux.
                let most = out.writable(out.position(), read)?;
                if most == 0 { Ok(0) } else { out.write(&buffer[..most]) }
            });
        match part {
            Ok(0) => break,
            Ok(bytes) => done += bytes,
            Err(error) if done == 0 => return Err(broken_pipe(error)),
            Err(_) => break,
        }
        if place.is_none() {
            from.set_position(start.after(done));
        }
    }
    if let Some(place) = place {
        place.write(Word::new(start.after(done).get()))?;
    }
    Ok(done as u64)
}

fn ftruncate(arguments: &Arguments<'_>) -> Outcome {
    let [descriptor, length, ..] = arguments.words();
    let length = Position::from_word(length)?;
    let open = open_file(descriptor)?;
    if open.check_writable().is_err() || open.node().metadata().kind != NodeKind::File {
        return Err(Errno::EINVAL);
    }
    open.node().set_length(length).map(|()| 0)
}

/// After Linux's `vfs_fallocate`, in its order of errors.
fn fallocate(arguments: &Arguments<'_>) -> Outcome {
    let [descriptor, mode, start, length, ..] = arguments.words();
    let open = open_file(descriptor)?;
    let (start, length) = (Position::from_word(start)?, Position::from_word(length)?);
    if length == Position::START {
        return Err(Errno::EINVAL);
    }
    let mode = mode.low();
    let keeps_size = mode & linux::FALLOC_FL_KEEP_SIZE != 0;
    let (is_known, is_done) = match mode & !linux::FALLOC_FL_KEEP_SIZE {
        0 => (true, true),
        linux::FALLOC_FL_PUNCH_HOLE => (keeps_size, true),
        linux::FALLOC_FL_UNSHARE_RANGE | linux::FALLOC_FL_ZERO_RANGE => (true, false),
        linux::FALLOC_FL_COLLAPSE_RANGE | linux::FALLOC_FL_INSERT_RANGE => (!keeps_size, false),
        _ => (false, false),
    };
    if !is_known {
        return Err(Errno::EOPNOTSUPP);
    }
    open.check_writable()?;
    match open.node().metadata().kind {
        NodeKind::File => {}
        NodeKind::Pipe => return Err(Errno::ESPIPE),
        NodeKind::Directory => return Err(Errno::EISDIR),
        NodeKind::Block(_) => return Err(Errno::EOPNOTSUPP),
        _ => return Err(Errno::ENODEV),
    }
    let end = start.end_of_transfer(length.get()).map_err(|_| Errno::EFBIG)?;
    let bytes = start.get()..end.get();
    if !is_done {
        return Err(Errno::EOPNOTSUPP);
    }
    if mode & linux::FALLOC_FL_PUNCH_HOLE != 0 {
        return open.node().punch_hole(bytes).map(|()| 0);
    }
    limit::check_new_length(open.node().metadata().size, end)?;
    open.node().allocate(bytes, keeps_size).map(|()| 0)
}

fn fsync(arguments: &Arguments<'_>) -> Outcome {
    let [descriptor, ..] = arguments.words();
    open_file(descriptor)?.file().sync().map(|()| 0)
}

/// As `fsync`, but what keeps nothing has nothing to say against it.
fn syncfs(arguments: &Arguments<'_>) -> Outcome {
    match fsync(arguments) {
        Err(Errno::EINVAL) => Ok(0),
        outcome => outcome,
    }
}

/// Nothing waits in memory to be written to a device.
fn sync(_: &Arguments<'_>) -> Outcome {
    ext4::sync_all(&namespace::mounts());
    Ok(0)
}

/// Advice on how a file will be read changes nothing: what is read is in memory already.
fn fadvise(arguments: &Arguments<'_>) -> Outcome {
    let [descriptor, _, length, advice, ..] = arguments.words();
    let open = open_file(descriptor)?;
    if open.node().metadata().kind == NodeKind::Pipe {
        return Err(Errno::ESPIPE);
    }
    if length.long() < 0 || advice.low() > linux::POSIX_FADV_NOREUSE { Err(Errno::EINVAL) } else { Ok(0) }
}

fn ioctl(arguments: &Arguments<'_>) -> Outcome {
    use linux_raw_sys::ioctl::{FIOCLEX, FIONBIO, FIONCLEX, FIONREAD};
    let [descriptor, request, argument, ..] = arguments.words();
    let open = open_file(descriptor)?;
    let files = &this().files;
    match request.low() {
        FIOCLEX => files.set_close_on_exec(descriptor.low(), true).map(|()| 0),
        FIONCLEX => files.set_close_on_exec(descriptor.low(), false).map(|()| 0),
        FIONBIO => {
            let flag = if argument.pointer::<u32>().read()? == 0 { 0 } else { linux::O_NONBLOCK };
            open.set_flags(open.flags() & !linux::O_NONBLOCK | flag);
            Ok(0)
        }
        // What is left to be read of a file.
        FIONREAD if open.node().metadata().kind == NodeKind::File => {
            let left = open.node().metadata().size.wrapping_sub(open.position().get());
            argument.pointer().write(left as u32)?;
            Ok(0)
        }
        request => open.file().control(request, argument),
    }
}
