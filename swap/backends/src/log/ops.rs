//! The log as the backend of an area.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use quire_swap::{
    Area, Direction, IoError, Machine, NoSlot, ReadBatch, ReadFolio, SlotRequest, SlotRun, SwapOps, SwapOpsFlags,
    Taken, Watcher, WriteBatch,
};

use super::map::Map;

/// The backend of one area.
pub(super) struct Log<M: Machine> {
    below: Arc<dyn SwapOps<M>>,
    map: Arc<Map<M>>,
    slots: u32,
    /// The slot after the last one taken, by any processor.
    next_slot: AtomicU32,
}

/// The page that holds the header, and so no slot's: that of a folio that is nowhere.
const NOWHERE: u32 = 0;

impl<M: Machine> Log<M> {
    pub(super) fn new(below: Arc<dyn SwapOps<M>>, map: Arc<Map<M>>, slots: u32) -> Self {
        Self { below, map, slots, next_slot: AtomicU32::new(0) }
    }
}

impl<M: Machine> SwapOps<M> for Log<M> {
    fn flags(&self) -> SwapOpsFlags {
        SwapOpsFlags {
            places_pages: true,
            single_pages: true,
            allocates_slots: true,
            ignores_frees: false,
            pages_on_disk: false,
            ..self.below.flags()
        }
    }

    fn slots(&self, _pages: u64) -> u64 {
        self.slots.into()
    }

    fn allocate_slots(&self, request: &SlotRequest<'_, M>) -> Result<Taken, NoSlot> {
        // Zero pages do not go to the log: among others they would only be gaps.
        if request.looks_zero() {
            return request.usual();
        }
        let taken = request.near(self.next_slot.load(Ordering::Relaxed)).map_or_else(|| request.usual(), Ok)?;
        self.next_slot.store(taken.first() + (1 << request.order()), Ordering::Relaxed);
        Ok(taken)
    }

    /// What is written goes to neighbouring pages, and what is read is sorted.
    fn can_merge(&self, _area: &Area<M>, _previous: SlotRun, _next: SlotRun, _direction: Direction) -> bool {
        true
    }

    fn submit_read(&self, batch: ReadBatch<M>) {
        // Of the cleaner's, the slots are pages.
        if batch.batch().is_owned() {
            return self.below.submit_read(batch);
        }
        let Some(mut batch) = batch.watched_by(self.map.clone()) else { return };
        batch.place_each(|run| if run.length == 1 { self.map.start_read(run.first) } else { NOWHERE });
        while batch.batch().run(0).is_some_and(|run| run.first == NOWHERE) {
            batch.complete_one(0, Err(IoError::Device));
        }
        if !batch.batch().is_empty() {
            self.below.submit_read(batch);
        }
    }

    fn submit_write(&self, batch: WriteBatch<M>) {
        if batch.batch().is_owned() {
            return self.below.submit_write(batch);
        }
        let area = Arc::clone(batch.batch().area());
        let Some(mut batch) = batch.watched_by(self.map.clone()) else { return };
        self.map.make_space(&area);
        let mut position = 0;
        while let Some(run) = batch.batch().run(position) {
            match self.append(&area, run) {
                Ok(page) => {
                    batch.place(position, page);
                    position += 1;
                }
                Err(error) => {
                    batch.place(position, NOWHERE);
                    batch.complete_one(position, Err(error));
                }
            }
        }
        if !batch.batch().is_empty() {
            self.below.submit_write(batch);
        }
    }

    fn slot_free_notify(&self, _area: &Area<M>, slot: u32, _metadata: u64) {
        self.map.forget(slot);
    }

    fn slot_zeroed(&self, _area: &Area<M>, slot: u32, _metadata: u64) {
        self.map.forget(slot);
    }

    fn show_counts(&self, show: &mut dyn FnMut(&'static str, u64)) {
        let segments = self.map.segments.lock();
        let (counts, overview) = (segments.counts, segments.overview());
        drop(segments);
        show("log_pages_written", counts.written);
        show("log_pages_moved", counts.moved);
        show("log_pages_sequential", counts.sequential);
        show("log_sequential_percent", counts.sequential_percent());
        show("log_write_amplification_hundredths", counts.write_amplification());
        show("log_segments", overview.segments.into());
        show("log_segments_free", overview.free.into());
        show("log_segments_retired", overview.retired.into());
        show("log_segments_discarded", counts.discarded);
        show("log_pages_live", overview.live_pages);
        show("log_wear_least", overview.least_wear.into());
        show("log_wear_most", overview.most_wear.into());
        self.below.show_counts(show);
    }
}

impl<M: Machine> Log<M> {
    /// A page for a slot, after cleaning once more if others took what there was.
    fn append(&self, area: &Arc<Area<M>>, run: SlotRun) -> Result<u32, IoError> {
        if run.length != 1 {
            return Err(IoError::Unsupported);
        }
        loop {
            match self.map.append(run.first) {
                Err(IoError::NoSpace) if self.map.make_space(area) => {}
                result => return result,
            }
        }
    }
}

impl<M: Machine> Watcher<M> for Map<M> {
    fn read_ended(
        &self,
        _area: &Area<M>,
        folio: &mut ReadFolio<'_, M::Folio>,
        result: Result<(), IoError>,
    ) -> Result<(), IoError> {
        self.segments.lock().read_ended(folio.page());
        result
    }

    fn write_ended(&self, _area: &Area<M>, page: u32, result: Result<(), IoError>) {
        self.segments.lock().write_ended(page, result != Err(IoError::Device));
    }
}
