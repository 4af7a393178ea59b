//! Where an area's pages lie on its disk.
//!
//! A whole disk is one extent; a swap file has one for each run of blocks. They are kept sorted by page, which makes
//! the flat vector a balanced tree: a lookup halves what is left at each step (Linux: `swap_extent_root`).

use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use crate::heap::{self, NoMemory};
use crate::machine::Machine;

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
    /// The page is in two extents, or an extent is empty or reaches beyond what numbers can say.
    Overlap {
        /// The first page that is at fault.
        page: u64,
    },
    /// No memory for the tree.
    NoMemory,
}

impl Extents {
    /// Takes extents in any order, and merges those that lie beside one another both in the area and on the disk.
    ///
    /// # Errors
    /// If they do not cover the pages from 0 on without hole or overlap, or memory does not suffice.
    pub fn new<M: Machine>(extents: &[Extent]) -> Result<Self, ExtentError> {
        let mut sorted = heap::copy::<M, Extent>(extents)?;
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
            Self::Hole { page } => write!(formatter, "page {page} is a hole"),
            Self::Overlap { page } => write!(formatter, "the extent of page {page} is empty or overlaps"),
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
