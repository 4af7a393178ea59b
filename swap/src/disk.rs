//! What the core asks of a block device, and the requests that it makes of batches.

use alloc::sync::Arc;
use core::ops::{Deref, Range};
use core::sync::atomic::{AtomicBool, Ordering};

use crate::area::Area;
use crate::batch::{BATCH_FOLIOS, Batch};
use crate::folio::Folio;
use crate::machine::{IoError, Machine};
use crate::ops::{Direction, SlotRun};
use crate::page::{PAGE_SIZE, Page};
use crate::statistics::count;

/// Bytes in a sector.
pub const SECTOR_SIZE: usize = 512;

/// Sectors in a page.
pub const SECTORS_PER_PAGE: u64 = (PAGE_SIZE / SECTOR_SIZE) as u64;

/// A block driver's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DriverId(pub &'static str);

/// A block device, as the kernel introduces it.
pub trait Disk<M: Machine>: Send + Sync {
    /// Its path, as in `/proc/swaps`.
    fn name(&self) -> &str;

    /// The driver that it belongs to, under which swap operations may be registered.
    fn driver(&self) -> DriverId;

    /// Its size in whole pages; 0 if unknown.
    fn pages(&self) -> u64;

    /// What it is like.
    fn properties(&self) -> DiskProperties;

    /// Reads one page and waits for it: for the header.
    ///
    /// # Errors
    /// The device's.
    fn read_page(&self, page: u64, buffer: &mut Page) -> Result<(), IoError>;

    /// Reads pages that follow one another and waits for it, by as few requests as the device can: for what is not swapped page
    /// by page.
    ///
    /// # Errors
    /// The device's; some of the pages may have been read then.
    fn read_pages(&self, first: u64, pages: &mut [Page]) -> Result<(), IoError> {
        (first..).zip(pages).try_for_each(|(page, buffer)| self.read_page(page, buffer))
    }

    /// Writes pages that follow one another and waits for it: for what is not swapped page by page.
    ///
    /// # Errors
    /// The device's.
    fn write_pages(&self, _first: u64, _pages: &[Page]) -> Result<(), IoError> {
        Err(IoError::Unsupported)
    }

    /// Starts a request. It is completed by [`DiskRequest::complete`] when the device is done, in task context, and on
    /// a synchronous device before this returns. May wait for space in the device's queue, but not when called from
    /// inside `complete`: a batch that is not contiguous is submitted run by run, each when the one before is done.
    fn submit(&self, request: DiskRequest<M>);

    /// What all who use the device share.
    fn device_state(&self) -> &Arc<DeviceState>;

    /// Tells the device that it need not keep these pages, and waits.
    ///
    /// # Errors
    /// The device's.
    fn discard(&self, pages: Range<u64>) -> Result<(), IoError>;
}

/// What all who use a block device share (Linux: `struct block_device`).
#[derive(Debug, Default)]
pub struct DeviceState {
    /// It has an exclusive user: a swap area, zram's writeback, or a program that opened it with `O_EXCL` (Linux:
    /// `bd_holder`). Programs that only read and write it are none.
    is_claimed: AtomicBool,
    /// Nothing may be written, whatever the device itself says (Linux: `BD_READ_ONLY`).
    read_only: AtomicBool,
}

/// A device that has this as its exclusive user, until it is dropped.
#[derive(Debug)]
pub struct Held(Arc<DeviceState>);

impl DeviceState {
    /// Takes the device, unless it has an exclusive user already.
    pub fn claim(self: &Arc<Self>) -> Option<Held> {
        let is_free = !self.is_claimed.swap(true, Ordering::Acquire);
        is_free.then(|| Held(Arc::clone(self)))
    }

    /// Whether the superuser has made it read-only.
    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }

    /// Makes it read-only, or no longer.
    pub fn set_read_only(&self, read_only: bool) {
        self.read_only.store(read_only, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.is_claimed.store(false, Ordering::Release);
    }
}

/// A disk with this as its exclusive user, until it is dropped.
pub struct Claim<M: Machine> {
    disk: Arc<dyn Disk<M>>,
    /// None where a file system is the exclusive user and has this use its disk.
    _held: Option<Held>,
}

impl<M: Machine> Claim<M> {
    /// The disk, unless it has another exclusive user.
    pub fn new(disk: &Arc<dyn Disk<M>>) -> Option<Self> {
        Some(Self { _held: Some(disk.device_state().claim()?), disk: Arc::clone(disk) })
    }

    /// The disk of a file system, which is its exclusive user for as long as one of its files is a swap area.
    pub(crate) fn of_file_system(disk: &Arc<dyn Disk<M>>) -> Self {
        Self { _held: None, disk: Arc::clone(disk) }
    }
}

impl<M: Machine> Deref for Claim<M> {
    type Target = Arc<dyn Disk<M>>;

    fn deref(&self) -> &Self::Target {
        &self.disk
    }
}

