//! How slots are given back, and which list a cluster is on.

use core::sync::atomic::Ordering;

use crate::allocate::FEW;
use crate::area::{Area, offset};
use crate::cluster::{CLUSTER_SLOTS, ClusterGuard, run_length};
use crate::clusters::Clusters;
use crate::lists::ListId;
use crate::machine::{Event, Machine};
use crate::ops::SlotRun;

impl<M: Machine> Area<M> {
    /// Frees a slot without count, in a cluster that is not locked, and tells the backend.
    #[inline]
    pub(crate) fn free(&self, slot: u32) {
        // The usual case: others in the cluster stay in use.
        if self.metadata_bits == 0
            && let Some(cluster) = self.clusters.get_fixed(slot as usize / CLUSTER_SLOTS)
            && let Some(to_be_listed) = cluster.give_back_usual(offset(slot), || self.tell_of_free(slot, 0))
        {
            if to_be_listed {
                self.list_again(slot);
            }
            self.lower_used(1);
        } else {
            self.free_slowly(slot);
        }
    }

    #[inline]
    fn tell_of_free(&self, slot: u32, metadata: u64) {
        if self.tells_of_frees {
            self.ops.slot_free_notify(self, slot, metadata);
        }
    }

    #[inline(never)]
    fn free_slowly(&self, slot: u32) {
        if let Some(cluster) = self.cluster(slot) {
            self.free_run(&mut cluster.lock(), slot, 1);
        }
    }

    /// Frees a run of slots without count, in a cluster that is not locked, and tells the backend.
    #[inline(never)]
    pub(crate) fn free_all(&self, run: SlotRun) {
        if run.length > 0
            && let Some(cluster) = self.cluster(run.first)
        {
            self.free_run(&mut cluster.lock(), run.first, run.length);
        }
    }

    /// Looks at a slot's cluster again, of which something was taken or given back, whether it is on the right list.
    #[inline(never)]
    pub(crate) fn list_again(&self, slot: u32) {
        if let Some(cluster) = self.cluster(slot) {
            self.relist(slot as usize / CLUSTER_SLOTS, &mut cluster.lock(), false);
        }
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
        self.tell_of_free(slot, metadata);
        cluster.give_back(offset(slot));
    }

    /// Moves the cluster to the list that it belongs on now; `fragmented` if it had room, but not for its class. One for single
    /// slots counts as fragmented from when it was full until it has [`FEW`] free slots again.
    pub(crate) fn relist(&self, index: usize, cluster: &mut ClusterGuard<'_, M>, fragmented: bool) {
        let now = cluster.list();
        let was_fragmented = [ListId::FULL, ListId::fragmented(cluster.class())].contains(&now);
        let is_fragmented = if run_length(cluster.class()) == 1 {
            was_fragmented && cluster.free_slots() < FEW
        } else {
            fragmented || now == ListId::fragmented(cluster.class())
        };
        let list = if cluster.is_empty() {
            if self.discard_clusters && now != ListId::FREE { ListId::DISCARD } else { ListId::FREE }
        } else if cluster.is_full() {
            ListId::FULL
        } else if is_fragmented {
            ListId::fragmented(cluster.class())
        } else {
            ListId::partly_used(cluster.class())
        };
        if list != now {
            self.move_to_list(index, cluster, list);
        }
    }

    pub(crate) fn move_to_list(&self, index: usize, cluster: &mut ClusterGuard<'_, M>, list: ListId) {
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
}
