//! The virtio block device (virtio 1.1, section 5.2), with many requests in flight.
//!
//! It stands on virtio-drivers' transport and [`VirtQueue`]. A request of up to [`MAX_SEGMENTS`] pieces of memory is one
//! indirect descriptor list and takes one place of the queue; there are [`QUEUE_SIZE`] places.
//!
//! # Submitting
//!
//! [`submit`](VirtioBlk::submit) queues, [`kick`](VirtioBlk::kick) rings the doorbell once for all that was queued since
//! the last kick, and only if the device wants to hear it. A task that submits must kick before waiting.
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
//! A completion no task waits for, a status that does not exist, or the device's own wish to be reset stop it: it is reset,
//! so that it no longer writes to memory, and only once it confirms the reset do all requests end as
//! [`BlockError::Stopped`].

mod envelopes;
mod queue;
mod start;

use alloc::{boxed::Box, vec::Vec};
use core::sync::atomic::{Ordering, fence};

use virtio_drivers::{
    queue::VirtQueue,
    transport::{DeviceStatus, Transport},
};

use crate::{
    Hal,
    block::{BlockError, DiskNumber, Finished, Geometry, MAX_SEGMENTS, NotQueued, Operation, Request, SECTOR_BYTES},
};
use envelopes::{Envelopes, protocol};
use queue::QUEUE;
pub use queue::QUEUE_SIZE;
pub use start::StartError;

/// The most kernel heap that virtio-drivers takes while requests are in flight: for each one a list of 16-byte descriptors
/// for its segments, header and status. The kernel keeps this much in reserve for every disk, because the lists are
/// allocated on the way out of memory.
pub const DESCRIPTOR_HEAP_BYTES: usize = QUEUE_SIZE * (MAX_SEGMENTS + 2) * 16;

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
        let started = start::negotiate(&mut transport, disk).and_then(|(geometry, indirect)| {
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

    /// Whether the device was told to stop and has not confirmed it: then no interrupt will come, and the caller looks again.
    pub const fn is_resetting(&self) -> bool {
        matches!(self.health, Health::Resetting(_))
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
        let mut buffers = unsafe { self.envelopes.buffers(&request, place) };
        // SAFETY: the envelope stays taken and the request stays in `in_flight`, which keeps its segments' owner from
        // touching them, until `complete` passes the same buffers to `pop_used` or the device has been reset.
        let added = unsafe {
            let (inputs, outputs) = buffers.as_slices();
            self.queue.add(inputs, outputs)
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
        let mut buffers = unsafe { self.envelopes.buffers(&request, place) };
        // SAFETY: these are the buffers that `submit` got this token for: both are computed from request and place. It
        // succeeds, since the token is the one that was just seen.
        let popped = unsafe {
            let (inputs, outputs) = buffers.as_slices();
            self.queue.pop_used(token, inputs, outputs)
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
