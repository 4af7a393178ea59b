//! Reading and writing open files.

use alloc::sync::Arc;
use alloc::vec::Vec;

use linux_raw_sys::general as linux;

use super::{Arguments, Calls, Outcome};
use crate::arch::user;
use crate::errno::Errno;
use crate::fs::node::{Kind, Wait};
use crate::fs::open::OpenFile;
use crate::mm::heap;
use crate::process::signal::{Info, Signal};
use crate::process::{self, send_to, this};

pub(super) const CALLS: Calls = &[
    (linux::__NR_read, read),
    (linux::__NR_write, write),
    (linux::__NR_pread64, pread),
    (linux::__NR_pwrite64, pwrite),
    (linux::__NR_readv, readv),
    (linux::__NR_writev, writev),
    (linux::__NR_preadv, preadv),
    (linux::__NR_pwritev, pwritev),
    (linux::__NR_lseek, lseek),
    (linux::__NR_sendfile, sendfile),
    (linux::__NR_ftruncate, ftruncate),
    (linux::__NR_fallocate, fallocate),
    (linux::__NR_fsync, fsync),
    (linux::__NR_fdatasync, fsync),
    (linux::__NR_syncfs, fsync),
    (linux::__NR_sync, sync),
    (linux::__NR_fadvise64, fadvise),
    (linux::__NR_ioctl, ioctl),
];

/// The most that one call transfers (Linux: `MAX_RW_COUNT`).
const MOST: u64 = 0x7fff_f000;
/// The most that is copied at once through the kernel.
const CHUNK: u64 = 16 << 10;
/// The most pieces of a `readv` or `writev` (`IOV_MAX`).
const PIECES_MAX: u64 = 1024;

/// A piece of user memory.
#[derive(Clone, Copy)]
struct Piece {
    address: u64,
    length: u64,
}

fn open_file(descriptor: u64) -> Result<Arc<OpenFile>, Errno> {
    this().files.get(descriptor as u32)
}

fn chunk(length: u64) -> Result<Vec<u8>, Errno> {
    let bytes = length.min(CHUNK) as usize;
    if heap::may_allocate(bytes) { Ok(alloc::vec![0; bytes]) } else { Err(Errno::ENOMEM) }
}

/// Fills pieces of user memory. `transfer` reads into a buffer; the flag says that nothing was read before.
fn fill(pieces: &[Piece], mut transfer: impl FnMut(&mut [u8], u64) -> Result<usize, Errno>) -> Outcome {
    let total: u64 = pieces.iter().map(|piece| piece.length).sum();
    let mut buffer = chunk(total)?;
    let mut done = 0;
    for piece in pieces {
        let mut at = 0;
        while at < piece.length {
            let wanted = buffer.len().min((piece.length - at) as usize);
            // What is read from a pipe or a terminal is gone from there: not if it has no place to go.
            let place = user::touch(piece.address.wrapping_add(at)).map_err(Errno::from);
            let result = place.and_then(|()| transfer(&mut buffer[..wanted], done)).and_then(|bytes| {
                user::write(piece.address.wrapping_add(at), &buffer[..bytes])?;
                Ok(bytes)
            });
            match result {
                Ok(bytes) => {
                    at += bytes as u64;
                    done += bytes as u64;
                    if bytes < wanted {
                        return Ok(done);
                    }
                }
                Err(error) if done == 0 => return Err(error),
                Err(_) => return Ok(done),
            }
        }
    }
    if total == 0 {
        transfer(&mut [], 0)?;
    }
    Ok(done)
}

/// Empties pieces of user memory. `transfer` writes from a buffer; it is told how much was written before.
fn empty(pieces: &[Piece], mut transfer: impl FnMut(&[u8], u64) -> Result<usize, Errno>) -> Outcome {
    let total: u64 = pieces.iter().map(|piece| piece.length).sum();
    let mut buffer = chunk(total)?;
    let mut done = 0;
    for piece in pieces {
        let mut at = 0;
        while at < piece.length {
            let wanted = buffer.len().min((piece.length - at) as usize);
            let read = user::read(piece.address.wrapping_add(at), &mut buffer[..wanted]);
            let result = read.map_err(Errno::from).and_then(|()| transfer(&buffer[..wanted], done));
            match result {
                Ok(bytes) => {
                    at += bytes as u64;
                    done += bytes as u64;
                    if bytes == 0 {
                        return Ok(done);
                    }
                }
                Err(error) if done == 0 => return Err(broken_pipe(error)),
                Err(_) => return Ok(done),
            }
        }
    }
    if total == 0 {
        transfer(&[], 0)?;
    }
    Ok(done)
}

