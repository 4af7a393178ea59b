//! The disks: finding them, giving them requests, and the thread that completes those.
//!
//! # How a request ends
//!
//! The interrupt only wakes the disk's thread. That thread takes finished requests from the device one by one under the
//! disk's lock and delivers each without it, so a completion may wake, lock and submit as it likes. The thread may use
//! the reserve for reclaim and never waits for memory or for another request: whatever waits for a request is served.
//!
//! # Locking
//!
//! The device is behind one spinning lock. A submitter that finds no room sleeps until the thread has completed
//! something. The thread itself, which submits when a completion does, cannot wait for itself: what finds no room then is
//! put off until the next completion has made some. No lock is held while a task waits.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU32;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;

use arrayvec::ArrayVec;
use quire_drivers::block::{
    BlockError, Completion, DiskNumber, DmaMemory, Geometry, MAX_SEGMENTS, NotQueued, Operation, Request, SECTOR_BYTES,
    Segment,
};
use quire_drivers::pci::{self, ConfigurationPorts, Interrupt, MsixTransport};
use quire_drivers::virtio_blk::{Counters, VirtioBlk};
use quire_machine::arch::{apic, trap, vectors};
use quire_machine::dma::{self, KernelHal};
use quire_machine::fallible;
use quire_machine::log;
use quire_machine::sync::{Rank, SpinLock};
use quire_machine::task::{self, WaitQueue};
use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::{DeviceState, POOL_BATCHES};
use spin::Once;

/// A virtio disk.
pub struct VirtioDisk {
    number: DiskNumber,
    geometry: Geometry,
    device: SpinLock<VirtioBlk<KernelHal, MsixTransport>>,
    bell: &'static Bell,
    room: WaitQueue,
    completed: AtomicU64,
    /// The thread that completes requests, by its number.
    completer: Once<u32>,
    /// What completions submitted and found no room for. Only the disk's thread uses it.
    put_off: SpinLock<VecDeque<Request>>,
    device_state: Arc<DeviceState>,
    rotational: AtomicBool,
    /// It was said that the device broke the protocol.
    stopped: Once<()>,
}

/// What a disk's interrupt rings.
struct Bell {
    rung: AtomicBool,
    thread: WaitQueue,
}

/// Sectors in a page.
pub const SECTORS_PER_PAGE: u64 = PAGE_SIZE as u64 / SECTOR_BYTES;

const _: () =
    assert!(SECTORS_PER_PAGE == quire_swap::SECTORS_PER_PAGE, "swap and the drivers count in the same sectors");

/// How long a device may take to confirm that it has let go of its requests before it is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// The most disks.
const DISKS: usize = vectors::DEVICES as usize;

static BELLS: [Bell; DISKS] = [const { Bell { rung: AtomicBool::new(false), thread: WaitQueue::new() } }; DISKS];
static FOUND: Once<Vec<Arc<VirtioDisk>>> = Once::new();

/// Finds the disks and starts them; one that cannot be used is named in the log and left alone.
#[expect(clippy::disallowed_methods, reason = "once, as the kernel starts")]
#[expect(unsafe_code, reason = "the configuration ports and each disk have one user, and this is where it is made")]
pub fn start() {
    FOUND.call_once(|| {
        // SAFETY: this is the only place that uses the configuration ports.
        let ports = unsafe { ConfigurationPorts::new() };
        let mut disks = Vec::new();
        for (index, function) in pci::virtio_disks(&ports).into_iter().take(DISKS).enumerate() {
            let number = DiskNumber(index as u8);
            let bell = &BELLS[index];
            let Some(vector) = trap::allocate_vector(ring, index) else { break };
            let interrupt = Interrupt { apic_id: apic::id(), vector };
            // SAFETY: the function was just found there, and is this driver's alone; the vector was taken for it.
            let transport = unsafe { MsixTransport::new::<KernelHal, _>(&ports, function, interrupt) };
            let transport = match transport {
                Ok(transport) => transport,
                Err(error) => {
                    log!("disk", "{number}: left alone: {error}");
                    continue;
                }
            };
            match VirtioBlk::new(transport, number) {
                Ok(device) => disks.extend(VirtioDisk::start(number, device, bell)),
                Err(error) => log!("disk", "left alone: {error}"),
            }
        }
        disks
    });
}