/// What a block device is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a device, not states of one thing")]
pub struct DiskProperties {
    /// Writes are refused.
    pub read_only: bool,
    /// Requests are over when submission returns (Linux: `BLK_FEAT_SYNCHRONOUS`).
    pub synchronous: bool,
    /// Seeking costs: one cluster after another is filled for all processors.
    pub rotational: bool,
    /// A page must not change while it is written (Linux: `BLK_FEAT_STABLE_WRITES`).
    pub stable_writes: bool,
    /// [`Disk::discard`] does something.
    pub discard: bool,
    /// It is a regular file, not a device.
    pub is_file: bool,
}

/// One contiguous request; it owns the batch that it is part of, so it is completed exactly once.
pub struct DiskRequest<M: Machine> {
    disk: Arc<dyn Disk<M>>,
    batch: Batch<M>,
    /// The batch's folios that this request moves; those before are done.
    folios: Range<usize>,
    disk_page: u64,
}

impl<M: Machine> DiskRequest<M> {
    /// Which way the data goes.
    pub fn direction(&self) -> Direction {
        self.batch.direction()
    }

    /// The first sector on the disk.
    pub fn first_sector(&self) -> u64 {
        self.disk_page * SECTORS_PER_PAGE
    }

    /// How many folios the request moves.
    pub fn len(&self) -> usize {
        self.folios.len()
    }

    /// Whether it moves none, which no request does.
    pub fn is_empty(&self) -> bool {
        self.folios.is_empty()
    }

    /// How many pages the request moves.
    pub fn pages(&self) -> u64 {
        self.folios().map(|folio| 1 << folio.order()).sum()
    }

    /// The folios in the order in which they lie on the disk. Those whose frames follow one another are one piece of memory; there are
    /// at most 32 pieces.
    pub fn folios(&self) -> impl Iterator<Item = &M::Folio> + Clone {
        self.batch.folios().skip(self.folios.start).take(self.folios.len()).map(|(folio, _)| folio)
    }

    /// Looks at page `page` of the request's folio at `position`, which is written; `None` if there is no such page.
    ///
    /// # Panics
    /// When the page may change: see [`DiskProperties::stable_writes`].
    pub fn with_page<R>(&self, position: usize, page: usize, read: impl FnOnce(&Page) -> R) -> Option<R> {
        self.batch.with_page(self.folios.start + position, page, read)
    }

    /// Writes page `page` of the request's folio at `position`, which is read; `None` if there is no such page.
    pub fn with_page_mut<R>(&mut self, position: usize, page: usize, write: impl FnOnce(&mut Page) -> R) -> Option<R> {
        self.batch.with_page_mut(self.folios.start + position, page, write)
    }

    /// The device is done. An error ends the whole batch; what of it was not attempted yet will not be.
    pub fn complete(self, result: Result<(), IoError>) {
        if result.is_err() || self.folios.end == self.batch.len() {
            self.batch.complete(result);
        } else {
            submit_run(&self.disk, self.batch, self.folios.end);
        }
    }
}

/// Makes one request of the longest run of the batch that is contiguous on the disk and begins at folio `first`.
pub(crate) fn submit_run<M: Machine>(disk: &Arc<dyn Disk<M>>, batch: Batch<M>, first: usize) {
    let area = Arc::clone(batch.area());
    let Some(disk_page) = batch.run(first).and_then(|run| area.extents().disk_page(run.first.into())) else {
        return batch.complete(Err(IoError::Unsupported));
    };
    let mut end = first + 1;
    while let (Some(previous), Some(next)) = (batch.run(end - 1), batch.run(end)) {
        if !contiguous(&area, previous, next) {
            break;
        }
        end += 1;
    }
    if end - first > BATCH_FOLIOS {
        end = first + most_in_pieces(&batch, first, end - first);
    }
    match batch.direction() {
        Direction::Read => count!(area, read_requests, 1),
        Direction::Write => count!(area, write_requests, 1),
    }
    let request = DiskRequest { disk: Arc::clone(disk), batch, folios: first..end, disk_page };
    disk.submit(request);
}

/// How many of the batch's folios from `first` on, which are `most`, lie in as many pieces of memory as a request can have.
#[inline(never)]
fn most_in_pieces<M: Machine>(batch: &Batch<M>, first: usize, most: usize) -> usize {
    let mut pieces = 0;
    let mut following = None;
    let fits = |(folio, _): &(&M::Folio, SlotRun)| {
        pieces += usize::from(following != Some(folio.number()));
        following = Some(folio.number() + (1 << folio.order()));
        pieces <= BATCH_FOLIOS
    };
    batch.folios().skip(first).take(most).take_while(fits).count()
}

/// Whether `next` lies on the disk where `previous` ends. A large folio never crosses extents: areas with several only
/// have folios of order 0.
pub(crate) fn contiguous<M: Machine>(area: &Area<M>, previous: SlotRun, next: SlotRun) -> bool {
    let end = |run: SlotRun| Some(area.extents().disk_page(run.first.into())? + u64::from(run.length));
    area.extents().disk_page(next.first.into()).is_some_and(|page| end(previous) == Some(page))
}
