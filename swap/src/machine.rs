//! What the core needs from the machine that it runs on: the kernel, or a fake on the host.
//!
//! A [`Machine`] has no value: it is the one machine that there is, so its functions take no `self`.

use core::fmt;
use core::sync::atomic::AtomicU64;
use core::time::Duration;

use crate::direction::Direction;
use crate::entry::Entry;
use crate::folio::Folio;
use crate::rank::Rank;
use crate::statistics::Statistics;

/// The most processors that the core keeps a current cluster for; more of them share.
pub const MAX_CPUS: usize = 8;

/// The machine under the core.
pub trait Machine: Sized + Send + Sync + 'static {
    /// A counted reference to a folio.
    type Folio: Folio;

    /// A spinning lock of `rank` is about to be taken: disable preemption, check the order of ranks.
    fn lock_enter(rank: Rank);

    /// The lock taken last with `rank` was released.
    fn lock_leave(rank: Rank);

    /// Called while spinning, where nothing can be done but to let others run.
    fn relax();

    /// Marks a point where a reader without a lock may be overtaken by another processor. A machine that explores
    /// schedules switches tasks here; any other does nothing.
    #[inline]
    fn overtaken() {}

    /// The processor that this runs on. It may change at once: only a hint depends on it.
    fn cpu() -> usize;

    /// The time since some moment in the past, by a clock that never goes back.
    fn now() -> Duration;

    /// Whether the core may allocate `bytes` of heap. Asked before each allocation that follows `swapon`; refusal is an
    /// ordinary out-of-memory error. Called under spinning locks: it must not sleep.
    fn may_allocate(bytes: usize) -> bool;

    /// Does `work`, which takes what [`Self::may_allocate`] has allowed by ways that cannot be refused: they find it.
    fn allocate_allowed<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    /// Charges slots that are about to be taken for the folio to the one that pays for it, whose number, up to
    /// [`PAYER_MAX`](crate::PAYER_MAX), stays with each slot until that is free; 0 pays for nothing. `None` when it may not
    /// have more. It must not sleep.
    fn charge_slots(_folio: &Self::Folio, _slots: u32) -> Option<u8> {
        Some(0)
    }

    /// Slots that this one pays for, which is not 0, are free, or could not be taken: once for as many as one after another were
    /// freed in a cluster. Called under spinning locks: it must not sleep.
    fn uncharge_slots(_payer: u8, _slots: u32) {}

    /// Whether the running thread may enter a file system; one that works in one must not (Linux: `GFP_NOFS`). Areas whose backend
    /// would ([`SwapOpsFlags::no_file_systems`](crate::SwapOpsFlags::no_file_systems)) are not there for it meanwhile.
    fn may_enter_file_systems() -> bool {
        true
    }

    /// A new folio of 2^`order` frames, contents undefined, with one reference; `None` when memory does not suffice.
    fn allocate_folio(order: u8, folio_use: FolioUse) -> Option<Self::Folio>;

    /// The folio was added to the swap cache by the core itself (swapped in or read ahead) and is locked. `shadow` is what its
    /// eviction left ([`Swap::evict_each`](crate::Swap::evict_each)); 0 if there was nothing.
    fn added_to_cache(_folio: &Self::Folio, _shadow: u64) {}

    /// [`Self::added_to_cache`] for several at once.
    fn added_together<'a>(folios: impl Iterator<Item = (&'a Self::Folio, u64)>) {
        folios.for_each(|(folio, shadow)| Self::added_to_cache(folio, shadow));
    }

    /// The writes of these folios, up to a batch, are over. On success their frames may be freed (see
    /// [`Swap::evict_each`](crate::Swap::evict_each)); on failure they are dirty again and belong on the active list, since
    /// trying again at once would fail again.
    fn writes_ended(folios: impl Iterator<Item = Self::Folio>, result: Result<(), IoError>);

    /// The read of `folio` is over and it is unlocked; up to date on success.
    fn read_ended(_folio: &Self::Folio, _result: Result<(), IoError>) {}

    /// Sleeps until `ready`. Whatever makes it true is followed by [`Machine::wake`] with the same event.
    fn wait(event: Event, ready: &dyn Fn() -> bool);

    /// Lets those who wait for `event` look again.
    fn wake(event: Event);

    /// Something happened that those may want to see who look at the machine from outside. Called under any lock: it must not
    /// sleep.
    #[inline]
    fn note(_occurrence: Occurrence) {}

    /// An area is enabled, and is laid out like this until [`Self::area_disabled`].
    fn area_enabled(_area: &AreaLayout<'_>) {}

    /// The area with this index is about to go.
    fn area_disabled(_index: u8) {}

    /// Writes a line to the log.
    fn log(level: Level, message: fmt::Arguments<'_>);
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occurrence {
    /// Slots were taken.
    SlotsAllocated {
        /// The area's index.
        area: u8,
        /// The first of them.
        first: u32,
        /// How many.
        count: u32,
    },
    /// Slots in a row are free.
    SlotsFreed {
        /// The area's index.
        area: u8,
        /// The first of them.
        first: u32,
        /// How many.
        count: u32,
    },
    /// A folio begins its way to its slots, or has come back from them.
    Moved {
        /// Where its first page is on the disk, or was.
        entry: Entry,
        /// The number of its first frame.
        frame: u64,
        /// Which way.
        direction: Direction,
    },
    /// A batch was handed to its backend.
    BatchSubmitted {
        /// The area's index.
        area: u8,
        /// Which way it goes.
        direction: Direction,
        /// How many folios are in it.
        folios: usize,
    },
    /// What some folios of a batch were in it for is over.
    BatchCompleted {
        /// The area's index.
        area: u8,
        /// Which way it went.
        direction: Direction,
        /// How many folios.
        folios: usize,
        /// Whether it went well.
        is_ok: bool,
    },
}

/// Where an area's parts are, for those who look at memory from outside.
#[derive(Clone, Copy, Debug)]
pub struct AreaLayout<'a> {
    /// Its index.
    pub index: u8,
    /// Its name.
    pub name: &'a str,
    /// Its priority.
    pub priority: i16,
    /// Slots, the header and the bad ones included.
    pub slots: u64,
    /// Slots that can be used.
    pub usable: u64,
    /// Slots in use.
    pub used: &'a AtomicU64,
    /// Its clusters, if they exist as long as the area.
    pub clusters: Option<ClusterLayout>,
    /// The counters of all areas.
    pub statistics: &'a Statistics,
}

/// Where an area's clusters are.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClusterLayout {
    /// The address of the first.
    pub first: usize,
    /// How many there are.
    pub count: usize,
    /// The size of each.
    pub bytes: usize,
    /// Where in each the address of its table is, 0 while it has none. A table begins with an entry of 8 bytes for each slot:
    /// [`TableEntry`](crate::TableEntry).
    pub table: usize,
}

