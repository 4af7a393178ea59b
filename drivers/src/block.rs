//! The block layer: what a disk is asked for, and how the answer comes back.
//!
//! A [`Request`] is a value with one owner. A task that has it must see to its end, and there are only two: a device finishes
//! it, which yields a [`Finished`] to deliver, or it is dropped, which completes it with [`BlockError::Abandoned`]. Either
//! way its [`Completion`] hears of it exactly once, because hearing consumes it.
//!
//! The memory that a device reads or writes is had by the completion ([`DmaMemory`]): so it is there for as long as the device may
//! touch it, whatever becomes of the request.
//!
//! A request keeps its segments inline: making, queueing and finishing one allocates nothing here. The completion is a
//! box, so that one from a pool can go back to the pool.

use alloc::boxed::Box;
use core::{fmt, num::NonZeroU32};

use arrayvec::ArrayVec;
use virtio_drivers::PhysAddr;

/// The unit of sector numbers, in bytes, whatever the device's own block size.
pub const SECTOR_BYTES: u64 = 512;

/// The most segments that one request can hold.
pub const MAX_SEGMENTS: usize = 32;

/// What to do with a range of sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// From the device into the segments.
    Read,
    /// From the segments to the device.
    Write,
    /// Make every finished write durable. Has no segments and its sector is meaningless.
    Flush,
    /// Forget the content of `sectors` sectors. Has no segments.
    Discard {
        /// How many sectors, from the request's sector on.
        sectors: u32,
    },
}

/// A piece of physical memory that a device reads from or writes to. By itself it allows nothing: a request's segments are what
/// its owner names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    address: PhysAddr,
    bytes: NonZeroU32,
}

impl Segment {
    /// `bytes` bytes at `address`; within a request only the sum of all segments must be whole sectors.
    pub const fn new(address: PhysAddr, bytes: NonZeroU32) -> Self {
        Self { address, bytes }
    }

    /// Where it starts in physical memory.
    pub const fn address(&self) -> PhysAddr {
        self.address
    }

    /// Its length in bytes.
    pub const fn bytes(&self) -> u32 {
        self.bytes.get()
    }

    /// Becomes one with `next`, if that begins where this ends; whether it does.
    fn try_append(&mut self, next: Self) -> bool {
        let bytes = self.bytes.checked_add(next.bytes.get());
        let bytes = bytes.filter(|_| self.address + u64::from(self.bytes.get()) == next.address);
        self.bytes = bytes.unwrap_or(self.bytes);
        bytes.is_some()
    }
}

/// What waits for a request to end.
pub trait Completion: Send {
    /// The request ended and its memory is the owner's again. Called in thread context without a lock of the driver.
    fn complete(self: Box<Self>, result: Result<(), BlockError>);
}

/// What has the memory of a request, and hears of its end.
///
/// # Safety
///
/// While the value is in its box and until its completion is told, each segment that it names is RAM that stays allocated; no
/// reference of the kernel that is used meanwhile covers it, and if it may be read into, nothing else reads or writes it. A
/// task may write to memory that is being written to a disk: each byte is then stored as it was or as it is, and the drivers
/// never look.
pub unsafe trait DmaMemory: Completion {
    /// Calls `each` with the segments, in the order of the sectors.
    fn for_each_segment(&self, each: impl FnMut(Segment));

    /// Whether a device may write to them.
    fn may_be_read_into(&self) -> bool {
        true
    }
}

/// A completion that has not been told yet; dropping it tells it that its request was abandoned.
struct Pending(Option<Box<dyn Completion>>);

impl Pending {
    fn deliver(mut self, result: Result<(), BlockError>) {
        if let Some(completion) = self.0.take() {
            completion.complete(result);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(completion) = self.0.take() {
            completion.complete(Err(BlockError::Abandoned));
        }
    }
}

/// One operation on one range of sectors.
#[must_use = "a dropped request completes as abandoned"]
pub struct Request {
    operation: Operation,
    sector: u64,
    segments: ArrayVec<Segment, MAX_SEGMENTS>,
    pending: Pending,
}

impl Request {
    /// A request without segments, starting at `sector` in units of [`SECTOR_BYTES`].
    pub fn new(operation: Operation, sector: u64, completion: Box<dyn Completion>) -> Self {
        Self { operation, sector, segments: ArrayVec::new(), pending: Pending(Some(completion)) }
    }

