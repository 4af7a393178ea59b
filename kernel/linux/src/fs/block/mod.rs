//! Block devices as files: any bytes at any offset, through whole pages (Linux: `block/fops.c`).
//!
//! There is no cache: what was written is on the device when the call returns. A page of which only a part is written is
//! read first; from then until it is written no other task does the same, since one of two parts would be lost otherwise.
//! A device's size is counted in whole pages.

mod control;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, Ordering};

use linux_raw_sys::general as linux;
use quire_compressed::zram::{OpenZram, Zram};
use quire_machine::fallible::{self, TryVec};
use quire_machine::task::{HeedKill, WaitQueue};
use quire_machine::user::Word;
use quire_memory::swap::{self, Quire};
use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::{DeviceState, DiskProperties, Held, IoError};

use super::node::{Device, File, NodeKind, Wait, writes};
use super::path::{Follow, walk};
use super::position::{Position, Whence};
use crate::errno::Errno;
use crate::fs::devices::{self, BlockDevice};
use crate::process::control_block::this;

const PAGE: u64 = PAGE_SIZE as u64;
/// zram's major number.
const ZRAM: u32 = 252;
/// Pages that are discarded in one go: the device may take its time for each.
const DISCARDED: usize = (1 << 30) / PAGE_SIZE;
/// The unit in which programs may transfer without losing time; zram says a page.
pub const SECTOR: u32 = 512;

/// Every block device that stays, with its number.
pub fn disks() -> impl Iterator<Item = (Device, &'static Arc<dyn BlockDevice>)> {
    devices::disks().iter().map(|disk| (disk.number(), disk))
}

/// Every zram device there is now, with its number.
///
/// # Errors
/// `ENOMEM`.
pub fn zrams() -> Result<impl Iterator<Item = (Device, Arc<Zram<Quire>>)>, Errno> {
    Ok(devices::zrams()?.into_iter().map(|zram| (Device { major: ZRAM, minor: zram.number() }, zram)))
}

/// Every block device there is now: the path under which the kernel knows it, and its number.
///
/// # Errors
/// `ENOMEM`.
pub fn all() -> Result<Vec<(String, Device)>, Errno> {
    let mut all = Vec::new();
    for (number, disk) in disks() {
        all.try_push((fallible::text(format_args!("{}", disk.name()))?, number))?;
    }
    for (number, zram) in zrams()? {
        all.try_push((fallible::text(format_args!("/dev/zram{}", zram.number()))?, number))?;
    }
    Ok(all)
}

/// A device's name: the end of its path.
pub fn name(path: &str) -> &str {
    path.strip_prefix("/dev/").unwrap_or(path)
}

/// The path under which the kernel knows a device.
///
/// # Errors
/// `ENXIO` if there is none; `ENOMEM`.
pub fn path(device: Device) -> Result<String, Errno> {
    all()?.into_iter().find(|(_, other)| *other == device).map(|(path, _)| path).ok_or(Errno::ENXIO)
}

/// Opens a device.
///
/// # Errors
/// `ENXIO` if there is none; `EACCES` to write what can only be read; `EBUSY` with `O_EXCL` if it has an exclusive user
/// already.
pub fn open(device: Device, flags: u32) -> Result<Arc<dyn File>, Errno> {
    let path = path(device)?;
    let medium = match devices::zram(&path) {
        Some(zram) => Medium::Zram(zram.open_file()),
        None => Medium::Disk(Arc::clone(devices::disk(&path).ok_or(Errno::ENXIO)?)),
    };
    if writes(flags) && medium.is_read_only() {
        return Err(Errno::EACCES);
    }
    let held = if flags & linux::O_EXCL == 0 { None } else { Some(medium.state().claim().ok_or(Errno::EBUSY)?) };
    Ok(fallible::shared(BlockFile { path, medium, may_write: writes(flags), held })?)
}

/// The path by which the kernel knows the block device at `path`, for zram to write back to (Linux: `backing_dev_store`).
///
/// # Errors
/// The walk's; `EISDIR`, `ENOTBLK`; `EINVAL` for a device without a size.
pub fn resolve(path: &str) -> Result<String, Errno> {
    let process = this();
    let start = process.location.start(process.credentials());
    let node = walk(&start, path.as_bytes(), Follow::Yes)?.node()?;
    match node.metadata().kind {
        NodeKind::Directory => Err(Errno::EISDIR),
        NodeKind::Block(device) => {
            let path = self::path(device)?;
            if devices::zram(&path).is_some_and(|zram| zram.open().is_none()) { Err(Errno::EINVAL) } else { Ok(path) }
        }
        _ => Err(Errno::ENOTBLK),
    }
}

enum Medium {
    /// A zram device; while it is open, it cannot be reset.
    Zram(OpenZram<Quire>),
    /// Another device.
    Disk(Arc<dyn BlockDevice>),
}

impl Medium {
    fn is_read_only(&self) -> bool {
        self.properties().read_only
    }

    fn properties(&self) -> DiskProperties {
        match self {
            Self::Zram(zram) => zram.properties(),
            Self::Disk(disk) => disk.properties(),
        }
    }

    fn state(&self) -> &Arc<DeviceState> {
        match self {
            Self::Zram(zram) => zram.device_state(),
            Self::Disk(disk) => disk.device_state(),
        }
    }

    fn pages(&self) -> u64 {
        match self {
            Self::Zram(zram) => zram.disk().map_or(0, |disk| disk.pages()),
            Self::Disk(disk) => disk.pages(),
        }
    }

    fn read(&self, page: u64, contents: &mut Page) -> Result<(), Errno> {
        match self {
            Self::Zram(zram) => zram.disk().ok_or(Errno::ENXIO)?.read(page, contents).map_err(errno),
            Self::Disk(disk) => disk.read_page(page, contents).map_err(errno),
        }
    }

