//! Pages of the backing device that are wanted together, and memory for their blocks.

use alloc::boxed::Box;
use alloc::vec::Vec;

use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::heap::{self, NoMemory};
use quire_swap::{BATCH_FOLIOS, Machine};

use super::backing::DiskLocation;

/// What gathers the reads of one task.
pub(super) struct Gathered {
    /// At most [`BATCH_FOLIOS`].
    pub(super) wanted: Vec<Wanted>,
    /// The blocks of one request.
    pub(super) blocks: Box<[Page]>,
}

/// A page of the backing device, and which page of which folio it is wanted for.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) page: u64,
    pub(super) written_back: WrittenBack,
    pub(super) position: usize,
    pub(super) index: usize,
}

/// A page that is on the backing device.
#[derive(Clone, Copy, Debug)]
pub(super) struct WrittenBack {
    pub(super) slot: u32,
    pub(super) location: DiskLocation,
}

impl Gathered {
    pub(super) fn new<M: Machine>() -> Result<Self, NoMemory> {
        Ok(Self {
            wanted: heap::vector::<M, _>(BATCH_FOLIOS)?,
            blocks: heap::slice::<M, _>(BATCH_FOLIOS, |_| [0; PAGE_SIZE])?,
        })
    }
}
