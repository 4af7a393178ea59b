//! Reads of several pages at once: those in memory are decompressed, those on the backing device gathered into requests.
//!
//! Writeback puts pages that are wanted together into blocks beside one another, and several into one block, so what a batch
//! wants from the backing device is sorted by block, and each run of blocks is one request, which reads a block once however
//! many of its pages are wanted. Both ways in come here: a batch of swap's, whose slots may lie anywhere, and a request of the
//! block layer, which has one run of pages.
//!
//! A page is taken out of its block as one that is read alone is: only if its slot is still the block's. A page of which that
//! is not so, or whose request failed, is read alone: then it is the one that fails, and that the log names.
//!
//! # What it costs
//!
//! 1,024 pages of text, all written back, half of them wanted one by one and half 32 at once (`zram-backing-cost` with `--icount`, a kernel
//! with assertions): requests of the backing device, and instructions a read without the time in which the processor waits. A
//! fault costs the same by both ways; a batch costs 13 % less through `swap_ops` if pages are written as they are, where nothing is
//! decompressed, and else 2 %. By both ways a batch takes three requests, for 31 blocks.
//!
//! | written | read | through | reads | requests | blocks | mean | p50 | p99 |
//! |---|---|---|---|---|---|---|---|---|
//! | as pages | by fault | `swap_ops` | 512 | 512 | 512 | 15,041 | 14,784 | 23,665 |
//! | as pages | by batch | `swap_ops` | 16 | 45 | 496 | 162,686 | 163,793 | 171,172 |
//! | as pages | by fault | `block` | 512 | 512 | 512 | 15,113 | 14,820 | 24,107 |
//! | as pages | by batch | `block` | 16 | 45 | 496 | 186,978 | 187,900 | 195,482 |
//! | as stored | by fault | `swap_ops` | 512 | 512 | 512 | 56,242 | 55,945 | 64,549 |
//! | as stored | by batch | `swap_ops` | 16 | 45 | 496 | 1,455,583 | 1,452,896 | 1,468,117 |
//! | as stored | by fault | `block` | 512 | 512 | 512 | 56,296 | 55,994 | 64,800 |
//! | as stored | by batch | `block` | 16 | 45 | 496 | 1,479,515 | 1,476,950 | 1,492,134 |
//!
//! # Memory
//!
//! A device with a backing device has memory for one batch, allocated with its size, so that reading needs no memory. A second task
//! that reads at the same time reads its pages one by one.

use core::ops::Range;

use quire_swap::header::Page;
use quire_swap::heap;
use quire_swap::{BATCH_FOLIOS, DiskRequest, Folio as _, IoError, Machine, ReadBatch, SECTORS_PER_PAGE};

use super::disk::ZramDisk;
use super::gathered::{Gathered, Wanted};
use crate::machine::PoolMachine;

/// Folios that are read from pages of the device.
pub(super) trait Destination {
    /// How many folios.
    fn len(&self) -> usize;

    /// The pages of the device that the folio at `position` is read from.
    fn pages(&self, position: usize) -> Range<u64>;

    /// Writes page `index` of the folio at `position`; nothing happens if there is none.
    fn with_page_mut<R>(&mut self, position: usize, index: usize, write: impl FnOnce(&mut Page) -> R) -> Option<R>;
}

impl<M: Machine> Destination for ReadBatch<M> {
    fn len(&self) -> usize {
        self.batch().len()
    }

    fn pages(&self, position: usize) -> Range<u64> {
        self.batch().run(position).map_or(0..0, |run| run.first.into()..run.end())
    }

    fn with_page_mut<R>(&mut self, position: usize, index: usize, write: impl FnOnce(&mut Page) -> R) -> Option<R> {
        self.with_page_mut(position, index, write)
    }
}

impl<M: Machine> Destination for DiskRequest<M> {
    fn len(&self) -> usize {
        self.len()
    }

    fn pages(&self, position: usize) -> Range<u64> {
        let mut sizes = self.folios().map(|folio| 1 << folio.order());
        let first = self.first_sector() / SECTORS_PER_PAGE + sizes.by_ref().take(position).sum::<u64>();
        first..first + sizes.next().unwrap_or(0)
    }

    fn with_page_mut<R>(&mut self, position: usize, index: usize, write: impl FnOnce(&mut Page) -> R) -> Option<R> {
        self.with_page_mut(position, index, write)
    }
}

impl<M: PoolMachine> ZramDisk<M> {
    /// Reads all of it, or as much as comes before the first page that cannot be read.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub(super) fn read_all(&self, into: &mut impl Destination) -> Result<(), IoError> {
        let Some(mut gathered) = self.gathering.lock().take() else { return self.read_each(into) };
        let result = self.find_each(&mut gathered, into).and_then(|()| self.read_gathered(&mut gathered, into));
        gathered.wanted.clear();
        *self.gathering.lock() = Some(gathered);
        result
    }

    fn read_each(&self, into: &mut impl Destination) -> Result<(), IoError> {
        (0..into.len()).try_for_each(|position| {
            into.pages(position).enumerate().try_for_each(|(index, page)| self.read_one(into, position, index, page))
        })
    }

    fn read_one(&self, into: &mut impl Destination, position: usize, index: usize, page: u64) -> Result<(), IoError> {
        into.with_page_mut(position, index, |contents| self.read(page, contents)).unwrap_or(Err(IoError::Unsupported))
    }

    /// Reads the pages that are in memory, and of the others all but the last [`BATCH_FOLIOS`].
    fn find_each(&self, gathered: &mut Gathered, into: &mut impl Destination) -> Result<(), IoError> {
        for position in 0..into.len() {
            for (index, page) in into.pages(position).enumerate() {
                let read = |contents: &mut Page| self.read_or_find(page, contents);
                let found = into.with_page_mut(position, index, read).unwrap_or(Err(IoError::Unsupported))?;
                let Some(written_back) = found else { continue };
                if gathered.wanted.len() == BATCH_FOLIOS {
                    self.read_gathered(gathered, into)?;
                }
                heap::push(&mut gathered.wanted, Wanted { page, written_back, position, index });
            }
        }
        Ok(())
    }

    /// Reads what was gathered, run by run of blocks.
    fn read_gathered(&self, gathered: &mut Gathered, into: &mut impl Destination) -> Result<(), IoError> {
        let Gathered { wanted, blocks } = gathered;
        let block = |wanted: &Wanted| wanted.written_back.location.block;
        wanted.sort_unstable_by_key(block);
        for run in wanted.chunk_by(|one, next| block(next) - block(one) <= 1) {
            let first = block(&run[0]);
            let block_of = |wanted: &Wanted| (block(wanted) - first) as usize;
            let blocks = &mut blocks[..=block_of(&run[run.len() - 1])];
            let is_read = self.backing.as_ref().is_some_and(|backing| backing.read_run(first, blocks).is_ok());
            for wanted in run {
                let Wanted { page, written_back, position, index } = *wanted;
                let take = |contents: &mut Page| self.read_from(written_back, &blocks[block_of(wanted)], contents);
                if !is_read || into.with_page_mut(position, index, take).flatten().is_none() {
                    self.read_one(into, position, index, page)?;
                }
            }
        }
        wanted.clear();
        Ok(())
    }
}
