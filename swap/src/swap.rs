//! [`Swap`]: all areas together, and the calls that the kernel makes.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use spin::{Once, RwLock};

use crate::allocate::{NoSlot, Taken};
use crate::area::{Area, Shared, offset};
use crate::backend::{BLOCK_TYPE, BackendType};
use crate::cache::DuplicateError;
use crate::cluster::{CLASSES, ORDERS, ZERO_CLASS, run_length};
use crate::entry::Entry;
use crate::folio::{Folio, FolioFlag, Locked};
use crate::frontswap::Frontswap;
use crate::machine::{MAX_CPUS, Machine};
use crate::ops::SlotRun;
use crate::readahead::ReadaheadPolicy;
use crate::registry::{BlockDriver, DriverId, Registry, RegistryError};
use crate::slots::{SlotReference, Slots};
use crate::statistics::Snapshot;
use crate::word::{Kind, Word};

/// The most areas at once.
pub const MAX_AREAS: usize = 28;

/// All of swap. A kernel has one, in a `static`.
pub struct Swap<M: Machine> {
    /// Written only by `swapon` and `swapoff`, and only when nobody is looking.
    pub(crate) areas: [RwLock<Option<Arc<Area<M>>>>; MAX_AREAS],
    /// A bit for each area, so that those that are not there cost nothing to go past.
    pub(crate) enabled: AtomicU32,
    /// Where each processor took its last slot of each class: a hint.
    current: [[Place; CLASSES]; MAX_CPUS],
    pub(crate) drivers: Registry<M, dyn BlockDriver<M>>,
    pub(crate) types: Registry<M, dyn BackendType<M>>,
    /// Made at the first `swapon`.
    pub(crate) shared: Once<Arc<Shared<M>>>,
    pub(crate) readahead_policy: ReadaheadPolicy,
    /// What stands before the backends of areas, if anything does.
    pub(crate) frontswap: Once<Arc<dyn Frontswap<M>>>,
    /// Where the last slot for a slot of another area was taken: a hint.
    last_owned: Place,
    /// A `swapon` is at work.
    pub(crate) enabling: AtomicBool,
}

/// Why slots could not be allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllocateError {
    /// No area has a free, aligned run of so many slots. A large folio may still fit in pieces.
    Full,
    /// There is room, but no memory for a cluster's table.
    NoMemory,
    /// Who would pay for the slots may not have more ([`Machine::charge_slots`]).
    OverLimit,
}

impl<M: Machine> Swap<M> {
    /// Swap without any area.
    pub const fn new() -> Self {
        Self {
            areas: [const { RwLock::new(None) }; MAX_AREAS],
            enabled: AtomicU32::new(0),
            current: [const { [const { Place::new() }; CLASSES] }; MAX_CPUS],
            drivers: Registry::new(),
            types: Registry::new(),
            shared: Once::new(),
            readahead_policy: ReadaheadPolicy::new(),
            frontswap: Once::new(),
            last_owned: Place::new(),
            enabling: AtomicBool::new(false),
        }
    }

    /// Registers a block driver's own swap operations; areas enabled from now on use them.
    ///
    /// # Errors
    /// If the driver is registered already, or memory does not suffice.
    pub fn register(&self, id: DriverId, driver: Arc<dyn BlockDriver<M>>) -> Result<(), RegistryError> {
        self.drivers.register(id.0, driver)
    }

    /// Takes a block driver's registration back. Areas that use its operations keep them.
    ///
    /// # Errors
    /// If only other drivers are registered; if none is, that is no error.
    pub fn unregister(&self, id: DriverId) -> Result<(), RegistryError> {
        self.drivers.unregister(id.0)
    }

    /// Makes a type of backend known that headers may name; at most 16 bytes of name count.
    ///
    /// # Errors
    /// If the name is taken, or memory does not suffice.
    pub fn register_type(&self, name: &'static str, backend: Arc<dyn BackendType<M>>) -> Result<(), RegistryError> {
        if name == BLOCK_TYPE { Err(RegistryError::Taken(name)) } else { self.types.register(name, backend) }
    }