    /// A request for the memory that `owner` has; it keeps that until the request has ended. Pieces that follow one another in memory
    /// become one segment. `None`, and the owner is dropped, when there are more than [`MAX_SEGMENTS`], or they are to be read into
    /// and may not be.
    pub fn with_memory<T: DmaMemory + 'static>(operation: Operation, sector: u64, owner: Box<T>) -> Option<Self> {
        let mut segments = ArrayVec::<Segment, MAX_SEGMENTS>::new();
        let mut fits = operation != Operation::Read || owner.may_be_read_into();
        owner.for_each_segment(|segment| {
            if !segments.last_mut().is_some_and(|last| last.try_append(segment)) {
                fits &= segments.try_push(segment).is_ok();
            }
        });
        fits.then(|| Self { operation, sector, segments, pending: Pending(Some(owner)) })
    }

    /// Appends memory for the sectors that follow.
    ///
    /// # Errors
    ///
    /// Gives the segment back when there are [`MAX_SEGMENTS`] already.
    ///
    /// # Safety
    ///
    /// For the segment holds what [`DmaMemory`] asks, until the request has ended.
    pub unsafe fn push(&mut self, segment: Segment) -> Result<(), Segment> {
        self.segments.try_push(segment).map_err(arrayvec::CapacityError::element)
    }

    /// What is asked for.
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// The first sector.
    pub const fn sector(&self) -> u64 {
        self.sector
    }

    /// The memory, in the order of the sectors.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The sum of the segments' lengths.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| u64::from(segment.bytes())).sum()
    }

    /// Ends the request.
    pub fn finish(self, result: Result<(), BlockError>) -> Finished {
        Finished { pending: self.pending, result }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Request")
            .field("operation", &self.operation)
            .field("sector", &self.sector)
            .field("segments", &self.segments)
            .finish_non_exhaustive()
    }
}

/// A request that has ended and whose completion has still to be told, outside the lock that guards the device.
#[must_use = "a dropped result reaches its completion as abandoned"]
pub struct Finished {
    pending: Pending,
    result: Result<(), BlockError>,
}

impl Finished {
    /// Tells the completion.
    pub fn deliver(self) {
        self.pending.deliver(self.result);
    }

    /// How the request ended.
    ///
    /// # Errors
    ///
    /// The error that will be delivered.
    pub const fn result(&self) -> Result<(), BlockError> {
        self.result
    }
}

impl fmt::Debug for Finished {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Finished").field("result", &self.result).finish_non_exhaustive()
    }
}

/// Why a device did not take a request into its queue.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the request comes back by value so that nothing is allocated")]
pub enum NotQueued {
    /// There is no room until a request finishes; here it is back, unchanged.
    Busy(Request),
    /// It ended without the device, almost always because it asked for something the device does not do.
    Finished(Finished),
}

/// What a disk can do; fixed for its lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// The size in units of [`SECTOR_BYTES`].
    pub sectors: u64,
    /// Whether writes and discards are refused.
    pub read_only: bool,
    /// Whether finished writes may still be in a volatile cache; if not, a flush ends at once without the device.
    pub volatile_cache: bool,
    /// The longest discard in sectors, if there are discards.
    pub max_discard_sectors: Option<NonZeroU32>,
    /// The most segments in a request, at most [`MAX_SEGMENTS`].
    pub max_segments: usize,
}

/// Which disk, in the order they were found; shown under Linux's name, `vda` for 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DiskNumber(pub u8);

