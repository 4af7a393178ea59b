//! Physical memory: the memory map that the loader hands over, the frames that Quire manages of it, and who gets them.
//!
//! # Locking
//!
//! The free lists have one lock, taken by `allocate` and `free` for a few instructions; waking `kswapd` happens
//! after it is released. How many frames are free can be read without it.

use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use bootloader_api::info::{MemoryRegion, MemoryRegionKind};
use quire_swap::FolioFlag;
use quire_swap::header::PAGE_SIZE;

use crate::address_map::direct;
use crate::arch::{cpu, mmu};
use crate::buddy::{ORDERS, SingleFrames};
use crate::frame::{Frame, FrameNumber, Kind};
use crate::no_memory::AllocationError;
use crate::running::Running;
use crate::sync::{Rank, SpinLock};
use crate::upcall::upcalls;
use crate::watermark::{self, Purpose, Watermarks};

/// Where the metadata of the frames begins, and of how many: set once, in this order.
static FIRST: AtomicPtr<Frame> = AtomicPtr::new(NonNull::dangling().as_ptr());
static COUNT: AtomicUsize = AtomicUsize::new(0);
static FREE: SpinLock<SingleFrames> = SpinLock::new(Rank::Frames, SingleFrames::new());
/// How many frames are free; written under the lock.
static FREE_COUNT: AtomicUsize = AtomicUsize::new(0);
/// How many frames the kernel keeps for itself: [`Kind::is_kernels`].
static KERNELS: AtomicUsize = AtomicUsize::new(0);
static MANAGED: AtomicUsize = AtomicUsize::new(0);
static MARKS: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];
/// `vm.min_free_kbytes` and `vm.watermark_scale_factor`.
static SETTINGS: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

/// The usable parts of the memory map below `limit`, frame-aligned, as ranges of physical addresses. Frame 0 is left
/// out: a null frame number is then always a mistake.
pub fn usable(regions: &[MemoryRegion], limit: u64) -> impl Iterator<Item = Range<u64>> + Clone {
    let page = PAGE_SIZE as u64;
    regions
        .iter()
        .filter(|region| region.kind == MemoryRegionKind::Usable)
        .map(move |region| region.start.next_multiple_of(page).max(page)..region.end.min(limit) / page * page)
        .filter(|range| range.start < range.end)
}

/// Takes over the RAM of `regions` below `limit`: the frames' metadata is cut out of its largest range, the
/// rest is free. The loader's map of all physical memory at `DIRECT_MAP` is active.
///
/// # Errors
/// [`AllocationError`] when not even the metadata fits.
///
/// # Safety
/// The regions are RAM as they say, which nothing else uses, and the loader's map reaches. Nothing knows of frames yet, or of those of
/// an earlier start any more.
pub unsafe fn start(regions: &[MemoryRegion], limit: u64) -> Result<(), AllocationError> {
    let page = PAGE_SIZE as u64;
    let end = usable(regions, limit).map(|range| range.end).max().ok_or(AllocationError)?;
    let count = FrameNumber::containing(end).index();
    let metadata_bytes = ((count * size_of::<Frame>()) as u64).next_multiple_of(page);
    let largest = usable(regions, limit).max_by_key(|range| range.end - range.start).ok_or(AllocationError)?;
    let own = largest.start..largest.start + metadata_bytes;
    if own.end >= largest.end {
        return Err(AllocationError);
    }

    let first = direct::<Frame>(own.start);
    for index in 0..count {
        // SAFETY: the range is usable RAM that nothing else knows of yet, mapped writable by the loader, large enough
        // for `count` elements, and page-aligned.
        unsafe { first.add(index).write(Frame::reserved()) };
    }
    FIRST.store(first, Ordering::Relaxed);
    COUNT.store(count, Ordering::Release);

    let frames = frames();
    let mut free = FREE.lock();
    *free = SingleFrames::new();
    for range in usable(regions, limit) {
        for part in [range.start..range.end.min(own.start), range.start.max(own.end)..range.end] {
            let part = FrameNumber::containing(part.start)..FrameNumber::containing(part.end);
            for (block, order) in blocks(part) {
                free.buddy_mut().free(frames, block, order);
            }
        }
    }
    let managed = free.free_frames();
    MANAGED.store(managed, Ordering::Relaxed);
    FREE_COUNT.store(managed, Ordering::Relaxed);
    KERNELS.store(0, Ordering::Relaxed);
    drop(free);
    set_watermarks(watermark::least_free_kibibytes(managed), watermark::SCALE_FACTOR);
    Ok(())
}

