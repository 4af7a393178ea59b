//! Batches: up to 32 folios on their way to or from one area, owned by what has to complete them: a plug, a backend or a
//! request. Folios that [keep together](crate::Plug::keep_together) count as one, so a batch of these has more pages.
//!
//! Batches come from a pool that is made at the first `swapon`, so that writing pages out needs no memory. Only plugs
//! take from it, one batch each, and only reclaim and swap-in have plugs. A plug that finds the pool empty waits: no
//! deadlock, because it holds no batch itself and no lock, so every batch that is out either belongs to a plug that can
//! go on, or to a device that completes it without needing another. For the same reason a task allocates frames, which
//! may reclaim through another plug, only while its own plug is empty.
//!
//! A backend that has to move pages before it can go on with a batch has a plug for that ([`Plug::for_moving`]), which may take
//! one more batch: that one is never out for longer than a device takes.
//!
//! A backend that hands a batch on can have changed where a folio's data goes, or is ([`WriteBatch::place`],
//! [`ReadBatch::place_each`]), and what is written instead of a folio ([`WriteBatch::stand_in`]); and it can have itself told
//! when a folio's I/O is over ([`Watcher`]).
//!
//! [`Plug::for_moving`]: crate::Plug::for_moving

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::area::Area;
use crate::availability::Reason;
use crate::folio::{Folio, FolioFlag, InTransit};
use crate::heap::{self, NoMemory};
use crate::machine::{Event, IoError, Machine, Occurrence};
use crate::ops::{Direction, SlotRun};
use crate::page::Page;
use crate::rank::Rank;
use crate::statistics::count;
use crate::sync::Lock;
use crate::watcher::{ReadFolio, Watcher};

/// The most folios in a batch (Linux: `SWAP_CLUSTER_MAX`).
pub const BATCH_FOLIOS: usize = 32;

/// The most folios in a batch where those that keep together count as one: code that deals with a batch has arrays of as many on its stack.
pub const BATCH_PAGES: usize = 2 * BATCH_FOLIOS;

/// Batches in the pool (Linux: the minimum of `sio_pool`).
pub const POOL_BATCHES: usize = 32;

/// How many of them can hold [`BATCH_PAGES`] folios: a task that needs one takes an ordinary one when these are out.
const LONG_BATCHES: usize = 2;

/// Folios on their way. Completion releases them: a read unlocks, a write ends writeback.
pub struct Batch<M: Machine> {
    area: Arc<Area<M>>,
    direction: Direction,
    slots_of: SlotOwner<M>,
    /// Those who are told when a folio's I/O is over, from the outermost backend on.
    watchers: [Option<Arc<dyn Watcher<M>>>; WATCHERS],
    /// Its capacity is the batch that the pool lent; the vector goes back there.
    items: Vec<Item<M>>,
}

/// The most backends before one that makes requests that watch one batch.
const WATCHERS: usize = 2;

/// Whose the slots of a batch are.
enum SlotOwner<M: Machine> {
    /// The folios are in the cache at these slots.
    Cached,
    /// They belong to slots of this other area, where the folios are in the cache.
    Redirected(Arc<Area<M>>),
    /// They belong to a backend, and so do the folios: completion only sets their flags.
    Owned,
    /// As above, and the pages only move: that is not counted as swapping.
    Moving,
}

/// A folio in a batch. Reads own the folio's lock, writes its writeback.
struct Item<M: Machine> {
    folio: InTransit<M::Folio>,
    /// The first of its slots.
    slot: u32,
    /// The first page of the area where its data is, or goes: that of the slot unless a backend has chosen another.
    page: u32,
    /// What is written instead.
    stand_in: Option<InTransit<M::Folio>>,
}

/// A batch to be read. Its folios are locked and not up to date.
pub struct ReadBatch<M: Machine>(pub(crate) Batch<M>);

/// A batch to be written. Its folios are under writeback; they may be read meanwhile.
pub struct WriteBatch<M: Machine>(pub(crate) Batch<M>);

/// The batches that are not out.
pub(crate) struct BatchPool<M: Machine> {
    idle: Lock<Idle<M>, M, { Rank::BatchPool as u8 }>,
}

struct Idle<M: Machine> {
    for_all: Vec<Vec<Item<M>>>,
    /// Those that can hold [`BATCH_PAGES`] folios.
    long: Vec<Vec<Item<M>>>,
    for_moving: Option<Vec<Item<M>>>,
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

    /// The folios with their slots, in the order in which they were gathered. Where another stands in for one, that is
    /// what there is; where another place was chosen, that is named by the slots whose own it is.
    pub fn folios(&self) -> impl ExactSizeIterator<Item = (&M::Folio, SlotRun)> + Clone {
        self.items.iter().map(|item| (item.data().folio(), item.run()))
    }

    /// The slots of the folio at `position`, as [`Batch::folios`] says them.
    pub fn run(&self, position: usize) -> Option<SlotRun> {
        self.items.get(position).map(Item::run)
    }

