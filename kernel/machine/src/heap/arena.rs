//! Arenas: blocks of frames in which `linked_list_allocator` has objects that are too large for slabs and too small for
//! frames of their own.
//!
//! # Invariants
//!
//! An arena begins at a multiple of [`BYTES`], with its own description. The first stays; another is freed when nothing
//! in it is in use. Nothing here locks: the kernel heap does.

use core::alloc::Layout;
use core::ptr::NonNull;

use linked_list_allocator::Heap;
use quire_swap::header::PAGE_SIZE;

/// The pages of an arena.
pub(super) const PAGES: usize = 8;
const BYTES: usize = PAGES * PAGE_SIZE;
/// The largest object.
pub(super) const LARGEST: usize = 2 * PAGE_SIZE;

struct Arena {
    heap: Heap,
    next: Option<NonNull<Arena>>,
}

const _: () = assert!(size_of::<Arena>() + 3 * LARGEST < BYTES, "three of the largest fit");

/// All arenas, the first at the end.
pub(super) struct Arenas {
    newest: Option<NonNull<Arena>>,
    /// How many bytes are in use.
    used: usize,
    /// By how many objects.
    objects: usize,
}

// SAFETY: what the pointers lead to is the arenas' alone.
unsafe impl Send for Arenas {}

impl Arenas {
    pub(super) const fn new() -> Self {
        Self { newest: None, used: 0, objects: 0 }
    }

    /// How many bytes are in use.
    pub(super) const fn used(&self) -> usize {
        self.used
    }

    /// Where the bytes in use and the number of objects are.
    pub(super) fn addresses(&self) -> [u64; 2] {
        [&self.used, &self.objects].map(|word| core::ptr::from_ref(word).addr() as u64)
    }

    fn iter(&self) -> impl Iterator<Item = NonNull<Arena>> {
        // SAFETY: arenas in the list exist.
        core::iter::successors(self.newest, |arena| unsafe { arena.as_ref() }.next)
    }

    /// Takes an object, if an arena has room.
    pub(super) fn allocate(&mut self, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: arenas in the list exist, and are borrowed with it.
        let object =
            self.iter().find_map(|mut arena| unsafe { arena.as_mut() }.heap.allocate_first_fit(layout).ok())?;
        self.used += layout.size();
        self.objects += 1;
        Some(object)
    }

    /// Makes an arena of a block.
    ///
    /// # Safety
    /// The block is [`PAGES`] pages at a multiple of as many, which nothing else uses until [`Self::free`] returns it.
    pub(super) unsafe fn add(&mut self, block: NonNull<u8>) {
        let arena = block.cast::<Arena>();
        let description = size_of::<Arena>().next_multiple_of(align_of::<Arena>().max(16));
        // SAFETY: the caller gives the block, which is larger than its description.
        unsafe {
            let heap = Heap::new(block.add(description).as_ptr(), BYTES - description);
            arena.write(Arena { heap, next: self.newest });
        }
        self.newest = Some(arena);
    }

    /// Takes an object back; returns the block of an arena that is not needed any more.
    ///
    /// # Safety
    /// [`Self::allocate`] gave the object for this layout, and nothing uses it any more.
    pub(super) unsafe fn free(&mut self, object: NonNull<u8>, layout: Layout) -> Option<NonNull<u8>> {
        // SAFETY: the object lies in an arena, which begins at a multiple of its size.
        let mut arena = unsafe { object.sub(object.addr().get() % BYTES) }.cast::<Arena>();
        self.used -= layout.size();
        self.objects -= 1;
        // SAFETY: the arena is in the list, and the caller frees the object.
        let (is_empty, next) = unsafe {
            let arena = arena.as_mut();
            arena.heap.deallocate(object, layout);
            (arena.heap.used() == 0, arena.next)
        };
        // The first stays.
        next.filter(|_| is_empty)?;
        if self.newest == Some(arena) {
            self.newest = next;
        } else {
            // SAFETY: arenas in the list exist.
            let mut before = self.iter().find(|other| unsafe { other.as_ref() }.next == Some(arena))?;
            // SAFETY: the same.
            unsafe { before.as_mut() }.next = next;
        }
        Some(arena.cast())
    }
}
