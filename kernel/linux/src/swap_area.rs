//! Swap areas by their devices' paths.

use alloc::sync::Arc;
use core::fmt;

use quire_machine::physical;
use quire_memory::swap::{self, Quire};
use quire_swap::header::PAGE_SIZE;
use quire_swap::{BATCH_FOLIOS, Disk, SwapOnError, SwapOnOptions, ghost};

use crate::errno::Errno;
use crate::fs::devices;

/// Why a device was not enabled.
#[derive(Debug)]
pub enum EnableError<'a> {
    /// There is no such disk.
    NoDisk(&'a str),
    /// The zram device has no size yet.
    NoSize(&'a str),
    /// The disk takes fewer pages in a request than a batch has.
    ShortRequests(&'a str, usize),
    /// The swap core refuses the disk, for a reason that the log has already.
    Refused(&'a str, SwapOnError),
}

impl EnableError<'_> {
    /// What the system call returns.
    pub fn errno(&self) -> Errno {
        match self {
            Self::NoDisk(_) => Errno::ENXIO,
            Self::NoSize(_) | Self::ShortRequests(..) => Errno::EINVAL,
            Self::Refused(_, error) => (*error).into(),
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
            Self::Refused(path, error) => write!(f, "swapon {path}: {}: {error}", self.errno()),
        }
    }
}

/// Enables the disk, zram device or ghost device with this path; only the last can be given a size, in bytes. Returns the
/// area's index.
///
/// # Errors
/// [`EnableError`].
pub fn enable<'a>(path: &'a str, options: SwapOnOptions<'_>, size: Option<u64>) -> Result<u8, EnableError<'a>> {
    let refused = |error| EnableError::Refused(path, error);
    if path == ghost::PATH
        && let Some(zswap) = devices::zswap()
    {
        let usual = || ghost::default_pages(physical::managed_frames() as u64);
        let pages = size.map_or_else(usual, |bytes| bytes.div_ceil(PAGE_SIZE as u64));
        return zswap.swapon_ghost(pages, options).map_err(refused);
    }
    let disk: Arc<dyn Disk<Quire>> = match devices::zram(path) {
        Some(zram) => zram.open().ok_or(EnableError::NoSize(path))?,
        None => disk(path)?,
    };
    swap::core().swapon(&disk, options).map_err(refused)
}

fn disk(path: &str) -> Result<Arc<dyn Disk<Quire>>, EnableError<'_>> {
    let disk = devices::disk(path).ok_or(EnableError::NoDisk(path))?;
    check_requests(path, &**disk)?;
    Ok(Arc::clone(disk) as _)
}

/// Whether a disk takes a batch in one request, for an area with this path.
///
/// # Errors
/// [`EnableError::ShortRequests`]
pub fn check_requests<'a>(path: &'a str, disk: &dyn devices::BlockDevice) -> Result<(), EnableError<'a>> {
    match disk.pages_in_request() {
        pages if pages < BATCH_FOLIOS => Err(EnableError::ShortRequests(path, pages)),
        _ => Ok(()),
    }
}
