//! An area's clusters, by index: all of them from `swapon` on, or those alone that are in use.
//!
//! A disk's clusters are an array. An area without a disk may have any size, so its clusters appear four at a time when the
//! first of them is needed, the lowest ones first, and such a chunk vanishes when all of its clusters are empty.
//!
//! A chunk is behind a lock that is only ever *tried*: readers count themselves as long as they have a [`ClusterRef`], and a
//! chunk that has readers stays. It vanishes in three steps: each of its clusters is taken off the list of free ones
//! ([`Area::vanish_emptied`](crate::area::Area)), so that nothing is taken from it; the chunk goes, if it has no readers;
//! it is noted as absent under the lists' lock. A task that finds no chunk knows that none of its slots is in use.

use alloc::boxed::Box;
use core::ops::{Deref, Range};
use core::sync::atomic::{AtomicU32, Ordering};

use spin::{RwLock, RwLockReadGuard};

use crate::cluster::Cluster;
use crate::heap::{self, NoMemory};
use crate::list_id::ListId;
use crate::machine::{ClusterLayout, Machine};
use crate::span::Span;
use crate::sparse::Sparse;

/// Clusters that appear and vanish together.
const CHUNK: usize = 4;

/// All clusters of an area.
pub(crate) enum Clusters<M: Machine> {
    /// They exist as long as the area.
    Fixed(Box<[Cluster<M>]>),
    /// They exist while they are in use.
    OnDemand(ChunkDirectory<M>),
}

/// The chunks of an area.
pub(crate) struct ChunkDirectory<M: Machine> {
    chunks: Sparse<ChunkCell<M>, M>,
    clusters: usize,
    /// No chunk from here on ever existed.
    end: AtomicU32,
    /// Every chunk before this one exists. Changed under the lists' lock.
    absent_from: AtomicU32,
    /// Chunks that are new or became empty.
    emptied: Span,
}

/// Where a chunk is, if there is one.
pub(crate) struct ChunkCell<M: Machine>(RwLock<Option<Chunk<M>>>);

pub(crate) struct Chunk<M: Machine> {
    clusters: Box<[Cluster<M>]>,
    /// Clusters that are not on the list of free ones.
    used: AtomicU32,
}

/// A cluster, which stays as long as the value lives.
pub(crate) enum ClusterRef<'a, M: Machine> {
    Fixed(&'a Cluster<M>),
    InChunk(RwLockReadGuard<'a, Option<Chunk<M>>>, usize),
}

impl<M: Machine> Default for ChunkCell<M> {
    fn default() -> Self {
        Self(RwLock::new(None))
    }
}

impl<M: Machine> Deref for ClusterRef<'_, M> {
    type Target = Cluster<M>;

    #[inline]
    fn deref(&self) -> &Cluster<M> {
        match self {
            Self::Fixed(cluster) => cluster,
            Self::InChunk(chunk, index) => match &**chunk {
                Some(chunk) => &chunk.clusters[*index],
                None => unreachable!("made only of a chunk that exists"),
            },
        }
    }
}

impl<M: Machine> Clusters<M> {
    /// So many clusters, of which each exists and is on no list.
    pub(crate) fn fixed(clusters: usize) -> Result<Self, NoMemory> {
        Ok(Self::Fixed(heap::slice::<M, _>(clusters, |_| Cluster::new(ListId::NONE))?))
    }

    /// So many clusters, of which none exists yet.
    pub(crate) fn on_demand(clusters: usize) -> Result<Self, NoMemory> {
        Ok(Self::OnDemand(ChunkDirectory {
            chunks: Sparse::new(clusters.div_ceil(CHUNK) as u32)?,
            clusters,
            end: AtomicU32::new(0),
            absent_from: AtomicU32::new(0),
            emptied: Span::new(),
        }))
    }

    /// How many there can be.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Fixed(clusters) => clusters.len(),
            Self::OnDemand(directory) => directory.clusters,
        }
    }

    /// The cluster, if it exists.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<ClusterRef<'_, M>> {
        match self {
            Self::Fixed(clusters) => clusters.get(index).map(ClusterRef::Fixed),
            Self::OnDemand(directory) => directory.get(index),
        }
    }

    /// The cluster, if they exist as long as the area: then readers need not be counted.
    #[inline]
    pub(crate) fn get_fixed(&self, index: usize) -> Option<&Cluster<M>> {
        match self {
            Self::Fixed(clusters) => clusters.get(index),
            Self::OnDemand(_) => None,
        }
    }

    /// Where they are, if they exist as long as the area.
    pub(crate) fn layout(&self) -> Option<ClusterLayout> {
        let Self::Fixed(clusters) = self else { return None };
        Some(ClusterLayout {
            first: clusters.as_ptr().addr(),
            count: clusters.len(),
            bytes: size_of::<Cluster<M>>(),
            table: clusters.first()?.table_offset(),
        })
    }

    /// The first cluster from `index` on that exists.
    pub(crate) fn next_existing(&self, index: usize) -> Option<usize> {
        match self {
            Self::Fixed(clusters) => (index < clusters.len()).then_some(index),
            Self::OnDemand(directory) => directory.next_existing(index),
        }
    }

    /// All clusters that exist, one after another; some may appear or vanish meanwhile.
    pub(crate) fn existing(&self) -> impl Iterator<Item = usize> {
        self.existing_from(0)
    }

    /// Those of [`Clusters::existing`] that are not before `index`.
    pub(crate) fn existing_from(&self, index: usize) -> impl Iterator<Item = usize> {
        core::iter::successors(self.next_existing(index), |index| self.next_existing(index + 1))
    }
}

