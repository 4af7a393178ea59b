//! What compressed pages need of this machine: frames, and a thread that writes back.
//!
//! Frames of the pool come from the same reserve as all that reclaim needs.

use alloc::sync::Arc;
use core::ops::Range;
use core::sync::atomic::AtomicU64;

use quire_compressed::{PoolLayout, PoolMachine, StoredBy};
use quire_machine::arch::vector;
use quire_machine::event::{self, Compressed, EventKind};
use quire_machine::frame::FrameNumber;
use quire_machine::{pool_frame, task};
use quire_swap::header::Page;

use super::core::Quire;
use crate::folio::Folio;
use crate::large_folio;
use crate::observatory;
use crate::upcall::upcalls;

impl PoolMachine for Quire {
    fn cpus() -> usize {
        1
    }

    fn allocate_frame() -> Option<u64> {
        pool_frame::allocate().map(|frame| frame.index() as u64)
    }

    fn free_frame(frame: u64) {
        pool_frame::free(number(frame));
    }

    fn with_frame<R>(frame: u64, bytes: Range<usize>, read: impl FnOnce(&[u8]) -> R) -> R {
        pool_frame::with(number(frame), bytes, read)
    }

    fn with_frame_mut<R>(frame: u64, bytes: Range<usize>, write: impl FnOnce(&mut [u8]) -> R) -> R {
        pool_frame::with_mut(number(frame), bytes, write)
    }

    fn repeated_word(page: &Page) -> Option<u64> {
        vector::repeated_word(page)
    }

    fn fill(page: &mut Page, word: u64) {
        vector::fill(page, word);
    }

    fn find_disk(path: &str) -> Option<Arc<dyn quire_swap::Disk<Self>>> {
        (upcalls().find_disk)(path)
    }

    fn stored(by: StoredBy, bytes: usize) {
        event::note(EventKind::Stored, number_of(by), bytes as u64);
    }

    fn loaded(by: StoredBy, bytes: usize) {
        event::note(EventKind::Loaded, number_of(by), bytes as u64);
    }

    fn stored_of_batch<'a>(folios: impl Iterator<Item = (&'a Folio, bool)>) {
        large_folio::note_stored(folios);
    }

    fn pool_made(pool: &PoolLayout<'_>) {
        observatory::pool_made(pool);
    }

    fn pool_gone(stored: &AtomicU64) {
        observatory::pool_gone(stored);
    }

    #[inline]
    fn is_killed() -> bool {
        task::is_killed()
    }

    fn wake_shrinker() {
        (upcalls().wake_shrinker)();
    }
}

const fn number_of(by: StoredBy) -> u32 {
    match by {
        StoredBy::Zram => Compressed::Zram as u32,
        StoredBy::Zswap => Compressed::Zswap as u32,
    }
}

#[inline]
const fn number(frame: u64) -> FrameNumber {
    FrameNumber(frame as u32)
}