    fn write(&self, page: u64, contents: &Page) -> Result<(), Errno> {
        match self {
            Self::Zram(zram) => zram.disk().ok_or(Errno::ENXIO)?.write(page, contents).map_err(errno),
            Self::Disk(disk) => disk.write_pages(page, core::slice::from_ref(contents)).map_err(errno),
        }
    }

    fn discard(&self, pages: core::ops::Range<u64>) -> Result<(), Errno> {
        match self {
            Self::Zram(zram) => {
                let disk = zram.disk().ok_or(Errno::ENXIO)?;
                Ok(disk.discard_unless_killed(pages)?)
            }
            Self::Disk(disk) => {
                for start in pages.clone().step_by(DISCARDED).heed_kill() {
                    let start = start?;
                    let part = start..pages.end.min(start + DISCARDED as u64);
                    disk.discard(part).map_err(|_| Errno::EOPNOTSUPP)?;
                }
                Ok(())
            }
        }
    }

    fn sector(&self) -> u32 {
        if matches!(self, Self::Zram(_)) { PAGE_SIZE as u32 } else { SECTOR }
    }
}

/// A device that is full fails as any other does (Linux: `bio_io_error`).
fn errno(error: IoError) -> Errno {
    match error {
        IoError::NoMemory => Errno::ENOMEM,
        _ => Errno::EIO,
    }
}

struct BlockFile {
    path: String,
    medium: Medium,
    may_write: bool,
    /// It was opened with `O_EXCL`.
    held: Option<Held>,
}

/// A task is writing part of a page.
static PARTLY: AtomicBool = AtomicBool::new(false);
static TURN: WaitQueue = WaitQueue::new();

/// The part of a transfer that lies in one page.
struct Part {
    page: u64,
    within: core::ops::Range<usize>,
}

fn part(offset: u64, bytes: usize) -> Part {
    let start = (offset % PAGE) as usize;
    Part { page: offset / PAGE, within: start..PAGE_SIZE.min(start + bytes) }
}

fn page_buffer() -> Result<Box<Page>, Errno> {
    Ok(fallible::boxed([0; PAGE_SIZE])?)
}

impl BlockFile {
    fn bytes(&self) -> u64 {
        self.medium.pages() * PAGE
    }

    fn write_part(&self, part: &Part, bytes: &[u8], contents: &mut Page) -> Result<(), Errno> {
        if part.within.len() == PAGE_SIZE {
            contents.copy_from_slice(bytes);
            return self.medium.write(part.page, contents);
        }
        TURN.wait_until(|| !PARTLY.swap(true, Ordering::Acquire));
        let result = self.medium.read(part.page, contents).and_then(|()| {
            contents[part.within.clone()].copy_from_slice(bytes);
            self.medium.write(part.page, contents)
        });
        PARTLY.store(false, Ordering::Release);
        TURN.wake_all();
        result
    }

    /// A swap area is written by swap alone.
    fn check_no_swap_area(&self) -> Result<(), Errno> {
        let is_area = swap::core().areas().any(|area| area.name() == self.path);
        if is_area { Err(Errno::ETXTBSY) } else { Ok(()) }
    }
}

/// Does `serve` for each page of a transfer; what was done before an error counts.
fn each_part(
    offset: u64,
    bytes: usize,
    mut serve: impl FnMut(&Part, core::ops::Range<usize>) -> Result<(), Errno>,
) -> Result<usize, Errno> {
    let mut done = 0;
    while done < bytes {
        let part = part(offset + done as u64, bytes - done);
        let length = part.within.len();
        match serve(&part, done..done + length) {
            Ok(()) => done += length,
            Err(error) if done == 0 => return Err(error),
            Err(_) => break,
        }
    }
    Ok(done)
}

impl File for BlockFile {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn read(&self, position: Position, buffer: &mut [u8], _: Wait) -> Result<usize, Errno> {
        let offset = position.get();
        let bytes = self.bytes().saturating_sub(offset).min(buffer.len() as u64) as usize;
        let mut contents = page_buffer()?;
        each_part(offset, bytes, |part, range| {
            self.medium.read(part.page, &mut contents)?;
            buffer[range].copy_from_slice(&contents[part.within.clone()]);
            Ok(())
        })
    }

    fn write(&self, position: Position, bytes: &[u8], _: Wait) -> Result<usize, Errno> {
        let offset = position.get();
        if bytes.is_empty() {
            return Ok(0);
        }
        if self.medium.is_read_only() {
            return Err(Errno::EPERM);
        }
        self.check_no_swap_area()?;
        let room = self.bytes().saturating_sub(offset).min(bytes.len() as u64) as usize;
        if room == 0 {
            return Err(Errno::ENOSPC);
        }
        let mut contents = page_buffer()?;
        each_part(offset, room, |part, range| self.write_part(part, &bytes[range], &mut contents))
    }

    fn length(&self) -> Option<Position> {
        Position::new(self.bytes())
    }

    /// Not beyond the end (Linux: `blkdev_llseek`).
    fn seek(&self, current: Position, offset: i64, whence: Whence) -> Result<Position, Errno> {
        let length = self.length().ok_or(Errno::ESPIPE)?;
        match whence {
            Whence::Data | Whence::Hole => Err(Errno::EINVAL),
            _ => current.seek(length, length, offset, whence),
        }
    }

    fn control(&self, request: u32, argument: Word) -> Result<u64, Errno> {
        self.answer(request, argument)
    }

    /// Nothing waits to be written, but a disk may have a cache of its own.
    fn sync(&self) -> Result<(), Errno> {
        match &self.medium {
            Medium::Disk(disk) => disk.flush().map_err(errno),
            Medium::Zram(_) => Ok(()),
        }
    }
}
