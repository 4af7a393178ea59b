//! Introduces the swap core to this machine, and this machine's disks to the swap core.
//!
//! [`Quire`] is the [`Machine`] that the core runs on: its folios, its locks, its heap. `SwapDisk` turns the core's disk
//! requests into the drivers'. What a task or a command line asks of swap goes through the functions at the end.
//!
//! # Locking
//!
//! The core's spinning locks keep preemption off ([`Machine::lock_enter`]) and have sixteen ranks of their own in the
//! kernel's table. Waiting for the core's events uses a counter, so that the condition, which may take a lock of the core,
//! is never evaluated under a wait queue's lock.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU32;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use arrayvec::ArrayVec;
use quire_drivers::block::{BlockError, Completion, Operation, Request, Segment};
use quire_machine::address_map::DIRECT_MAP;
use quire_machine::arch::cpu;
use quire_machine::clock;
use quire_machine::fallible;
use quire_machine::log;
use quire_machine::sync::{Rank, acquire_rank, release_rank};
use quire_machine::task::{self, WaitQueue};
use quire_machine::{heap, physical, watermark};
use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::{
    BATCH_FOLIOS, DeviceState, Direction, Discard, DiskProperties, DiskRequest, DriverId, Event, Folio as _, FolioUse,
    IoError, Level, Machine, SlotRange, SlotReference, Snapshot, Swap, SwapOffError, SwapOnError, SwapOnOptions, Users,
};

use crate::command_line::{CommandLine, parse_size};
use crate::disk::{self, Disk, SECTORS_PER_PAGE};
use crate::errno::Errno;
use crate::leaving::{Hope, Leaving};
use crate::mm::folio::Folio;
use crate::mm::{AllocationError, address_space, fault, group, lru, reclaim, rmap};
use crate::{ghost, zram, zswap};

/// This machine, as the swap core sees it.
#[derive(Debug)]
pub struct Quire;

/// Where reclaim gathers folios.
pub type Plug = quire_swap::Plug<Quire>;

static SWAP: Swap<Quire> = Swap::new();

/// The swap core.
pub fn core() -> &'static Swap<Quire> {
    &SWAP
}

/// Something that threads wait for, and how often it has happened.
pub(crate) struct Happening {
    count: AtomicU64,
    waiters: WaitQueue,
}

static BATCH: Happening = Happening::new();
static WORK: Happening = Happening::new();

impl Happening {
    /// It has not happened yet.
    pub(crate) const fn new() -> Self {
        Self { count: AtomicU64::new(0), waiters: WaitQueue::new() }
    }

    /// It has happened once more.
    pub(crate) fn happened(&self) {
        self.count.fetch_add(1, Ordering::Release);
        self.waiters.wake_all();
    }

    /// Does `work` each time that it has happened since the work began the last time.
    pub(crate) fn whenever(&self, mut work: impl FnMut()) {
        let mut done = 0;
        loop {
            self.waiters.wait_until(|| self.count.load(Ordering::Acquire) != done);
            done = self.count.load(Ordering::Acquire);
            work();
        }
    }
}

fn happening(event: Event) -> &'static Happening {
    match event {
        Event::Batch => &BATCH,
        Event::Work => &WORK,
    }
}

impl Machine for Quire {
    type Folio = Folio;

    fn lock_enter(rank: quire_swap::Rank) {
        cpu::disable_preemption();
        acquire_rank(Rank::SwapLowest as u8 + rank as u8);
    }

    fn lock_leave(rank: quire_swap::Rank) {
        release_rank(Rank::SwapLowest as u8 + rank as u8);
        cpu::enable_preemption();
    }

    fn relax() {
        if cpu::this().preemption_is_on() {
            task::yield_now();
        } else {
            core::hint::spin_loop();
        }
    }

    fn cpu() -> usize {
        cpu::this().number()
    }

    fn now() -> Duration {
        clock::since_boot()
    }

