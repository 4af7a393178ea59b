//! `swapon`: from a device to a working area. The order of the checks is that of Linux's system call.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::area::{Area, Shared};
use crate::availability::Availability;
use crate::backend::{BackendError, Opening};
use crate::batch::BatchPool;
use crate::clusters::Clusters;
use crate::disk::{Claim, Disk, DiskProperties};
use crate::extension::{BackendOptions, Extension, ExtensionError};
use crate::extents::{Extent, ExtentError, Extents, FileRun};
use crate::geometry::{CLUSTER_SLOTS, MAX_AREAS};
use crate::header::{BadPages, Header, HeaderError, Medium};
use crate::heap::{self, NoMemory};
use crate::lists::Lists;
use crate::machine::{AreaLayout, IoError, Level, Machine};
use crate::ops::SwapOps;
use crate::page::{KIB_PER_PAGE, PAGE_SIZE, Page};
use crate::priorities::Priorities;
use crate::ratelimit::RateLimit;
use crate::sparse::Sparse;
use crate::statistics::Statistics;
use crate::swap::Swap;
use crate::sync::Lock;

/// How an area is to be used: the flags of `swapon(2)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SwapOnOptions<'a> {
    /// The priority; [`DEFAULT_PRIORITY`] without one.
    pub priority: Option<i16>,
    /// What the device is told of unused pages.
    pub discard: Discard,
    /// What of the backend's options is to be different from the header's.
    pub backend: BackendOptions<'a>,
}

/// An area without a device.
pub struct Deviceless<'a, M: Machine> {
    /// Its path, as in `/proc/swaps`, where its type is `file`.
    pub name: &'a str,
    /// Its size, slot 0 included; the part of a cluster at the end is not used.
    pub slots: u64,
    /// What keeps its pages.
    pub ops: Arc<dyn SwapOps<M>>,
}

/// A file that is to be a swap area. Its file system promises that the file's pages stay where they are, and that no other
/// writes them, until `swapoff` has returned.
pub struct SwapFile<'a, M: Machine> {
    /// Its path, as in `/proc/swaps`.
    pub name: &'a str,
    /// The disk that its file system is on, and has for itself.
    pub disk: &'a Arc<dyn Disk<M>>,
    /// Its first page.
    pub header: &'a Page,
    /// Its length.
    pub bytes: u64,
    /// Where its bytes lie on the disk, in their order.
    pub runs: &'a [FileRun],
}

/// What is to be an area, as far as `swapon` has to know it.
struct Source<'a> {
    name: &'a str,
    pages: u64,
    properties: DiskProperties,
    header: &'a Page,
}

/// What an area is made of.
struct Plan<'a, M: Machine> {
    index: u8,
    name: &'a str,
    disk: Option<Claim<M>>,
    properties: DiskProperties,
    extents: Extents,
    clusters: Clusters<M>,
    slots: u64,
    bad_pages: BadPages<'a>,
    ops: Arc<dyn SwapOps<M>>,
    options: SwapOnOptions<'a>,
}

/// Entries have 32 bits of slot.
const SLOTS_MAX: u64 = 1 << 32;

/// The priority of an area that was given none.
pub const DEFAULT_PRIORITY: i16 = -1;

/// When a device is told that pages are unused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Discard {
    /// Never.
    #[default]
    Off,
    /// The whole area when it is enabled.
    Once,
    /// A cluster when it becomes empty.
    Pages,
    /// Both.
    Both,
}

/// Why an area is not enabled. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapOnError {
    /// Flags that do not exist.
    Flags(u32),
    /// As many areas as there can be are enabled.
    TooManyAreas,
    /// No memory for the area.
    NoMemory,
    /// The device is an area already.
    Busy,
    /// The device is in use for something else.
    Claimed,
    /// The device cannot be written.
    ReadOnly,
    /// The header cannot be read.
    HeaderUnreadable(IoError),
    /// The header says what it must not.
    Header(HeaderError),
    /// The header's extension cannot be believed.
    Extension(ExtensionError),
    /// There is no backend for what the header says.
    Backend(BackendError),
    /// The file cannot be mapped to the disk.
    Extents(ExtentError),
}