impl fmt::Display for DiskNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = |index: u8| char::from(b'a' + index);
        formatter.write_str("vd")?;
        if self.0 >= 26 {
            write!(formatter, "{}", letter(self.0 / 26 - 1))?;
        }
        write!(formatter, "{}", letter(self.0 % 26))
    }
}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// The range ends beyond the device; the device was not asked.
    #[error("{disk}: {sectors} sectors at {sector} end beyond the device")]
    OutOfRange {
        /// The disk.
        disk: DiskNumber,
        /// The first sector.
        sector: u64,
        /// The length asked for.
        sectors: u64,
    },
    /// A write or discard on a read-only device; the device was not asked.
    #[error("{disk}: sector {sector} cannot be written, the device is read-only")]
    ReadOnly {
        /// The disk.
        disk: DiskNumber,
        /// The first sector.
        sector: u64,
    },
    /// A discard that the device does not offer or that is longer than it allows; the device was not asked.
    #[error("{disk}: a discard of {sectors} sectors at {sector} is not offered")]
    NoDiscard {
        /// The disk.
        disk: DiskNumber,
        /// The first sector.
        sector: u64,
        /// The length asked for.
        sectors: u32,
    },
    /// A transfer of nothing or not of whole sectors, or memory given to an operation that has none; not asked.
    #[error("{disk}: {bytes} bytes at sector {sector} are not whole sectors of a transfer")]
    Malformed {
        /// The disk.
        disk: DiskNumber,
        /// The first sector.
        sector: u64,
        /// The sum of the segments.
        bytes: u64,
    },
    /// More segments than [`Geometry::max_segments`]; the device was not asked.
    #[error("{disk}: {segments} segments at sector {sector} are more than the device takes")]
    TooManySegments {
        /// The disk.
        disk: DiskNumber,
        /// The first sector.
        sector: u64,
        /// How many.
        segments: usize,
    },
    /// The device tried and failed; for a write it is not known which sectors changed.
    #[error("{disk}: I/O error at sector {sector}")]
    Device {
        /// The disk.
        disk: DiskNumber,
        /// The first sector.
        sector: u64,
    },
    /// The device says that it does not know the operation.
    #[error("{disk}: the operation at sector {sector} is not supported by the device")]
    Unsupported {
        /// The disk.
        disk: DiskNumber,
        /// The first sector.
        sector: u64,
    },
    /// The device broke the protocol and was stopped; no request will succeed any more.
    #[error("{disk}: stopped after it broke the protocol; sector {sector} was not done for certain")]
    Stopped {
        /// The disk.
        disk: DiskNumber,
        /// The first sector.
        sector: u64,
    },
    /// The request was dropped before a device finished it.
    #[error("the request was dropped before a device finished it")]
    Abandoned,
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU32;
    use std::boxed::Box;
    use std::string::ToString;

    use super::{BlockError, Completion, DiskNumber, DmaMemory, MAX_SEGMENTS, Operation, Request, Segment};
    use crate::fake::Results;

    #[test]
    fn a_request_ends_exactly_once_also_when_nobody_cares() {
        let results = Results::default();
        let request = |number| Request::new(Operation::Flush, 0, results.note(number));
        drop(request(0));
        drop(request(1).finish(Ok(())));
        request(2).finish(Ok(())).deliver();
        let abandoned = Err(BlockError::Abandoned);
        assert_eq!(results.take(), [(0, abandoned), (1, abandoned), (2, Ok(()))]);
    }

    #[test]
    fn a_request_holds_so_many_segments_and_no_more() {
        let results = Results::default();
        let mut request = Request::new(Operation::Write, 0, results.note(0));
        let segment = |bytes| Segment::new(0x1000, NonZeroU32::new(bytes).expect("not zero"));
        for bytes in 1..=u32::try_from(MAX_SEGMENTS).expect("small") {
            // SAFETY: no device is asked.
            assert_eq!(unsafe { request.push(segment(bytes)) }, Ok(()));
        }
        // SAFETY: as above.
        assert_eq!(unsafe { request.push(segment(99)) }, Err(segment(99)));
        assert_eq!(request.bytes(), (1..=MAX_SEGMENTS as u64).sum());
    }

    #[test]
    fn memory_is_read_into_only_if_its_owner_lets_it_be() {
        struct Kept(Box<dyn Completion>);

        impl Completion for Kept {
            fn complete(self: Box<Self>, result: Result<(), BlockError>) {
                self.0.complete(result);
            }
        }

        // SAFETY: it names no memory.
        unsafe impl DmaMemory for Kept {
            fn for_each_segment(&self, _: impl FnMut(Segment)) {}

            fn may_be_read_into(&self) -> bool {
                false
            }
        }

        let results = Results::default();
        let request = |operation, number| Request::with_memory(operation, 0, Box::new(Kept(results.note(number))));
        assert!(request(Operation::Write, 0).is_some() && request(Operation::Read, 1).is_none());
    }

    #[test]
    fn disks_have_the_names_that_linux_gives_them() {
        let names = [0, 1, 25, 26, 27, 255].map(|number| DiskNumber(number).to_string());
        assert_eq!(names, ["vda", "vdb", "vdz", "vdaa", "vdab", "vdiv"]);
    }
}
