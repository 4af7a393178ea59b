//! The allocator: slabs, arenas and blocks as one.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};

use quire_drivers::virtio_blk::DESCRIPTOR_HEAP_BYTES;
use quire_protocol::observatory::{AtomicHeap, AtomicPage, Heap};
use quire_swap::header::PAGE_SIZE;

use super::arena::{self, Arenas};
use super::share::{KEPT_BACK, leaves, purpose};
use super::slab::{self, Memory, SIZES, SlabUsage, Slabs};
use crate::address_map::{DIRECT_MAP, address_of};
use crate::frame::{FrameNumber, Kind};
use crate::physical;
use crate::sync::{Rank, SpinLock};

const _: () =
    assert!(KEPT_BACK >= 4 * DESCRIPTOR_HEAP_BYTES, "several disks' descriptor lists fit in what is kept back");
const _: () = assert!(
    DESCRIPTOR_HEAP_BYTES / quire_drivers::virtio_blk::QUEUE_SIZE <= slab::LARGEST,
    "a descriptor list is contiguous"
);

struct Small {
    slabs: [Slabs; SIZES.len()],
    arenas: Arenas,
}

struct KernelHeap {
    small: SpinLock<Small>,
    /// Frames that the heap has.
    frames: AtomicUsize,
    /// Bytes in frames of their own.
    large: AtomicUsize,
    /// Blocks of them.
    large_blocks: AtomicUsize,
}

#[global_allocator]
static HEAP: KernelHeap = KernelHeap {
    small: SpinLock::new(
        Rank::Heap,
        Small {
            slabs: {
                let mut slabs = [const { Slabs::new(0) }; SIZES.len()];
                let mut class = 0;
                while class < SIZES.len() {
                    slabs[class] = Slabs::new(SIZES[class]);
                    class += 1;
                }
                slabs
            },
            arenas: Arenas::new(),
        },
    ),
    frames: AtomicUsize::new(0),
    large: AtomicUsize::new(0),
    large_blocks: AtomicUsize::new(0),
};

static LAYOUT: AtomicHeap = AtomicHeap::new();

/// What an object is allocated from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Slab(usize),
    Arena,
    Pages(usize),
}

impl Source {
    #[inline]
    fn of(layout: Layout) -> Self {
        let (size, align) = (layout.size(), layout.align());
        if let Some(class) = slab::class_of(layout) {
            Self::Slab(class)
        } else if align > PAGE_SIZE / 2 || size > arena::LARGEST || (PAGE_SIZE * 3 / 4..=PAGE_SIZE).contains(&size) {
            Self::Pages(size.div_ceil(PAGE_SIZE))
        } else {
            Self::Arena
        }
    }
}

fn memory() -> Memory<'static> {
    Memory { frames: physical::frames(), base: DIRECT_MAP as *mut u8 }
}

/// Gives up slabs that are empty and were kept for the next object.
pub fn trim() {
    for class in 0..SIZES.len() {
        let empty = HEAP.small.lock().slabs[class].trim(memory());
        HEAP.free_slab(empty);
    }
}

/// How many frames the heap has.
pub fn frames() -> usize {
    HEAP.frames.load(Ordering::Relaxed)
}

/// How many frames are free, the heap's, which has more or fewer as its objects lie, or the kernel half's page tables, which stay: where
/// there is no block for a large object, its pages are mapped there.
pub fn spare_frames() -> usize {
    physical::free_frames() + frames() + physical::frames_of(Kind::KernelTable)
}

/// How many bytes of the heap are in use.
pub fn used() -> usize {
    let large = HEAP.large.load(Ordering::Relaxed);
    let small = HEAP.small.lock();
    large + small.arenas.used() + small.slabs.iter().map(|slabs| slabs.used() * slabs.size()).sum::<usize>()
}

/// The slabs of every size.
pub fn slabs() -> [SlabUsage; SIZES.len()] {
    let small = HEAP.small.lock();
    small.slabs.each_ref().map(|slabs| SlabUsage {
        size: slabs.size(),
        used: slabs.used(),
        in_slab: slabs.objects(),
        slabs: slabs.count(),
    })
}

/// Says where the heap's figures are, which stay there.
pub(crate) fn publish(page: &AtomicPage) {
    let small = HEAP.small.lock();
    let [arena_bytes, arena_objects] = small.arenas.addresses();
    let [size, count, used] = Slabs::OFFSETS.map(|offset| offset as u64);
    LAYOUT.set(&Heap {
        frames: address_of(&HEAP.frames),
        arena_bytes,
        arena_objects,
        large_bytes: address_of(&HEAP.large),
        large_blocks: address_of(&HEAP.large_blocks),
        slabs: small.slabs.as_ptr().addr() as u64,
        size_count: SIZES.len() as u64,
        size_bytes: size_of::<Slabs>() as u64,
        size,
        count,
        used,
    });
    page.heap.store(address_of(&LAYOUT), Ordering::Relaxed);
}

