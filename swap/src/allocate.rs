//! Which slots of an area are taken.
//!
//! Single slots come from the cluster where the processor took the last one; when it is full, from the first of these that
//! there is (Linux: `cluster_alloc_swap_entry`):
//!
//! 1. a free cluster, or one that is nearly empty, while many are free: only neighbouring slots travel in one request, so
//!    holes among used slots are left for later. Linux fills any partly used cluster first, to keep free ones for large
//!    folios; here that begins when few are free;
//! 2. a partly used cluster of the same class that has [`FEW`](crate::geometry::FEW) slots left;
//! 3. a free cluster;
//! 4. a cluster with fewer slots left: those are last, so that where an area is nearly full free slots gather in a cluster
//!    before it is looked at again, and looking for one costs little for each slot that is found;
//! 5. slots that only the swap cache holds, when more than half of all are in use;
//! 6. clusters for larger folios.
//!
//! Folios of other orders come from partly used clusters of their order, then from free ones, then from those where the
//! last search found no run. A cluster's class is fixed by the first folio in it.

use core::cell::Cell;
use core::sync::atomic::Ordering;

use crate::area::Area;
use crate::cluster::Cluster;
use crate::clusters::Clusters;
use crate::geometry::{CLASSES, CLUSTER_SLOTS, cluster_of, first_slot, offset, run_length};
use crate::heap::NoMemory;
use crate::list_id::ListId;
use crate::machine::Machine;
use crate::slot_request::{NoSlot, SlotRequest, Taken};
use crate::table_entry::TableEntry;

/// While more than one cluster in so many is free, single pages leave those alone that are more than a little used.
const FREE_KEPT: usize = 8;

impl<M: Machine> Area<M> {
    /// Takes the slot `hint`, the one after the last one taken, or the next free one of its cluster, and sets its table
    /// entry. `None` if there is nothing to be had in the usual way.
    #[expect(clippy::inline_always, reason = "the usual way of every slot")]
    #[inline(always)]
    pub(crate) fn allocate_beside(&self, hint: u32, table_entry: TableEntry) -> Option<Taken> {
        match self.clusters.get_fixed(cluster_of(hint)) {
            Some(cluster) => self.take_beside(cluster, hint, table_entry),
            None => self.allocate_beside_on_demand(hint, table_entry),
        }
    }

    #[inline(never)]
    fn allocate_beside_on_demand(&self, hint: u32, table_entry: TableEntry) -> Option<Taken> {
        self.take_beside(&*self.cluster(hint)?, hint, table_entry)
    }

    #[expect(clippy::inline_always, reason = "the usual way of every slot")]
    #[inline(always)]
    fn take_beside(&self, cluster: &Cluster<M>, hint: u32, table_entry: TableEntry) -> Option<Taken> {
        let relist = |from, to| self.note_moved(hint, from, to);
        let (offset, full) = cluster.take_usual(offset(hint), table_entry, &self.availability, &self.used, relist)?;
        let first = first_slot(cluster_of(hint)) + offset as u32;
        Some(Taken { first, full })
    }

    /// Takes a run for a folio of `class` near `hint`, the slot after the last one taken, and sets their table entries to
    /// `table_entry`.
    pub(crate) fn allocate_at(&self, class: u8, hint: u32, table_entry: TableEntry) -> Result<Taken, NoSlot> {
        if !self.has_runs_of(class) {
            return Err(NoSlot::Full);
        }
        let hint =
            if self.properties.rotational { self.sequential[usize::from(class)].load(Ordering::Relaxed) } else { hint };
        let taken = self.take_from(cluster_of(hint), class, offset(hint), table_entry)?.ok_or(NoSlot::Full)?;
        if self.properties.rotational {
            self.go_on_behind(taken, class);
        }
        Ok(taken)
    }

