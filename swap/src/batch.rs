//! Batches: up to 32 folios on their way to or from one area, owned by what has to complete them: a plug, a backend or a
//! request.
//!
//! Batches come from a pool that is made at the first `swapon`, so that writing pages out needs no memory. Only plugs
//! take from it, one batch each, and only reclaim and swap-in have plugs. A plug that finds the pool empty waits: no
//! deadlock, because it holds no batch itself and no lock, so every batch that is out either belongs to a plug that can
//! go on, or to a device that completes it without needing another. For the same reason a task allocates frames, which
//! may reclaim through another plug, only while its own plug is empty.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::area::Area;
use crate::availability::Reason;
use crate::folio::{Folio, FolioFlag, InTransit};
use crate::heap::{self, NoMemory};
use crate::machine::{Event, IoError, Machine};
use crate::ops::{Direction, SlotRun};
use crate::page::Page;
use crate::rank::Rank;
use crate::statistics::count;
use crate::sync::Lock;

/// The most folios in a batch (Linux: `SWAP_CLUSTER_MAX`).
pub const BATCH_FOLIOS: usize = 32;

/// Batches in the pool (Linux: the minimum of `sio_pool`).
pub const POOL_BATCHES: usize = 32;

/// Folios on their way. Completion releases them: a read unlocks, a write ends writeback.
pub struct Batch<M: Machine> {
    area: Arc<Area<M>>,
    direction: Direction,
    slots_of: SlotOwner<M>,
    /// Its capacity is the batch that the pool lent; the vector goes back there.
    items: Vec<Item<M>>,
}

/// Whose the slots of a batch are.
enum SlotOwner<M: Machine> {
    /// The folios are in the cache at these slots.
    Cached,
    /// They belong to slots of this other area, where the folios are in the cache.
    Redirected(Arc<Area<M>>),
    /// They belong to a backend, and so do the folios: completion only sets their flags.
    Owned,
}

/// A folio in a batch, and the first of its slots. Reads own the folio's lock, writes its writeback.
struct Item<M: Machine> {
    folio: InTransit<M::Folio>,
    first_slot: u32,
}

/// A batch to be read. Its folios are locked and not up to date.
pub struct ReadBatch<M: Machine>(pub(crate) Batch<M>);

/// A batch to be written. Its folios are under writeback; they may be read meanwhile.
pub struct WriteBatch<M: Machine>(pub(crate) Batch<M>);

/// The batches that are not out.
pub(crate) struct Pool<M: Machine> {
    idle: Lock<Vec<Vec<Item<M>>>, M, { Rank::BatchPool as u8 }>,
}

impl<M: Machine> Batch<M> {
    /// The area.
    pub fn area(&self) -> &Arc<Area<M>> {
        &self.area
    }

    /// Which way it goes.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// How many folios it has.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether it has no folio.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The folios with their slots, in the order in which they were gathered.
    pub fn folios(&self) -> impl ExactSizeIterator<Item = (&M::Folio, SlotRun)> + Clone {
        self.items.iter().map(|item| (item.folio.folio(), item.run()))
    }

    /// The slots of the folio at `position`.
    pub fn run(&self, position: usize) -> Option<SlotRun> {
        self.items.get(position).map(Item::run)
    }

    /// Looks at page `page` of the folio at `position`, which is written; `None` if there is no such page.
    pub(crate) fn with_page<R>(&self, position: usize, page: usize, read: impl FnOnce(&Page) -> R) -> Option<R> {
        let Item { folio, .. } = self.items.get(position)?;
        (page < 1 << folio.folio().order()).then(|| folio.with_page(page, read))
    }

    /// Writes page `page` of the folio at `position`, which is read; `None` if there is no such page.
    pub(crate) fn with_page_mut<R>(
        &mut self,
        position: usize,
        page: usize,
        write: impl FnOnce(&mut Page) -> R,
    ) -> Option<R> {
        let Item { folio, .. } = self.items.get_mut(position)?;
        (page < 1 << folio.folio().order()).then(|| folio.with_page_mut(page, write))
    }

    pub(crate) fn last(&self) -> Option<SlotRun> {
        self.items.last().map(Item::run)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.items.len() == BATCH_FOLIOS
    }