fn ring(index: usize) {
    BELLS[index].rung.store(true, Ordering::Release);
    BELLS[index].thread.wake_all();
}

/// All disks.
pub fn all() -> &'static [Arc<VirtioDisk>] {
    FOUND.get().map_or(&[], Vec::as_slice)
}

impl VirtioDisk {
    #[expect(clippy::disallowed_methods, reason = "once, as the kernel starts")]
    fn start(
        number: DiskNumber,
        device: VirtioBlk<KernelHal, MsixTransport>,
        bell: &'static Bell,
    ) -> Option<Arc<Self>> {
        let geometry = device.geometry();
        let disk = Arc::new(Self {
            number,
            geometry,
            device: SpinLock::new(Rank::Disk, device),
            bell,
            room: WaitQueue::new(),
            completed: AtomicU64::new(0),
            completer: Once::new(),
            // At most the batches that there are go on from their completions.
            put_off: SpinLock::new(Rank::Disk, VecDeque::with_capacity(POOL_BATCHES)),
            device_state: Arc::default(),
            rotational: AtomicBool::new(false),
            stopped: Once::new(),
        });
        let for_thread = Arc::clone(&disk);
        let Ok(thread) = task::spawn("disk", move || for_thread.complete_for_ever()) else {
            log!("disk", "{number}: left alone: no memory for its thread");
            return None;
        };
        disk.completer.call_once(|| thread.thread().number());
        log!("disk", "{disk}: {} MiB{}", geometry.sectors >> 11, if geometry.read_only { ", read-only" } else { "" });
        Some(disk)
    }

    /// What the disk can do.
    pub fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// What it has done.
    pub fn counters(&self) -> Counters {
        self.device.lock().counters()
    }

    /// Whether nothing can be written, or nothing may.
    pub fn is_read_only(&self) -> bool {
        self.geometry.read_only || self.device_state.is_read_only()
    }

    /// Whether seeking costs. A virtio disk does not say, so this is what was last set; at first it costs nothing.
    pub fn is_rotational(&self) -> bool {
        self.rotational.load(Ordering::Relaxed)
    }

    /// Sets whether seeking costs.
    pub fn set_rotational(&self, rotational: bool) {
        self.rotational.store(rotational, Ordering::Relaxed);
    }

    /// What all who use the disk share.
    pub fn device_state(&self) -> &Arc<DeviceState> {
        &self.device_state
    }

    /// Gives the disk a request and tells it at once. Sleeps while the disk has no room, but not in a completion.
    #[expect(clippy::disallowed_methods, reason = "it has room for as many as there are batches")]
    pub fn submit(&self, request: Request) {
        let mut next = request;
        loop {
            let completed = self.completed.load(Ordering::Acquire);
            let Some(refused) = self.try_submit(next) else { return };
            if self.completer.get() == Some(&task::current().number()) {
                return self.put_off.lock().push_back(refused);
            }
            self.room.wait_until(|| self.completed.load(Ordering::Acquire) != completed);
            next = refused;
        }
    }

    /// Gives the disk a request; returns it if the disk's queue is full.
    fn try_submit(&self, request: Request) -> Option<Request> {
        let refused = {
            let mut device = self.device.lock();
            let refused = fallible::certain(|| device.submit(request).err());
            device.kick();
            refused
        };
        match refused? {
            NotQueued::Busy(back) => Some(back),
            NotQueued::Finished(finished) => {
                finished.deliver();
                None
            }
        }
    }

    /// Submits what was put off, as far as there is room.
    #[expect(clippy::disallowed_methods, reason = "it has room for as many as there are batches")]
    fn submit_put_off(&self) {
        while let Some(request) = { self.put_off.lock().pop_front() } {
            if let Some(refused) = self.try_submit(request) {
                return self.put_off.lock().push_front(refused);
            }
        }
    }

    /// Does an operation that has no memory and sleeps until it is done.
    ///
    /// # Errors
    /// What the disk answered.
    pub fn run(&self, operation: Operation, sector: u64) -> Result<(), BlockError> {
        self.run_with(operation, sector, Segments::new())
    }

