//! A swap area: one enabled device, its clusters and its backend.
//!
//! Allocation and freeing of slots are here, reading and changing what is in them is in [`crate::cache`]. Everything
//! about a slot happens under its cluster's lock; the lists of clusters have their own lock inside it.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::ops::Range;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::batch::Pool;
use crate::cluster::{CLASSES, CLUSTER_SLOTS, ClusterGuard, run_length};
use crate::clusters::{ClusterRef, Clusters, Directory};
use crate::disk::{Claim, Disk, DiskProperties};
use crate::entry::Entry;
use crate::extents::Extents;
use crate::heap::NoMemory;
use crate::lists::{ListId, Lists};
use crate::machine::{Event, Level, Machine};
use crate::ops::SwapOps;
use crate::priorities::Priorities;
use crate::room::Room;
use crate::statistics::{Statistics, count};
use crate::sync::{Lock, Rank};
use crate::word::{Kind, Word};

/// An enabled swap area.
pub struct Area<M: Machine> {
    pub(crate) index: u8,
    pub(crate) priority: i16,
    pub(crate) name: Box<str>,
    /// An area whose backend needs none has none.
    pub(crate) disk: Option<Claim<M>>,
    pub(crate) properties: DiskProperties,
    /// Captured at `swapon`, kept until the area is gone.
    pub(crate) ops: Arc<dyn SwapOps<M>>,
    pub(crate) metadata_bits: u8,
    pub(crate) synchronous: bool,
    /// Clusters are discarded when they become empty.
    pub(crate) discard_clusters: bool,
    pub(crate) extents: Extents,
    /// Slots, the header and the bad ones included.
    pub(crate) slots: u64,
    /// Slots that can be used.
    pub(crate) usable: u64,
    pub(crate) clusters: Clusters<M>,
    pub(crate) lists: Lock<Lists, M, { Rank::Lists as u8 }>,
    /// Slots in use. Lowered only after the backend was told of a freed slot, so that `swapoff` cannot miss one.
    pub(crate) used: AtomicU64,
    /// Whether slots may be taken; read under a cluster's lock before a slot of it is.
    pub(crate) room: Room,
    /// On a rotational device, where the last slot of each class was taken, by any processor.
    pub(crate) sequential: [AtomicU32; CLASSES],
    pub(crate) statistics: Statistics,
    pub(crate) shared: Arc<Shared<M>>,
}

/// What all areas share.
pub(crate) struct Shared<M: Machine> {
    /// The areas that slots are taken from.
    pub(crate) priorities: Lock<Priorities, M, { Rank::Priorities as u8 }>,
    pub(crate) pool: Pool<M>,
    pub(crate) statistics: Statistics,
}

/// A run of slots that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) first: u32,
    /// Nothing is left in its cluster.
    pub(crate) full: bool,
}

/// While more than one cluster in so many is free, single pages leave those alone that are more than a little used.
const FREE_KEPT: usize = 8;

/// The area has no room for what was asked, or no memory for the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoSlot {
    Full,
    NoMemory,
}

impl<M: Machine> Area<M> {
    /// Its place among the areas, as in its entries.
    pub fn index(&self) -> u8 {
        self.index
    }

    /// The path of its device.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its backend.
    pub fn ops(&self) -> &Arc<dyn SwapOps<M>> {
        &self.ops
    }

    /// Its device; an area may have none ([`Swap::swapon_without_disk`](crate::Swap::swapon_without_disk)).
    pub fn disk(&self) -> Option<&Arc<dyn Disk<M>>> {
        self.disk.as_deref()
    }

    /// What its device is like.
    pub fn properties(&self) -> DiskProperties {
        self.properties
    }

    /// Where its pages lie on the device.
    pub fn extents(&self) -> &Extents {
        &self.extents
    }

    /// Its own counters.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// Slots that can be used: without the header and bad pages.
    pub fn usable(&self) -> u64 {
        self.usable
    }

    /// Its priority: higher ones are filled first, equal ones in turn.
    pub fn priority(&self) -> i16 {
        self.priority
    }

    /// Slots in use.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// How many of its clusters exist: all, or in an area without a device those in use and a few beside them.
    pub fn existing_clusters(&self) -> usize {
        self.clusters.existing().count()
    }

