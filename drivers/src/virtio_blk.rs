//! The virtio block device (virtio 1.1, section 5.2), with many requests in flight.
//!
//! It stands on virtio-drivers' transport and [`VirtQueue`]. A request of up to [`MAX_SEGMENTS`] pieces of memory is one
//! indirect descriptor list and takes one place of the queue; there are [`QUEUE_SIZE`] places.
//!
//! # Submitting
//!
//! [`submit`](VirtioBlk::submit) queues, [`kick`](VirtioBlk::kick) rings the doorbell once for all that was queued since
//! the last kick, and only if the device wants to hear it. Whoever submits must kick before waiting.
//!
//! # Completing
//!
//! The interrupt handler touches nothing here; it counts and wakes a thread. That thread, under the lock that the kernel
//! keeps the device in, calls [`interrupted`](VirtioBlk::interrupted), which silences further interrupts, then
//! [`complete`](VirtioBlk::complete) until it yields nothing, delivering each [`Finished`] without the lock, and then
//! [`rearm`](VirtioBlk::rearm). When that says that another request finished in between, interrupts stay silent and the
//! thread goes on completing. So no finished request is left without either an interrupt to come or a thread that looks.
//! Calling `complete` without any interrupt is allowed at all times.
//!
//! # Notification suppression
//!
//! Both directions use the rings' flags. `VIRTIO_F_EVENT_IDX` is not accepted although devices offer it: virtio-drivers
//! 0.13 compares the ring indices without regard to their wrapping, so that a doorbell is lost about once in 65,536
//! requests, and the request waits forever.
//!
//! # When the device misbehaves
//!
//! A completion nobody waits for, a status that does not exist, or the device's own wish to be reset stop it: it is reset,
//! so that it no longer writes to memory, and only once it confirms the reset do all requests end as
//! [`BlockError::Stopped`].

use alloc::{boxed::Box, vec::Vec};
use core::{
    array,
    num::NonZeroU32,
    ptr::NonNull,
    slice,
    sync::atomic::{Ordering, fence},
};

use virtio_drivers::{
    BufferDirection, PAGE_SIZE, PhysAddr,
    queue::VirtQueue,
    transport::{DeviceStatus, DeviceType, Transport},
};

use crate::{
    Hal,
    block::{BlockError, DiskNumber, Finished, Geometry, MAX_SEGMENTS, NotQueued, Operation, Request, SECTOR_BYTES},
};

/// The most requests in flight. QEMU's queue has 256 places by default; the driver may use fewer.
pub const QUEUE_SIZE: usize = 64;

/// The most kernel heap that virtio-drivers takes while requests are in flight: for each one a list of 16-byte descriptors
/// for its segments, header and status. The kernel keeps this much in reserve for every disk, because the lists are
/// allocated on the way out of memory.
pub const DESCRIPTOR_HEAP_BYTES: usize = QUEUE_SIZE * (MAX_SEGMENTS + 2) * 16;

/// The device's only queue.
const QUEUE: u16 = 0;

/// Feature bits (sections 5.2.3 and 6).
mod feature {
    pub(super) const SEG_MAX: u64 = 1 << 2;
    pub(super) const READ_ONLY: u64 = 1 << 5;
    pub(super) const FLUSH: u64 = 1 << 9;
    pub(super) const DISCARD: u64 = 1 << 13;
    pub(super) const INDIRECT: u64 = 1 << 28;
    pub(super) const VERSION_1: u64 = 1 << 32;
    pub(super) const SUPPORTED: u64 = SEG_MAX | READ_ONLY | FLUSH | DISCARD | INDIRECT | VERSION_1;
}

/// Offsets in the device's configuration (section 5.2.4).
mod configuration {
    pub(super) const CAPACITY_LOW: usize = 0;
    pub(super) const CAPACITY_HIGH: usize = 4;
    pub(super) const SEG_MAX: usize = 12;
    pub(super) const MAX_DISCARD_SECTORS: usize = 36;
}