impl KernelHeap {
    #[inline(never)]
    fn grow(&self, pages: usize) -> Option<NonNull<u8>> {
        let purpose = purpose();
        let block = leaves(1, pages, purpose).then(|| super::blocks::allocate(pages, purpose)).flatten()?;
        self.frames.fetch_add(pages, Ordering::Relaxed);
        Some(block)
    }

    /// # Safety
    /// [`Self::grow`] gave the block, and nothing uses it any more.
    #[inline(never)]
    unsafe fn shrink(&self, block: NonNull<u8>, pages: usize) {
        self.frames.fetch_sub(pages, Ordering::Relaxed);
        // SAFETY: the caller gives the block.
        unsafe { super::blocks::free(block, pages) };
    }

    /// Frees the frame of a slab, if there is one that is not needed.
    fn free_slab(&self, frame: Option<FrameNumber>) {
        if let Some(frame) = frame {
            self.frames.fetch_sub(1, Ordering::Relaxed);
            physical::free(frame, 0);
        }
    }

    #[inline]
    fn allocate(&self, layout: Layout) -> Option<NonNull<u8>> {
        if let Some(block) = super::reserved::take(layout) {
            return Some(block);
        }
        if super::fail_nth::fails_now() {
            return None;
        }
        match Source::of(layout) {
            Source::Slab(class) => loop {
                let object = self.small.lock().slabs[class].allocate(memory());
                if object.is_some() {
                    return object;
                }
                let frame = self.grow(1)?;
                let frame = FrameNumber::containing(frame.as_ptr() as u64 - DIRECT_MAP);
                let surplus = self.small.lock().slabs[class].add(memory(), frame);
                self.free_slab(surplus);
            },
            Source::Arena => loop {
                let object = self.small.lock().arenas.allocate(layout);
                if object.is_some() {
                    return object;
                }
                let block = self.grow(arena::PAGES)?;
                // SAFETY: the block is new, and aligned: a block of the buddy allocator, or at a place's start.
                unsafe { self.small.lock().arenas.add(block) };
            },
            Source::Pages(_) if layout.align() > PAGE_SIZE => None,
            Source::Pages(pages) => {
                let block = self.grow(pages)?;
                self.large.fetch_add(pages * PAGE_SIZE, Ordering::Relaxed);
                self.large_blocks.fetch_add(1, Ordering::Relaxed);
                Some(block)
            }
        }
    }
}

// SAFETY: slabs, arenas and blocks give out disjoint memory that fits the layout; where an object is depends on its layout
// alone, so it goes back to where it came from. New frames are zero.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.allocate(layout).map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some(object) = self.allocate(layout) else { return ptr::null_mut() };
        if !matches!(Source::of(layout), Source::Pages(_)) {
            // SAFETY: the object is new and as large as the layout says.
            unsafe { object.write_bytes(0, layout.size()) };
        }
        object.as_ptr()
    }

    unsafe fn dealloc(&self, object: *mut u8, layout: Layout) {
        let Some(object) = NonNull::new(object) else { return };
        match Source::of(layout) {
            Source::Slab(class) => {
                // SAFETY: the caller frees what `alloc` gave for this layout.
                let frame = unsafe { self.small.lock().slabs[class].free(memory(), object) };
                self.free_slab(frame);
            }
            Source::Arena => {
                // SAFETY: as above.
                let block = unsafe { self.small.lock().arenas.free(object, layout) };
                if let Some(block) = block {
                    // SAFETY: the arenas have given up the block.
                    unsafe { self.shrink(block, arena::PAGES) };
                }
            }
            Source::Pages(pages) => {
                self.large.fetch_sub(pages * PAGE_SIZE, Ordering::Relaxed);
                self.large_blocks.fetch_sub(1, Ordering::Relaxed);
                // SAFETY: as above.
                unsafe { self.shrink(object, pages) };
            }
        }
    }

    unsafe fn realloc(&self, object: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller gives a size that fits a layout.
        let larger = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let source = Source::of(layout);
        if source != Source::Arena && source == Source::of(larger) {
            return object;
        }
        let Some(new) = self.allocate(larger) else { return ptr::null_mut() };
        // SAFETY: both are as large as their layouts say, and the caller frees the old one.
        unsafe {
            ptr::copy_nonoverlapping(object, new.as_ptr(), layout.size().min(size));
            self.dealloc(object, layout);
        }
        new.as_ptr()
    }
}
