//! How slots are numbered and grouped.

use crate::entry::Entry;

/// The most areas at once.
pub const MAX_AREAS: usize = 28;

/// Slots in a cluster.
pub const CLUSTER_SLOTS: usize = 512;

/// Folios have orders 0 to 9: the largest fills a cluster.
pub const ORDERS: usize = 10;

/// What clusters are for: folios of one order each, and, apart from these, single pages that look all zero. Those are not
/// stored, so among others they would break the runs that a disk can move in one request.
pub(crate) const CLASSES: usize = ORDERS + 1;

/// The class of pages that look all zero; the others are orders.
pub(crate) const ZERO_CLASS: u8 = ORDERS as u8;

/// A cluster with fewer free slots is nearly full.
pub(crate) const FEW: usize = 16;

/// How many slots a folio of the class has.
#[inline]
pub(crate) const fn run_length(class: u8) -> u32 {
    if class == ZERO_CLASS { 1 } else { 1 << class }
}

/// The class of folios of an order, if there are such folios.
pub(crate) fn class_of(order: u8) -> Option<u8> {
    (usize::from(order) < ORDERS).then_some(order)
}

/// The slot's offset in its cluster.
#[inline]
pub(crate) fn offset(slot: u32) -> usize {
    slot as usize % CLUSTER_SLOTS
}

/// The index of the slot's cluster.
#[inline]
pub(crate) fn cluster_of(slot: u32) -> usize {
    slot as usize / CLUSTER_SLOTS
}

/// The first slot of the cluster with this index.
#[inline]
pub(crate) fn first_slot(cluster: usize) -> u32 {
    (cluster * CLUSTER_SLOTS) as u32
}

/// The slots of a folio.
pub(crate) fn slots(entry: Entry, order: u8) -> impl Iterator<Item = u32> {
    let first = entry.slot();
    (0..1 << order).map(move |index: u32| first + index)
}

/// Whether two slots are in the same cluster.
#[inline]
pub(crate) fn are_in_one_cluster(one: Entry, other: Entry) -> bool {
    one.area() == other.area() && cluster_of(one.slot()) == cluster_of(other.slot())
}
