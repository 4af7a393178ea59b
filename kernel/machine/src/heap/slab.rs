//! Slabs: single frames cut into objects of one size.
//!
//! # Invariants
//!
//! An object of [`SIZES`]`[class]` bytes lies at a multiple of that size from its frame's start, so it is contiguous in
//! physical memory and as aligned as its size is. A free object that was in use before holds, in its first two bytes, the number of
//! the next such one; what is still unused of the frame comes after those. The frame's metadata says how far that went
//! (`Slab`). A slab that has a free object is in its class's list, the one without any object in use, if there is one, last.
//!
//! Nothing here locks: the kernel heap does.

use core::alloc::Layout;
#[cfg(target_os = "none")]
use core::mem::offset_of;
use core::ptr::NonNull;
use core::sync::atomic::Ordering;

use quire_swap::header::PAGE_SIZE;

use crate::frame::{Frame, FrameNumber, OwnList};

/// The sizes of objects: multiples of 16 that waste little of a frame.
pub(crate) const SIZES: [usize; 22] =
    [16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 672, 816, 1024, 1360, 2048];

/// The largest object.
pub(crate) const LARGEST: usize = SIZES[SIZES.len() - 1];

const STEP: usize = 16;

/// The class of objects of up to so many steps.
const CLASS_OF_STEPS: [u8; LARGEST / STEP + 1] = {
    let mut classes = [0; LARGEST / STEP + 1];
    let (mut steps, mut class) = (0, 0);
    while steps < classes.len() {
        if steps * STEP > SIZES[class] {
            class += 1;
        }
        classes[steps] = class as u8;
        steps += 1;
    }
    classes
};

/// The class whose objects fit the layout; `None` for what is too large, or more aligned than a frame.
#[inline]
pub(crate) fn class_of(layout: Layout) -> Option<usize> {
    let class = usize::from(*CLASS_OF_STEPS.get(layout.size().div_ceil(STEP))?);
    if layout.align() <= STEP {
        return Some(class);
    }
    (class..SIZES.len()).find(|class| SIZES[*class].is_multiple_of(layout.align()))
}

/// The slabs of one size.
#[derive(Clone, Copy, Debug)]
pub struct SlabUsage {
    /// The bytes of an object.
    pub size: usize,
    /// Objects in use.
    pub used: usize,
    /// Objects in a slab.
    pub in_slab: usize,
    /// Slabs.
    pub slabs: usize,
}

/// All frames' metadata, and where physical address 0 is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory<'a> {
    /// By frame number.
    pub(crate) frames: &'a [Frame],
    /// The address of the first byte of frame 0.
    pub(crate) base: *mut u8,
}

impl Memory<'_> {
    fn object(&self, frame: FrameNumber, size: usize, index: u16) -> *mut u8 {
        self.base.wrapping_add(frame.index() * PAGE_SIZE + usize::from(index) * size)
    }
}

/// What a slab's frame says about it, in [`Frame::owned`].
#[derive(Clone, Copy, Debug, Default)]
struct Slab {
    /// Objects in use.
    used: u16,
    /// Objects that have ever been in use.
    begun: u16,
    /// One more than the number of the first that is free again; 0 for none.
    free: u16,
}

impl Slab {
    fn of(frame: &Frame) -> Self {
        let word = frame.owned.load(Ordering::Relaxed);
        Self { used: word as u16, begun: (word >> 16) as u16, free: (word >> 32) as u16 }
    }

    fn store(self, frame: &Frame) {
        let word = u64::from(self.used) | u64::from(self.begun) << 16 | u64::from(self.free) << 32;
        frame.owned.store(word, Ordering::Relaxed);
    }
}

/// The slabs of one size of objects.
#[derive(Debug)]
pub(crate) struct Slabs {
    size: usize,
    /// Those that have a free object.
    with_room: OwnList,
    /// The one of them that is empty.
    empty: Option<FrameNumber>,
    count: usize,
    used: usize,
}

impl Slabs {
    /// Where the size of an object, the number of slabs and that of objects in use are.
    #[cfg(target_os = "none")]
    pub(crate) const OFFSETS: [usize; 3] = [offset_of!(Self, size), offset_of!(Self, count), offset_of!(Self, used)];

    /// No slabs for objects of `size` bytes, one of [`SIZES`].
    pub(crate) const fn new(size: usize) -> Self {
        Self { size, with_room: OwnList::empty(), empty: None, count: 0, used: 0 }
    }