const FLAG_PREFER: u32 = 0x8000;
const FLAG_PRIORITY_MASK: u32 = 0x7fff;
const FLAG_DISCARD: u32 = 0x1_0000;
const FLAG_DISCARD_ONCE: u32 = 0x2_0000;
const FLAG_DISCARD_PAGES: u32 = 0x4_0000;
const FLAGS: u32 = FLAG_PREFER | FLAG_PRIORITY_MASK | FLAG_DISCARD | FLAG_DISCARD_ONCE | FLAG_DISCARD_PAGES;

impl SwapOnOptions<'_> {
    /// Reads the flags of `swapon(2)`.
    ///
    /// # Errors
    /// [`SwapOnError::Flags`] if there are others.
    pub fn from_flags(flags: u32) -> Result<Self, SwapOnError> {
        if flags & !FLAGS != 0 {
            return Err(SwapOnError::Flags(flags & !FLAGS));
        }
        let is = |flag| flags & flag != 0;
        let discard = match (is(FLAG_DISCARD), is(FLAG_DISCARD_ONCE), is(FLAG_DISCARD_PAGES)) {
            // The two policies refine discarding; alone they ask for nothing.
            (false, _, _) => Discard::Off,
            (true, false, false) => Discard::Both,
            // Who asks for both policies gets the first.
            (true, true, _) => Discard::Once,
            (true, false, true) => Discard::Pages,
        };
        let priority = is(FLAG_PREFER).then_some((flags & FLAG_PRIORITY_MASK) as i16);
        Ok(Self { priority, discard, backend: BackendOptions::default() })
    }
}

impl<M: Machine> Swap<M> {
    /// Enables a device as a swap area. Returns its index. Sleeps.
    ///
    /// # Errors
    /// See [`SwapOnError`]; the log says the same.
    pub fn swapon(&self, disk: &Arc<dyn Disk<M>>, options: SwapOnOptions<'_>) -> Result<u8, SwapOnError> {
        self.alone(disk.name(), || {
            let index = self.free_index(disk.name())?;
            let claim = Claim::new(disk).ok_or(SwapOnError::Claimed)?;
            let properties = disk.properties();
            if properties.read_only {
                return Err(SwapOnError::ReadOnly);
            }
            let mut header = heap::array::<M, u8, PAGE_SIZE>(|_| 0)?;
            let pages = disk.pages();
            if pages > 0 {
                disk.read_page(0, &mut header).map_err(|error| match error {
                    IoError::NoMemory => SwapOnError::NoMemory,
                    error => SwapOnError::HeaderUnreadable(error),
                })?;
            }
            let source = Source { name: disk.name(), pages, properties, header: &header };
            let extents = |pages| Extents::new::<M>(&[Extent { page: 0, disk_page: 0, pages }]);
            self.enable(index, claim, &source, extents, options)
        })
    }

    /// Enables a file as a swap area, whose pages go to and come from the disk without its file system; what the disk's driver
    /// has registered is not used for it (Linux: `setup_swap_extents`). Returns its index. Sleeps.
    ///
    /// # Errors
    /// See [`SwapOnError`]; the log says the same.
    pub fn swapon_file(&self, file: &SwapFile<'_, M>, options: SwapOnOptions<'_>) -> Result<u8, SwapOnError> {
        self.alone(file.name, || {
            let index = self.free_index(file.name)?;
            let properties = DiskProperties { is_file: true, ..file.disk.properties() };
            if properties.read_only {
                return Err(SwapOnError::ReadOnly);
            }
            let claim = Claim::of_file_system(file.disk);
            let source =
                Source { name: file.name, pages: file.bytes / PAGE_SIZE as u64, properties, header: file.header };
            let extents = |_| Extents::of_file::<M>(file.runs, file.bytes, file.disk.pages());
            self.enable(index, claim, &source, extents, options)
        })
    }