    fn may_allocate(bytes: usize) -> bool {
        heap::may_allocate(bytes)
    }

    fn allocate_allowed<R>(work: impl FnOnce() -> R) -> R {
        fallible::certain(work)
    }

    fn charge_slots(folio: &Folio, slots: u32) -> Option<u8> {
        group::charge_swap(folio.metadata(), slots as usize)
    }

    fn uncharge_slots(payer: u8, slots: u32) {
        group::uncharge_swap(payer, slots as usize);
    }

    fn allocate_folio(order: u8, folio_use: FolioUse) -> Option<Folio> {
        match (order, folio_use) {
            (0, FolioUse::Demand) => reclaim::wait_for_frame().ok(),
            (0, FolioUse::Readahead) => reclaim::frame_if_free(),
            (0, FolioUse::Writeback) => Folio::allocate(watermark::Purpose::Reclaim),
            _ => None,
        }
    }

    fn added_to_cache(folio: &Folio) {
        lru::add(folio, lru::List::Inactive);
    }

    fn writes_ended(folios: impl Iterator<Item = Folio>, result: Result<(), IoError>) {
        reclaim::writes_ended(folios, result);
    }

    fn wait(event: Event, ready: &dyn Fn() -> bool) {
        let happening = happening(event);
        loop {
            let seen = happening.count.load(Ordering::Acquire);
            if ready() {
                return;
            }
            happening.waiters.wait_until(|| happening.count.load(Ordering::Acquire) != seen);
        }
    }

    fn wake(event: Event) {
        happening(event).happened();
    }

    fn log(level: Level, message: fmt::Arguments<'_>) {
        match level {
            Level::Error => log!("swap", "error: {message}"),
            Level::Warning => log!("swap", "warning: {message}"),
            Level::Information => log!("swap", "{message}"),
        }
    }
}

/// The disk of this machine with this path, for the core.
pub fn disk_named(path: &str) -> Option<Arc<dyn quire_swap::Disk<Quire>>> {
    let disk = disk::named(path)?;
    let name = fallible::text(format_args!("{path}")).ok()?;
    let disk: Arc<dyn quire_swap::Disk<Quire>> = fallible::shared(SwapDisk { disk, name }).ok()?;
    Some(disk)
}

/// A disk of this machine that holds a swap area.
struct SwapDisk {
    disk: &'static Arc<Disk>,
    name: String,
}

fn io_error(error: BlockError) -> IoError {
    match error {
        BlockError::ReadOnly { .. } | BlockError::NoDiscard { .. } | BlockError::Unsupported { .. } => {
            IoError::Unsupported
        }
        BlockError::Abandoned => IoError::Abandoned,
        _ => IoError::Device,
    }
}

impl quire_swap::Disk<Quire> for SwapDisk {
    fn name(&self) -> &str {
        &self.name
    }

    fn driver(&self) -> DriverId {
        DriverId("virtio-blk")
    }

    fn pages(&self) -> u64 {
        self.disk.geometry().sectors / SECTORS_PER_PAGE
    }

    fn properties(&self) -> DiskProperties {
        let geometry = self.disk.geometry();
        DiskProperties {
            read_only: self.disk.is_read_only(),
            discard: geometry.max_discard_sectors.is_some(),
            rotational: self.disk.is_rotational(),
            ..DiskProperties::default()
        }
    }

    fn device_state(&self) -> &Arc<DeviceState> {
        self.disk.device_state()
    }

    fn read_page(&self, page: u64, buffer: &mut Page) -> Result<(), IoError> {
        let sector = page * SECTORS_PER_PAGE;
        if let Some(segment) = segment_of(buffer) {
            return self.disk.run(Operation::Read, sector, &[segment]).map_err(io_error);
        }
        let folio = reclaim::wait_for_frame().map_err(|_| IoError::NoMemory)?;
        self.disk.run(Operation::Read, sector, &[segment(&folio)]).map_err(io_error)?;
        folio.with_page(0, |contents| buffer.copy_from_slice(contents));
        Ok(())
    }