/// Request types and answers (section 5.2.6).
mod protocol {
    pub(super) const READ: u32 = 0;
    pub(super) const WRITE: u32 = 1;
    pub(super) const FLUSH: u32 = 4;
    pub(super) const DISCARD: u32 = 11;
    pub(super) const OK: u8 = 0;
    pub(super) const IO_ERROR: u8 = 1;
    pub(super) const UNSUPPORTED: u8 = 2;
    /// What the status byte holds until the device writes it; no answer has this value.
    pub(super) const UNANSWERED: u8 = 0xff;
}

/// What has been done since the device was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Reads given to the device.
    pub reads: u64,
    /// Writes given to the device.
    pub writes: u64,
    /// Flushes given to the device.
    pub flushes: u64,
    /// Discards given to the device.
    pub discards: u64,
    /// Segments of the reads and writes.
    pub segments: u64,
    /// Bytes of successful reads.
    pub bytes_read: u64,
    /// Bytes of successful writes.
    pub bytes_written: u64,
    /// Times the device was told of new requests.
    pub doorbells: u64,
    /// Times the device interrupted.
    pub interrupts: u64,
    /// Requests that failed, those that never reached the device included.
    pub errors: u64,
    /// Requests the device has now.
    pub in_flight: u64,
    /// The most requests the device had at once.
    pub max_in_flight: u64,
}

/// How the device broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misbehaviour {
    /// It finished a request that it does not have.
    #[error("it finished request {0}, which it does not have")]
    UnknownToken(u16),
    /// It answered with a status that does not exist.
    #[error("it answered with the unknown status {0:#x}")]
    UnknownStatus(u8),
    /// It asked to be reset.
    #[error("it asked to be reset")]
    NeedsReset,
}

/// Why a device could not be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Not a block device but this.
    #[error("{disk}: the device is a {kind:?}")]
    WrongKind {
        /// The disk it was to become.
        disk: DiskNumber,
        /// What it is.
        kind: DeviceType,
    },
    /// The device does not speak virtio 1 or later.
    #[error("{disk}: the device does not offer virtio 1")]
    Legacy {
        /// The disk it was to become.
        disk: DiskNumber,
    },
    /// The device did not accept a subset of what it offered.
    #[error("{disk}: the device refused the features {features:#x}")]
    FeaturesRefused {
        /// The disk it was to become.
        disk: DiskNumber,
        /// The feature bits.
        features: u64,
    },
    /// The device has no usable size, limits or queue, or there is no memory for the queue.
    #[error("{disk}: {cause}")]
    Virtio {
        /// The disk it was to become.
        disk: DiskNumber,
        /// What virtio-drivers says.
        cause: virtio_drivers::Error,
    },
    /// The transport could not enable the queue, for example because the device refused its interrupt vector.
    #[error("{disk}: the queue could not be enabled")]
    QueueRefused {
        /// The disk it was to become.
        disk: DiskNumber,
    },
    /// There is no memory for the requests' headers.
    #[error("{disk}: no memory for request headers")]
    NoMemory {
        /// The disk it was to become.
        disk: DiskNumber,
    },
}

/// What the device reads and writes besides a request's segments.
#[repr(C)]
struct Envelope {
    header: Header,
    discard: DiscardRange,
    status: u8,
}

#[repr(C)]
struct Header {
    operation: u32,
    reserved: u32,
    sector: u64,
}

#[repr(C)]
struct DiscardRange {
    sector: u64,
    sectors: u32,
    flags: u32,
}

/// One page of DMA memory that holds the envelopes of all requests.
///
/// Invariant: an envelope whose place is taken is the device's; the others are the driver's.
struct Envelopes<H: Hal> {
    address: PhysAddr,
    base: NonNull<Envelope>,
    /// Bit n is set while envelope n is free.
    free: u64,
    _hal: core::marker::PhantomData<H>,
}

const _: () = assert!(QUEUE_SIZE * size_of::<Envelope>() <= PAGE_SIZE && QUEUE_SIZE == u64::BITS as usize);

// SAFETY: the page belongs to this value alone and is the same from every processor.
unsafe impl<H: Hal> Send for Envelopes<H> {}

impl<H: Hal> Envelopes<H> {
    fn new() -> Option<Self> {
        let (address, base) = H::dma_alloc(1, BufferDirection::Both);
        (address != 0).then(|| Self { address, base: base.cast(), free: u64::MAX, _hal: core::marker::PhantomData })
    }