    /// Puts a layer before the backends of areas that are enabled from now on.
    ///
    /// # Errors
    /// [`RegistryError::Taken`] if there is one already.
    pub fn set_frontswap(&self, name: &'static str, layer: Arc<dyn Frontswap<M>>) -> Result<(), RegistryError> {
        let mut is_first = false;
        self.frontswap.call_once(|| {
            is_first = true;
            layer
        });
        if is_first { Ok(()) } else { Err(RegistryError::Taken(name)) }
    }

    /// The area with this index, if it is enabled.
    #[inline]
    pub fn area(&self, index: u8) -> Option<Arc<Area<M>>> {
        self.areas.get(usize::from(index))?.try_read()?.clone()
    }

    /// All enabled areas, by index.
    pub fn areas(&self) -> impl Iterator<Item = Arc<Area<M>>> {
        self.indexes().filter_map(|index| self.area(index as u8))
    }

    /// The indexes of the enabled areas.
    fn indexes(&self) -> impl Iterator<Item = usize> + use<M> {
        const { assert!(MAX_AREAS <= u32::BITS as usize) };
        let mut enabled = self.enabled.load(Ordering::Acquire);
        core::iter::from_fn(move || {
            let index = (enabled != 0).then(|| enabled.trailing_zeros() as usize);
            enabled &= enabled.wrapping_sub(1);
            index
        })
    }

    /// The counters of all areas since the start, those that are gone included.
    pub fn statistics(&self) -> Snapshot {
        self.shared.get().map_or_else(Snapshot::default, |shared| shared.statistics.snapshot())
    }

    /// Slots that can be used, and those of them that are free (Linux: `SwapTotal` and `SwapFree`, in pages). An area on
    /// its way out counts only what is still in use.
    pub fn totals(&self) -> (u64, u64) {
        self.indexes().fold((0, 0), |(total, free), index| {
            let area = self.areas[index].try_read();
            let Some(Some(area)) = area.as_deref() else { return (total, free) };
            let used = area.used();
            if area.room.is_leaving() {
                (total + used, free)
            } else {
                (total + area.usable, free + area.usable.saturating_sub(used))
            }
        })
    }

    /// Whether more than half of all slots are in use: then a folio that is mapped again should give its slot back
    /// (Linux: `vm_swap_full`).
    pub fn is_half_full(&self) -> bool {
        let (total, free) = self.totals();
        free * 2 < total
    }

    /// Batches that are in the pool; all of them when no I/O is on its way.
    pub fn idle_batches(&self) -> usize {
        self.shared.get().map_or(0, |shared| shared.pool.idle())
    }

    /// How pages are read ahead.
    pub fn readahead_policy(&self) -> &ReadaheadPolicy {
        &self.readahead_policy
    }

    /// Allocates 2^`order` slots that belong to the caller, not to the swap cache.
    ///
    /// # Errors
    /// If there is no room, or no memory for the table.
    #[inline]
    pub fn allocate(&self, order: u8) -> Result<Slots<M>, AllocateError> {
        let slots =
            |area: &Arc<Area<M>>, first| Slots { area: Arc::clone(area), run: SlotRun { first, length: 1 << order } };
        self.allocate_word(class_of(order)?, Kind::Owned(0).word(), slots)
    }