    fn write_pages(&self, first: u64, pages: &[Page]) -> Result<(), IoError> {
        let mut sector = first * SECTORS_PER_PAGE;
        for pages in pages.chunks(BATCH_FOLIOS.min(self.disk.geometry().max_segments).max(1)) {
            let mut folios = ArrayVec::<Folio, BATCH_FOLIOS>::new();
            let mut segments = ArrayVec::<Segment, BATCH_FOLIOS>::new();
            for page in pages {
                if let Some(segment) = segment_of(page) {
                    segments.push(segment);
                    continue;
                }
                let folio = reclaim::wait_for_frame().map_err(|_| IoError::NoMemory)?;
                folio.with_page_mut(0, |contents| contents.copy_from_slice(page));
                segments.push(segment(&folio));
                folios.push(folio);
            }
            self.disk.run(Operation::Write, sector, &segments).map_err(io_error)?;
            sector += pages.len() as u64 * SECTORS_PER_PAGE;
        }
        Ok(())
    }

    fn submit(&self, request: DiskRequest<Quire>) {
        let operation = match request.direction() {
            Direction::Read => Operation::Read,
            Direction::Write => Operation::Write,
        };
        let sector = request.first_sector();
        let mut segments = [None; BATCH_FOLIOS];
        for (place, folio) in segments.iter_mut().zip(request.folios()) {
            *place = Some(segment(folio));
        }
        // At most as many as there are batches. A batch that is dropped for want of a box has failed, and is not lost.
        let Ok(on_its_way) = fallible::boxed_in_need(OnItsWay(request)) else { return };
        let mut to_disk = Request::new(operation, sector, on_its_way);
        for segment in segments.into_iter().flatten() {
            if to_disk.push(segment).is_err() {
                // A request has room for a batch; dropping it here would fail the batch, not lose it.
                return;
            }
        }
        self.disk.submit(to_disk);
    }

    fn discard(&self, pages: Range<u64>) -> Result<(), IoError> {
        let most = self.disk.geometry().max_discard_sectors.ok_or(IoError::Unsupported)?;
        let mut sector = pages.start * SECTORS_PER_PAGE;
        let end = pages.end * SECTORS_PER_PAGE;
        while sector < end {
            let sectors = (end - sector).min(u64::from(most.get())) as u32;
            self.disk.run(Operation::Discard { sectors }, sector, &[]).map_err(io_error)?;
            sector += u64::from(sectors);
        }
        Ok(())
    }
}

fn segment(folio: &Folio) -> Segment {
    // SAFETY: whoever makes a request of the segment keeps a reference to the folio until the request has ended: the
    // batch, or the caller who waits. A folio that is read into is locked and not up to date, so nobody looks at it; one
    // that is written may be mapped and changed by its task, which makes it dirty and has it written again.
    unsafe { disk::page_segment(folio) }
}

/// A buffer that lies in one piece in physical memory, as all of the direct map does, the heap included. For a request
/// that ends while the buffer is borrowed; one that reads is for a buffer that is borrowed mutably.
fn segment_of(buffer: &Page) -> Option<Segment> {
    const PAGE: NonZeroU32 = NonZeroU32::new(PAGE_SIZE as u32).unwrap();
    let end = (physical::frames().len() * PAGE_SIZE) as u64;
    let address = (buffer.as_ptr() as u64).checked_sub(DIRECT_MAP).filter(|address| *address < end)?;
    // SAFETY: it is RAM in the direct map, and stays what it is while it is borrowed. Nobody looks at a buffer that is
    // borrowed mutably while the caller waits for the request.
    Some(unsafe { Segment::new(address, PAGE) })
}

struct OnItsWay(DiskRequest<Quire>);

