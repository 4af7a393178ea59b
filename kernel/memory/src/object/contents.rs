//! The bytes of an object: reading, writing, cutting, reserving.

use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::Ordering;

use quire_machine::fallible::{NoMemory, TryVec};
use quire_machine::task::is_killed;
use quire_swap::header::PAGE_SIZE;
use quire_swap::{Folio as _, Locked};

use super::pages::LockedPage;
use super::{Object, ObjectError, written_to};
use crate::address_space::zap;
use crate::folio::Folio;

/// The most bytes that an object has (Linux: `MAX_LFS_FILESIZE`).
const LENGTH_MAX: u64 = i64::MAX.cast_unsigned();

impl Object {
    /// Reads from byte `offset` on; returns how many bytes there were.
    ///
    /// # Errors
    /// [`ObjectError`], if not even the first byte could be read.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, ObjectError> {
        let bytes = self.length().saturating_sub(offset).min(buffer.len() as u64) as usize;
        Self::each_part(offset, bytes, |index, within, done| {
            let part = &mut buffer[done..done + within.len()];
            if self.is_hole(index) {
                part.fill(0);
            } else {
                self.page(index)?.folio.read_bytes(within.start, part);
            }
            Ok(())
        })
    }

    /// Writes from byte `offset` on, and makes the object longer if it ends before; returns how many bytes were written.
    ///
    /// # Errors
    /// [`ObjectError`], if not even the first byte could be written.
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<usize, ObjectError> {
        let end = offset.checked_add(bytes.len() as u64).filter(|end| *end <= LENGTH_MAX);
        let end = end.ok_or(ObjectError::BeyondEnd)?;
        let before = self.length.fetch_max(end, Ordering::AcqRel);
        let written = Self::each_part(offset, bytes.len(), |index, within, done| {
            let LockedPage { folio, .. } = self.page(index)?;
            Folio::write_bytes(&folio, within.start, &bytes[done..done + within.len()]);
            written_to(&folio);
            Ok(())
        });
        let reached = written.map_or(0, |written| offset + written as u64);
        if reached < end {
            // What could not be written is not there, nor what lies between the end and it.
            let _ = self.length.compare_exchange(end, before.max(reached), Ordering::AcqRel, Ordering::Relaxed);
        }
        written
    }

    /// Writes behind the last byte, where no other task writes; returns where that was, and how many bytes were written.
    ///
    /// # Errors
    /// As [`Self::write_at`].
    pub fn append(&self, bytes: &[u8]) -> Result<(u64, usize), ObjectError> {
        // Who appends next does so behind these bytes, also while they are not there yet.
        let longer = |length: u64| length.checked_add(bytes.len() as u64).filter(|end| *end <= LENGTH_MAX);
        let start = self.length.fetch_update(Ordering::AcqRel, Ordering::Acquire, longer);
        let start = start.map_err(|_| ObjectError::BeyondEnd)?;
        let written = self.write_at(start, bytes);
        let (end, reached) = (start + bytes.len() as u64, start + written.map_or(0, |written| written as u64));
        if reached < end {
            let _ = self.length.compare_exchange(end, reached, Ordering::AcqRel, Ordering::Relaxed);
        }
        written.map(|written| (start, written))
    }

    /// Calls `serve` with the page, the bytes within it, and how many bytes came before, for each page of a run of bytes.
    fn each_part(
        offset: u64,
        bytes: usize,
        mut serve: impl FnMut(u64, Range<usize>, usize) -> Result<(), ObjectError>,
    ) -> Result<usize, ObjectError> {
        let mut done = 0;
        while done < bytes {
            let at = offset + done as u64;
            let start = (at % PAGE_SIZE as u64) as usize;
            let within = start..PAGE_SIZE.min(start + bytes - done);
            match serve(at / PAGE_SIZE as u64, within.clone(), done) {
                Ok(()) => done += within.len(),
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Whether the page is zero because no task ever wrote it.
    fn is_hole(&self, index: u64) -> bool {
        self.pages.lock().get(index) == 0 && !self.is_in_source(index)
    }

    /// Makes the object `length` bytes long. Pages beyond it are gone, from those who map it, too, and so are private copies
    /// of them, in memory and in swap; what is added is zero.
    ///
    /// # Errors
    /// [`ObjectError`], when the page in which the object is to end cannot be had; it is as long as it was.
    pub fn set_length(&self, length: u64) -> Result<(), ObjectError> {
        let within = (length % PAGE_SIZE as u64) as usize;
        let last = length / PAGE_SIZE as u64;
        if length < self.length() && within != 0 && !self.is_hole(last) {
            let LockedPage { folio, .. } = self.page(last)?;
            Folio::write_bytes(&folio, within, &[0; PAGE_SIZE][within..]);
            written_to(&folio);
        }
        self.length.store(length, Ordering::Release);
        self.source_length.fetch_min(length, Ordering::AcqRel);
        let beyond = length.div_ceil(PAGE_SIZE as u64);
        if !self.rmap.is_empty() {
            zap::forget_beyond(self, beyond);
        }
        self.discard(beyond..u64::MAX);
        Ok(())
    }

    /// Gives every page of bytes `start..end`, at most `most` of them, its memory, beyond the end as well; the length stays. Pages that
    /// got theirs by this are forgotten again if it fails (Linux: `shmem_fallocate`).
    ///
    /// # Errors
    /// [`ObjectError::NoSpace`], before anything is done; [`ObjectError::NoMemory`]; [`ObjectError::Killed`].
    pub fn allocate(&self, range: Range<u64>, most: u64) -> Result<(), ObjectError> {
        let pages = range.start / PAGE_SIZE as u64..range.end.div_ceil(PAGE_SIZE as u64);
        let most = self.account.as_ref().map_or(most, |account| account.blocks.free().min(most));
        if self.count_missing(&pages, most) > most {
            return Err(ObjectError::NoSpace);
        }
        // From here to where it has come, in one run after another.
        let mut added = Vec::<Range<u64>>::new();
        let result = pages.clone().try_for_each(|index| {
            if self.pages.lock().get(index) != 0 {
                return Ok(());
            }
            if is_killed() {
                return Err(ObjectError::Killed);
            }
            if added.last().is_none_or(|run| run.end != index) {
                added.try_push(index..index).map_err(|NoMemory| ObjectError::NoMemory)?;
            }
            if let Some(folio) = self.fill(index)? {
                // Reclaim must not drop it: it is reserved.
                written_to(&folio);
                if let Some(run) = added.last_mut() {
                    run.end += 1;
                }
            }
            Ok(())
        });
        if result.is_err() {
            added.into_iter().flatten().for_each(|index| self.forget_zeros(index));
        }
        result
    }

    /// Makes the object at least so long.
    pub fn lengthen(&self, length: u64) {
        self.length.fetch_max(length, Ordering::AcqRel);
    }

    /// How many of these pages have no memory; counts no further than `enough`.
    fn count_missing(&self, pages: &Range<u64>, enough: u64) -> u64 {
        let (mut missing, mut from) = (0, pages.start);
        while missing <= enough && from < pages.end {
            let next = self.pages.lock().next(from..pages.end).map_or(pages.end, |(index, _)| index);
            missing += next - from;
            from = next + 1;
        }
        missing
    }

    /// Forgets a page, unless it was written.
    fn forget_zeros(&self, index: u64) {
        let Some(folio) = self.folio_in(index) else { return };
        let folio = Locked::lock(folio);
        // Another task may have written it since.
        let is_zero = folio.is_zero(0);
        if is_zero && self.holds(index, &folio) {
            self.forget(index, &folio);
        }
    }

    /// Makes bytes `start..end` zeros and frees the pages that lie in there (`FALLOC_FL_PUNCH_HOLE`).
    ///
    /// # Errors
    /// [`ObjectError`], for a page at an edge.
    pub fn punch_hole(&self, range: Range<u64>) -> Result<(), ObjectError> {
        const PAGE: u64 = PAGE_SIZE as u64;
        let end = range.end.min(self.length().next_multiple_of(PAGE));
        let whole = range.start.div_ceil(PAGE)..range.end / PAGE;
        if range.start < whole.start * PAGE {
            self.clear(range.start..end.min(whole.start * PAGE))?;
        }
        if range.end > whole.end * PAGE && whole.end >= whole.start {
            self.clear(whole.end * PAGE..end)?;
        }
        // What a source has would come back: it is covered by zeros.
        let from_source = whole.end.min(self.source_length.load(Ordering::Acquire).div_ceil(PAGE));
        for index in whole.start..from_source {
            self.clear(index * PAGE..end.min((index + 1) * PAGE))?;
        }
        self.discard(whole.start.max(from_source)..whole.end);
        Ok(())
    }

    /// Makes some bytes of one page zeros.
    fn clear(&self, bytes: Range<u64>) -> Result<(), ObjectError> {
        let index = bytes.start / PAGE_SIZE as u64;
        if bytes.is_empty() || self.is_hole(index) {
            return Ok(());
        }
        let LockedPage { folio, .. } = self.page(index)?;
        let length = (bytes.end - bytes.start) as usize;
        let within = (bytes.start % PAGE_SIZE as u64) as usize;
        Folio::write_bytes(&folio, within, &[0; PAGE_SIZE][..length.min(PAGE_SIZE)]);
        written_to(&folio);
        Ok(())
    }
}
