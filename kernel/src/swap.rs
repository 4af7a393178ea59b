//! This machine's disks for swap and for files: their requests become the drivers'.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use arrayvec::ArrayVec;
use quire_drivers::block::{BlockError, Operation, Request, SECTOR_BYTES};
use quire_linux::fs::devices::{self, DiskCounters};
use quire_linux::fs::node::Device;
use quire_machine::fallible;
use quire_machine::transfer::Transfer;
use quire_memory::folio::NewFolio;
use quire_memory::frames;
use quire_memory::swap::Quire;
use quire_swap::header::Page;
use quire_swap::{BATCH_FOLIOS, DeviceState, Direction, DiskProperties, DiskRequest, DriverId, IoError};

use crate::disk::{self, SECTORS_PER_PAGE, VirtioDisk};

/// virtio disks' major number.
const VIRTIO: u32 = 254;
/// How many minor numbers each virtio disk has.
const VIRTIO_MINORS: u32 = 16;

/// Every disk, for swap and for files.
#[expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "once, as the kernel starts")]
pub fn disks() -> Vec<Arc<dyn devices::BlockDevice>> {
    let numbers = (0..).map(|index| Device { major: VIRTIO, minor: index * VIRTIO_MINORS });
    let for_swap = |(disk, number): (&'static Arc<VirtioDisk>, Device)| {
        Arc::new(SwapDisk { disk, name: format!("{disk}"), number }) as _
    };
    disk::all().iter().zip(numbers).map(for_swap).collect()
}

/// A disk of this machine.
struct SwapDisk {
    disk: &'static Arc<VirtioDisk>,
    name: String,
    number: Device,
}

impl SwapDisk {
    /// The most pages of a request that a caller waits for.
    fn pages_at_once(&self) -> usize {
        BATCH_FOLIOS.min(self.disk.geometry().max_segments).max(1)
    }
}

fn io_error(error: BlockError) -> IoError {
    match error {
        BlockError::ReadOnly { .. } | BlockError::NoDiscard { .. } | BlockError::Unsupported { .. } => {
            IoError::Unsupported
        }
        BlockError::Abandoned => IoError::Abandoned,
        _ => IoError::Device,
    }
}

impl quire_swap::Disk<Quire> for SwapDisk {
    fn name(&self) -> &str {
        &self.name
    }

    fn driver(&self) -> DriverId {
        DriverId("virtio-blk")
    }

    fn pages(&self) -> u64 {
        self.disk.geometry().sectors / SECTORS_PER_PAGE
    }

    fn properties(&self) -> DiskProperties {
        let geometry = self.disk.geometry();
        DiskProperties {
            read_only: self.disk.is_read_only(),
            discard: geometry.max_discard_sectors.is_some(),
            rotational: self.disk.is_rotational(),
            ..DiskProperties::default()
        }
    }

    fn device_state(&self) -> &Arc<DeviceState> {
        self.disk.device_state()
    }

    fn read_page(&self, page: u64, buffer: &mut Page) -> Result<(), IoError> {
        let sector = page * SECTORS_PER_PAGE;
        if disk::is_reachable(buffer) {
            return self.disk.read(sector, &mut [buffer]).map_err(io_error);
        }
        let mut folio = frames::wait_for_frame().map_err(|_| IoError::NoMemory)?;
        self.disk.read(sector, &mut [folio.page_mut()]).map_err(io_error)?;
        buffer.copy_from_slice(folio.page_mut());
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "an array of a fixed size")]
    fn read_pages(&self, first: u64, pages: &mut [Page]) -> Result<(), IoError> {
        let mut page = first;
        for pages in pages.chunks_mut(self.pages_at_once()) {
            let count = pages.len() as u64;
            if pages.iter().all(disk::is_reachable) {
                let mut reachable = pages.iter_mut().collect::<ArrayVec<_, BATCH_FOLIOS>>();
                self.disk.read(page * SECTORS_PER_PAGE, &mut reachable).map_err(io_error)?;
            } else {
                (page..).zip(pages).try_for_each(|(page, buffer)| self.read_page(page, buffer))?;
            }
            page += count;
        }
        Ok(())
    }

    #[expect(clippy::disallowed_methods, reason = "an array of a fixed size")]
    fn write_pages(&self, first: u64, pages: &[Page]) -> Result<(), IoError> {
        let mut sector = first * SECTORS_PER_PAGE;
        for pages in pages.chunks(self.pages_at_once()) {
            let mut copies = ArrayVec::<NewFolio, BATCH_FOLIOS>::new();
            for page in pages.iter().filter(|page| !disk::is_reachable(page)) {
                let mut folio = frames::wait_for_frame().map_err(|_| IoError::NoMemory)?;
                folio.page_mut().copy_from_slice(page);
                copies.push(folio);
            }
            let mut copies = copies.iter_mut().map(|folio| &*folio.page_mut());
            let reachable = |page| if disk::is_reachable(page) { Some(page) } else { copies.next() };
            let reachable = pages.iter().filter_map(reachable).collect::<ArrayVec<_, BATCH_FOLIOS>>();
            self.disk.write(sector, &reachable).map_err(io_error)?;
            sector += pages.len() as u64 * SECTORS_PER_PAGE;
        }
        Ok(())
    }

    fn submit(&self, request: DiskRequest<Quire>) {
        let operation = match request.direction() {
            Direction::Read => Operation::Read,
            Direction::Write => Operation::Write,
        };
        let sector = request.first_sector();
        let end = |request: DiskRequest<Quire>, result: Result<(), _>| request.complete(result.map_err(io_error));
        // At most as many as there are batches. A batch that is dropped for want of a box has failed, and is not lost.
        let Ok(transfer) = fallible::boxed_in_need(Transfer { pages: request, end }) else { return };
        // A request has room for a batch; dropping it here would fail the batch, not lose it.
        let Some(to_disk) = Request::with_memory(operation, sector, transfer) else { return };
        self.disk.submit(to_disk);
    }

    fn discard(&self, pages: Range<u64>) -> Result<(), IoError> {
        let most = self.disk.geometry().max_discard_sectors.ok_or(IoError::Unsupported)?;
        let mut sector = pages.start * SECTORS_PER_PAGE;
        let end = pages.end * SECTORS_PER_PAGE;
        while sector < end {
            let sectors = (end - sector).min(u64::from(most.get())) as u32;
            self.disk.run(Operation::Discard { sectors }, sector).map_err(io_error)?;
            sector += u64::from(sectors);
        }
        Ok(())
    }
}

impl devices::BlockDevice for SwapDisk {
    fn number(&self) -> Device {
        self.number
    }

    fn sectors(&self) -> u64 {
        self.disk.geometry().sectors
    }

    fn pages_in_request(&self) -> usize {
        self.disk.geometry().max_segments
    }

    fn flush(&self) -> Result<(), IoError> {
        self.disk.run(Operation::Flush, 0).map_err(io_error)
    }

    fn set_rotational(&self, rotational: bool) {
        self.disk.set_rotational(rotational);
    }

    fn counters(&self) -> DiskCounters {
        let counters = self.disk.counters();
        DiskCounters {
            reads: counters.reads,
            writes: counters.writes,
            flushes: counters.flushes,
            discards: counters.discards,
            sectors_read: counters.bytes_read / SECTOR_BYTES,
            sectors_written: counters.bytes_written / SECTOR_BYTES,
            in_flight: counters.in_flight,
        }
    }
}
