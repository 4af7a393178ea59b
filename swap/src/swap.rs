//! [`Swap`]: all areas together, and the calls that the kernel makes.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use spin::{Once, RwLock};

use crate::area::{Area, Shared};
use crate::availability::Reason;
use crate::backend::{BLOCK_TYPE, BackendType};
use crate::cursor::Cursor;
use crate::disk::DriverId;
use crate::entry::Entry;
use crate::folio::Folio as _;
use crate::frontswap::Frontswap;
use crate::geometry::{CLASSES, MAX_AREAS};
use crate::machine::{MAX_CPUS, Machine};
use crate::readahead::ReadaheadPolicy;
use crate::registry::{BlockDriver, Registry, RegistryError};
use crate::statistics::Snapshot;

/// All of swap. A kernel has one, in a `static`.
pub struct Swap<M: Machine> {
    /// Written only by `swapon` and `swapoff`, and only when it has no readers.
    pub(crate) areas: [RwLock<Option<Arc<Area<M>>>>; MAX_AREAS],
    /// A bit for each area, so that those that are not there cost nothing to go past.
    pub(crate) enabled: AtomicU32,
    /// Where each processor took its last slot of each class: a hint.
    pub(crate) current: [[Cursor; CLASSES]; MAX_CPUS],
    pub(crate) drivers: Registry<M, dyn BlockDriver<M>>,
    pub(crate) types: Registry<M, dyn BackendType<M>>,
    /// Made at the first `swapon`.
    pub(crate) shared: Once<Arc<Shared<M>>>,
    pub(crate) readahead_policy: ReadaheadPolicy,
    /// What stands before the backends of areas, if anything does.
    pub(crate) frontswap: Once<Arc<dyn Frontswap<M>>>,
    /// Where the last slot for a slot of another area was taken: a hint.
    pub(crate) last_owned: Cursor,
    /// A `swapon` is at work.
    pub(crate) enabling: AtomicBool,
}

impl<M: Machine> Swap<M> {
    /// Swap without any area.
    pub const fn new() -> Self {
        Self {
            areas: [const { RwLock::new(None) }; MAX_AREAS],
            enabled: AtomicU32::new(0),
            current: [const { [const { Cursor::new() }; CLASSES] }; MAX_CPUS],
            drivers: Registry::new(),
            types: Registry::new(),
            shared: Once::new(),
            readahead_policy: ReadaheadPolicy::new(),
            frontswap: Once::new(),
            last_owned: Cursor::new(),
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
        self.with_area(index, Arc::clone)
    }

    /// Looks at the area with this index, if it is enabled, without a reference to it. One that is just coming or going is not there.
    #[expect(clippy::inline_always, reason = "a few instructions, of which a call would be a good part")]
    #[inline(always)]
    pub(crate) fn with_area<R>(&self, index: u8, look: impl FnOnce(&Arc<Area<M>>) -> R) -> Option<R> {
        self.areas.get(usize::from(index))?.try_read()?.as_ref().map(look)
    }

    /// The area and the entry of a folio that is in the swap cache.
    pub(crate) fn area_of(&self, folio: &M::Folio) -> Option<(Entry, Arc<Area<M>>)> {
        let entry = folio.state().entry()?;
        Some((entry, self.area(entry.area())?))
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
            if area.availability.is_closed_by(Reason::Emptying) {
                (total + used, free)
            } else {
                (total + area.usable, free + area.usable.saturating_sub(used))
            }
        })
    }

    /// Whether more than half of all slots are in use: then a folio that is mapped again should give its slot up
    /// (Linux: `vm_swap_full`).
    pub fn is_half_full(&self) -> bool {
        let (total, free) = self.totals();
        free * 2 < total
    }

    /// [`Swap::is_half_full`] for one who has an enabled area at hand, which most often is the only one.
    #[inline]
    pub(crate) fn is_half_full_beside(&self, area: &Area<M>) -> bool {
        let is_alone = self.enabled.load(Ordering::Acquire) == 1 << area.index;
        if is_alone && area.availability.is_open() { area.is_half_full() } else { self.is_half_full() }
    }

    /// Batches that are in the pool; all of them when no I/O is on its way.
    pub fn idle_batches(&self) -> usize {
        self.shared.get().map_or(0, |shared| shared.pool.idle())
    }

    /// How pages are read ahead.
    pub fn readahead_policy(&self) -> &ReadaheadPolicy {
        &self.readahead_policy
    }

    /// Lets every processor choose among the areas again.
    pub(crate) fn forget_cursors(&self) {
        self.current.iter().flatten().chain([&self.last_owned]).for_each(Cursor::forget);
    }
}

impl<M: Machine> Default for Swap<M> {
    fn default() -> Self {
        Self::new()
    }
}
