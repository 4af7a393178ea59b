//! Swap areas on this machine's disks: `swapon=` words of the command line, and what turns the swap core's disk requests into
//! the drivers'.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU32;
use core::ops::Range;

use arrayvec::ArrayVec;
use quire_drivers::block::{BlockError, Completion, Operation, Request, Segment};
use quire_machine::address_map::DIRECT_MAP;
use quire_machine::{fallible, physical};
use quire_memory::folio::{Folio, NewFolio};
use quire_memory::reclaim;

pub use quire_memory::swap::*;
use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::{
    BATCH_FOLIOS, DeviceState, Direction, Discard, DiskProperties, DiskRequest, DriverId, IoError, SwapOffError,
    SwapOnError, SwapOnOptions,
};

use crate::command_line::{CommandLine, parse_size};
use crate::disk::{self, Disk, SECTORS_PER_PAGE};
use crate::errno::Errno;
use crate::{ghost, zram, zswap};

/// The disk of this machine with this path, for the core.
pub fn disk_named(path: &str) -> Option<Arc<dyn quire_swap::Disk<Quire>>> {
    let disk = disk::named(path)?;
    let name = fallible::text(format_args!("{path}")).ok()?;
    let disk: Arc<dyn quire_swap::Disk<Quire>> = fallible::shared(SwapDisk { disk, name }).ok()?;
    Some(disk)
}

/// A disk of this machine that holds a swap area.
struct SwapDisk {
    disk: &'static Arc<Disk>,
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
        let mut folio = reclaim::wait_for_frame().map_err(|_| IoError::NoMemory)?;
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
                let mut folio = reclaim::wait_for_frame().map_err(|_| IoError::NoMemory)?;
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

/// The areas that [`enable`] enabled.
#[derive(Debug)]
pub struct Enabled(Vec<u8>);

/// Why swap was not enabled.
#[derive(Debug)]
pub enum EnableError<'a> {
    /// There is no such disk.
    NoDisk(&'a str),
    /// The zram device has no size yet.
    NoSize(&'a str),
    /// The disk takes fewer pages in a request than a batch has.
    ShortRequests(&'a str, usize),
    /// What follows the path is no option.
    Option(&'a str),
    /// The swap core refuses the disk, for a reason that the log has already.
    Refused(&'a str, SwapOnError),
}

impl EnableError<'_> {
    /// What the system call returns.
    pub fn errno(&self) -> Errno {
        match self {
            Self::NoDisk(_) => Errno::ENXIO,
            Self::NoSize(_) | Self::ShortRequests(..) | Self::Option(_) => Errno::EINVAL,
            Self::Refused(_, error) => error.errno().into(),
        }
    }
}

impl fmt::Display for EnableError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSize(path) => write!(f, "swapon {path}: EINVAL: it has no disksize"),
            Self::NoDisk(path) => write!(f, "there is no {path}: start with --swap SIZE or --disk FILE"),
            Self::ShortRequests(path, pages) => {
                write!(f, "swapon {path}: EINVAL: the disk takes {pages} pages in a request, not {BATCH_FOLIOS}")
            }
            Self::Option(word) => write!(
                f,
                "swapon={word}: expected PATH, then any of ,PRIORITY (0 to 32767) ,discard ,discard=once ,discard=pages, \
                 and ,size=SIZE (to 16T) for /dev/ghostswap"
            ),
            Self::Refused(path, error) => write!(f, "swapon {path}: {}: {error}", error.errno()),
        }
    }
}

/// Enables what `swapon=PATH[,PRIORITY][,discard[=once|pages]][,size=SIZE]` words name, in their order; without any, `/dev/vda`.
///
/// # Errors
/// [`EnableError`] for the first that cannot be enabled; those before it stay enabled.
#[expect(clippy::disallowed_methods, reason = "once, as the kernel starts")]
pub fn enable(command_line: CommandLine<'static>) -> Result<Enabled, EnableError<'static>> {
    let mut words: Vec<&str> = command_line.values("swapon").collect();
    if words.is_empty() {
        words.push("/dev/vda");
    }
    let mut enabled = Enabled(Vec::new());
    for word in words {
        let (path, options, size) = parse_swapon(word).ok_or(EnableError::Option(word))?;
        zram::prepare_for_swap(path);
        enabled.0.push(swap_on(path, options, size)?);
    }
    Ok(enabled)
}

/// Enables the disk, zram device or ghost device with this path; only the last can be given a size, in bytes. Returns the
/// area's index.
///
/// # Errors
/// [`EnableError`].
pub fn swap_on<'a>(path: &'a str, options: SwapOnOptions<'_>, size: Option<u64>) -> Result<u8, EnableError<'a>> {
    let refused = |error| EnableError::Refused(path, error);
    if path == quire_swap::ghost::PATH
        && let Some(zswap) = zswap::get()
    {
        let pages = size.map_or_else(ghost::default_pages, |bytes| bytes.div_ceil(PAGE_SIZE as u64));
        return zswap.swapon_ghost(pages, options).map_err(refused);
    }
    let disk: Arc<dyn quire_swap::Disk<Quire>> = match zram::device(path) {
        Some(zram) => zram.open().ok_or(EnableError::NoSize(path))?,
        None => virtio_disk(path)?,
    };
    core().swapon(&disk, options).map_err(refused)
}

fn virtio_disk(path: &str) -> Result<Arc<SwapDisk>, EnableError<'_>> {
    let disk = disk::named(path).ok_or(EnableError::NoDisk(path))?;
    if disk.geometry().max_segments < BATCH_FOLIOS {
        return Err(EnableError::ShortRequests(path, disk.geometry().max_segments));
    }
    let name = fallible::text(format_args!("{path}"));
    let disk = name.and_then(|name| fallible::shared(SwapDisk { disk, name }));
    disk.map_err(|_| EnableError::Refused(path, SwapOnError::NoMemory))
}

/// The path and the options of a `swapon=` word, with the names that `swapon(8)` gives them, and the size of the ghost device.
fn parse_swapon(word: &str) -> Option<(&str, SwapOnOptions<'_>, Option<u64>)> {
    let mut parts = word.split(',');
    let path = parts.next()?;
    let mut options = SwapOnOptions::default();
    let mut size = None;
    for part in parts {
        if let Some(bytes) = part.strip_prefix("size=").filter(|_| path == quire_swap::ghost::PATH) {
            size = Some(parse_size(bytes).filter(|bytes| (1..=MOST_BYTES).contains(bytes))?);
            continue;
        }
        match part {
            "discard" => options.discard = Discard::Both,
            "discard=once" => options.discard = Discard::Once,
            "discard=pages" => options.discard = Discard::Pages,
            priority => options.priority = Some(priority.parse().ok().filter(|priority| *priority >= 0)?),
        }
    }
    Some((path, options, size))
}

/// The largest ghost area.
const MOST_BYTES: u64 = quire_swap::ghost::MOST_PAGES * PAGE_SIZE as u64;

impl Enabled {
    /// The areas, in the order in which they were enabled.
    pub fn areas(&self) -> &[u8] {
        &self.0
    }

    /// Disables the areas again, the last one first. One that is not enabled any more is left out.
    ///
    /// # Errors
    /// [`SwapOffError`] when one stays.
    pub fn disable(self) -> Result<(), SwapOffError> {
        self.0.into_iter().rev().filter(|area| core().area(*area).is_some()).try_for_each(disable)
    }
}