    /// Enables an area without a device, whose pages are where `backend` keeps them. Any number of slots costs nothing until
    /// they are used: clusters exist only while they are in use. Slot 0 is never used, as on a disk. Returns its index.
    ///
    /// # Errors
    /// See [`SwapOnError`]; the log says the same.
    pub fn swapon_without_disk(&self, area: &Deviceless<'_, M>, options: SwapOnOptions<'_>) -> Result<u8, SwapOnError> {
        self.alone(area.name, || {
            let index = self.free_index(area.name)?;
            let slots = area.slots.min(SLOTS_MAX) / CLUSTER_SLOTS as u64 * CLUSTER_SLOTS as u64;
            if slots == 0 {
                return Err(SwapOnError::Header(HeaderError::Empty));
            }
            let plan = Plan {
                index,
                name: area.name,
                disk: None,
                properties: DiskProperties { is_file: true, ..DiskProperties::default() },
                extents: Extents::new::<M>(&[Extent { page: 0, disk_page: 0, pages: slots }])?,
                clusters: Clusters::on_demand((slots / CLUSTER_SLOTS as u64) as usize)?,
                slots,
                bad_pages: BadPages::new(&[]),
                ops: Arc::clone(&area.ops),
                options,
            };
            Ok(self.start_using(&self.build(plan)?, options))
        })
    }

    fn alone(&self, name: &str, enable: impl FnOnce() -> Result<u8, SwapOnError>) -> Result<u8, SwapOnError> {
        while self.enabling.swap(true, Ordering::Acquire) {
            M::relax();
        }
        let result = enable();
        self.enabling.store(false, Ordering::Release);
        if let Err(error) = &result {
            M::log(Level::Warning, format_args!("{name}: {error}"));
        }
        result
    }

    /// A free index for an area of this name.
    fn free_index(&self, name: &str) -> Result<u8, SwapOnError> {
        let index = (0..MAX_AREAS as u8).find(|&index| self.area(index).is_none()).ok_or(SwapOnError::TooManyAreas)?;
        if self.areas().any(|area| area.name() == name) { Err(SwapOnError::Busy) } else { Ok(index) }
    }

    fn enable(
        &self,
        index: u8,
        claim: Claim<M>,
        source: &Source<'_>,
        extents: impl FnOnce(u64) -> Result<Extents, ExtentError>,
        options: SwapOnOptions<'_>,
    ) -> Result<u8, SwapOnError> {
        let &Source { name, pages, properties, header: page } = source;
        if pages == 0 {
            return Err(SwapOnError::Header(HeaderError::NoPage));
        }
        let is_file = properties.is_file;
        let header = Header::parse(page, Medium { pages, is_file }).map_err(SwapOnError::Header)?;
        let extension = Extension::parse(page).map_err(SwapOnError::Extension)?;
        let pages = u64::from(header.last_page) + 1;
        let extents = extents(pages)?;
        let pages = pages.min(extents.pages());
        if pages < 2 {
            return Err(SwapOnError::Header(HeaderError::Empty));
        }
        let opening = Opening { disk: &claim, pages, bad_pages: header.bad_pages, is_file, types: self };
        let ops = self.backend(&opening, extension, options.backend)?;
        let ops = if let Some(layer) = self.frontswap.get() { Arc::clone(layer).before(ops)? } else { ops };
        let slots = ops.slots(pages).min(pages);
        let clusters = Clusters::fixed(slots.div_ceil(CLUSTER_SLOTS as u64) as usize)?;
        let (disk, bad_pages) = (Some(claim), header.bad_pages);
        let area =
            self.build(Plan { index, name, disk, properties, extents, clusters, slots, bad_pages, ops, options })?;
        if matches!(options.discard, Discard::Once | Discard::Both) && properties.discard {
            area.discard(1..pages);
        }
        Ok(self.start_using(&area, options))
    }

    /// Says what the area is, and lets slots be allocated from it.
    fn start_using(&self, area: &Arc<Area<M>>, options: SwapOnOptions<'_>) -> u8 {
        M::log(
            Level::Information,
            format_args!(
                "adding {}k on {}, priority {}, {} extent{} across {}k{}{}{}",
                area.usable * KIB_PER_PAGE,
                area.name(),
                area.priority,
                area.extents.len(),
                if area.extents.len() == 1 { "" } else { "s" },
                area.extents.span() * KIB_PER_PAGE,
                if area.properties.rotational { "" } else { ", solid-state" },
                if area.properties.discard && options.discard != Discard::Off { ", discard" } else { "" },
                if area.flags.synchronous { ", synchronous" } else { "" },
            ),
        );
        let place = &self.areas[usize::from(area.index)];
        loop {
            // A reader who found nothing here is on its way out.
            if let Some(mut place) = place.try_write() {
                *place = Some(Arc::clone(area));
                break;
            }
            M::relax();
        }
        self.enabled.fetch_or(1 << area.index, Ordering::Release);
        M::area_enabled(&AreaLayout {
            index: area.index,
            name: area.name(),
            priority: area.priority,
            slots: area.slots,
            usable: area.usable,
            used: &area.used,
            clusters: area.clusters.layout(),
            statistics: &area.shared.statistics,
        });
        area.join();
        self.forget_cursors();
        area.index
    }

