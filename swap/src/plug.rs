//! The plug: where a task gathers folios until a batch must go (Linux: `struct swap_io_ctx`).

use alloc::sync::Arc;
use core::mem;

use crate::area::Area;
use crate::batch::{BATCH_FOLIOS, Batch, ReadBatch, WriteBatch};
use crate::folio::Folio;
use crate::folio::InTransit;
use crate::machine::{Machine, Occurrence};
use crate::ops::{Direction, SlotRun};
use crate::statistics::count;

/// Gathers folios into batches. Dropping it submits what is left.
pub struct Plug<M: Machine> {
    batch: Option<Batch<M>>,
    /// How many folios of the batch count as one with those before them.
    uncounted: usize,
    /// How many of those that are to come next will.
    announced: usize,
    /// It is a backend's, which moves pages.
    is_moving: bool,
}

impl<M: Machine> Plug<M> {
    /// An empty plug.
    pub const fn new() -> Self {
        Self { batch: None, uncounted: 0, announced: 0, is_moving: false }
    }

    /// A plug for a backend that moves pages while others wait with their batches for that, by [`Plug::add_owned`]. One task at
    /// a time has one that is not empty, or waits for nothing but a device while it has.
    pub const fn for_moving() -> Self {
        Self { batch: None, uncounted: 0, announced: 0, is_moving: true }
    }

    /// Hands what was gathered to its backend.
    pub fn submit(&mut self) {
        if let Some(batch) = self.take() {
            count!(batch.area(), flushed_on_request, 1);
            dispatch(batch);
        }
    }

    /// So many folios are to travel in one batch, and count as one there: what was gathered is submitted if they do not fit in.
    pub fn keep_together(&mut self, folios: usize) {
        if self.batch.as_ref().is_some_and(|batch| batch.len() + folios > batch.capacity()) {
            self.submit_full();
        }
        self.announced = folios - 1;
    }

    /// Whether nothing is gathered.
    pub fn is_empty(&self) -> bool {
        self.batch.is_none()
    }

    /// Adds a folio that the batch owns from here on. `first_slot` is where its data is, or goes.
    pub(crate) fn add(
        &mut self,
        area: &Arc<Area<M>>,
        folio: InTransit<M::Folio>,
        first_slot: u32,
        direction: Direction,
    ) {
        self.gather(area, folio, first_slot, direction, false);
    }

    /// Adds a folio that, like its slots, belongs to a backend. Such a plug gathers no others.
    pub fn add_owned(
        &mut self,
        area: &Arc<Area<M>>,
        folio: InTransit<M::Folio>,
        first_slot: u32,
        direction: Direction,
    ) {
        self.gather(area, folio, first_slot, direction, true);
    }

    fn gather(
        &mut self,
        area: &Arc<Area<M>>,
        folio: InTransit<M::Folio>,
        first_slot: u32,
        direction: Direction,
        owned: bool,
    ) {
        self.submit_unmergeable(area, SlotRun { first: first_slot, length: 1 << folio.folio().order() }, direction);
        self.uncounted += mem::take(&mut self.announced);
        let batch = self.batch.get_or_insert_with(|| {
            area.shared().pool.get(Arc::clone(area), direction, self.is_moving, self.uncounted > 0)
        });
        if owned {
            batch.set_owned(self.is_moving);
        }
        batch.push(folio, first_slot);
        if batch.len() >= (BATCH_FOLIOS + self.uncounted).min(batch.capacity()) {
            self.submit_full();
        }
    }

    fn submit_full(&mut self) {
        if let Some(batch) = self.take() {
            count!(batch.area(), flushed_full, 1);
            dispatch(batch);
        }
    }

    /// What was gathered: a new batch begins.
    fn take(&mut self) -> Option<Batch<M>> {
        self.uncounted = 0;
        self.batch.take()
    }

    /// Submits what was gathered if `next` cannot join it.
    fn submit_unmergeable(&mut self, area: &Arc<Area<M>>, next: SlotRun, direction: Direction) {
        let Some((batch, previous)) = self.batch.as_ref().and_then(|batch| Some((batch, batch.last()?))) else {
            return;
        };
        if !Arc::ptr_eq(batch.area(), area) || batch.direction() != direction {
            count!(batch.area(), flushed_for_another, 1);
        } else if !area.ops().can_merge(area, previous, next, direction) {
            count!(area, flushed_unmergeable, 1);
        } else {
            return;
        }
        self.take().into_iter().for_each(dispatch);
    }
}

impl<M: Machine> Default for Plug<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Machine> Drop for Plug<M> {
    fn drop(&mut self) {
        self.submit();
    }
}

/// Moves the batch to the backend of its area.
fn dispatch<M: Machine>(batch: Batch<M>) {
    let area = Arc::clone(batch.area());
    let (direction, folios) = (batch.direction(), batch.len());
    M::note(Occurrence::BatchSubmitted { area: area.index(), direction, folios });
    match batch.direction() {
        Direction::Read => {
            count!(area, read_batches, 1);
            area.ops().submit_read(ReadBatch(batch));
        }
        Direction::Write => {
            count!(area, write_batches, 1);
            area.ops().submit_write(WriteBatch(batch));
        }
    }
}
