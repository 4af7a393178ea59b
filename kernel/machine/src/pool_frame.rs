//! Frames of a pool of compressed pages, which the pool keeps by number, and whose bytes several tasks use at once.
//!
//! # Invariants
//!
//! The count of references in the metadata of such a frame, and of no other, has the bit `IS_POOL`. Beside it is who reaches the bytes
//! now: so many that read, or one that writes. It is freed when none does, and takes the bit along. So a number is as good as
//! an owner: one of a frame that is no pool's is refused, and one of another pool leads to its bytes, but never to two that write.
//!
//! A task that reaches the bytes is not preempted meanwhile, so others wait for as long as another processor works.

use core::ops::Range;
use core::sync::atomic::{AtomicU32, Ordering};

use quire_swap::header::PAGE_SIZE;

use crate::address_map::direct;
use crate::arch::cpu;
use crate::frame::{FrameNumber, Kind};
use crate::physical;
use crate::unique::UniqueFrame;
use crate::watermark::Purpose;

/// In the count of references: the frame is a pool's. No folio has so many.
pub(crate) const IS_POOL: u32 = 1 << 31;
/// In the count: one task writes.
const IS_WRITTEN: u32 = 1 << 30;

/// Takes a frame, without sleeping, if reclaim may have one. Its contents are junk.
pub fn allocate() -> Option<FrameNumber> {
    let frame = UniqueFrame::allocate(0, Kind::Pool, Purpose::Reclaim)?.into_number();
    physical::frames()[frame.index()].references.store(IS_POOL, Ordering::Release);
    Some(frame)
}

/// Frees a frame.
///
/// # Panics
/// When it is no pool's.
pub fn free(frame: FrameNumber) {
    enter(references(frame), |_| 0);
    // SAFETY: it was a pool's until now, nothing reaches its bytes, nor can from here on.
    drop(unsafe { UniqueFrame::from_number(frame, 0) });
}

/// Reads some bytes of a frame.
///
/// # Panics
/// When it is no pool's, or the bytes are not in it.
#[inline]
pub fn with<R>(frame: FrameNumber, bytes: Range<usize>, read: impl FnOnce(&[u8]) -> R) -> R {
    let bytes = bytes_of(frame, bytes);
    let references = references(frame);
    cpu::disable_preemption();
    enter(references, |count| count + 1);
    // SAFETY: the frame is a pool's, and nothing writes its bytes, until the count falls again.
    let result = read(unsafe { &*bytes });
    references.fetch_sub(1, Ordering::Release);
    cpu::enable_preemption();
    result
}

/// Writes some bytes of a frame.
///
/// # Panics
/// When it is no pool's, or the bytes are not in it.
#[inline]
pub fn with_mut<R>(frame: FrameNumber, bytes: Range<usize>, write: impl FnOnce(&mut [u8]) -> R) -> R {
    let bytes = bytes_of(frame, bytes);
    let references = references(frame);
    cpu::disable_preemption();
    enter(references, |_| IS_POOL | IS_WRITTEN);
    // SAFETY: the frame is a pool's, and nothing else reaches its bytes, until the mark is gone again.
    let result = write(unsafe { &mut *bytes });
    references.store(IS_POOL, Ordering::Release);
    cpu::enable_preemption();
    result
}

#[inline]
fn references(frame: FrameNumber) -> &'static AtomicU32 {
    &physical::frames()[frame.index()].references
}

/// Changes the count as `next` says, of one that does not stand in the way: a reader passes other readers, the others nothing.
#[inline]
fn enter(references: &AtomicU32, next: impl Fn(u32) -> u32) {
    let is_reader = next(IS_POOL) == IS_POOL + 1;
    loop {
        let count = references.load(Ordering::Relaxed);
        assert!(count & IS_POOL != 0, "a frame is no pool's");
        let is_free = if is_reader { count & IS_WRITTEN == 0 } else { count == IS_POOL };
        if is_free && references.compare_exchange(count, next(count), Ordering::Acquire, Ordering::Relaxed).is_ok() {
            return;
        }
        cpu::relax();
    }
}

fn bytes_of(frame: FrameNumber, bytes: Range<usize>) -> *mut [u8] {
    assert!(bytes.start <= bytes.end && bytes.end <= PAGE_SIZE, "bytes {bytes:?} are not in a frame");
    let start: *mut u8 = direct(frame.address());
    core::ptr::slice_from_raw_parts_mut(start.wrapping_add(bytes.start), bytes.len())
}
