//! A request in the form that the device wants: an envelope in DMA memory, and slices for [`VirtQueue`].
//!
//! [`VirtQueue`]: virtio_drivers::queue::VirtQueue

use core::{array, marker::PhantomData, ptr::NonNull, slice};

use virtio_drivers::{BufferDirection, PAGE_SIZE, PhysAddr};

use super::queue::QUEUE_SIZE;
use crate::{
    Hal,
    block::{MAX_SEGMENTS, Operation, Request},
};

/// Request types and answers (section 5.2.6).
pub(super) mod protocol {
    pub(crate) const READ: u32 = 0;
    pub(crate) const WRITE: u32 = 1;
    pub(crate) const FLUSH: u32 = 4;
    pub(crate) const DISCARD: u32 = 11;
    pub(crate) const OK: u8 = 0;
    pub(crate) const IO_ERROR: u8 = 1;
    pub(crate) const UNSUPPORTED: u8 = 2;
    /// What the status byte holds until the device writes it; no answer has this value.
    pub(crate) const UNANSWERED: u8 = 0xff;
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
pub(super) struct Envelopes<H: Hal> {
    address: PhysAddr,
    base: NonNull<Envelope>,
    /// Bit n is set while envelope n is free.
    free: u64,
    _hal: PhantomData<H>,
}

const _: () = assert!(QUEUE_SIZE * size_of::<Envelope>() <= PAGE_SIZE && QUEUE_SIZE == u64::BITS as usize);

// SAFETY: the page belongs to this value alone and is the same from every processor.
unsafe impl<H: Hal> Send for Envelopes<H> {}

impl<H: Hal> Envelopes<H> {
    pub(super) fn new() -> Option<Self> {
        let (address, base) = H::dma_alloc(1, BufferDirection::Both);
        (address != 0).then(|| Self { address, base: base.cast(), free: u64::MAX, _hal: PhantomData })
    }

    /// Takes a free envelope and fills it in for the request.
    pub(super) fn take(&mut self, request: &Request) -> Option<usize> {
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

    /// What a request and its envelope consist of; the same whenever it is asked for.
    ///
    /// # Safety
    ///
    /// `place` was taken for this request, and no other buffers of the two exist.
    pub(super) unsafe fn buffers<'a>(&self, request: &Request, place: usize) -> Buffers<'a> {
        // SAFETY: the caller's promise; a taken place is within the page.
        unsafe { Buffers::new::<H>(request, self.base.add(place)) }
    }

    /// The device's answer in an envelope that it is done with, which becomes free.
    pub(super) fn put_back(&mut self, place: usize) -> u8 {
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
pub(super) struct Buffers<'a> {
    inputs: [&'a [u8]; MAX_SEGMENTS + 2],
    input_count: usize,
    outputs: [&'a mut [u8]; MAX_SEGMENTS + 1],
    output_count: usize,
}

impl<'a> Buffers<'a> {
    /// # Safety
    ///
    /// The envelope is taken for this request, and no slices of the two exist.
    unsafe fn new<H: Hal>(request: &Request, envelope: NonNull<Envelope>) -> Self {
        let mut buffers = Self {
            inputs: [&[]; MAX_SEGMENTS + 2],
            input_count: 0,
            outputs: array::from_fn(|_| Default::default()),
            output_count: 0,
        };
        let envelope = envelope.as_ptr();
        // SAFETY: the header is initialised memory of an envelope that no task writes while the request has it.
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
            // SAFETY: the request has what owns the segment, which promised that it is RAM and, for a read, that no other task reads or
            // writes it until the request ends. What is written to the disk a task may change meanwhile: these slices
            // are for the queue alone, which makes addresses of them and reads nothing through them.
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

    /// What the device reads and what it writes.
    pub(super) fn as_slices<'b>(&'b mut self) -> (&'b [&'a [u8]], &'b mut [&'a mut [u8]]) {
        (&self.inputs[..self.input_count], &mut self.outputs[..self.output_count])
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
