//! What the tests run the drivers against: memory whose physical addresses are its own, and a virtio device that does
//! exactly what the test tells it to.

use core::ptr::NonNull;
use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    boxed::Box,
    cell::Cell,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    vec,
    vec::Vec,
};

use virtio_drivers::{
    BufferDirection, Error, PAGE_SIZE, PhysAddr,
    transport::{DeviceStatus, DeviceType, InterruptStatus, Transport},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    Hal,
    block::{BlockError, Completion},
};

std::thread_local! {
    /// How many allocations of DMA memory succeed before one fails.
    pub(crate) static DMA_ALLOCATIONS_LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Physical addresses are virtual ones.
#[derive(Debug)]
pub(crate) struct FakeHal;

fn dma_layout(pages: usize) -> Layout {
    Layout::from_size_align(pages * PAGE_SIZE, PAGE_SIZE).expect("a few pages")
}

// SAFETY: memory from the host's allocator is valid and not aliased until it is freed; the rest is the identity.
unsafe impl virtio_drivers::Hal for FakeHal {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        let left = DMA_ALLOCATIONS_LEFT.get();
        DMA_ALLOCATIONS_LEFT.set(left.saturating_sub(1));
        if left == 0 {
            return (0, NonNull::dangling());
        }
        // SAFETY: the layout is not empty.
        let start = NonNull::new(unsafe { alloc_zeroed(dma_layout(pages)) }).expect("memory");
        (start.addr().get() as PhysAddr, start)
    }

    unsafe fn dma_dealloc(_: PhysAddr, start: NonNull<u8>, pages: usize) -> i32 {
        // SAFETY: the caller got it from `dma_alloc` for as many pages.
        unsafe { dealloc(start.as_ptr(), dma_layout(pages)) };
        0
    }

    unsafe fn mmio_phys_to_virt(address: PhysAddr, _: usize) -> NonNull<u8> {
        pointer(address)
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> PhysAddr {
        buffer.cast::<u8>().as_ptr().expose_provenance() as PhysAddr
    }

    unsafe fn unshare(_: PhysAddr, _: NonNull<[u8]>, _: BufferDirection) {}
}

// SAFETY: as above.
unsafe impl Hal for FakeHal {
    unsafe fn physical_to_virtual(address: PhysAddr, _: usize) -> NonNull<u8> {
        pointer(address)
    }
}

fn pointer<T>(address: PhysAddr) -> NonNull<T> {
    NonNull::new(core::ptr::with_exposed_provenance_mut(address as usize)).expect("no null address")
}

/// Reads what a driver keeps at a physical address.
pub(crate) fn peek<T>(address: PhysAddr) -> T {
    // SAFETY: the tests pass addresses that the driver made known, of memory that it keeps while the device runs.
    unsafe { pointer::<T>(address).read_volatile() }
}

/// Writes to a physical address as a device does.
pub(crate) fn poke<T>(address: PhysAddr, value: T) {
    // SAFETY: as for `peek`.
    unsafe { pointer::<T>(address).write_volatile(value) }
}

/// One piece of memory that the driver handed to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) address: PhysAddr,
    pub(crate) bytes: u32,
    pub(crate) writable: bool,
}

/// A request as the device finds it in the queue.
#[derive(Clone, Debug)]
pub(crate) struct Chain {
    pub(crate) token: u16,
    pub(crate) indirect: bool,
    pub(crate) pieces: Vec<Piece>,
}

impl Chain {
    /// The operation and sector in the header.
    pub(crate) fn header(&self) -> (u32, u64) {
        assert_eq!((self.pieces[0].bytes, self.pieces[0].writable), (16, false));
        (peek(self.pieces[0].address), peek(self.pieces[0].address + 8))
    }

    /// What lies between header and status.
    pub(crate) fn data(&self) -> &[Piece] {
        &self.pieces[1..self.pieces.len() - 1]
    }
}

#[derive(Default)]
struct Rings {
    size: u16,
    descriptors: PhysAddr,
    available: PhysAddr,
    used: PhysAddr,
}

/// The device's side.
pub(crate) struct Device {
    pub(crate) kind: DeviceType,
    pub(crate) offered: u64,
    pub(crate) accepted: u64,
    pub(crate) refuse_features: bool,
    pub(crate) refuse_queue: bool,
    pub(crate) slow_reset: bool,
    pub(crate) max_queue_size: u32,
    pub(crate) configuration: [u8; 64],
    pub(crate) status: DeviceStatus,
    pub(crate) resets: usize,
    pub(crate) doorbells: usize,
    rings: Rings,
    seen: u16,
    finished: u16,
}

const DESCRIPTOR_NEXT: u16 = 1;
const DESCRIPTOR_WRITE: u16 = 2;
const DESCRIPTOR_INDIRECT: u16 = 4;