    /// How many objects a slab has.
    pub(crate) const fn objects(&self) -> usize {
        PAGE_SIZE / self.size
    }

    /// How many slabs there are.
    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// How many objects are in use.
    pub(crate) const fn used(&self) -> usize {
        self.used
    }

    /// The bytes of an object.
    #[cfg(target_os = "none")]
    pub(crate) const fn size(&self) -> usize {
        self.size
    }

    /// Takes an object, if a slab has one that is free.
    #[inline]
    pub(crate) fn allocate(&mut self, memory: Memory<'_>) -> Option<NonNull<u8>> {
        let frame = self.with_room.first()?;
        let metadata = &memory.frames[frame.index()];
        let mut slab = Slab::of(metadata);
        let index = if slab.free == 0 {
            slab.begun += 1;
            slab.begun - 1
        } else {
            slab.free - 1
        };
        let object = memory.object(frame, self.size, index);
        if slab.free != 0 {
            // SAFETY: the object is free, so it belongs to this slab, and was freed, so it holds a number.
            slab.free = unsafe { NonNull::new_unchecked(object).cast::<u16>().read() };
        }
        slab.used += 1;
        self.used += 1;
        self.empty.take_if(|empty| *empty == frame);
        if usize::from(slab.used) == self.objects() {
            self.with_room.remove(memory.frames, frame);
        }
        slab.store(metadata);
        NonNull::new(object)
    }

    /// Makes a slab of `frame`, which is unused; returns it if there is an empty slab already, because another task was faster.
    #[must_use]
    pub(crate) fn add(&mut self, memory: Memory<'_>, frame: FrameNumber) -> Option<FrameNumber> {
        if self.empty.is_some() {
            return Some(frame);
        }
        Slab::default().store(&memory.frames[frame.index()]);
        self.count += 1;
        self.with_room.push_back(memory.frames, frame);
        self.empty = Some(frame);
        None
    }

    /// Takes an object back; returns the frame of a slab that is not needed any more. One empty slab stays for the next object.
    ///
    /// # Safety
    /// [`Self::allocate`] gave the object, from this memory, and nothing uses it any more.
    #[inline]
    pub(crate) unsafe fn free(&mut self, memory: Memory<'_>, object: NonNull<u8>) -> Option<FrameNumber> {
        let offset = object.as_ptr() as usize - memory.base as usize;
        let frame = FrameNumber((offset / PAGE_SIZE) as u32);
        let metadata = &memory.frames[frame.index()];
        let mut slab = Slab::of(metadata);
        debug_assert!(slab.used > 0, "an object of an empty slab is freed");
        // SAFETY: the caller frees the object, which is aligned for and holds at least 16 bytes.
        unsafe { object.cast::<u16>().write(slab.free) };
        slab.free = (offset % PAGE_SIZE / self.size) as u16 + 1;
        if usize::from(slab.used) == self.objects() {
            self.with_room.push_front(memory.frames, frame);
        }
        slab.used -= 1;
        self.used -= 1;
        slab.store(metadata);
        if slab.used > 0 {
            return None;
        }
        self.with_room.remove(memory.frames, frame);
        if self.empty.is_some() {
            self.count -= 1;
            return Some(frame);
        }
        self.with_room.push_back(memory.frames, frame);
        self.empty = Some(frame);
        None
    }

    /// Gives up the empty slab.
    pub(crate) fn trim(&mut self, memory: Memory<'_>) -> Option<FrameNumber> {
        let frame = self.empty.take()?;
        self.with_room.remove(memory.frames, frame);
        self.count -= 1;
        Some(frame)
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::{alloc, dealloc};

    use proptest::prelude::*;

    use super::*;

    const FRAMES: usize = 12;

    /// Frames with memory of their own.
    struct Machine {
        frames: Vec<Frame>,
        base: NonNull<u8>,
        unused: Vec<FrameNumber>,
    }

    impl Machine {
        const LAYOUT: Layout = match Layout::from_size_align(FRAMES * PAGE_SIZE, PAGE_SIZE) {
            Ok(layout) => layout,
            Err(_) => panic!("a layout"),
        };

        fn new() -> Self {
            let frames = (0..FRAMES).map(|_| Frame::reserved()).collect();
            // SAFETY: the layout is not empty.
            let base = NonNull::new(unsafe { alloc(Self::LAYOUT) }).unwrap();
            Self { frames, base, unused: (0..FRAMES as u32).map(FrameNumber).collect() }
        }

        fn memory(&self) -> Memory<'_> {
            Memory { frames: &self.frames, base: self.base.as_ptr() }
        }
    }