    /// Takes a run for a folio of `class`, where the backend says or wherever there is one.
    pub(crate) fn allocate(&self, class: u8, table_entry: TableEntry) -> Result<Taken, NoSlot> {
        if !self.has_runs_of(class) {
            return Err(NoSlot::Full);
        }
        if self.flags.allocates_slots {
            return self.ops.allocate_slots(&SlotRequest::new(self, class, table_entry));
        }
        self.allocate_usually(class, table_entry)
    }

    /// Whether folios of `class` can have slots here. A hint may be from an area that had the same index before.
    fn has_runs_of(&self, class: u8) -> bool {
        usize::from(class) < CLASSES && (self.takes_runs() || run_length(class) == 1)
    }

    /// Takes a run for a folio of `class` wherever there is one.
    pub(crate) fn allocate_usually(&self, class: u8, table_entry: TableEntry) -> Result<Taken, NoSlot> {
        if self.properties.rotational
            && let Ok(taken) = self.allocate_at(class, 0, table_entry)
        {
            return Ok(taken);
        }
        if class == 0
            && let Some(taken) = self.usual_cluster().and_then(|index| self.allocate_beside(index, table_entry))
        {
            return Ok(taken);
        }
        let taken = self.search(class, table_entry)?;
        if self.properties.rotational {
            self.go_on_behind(taken, class);
        }
        Ok(taken)
    }

    fn go_on_behind(&self, taken: Taken, class: u8) {
        let next = taken.first.saturating_add(run_length(class));
        self.sequential[usize::from(class)].store(next, Ordering::Relaxed);
    }

    fn search(&self, class: u8, table_entry: TableEntry) -> Result<Taken, NoSlot> {
        let memory = Cell::new(true);
        let try_list = |list, tries| {
            self.take_from_list(list, tries, class, table_entry).unwrap_or_else(|NoMemory| {
                memory.set(false);
                None
            })
        };
        let (partly_used, all) = (ListId::partly_used(class), u32::MAX);
        let has_many_free = run_length(class) == 1 && self.has_free_to_spare();
        if has_many_free
            && !self.discard_clusters
            && let Some(taken) = self.take_from_nearly_empty(class, table_entry)
        {
            return Ok(taken);
        }
        // A device that is told of empty clusters does best with whole ones.
        let whole_first = has_many_free || self.discard_clusters;
        let first = if whole_first { [ListId::FREE, partly_used] } else { [partly_used, ListId::FREE] };
        if let Some(taken) = try_list(first[0], all).or_else(|| try_list(first[1], all)) {
            return Ok(taken);
        }
        // What appears may vanish again before anything is taken from it.
        while self.grow()? {
            if let Some(taken) = try_list(ListId::FREE, all) {
                return Ok(taken);
            }
            if !memory.get() {
                break;
            }
        }
        if run_length(class) == 1
            && let Some(taken) = try_list(ListId::fragmented(class), all)
        {
            return Ok(taken);
        }
        if self.is_half_full()
            && let Some(taken) = self.reclaim_cluster(class, table_entry)
        {
            return Ok(taken);
        }
        if run_length(class) == 1 {
            let others = (0..CLASSES as u8).rev().filter(|&other| other != class);
            for list in others.flat_map(|other| [ListId::fragmented(other), ListId::partly_used(other)]) {
                if let Some(taken) = try_list(list, all) {
                    return Ok(taken);
                }
            }
        } else if let Some(taken) = try_list(ListId::fragmented(class), 1) {
            return Ok(taken);
        }
        if self.discard_clusters
            && self.discard_cluster()
            && let Some(taken) = try_list(ListId::FREE, all)
        {
            return Ok(taken);
        }
        Err(if memory.get() { NoSlot::Full } else { NoSlot::NoMemory })
    }