/// Who writes to a pipe that nobody reads is told by a signal, too.
fn broken_pipe(error: Errno) -> Errno {
    if error == Errno::EPIPE {
        // Not a real-time signal: there is always room for it.
        let _ = send_to(&this(), Signal::SIGPIPE, Info::Kernel);
    }
    error
}

fn piece(address: u64, length: u64) -> [Piece; 1] {
    [Piece { address, length: length.min(MOST) }]
}

/// The pieces of a `struct iovec` array.
fn pieces(address: u64, count: u64) -> Result<Vec<Piece>, Errno> {
    if count > PIECES_MAX {
        return Err(Errno::EINVAL);
    }
    let mut left = MOST;
    let mut pieces = Vec::with_capacity(count as usize);
    for index in 0..count {
        let at = address.wrapping_add(16 * index);
        let (address, length) = (user::read_word(at)?, user::read_word(at.wrapping_add(8))?);
        if length.cast_signed() < 0 {
            return Err(Errno::EINVAL);
        }
        pieces.push(Piece { address, length: length.min(left) });
        left -= length.min(left);
    }
    Ok(pieces)
}

fn read_pieces(descriptor: u64, pieces: &[Piece]) -> Outcome {
    let open = open_file(descriptor)?;
    open.check_readable()?;
    fill(pieces, |buffer, done| open.read(buffer, done == 0))
}

fn write_pieces(descriptor: u64, pieces: &[Piece]) -> Outcome {
    let open = open_file(descriptor)?;
    open.check_writable()?;
    empty(pieces, |bytes, _| open.write(bytes))
}

fn read_pieces_at(descriptor: u64, pieces: &[Piece], offset: u64) -> Outcome {
    let open = open_file(descriptor)?;
    open.check_readable()?;
    check_offset(&open, offset)?;
    fill(pieces, |buffer, done| open.file().read(offset + done, buffer, Wait::Until))
}

fn write_pieces_at(descriptor: u64, pieces: &[Piece], offset: u64) -> Outcome {
    let open = open_file(descriptor)?;
    open.check_writable()?;
    check_offset(&open, offset)?;
    empty(pieces, |bytes, done| open.file().write(offset + done, bytes, Wait::Until))
}

fn check_offset(open: &OpenFile, offset: u64) -> Result<(), Errno> {
    if offset.cast_signed() < 0 {
        return Err(Errno::EINVAL);
    }
    open.file().length().map(drop).ok_or(Errno::ESPIPE)
}

fn read(arguments: &Arguments) -> Outcome {
    let [descriptor, address, length, ..] = arguments.a;
    read_pieces(descriptor, &piece(address, length))
}

fn write(arguments: &Arguments) -> Outcome {
    let [descriptor, address, length, ..] = arguments.a;
    write_pieces(descriptor, &piece(address, length))
}

fn pread(arguments: &Arguments) -> Outcome {
    let [descriptor, address, length, offset, ..] = arguments.a;
    read_pieces_at(descriptor, &piece(address, length), offset)
}

fn pwrite(arguments: &Arguments) -> Outcome {
    let [descriptor, address, length, offset, ..] = arguments.a;
    write_pieces_at(descriptor, &piece(address, length), offset)
}

fn readv(arguments: &Arguments) -> Outcome {
    let [descriptor, address, count, ..] = arguments.a;
    read_pieces(descriptor, &pieces(address, count)?)
}

fn writev(arguments: &Arguments) -> Outcome {
    let [descriptor, address, count, ..] = arguments.a;
    write_pieces(descriptor, &pieces(address, count)?)
}

fn preadv(arguments: &Arguments) -> Outcome {
    let [descriptor, address, count, offset, ..] = arguments.a;
    read_pieces_at(descriptor, &pieces(address, count)?, offset)
}

fn pwritev(arguments: &Arguments) -> Outcome {
    let [descriptor, address, count, offset, ..] = arguments.a;
    write_pieces_at(descriptor, &pieces(address, count)?, offset)
}

fn lseek(arguments: &Arguments) -> Outcome {
    let [descriptor, offset, whence, ..] = arguments.a;
    let open = open_file(descriptor)?;
    if open.flags() & linux::O_PATH != 0 {
        return Err(Errno::EBADF);
    }
    let length = open.file().length().ok_or(Errno::ESPIPE)?;
    let offset = offset.cast_signed();
    let from = match whence as u32 {
        linux::SEEK_CUR => open.position(),
        linux::SEEK_END => length,
        // No file says where its holes are: it is all data, with a hole at its end.
        linux::SEEK_DATA | linux::SEEK_HOLE if offset.cast_unsigned() >= length => return Err(Errno::ENXIO),
        linux::SEEK_SET | linux::SEEK_DATA => 0,
        linux::SEEK_HOLE => return Ok(set_position(&open, length)),
        _ => return Err(Errno::EINVAL),
    };
    let position = from.cast_signed().checked_add(offset).ok_or(Errno::EOVERFLOW)?;
    if position < 0 {
        return Err(Errno::EINVAL);
    }
    Ok(set_position(&open, position.cast_unsigned()))
}