impl Device {
    pub(crate) fn set_configuration(&mut self, offset: usize, value: u32) {
        self.configuration[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// The next request that the driver has made available.
    pub(crate) fn next(&mut self) -> Option<Chain> {
        if peek::<u16>(self.rings.available + 2) == self.seen {
            return None;
        }
        let place = self.seen % self.rings.size;
        self.seen = self.seen.wrapping_add(1);
        let token: u16 = peek(self.rings.available + 4 + 2 * u64::from(place));
        let head = self.rings.descriptors + 16 * u64::from(token);
        let indirect = peek::<u16>(head + 12) & DESCRIPTOR_INDIRECT != 0;
        let (table, mut index) = if indirect { (peek(head), 0) } else { (self.rings.descriptors, token) };
        let mut pieces = Vec::new();
        loop {
            let descriptor = table + 16 * u64::from(index);
            let flags: u16 = peek(descriptor + 12);
            let writable = flags & DESCRIPTOR_WRITE != 0;
            pieces.push(Piece { address: peek(descriptor), bytes: peek(descriptor + 8), writable });
            if flags & DESCRIPTOR_NEXT == 0 {
                return Some(Chain { token, indirect, pieces });
            }
            index = peek(descriptor + 14);
        }
    }

    /// Finishes a request with a status.
    pub(crate) fn answer(&mut self, chain: &Chain, status: u8) {
        let last = chain.pieces.last().expect("a status");
        assert_eq!((last.bytes, last.writable), (1, true));
        poke(last.address, status);
        self.finish_token(chain.token);
    }

    /// Says that a request is finished, whether or not there is one.
    pub(crate) fn finish_token(&mut self, token: u16) {
        let element = self.rings.used + 4 + 8 * u64::from(self.finished % self.rings.size);
        poke(element, u32::from(token));
        poke(element + 4, 1u32);
        self.finished = self.finished.wrapping_add(1);
        poke(self.rings.used + 2, self.finished);
    }

    /// Whether the device wants doorbells.
    pub(crate) fn want_doorbells(&self, wanted: bool) {
        poke(self.rings.used, u16::from(!wanted));
    }

    /// Whether the driver wants interrupts.
    pub(crate) fn interrupts_wanted(&self) -> bool {
        peek::<u16>(self.rings.available) & 1 == 0
    }
}

/// The driver's way to a [`Device`] that the test keeps too.
#[derive(Clone)]
pub(crate) struct FakeTransport(Arc<Mutex<Device>>);

impl FakeTransport {
    /// A disk of `sectors` sectors with these features beside virtio 1.
    pub(crate) fn disk(sectors: u64, features: u64) -> Self {
        let mut configuration = [0; 64];
        configuration[..8].copy_from_slice(&sectors.to_le_bytes());
        Self(Arc::new(Mutex::new(Device {
            kind: DeviceType::Block,
            offered: features | 1 << 32,
            accepted: 0,
            refuse_features: false,
            refuse_queue: false,
            slow_reset: false,
            max_queue_size: 256,
            configuration,
            status: DeviceStatus::empty(),
            resets: 0,
            doorbells: 0,
            rings: Rings::default(),
            seen: 0,
            finished: 0,
        })))
    }

    pub(crate) fn device(&self) -> MutexGuard<'_, Device> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for FakeTransport {
    fn device_type(&self) -> DeviceType {
        self.device().kind
    }

    fn read_device_features(&mut self) -> u64 {
        self.device().offered
    }

    fn write_driver_features(&mut self, features: u64) {
        self.device().accepted = features;
    }

    fn max_queue_size(&mut self, _: u16) -> u32 {
        self.device().max_queue_size
    }

    fn notify(&mut self, _: u16) {
        self.device().doorbells += 1;
    }

    fn get_status(&self) -> DeviceStatus {
        self.device().status
    }

    fn set_status(&mut self, status: DeviceStatus) {
        let mut device = self.device();
        if status.is_empty() {
            device.resets += 1;
            if device.slow_reset {
                return;
            }
        }
        let refused = if device.refuse_features { DeviceStatus::FEATURES_OK } else { DeviceStatus::empty() };
        device.status = status - refused;
    }

    fn set_guest_page_size(&mut self, _: u32) {}

    fn requires_legacy_layout(&self) -> bool {
        false
    }

    fn queue_set(&mut self, _: u16, size: u32, descriptors: PhysAddr, available: PhysAddr, used: PhysAddr) {
        let mut device = self.device();
        if !device.refuse_queue {
            device.rings = Rings { size: size.try_into().expect("a queue size"), descriptors, available, used };
        }
    }

    fn queue_unset(&mut self, _: u16) {}

    fn queue_used(&mut self, _: u16) -> bool {
        self.device().rings.size != 0
    }

    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }

    fn read_config_generation(&self) -> u32 {
        0
    }

    fn read_config_space<T: FromBytes + IntoBytes>(&self, offset: usize) -> Result<T, Error> {
        let device = self.device();
        let bytes = device.configuration.get(offset..offset + size_of::<T>()).ok_or(Error::ConfigSpaceTooSmall)?;
        Ok(T::read_from_bytes(bytes).expect("the right length"))
    }

    fn write_config_space<T: IntoBytes + Immutable>(&mut self, _: usize, _: T) -> Result<(), Error> {
        unreachable!("the driver writes no configuration")
    }
}

/// How a request ended, by the number that the test gave it.
pub(crate) type Ended = (u32, Result<(), BlockError>);

/// Collects how requests ended.
#[derive(Clone, Default)]
pub(crate) struct Results(Arc<Mutex<Vec<Ended>>>);

struct Note(u32, Results);

impl Completion for Note {
    fn complete(self: Box<Self>, result: Result<(), BlockError>) {
        self.1.0.lock().expect("no test panicked here").push((self.0, result));
    }
}

impl Results {
    /// The completion of request `number`.
    pub(crate) fn note(&self, number: u32) -> Box<dyn Completion> {
        Box::new(Note(number, self.clone()))
    }

    /// What was completed since the last call.
    pub(crate) fn take(&self) -> Vec<Ended> {
        core::mem::take(&mut *self.0.lock().expect("no test panicked here"))
    }
}

/// Pages of memory for segments.
pub(crate) fn pages(count: usize) -> Vec<Box<[u8; PAGE_SIZE]>> {
    vec![Box::new([0; PAGE_SIZE]); count]
}
