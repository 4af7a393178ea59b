//! Where an area's pages lie on its disk.
//!
//! A whole disk is one extent; a swap file has one for each run of blocks. They are kept sorted by page, which makes
//! the flat vector a balanced tree: a lookup halves what is left at each step (Linux: `swap_extent_root`).

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::heap::{self, NoMemory};
use crate::machine::Machine;
use crate::page::PAGE_SIZE;

/// A run of pages of an area that lie one after another on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first page inside the area.
    pub page: u64,
    /// The first page on the disk.
    pub disk_page: u64,
    /// How many pages.
    pub pages: u64,
}

/// A run of a file's bytes that lie one after another on its disk, as its file system says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRun {
    /// Where it begins in the file.
    pub offset: u64,
    /// Where it begins on the disk.
    pub disk_offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
}

/// All extents of an area.
#[derive(Debug, Default)]
pub struct Extents {
    sorted: Vec<Extent>,
}

/// Why pages cannot be an area's extents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtentError {
    /// Pages of the area are nowhere on the disk.
    Hole {
        /// The first of them.
        page: u64,
    },
    /// The page is in two extents, is on the disk where another one is, or an extent is empty or reaches beyond what numbers
    /// can say.
    Overlap {
        /// The first page that is at fault.
        page: u64,
    },
    /// The page lies beyond the end of the disk.
    BeyondDisk {
        /// The first page of the extent that does.
        page: u64,
    },
    /// No whole page of the file is aligned on the disk.
    NothingUsable,
    /// No memory for the tree.
    NoMemory,
}

impl Extents {
    /// Takes extents in any order, and merges those that lie beside one another both in the area and on the disk.
    ///
    /// # Errors
    /// If they do not cover the pages from 0 on without hole or overlap, two of them share pages of the disk, or memory does
    /// not suffice.
    pub fn new<M: Machine>(extents: &[Extent]) -> Result<Self, ExtentError> {
        Self::of(heap::copy::<M, Extent>(extents)?)
    }

    /// Where the pages of a swap file lie that has `bytes` bytes in `runs`, in the order of the file, on a disk of `disk_pages`
    /// pages. Of what is contiguous on the disk only whole pages that are aligned there count; they are numbered one after
    /// another, whatever was left out between them (Linux: `iomap_swapfile_activate`). A page at the end that is not whole is no
    /// part of it.
    ///
    /// # Errors
    /// As [`Self::new`], and if a run lies beyond the disk or no page is left.
    pub fn of_file<M: Machine>(runs: &[FileRun], bytes: u64, disk_pages: u64) -> Result<Self, ExtentError> {
        const PAGE: u64 = PAGE_SIZE as u64;
        let bytes = bytes / PAGE * PAGE;
        let mut extents = heap::vector::<M, Extent>(runs.len())?;
        let mut pages = 0;
        let mut add = |run: FileRun| {
            let first = run.disk_offset.div_ceil(PAGE);
            let whole = ((run.disk_offset + run.bytes) / PAGE).saturating_sub(first);
            if whole > 0 {
                heap::push(&mut extents, Extent { page: pages, disk_page: first, pages: whole });
                pages += whole;
            }
        };
        let mut contiguous = FileRun { offset: 0, disk_offset: 0, bytes: 0 };
        for run in runs.iter().take_while(|run| run.offset < bytes) {
            let end = contiguous.offset + contiguous.bytes;
            let page = run.offset / PAGE;
            if run.offset > end {
                return Err(ExtentError::Hole { page: end / PAGE });
            }
            if run.offset < end || run.bytes == 0 {
                return Err(ExtentError::Overlap { page });
            }
            let disk_end = run.disk_offset.checked_add(run.bytes).ok_or(ExtentError::Overlap { page })?;
            if disk_end > disk_pages.saturating_mul(PAGE) {
                return Err(ExtentError::BeyondDisk { page });
            }
            let run = FileRun { bytes: run.bytes.min(bytes - run.offset), ..*run };
            if contiguous.disk_offset + contiguous.bytes == run.disk_offset {
                contiguous.bytes += run.bytes;
            } else {
                add(core::mem::replace(&mut contiguous, run));
            }
        }
        let end = contiguous.offset + contiguous.bytes;
        if end < bytes {
            return Err(ExtentError::Hole { page: end / PAGE });
        }
        add(contiguous);
        if pages == 0 {
            return Err(ExtentError::NothingUsable);
        }
        Self::of(extents)
    }

    fn of(mut sorted: Vec<Extent>) -> Result<Self, ExtentError> {
        sorted.sort_unstable_by_key(|extent| extent.disk_page);
        for pair in sorted.windows(2) {
            if pair[0].disk_page.checked_add(pair[0].pages).is_none_or(|end| end > pair[1].disk_page) {
                return Err(ExtentError::Overlap { page: pair[1].page });
            }
        }
        sorted.sort_unstable_by_key(|extent| extent.page);
        let mut end = 0;
        for extent in &sorted {
            if extent.page > end {
                return Err(ExtentError::Hole { page: end });
            }
            let overlap = ExtentError::Overlap { page: extent.page };
            if extent.page < end || extent.pages == 0 {
                return Err(overlap);
            }
            end = extent.page.checked_add(extent.pages).ok_or(overlap)?;
            extent.disk_page.checked_add(extent.pages).ok_or(overlap)?;
        }
        sorted.dedup_by(|next, extent| {
            let adjacent = extent.disk_page + extent.pages == next.disk_page;
            if adjacent {
                extent.pages += next.pages;
            }
            adjacent
        });
        Ok(Self { sorted })
    }

    /// The page of the disk on which `page` of the area lies.
    #[inline]
    pub fn disk_page(&self, page: u64) -> Option<u64> {
        let index = self.sorted.partition_point(|extent| extent.page <= page).checked_sub(1)?;
        let extent = self.sorted[index];
        let offset = page - extent.page;
        (offset < extent.pages).then(|| extent.disk_page + offset)
    }

    /// The runs of disk pages under `pages` of the area, in order.
    pub fn runs(&self, pages: Range<u64>) -> impl Iterator<Item = Range<u64>> {
        self.sorted.iter().filter_map(move |extent| {
            let first = pages.start.max(extent.page);
            let end = pages.end.min(extent.page + extent.pages);
            (first < end).then(|| {
                let disk_page = extent.disk_page + (first - extent.page);
                disk_page..disk_page + (end - first)
            })
        })
    }

    /// How many extents there are.
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// How many pages of the area they cover.
    pub fn pages(&self) -> u64 {
        self.sorted.last().map_or(0, |last| last.page + last.pages)
    }

    /// How many pages of the disk lie between the lowest and the highest, both included: what `swapon` logs as "across".
    pub fn span(&self) -> u64 {
        let lowest = self.sorted.iter().map(|extent| extent.disk_page).min();
        let highest = self.sorted.iter().map(|extent| extent.disk_page + extent.pages).max();
        highest.zip(lowest).map_or(0, |(highest, lowest)| highest - lowest)
    }
}

impl fmt::Display for ExtentError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hole { page } => write!(formatter, "swapfile has holes, the first at page {page}"),
            Self::Overlap { page } => write!(formatter, "the extent of page {page} is empty or overlaps"),
            Self::BeyondDisk { page } => write!(formatter, "the extent of page {page} ends beyond the disk"),
            Self::NothingUsable => formatter.write_str("no page of the file is aligned on the disk"),
            Self::NoMemory => formatter.write_str("no memory for the extents"),
        }
    }
}

impl core::error::Error for ExtentError {}

impl From<NoMemory> for ExtentError {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}
