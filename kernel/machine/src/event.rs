//! Events for those who look from outside: one ring of fixed records for each processor, as `quire_protocol::observatory::event` has
//! them.
//!
//! # Invariants
//!
//! A place in a ring is its writer's from when it adds to the head until another one adds as much again as there are places: a writer
//! that is interrupted meanwhile writes into its own place, and a reader notices what was written over. No lock, no wait: an event can
//! be noted anywhere, under any lock and in an interrupt. Before a processor's ring is there, and on the simulated machine, its events
//! are lost.

#[cfg(target_os = "none")]
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;

use quire_protocol::observatory::AtomicRing;
pub use quire_protocol::observatory::event::{ALL, Compressed, EventKind, FAILED, FaultService, Reclaimer, WRITE};
use quire_protocol::observatory::event::{RECORD_BYTES, Record, record};

use crate::arch::cpu::{self, MAX_CPUS};
use crate::running::Running;

static RINGS: [AtomicRing; MAX_CPUS] = [const { AtomicRing::new() }; MAX_CPUS];

/// One event's words in a ring.
type Place = [core::sync::atomic::AtomicU64; RECORD_BYTES / 8];

const _: () = assert!(size_of::<Place>() == size_of::<Record>());

/// Notes that something happened; `small` and `more` are what [`EventKind`] says, the first of 24 bits.
#[inline(never)]
pub fn note(kind: EventKind, small: u32, more: u64) {
    let cpu = cpu::this();
    let ring = &RINGS[cpu.number() % MAX_CPUS];
    let places = ring.records.load(Ordering::Acquire);
    if places == 0 {
        return;
    }
    let number = ring.head.fetch_add(1, Ordering::Relaxed);
    // Wrapping, as no check is worth its instructions here: the places are below the end of memory.
    let index = number & ring.count.load(Ordering::Relaxed).wrapping_sub(1);
    let address = places.wrapping_add(index.wrapping_mul(RECORD_BYTES as u64));
    let place = core::ptr::with_exposed_provenance::<Place>(address as usize);
    // SAFETY: `start` has given the ring so many places, which are never taken away and only shared.
    let [first, words @ ..] = unsafe { &*place };
    let values = record(cpu::counter(), kind, small, cpu.with_running(Running::number).unwrap_or(0), more);
    for (word, value) in words.iter().zip(values) {
        word.store(value, Ordering::Relaxed);
    }
    // Last: a reader that finds it finds the rest.
    first.store(number.wrapping_add(1), Ordering::Release);
}

/// One number in the upper half, another in the lower.
#[inline]
pub const fn pair(upper: u32, lower: u32) -> u64 {
    (upper as u64) << 32 | lower as u64
}

/// Gives the processor that runs this a ring, of a five-hundredth of memory. Without memory for it, its events are lost.
#[cfg(target_os = "none")]
pub fn start() {
    use crate::address_map::direct;
    use crate::frame::Kind;
    use crate::unique::UniqueFrame;
    use crate::watermark::Purpose;
    use crate::{buddy, physical};

    const PART: usize = 512;
    let most = buddy::ORDERS - 1;
    let order = (physical::managed_frames() / PART).max(1).ilog2().min(u32::from(most).min(8)) as u8;
    let Some(frames) = UniqueFrame::allocate(order, Kind::Device, Purpose::Kernel) else { return };
    let count = (4096_usize << order) / RECORD_BYTES;
    let first = direct::<AtomicU64>(frames.into_number().address());
    for word in 0..count * RECORD_BYTES / 8 {
        // SAFETY: the frames were just allocated for this, contiguous in the direct map, and no other task knows of them.
        unsafe { first.add(word).write(AtomicU64::new(0)) };
    }
    let ring = &RINGS[cpu::this().number()];
    ring.count.store(count as u64, Ordering::Relaxed);
    ring.records.store(first.expose_provenance() as u64, Ordering::Release);
}

/// Says where the rings are.
#[cfg(target_os = "none")]
pub(crate) fn publish(page: &quire_protocol::observatory::AtomicPage) {
    page.rings.store(RINGS.as_ptr().addr() as u64, Ordering::Relaxed);
    page.ring_count.store(RINGS.len() as u64, Ordering::Relaxed);
}