fn set_position(open: &OpenFile, position: u64) -> u64 {
    open.set_position(position);
    position
}

fn sendfile(arguments: &Arguments) -> Outcome {
    let [out, from, offset_address, count, ..] = arguments.a;
    let (out, from) = (open_file(out)?, open_file(from)?);
    from.check_readable()?;
    out.check_writable()?;
    // Linux reads only from what can be mapped.
    from.file().length().ok_or(Errno::EINVAL)?;
    let mut offset = super::user_data::word_unless_null(offset_address)?;
    let mut buffer = chunk(count.min(MOST))?;
    let mut done = 0;
    while done < count.min(MOST) {
        let wanted = buffer.len().min((count - done) as usize);
        let position = offset.unwrap_or_else(|| from.position());
        let read = from.file().read(position, &mut buffer[..wanted], Wait::Until)?;
        let written = if read == 0 { Ok(0) } else { out.write(&buffer[..read]) };
        match written {
            Ok(bytes) => {
                done += bytes as u64;
                match &mut offset {
                    Some(offset) => *offset += bytes as u64,
                    None => from.set_position(position + bytes as u64),
                }
                if bytes == 0 {
                    break;
                }
            }
            Err(error) if done == 0 => return Err(broken_pipe(error)),
            Err(_) => break,
        }
    }
    if let Some(offset) = offset {
        user::write_word(offset_address, offset)?;
    }
    Ok(done)
}

fn ftruncate(arguments: &Arguments) -> Outcome {
    let [descriptor, length, ..] = arguments.a;
    let open = open_file(descriptor)?;
    if length.cast_signed() < 0 || open.check_writable().is_err() || open.node().metadata().kind != Kind::File {
        return Err(Errno::EINVAL);
    }
    open.node().set_length(length).map(|()| 0)
}

/// Makes a file longer; its memory comes when it is written, so nothing is set aside.
fn fallocate(arguments: &Arguments) -> Outcome {
    let [descriptor, mode, offset, length, ..] = arguments.a;
    let open = open_file(descriptor)?;
    open.check_writable()?;
    if offset.cast_signed() < 0 || length.cast_signed() <= 0 {
        return Err(Errno::EINVAL);
    }
    if open.node().metadata().kind != Kind::File {
        return Err(Errno::ENODEV);
    }
    let end = offset.checked_add(length).ok_or(Errno::EFBIG)?;
    match mode as u32 {
        0 if end > open.node().metadata().size => open.node().set_length(end).map(|()| 0),
        0 | linux::FALLOC_FL_KEEP_SIZE => Ok(0),
        _ => Err(Errno::EOPNOTSUPP),
    }
}

fn fsync(arguments: &Arguments) -> Outcome {
    open_file(arguments.a[0])?.file().sync().map(|()| 0)
}

/// Nothing waits in memory to be written to a device.
fn sync(_: &Arguments) -> Outcome {
    Ok(0)
}

/// Advice on how a file will be read changes nothing: what is read is in memory already.
fn fadvise(arguments: &Arguments) -> Outcome {
    let open = open_file(arguments.a[0])?;
    open.file().length().map(|_| 0).ok_or(Errno::ESPIPE)
}

fn ioctl(arguments: &Arguments) -> Outcome {
    use linux_raw_sys::ioctl::{FIOCLEX, FIONBIO, FIONCLEX};
    let [descriptor, request, argument, ..] = arguments.a;
    let open = open_file(descriptor)?;
    match request as u32 {
        FIOCLEX => process::this().files.set_close_on_exec(descriptor as u32, true).map(|()| 0),
        FIONCLEX => process::this().files.set_close_on_exec(descriptor as u32, false).map(|()| 0),
        FIONBIO => {
            let mut on = [0; 4];
            user::read(argument, &mut on)?;
            let flag = if on == [0; 4] { 0 } else { linux::O_NONBLOCK };
            open.set_flags(open.flags() & !linux::O_NONBLOCK | flag);
            Ok(0)
        }
        request => open.file().control(request, argument),
    }
}
