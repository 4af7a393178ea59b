//! Memory for the kernel by the page: contiguous blocks in the direct map or, where memory is too scattered for one, single
//! frames that are mapped in a row (Linux: `kvmalloc`).
//!
//! Every frame is written in full once, with zeros: QEMU runs code from its own translations, and a store to a frame that a program
//! was translated from stays slow until all of it was overwritten.

use core::ptr::NonNull;

use quire_swap::header::PAGE_SIZE;

use crate::address_map::{BLOCKS, DIRECT_MAP};
use crate::buddy::ORDERS;
use crate::frame::{FrameNumber, Kind};
use crate::places::Places;
use crate::unique::UniqueFrame;
use crate::watermark::Purpose;
use crate::{kernel_map, physical};

/// What a mapped block may have, its guard page included.
const PLACE: u64 = 16 << 20;
/// The most pages of a block.
pub(super) const MOST_PAGES: usize = PLACE as usize / PAGE_SIZE - 1;

static PLACES: Places<16> = Places::new();

/// Where the frame is in the direct map.
fn direct(frame: FrameNumber) -> NonNull<u8> {
    NonNull::new((DIRECT_MAP + frame.address()) as *mut u8).expect("the direct map is not at address 0")
}

/// Takes `pages` pages, zeroed, for the kernel heap, if `purpose` may have them.
pub(super) fn allocate(pages: usize, purpose: Purpose) -> Option<NonNull<u8>> {
    let order = pages.checked_next_power_of_two()?.trailing_zeros() as u8;
    if order < ORDERS
        && let Some(block) = physical::allocate(order, Kind::Heap, purpose)
    {
        physical::free_range(FrameNumber(block.0 + pages as u32)..FrameNumber(block.0 + (1 << order)));
        let start = direct(block);
        // SAFETY: the block was just allocated.
        unsafe { start.write_bytes(0, pages * PAGE_SIZE) };
        return Some(start);
    }
    if pages == 1 || pages > MOST_PAGES { None } else { map(pages, purpose) }
}

fn map(pages: usize, purpose: Purpose) -> Option<NonNull<u8>> {
    let place = PLACES.take()?;
    let start = BLOCKS + place * PLACE;
    for page in 0..pages {
        let mapped = UniqueFrame::allocate(0, Kind::Heap, purpose).is_some_and(|mut frame| {
            frame.bytes_mut().fill(0);
            kernel_map::map(start + (page * PAGE_SIZE) as u64, frame, kernel_map::DATA).is_ok()
        });
        if !mapped {
            unmap(start, page);
            return None;
        }
    }
    NonNull::new(start as *mut u8)
}

fn unmap(start: u64, pages: usize) {
    for page in 0..pages {
        // SAFETY: the pages of a place are its block's, which nothing uses any more.
        drop(unsafe { kernel_map::unmap(start + (page * PAGE_SIZE) as u64) });
    }
    PLACES.free((start - BLOCKS) / PLACE);
}

/// Gives a block back.
///
/// # Safety
/// [`allocate`] gave it with as many pages, and nothing uses it any more.
pub(super) unsafe fn free(block: NonNull<u8>, pages: usize) {
    let address = block.as_ptr() as u64;
    if address >= BLOCKS {
        return unmap(address, pages);
    }
    let first = FrameNumber::containing(address - DIRECT_MAP);
    physical::free_range(first..FrameNumber(first.0 + pages as u32));
}