    /// The backend's own bits for a slot, 0 if it set none since the slot was allocated. Not from inside
    /// [`SwapOps::slot_free_notify`], which is told them.
    pub fn metadata(&self, slot: u32) -> u64 {
        if self.metadata_bits == 0 {
            return 0;
        }
        self.cluster(slot).map_or(0, |cluster| cluster.lock().metadata(offset(slot), self.metadata_bits))
    }

    /// Sets the backend's own bits for a slot in use, and says what they were.
    pub(crate) fn replace_metadata(&self, slot: u32, value: u64) -> u64 {
        let Some(cluster) = self.cluster(slot) else { return 0 };
        let mut cluster = cluster.lock();
        let before = cluster.metadata(offset(slot), self.metadata_bits);
        cluster.set_metadata(offset(slot), self.metadata_bits, value);
        before
    }

    /// Sets the backend's own bits for a slot in use if they are what is expected.
    pub(crate) fn exchange_metadata(&self, slot: u32, expected: u64, value: u64) -> bool {
        let Some(cluster) = self.cluster(slot) else { return false };
        let mut cluster = cluster.lock();
        let is_expected = cluster.metadata(offset(slot), self.metadata_bits) == expected;
        if is_expected {
            cluster.set_metadata(offset(slot), self.metadata_bits, value);
        }
        is_expected
    }

    /// Looks at the backend's bits of the slots in use from `from` on, until `look` says that it has seen enough. Returns
    /// the slot to go on from; `None` at the end.
    pub(crate) fn look_at_metadata(&self, from: u32, mut look: impl FnMut(u32, u64) -> bool) -> Option<u32> {
        for index in self.clusters.existing_from(from as usize / CLUSTER_SLOTS) {
            let Some(cluster) = self.clusters.get(index) else { continue };
            let cluster = cluster.lock();
            if cluster.is_empty() {
                continue;
            }
            for slot in self.cluster_slots(index).skip_while(|slot| *slot < from.into()) {
                let slot = slot as u32;
                if !look(slot, cluster.metadata(offset(slot), self.metadata_bits)) {
                    return Some(slot + 1);
                }
            }
        }
        None
    }

    /// Sets the backend's own bits for a slot in use.
    pub fn set_metadata(&self, slot: u32, value: u64) {
        if self.metadata_bits > 0
            && let Some(cluster) = self.cluster(slot)
        {
            cluster.lock().set_metadata(offset(slot), self.metadata_bits, value);
        }
    }

    /// Whether its pages lie on its disk as they are: then other areas' slots can have theirs there too.
    pub(crate) fn is_real(&self) -> bool {
        self.ops.flags().pages_on_disk
    }

    /// Whether zswap is before its own backend, or is all that it has.
    pub(crate) fn has_zswap(&self) -> bool {
        self.ops.flags().zswap
    }

    /// Whether one more failed batch is worth a line in the log: the first of them are, and then the last that is.
    pub(crate) fn reports_error(&self) -> bool {
        const REPORTED: u64 = 10;
        let before = self.statistics.failed_batches.get();
        count!(self, failed_batches, 1);
        if before == REPORTED {
            M::log(
                Level::Error,
                format_args!("{} fails again and again; from here on it is only counted", self.name()),
            );
        }
        before < REPORTED
    }

    pub(crate) fn shared(&self) -> &Shared<M> {
        &self.shared
    }