    pub(crate) fn push(&mut self, folio: InTransit<M::Folio>, first_slot: u32) {
        debug_assert!(!self.is_full());
        heap::push(&mut self.items, Item { folio, first_slot });
    }

    /// Whether the slots belong to a backend or to slots of another area: then what is in front of an area's own backend
    /// leaves the batch alone.
    pub fn is_owned(&self) -> bool {
        !matches!(self.slots_of, SlotOwner::Cached)
    }

    /// Makes the batch one for `area`, where the folios' data is, or goes, at the slots that `place` gives for each run.
    fn redirect(&mut self, area: &Arc<Area<M>>, place: impl Fn(SlotRun) -> u32) {
        for item in &mut self.items {
            item.first_slot = place(item.run());
        }
        let owner = core::mem::replace(&mut self.area, Arc::clone(area));
        self.slots_of = SlotOwner::Redirected(owner);
    }

    /// Says that slots and folios belong to a backend.
    pub(crate) fn set_owned(&mut self) {
        self.slots_of = SlotOwner::Owned;
    }

    /// Ends what the folios are in the batch for at whose positions `is_over`, and takes them out. Those behind them move up.
    fn complete_some(&mut self, is_over: impl Fn(usize) -> bool, result: Result<(), IoError>) {
        let mut items = core::mem::take(&mut self.items);
        let mut position = 0..;
        self.end(items.extract_if(.., |_| position.next().is_some_and(&is_over)), result);
        self.items = items;
    }

    /// Ends what the batch was for: a successful read makes its folios up to date, a failed write makes them dirty again.
    pub fn complete(mut self, result: Result<(), IoError>) {
        self.finish(result);
    }

    fn finish(&mut self, result: Result<(), IoError>) {
        if result == Err(IoError::NoSpace) && self.direction == Direction::Write {
            if matches!(self.slots_of, SlotOwner::Cached) && !self.is_empty() {
                self.area.note_no_space(self.items.len() as u64);
            }
        } else if let (Err(error), Some(run)) = (result, self.run(0)) {
            let verb = match self.direction {
                Direction::Read => "read from",
                Direction::Write => "write to",
            };
            let (name, folios) = (self.area.name(), self.items.len());
            let slot = run.first;
            self.area.report_failure(format_args!("{verb} {name} failed at slot {slot}, {folios} folios: {error}"));
        }
        let mut items = core::mem::take(&mut self.items);
        self.end(items.drain(..), result);
        self.items = items;
    }

    fn end(&self, items: impl Iterator<Item = Item<M>>, result: Result<(), IoError>) {
        if self.direction == Direction::Read {
            items.for_each(|item| end_read(&self.area, item.folio, result));
            return;
        }
        let folios = items.map(|item| end_write(&self.area, item.folio, &self.slots_of, result));
        if self.is_owned() && !matches!(self.slots_of, SlotOwner::Redirected(_)) {
            folios.for_each(drop);
        } else {
            M::writes_ended(folios, result);
        }
    }
}

impl<M: Machine> Drop for Batch<M> {
    fn drop(&mut self) {
        if !self.items.is_empty() {
            self.finish(Err(IoError::Abandoned));
        }
        self.area.shared().pool.put(core::mem::take(&mut self.items));
    }
}

impl<M: Machine> Item<M> {
    fn run(&self) -> SlotRun {
        SlotRun { first: self.first_slot, length: 1 << self.folio.folio().order() }
    }
}

fn end_read<M: Machine>(area: &Area<M>, folio: InTransit<M::Folio>, result: Result<(), IoError>) {
    let pages = 1 << folio.folio().order();
    if result.is_ok() {
        count!(area, pages_in, pages);
    } else {
        count!(area, failed_reads, pages);
    }
    M::read_ended(&folio.end_read(result.is_ok()), result);
}

fn end_write<M: Machine>(
    area: &Arc<Area<M>>,
    folio: InTransit<M::Folio>,
    slots_of: &SlotOwner<M>,
    result: Result<(), IoError>,
) -> M::Folio {
    if let Err(error) = result {
        if error != IoError::Refused {
            count!(area, failed_writes, 1 << folio.folio().order());
        }
        folio.folio().state().set(FolioFlag::Dirty);
    }
    let folio = folio.end_write();
    match slots_of {
        SlotOwner::Cached => {
            if result == Err(IoError::NoSpace) && area.availability.is_closed_by(Reason::Refusing) {
                area.note_refused(&folio);
            }
            area.drop_if_unheld(&folio);
        }
        SlotOwner::Redirected(owner) => owner.drop_if_unheld(&folio),
        SlotOwner::Owned => {}
    }
    folio
}