    /// Looks at page `page` of the folio at `position`, which is written; `None` if there is no such page.
    pub(crate) fn with_page<R>(&self, position: usize, page: usize, read: impl FnOnce(&Page) -> R) -> Option<R> {
        let folio = self.items.get(position)?.data();
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

    /// The most folios that it can have.
    pub(crate) const fn capacity(&self) -> usize {
        self.items.capacity()
    }

    pub(crate) fn push(&mut self, folio: InTransit<M::Folio>, slot: u32) {
        debug_assert!(self.len() < self.capacity());
        // One that is read would be unlocked by its end, and written by a device.
        assert!(folio.direction() == self.direction, "a folio goes the other way");
        heap::push(&mut self.items, Item { folio, slot, page: slot, stand_in: None });
    }

    /// Has `watcher` told of each folio. A batch that is watched by as many as can be has failed instead.
    fn watched_by(mut self, watcher: Arc<dyn Watcher<M>>) -> Option<Self> {
        let free = self.watchers.iter_mut().find(|watcher| watcher.is_none());
        debug_assert!(free.is_some(), "too many backends watch a batch");
        *free? = Some(watcher);
        Some(self)
    }

    /// Whether the slots belong to a backend or to slots of another area: then what is in front of an area's own backend
    /// leaves the batch alone.
    pub fn is_owned(&self) -> bool {
        !matches!(self.slots_of, SlotOwner::Cached)
    }

    fn place(&mut self, position: usize, page: u32) {
        if let Some(item) = self.items.get_mut(position) {
            item.page = page;
        }
    }

    /// Makes the batch one for `area`, where the folios' data is, or goes, at the slots that `place` gives for each run.
    fn redirect(&mut self, area: &Arc<Area<M>>, place: impl Fn(SlotRun) -> u32) {
        for item in &mut self.items {
            item.slot = place(item.run());
            item.page = item.slot;
        }
        let owner = core::mem::replace(&mut self.area, Arc::clone(area));
        self.slots_of = SlotOwner::Redirected(owner);
    }

    /// Says that slots and folios belong to a backend, which only moves pages if `is_moving`.
    pub(crate) fn set_owned(&mut self, is_moving: bool) {
        self.slots_of = if is_moving { SlotOwner::Moving } else { SlotOwner::Owned };
    }

    /// Ends what the folios are in the batch for at whose positions `is_over`, and takes them out. Those behind them move up.
    fn complete_some(&mut self, is_over: impl Fn(usize) -> bool, result: Result<(), IoError>) {
        let mut items = core::mem::take(&mut self.items);
        let mut position = 0..;
        let before = items.len();
        self.end(items.extract_if(.., |_| position.next().is_some_and(&is_over)), result);
        self.note_completed(before - items.len(), result);
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
        } else if let (Err(error), Some(Item { slot, .. })) = (result, self.items.first()) {
            let verb = match self.direction {
                Direction::Read => "read from",
                Direction::Write => "write to",
            };
            let (name, folios) = (self.area.name(), self.items.len());
            self.area.report_failure(format_args!("{verb} {name} failed at slot {slot}, {folios} folios: {error}"));
        }
        let mut items = core::mem::take(&mut self.items);
        let folios = items.len();
        self.end(items.drain(..), result);
        self.note_completed(folios, result);
        self.items = items;
    }

    fn note_completed(&self, folios: usize, result: Result<(), IoError>) {
        if folios > 0 {
            let (area, direction) = (self.area.index(), self.direction);
            M::note(Occurrence::BatchCompleted { area, direction, folios, is_ok: result.is_ok() });
        }
    }

    fn end(&self, items: impl Iterator<Item = Item<M>>, result: Result<(), IoError>) {
        let watchers = || self.watchers.iter().rev().flatten();
        if self.direction == Direction::Read {
            items.for_each(|Item { mut folio, slot, page, .. }| {
                let mut read = ReadFolio { folio: &mut folio, slot, page };
                let result =
                    watchers().fold(result, |result, watcher| watcher.read_ended(&self.area, &mut read, result));
                end_read(&self.area, folio, &self.slots_of, result);
            });
            return;
        }
        let folios = items.map(|Item { folio, page, stand_in, .. }| {
            watchers().for_each(|watcher| watcher.write_ended(&self.area, page, result));
            drop(stand_in.map(InTransit::end_write));
            end_write(&self.area, folio, &self.slots_of, result)
        });
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
        SlotRun { first: self.page, length: 1 << self.folio.folio().order() }
    }

    /// What is written.
    fn data(&self) -> &InTransit<M::Folio> {
        self.stand_in.as_ref().unwrap_or(&self.folio)
    }
}