    /// Allocates 2^`order` slots in areas whose pages lie on their disks as they are, for slots of another area.
    ///
    /// # Errors
    /// As for [`Swap::allocate`].
    pub fn allocate_real(&self, order: u8) -> Result<Slots<M>, AllocateError> {
        let (class, word) = (class_of(order)?, Kind::Owned(0).word());
        let slots = |area, Taken { first, .. }| Slots { area, run: SlotRun { first, length: 1 << order } };
        let (index, hint) = self.last_owned.get();
        if let Some(area) = self.area(index as u8).filter(|area| area.is_real())
            && let Ok(taken) = area.allocate_at(class, hint, word)
        {
            self.last_owned.set(&area, taken, class);
            return Ok(slots(area, taken));
        }
        let order = self.shared.get().ok_or(AllocateError::Full)?.priorities.lock().clone();
        let mut error = AllocateError::Full;
        for area in order.iter().filter_map(|index| self.area(index)).filter(|area| area.is_real()) {
            match area.allocate(class, word) {
                Ok(taken) => {
                    self.last_owned.set(&area, taken, class);
                    return Ok(slots(area, taken));
                }
                Err(NoSlot::Full) => {}
                Err(NoSlot::NoMemory) => error = AllocateError::NoMemory,
            }
        }
        Err(error)
    }

    /// Gives a folio slots and adds it to the swap cache there. It is dirty from here on: nothing is stored yet.
    ///
    /// # Errors
    /// If no area has room, or memory for a table does not suffice; the folio is as it was.
    pub fn add_to_swap(&self, folio: &Locked<M::Folio>) -> Result<Entry, AllocateError> {
        self.add_with_count(folio, 0)
    }