    /// Makes an area, which no other task knows yet.
    fn build(&self, plan: Plan<'_, M>) -> Result<Arc<Area<M>>, SwapOnError> {
        let Plan { index, name, disk, properties, extents, clusters, slots, bad_pages, ops, options } = plan;
        let flags = ops.flags();
        let end = clusters.len() as u64 * CLUSTER_SLOTS as u64;
        let area = Area {
            index,
            priority: options.priority.unwrap_or(DEFAULT_PRIORITY),
            name: heap::text::<M>(name)?,
            disk,
            properties,
            metadata_bits: ops.metadata_bits().next_power_of_two().min(64) * u8::from(ops.metadata_bits() > 0),
            is_plain: flags.ignores_frees && ops.metadata_bits() == 0,
            flags,
            ops,
            discard_clusters: properties.discard
                && !flags.places_pages
                && matches!(options.discard, Discard::Pages | Discard::Both),
            page_notes: if flags.frontswap && flags.pages_on_disk {
                Some(Sparse::new(slots.min(u32::MAX.into()) as u32)?)
            } else {
                None
            },
            extents,
            slots,
            usable: slots - 1 - bad_pages.len() as u64,
            clusters,
            lists: Lock::new(Lists::new()),
            used: AtomicU64::new(0),
            availability: Availability::new(),
            sequential: [const { AtomicU32::new(0) }; _],
            statistics: Statistics::new(),
            failures: RateLimit::new(),
            shared: self.shared()?,
        };
        area.fill_lists()?;
        for slot in core::iter::once(0).chain(bad_pages.iter().map(u64::from)).chain(slots..end) {
            area.mark_bad(slot)?;
        }
        Ok(heap::arc::<M, _>(area)?)
    }

    fn shared(&self) -> Result<Arc<Shared<M>>, SwapOnError> {
        if let Some(shared) = self.shared.get() {
            return Ok(Arc::clone(shared));
        }
        let shared = heap::arc::<M, _>(Shared {
            priorities: Lock::new(Priorities::new()),
            pool: BatchPool::new()?,
            statistics: Statistics::new(),
        })?;
        Ok(Arc::clone(self.shared.call_once(|| shared)))
    }
}

impl fmt::Display for SwapOnError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flags(flags) => write!(formatter, "swapon has no flags {flags:#x}"),
            Self::TooManyAreas => write!(formatter, "{MAX_AREAS} swap areas are enabled already"),
            Self::NoMemory => formatter.write_str("no memory for a swap area"),
            Self::Busy => formatter.write_str("is a swap area already"),
            Self::Claimed => formatter.write_str("is in use already"),
            Self::ReadOnly => formatter.write_str("is read-only"),
            Self::HeaderUnreadable(error) => write!(formatter, "the swap header cannot be read: {error}"),
            Self::Header(error) => write!(formatter, "swap header refused: {error}"),
            Self::Extension(error) => write!(formatter, "swap header refused: {error}"),
            Self::Backend(error) => error.fmt(formatter),
            Self::Extents(error) => error.fmt(formatter),
        }
    }
}

impl core::error::Error for SwapOnError {}

impl From<NoMemory> for SwapOnError {
    fn from(NoMemory: NoMemory) -> Self {
        Self::NoMemory
    }
}

impl From<ExtentError> for SwapOnError {
    fn from(error: ExtentError) -> Self {
        match error {
            ExtentError::NoMemory => Self::NoMemory,
            error => Self::Extents(error),
        }
    }
}

impl From<BackendError> for SwapOnError {
    fn from(error: BackendError) -> Self {
        match error {
            BackendError::NoMemory => Self::NoMemory,
            error => Self::Backend(error),
        }
    }
}
