//! What compressed pages need of this machine: frames, and a thread that writes back.
//!
//! Frames of the pool come from the same reserve as all that reclaim needs.

use alloc::sync::Arc;
use core::ops::Range;

use quire_compressed::PoolMachine;
use quire_machine::address_map::DIRECT_MAP;
use quire_machine::frame::{FrameNumber, Kind};
use quire_machine::unique::UniqueFrame;
use quire_machine::{physical, task, watermark};
use quire_swap::header::PAGE_SIZE;

use super::Quire;
use crate::upcall::upcalls;

impl PoolMachine for Quire {
    fn cpus() -> usize {
        1
    }

    fn allocate_frame() -> Option<u64> {
        UniqueFrame::allocate(0, Kind::Pool, watermark::Purpose::Reclaim).map(|frame| u64::from(frame.into_number().0))
    }

    fn free_frame(frame: u64) {
        // SAFETY: the store gives back what it was given, and does not use it any more.
        drop(unsafe { UniqueFrame::from_number(FrameNumber(frame as u32), 0) });
    }

    fn with_frame<R>(frame: u64, bytes: Range<usize>, read: impl FnOnce(&[u8]) -> R) -> R {
        // SAFETY: no task writes these bytes meanwhile, as the store promises.
        read(unsafe { &*bytes_of(frame, bytes) })
    }

    fn with_frame_mut<R>(frame: u64, bytes: Range<usize>, write: impl FnOnce(&mut [u8]) -> R) -> R {
        // SAFETY: no other task reads or writes these bytes meanwhile, as the store promises.
        write(unsafe { &mut *bytes_of(frame, bytes) })
    }

    fn find_disk(path: &str) -> Option<Arc<dyn quire_swap::Disk<Self>>> {
        (upcalls().find_disk)(path)
    }

    fn is_killed() -> bool {
        task::is_killed()
    }

    fn wake_shrinker() {
        (upcalls().wake_shrinker)();
    }
}

/// Some bytes of a frame of the pool, in the direct map.
fn bytes_of(frame: u64, bytes: Range<usize>) -> *mut [u8] {
    let frame = FrameNumber(frame as u32);
    debug_assert_eq!(physical::frames()[frame.index()].kind(), Kind::Pool);
    assert!(bytes.start <= bytes.end && bytes.end <= PAGE_SIZE, "bytes {bytes:?} are not in a frame");
    let start = (DIRECT_MAP + frame.address()) as *mut u8;
    core::ptr::slice_from_raw_parts_mut(start.wrapping_add(bytes.start), bytes.len())
}