impl Completion for OnItsWay {
    fn complete(self: Box<Self>, result: Result<(), BlockError>) {
        self.0.complete(result.map_err(io_error));
    }
}

/// Drops what a page-table word that held an entry owned: the word itself is gone.
pub fn forget_word(word: u64) {
    drop(SlotReference::from_pte(&SWAP, word));
}

/// Drops what a page-table word that mapped a folio owned: the word itself is gone. If only the swap cache is left with
/// the folio, it is of no use to anybody.
#[expect(clippy::needless_pass_by_value, reason = "the reference was the word's")]
pub fn forget_folio(folio: Folio) {
    SWAP.drop_if_unused(&folio);
}

/// Starts the thread that does what swap puts off because whoever causes it cannot sleep.
///
/// # Errors
/// [`AllocationError`] when there is no memory for the thread.
pub fn start() -> Result<(), AllocationError> {
    let work = || {
        WORK.whenever(|| {
            SWAP.do_pending_work();
            SWAP.return_refused(&mut AddressSpaces { area: 0, next_line: Duration::MAX });
        });
    };
    task::spawn("swap-work", work).map(drop)
}

/// The counters of all areas.
pub fn statistics() -> Snapshot {
    SWAP.statistics()
}

/// Slots that can be used in all areas.
pub fn total_pages() -> u64 {
    SWAP.totals().0
}

/// Slots that are in use in all areas.
pub fn used_pages() -> u64 {
    let (total, free) = SWAP.totals();
    total - free
}

/// An area by its index, shown as its path.
pub struct Name(pub u8);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SWAP.area(self.0) {
            Some(area) => f.write_str(area.name()),
            None => write!(f, "area {}", self.0),
        }
    }
}

/// The areas that [`enable`] enabled.
#[derive(Debug)]
pub struct Enabled(Vec<u8>);

/// Why swap was not enabled.
#[derive(Debug)]
pub enum EnableError<'a> {
    /// There is no such disk.
    NoDisk(&'a str),
    /// The zram device has no size yet.
    NoSize(&'a str),
    /// The disk takes fewer pages in a request than a batch has.
    ShortRequests(&'a str, usize),
    /// What follows the path is no option.
    Option(&'a str),
    /// The swap core refuses the disk, for a reason that the log has already.
    Refused(&'a str, SwapOnError),
}

impl EnableError<'_> {
    /// What the system call returns.
    pub fn errno(&self) -> Errno {
        match self {
            Self::NoDisk(_) => Errno::ENXIO,
            Self::NoSize(_) | Self::ShortRequests(..) | Self::Option(_) => Errno::EINVAL,
            Self::Refused(_, error) => error.errno().into(),
        }
    }
}

impl fmt::Display for EnableError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSize(path) => write!(f, "swapon {path}: EINVAL: it has no disksize"),
            Self::NoDisk(path) => write!(f, "there is no {path}: start with --swap SIZE or --disk FILE"),
            Self::ShortRequests(path, pages) => {
                write!(f, "swapon {path}: EINVAL: the disk takes {pages} pages in a request, not {BATCH_FOLIOS}")
            }
            Self::Option(word) => write!(
                f,
                "swapon={word}: expected PATH, then any of ,PRIORITY (0 to 32767) ,discard ,discard=once ,discard=pages, \
                 and ,size=SIZE (to 16T) for /dev/ghostswap"
            ),
            Self::Refused(path, error) => write!(f, "swapon {path}: {}: {error}", error.errno()),
        }
    }
}

