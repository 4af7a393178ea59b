//! `swapoff`: everything that is in an area comes back to memory, then the area is gone.

use alloc::sync::Arc;
use core::fmt;
use core::ops::Range;
use core::sync::atomic::Ordering;

use crate::area::Area;
use crate::entry::Entry;
use crate::errno::Errno;
use crate::folio::{Folio, FolioFlag, Locked};
use crate::machine::{Level, Machine};
use crate::plug::Plug;
use crate::swap::Swap;
use crate::word::Kind;

/// Whoever can find the page-table words that hold slots: the kernel.
pub trait Users {
    /// Replaces every page-table word that holds one of these slots by a mapping of its page, by way of
    /// [`Swap::fault_in`] (without readahead: the pages are on their way), or by a poisoned word if the page cannot be
    /// read. One pass over all page tables is enough; words that appear behind it are found by a later call.
    ///
    /// # Errors
    /// If there is no memory for the pages.
    fn bring_back(&mut self, slots: &SlotRange) -> Result<(), SwapOffError>;

    /// Maps the pages of these slots again for which [`Swap::is_refused`] says so: their backend had no room, they are in
    /// memory, and once their slots are free ([`Swap::is_slot_worthless`]) they can go elsewhere.
    fn map_refused(&mut self, slots: &SlotRange);

    /// Whether one more page fits into memory without harm to others. Asked for pages that no page-table word names here.
    fn has_room(&self) -> bool {
        true
    }

    /// Why the caller of `swapoff` should give up, if it should: because of a signal, or because somebody needs the
    /// memory. Asked before each cluster and each page that is brought back here, and once more when the last page is back.
    fn gives_up(&self) -> Option<SwapOffError> {
        None
    }

    /// So many slots are still in use, of so many at the start.
    fn progress(&mut self, _left: u64, _total: u64) {}
}

/// Some slots of one area.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRange {
    /// The area.
    pub area: u8,
    /// The slots.
    pub slots: Range<u64>,
}

/// Why an area is still enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapOffError {
    /// It is no working area.
    NotActive,
    /// The pages do not fit into memory.
    NoMemory,
    /// A signal came.
    Interrupted,
}

impl SlotRange {
    /// Whether the entry is one of them.
    pub fn contains(&self, entry: Entry) -> bool {
        entry.area() == self.area && self.slots.contains(&entry.slot().into())
    }
}

impl<M: Machine> Swap<M> {
    /// Disables the area `index`: no slot of it is allocated any more, and cluster by cluster, in the order of the slots
    /// so that a disk reads sequentially, pages are read and given back to their users. A page that cannot be read does
    /// not stop it. Sleeps.
    ///
    /// # Errors
    /// If there is no such area; or if not everything could be brought back, and then the area works as before.
    pub fn swapoff(&self, index: u8, users: &mut dyn Users) -> Result<(), SwapOffError> {
        let area = self.area(index).ok_or(SwapOffError::NotActive)?;
        if !area.start_leaving() {
            return Err(SwapOffError::NotActive);
        }
        // Whoever saw the area work before this is done with its cluster after this.
        // The lists' lock is for clusters that are just appearing.
        drop(area.lists.lock());
        for cluster in area.clusters.existing().filter_map(|index| area.clusters.get(index)) {
            drop(cluster.lock());
        }
        if let Err(error) = self.empty(&area, users) {
            area.stop_leaving();
            M::log(Level::Warning, format_args!("{} stays enabled: {error}", area.name()));
            return Err(error);
        }
        self.enabled.fetch_and(!(1 << index), Ordering::Release);
        loop {
            // Readers hold this for a few instructions.
            if let Some(mut place) = self.areas[usize::from(index)].try_write() {
                *place = None;
                break;
            }
            M::relax();
        }
        M::log(Level::Information, format_args!("removed {}", area.name()));
        Ok(())
    }
}

impl<M: Machine> Swap<M> {
    /// Frees every slot of an area from which nothing is allocated any more.
    fn empty(&self, area: &Arc<Area<M>>, users: &mut dyn Users) -> Result<(), SwapOffError> {
        let total = area.used();
        while area.used() > 0 {
            let before = area.used();
            for index in area.clusters.existing() {
                let slots = area.cluster_slots(index);
                if !slots.clone().any(|slot| area.is_used(slot as u32)) {
                    continue;
                }
                users.gives_up().map_or(Ok(()), Err)?;
                let mut plug = Plug::new();
                slots.clone().for_each(|slot| area.read_ahead(slot as u32, &mut plug));
                plug.submit();
                users.bring_back(&SlotRange { area: area.index, slots: slots.clone() })?;
                if let Some(layer) = self.frontswap.get() {
                    layer.take_back(area, slots.clone(), users)?;
                }
                area.drop_unused_in(slots);
                users.progress(area.used(), total);
            }
            if area.used() == before {
                users.gives_up().map_or(Ok(()), Err)?;
                area.wait_for_others();
            }
        }
        // All is back, but somebody may be in need of room since.
        if total > 0 { users.gives_up().map_or(Ok(()), Err) } else { Ok(()) }
    }
}

impl<M: Machine> Area<M> {
    fn is_used(&self, slot: u32) -> bool {
        self.peek(slot).is_some_and(|word| !matches!(word.kind(), Kind::Free | Kind::Bad))
    }

    /// What is left is in the hands of others: sleeps until one of its folios is not locked any more, nor being written. A
    /// slot without a folio is a word's that is on its way from one page table to another, which takes no device.
    fn wait_for_others(&self) {
        let slots = self.clusters.existing().flat_map(|index| self.cluster_slots(index));
        let busy = slots
            .filter_map(|slot| self.lookup(slot as u32))
            .find(|folio| folio.state().is(FolioFlag::Locked) || folio.state().is(FolioFlag::Writeback));
        match busy {
            Some(folio) => Locked::lock(folio).wait_for_writeback(),
            None => M::relax(),
        }
    }
}

impl SwapOffError {
    /// What `swapoff(2)` returns.
    pub const fn errno(self) -> Errno {
        match self {
            Self::NotActive => Errno::Invalid,
            Self::NoMemory => Errno::NoMemory,
            Self::Interrupted => Errno::Interrupted,
        }
    }
}

impl fmt::Display for SwapOffError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotActive => "not an active swap area",
            Self::NoMemory => "its pages do not fit into memory",
            Self::Interrupted => "interrupted",
        })
    }
}

impl core::error::Error for SwapOffError {}