fn end_read<M: Machine>(
    area: &Area<M>,
    folio: InTransit<M::Folio>,
    slots_of: &SlotOwner<M>,
    result: Result<(), IoError>,
) {
    let pages = 1 << folio.folio().order();
    if result.is_ok() {
        let is_swapped_in = !matches!(slots_of, SlotOwner::Moving);
        count!(area, pages_in, pages * u64::from(is_swapped_in));
        if let Some(entry) = folio.folio().state().entry() {
            M::note(Occurrence::Moved { entry, frame: folio.folio().number(), direction: Direction::Read });
        }
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
        SlotOwner::Owned | SlotOwner::Moving => {}
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

    /// The data of the folio at `position` is at the pages of the area from `page` on.
    pub fn place(&mut self, position: usize, page: u32) {
        self.0.place(position, page);
    }

    /// Says for each folio at which page of the area its data begins. The folios are in the order of these pages afterwards, so
    /// that those which lie beside one another are read by one request.
    pub fn place_each(&mut self, page: impl Fn(SlotRun) -> u32) {
        self.0.items.iter_mut().for_each(|item| item.page = page(item.run()));
        self.0.items.sort_unstable_by_key(|item| item.page);
    }

    /// Has `watcher` told of each folio when its I/O is over, before those that were told to be so earlier. None if as many watch
    /// as can: then the batch has failed.
    pub fn watched_by(self, watcher: Arc<dyn Watcher<M>>) -> Option<Self> {
        self.0.watched_by(watcher).map(Self)
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

    /// The data of the folio at `position` goes to the pages of the area from `page` on.
    pub fn place(&mut self, position: usize, page: u32) {
        self.0.place(position, page);
    }

    /// `folio`, of the same order, is written instead of the one at `position`, and is free when that is over.
    ///
    /// # Panics
    /// When it is not on its way to be written.
    pub fn stand_in(&mut self, position: usize, folio: InTransit<M::Folio>) {
        assert!(folio.direction() == Direction::Write, "a folio that is read stands in for one that is written");
        if let Some(item) = self.0.items.get_mut(position) {
            debug_assert_eq!(folio.folio().order(), item.folio.folio().order());
            drop(item.stand_in.replace(folio).map(InTransit::end_write));
        }
    }

    /// Has `watcher` told of each folio when its I/O is over, before those that were told to be so earlier. None if as many watch
    /// as can: then the batch has failed.
    pub fn watched_by(self, watcher: Arc<dyn Watcher<M>>) -> Option<Self> {
        self.0.watched_by(watcher).map(Self)
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

impl<M: Machine> BatchPool<M> {
    pub(crate) fn new() -> Result<Self, NoMemory> {
        let some = |batches, folios| {
            let mut some = heap::vector::<M, _>(batches)?;
            for _ in 0..batches {
                heap::push(&mut some, heap::vector::<M, _>(folios)?);
            }
            Ok(some)
        };
        let for_all = some(POOL_BATCHES - LONG_BATCHES, BATCH_FOLIOS)?;
        let long = some(LONG_BATCHES, BATCH_PAGES)?;
        let for_moving = Some(heap::vector::<M, _>(BATCH_FOLIOS)?);
        Ok(Self { idle: Lock::new(Idle { for_all, long, for_moving }) })
    }

    /// A batch for `area`, waiting for one to come back if all are out; a long one if there is one and `is_long`. What
    /// moves pages can have one more.
    pub(crate) fn get(&self, area: Arc<Area<M>>, direction: Direction, is_moving: bool, is_long: bool) -> Batch<M> {
        let take = |idle: &mut Idle<M>| {
            let chosen = match (is_moving, is_long) {
                (true, _) => idle.for_moving.take(),
                (false, true) => idle.long.pop(),
                (false, false) => None,
            };
            chosen.or_else(|| idle.for_all.pop()).or_else(|| idle.long.pop())
        };
        loop {
            let lent = take(&mut self.idle.lock());
            if let Some(items) = lent {
                let watchers = [const { None }; WATCHERS];
                return Batch { area, direction, slots_of: SlotOwner::Cached, watchers, items };
            }
            let is_there = |idle: &Idle<M>| {
                !idle.for_all.is_empty() || !idle.long.is_empty() || is_moving && idle.for_moving.is_some()
            };
            M::wait(Event::Batch, &|| is_there(&self.idle.lock()));
        }
    }

    fn put(&self, items: Vec<Item<M>>) {
        let mut idle = self.idle.lock();
        // The one for moving first: it is what all others may wait for.
        match &mut idle.for_moving {
            _ if items.capacity() >= BATCH_PAGES => heap::push(&mut idle.long, items),
            Some(_) => heap::push(&mut idle.for_all, items),
            none => *none = Some(items),
        }
        drop(idle);
        M::wake(Event::Batch);
    }

    /// Batches that are not out, without the one for moving.
    pub(crate) fn idle(&self) -> usize {
        let idle = self.idle.lock();
        idle.for_all.len() + idle.long.len()
    }
}