/// Enables what `swapon=PATH[,PRIORITY][,discard[=once|pages]][,size=SIZE]` words name, in their order; without any, `/dev/vda`.
///
/// # Errors
/// [`EnableError`] for the first that cannot be enabled; those before it stay enabled.
#[expect(clippy::disallowed_methods, reason = "once, as the kernel starts")]
pub fn enable(command_line: CommandLine<'static>) -> Result<Enabled, EnableError<'static>> {
    let mut words: Vec<&str> = command_line.values("swapon").collect();
    if words.is_empty() {
        words.push("/dev/vda");
    }
    let mut enabled = Enabled(Vec::new());
    for word in words {
        let (path, options, size) = parse_swapon(word).ok_or(EnableError::Option(word))?;
        zram::prepare_for_swap(path);
        enabled.0.push(swap_on(path, options, size)?);
    }
    Ok(enabled)
}

/// Enables the disk, zram device or ghost device with this path; only the last can be given a size, in bytes. Returns the
/// area's index.
///
/// # Errors
/// [`EnableError`].
pub fn swap_on<'a>(path: &'a str, options: SwapOnOptions<'_>, size: Option<u64>) -> Result<u8, EnableError<'a>> {
    let refused = |error| EnableError::Refused(path, error);
    if path == quire_swap::ghost::PATH
        && let Some(zswap) = zswap::get()
    {
        let pages = size.map_or_else(ghost::default_pages, |bytes| bytes.div_ceil(PAGE_SIZE as u64));
        return zswap.swapon_ghost(pages, options).map_err(refused);
    }
    let disk: Arc<dyn quire_swap::Disk<Quire>> = match zram::device(path) {
        Some(zram) => zram.open().ok_or(EnableError::NoSize(path))?,
        None => virtio_disk(path)?,
    };
    SWAP.swapon(&disk, options).map_err(refused)
}

fn virtio_disk(path: &str) -> Result<Arc<SwapDisk>, EnableError<'_>> {
    let disk = disk::named(path).ok_or(EnableError::NoDisk(path))?;
    if disk.geometry().max_segments < BATCH_FOLIOS {
        return Err(EnableError::ShortRequests(path, disk.geometry().max_segments));
    }
    let name = fallible::text(format_args!("{path}"));
    let disk = name.and_then(|name| fallible::shared(SwapDisk { disk, name }));
    disk.map_err(|_| EnableError::Refused(path, SwapOnError::NoMemory))
}

/// The path and the options of a `swapon=` word, with the names that `swapon(8)` gives them, and the size of the ghost device.
fn parse_swapon(word: &str) -> Option<(&str, SwapOnOptions<'_>, Option<u64>)> {
    let mut parts = word.split(',');
    let path = parts.next()?;
    let mut options = SwapOnOptions::default();
    let mut size = None;
    for part in parts {
        if let Some(bytes) = part.strip_prefix("size=").filter(|_| path == quire_swap::ghost::PATH) {
            size = Some(parse_size(bytes).filter(|bytes| (1..=MOST_BYTES).contains(bytes))?);
            continue;
        }
        match part {
            "discard" => options.discard = Discard::Both,
            "discard=once" => options.discard = Discard::Once,
            "discard=pages" => options.discard = Discard::Pages,
            priority => options.priority = Some(priority.parse().ok().filter(|priority| *priority >= 0)?),
        }
    }
    Some((path, options, size))
}

/// The largest ghost area.
const MOST_BYTES: u64 = quire_swap::ghost::MOST_PAGES * PAGE_SIZE as u64;

impl Enabled {
    /// The areas, in the order in which they were enabled.
    pub fn areas(&self) -> &[u8] {
        &self.0
    }

    /// Disables the areas again, the last one first. One that is not enabled any more is left out.
    ///
    /// # Errors
    /// [`SwapOffError`] when one stays.
    pub fn disable(self) -> Result<(), SwapOffError> {
        self.0.into_iter().rev().filter(|area| SWAP.area(*area).is_some()).try_for_each(disable)
    }
}

/// Disables one area.
///
/// # Errors
/// [`SwapOffError`]; the area works as before.
pub fn disable(area: u8) -> Result<(), SwapOffError> {
    let thread = task::current();
    thread.set_disables_swap(true);
    LEAVING.start();
    let result = SWAP.swapoff(area, &mut AddressSpaces { area, next_line: clock::since_boot() + LINE_EVERY });
    LEAVING.end();
    LEFT.wake_all();
    thread.set_disables_swap(false);
    result
}

