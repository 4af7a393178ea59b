//! Clusters that are empty: they appear, are told to the device, and vanish.

use crate::area::Area;
use crate::clusters::{ChunkDirectory, Clusters};
use crate::heap::NoMemory;
use crate::list_id::ListId;
use crate::machine::Machine;
use crate::statistics::count;
use crate::swap::Swap;

impl<M: Machine> Area<M> {
    /// Makes clusters, if they appear on demand. False if all there can be exist.
    pub(crate) fn grow(&self) -> Result<bool, NoMemory> {
        let Clusters::OnDemand(directory) = &self.clusters else { return Ok(false) };
        let chunk = ChunkDirectory::new_chunk()?;
        let mut lists = self.lists.lock();
        let Some(new) = directory.grow(chunk)? else { return Ok(false) };
        for index in new {
            lists.move_to(&self.clusters, index, ListId::NONE, ListId::FREE);
        }
        Ok(true)
    }

    /// Frees the chunks of clusters that have become empty. May wait for their readers.
    pub(crate) fn vanish_emptied(&self) {
        let Clusters::OnDemand(directory) = &self.clusters else { return };
        for chunk in directory.take_emptied().into_iter().flatten() {
            if directory.is_empty(chunk) {
                self.vanish(directory, chunk);
            }
        }
    }

    fn vanish(&self, directory: &ChunkDirectory<M>, chunk: u32) {
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
        // Away from every list the cluster is this task's alone: nothing in it is used, and no other can take any of it.
        let Some((index, _)) = self.turn(ListId::DISCARD) else { return false };
        if self.relist_free(index, ListId::DISCARD, ListId::NONE) {
            self.discard(self.cluster_slots(index));
            count!(self, discarded_clusters, 1);
            self.relist_free(index, ListId::NONE, ListId::FREE);
        }
        true
    }
}

impl<M: Machine> Swap<M> {
    /// Does what was put off, because the task that caused it could not sleep: tells devices of empty clusters, and frees
    /// those of areas whose clusters exist only while they are in use. For a kernel thread that waits for
    /// [`Event::Work`](crate::Event::Work).
    pub fn do_pending_work(&self) {
        for area in self.areas() {
            while area.discard_clusters && area.discard_cluster() {}
            area.vanish_emptied();
        }
    }
}