impl<M: Machine> ReadBatch<M> {
    /// What the batch is about.
    pub fn batch(&self) -> &Batch<M> {
        &self.0
    }

    /// Writes page `page` of the folio at `position`; nothing happens if there is none.
    pub fn with_page_mut<R>(&mut self, position: usize, page: usize, write: impl FnOnce(&mut Page) -> R) -> Option<R> {
        self.0.with_page_mut(position, page, write)
    }

    /// Ends what the folio at `position` is in the batch for, and takes it out: those behind it move up. A batch that is
    /// empty then has nothing left to complete.
    pub fn complete_one(&mut self, position: usize, result: Result<(), IoError>) {
        self.0.complete_some(|other| other == position, result);
    }

    /// Makes the batch one for `area`, where the folios' data is at the slots that `place` gives for each run.
    pub fn redirect(&mut self, area: &Arc<Area<M>>, place: impl Fn(SlotRun) -> u32) {
        self.0.redirect(area, place);
    }

    /// See [`Batch::complete`].
    pub fn complete(self, result: Result<(), IoError>) {
        self.0.complete(result);
    }
}

impl<M: Machine> WriteBatch<M> {
    /// What the batch is about.
    pub fn batch(&self) -> &Batch<M> {
        &self.0
    }

    /// Looks at page `page` of the folio at `position`; nothing happens if there is none.
    ///
    /// # Panics
    /// When the page may change: see [`SwapOpsFlags::stable_writes`](crate::SwapOpsFlags).
    pub fn with_page<R>(&self, position: usize, page: usize, read: impl FnOnce(&Page) -> R) -> Option<R> {
        self.0.with_page(position, page, read)
    }

    /// Ends what the folio at `position` is in the batch for, and takes it out: those behind it move up. A batch that is
    /// empty then has nothing left to complete. [`IoError::NoSpace`] is about this folio alone; see [`Area::note_no_space`].
    pub fn complete_one(&mut self, position: usize, result: Result<(), IoError>) {
        self.complete_some(|other| other == position, result);
    }

    /// [`WriteBatch::complete_one`] for the folios at those positions where `is_over`.
    pub fn complete_some(&mut self, is_over: impl Fn(usize) -> bool, result: Result<(), IoError>) {
        self.0.complete_some(is_over, result);
    }

    /// Makes the batch one for `area`, where the folios' data goes to the slots that `place` gives for each run.
    pub fn redirect(&mut self, area: &Arc<Area<M>>, place: impl Fn(SlotRun) -> u32) {
        self.0.redirect(area, place);
    }

    /// See [`Batch::complete`]. After [`IoError::NoSpace`] the area is left out for a while ([`Area::note_no_space`]).
    pub fn complete(self, result: Result<(), IoError>) {
        self.0.complete(result);
    }
}

impl<M: Machine> Pool<M> {
    pub(crate) fn new() -> Result<Self, NoMemory> {
        let mut idle = heap::vector::<M, _>(POOL_BATCHES)?;
        for _ in 0..POOL_BATCHES {
            heap::push(&mut idle, heap::vector::<M, _>(BATCH_FOLIOS)?);
        }
        Ok(Self { idle: Lock::new(idle) })
    }

    /// A batch for `area`, waiting for one to come back if all are out.
    pub(crate) fn get(&self, area: Arc<Area<M>>, direction: Direction) -> Batch<M> {
        loop {
            let lent = self.idle.lock().pop();
            if let Some(items) = lent {
                return Batch { area, direction, slots_of: SlotOwner::Cached, items };
            }
            M::wait(Event::Batch, &|| !self.idle.lock().is_empty());
        }
    }

    fn put(&self, items: Vec<Item<M>>) {
        heap::push(&mut self.idle.lock(), items);
        M::wake(Event::Batch);
    }

    /// Batches that are not out.
    pub(crate) fn idle(&self) -> usize {
        self.idle.lock().len()
    }
}
