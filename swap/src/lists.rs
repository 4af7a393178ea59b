//! An area's lists of clusters, by how much they have left.
//!
//! The lists are threaded through the clusters by index. A cluster is always on the list that its own state names;
//! moving it takes the cluster's lock and, inside it, the lists'. Looking for a cluster takes only the lists' lock and
//! turns the list by one, so that several processors look at different clusters.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::cluster::{CLASSES, Cluster};
use crate::machine::Machine;

/// Which list a cluster is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListId(u8);

impl ListId {
    /// Nothing in it is used.
    pub(crate) const FREE: Self = Self(0);
    /// Every slot is used.
    pub(crate) const FULL: Self = Self(1);
    /// Empty again, and the device was not told yet.
    pub(crate) const DISCARD: Self = Self(2);
    /// On no list: the area is just being made.
    pub(crate) const NONE: Self = Self(u8::MAX);

    const COUNT: usize = 3 + 2 * CLASSES;

    /// Partly used by folios of `class`.
    pub(crate) const fn partly_used(class: u8) -> Self {
        Self(3 + class)
    }

    /// Whether it is one of the partly used ones, fragmented or not.
    #[inline]
    pub(crate) const fn is_partly_used(self) -> bool {
        self.0 >= 3 && self.0 != Self::NONE.0
    }

    /// Partly used by folios of `class`, and the last search found no room for one more.
    pub(crate) const fn fragmented(class: u8) -> Self {
        Self(3 + CLASSES as u8 + class)
    }
}

/// All lists of one area.
pub(crate) struct Lists {
    lists: [List; ListId::COUNT],
}

#[derive(Clone, Copy)]
struct List {
    first: u32,
    length: u32,
}

/// A cluster's two neighbours in a ring.
pub(crate) struct Links(AtomicU64);

impl Links {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    fn get(&self) -> (u32, u32) {
        let links = self.0.load(Ordering::Relaxed);
        ((links >> 32) as u32, links as u32)
    }

    fn set(&self, previous: u32, next: u32) {
        self.0.store(u64::from(previous) << 32 | u64::from(next), Ordering::Relaxed);
    }
}

impl Lists {
    pub(crate) const fn new() -> Self {
        Self { lists: [List { first: 0, length: 0 }; ListId::COUNT] }
    }

    /// The first cluster of the list, which becomes its last, and how many others there are.
    pub(crate) fn turn<M: Machine>(&mut self, clusters: &[Cluster<M>], list: ListId) -> Option<(usize, u32)> {
        let list = &mut self.lists[usize::from(list.0)];
        if list.length == 0 {
            return None;
        }
        let first = list.first as usize;
        list.first = clusters[first].links.get().1;
        Some((first, list.length - 1))
    }

    /// Moves a cluster from the list `from` to the end of `to`; [`ListId::NONE`] for none.
    pub(crate) fn move_to<M: Machine>(&mut self, clusters: &[Cluster<M>], cluster: usize, from: ListId, to: ListId) {
        if from != ListId::NONE {
            self.remove(clusters, cluster, from);
        }
        if to != ListId::NONE {
            self.append(clusters, cluster, to);
        }
    }

    fn remove<M: Machine>(&mut self, clusters: &[Cluster<M>], cluster: usize, from: ListId) {
        let list = &mut self.lists[usize::from(from.0)];
        let (previous, next) = clusters[cluster].links.get();
        let before = clusters[previous as usize].links.get().0;
        clusters[previous as usize].links.set(before, next);
        let after = clusters[next as usize].links.get().1;
        clusters[next as usize].links.set(previous, after);
        if list.first as usize == cluster {
            list.first = next;
        }
        list.length -= 1;
    }

    fn append<M: Machine>(&mut self, clusters: &[Cluster<M>], cluster: usize, to: ListId) {
        let list = &mut self.lists[usize::from(to.0)];
        let index = cluster as u32;
        if list.length == 0 {
            clusters[cluster].links.set(index, index);
            list.first = index;
        } else {
            let next = list.first;
            let previous = clusters[next as usize].links.get().0;
            clusters[cluster].links.set(previous, next);
            let before = clusters[previous as usize].links.get().0;
            clusters[previous as usize].links.set(before, index);
            let after = clusters[next as usize].links.get().1;
            clusters[next as usize].links.set(index, after);
        }
        list.length += 1;
    }
}