    #[inline]
    pub(crate) fn cluster(&self, slot: u32) -> Option<ClusterRef<'_, M>> {
        self.clusters.get(slot as usize / CLUSTER_SLOTS)
    }

    pub(crate) fn entry(&self, slot: u32) -> Option<Entry> {
        if u64::from(slot) < self.slots { Entry::new(self.index, slot) } else { None }
    }

    /// Puts every cluster on the list of free ones: once, while nobody else knows the area. Of those that exist only while
    /// they are in use, these are the first.
    pub(crate) fn fill_lists(&self) -> Result<(), NoMemory> {
        if self.grow()? {
            return Ok(());
        }
        let mut lists = self.lists.lock();
        for index in self.clusters.existing() {
            lists.move_to(&self.clusters, index, ListId::NONE, ListId::FREE);
        }
        drop(lists);
        for index in self.clusters.existing() {
            if let Some(cluster) = self.clusters.get(index) {
                cluster.lock().set_list(ListId::FREE);
            }
        }
        Ok(())
    }

    /// Takes a slot out of use for ever: once each, while nobody else knows the area.
    pub(crate) fn mark_bad(&self, slot: u64) -> Result<(), NoMemory> {
        let index = (slot / CLUSTER_SLOTS as u64) as usize;
        let Some(cluster) = self.clusters.get(index) else { return Ok(()) };
        let mut cluster = cluster.lock();
        cluster.prepare(0, self.metadata_bits)?;
        let taken = cluster.take(0, (slot % CLUSTER_SLOTS as u64) as usize, Kind::Bad.word());
        debug_assert_eq!(taken, Some((slot % CLUSTER_SLOTS as u64) as usize));
        self.relist(index, &mut cluster, false);
        Ok(())
    }

    /// Takes a run for a folio of `class` near `hint`, the slot after the last one taken, and sets their words to `word`.
    #[expect(clippy::inline_always, reason = "specialised for the class, which is nearly always that of single slots")]
    #[inline(always)]
    pub(crate) fn allocate_at(&self, class: u8, hint: u32, word: Word) -> Result<Taken, NoSlot> {
        let hint =
            if self.properties.rotational { self.sequential[usize::from(class)].load(Ordering::Relaxed) } else { hint };
        let taken = self.take_from(hint as usize / CLUSTER_SLOTS, class, offset(hint), word)?.ok_or(NoSlot::Full)?;
        if self.properties.rotational {
            self.go_on_behind(taken, class);
        }
        Ok(taken)
    }

    /// Takes a run for a folio of `class` wherever there is one, in the order of Linux's `cluster_alloc_swap_entry`.
    pub(crate) fn allocate(&self, class: u8, word: Word) -> Result<Taken, NoSlot> {
        if usize::from(class) >= CLASSES || run_length(class) > 1 && self.extents.len() != 1 {
            return Err(NoSlot::Full);
        }
        if self.properties.rotational
            && let Ok(taken) = self.allocate_at(class, 0, word)
        {
            return Ok(taken);
        }
        // When few clusters are free, a partly used one is what is nearly always there for single slots.
        if class == 0
            && !self.has_free_to_spare()
            && !self.properties.rotational
            && !self.discard_clusters
            && let Some((index, _)) = self.turn(ListId::partly_used(0))
            && let Some(taken) = self.take_from(index, 0, 0, word)?
        {
            return Ok(taken);
        }
        let taken = self.search(class, word)?;
        if self.properties.rotational {
            self.go_on_behind(taken, class);
        }
        Ok(taken)
    }

    fn go_on_behind(&self, taken: Taken, class: u8) {
        let next = taken.first.saturating_add(run_length(class));
        self.sequential[usize::from(class)].store(next, Ordering::Relaxed);
    }

    fn search(&self, class: u8, word: Word) -> Result<Taken, NoSlot> {
        let mut memory = true;
        let mut try_list = |list, tries| {
            self.take_from_list(list, tries, class, word).unwrap_or_else(|NoMemory| {
                memory = false;
                None
            })
        };
        let (partly_used, all) = (ListId::partly_used(class), u32::MAX);
        let roomy = run_length(class) == 1 && self.has_free_to_spare();
        if roomy
            && !self.discard_clusters
            && let Some(taken) = self.take_from_roomy(class, word)
        {
            return Ok(taken);
        }
        // A device that is told of empty clusters does best with whole ones.
        let whole_first = roomy || self.discard_clusters;
        let first = if whole_first { [ListId::FREE, partly_used] } else { [partly_used, ListId::FREE] };
        if let Some(taken) = try_list(first[0], all).or_else(|| try_list(first[1], all)) {
            return Ok(taken);
        }
        if self.grow()?
            && let Some(taken) = try_list(ListId::FREE, all)
        {
            return Ok(taken);
        }
        if self.is_half_full()
            && let Some(taken) = self.reclaim_cluster(class, word)
        {
            return Ok(taken);
        }
        if let Some(taken) = try_list(ListId::fragmented(class), 1) {
            return Ok(taken);
        }
        if run_length(class) == 1 {
            let others = (0..CLASSES as u8).rev().filter(|&other| other != class);
            let lists = others.flat_map(|other| [ListId::fragmented(other), ListId::partly_used(other)]);
            for list in lists.chain([ListId::fragmented(class)]) {
                if let Some(taken) = try_list(list, all) {
                    return Ok(taken);
                }
            }
        }
        if self.discard_clusters
            && self.discard_cluster()
            && let Some(taken) = try_list(ListId::FREE, all)
        {
            return Ok(taken);
        }
        Err(if memory { NoSlot::Full } else { NoSlot::NoMemory })
    }

    /// Whether so many clusters are free that single pages can have whole ones.
    fn has_free_to_spare(&self) -> bool {
        // Clusters that exist only while they are in use are best filled.
        matches!(self.clusters, Clusters::Fixed(_))
            && self.lists.lock().length(ListId::FREE) > self.clusters.len() / FREE_KEPT
    }

    /// Takes a slot from a partly used cluster that is nearly empty, if one is found soon.
    ///
    /// Only neighbouring slots travel in one request, so holes among used slots are left for later. Linux fills any partly
    /// used cluster first, to keep free ones for large folios; here that begins when few are free.
    fn take_from_roomy(&self, class: u8, word: Word) -> Option<Taken> {
        const TRIES: usize = 4;
        for _ in 0..TRIES {
            let (index, _) = self.turn(ListId::partly_used(class))?;
            let is_roomy = !self.clusters.get(index)?.lock().has_more_used_than(CLUSTER_SLOTS as u16 / 16);
            // Without memory for a table, the ordinary search says so.
            if is_roomy && let Ok(Some(taken)) = self.take_from(index, class, 0, word) {
                return Some(taken);
            }
        }
        None
    }

    fn take_from_list(&self, list: ListId, tries: u32, class: u8, word: Word) -> Result<Option<Taken>, NoMemory> {
        let mut left = tries;
        while left > 0 {
            let Some((index, length)) = self.turn(list) else { break };
            if let Some(taken) = self.take_from(index, class, 0, word)? {
                return Ok(Some(taken));
            }
            left = (left - 1).min(length);
        }
        Ok(None)
    }

    fn turn(&self, list: ListId) -> Option<(usize, u32)> {
        self.lists.lock().turn(&self.clusters, list)
    }

    /// Takes a run from one cluster if it is for this class, or from any if the run is a single slot.
    #[expect(clippy::inline_always, reason = "specialised for the class, which is nearly always that of single slots")]
    #[inline(always)]
    fn take_from(&self, index: usize, class: u8, wanted: usize, word: Word) -> Result<Option<Taken>, NoMemory> {
        let Some(cluster) = self.clusters.get(index) else { return Ok(None) };
        let mut cluster = cluster.lock();
        // The usual case, which mostly leaves the cluster on its list.
        if cluster.list().is_partly_used()
            && (run_length(class) == 1 || cluster.class() == class)
            && self.room.is_open()
            && let Some(offset) = cluster.take(class, wanted, word)
        {
            self.used.fetch_add(run_length(class).into(), Ordering::AcqRel);
            let taken = Taken { first: (index * CLUSTER_SLOTS + offset) as u32, full: cluster.is_full() };
            if taken.full {
                self.unlist_full(index, cluster);
            }
            return Ok(Some(taken));
        }
        self.take_and_relist(index, cluster, class, wanted, word)
    }

    #[inline(never)]
    fn unlist_full(&self, index: usize, mut cluster: ClusterGuard<'_, M>) {
        self.move_to_list(index, &mut cluster, ListId::FULL);
    }

    /// Takes a run from a locked cluster, whatever that means for its list.
    #[inline(never)]
    fn take_and_relist(
        &self,
        index: usize,
        mut cluster: ClusterGuard<'_, M>,
        class: u8,
        wanted: usize,
        word: Word,
    ) -> Result<Option<Taken>, NoMemory> {
        let suits = match cluster.list() {
            list if list.is_partly_used() => run_length(class) == 1 || cluster.class() == class,
            list => list == ListId::FREE,
        };
        if !suits || !self.room.is_open() {
            return Ok(None);
        }
        cluster.prepare(class, self.metadata_bits)?;
        let taken = cluster.take(class, wanted, word);
        if taken.is_some() {
            self.used.fetch_add(run_length(class).into(), Ordering::AcqRel);
        }
        self.relist(index, &mut cluster, taken.is_none());
        let full = cluster.is_full();
        Ok(taken.map(|offset| Taken { first: (index * CLUSTER_SLOTS + offset) as u32, full }))
    }

    /// Frees slots of a full cluster that only the swap cache holds, and takes a run from what that gave.
    fn reclaim_cluster(&self, class: u8, word: Word) -> Option<Taken> {
        /// How many clusters are looked at for a full one: with half of all slots used one is near.
        const LOOKS: usize = 256;
        for _ in 0..self.clusters.len().min(LOOKS) {
            self.room.looked_in_vain(1);
            let index = self.lists.lock().next_to_reclaim(self.clusters.len());
            if self.clusters.get(index).is_some_and(|cluster| cluster.lock().list() == ListId::FULL) {
                self.drop_unused_in(self.cluster_slots(index));
                let taken = self.take_from(index, class, 0, word).ok().flatten();
                if taken.is_some() {
                    self.room.looked_with_success();
                }
                return taken;
            }
        }
        None
    }

    /// The slots of a cluster.
    pub(crate) fn cluster_slots(&self, index: usize) -> Range<u64> {
        let first = (index * CLUSTER_SLOTS) as u64;
        first..(first + CLUSTER_SLOTS as u64).min(self.slots)
    }

    /// Whether more than half of the slots are in use (Linux: `vm_swap_full`, by area).
    pub(crate) fn is_half_full(&self) -> bool {
        self.used() * 2 > self.usable
    }

    /// Frees a slot without count, in a cluster that is locked, tells the backend, and unlocks the cluster.
    #[inline]
    pub(crate) fn free_one(&self, mut cluster: ClusterGuard<'_, M>, slot: u32) {
        // The usual case: others in the cluster stay in use.
        if self.metadata_bits == 0 && cluster.has_more_used_than(1) {
            self.ops.slot_free_notify(self, slot, 0);
            cluster.give_back(offset(slot));
            if cluster.list() == ListId::FULL {
                self.list_again(&mut cluster, slot);
            }
            self.lower_used(1);
        } else {
            self.free_and_relist(cluster, slot);
        }
    }

    #[inline(never)]
    fn list_again(&self, cluster: &mut ClusterGuard<'_, M>, slot: u32) {
        self.relist(slot as usize / CLUSTER_SLOTS, cluster, false);
    }

    #[inline(never)]
    fn free_and_relist(&self, mut cluster: ClusterGuard<'_, M>, slot: u32) {
        self.free_run(&mut cluster, slot, 1);
    }

    /// Frees a run of slots without count, in a cluster that is locked, and tells the backend.
    pub(crate) fn free_run(&self, cluster: &mut ClusterGuard<'_, M>, first: u32, length: u32) {
        for slot in first..first + length {
            self.free_slot(cluster, slot);
        }
        self.relist(first as usize / CLUSTER_SLOTS, cluster, false);
        self.lower_used(length.into());
    }

    #[inline]
    fn lower_used(&self, slots: u64) {
        let before = self.used.fetch_sub(slots, Ordering::AcqRel);
        if self.room.is_short() {
            self.slots_freed(before - slots);
        }
    }

    #[inline]
    fn free_slot(&self, cluster: &mut ClusterGuard<'_, M>, slot: u32) {
        debug_assert_eq!(cluster.count(offset(slot)), 0);
        let metadata =
            if self.metadata_bits == 0 { 0 } else { cluster.take_metadata(offset(slot), self.metadata_bits) };
        self.ops.slot_free_notify(self, slot, metadata);
        cluster.give_back(offset(slot));
    }

    /// Moves the cluster to the list that it belongs on now; `fragmented` if it had room, but not for its class.
    fn relist(&self, index: usize, cluster: &mut ClusterGuard<'_, M>, fragmented: bool) {
        let now = cluster.list();
        let list = if cluster.is_empty() {
            if self.discard_clusters && now != ListId::FREE { ListId::DISCARD } else { ListId::FREE }
        } else if cluster.is_full() {
            ListId::FULL
        } else if fragmented || now == ListId::fragmented(cluster.class()) {
            ListId::fragmented(cluster.class())
        } else {
            ListId::partly_used(cluster.class())
        };
        if list != now {
            self.move_to_list(index, cluster, list);
        }
    }

    fn move_to_list(&self, index: usize, cluster: &mut ClusterGuard<'_, M>, list: ListId) {
        if cluster.is_empty() {
            cluster.forget_table();
        }
        let from = cluster.list();
        cluster.set_list(list);
        self.lists.lock().move_to(&self.clusters, index, from, list);
        let mut work = list == ListId::DISCARD;
        if let Clusters::OnDemand(directory) = &self.clusters
            && (from == ListId::FREE) != (list == ListId::FREE)
        {
            work |= directory.count_used(index, from == ListId::FREE);
        }
        if work {
            M::wake(Event::Work);
        }
    }

    /// Makes clusters, if they appear on demand. False if all there can be exist.
    fn grow(&self) -> Result<bool, NoMemory> {
        let Clusters::OnDemand(directory) = &self.clusters else { return Ok(false) };
        let chunk = Directory::new_chunk()?;
        let mut lists = self.lists.lock();
        let Some(new) = directory.grow(chunk)? else { return Ok(false) };
        for index in new {
            lists.move_to(&self.clusters, index, ListId::NONE, ListId::FREE);
        }
        Ok(true)
    }

    /// Gives back the chunks of clusters that have become empty. May wait for those who look at them.
    pub(crate) fn vanish_emptied(&self) {
        let Clusters::OnDemand(directory) = &self.clusters else { return };
        for chunk in directory.take_emptied().into_iter().flatten() {
            if directory.is_empty(chunk) {
                self.vanish(directory, chunk);
            }
        }
    }

    fn vanish(&self, directory: &Directory<M>, chunk: u32) {
        // Off every list a cluster is this task's alone.
        let all = directory.clusters_of(chunk);
        let mine = all.start
            ..all.clone().find(|&index| !self.relist_free(index, ListId::FREE, ListId::NONE)).unwrap_or(all.end);
        if mine == all {
            // A reader looks for a few instructions.
            loop {
                if let Some(removed) = directory.remove(chunk) {
                    let lists = self.lists.lock();
                    directory.note_absent(chunk);
                    drop(lists);
                    drop(removed);
                    return;
                }
                M::relax();
            }
        }
        for index in mine {
            self.relist_free(index, ListId::NONE, ListId::FREE);
        }
    }

    /// Moves an empty cluster from one list to another; false if it is not on `from`.
    fn relist_free(&self, index: usize, from: ListId, to: ListId) -> bool {
        let Some(cluster) = self.clusters.get(index) else { return false };
        let mut cluster = cluster.lock();
        let is_there = cluster.list() == from;
        if is_there {
            cluster.set_list(to);
            self.lists.lock().move_to(&self.clusters, index, from, to);
        }
        is_there
    }

    /// Tells the device of one empty cluster, which can be used again then. Sleeps. False if there is none.
    pub(crate) fn discard_cluster(&self) -> bool {
        // Away from every list the cluster is this task's alone: nothing in it is used, and nobody can take any of it.
        let Some((index, _)) = self.turn(ListId::DISCARD) else { return false };
        if self.relist_free(index, ListId::DISCARD, ListId::NONE) {
            self.discard(self.cluster_slots(index));
            crate::statistics::count!(self, discarded_clusters, 1);
            self.relist_free(index, ListId::NONE, ListId::FREE);
        }
        true
    }

    /// Tells the device that it need not keep these slots' pages. A device that refuses loses nothing but speed.
    pub(crate) fn discard(&self, slots: Range<u64>) {
        let Some(disk) = &self.disk else { return };
        for run in self.extents.runs(slots) {
            if let Err(error) = disk.discard(run.clone()) {
                let name = self.name();
                M::log(Level::Warning, format_args!("{name} does not discard pages {run:?}: {error}"));
                return;
            }
        }
    }
}

/// The slot's place in its cluster.
#[inline]
pub(crate) fn offset(slot: u32) -> usize {
    slot as usize % CLUSTER_SLOTS
}

impl From<NoMemory> for NoSlot {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}