static LEAVING: Leaving = Leaving::new();
/// Tasks that wait until an area was disabled, or stayed.
static LEFT: WaitQueue = WaitQueue::new();

/// What a task that may get no frame knows of the areas that are being disabled.
pub struct Patience(usize);

impl Default for Patience {
    fn default() -> Self {
        Self(LEAVING.ended())
    }
}

impl Patience {
    /// Has one of those that disable areas give up, or end otherwise, which the caller sleeps for; it keeps no lock that
    /// bringing a page back takes. False if there is no hope in that, as for whoever disables an area itself.
    pub fn is_worth_it(&mut self) -> bool {
        if disables_swap() {
            return false;
        }
        match LEAVING.ask(&mut self.0) {
            Hope::None => false,
            Hope::Now => true,
            Hope::Soon => {
                LEFT.wait_until(|| LEAVING.has_ended_since(self.0) || task::is_killed());
                true
            }
        }
    }
}

/// Whether the current thread disables an area: it gives up rather than have a task killed.
pub fn disables_swap() -> bool {
    task::scheduler::with_current(task::Thread::disables_swap).unwrap_or(false)
}

/// How often a long `swapoff` says how far it is.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Everybody who can have swap entries.
struct AddressSpaces {
    area: u8,
    next_line: Duration,
}

/// Whether another page can come back without another task's having to die for it: there are free frames, or a place
/// elsewhere for what has to make room.
fn is_room() -> bool {
    !LEAVING.is_asked() && (SWAP.has_space() || physical::free_frames() > physical::watermarks().high)
}

impl Users for AddressSpaces {
    fn progress(&mut self, left: u64, total: u64) {
        if clock::since_boot() >= self.next_line {
            self.next_line = clock::since_boot() + LINE_EVERY;
            log!("swap", "swapoff {}: {left} of {total} pages left", Name(self.area));
        }
    }

    fn bring_back(&mut self, slots: &SlotRange) -> Result<(), SwapOffError> {
        for space in address_space::all() {
            let mut from = 0;
            while let Some((page, entry)) = space.next_entry(from, slots) {
                self.check()?;
                if SWAP.lookup(entry).is_none() && !is_room() {
                    return Err(SwapOffError::NoMemory);
                }
                fault::bring_back(&space, page, entry).map_err(|AllocationError| SwapOffError::NoMemory)?;
                from = page + PAGE_SIZE as u64;
            }
        }
        for object in rmap::objects() {
            if !is_room() {
                return Err(SwapOffError::NoMemory);
            }
            let brought_back = object.bring_back(|entry| slots.contains(entry));
            self.check()?;
            brought_back.map_err(|AllocationError| SwapOffError::NoMemory)?;
        }
        Ok(())
    }

    fn has_space(&self) -> bool {
        is_room()
    }

    fn gives_up(&self) -> Option<SwapOffError> {
        if task::check_signals().is_err() {
            return Some(SwapOffError::Interrupted);
        }
        LEAVING.is_asked().then_some(SwapOffError::NoMemory)
    }

    fn map_refused(&mut self, slots: &SlotRange) {
        for space in address_space::all() {
            let mut from = 0;
            while let Some((page, entry)) = space.next_entry(from, slots) {
                // Without a frame for a page table the page stays where it is: in memory, and found by whoever needs it.
                if SWAP.is_refused(entry) && fault::bring_back(&space, page, entry).is_err() {
                    return;
                }
                from = page + PAGE_SIZE as u64;
            }
        }
        for object in rmap::objects() {
            if object.bring_back(|entry| slots.contains(entry) && SWAP.is_refused(entry)).is_err() {
                return;
            }
        }
    }
}