/// The largest aligned blocks that make up a range of frames, with their orders.
fn blocks(range: Range<FrameNumber>) -> impl Iterator<Item = (FrameNumber, u8)> {
    let end = range.end.0;
    let mut next = range.start.0;
    core::iter::from_fn(move || {
        let block = FrameNumber(next);
        let left = end.checked_sub(next)?.checked_ilog2()?;
        let order = next.trailing_zeros().min(left).min(u32::from(ORDERS) - 1);
        next += 1 << order;
        Some((block, order as u8))
    })
}

/// The metadata of every frame, by frame number; of none before [`start`].
#[inline]
pub fn frames() -> &'static [Frame] {
    let count = COUNT.load(Ordering::Acquire);
    // SAFETY: `start` has written as many elements there before it set the count, and their memory is never given to the
    // buddy allocator; before that the count is 0.
    unsafe { core::slice::from_raw_parts(FIRST.load(Ordering::Relaxed), count) }
}

/// The metadata of one frame.
///
/// # Safety
/// The frame is one of [`frames`].
#[inline]
pub(crate) unsafe fn metadata(frame: FrameNumber) -> &'static Frame {
    debug_assert!(frame.index() < COUNT.load(Ordering::Relaxed));
    // SAFETY: `start` has written the element, as the caller promises that there is one, and its memory is never given away.
    unsafe { &*FIRST.load(Ordering::Relaxed).add(frame.index()) }
}

/// The number of the frame that has this metadata, one of [`frames`].
#[inline]
pub fn number_of(frame: &'static Frame) -> FrameNumber {
    let offset = core::ptr::from_ref(frame) as usize - FIRST.load(Ordering::Relaxed) as usize;
    FrameNumber((offset / size_of::<Frame>()) as u32)
}

/// The numbers that are published as they change.
#[derive(Debug)]
pub struct Words {
    /// [`managed_frames`].
    pub managed: &'static AtomicUsize,
    /// [`free_frames`].
    pub free: &'static AtomicUsize,
    /// [`kernel_frames`].
    pub kernel: &'static AtomicUsize,
    /// [`watermarks`]: min, low and high.
    pub watermarks: &'static [AtomicUsize; 3],
}

/// Where those numbers are.
pub fn words() -> Words {
    Words { managed: &MANAGED, free: &FREE_COUNT, kernel: &KERNELS, watermarks: &MARKS }
}

/// How many frames Quire manages: all but the metadata's and the loader's.
#[inline]
pub fn managed_frames() -> usize {
    MANAGED.load(Ordering::Relaxed)
}

/// How many frames are free.
#[inline]
pub fn free_frames() -> usize {
    FREE_COUNT.load(Ordering::Relaxed)
}

/// How many frames the kernel keeps for itself and cannot reclaim: tables, stacks and heap.
pub fn kernel_frames() -> usize {
    KERNELS.load(Ordering::Relaxed)
}

/// The watermarks.
#[inline]
pub fn watermarks() -> Watermarks {
    let [min, low, high] = &MARKS;
    let get = |mark: &AtomicUsize| mark.load(Ordering::Relaxed);
    Watermarks { min: get(min), low: get(low), high: get(high) }
}

/// `vm.min_free_kbytes` and `vm.watermark_scale_factor`.
pub fn watermark_settings() -> (usize, usize) {
    let [least, scale] = &SETTINGS;
    (least.load(Ordering::Relaxed), scale.load(Ordering::Relaxed))
}