    /// The first slot of the cluster that a search for a single slot would nearly always end in, when few clusters are free: a
    /// partly used one, or without free ones one that is nearly full.
    pub(crate) fn usual_cluster(&self) -> Option<u32> {
        if self.properties.rotational || self.discard_clusters {
            return None;
        }
        let mut lists = self.lists.lock();
        let free = lists.length(ListId::FREE);
        if free > self.clusters.len() / FREE_KEPT {
            return None;
        }
        let partly_used = lists.turn(&self.clusters, ListId::partly_used(0));
        let nearly_full = || if free == 0 { lists.turn(&self.clusters, ListId::fragmented(0)) } else { None };
        partly_used.or_else(nearly_full).map(|(index, _)| first_slot(index))
    }

    /// Whether so many clusters are free that single pages can have whole ones.
    fn has_free_to_spare(&self) -> bool {
        // Clusters that exist only while they are in use are best filled.
        matches!(self.clusters, Clusters::Fixed(_))
            && self.lists.lock().length(ListId::FREE) > self.clusters.len() / FREE_KEPT
    }

    /// Takes a slot from a partly used cluster that is nearly empty, if one is found soon.
    fn take_from_nearly_empty(&self, class: u8, table_entry: TableEntry) -> Option<Taken> {
        const TRIES: usize = 4;
        for _ in 0..TRIES {
            let (index, _) = self.turn(ListId::partly_used(class))?;
            let is_nearly_empty = !self.clusters.get(index)?.lock().has_more_used_than(CLUSTER_SLOTS as u16 / 16);
            // Without memory for a table, the ordinary search says so.
            if is_nearly_empty && let Ok(Some(taken)) = self.take_from(index, class, 0, table_entry) {
                return Some(taken);
            }
        }
        None
    }

    fn take_from_list(
        &self,
        list: ListId,
        tries: u32,
        class: u8,
        table_entry: TableEntry,
    ) -> Result<Option<Taken>, NoMemory> {
        let mut left = tries;
        while left > 0 {
            let Some((index, length)) = self.turn(list) else { break };
            if let Some(taken) = self.take_from(index, class, 0, table_entry)? {
                return Ok(Some(taken));
            }
            left = (left - 1).min(length);
        }
        Ok(None)
    }

    pub(crate) fn turn(&self, list: ListId) -> Option<(usize, u32)> {
        self.lists.lock().turn(&self.clusters, list)
    }

    /// Takes a run from one cluster if it is for this class, or from any if the run is a single slot.
    pub(crate) fn take_from(
        &self,
        index: usize,
        class: u8,
        wanted: usize,
        table_entry: TableEntry,
    ) -> Result<Option<Taken>, NoMemory> {
        let Some(cluster) = self.clusters.get(index) else { return Ok(None) };
        let mut cluster = cluster.lock();
        let suits = match cluster.list() {
            list if list.is_partly_used() => run_length(class) == 1 || cluster.class() == class,
            list => list == ListId::FREE,
        };
        if !suits || !self.availability.is_open() {
            return Ok(None);
        }
        self.prepare(index, &mut cluster, class)?;
        let taken = cluster.take(class, wanted, table_entry);
        if taken.is_some() {
            self.used.fetch_add(run_length(class).into(), Ordering::AcqRel);
        }
        self.relist(index, &mut cluster, taken.is_none());
        let full = cluster.is_full();
        Ok(taken.map(|offset| Taken { first: first_slot(index) + offset as u32, full }))
    }

    /// Frees slots of a full cluster that only the swap cache holds, and takes a run from what that gave.
    fn reclaim_cluster(&self, class: u8, table_entry: TableEntry) -> Option<Taken> {
        /// How many clusters are looked at for a full one: with half of all slots used one is near.
        const LOOKS: usize = 256;
        for _ in 0..self.clusters.len().min(LOOKS) {
            self.availability.searched_in_vain(1);
            let index = self.lists.lock().next_to_reclaim(self.clusters.len());
            if self.clusters.get(index).is_some_and(|cluster| cluster.lock().list() == ListId::FULL) {
                self.drop_unused_in(self.cluster_slots(index));
                let taken = self.take_from(index, class, 0, table_entry).ok().flatten();
                if taken.is_some() {
                    self.availability.searched_with_success();
                }
                return taken;
            }
        }
        None
    }
}