    /// Reads pages, which are in the direct map ([`is_reachable`]), and sleeps until that is done.
    ///
    /// # Errors
    /// What the disk answered.
    pub fn read(&self, sector: u64, pages: &mut [&mut Page]) -> Result<(), BlockError> {
        let segments = self.segments(sector, pages.iter_mut().map(|page| ptr::from_mut::<Page>(page).cast_const()))?;
        self.run_with(Operation::Read, sector, segments)
    }

    /// Writes pages, as [`Self::read`].
    ///
    /// # Errors
    /// What the disk answered.
    pub fn write(&self, sector: u64, pages: &[&Page]) -> Result<(), BlockError> {
        let segments = self.segments(sector, pages.iter().map(|page| ptr::from_ref::<Page>(page)))?;
        self.run_with(Operation::Write, sector, segments)
    }

    #[expect(clippy::disallowed_methods, reason = "an array of a fixed size")]
    fn segments(&self, sector: u64, pages: impl ExactSizeIterator<Item = *const Page>) -> Result<Segments, BlockError> {
        let segments = pages.len();
        if segments > MAX_SEGMENTS {
            return Err(BlockError::TooManySegments { disk: self.number, sector, segments });
        }
        pages.map(segment_of).collect::<Option<_>>().ok_or(BlockError::Abandoned)
    }

    /// The segments are of memory that the caller has borrowed, mutably if it is to be read into.
    fn run_with(&self, operation: Operation, sector: u64, segments: Segments) -> Result<(), BlockError> {
        let outcome = fallible::shared_in_need(Outcome { result: Once::new(), ended: WaitQueue::new() });
        let outcome = outcome.map_err(|_| BlockError::Abandoned)?;
        let waiting = Waiting { outcome: Arc::clone(&outcome), segments };
        let waiting = fallible::boxed_in_need(waiting).map_err(|_| BlockError::Abandoned)?;
        self.submit(Request::with_memory(operation, sector, waiting).ok_or(BlockError::Abandoned)?);
        outcome.ended.wait_until(|| outcome.result.is_completed());
        outcome.result.get().copied().unwrap_or(Err(BlockError::Abandoned))
    }

    fn complete_for_ever(&self) {
        task::current().running().set_reclaims();
        loop {
            self.bell.thread.wait_until(|| self.bell.rung.swap(false, Ordering::Acquire));
            self.device.lock().interrupted();
            loop {
                while let Some(finished) = { self.device.lock().complete() } {
                    finished.deliver();
                    self.submit_put_off();
                    self.completed.fetch_add(1, Ordering::Release);
                    self.room.wake_all();
                }
                let (resetting, idle) = {
                    let mut device = self.device.lock();
                    (device.is_resetting(), device.rearm())
                };
                if resetting {
                    task::time::sleep(LOOK_AGAIN);
                } else if idle {
                    break;
                }
            }
            if let Some(why) = self.device.lock().misbehaviour() {
                self.stopped.call_once(|| log!("disk", "{self} was stopped: {why}"));
            }
        }
    }
}

/// Whether a request can be made for a page.
pub fn is_reachable(page: &Page) -> bool {
    dma::physical_address(page).is_some()
}

fn segment_of(page: *const Page) -> Option<Segment> {
    const PAGE: NonZeroU32 = NonZeroU32::new(PAGE_SIZE as u32).unwrap();
    Some(Segment::new(dma::physical_address(page)?, PAGE))
}

impl fmt::Display for VirtioDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/dev/{}", self.number)
    }
}

struct Outcome {
    result: Once<Result<(), BlockError>>,
    ended: WaitQueue,
}

/// Memory of a caller who waits.
type Segments = ArrayVec<Segment, MAX_SEGMENTS>;

struct Waiting {
    outcome: Arc<Outcome>,
    segments: Segments,
}

impl Completion for Waiting {
    fn complete(self: Box<Self>, result: Result<(), BlockError>) {
        self.outcome.result.call_once(|| result);
        self.outcome.ended.wake_all();
    }
}

// SAFETY: `VirtioDisk::run_with` returns only when the completion was told, and until then its caller has borrowed the memory and does not
// touch it.
#[expect(unsafe_code, reason = "the memory of a caller who waits is borrowed, not owned")]
unsafe impl DmaMemory for Waiting {
    fn for_each_segment(&self, each: impl FnMut(Segment)) {
        self.segments.iter().copied().for_each(each);
    }
}