    /// Takes a free envelope and fills it in for the request.
    fn take(&mut self, request: &Request) -> Option<usize> {
        if self.free == 0 {
            return None;
        }
        let place = self.free.trailing_zeros() as usize;
        self.free &= self.free - 1;
        let (operation, sectors) = match request.operation() {
            Operation::Read => (protocol::READ, 0),
            Operation::Write => (protocol::WRITE, 0),
            Operation::Flush => (protocol::FLUSH, 0),
            Operation::Discard { sectors } => (protocol::DISCARD, sectors),
        };
        // Section 5.2.6.1: the header's sector is 0 for whatever is not a read or a write.
        let sector = if request.segments().is_empty() { 0 } else { request.sector() };
        let envelope = Envelope {
            header: Header { operation, reserved: 0, sector },
            discard: DiscardRange { sector: request.sector(), sectors, flags: 0 },
            status: protocol::UNANSWERED,
        };
        // SAFETY: `place` < 64, so it is within the page; it was free, so the device does not use it.
        unsafe { self.base.add(place).write(envelope) };
        Some(place)
    }

    /// The device's answer in an envelope that it is done with, which becomes free.
    fn put_back(&mut self, place: usize) -> u8 {
        self.free |= 1 << place;
        // SAFETY: `place` came from `take`, so it is within the page. Volatile, because the device wrote it.
        unsafe { (&raw const (*self.base.add(place).as_ptr()).status).read_volatile() }
    }
}

impl<H: Hal> Drop for Envelopes<H> {
    fn drop(&mut self) {
        // SAFETY: the page is from `dma_alloc`, and the device was reset before its memory goes.
        unsafe { H::dma_dealloc(self.address, self.base.cast(), 1) };
    }
}

