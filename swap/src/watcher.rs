//! What a backend has to do about the folios of a batch that it handed on, when their I/O is over.

use crate::area::Area;
use crate::folio::{Folio, InTransit};
use crate::machine::{IoError, Machine};
use crate::ops::SlotRun;
use crate::page::Page;

/// Told once of each folio of a batch ([`ReadBatch::watched_by`](crate::ReadBatch::watched_by)), however its I/O ends. Called
/// in the task that completes the batch, with no lock held: it must not wait for I/O.
pub trait Watcher<M: Machine>: Send + Sync {
    /// The read of a folio is over, with this result so far; the folio is not up to date yet, so its pages can be changed.
    /// What it returns is the result from here on.
    ///
    /// # Errors
    /// The page is not what it should be, or was not read.
    fn read_ended(
        &self,
        area: &Area<M>,
        folio: &mut ReadFolio<'_, M::Folio>,
        result: Result<(), IoError>,
    ) -> Result<(), IoError>;

    /// The write of a folio is over, whose data went to the pages of the area from `page` on.
    fn write_ended(&self, _area: &Area<M>, _page: u32, _result: Result<(), IoError>) {}
}

/// A folio whose read is over.
pub struct ReadFolio<'a, F: Folio> {
    pub(crate) folio: &'a mut InTransit<F>,
    pub(crate) slot: u32,
    pub(crate) page: u32,
}

impl<F: Folio> ReadFolio<'_, F> {
    /// Its slots.
    pub fn slots(&self) -> SlotRun {
        SlotRun { first: self.slot, length: 1 << self.folio.folio().order() }
    }

    /// The page of the area where its data began.
    pub fn page(&self) -> u32 {
        self.page
    }

    /// Changes the only page of a folio that has one; `None` for a larger one.
    pub fn with_page_mut<R>(&mut self, change: impl FnOnce(&mut Page) -> R) -> Option<R> {
        (self.folio.folio().order() == 0).then(|| self.folio.with_page_mut(0, change))
    }
}