impl<M: Machine> ChunkDirectory<M> {
    fn get(&self, index: usize) -> Option<ClusterRef<'_, M>> {
        if index >= self.clusters {
            return None;
        }
        let chunk = self.chunks.get((index / CHUNK) as u32)?.0.try_read().filter(|chunk| chunk.is_some())?;
        Some(ClusterRef::InChunk(chunk, index % CHUNK))
    }

    fn next_existing(&self, index: usize) -> Option<usize> {
        let end = (self.end.load(Ordering::Acquire) as usize * CHUNK).min(self.clusters);
        let mut index = index;
        while index < end {
            if self.get(index).is_some() {
                return Some(index);
            }
            index = (index / CHUNK + 1) * CHUNK;
        }
        None
    }

    /// The clusters of a chunk.
    pub(crate) fn clusters_of(&self, chunk: u32) -> Range<usize> {
        let first = chunk as usize * CHUNK;
        first..(first + CHUNK).min(self.clusters)
    }

    /// Makes the lowest chunk that does not exist; its clusters are free, and the caller, who has the lists' lock, puts them
    /// on that list. `Ok(None)` if all exist.
    pub(crate) fn grow(&self, new: Chunk<M>) -> Result<Option<Range<usize>>, NoMemory> {
        let chunks = self.clusters.div_ceil(CHUNK) as u32;
        let mut looked_at = None;
        for chunk in self.absent_from.load(Ordering::Relaxed)..chunks {
            let Some(cell) = self.chunks.grow(chunk)? else { break };
            // A chunk that exists is not locked for this, not even for a moment: readers would not find it.
            if let Some(found) = cell.0.try_read() {
                M::overtaken();
                if found.is_some() {
                    continue;
                }
            }
            // One that has readers is left alone: its chunk has just vanished.
            let Some(mut found) = cell.0.try_write() else {
                looked_at.get_or_insert(chunk);
                continue;
            };
            debug_assert!(found.is_none(), "a chunk appears twice");
            *found = Some(new);
            drop(found);
            self.absent_from.store(looked_at.unwrap_or(chunk + 1), Ordering::Relaxed);
            self.end.fetch_max(chunk + 1, Ordering::AcqRel);
            // It is empty, and stays so if there is no memory for a table.
            self.emptied.include(chunk);
            return Ok(Some(self.clusters_of(chunk)));
        }
        Ok(None)
    }

    /// A cluster was taken off the list of free ones, or put there. True if its chunk is empty now.
    pub(crate) fn count_used(&self, cluster: usize, used: bool) -> bool {
        let Some(ClusterRef::InChunk(chunk, _)) = self.get(cluster) else { return false };
        let Some(chunk) = &*chunk else { return false };
        if used {
            chunk.used.fetch_add(1, Ordering::AcqRel);
            return false;
        }
        let empty = chunk.used.fetch_sub(1, Ordering::AcqRel) == 1;
        if empty {
            self.emptied.include((cluster / CHUNK) as u32);
        }
        empty
    }

    /// The chunks that were made or became empty since this was asked, and perhaps others between them.
    pub(crate) fn take_emptied(&self) -> Option<Range<u32>> {
        self.emptied.take().map(|chunks| chunks.start as u32..chunks.end as u32)
    }

    /// Whether the chunk exists and is empty.
    pub(crate) fn is_empty(&self, chunk: u32) -> bool {
        let Some(cell) = self.chunks.get(chunk) else { return false };
        let chunk = cell.0.try_read();
        chunk.is_some_and(|chunk| chunk.as_ref().is_some_and(|chunk| chunk.used.load(Ordering::Acquire) == 0))
    }

    /// Takes a chunk away whose clusters are the caller's, on no list. `None` if it has readers.
    pub(crate) fn remove(&self, chunk: u32) -> Option<Chunk<M>> {
        self.chunks.get(chunk)?.0.try_write()?.take()
    }

    /// The chunk was removed: it can be made again. The caller has the lists' lock.
    pub(crate) fn note_absent(&self, chunk: u32) {
        self.absent_from.fetch_min(chunk, Ordering::Relaxed);
    }

    /// A new chunk, for [`ChunkDirectory::grow`].
    pub(crate) fn new_chunk() -> Result<Chunk<M>, NoMemory> {
        Ok(Chunk { clusters: heap::slice::<M, _>(CHUNK, |_| Cluster::new(ListId::FREE))?, used: AtomicU32::new(0) })
    }
}