/// A request as the slices that `VirtQueue` wants: header, then data either way, then status.
struct Buffers<'a> {
    inputs: [&'a [u8]; MAX_SEGMENTS + 2],
    input_count: usize,
    outputs: [&'a mut [u8]; MAX_SEGMENTS + 1],
    output_count: usize,
}

impl<'a> Buffers<'a> {
    /// # Safety
    ///
    /// The envelope at `envelope` is taken for this request, and no slices of the two exist.
    unsafe fn new<H: Hal>(request: &Request, envelope: NonNull<Envelope>) -> Self {
        let mut buffers = Self {
            inputs: [&[]; MAX_SEGMENTS + 2],
            input_count: 0,
            outputs: array::from_fn(|_| Default::default()),
            output_count: 0,
        };
        let envelope = envelope.as_ptr();
        // SAFETY: the header is initialised memory of an envelope that nobody writes while the request has it.
        buffers
            .push_input(unsafe { slice::from_raw_parts((&raw const (*envelope).header).cast(), size_of::<Header>()) });
        if matches!(request.operation(), Operation::Discard { .. }) {
            // SAFETY: as for the header.
            let range =
                unsafe { slice::from_raw_parts((&raw const (*envelope).discard).cast(), size_of::<DiscardRange>()) };
            buffers.push_input(range);
        }
        for segment in request.segments() {
            let bytes = segment.bytes() as usize;
            // SAFETY: whoever made the segment promised that it is RAM that nobody else writes, and for a read also
            // that nobody else reads, until the request ends.
            unsafe {
                let start = H::physical_to_virtual(segment.address(), bytes).as_ptr();
                match request.operation() {
                    Operation::Read => buffers.push_output(slice::from_raw_parts_mut(start, bytes)),
                    _ => buffers.push_input(slice::from_raw_parts(start, bytes)),
                }
            }
        }
        // SAFETY: the status is memory of the same envelope, apart from header and range.
        buffers.push_output(unsafe { slice::from_raw_parts_mut(&raw mut (*envelope).status, 1) });
        buffers
    }

    fn push_input(&mut self, input: &'a [u8]) {
        self.inputs[self.input_count] = input;
        self.input_count += 1;
    }

    fn push_output(&mut self, output: &'a mut [u8]) {
        self.outputs[self.output_count] = output;
        self.output_count += 1;
    }
}

/// A request that the device has.
struct InFlight {
    request: Request,
    /// Which envelope it uses.
    place: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Working,
    /// The reset was asked for but not confirmed; the device may still write to memory.
    Resetting(Misbehaviour),
    Stopped(Misbehaviour),
}

/// A virtio disk.
///
/// Dropping it resets the device; requests in flight then end as [`BlockError::Abandoned`].
pub struct VirtioBlk<H: Hal, T: Transport> {
    // Dropped first: no memory below goes before the device has let go of it.
    transport: T,
    queue: VirtQueue<H, QUEUE_SIZE>,
    envelopes: Envelopes<H>,
    /// By token, which is the first descriptor of the request.
    in_flight: Box<[Option<InFlight>]>,
    disk: DiskNumber,
    geometry: Geometry,
    health: Health,
    /// Whether something was queued since the last kick.
    unannounced: bool,
    counters: Counters,
}

impl<H: Hal, T: Transport> VirtioBlk<H, T> {
    /// Starts the device; its interrupts are on afterwards.
    ///
    /// # Errors
    ///
    /// The device is not a virtio 1 disk, or it refuses what it offered, or memory is short. It is left failed.
    pub fn new(mut transport: T, disk: DiskNumber) -> Result<Self, StartError> {
        let started = Self::negotiate(&mut transport, disk).and_then(|(geometry, indirect)| {
            let queue = VirtQueue::new(&mut transport, QUEUE, indirect, false)
                .map_err(|cause| StartError::Virtio { disk, cause })?;
            if !transport.queue_used(QUEUE) {
                return Err(StartError::QueueRefused { disk });
            }
            let envelopes = Envelopes::new().ok_or(StartError::NoMemory { disk })?;
            Ok((geometry, queue, envelopes))
        });
        let (geometry, queue, envelopes) = match started {
            Ok(started) => started,
            Err(error) => {
                transport.set_status(DeviceStatus::FAILED);
                return Err(error);
            }
        };
        transport.finish_init();
        let in_flight = (0..QUEUE_SIZE).map(|_| None).collect::<Vec<_>>().into_boxed_slice();
        Ok(Self {
            transport,
            queue,
            envelopes,
            in_flight,
            disk,
            geometry,
            health: Health::Working,
            unannounced: false,
            counters: Counters::default(),
        })
    }

    /// Agrees on features and reads what the disk can do; also says whether there are indirect descriptors.
    fn negotiate(transport: &mut T, disk: DiskNumber) -> Result<(Geometry, bool), StartError> {
        let kind = transport.device_type();
        if kind != DeviceType::Block {
            return Err(StartError::WrongKind { disk, kind });
        }
        transport.set_status(DeviceStatus::empty());
        transport.set_status(DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER);
        let features = transport.read_device_features() & feature::SUPPORTED;
        if features & feature::VERSION_1 == 0 {
            return Err(StartError::Legacy { disk });
        }
        transport.write_driver_features(features);
        transport.set_status(DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER | DeviceStatus::FEATURES_OK);
        if !transport.get_status().contains(DeviceStatus::FEATURES_OK) {
            return Err(StartError::FeaturesRefused { disk, features });
        }
        let offered = |bit| features & bit != 0;
        let read =
            |offset| transport.read_config_space::<u32>(offset).map_err(|cause| StartError::Virtio { disk, cause });
        let seg_max = if offered(feature::SEG_MAX) { read(configuration::SEG_MAX)? as usize } else { MAX_SEGMENTS };
        let max_discard = if offered(feature::DISCARD) { read(configuration::MAX_DISCARD_SECTORS)? } else { 0 };
        let geometry = Geometry {
            sectors: u64::from(read(configuration::CAPACITY_HIGH)?) << 32
                | u64::from(read(configuration::CAPACITY_LOW)?),
            read_only: offered(feature::READ_ONLY),
            volatile_cache: offered(feature::FLUSH),
            max_discard_sectors: NonZeroU32::new(max_discard),
            max_segments: seg_max.clamp(1, MAX_SEGMENTS),
        };
        Ok((geometry, offered(feature::INDIRECT)))
    }

    /// Which disk this is.
    pub const fn disk(&self) -> DiskNumber {
        self.disk
    }

    /// What the disk can do.
    pub const fn geometry(&self) -> Geometry {
        self.geometry
    }

    /// What it has done.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// Why the device was stopped, if it was.
    pub const fn misbehaviour(&self) -> Option<Misbehaviour> {
        match self.health {
            Health::Working => None,
            Health::Resetting(why) | Health::Stopped(why) => Some(why),
        }
    }

    /// Puts the request into the device's queue without telling the device; see [`kick`](Self::kick).
    ///
    /// # Errors
    ///
    /// [`NotQueued::Busy`] when there is no room until a request completes, [`NotQueued::Finished`] when the request
    /// ended here: it cannot be done, or there is nothing to do.
    #[expect(clippy::result_large_err, reason = "the request comes back by value so that nothing is allocated")]
    pub fn submit(&mut self, request: Request) -> Result<(), NotQueued> {
        if let Some(result) = self.without_device(&request) {
            return Err(NotQueued::Finished(self.finish(request, result)));
        }
        let Some(place) = self.envelopes.take(&request) else { return Err(NotQueued::Busy(request)) };
        // SAFETY: the envelope was just taken for this request.
        let mut buffers = unsafe { Buffers::new::<H>(&request, self.envelopes.base.add(place)) };
        // SAFETY: the envelope stays taken and the request stays in `in_flight`, which keeps its segments' owner from
        // touching them, until `complete` passes the same buffers to `pop_used` or the device has been reset.
        let added = unsafe {
            self.queue.add(&buffers.inputs[..buffers.input_count], &mut buffers.outputs[..buffers.output_count])
        };
        let Some(entry) = added.ok().and_then(|token| self.in_flight.get_mut(usize::from(token))) else {
            // Only without indirect descriptors: a request then takes one place for each buffer.
            self.envelopes.put_back(place);
            return Err(NotQueued::Busy(request));
        };
        self.unannounced = true;
        let counters = &mut self.counters;
        *match request.operation() {
            Operation::Read => &mut counters.reads,
            Operation::Write => &mut counters.writes,
            Operation::Flush => &mut counters.flushes,
            Operation::Discard { .. } => &mut counters.discards,
        } += 1;
        counters.segments += request.segments().len() as u64;
        counters.in_flight += 1;
        counters.max_in_flight = counters.max_in_flight.max(counters.in_flight);
        *entry = Some(InFlight { request, place });
        Ok(())
    }

    /// How the request ends without the device, if it does.
    fn without_device(&self, request: &Request) -> Option<Result<(), BlockError>> {
        let (disk, sector, bytes) = (self.disk, request.sector(), request.bytes());
        let whole_sectors = bytes.is_multiple_of(SECTOR_BYTES);
        let geometry = &self.geometry;
        let sectors = match request.operation() {
            _ if self.health != Health::Working => return Some(Err(BlockError::Stopped { disk, sector })),
            Operation::Read | Operation::Write if bytes > 0 && whole_sectors => bytes / SECTOR_BYTES,
            Operation::Discard { sectors } if bytes == 0 && sectors > 0 => u64::from(sectors),
            Operation::Flush if bytes == 0 => return (!geometry.volatile_cache).then_some(Ok(())),
            _ => return Some(Err(BlockError::Malformed { disk, sector, bytes })),
        };
        if request.operation() != Operation::Read && geometry.read_only {
            return Some(Err(BlockError::ReadOnly { disk, sector }));
        }
        if sector.checked_add(sectors).is_none_or(|end| end > geometry.sectors) {
            return Some(Err(BlockError::OutOfRange { disk, sector, sectors }));
        }
        if let Operation::Discard { sectors } = request.operation()
            && geometry.max_discard_sectors.is_none_or(|max| sectors > max.get())
        {
            return Some(Err(BlockError::NoDiscard { disk, sector, sectors }));
        }
        let segments = request.segments().len();
        (segments > geometry.max_segments).then_some(Err(BlockError::TooManySegments { disk, sector, segments }))
    }

    /// Tells the device of what was submitted since the last kick, unless it is looking anyway.
    pub fn kick(&mut self) {
        if !self.unannounced {
            return;
        }
        self.unannounced = false;
        // The new ring index must be visible before the device's wish is read: a device that stops looking states its
        // wish first and then looks once more, so one of the two sees the other.
        fence(Ordering::SeqCst);
        if self.queue.should_notify() {
            self.counters.doorbells += 1;
            self.transport.notify(QUEUE);
        }
    }

    /// Counts the interrupt that woke the caller and silences further ones until [`rearm`](Self::rearm).
    pub fn interrupted(&mut self) {
        self.counters.interrupts += 1;
        self.queue.set_dev_notify(false);
    }

    /// Takes one request that the device has finished, to be delivered once the caller has let go of its lock.
    pub fn complete(&mut self) -> Option<Finished> {
        if self.health == Health::Working {
            if let Some(finished) = self.pop() {
                return Some(finished);
            }
            if self.transport.get_status().contains(DeviceStatus::DEVICE_NEEDS_RESET) {
                self.stop(Misbehaviour::NeedsReset);
            }
        }
        self.take_stopped()
    }

    /// Takes the next request off the used ring; if the device broke the protocol there, stops it.
    fn pop(&mut self) -> Option<Finished> {
        let token = self.queue.peek_used()?;
        let Some(InFlight { request, place }) = self.in_flight.get_mut(usize::from(token)).and_then(Option::take)
        else {
            self.stop(Misbehaviour::UnknownToken(token));
            return None;
        };
        self.counters.in_flight -= 1;
        // SAFETY: the envelope is still taken for this request, and the device is done with both.
        let mut buffers = unsafe { Buffers::new::<H>(&request, self.envelopes.base.add(place)) };
        // SAFETY: these are the buffers that `submit` got this token for: both are computed from request and place. It
        // succeeds, since the token is the one that was just seen.
        let popped = unsafe {
            self.queue.pop_used(
                token,
                &buffers.inputs[..buffers.input_count],
                &mut buffers.outputs[..buffers.output_count],
            )
        };
        debug_assert!(popped.is_ok(), "{popped:?}");
        let (disk, sector) = (self.disk, request.sector());
        let result = match self.envelopes.put_back(place) {
            protocol::OK => Ok(()),
            protocol::IO_ERROR => Err(BlockError::Device { disk, sector }),
            protocol::UNSUPPORTED => Err(BlockError::Unsupported { disk, sector }),
            unknown => {
                self.stop(Misbehaviour::UnknownStatus(unknown));
                Err(BlockError::Stopped { disk, sector })
            }
        };
        Some(self.finish(request, result))
    }

    /// Resets the device, so that it lets go of all memory.
    fn stop(&mut self, why: Misbehaviour) {
        self.transport.set_status(DeviceStatus::empty());
        self.health = Health::Resetting(why);
    }

    /// Takes one request that a stopped device had.
    fn take_stopped(&mut self) -> Option<Finished> {
        if let Health::Resetting(why) = self.health
            && self.transport.get_status().is_empty()
        {
            self.health = Health::Stopped(why);
        }
        let Health::Stopped(_) = self.health else { return None };
        let InFlight { request, .. } = self.in_flight.iter_mut().find_map(Option::take)?;
        self.counters.in_flight -= 1;
        let error = BlockError::Stopped { disk: self.disk, sector: request.sector() };
        Some(self.finish(request, Err(error)))
    }

    /// Counts the end of a request.
    fn finish(&mut self, request: Request, result: Result<(), BlockError>) -> Finished {
        match (result, request.operation()) {
            (Ok(()), Operation::Read) => self.counters.bytes_read += request.bytes(),
            (Ok(()), Operation::Write) => self.counters.bytes_written += request.bytes(),
            (Ok(()), _) => {}
            (Err(_), _) => self.counters.errors += 1,
        }
        request.finish(result)
    }

    /// Lets the device interrupt again. False if something finished in the meantime: then interrupts stay silent and the
    /// caller goes on with [`complete`](Self::complete).
    #[must_use = "false means that there is more to complete"]
    pub fn rearm(&mut self) -> bool {
        if self.health != Health::Working {
            return true;
        }
        self.queue.set_dev_notify(true);
        // The device reads the flag after it has advanced the ring; here it is the other way round.
        fence(Ordering::SeqCst);
        if self.queue.can_pop() {
            self.queue.set_dev_notify(false);
            return false;
        }
        true
    }
}

impl<H: Hal, T: Transport> Drop for VirtioBlk<H, T> {
    fn drop(&mut self) {
        self.transport.set_status(DeviceStatus::empty());
    }
}

#[cfg(test)]
mod tests;