/// What a folio is allocated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FolioUse {
    /// A task cannot go on without the page in this entry: the machine may reclaim and sleep. Who pays for the slot
    /// ([`Swap::payer`](crate::Swap::payer)) pays for the folio.
    Demand {
        /// The page's.
        entry: Entry,
        /// Who paid for the slot a moment ago: another may by now, but for one that is not paid for.
        payer: u8,
    },
    /// The page in this entry would be nice to have: the machine takes what is free or refuses. The same pays.
    Readahead(Entry),
    /// It makes memory free in the end: the machine may give its last frames, and does not sleep.
    Writeback,
}

/// What the core waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A batch came back to the pool.
    Batch,
    /// Work was left for [`Swap::do_pending_work`](crate::Swap::do_pending_work).
    Work,
    /// A backend that made space is done with that.
    Space,
}

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something was lost or is wrong.
    Error,
    /// Something is refused or doubtful.
    Warning,
    /// A fact that a user wants to see.
    Information,
}

/// Why a device did not do what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IoError {
    /// The device reported an error.
    Device,
    /// The device had no memory or no space left to store the data.
    NoSpace,
    /// The machine had no memory to ask the device with.
    NoMemory,
    /// The device cannot do this, as a write to a read-only one.
    Unsupported,
    /// The batch was dropped by its backend before it was done.
    Abandoned,
    /// The backend does not keep what is in this page, though it may keep others. Nothing is wrong.
    Refused,
}

impl fmt::Display for IoError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Device => "device error",
            Self::NoSpace => "no space on the device",
            Self::NoMemory => "no memory for the request",
            Self::Unsupported => "not supported by the device",
            Self::Abandoned => "abandoned by its backend",
            Self::Refused => "refused by its backend",
        })
    }
}

impl core::error::Error for IoError {}