/// Sets the watermarks by `vm.min_free_kbytes` and `vm.watermark_scale_factor`, within what leaves room for pages.
pub fn set_watermarks(least_free_kibibytes: usize, scale_factor: usize) {
    let Watermarks { min, low, high } = Watermarks::new(managed_frames(), least_free_kibibytes, scale_factor);
    for (mark, value) in MARKS.iter().zip([min, low, high]) {
        mark.store(value, Ordering::Relaxed);
    }
    for (setting, value) in SETTINGS.iter().zip([least_free_kibibytes, scale_factor]) {
        setting.store(value, Ordering::Relaxed);
    }
    if free_frames() < low {
        (upcalls().memory_is_low)();
    }
}

/// Takes 2^`order` frames, without sleeping, if `purpose` may have them. Their contents are junk.
pub(crate) fn allocate(order: u8, kind: Kind, purpose: Purpose) -> Option<FrameNumber> {
    let marks = watermarks();
    let mut floor = marks.floor(purpose);
    // Which task it is matters only where too little is free.
    if free_frames() < floor + (1 << order) && cpu::with_running(Running::may_take_reserve).unwrap_or(false) {
        floor = floor.min(marks.floor(Purpose::Reclaim));
    }
    let (block, left) = {
        let mut free = FREE.lock();
        let enough = free.free_frames() >= floor + (1 << order);
        let block = enough.then(|| free.allocate(frames(), order, kind)).flatten();
        FREE_COUNT.store(free.free_frames(), Ordering::Relaxed);
        (block, free.free_frames())
    };
    if block.is_some() && kind.is_kernels() {
        KERNELS.fetch_add(1 << order, Ordering::Relaxed);
    }
    if left < marks.low {
        (upcalls().memory_is_low)();
    }
    block
}

/// Frees the 2^`order` frames from `block` on.
pub(crate) fn free(block: FrameNumber, order: u8) {
    mmu::note_free(block, order);
    #[cfg(debug_assertions)]
    fill_with_junk(block, order);
    if frames()[block.index()].kind().is_kernels() {
        KERNELS.fetch_sub(1 << order, Ordering::Relaxed);
    }
    let mut free = FREE.lock();
    free.free(frames(), block, order);
    FREE_COUNT.store(free.free_frames(), Ordering::Relaxed);
}

/// Frees a range of frames of one kind.
#[cfg(target_os = "none")]
pub(crate) fn free_range(range: Range<FrameNumber>) {
    for (block, order) in blocks(range) {
        free(block, order);
    }
}

/// Frees single frames together.
///
/// # Safety
/// For each, as for [`UniqueFrame::from_number`](crate::unique::UniqueFrame::from_number).
pub(crate) unsafe fn free_each(given: &[FrameNumber]) {
    for frame in given {
        mmu::note_free(*frame, 0);
        #[cfg(debug_assertions)]
        fill_with_junk(*frame, 0);
    }
    let mut free = FREE.lock();
    let frames = frames();
    for frame in given {
        free.free(frames, *frame, 0);
    }
    FREE_COUNT.store(free.free_frames(), Ordering::Relaxed);
}

/// Makes a use of freed memory visible.
#[cfg(debug_assertions)]
fn fill_with_junk(block: FrameNumber, order: u8) {
    // SAFETY: the frames are managed and, being freed, in no use.
    unsafe { core::ptr::write_bytes(direct::<u8>(block.address()), 0xdb, PAGE_SIZE << order) };
}

/// How many frames are used for each kind, by [`Kind`].
pub fn frames_by_kind() -> [usize; Kind::ALL.len()] {
    let mut counts = [0; Kind::ALL.len()];
    for frame in frames() {
        counts[frame.kind() as usize] += 1;
    }
    counts
}

/// How many frames hold a page that is in the swap cache.
pub fn frames_in_swap_cache() -> usize {
    frames().iter().filter(|frame| frame.folio.state().is(FolioFlag::InCache)).count()
}

/// How many frames are used for `kind`.
pub fn frames_of(kind: Kind) -> usize {
    frames().iter().filter(|frame| frame.kind() == kind).count()
}
