//! An area's lists of clusters, by how much they have left.
//!
//! The lists are threaded through the clusters by index. A cluster is always on the list that its own state names;
//! moving it takes the cluster's lock and, inside it, the lists'. Looking for a cluster takes only the lists' lock and
//! turns the list by one, so that several processors look at different clusters. A full cluster is on no list: nothing
//! is to be had from it, and in an area that is nearly full most slots are taken from such clusters and freed in them.

use core::sync::atomic::Ordering;

use crate::clusters::Clusters;
use crate::list_id::{Links, ListId};
use crate::machine::Machine;

/// All lists of one area.
pub(crate) struct Lists {
    lists: [List; ListId::COUNT],
    /// The cluster that is looked at next for slots to reclaim.
    reclaimed: usize,
}

#[derive(Clone, Copy)]
struct List {
    first: u32,
    length: u32,
}

impl Lists {
    pub(crate) const fn new() -> Self {
        Self { lists: [List { first: 0, length: 0 }; ListId::COUNT], reclaimed: 0 }
    }

    /// How many clusters are on the list.
    pub(crate) fn length(&self, list: ListId) -> usize {
        self.lists[usize::from(list.0)].length as usize
    }

    /// The first cluster of the list, which becomes its last, and how many others there are.
    pub(crate) fn turn<M: Machine>(&mut self, clusters: &Clusters<M>, list: ListId) -> Option<(usize, u32)> {
        let list = &mut self.lists[usize::from(list.0)];
        if list.length == 0 {
            return None;
        }
        let first = list.first;
        list.first = neighbours(clusters, first).1;
        Some((first as usize, list.length - 1))
    }

    /// Each of `clusters` clusters in turn.
    pub(crate) fn next_to_reclaim(&mut self, clusters: usize) -> usize {
        let index = if self.reclaimed < clusters { self.reclaimed } else { 0 };
        self.reclaimed = index + 1;
        index
    }

    /// Moves a cluster from the list `from` to the end of `to`.
    pub(crate) fn move_to<M: Machine>(&mut self, clusters: &Clusters<M>, cluster: usize, from: ListId, to: ListId) {
        if let Some(list) = self.lists.get_mut(usize::from(from.0)) {
            list.remove(clusters, cluster);
        }
        if let Some(list) = self.lists.get_mut(usize::from(to.0)) {
            list.append(clusters, cluster);
        }
    }
}

impl List {
    fn remove<M: Machine>(&mut self, clusters: &Clusters<M>, cluster: usize) {
        let (previous, next) = neighbours(clusters, cluster as u32);
        set_next(clusters, previous, next);
        set_previous(clusters, next, previous);
        if self.first as usize == cluster {
            self.first = next;
        }
        self.length -= 1;
    }

    fn append<M: Machine>(&mut self, clusters: &Clusters<M>, cluster: usize) {
        let index = cluster as u32;
        if self.length == 0 {
            self.first = index;
        }
        let previous = if self.length == 0 { index } else { neighbours(clusters, self.first).0 };
        set_next(clusters, index, self.first);
        set_previous(clusters, index, previous);
        set_next(clusters, previous, index);
        set_previous(clusters, self.first, index);
        self.length += 1;
    }
}

/// Does something with the neighbours of a cluster on a list. Such a cluster exists: it is taken off before it vanishes.
#[inline]
fn with_links<M: Machine, R>(clusters: &Clusters<M>, cluster: u32, work: impl Fn(&Links) -> R) -> Option<R> {
    match clusters.get_fixed(cluster as usize) {
        Some(cluster) => Some(work(&cluster.links)),
        None => clusters.get(cluster as usize).map(|cluster| work(&cluster.links)),
    }
}

/// The neighbours before and behind.
#[inline]
fn neighbours<M: Machine>(clusters: &Clusters<M>, cluster: u32) -> (u32, u32) {
    let read = |links: &Links| (links.previous.load(Ordering::Relaxed), links.next.load(Ordering::Relaxed));
    with_links(clusters, cluster, read).unwrap_or((cluster, cluster))
}

#[inline]
fn set_previous<M: Machine>(clusters: &Clusters<M>, cluster: u32, previous: u32) {
    with_links(clusters, cluster, |links| links.previous.store(previous, Ordering::Relaxed));
}

#[inline]
fn set_next<M: Machine>(clusters: &Clusters<M>, cluster: u32, next: u32) {
    with_links(clusters, cluster, |links| links.next.store(next, Ordering::Relaxed));
}