    /// [`Swap::add_to_swap`] for a folio of one page, and [`Swap::duplicate`] for the first page-table word that will hold its
    /// slot, in one critical section.
    ///
    /// # Errors
    /// As for [`Swap::add_to_swap`].
    pub fn hold_in_swap(&self, folio: &Locked<M::Folio>) -> Result<SlotReference<'_, M>, AllocateError> {
        debug_assert_eq!(folio.order(), 0);
        Ok(SlotReference::new(self, self.add_with_count(folio, 1)?))
    }

    #[expect(clippy::inline_always, reason = "the usual way of every page")]
    #[inline(always)]
    fn add_with_count(&self, folio: &Locked<M::Folio>, count: u8) -> Result<Entry, AllocateError> {
        debug_assert!(folio.state().entry().is_none() && folio.state().is(FolioFlag::UpToDate));
        let class = if folio.order() == 0 && folio.looks_zero() { ZERO_CLASS } else { class_of(folio.order())? };
        let entry = |area: &Arc<Area<M>>, first| Entry::new(area.index, first);
        let payer = M::charge_slots(folio, run_length(class)).ok_or(AllocateError::OverLimit)?;
        let word = Kind::Folio(folio.number()).word().with_count(count).with_payer(payer);
        let entry = self.allocate_word(class, word, entry).inspect_err(|_| {
            if payer != 0 {
                M::uncharge_slots(payer, run_length(class));
            }
        })?;
        // The cache's reference. Readers may find the word before this; they take their own from the caller's.
        M::Folio::clone(folio).into_number();
        let Some(entry) = entry else { unreachable!("slot 0 is bad, so never allocated") };
        folio.state().set(FolioFlag::Dirty);
        folio.state().enter_cache(entry);
        Ok(entry)
    }

    /// Lets `to` pay for all slots that `from` pays for, none of which is 0; how many these are. What is taken meanwhile may be
    /// missed.
    pub fn replace_payer(&self, from: u8, to: u8) -> usize {
        debug_assert_ne!(from, 0);
        self.areas().map(|area| area.replace_payer(from, to)).sum()
    }

    /// One more page-table word will hold the slot, which must be in use: the caller has its folio locked, or has a
    /// word that holds it (`fork`).
    ///
    /// # Errors
    /// If the slot cannot have a count, or memory for a large one does not suffice.
    pub fn duplicate(&self, entry: Entry) -> Result<SlotReference<'_, M>, DuplicateError> {
        let area = self.areas.get(usize::from(entry.area())).and_then(RwLock::try_read);
        let area = area.as_deref().and_then(Option::as_ref).ok_or(DuplicateError::NotInUse(entry))?;
        area.duplicate(entry)?;
        Ok(SlotReference::new(self, entry))
    }

    /// [`Swap::duplicate`] for each of `wanted`, whose slots' clusters are locked once for as many as follow one another in
    /// them. `done` is told the outcome for each, and `wanted` asked for the next, perhaps under that lock.
    pub fn duplicate_each<'a, T>(
        &'a self,
        wanted: impl Iterator<Item = (Entry, T)>,
        mut done: impl FnMut(T, Result<SlotReference<'a, M>, DuplicateError>),
    ) {
        let mut wanted = wanted.peekable();
        while let Some((entry, whose)) = wanted.next() {
            match self.area(entry.area()) {
                Some(area) => area.duplicate_run((entry, whose), &mut wanted, |entry, whose, result| {
                    done(whose, result.map(|()| SlotReference::new(self, entry)));
                }),
                None => done(whose, Err(DuplicateError::NotInUse(entry))),
            }
        }
    }

    /// Frees the slots of a folio that may be in the swap cache, if no page-table word holds them. To be called when the folio was
    /// unmapped, whose reference is `folio`. If another task has it locked, that one does it, and if it is being written, the end
    /// of the write.
    pub fn drop_if_unused(&self, folio: &M::Folio) {
        if let Some(area) = folio.state().entry().and_then(|entry| self.area(entry.area())) {
            area.drop_if_unused(folio);
        }
    }

    /// The folio in the swap cache at `entry`. Takes no lock and never waits; the folio may leave the cache at once
    /// unless the caller locks it and looks again.
    #[expect(clippy::inline_always, reason = "a few instructions, of which a call would be a good part")]
    #[inline(always)]
    pub fn lookup(&self, entry: Entry) -> Option<M::Folio> {
        self.areas.get(usize::from(entry.area()))?.try_read()?.as_ref()?.lookup(entry.slot())
    }

    /// Whether one page-table word and no other holds the slot; takes no lock. Certain for whoever keeps that word from being
    /// duplicated.
    #[inline]
    pub fn is_held_once(&self, entry: Entry) -> bool {
        let area = self.areas.get(usize::from(entry.area())).and_then(RwLock::try_read);
        let word = area.as_deref().and_then(Option::as_ref).and_then(|area| area.peek(entry.slot()));
        word.is_some_and(|word| word.count() == 1)
    }

    /// Takes back the count of a page-table word, just replaced by one that maps the folio, which the caller has locked, or a copy
    /// of it. If the slot is worth nothing to that word from here on, because the page `is_written` or copied, or by
    /// [`Swap::is_slot_worthless`], it is freed like by [`Swap::try_free_slot`].
    #[inline]
    pub fn put_mapped(&self, entry: Entry, folio: &Locked<M::Folio>, is_written: bool) {
        debug_assert!(folio.state().entry() == Some(entry) || folio.order() > 0);
        let is_worthless = is_written || self.is_slot_worthless(folio);
        let area = self.areas.get(usize::from(entry.area())).and_then(RwLock::try_read);
        if let Some(Some(area)) = area.as_deref() {
            area.put_mapped(entry, folio, is_worthless);
        }
    }

    /// How many page-table words hold the slot.
    pub fn count(&self, entry: Entry) -> u32 {
        let Some(area) = self.area(entry.area()) else { return 0 };
        area.cluster(entry.slot()).map_or(0, |cluster| cluster.lock().count(offset(entry.slot())))
    }

    /// Takes the folio out of the cache and frees its slots, if no page-table word holds them and it is not being
    /// written. To be called after a folio was mapped back, when its slot is not worth keeping
    /// ([`Swap::is_half_full`], or it will be written to at once).
    pub fn try_free_slot(&self, folio: &Locked<M::Folio>) -> bool {
        folio
            .state()
            .entry()
            .and_then(|entry| Some((entry, self.area(entry.area())?)))
            .is_some_and(|(entry, area)| area.try_free(entry, folio))
    }

    /// Takes a clean folio out of the cache, when the caller has unmapped it and has accounted for all `references`: the
    /// cache's one, the folio's own in `folio`, and whatever lists hold. Its slots keep `shadow`
    /// ([`SHADOW_BITS`](crate::SHADOW_BITS) bits) for [`FaultIn::shadow`](crate::FaultIn::shadow). The folio comes back unlocked with one reference
    /// less, the cache's: when the caller drops its own, the frames are free.
    ///
    /// # Errors
    /// The folio, still locked and in the cache, if it is dirty, under writeback or known to somebody else.
    pub fn evict(&self, folio: Locked<M::Folio>, references: u32, shadow: u64) -> Result<M::Folio, Locked<M::Folio>> {
        let place = folio.state().entry().and_then(|entry| Some((entry, self.area(entry.area())?)));
        match place {
            Some((entry, area)) if area.evict(entry, &folio, references, shadow) => Ok(folio.unlock()),
            _ => Err(folio),
        }
    }

    /// [`Swap::evict`] for each of `folios`, whose slots' clusters are locked once for as many as follow one another in them.
    /// `shadow` is asked for each that goes, `done` gets each one that goes, and `folios` is asked for the next, perhaps under
    /// that lock. What stays comes to `done` with nothing locked but itself.
    pub fn evict_each(
        &self,
        folios: impl Iterator<Item = Locked<M::Folio>>,
        references: u32,
        mut shadow: impl FnMut() -> u64,
        mut done: impl FnMut(Result<M::Folio, Locked<M::Folio>>),
    ) {
        let mut folios = folios.peekable();
        while let Some(folio) = folios.next() {
            match folio.state().entry().and_then(|entry| Some((entry, self.area(entry.area())?))) {
                Some((entry, area)) => {
                    area.evict_run((entry, folio), &mut folios, references, &mut shadow, &mut done);
                }
                None => done(Err(folio)),
            }
        }
    }

    /// Does what was put off, because whoever caused it could not sleep: tells devices of empty clusters, and gives back
    /// those of areas whose clusters exist only while they are in use. For a kernel thread that waits for [`Event::Work`](crate::Event::Work).
    pub fn do_pending_work(&self) {
        for area in self.areas() {
            while area.discard_clusters && area.discard_cluster() {}
            area.vanish_emptied();
        }
    }

    pub(crate) fn put(&self, entry: Entry) {
        // The count itself keeps the area enabled, and only its owner gives it back.
        let area = self.areas.get(usize::from(entry.area())).and_then(RwLock::try_read);
        if let Some(Some(area)) = area.as_deref() {
            area.put(entry);
        }
    }

    /// Lets every processor choose among the areas again.
    pub(crate) fn forget_places(&self) {
        for place in self.current.iter().flatten().chain([&self.last_owned]) {
            place.0.store(Place::NONE, Ordering::Relaxed);
        }
    }

    /// Takes slots where this processor took the last ones, or where there are any.
    #[inline]
    fn allocate_word<R>(
        &self,
        class: u8,
        word: Word,
        taken_from: impl FnOnce(&Arc<Area<M>>, u32) -> R,
    ) -> Result<R, AllocateError> {
        let current = &self.current[M::cpu() % MAX_CPUS][usize::from(class) % CLASSES];
        let (index, hint) = current.get();
        if run_length(class) == 1
            && let Some(place) = self.areas.get(index)
            && let Some(area) = place.try_read()
            && let Some(area) = &*area
            && let Some(taken) = area.allocate_beside(hint, word)
        {
            if taken.full {
                Self::leave_cluster(current, area, class);
            } else {
                current.go_on(area, taken);
            }
            return Ok(taken_from(area, taken.first));
        }
        let (area, taken) = self.allocate_slowly(current, class, word)?;
        Ok(taken_from(&area, taken.first))
    }

    /// A processor's cluster is full: it goes on in another one of the same area, unless others are to have their turn.
    #[inline(never)]
    fn leave_cluster(place: &Place, area: &Area<M>, class: u8) {
        let stays = class == 0 && area.shared.priorities.lock().is_alone_first(area.index);
        place.go_to(area, if stays { area.usual_cluster() } else { None });
    }

    #[inline(never)]
    fn allocate_slowly(&self, place: &Place, class: u8, word: Word) -> Result<(Arc<Area<M>>, Taken), AllocateError> {
        let (index, hint) = place.get();
        if let Some(area) = self.area(index as u8)
            && let Ok(taken) = area.allocate_at(class, hint, word)
        {
            place.set(&area, taken, class);
            return Ok((area, taken));
        }
        // Nearly always the first area has room.
        let priorities = &self.shared.get().ok_or(AllocateError::Full)?.priorities;
        let first = priorities.lock().turn().ok_or(AllocateError::Full)?;
        let mut error = match self.allocate_in(first, place, class, word) {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        let others = priorities.lock().clone();
        for index in others.iter().filter(|&index| index != first) {
            priorities.lock().requeue(index);
            match self.allocate_in(index, place, class, word) {
                Ok(found) => return Ok(found),
                Err(AllocateError::Full) => {}
                Err(other) => error = other,
            }
        }
        Err(error)
    }

    #[inline]
    fn allocate_in(
        &self,
        index: u8,
        place: &Place,
        class: u8,
        word: Word,
    ) -> Result<(Arc<Area<M>>, Taken), AllocateError> {
        let area = self.area(index).ok_or(AllocateError::Full)?;
        let taken = area.allocate(class, word).map_err(|error| match error {
            NoSlot::Full => {
                area.leave_out_if_full();
                AllocateError::Full
            }
            NoSlot::NoMemory => AllocateError::NoMemory,
        })?;
        place.set(&area, taken, class);
        Ok((area, taken))
    }
}