    impl Drop for Machine {
        fn drop(&mut self) {
            // SAFETY: it was allocated with this layout.
            unsafe { dealloc(self.base.as_ptr(), Self::LAYOUT) };
        }
    }

    #[test]
    fn a_class_fits_its_layouts() {
        for size in 0..=LARGEST {
            for align in [1, 8, 16, 32, 64, 256, 2048] {
                let layout = Layout::from_size_align(size, align).unwrap();
                let class = class_of(layout).unwrap();
                assert!(SIZES[class] >= size && (align <= STEP || SIZES[class].is_multiple_of(align)), "{layout:?}");
                let smaller = class.checked_sub(1).is_some_and(|class| SIZES[class] >= size && align <= STEP);
                assert!(!smaller, "{layout:?} has a smaller class than {class}");
            }
        }
        assert_eq!(class_of(Layout::from_size_align(LARGEST + 1, 1).unwrap()), None);
        assert_eq!(class_of(Layout::from_size_align(16, PAGE_SIZE).unwrap()), None);
    }

    #[test]
    fn one_empty_slab_stays_however_many_were_added() {
        let machine = Machine::new();
        let memory = machine.memory();
        let mut slabs = Slabs::new(2048);
        let [first, second] = [0, 1].map(FrameNumber);
        assert_eq!(slabs.add(memory, first), None);
        assert_eq!(slabs.add(memory, second), Some(second), "two tasks found no room");
        let objects = [(); 2].map(|()| slabs.allocate(memory).unwrap());
        assert_eq!(slabs.add(memory, second), None);
        // SAFETY: they were allocated, and are forgotten.
        let gone = objects.map(|object| unsafe { slabs.free(memory, object) });
        assert_eq!(gone, [None, Some(first)], "the one that was added is empty already");
        let object = slabs.allocate(memory).unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { slabs.free(memory, object) }, None);
        assert_eq!((slabs.trim(memory), slabs.trim(memory), slabs.count()), (Some(second), None, 0));
    }

    proptest! {
        /// Objects are disjoint and keep what is written to them; at the end at most one slab is left.
        #[test]
        fn objects_are_disjoint_and_slabs_come_back(
            class in 0..SIZES.len(),
            operations in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..600),
        ) {
            let mut machine = Machine::new();
            let mut slabs = Slabs::new(SIZES[class]);
            let mut held: Vec<(NonNull<u8>, u8)> = Vec::new();
            let check = |(object, mark): (NonNull<u8>, u8)| {
                // SAFETY: the object is held, and was filled in full.
                let bytes = unsafe { std::slice::from_raw_parts(object.as_ptr(), SIZES[class]) };
                bytes.iter().all(|byte| *byte == mark)
            };
            for (number, (take, which)) in operations.into_iter().enumerate() {
                if take {
                    let object = slabs.allocate(machine.memory()).or_else(|| {
                        let frame = machine.unused.pop()?;
                        assert_eq!(slabs.add(machine.memory(), frame), None);
                        slabs.allocate(machine.memory())
                    });
                    let Some(object) = object else {
                        prop_assert_eq!(held.len(), FRAMES * slabs.objects());
                        continue;
                    };
                    // SAFETY: the object is new.
                    unsafe { object.write_bytes(number as u8, SIZES[class]) };
                    held.push((object, number as u8));
                } else if !held.is_empty() {
                    let (object, mark) = held.swap_remove(which.index(held.len()));
                    prop_assert!(check((object, mark)));
                    // SAFETY: the object was held and is forgotten.
                    machine.unused.extend(unsafe { slabs.free(machine.memory(), object) });
                }
                prop_assert_eq!(slabs.used(), held.len());
                prop_assert_eq!(slabs.count() + machine.unused.len(), FRAMES);
            }
            for (object, mark) in held {
                prop_assert!(check((object, mark)));
                // SAFETY: as above.
                machine.unused.extend(unsafe { slabs.free(machine.memory(), object) });
            }
            prop_assert!(slabs.count() <= 1);
            machine.unused.extend(slabs.trim(machine.memory()));
            prop_assert_eq!((slabs.count(), machine.unused.len()), (0, FRAMES));
        }
    }
}
