//! This machine's disks for swap and for files: their requests become the drivers'.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::num::NonZeroU32;
use core::ops::Range;

use arrayvec::ArrayVec;
use quire_drivers::block::{BlockError, Completion, Operation, Request, SECTOR_BYTES, Segment};
use quire_machine::address_map::DIRECT_MAP;
use quire_machine::{fallible, physical};
use quire_memory::folio::{Folio, NewFolio};
use quire_memory::frames;
use quire_memory::swap::Quire;
use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::{BATCH_FOLIOS, DeviceState, Direction, DiskProperties, DiskRequest, DriverId, IoError};

use crate::disk::{self, SECTORS_PER_PAGE, VirtioDisk};
use quire_linux::fs::devices::{self, DiskCounters};

/// Every disk, for swap and for files.
#[expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "once, as the kernel starts")]
pub fn disks() -> Vec<Arc<dyn devices::BlockDevice>> {
    let for_swap = |disk: &'static Arc<VirtioDisk>| Arc::new(SwapDisk { disk, name: format!("{disk}") }) as _;
    disk::all().iter().map(for_swap).collect()
}

/// A disk of this machine.
struct SwapDisk {
    disk: &'static Arc<VirtioDisk>,
    name: String,
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
        if let Some(segment) = segment_of(buffer) {
            return self.disk.run(Operation::Read, sector, &[segment]).map_err(io_error);
        }
        let mut folio = frames::wait_for_frame().map_err(|_| IoError::NoMemory)?;
        let segment = segment_of(folio.page_mut()).ok_or(IoError::Unsupported)?;
        self.disk.run(Operation::Read, sector, &[segment]).map_err(io_error)?;
        buffer.copy_from_slice(folio.page_mut());
        Ok(())
    }

    fn write_pages(&self, first: u64, pages: &[Page]) -> Result<(), IoError> {
        let mut sector = first * SECTORS_PER_PAGE;
        for pages in pages.chunks(BATCH_FOLIOS.min(self.disk.geometry().max_segments).max(1)) {
            let mut folios = ArrayVec::<NewFolio, BATCH_FOLIOS>::new();
            let mut segments = ArrayVec::<Segment, BATCH_FOLIOS>::new();
            for page in pages {
                if let Some(segment) = segment_of(page) {
                    segments.push(segment);
                    continue;
                }
                let mut folio = frames::wait_for_frame().map_err(|_| IoError::NoMemory)?;
                folio.page_mut().copy_from_slice(page);
                segments.push(segment_of(folio.page_mut()).ok_or(IoError::Unsupported)?);
                folios.push(folio);
            }
            self.disk.run(Operation::Write, sector, &segments).map_err(io_error)?;
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
        let mut segments = [None; BATCH_FOLIOS];
        for (place, folio) in segments.iter_mut().zip(request.folios()) {
            *place = Some(segment(folio));
        }
        // At most as many as there are batches. A batch that is dropped for want of a box has failed, and is not lost.
        let Ok(on_its_way) = fallible::boxed_in_need(OnItsWay(request)) else { return };
        let mut to_disk = Request::new(operation, sector, on_its_way);
        for segment in segments.into_iter().flatten() {
            if to_disk.push(segment).is_err() {
                // A request has room for a batch; dropping it here would fail the batch, not lose it.
                return;
            }
        }
        self.disk.submit(to_disk);
    }

    fn discard(&self, pages: Range<u64>) -> Result<(), IoError> {
        let most = self.disk.geometry().max_discard_sectors.ok_or(IoError::Unsupported)?;
        let mut sector = pages.start * SECTORS_PER_PAGE;
        let end = pages.end * SECTORS_PER_PAGE;
        while sector < end {
            let sectors = (end - sector).min(u64::from(most.get())) as u32;
            self.disk.run(Operation::Discard { sectors }, sector, &[]).map_err(io_error)?;
            sector += u64::from(sectors);
        }
        Ok(())
    }
}

impl devices::BlockDevice for SwapDisk {
    fn sectors(&self) -> u64 {
        self.disk.geometry().sectors
    }

    fn pages_in_request(&self) -> usize {
        self.disk.geometry().max_segments
    }

    fn flush(&self) -> Result<(), IoError> {
        self.disk.run(Operation::Flush, 0, &[]).map_err(io_error)
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

fn segment(folio: &Folio) -> Segment {
    // SAFETY: whoever makes a request of the segment keeps a reference to the folio until the request has ended: the
    // batch, or the caller who waits. A folio that is read into is locked and not up to date, so nobody looks at it; one
    // that is written may be mapped and changed by its task, which makes it dirty and has it written again.
    unsafe { disk::page_segment(folio) }
}

/// A buffer that lies in one piece in physical memory, as all of the direct map does, the heap included. For a request
/// that ends while the buffer is borrowed; one that reads is for a buffer that is borrowed mutably.
fn segment_of(buffer: &Page) -> Option<Segment> {
    const PAGE: NonZeroU32 = NonZeroU32::new(PAGE_SIZE as u32).unwrap();
    let end = (physical::frames().len() * PAGE_SIZE) as u64;
    let address = (buffer.as_ptr() as u64).checked_sub(DIRECT_MAP).filter(|address| *address < end)?;
    // SAFETY: it is RAM in the direct map, and stays what it is while it is borrowed. Nobody looks at a buffer that is
    // borrowed mutably while the caller waits for the request.
    Some(unsafe { Segment::new(address, PAGE) })
}

struct OnItsWay(DiskRequest<Quire>);

impl Completion for OnItsWay {
    fn complete(self: Box<Self>, result: Result<(), BlockError>) {
        self.0.complete(result.map_err(io_error));
    }
}