/// The class of folios of an order, if there are such folios.
fn class_of(order: u8) -> Result<u8, AllocateError> {
    if usize::from(order) < ORDERS { Ok(order) } else { Err(AllocateError::Full) }
}

impl<M: Machine> Default for Swap<M> {
    fn default() -> Self {
        Self::new()
    }
}

/// A slot of an area, or of none that can be, in one word.
struct Place(AtomicU64);

impl Place {
    const NONE: u64 = (u8::MAX as u64) << u32::BITS;

    const fn new() -> Self {
        Self(AtomicU64::new(Self::NONE))
    }

    #[inline]
    fn get(&self) -> (usize, u32) {
        let place = self.0.load(Ordering::Relaxed);
        ((place >> u32::BITS) as usize, place as u32)
    }

    /// Remembers the slot after the folio's; nothing at the end of a cluster, or if the cluster is full, so that areas
    /// take turns, or on a rotational device, which is filled in order by all processors.
    fn set<M: Machine>(&self, area: &Area<M>, taken: Taken, class: u8) {
        let next = taken.first.wrapping_add(run_length(class));
        let over = taken.full || offset(next) == 0 || area.properties.rotational;
        let place = if over { Self::NONE } else { u64::from(area.index) << u32::BITS | u64::from(next) };
        self.0.store(place, Ordering::Relaxed);
    }

    /// [`Place::set`] for a slot of the area where the last one was.
    #[inline]
    fn go_on<M: Machine>(&self, area: &Area<M>, taken: Taken) {
        let next = taken.first.wrapping_add(1);
        self.go_to(area, (offset(next) != 0).then_some(next));
    }

    #[inline]
    fn go_to<M: Machine>(&self, area: &Area<M>, slot: Option<u32>) {
        let place = slot.map_or(Self::NONE, |slot| u64::from(area.index) << u32::BITS | u64::from(slot));
        self.0.store(place, Ordering::Relaxed);
    }
}
