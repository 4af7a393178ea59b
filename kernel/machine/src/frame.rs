//! The metadata of every physical frame, and the lists that run through it.
//!
//! # Invariants
//!
//! Frame metadata exists for every frame number from 0 to the end of RAM, holes included; what a hole's frame is never
//! changes from [`Kind::Reserved`]. `next` and `previous` belong to the one list that the frame is in, and change only
//! under that list's lock: the buddy allocator's for a free block, the LRU lists' for a page, the heap's for a slab.

use core::fmt;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use quire_swap::header::PAGE_SIZE;
use quire_swap::{FolioFlag, FrameState};
/// The number of a physical frame: its address divided by 4,096.
///
/// Safe code can make any, and it proves nothing: what reaches a frame by its number alone either asks the metadata whether it may,
/// or is unsafe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameNumber(pub u32);

impl FrameNumber {
    /// The frame that holds physical `address`, which is below 16 TiB.
    pub const fn containing(address: u64) -> Self {
        Self((address / PAGE_SIZE as u64) as u32)
    }

    /// The physical address of its first byte.
    #[inline]
    pub const fn address(self) -> u64 {
        self.0 as u64 * PAGE_SIZE as u64
    }

    /// The number as an index.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for FrameNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// What a frame is used for. Those whose metadata lists of pages may link come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// No RAM, or RAM that Quire leaves alone.
    Reserved,
    /// A private page of address spaces.
    Anonymous,
    /// A page of an object.
    Object,
    /// The first frame of a free block of the buddy allocator.
    Free,
    /// A later frame of a free block.
    FreeTail,
    /// A page table of an address space, or a node of an object's index.
    PageTable,
    /// A page table of the kernel half, which stays.
    KernelTable,
    /// Part of a kernel stack.
    Stack,
    /// Shared with a device, or with those who look at memory from outside.
    Device,
    /// Part of a pool of compressed pages.
    Pool,
    /// Part of the initramfs.
    Archive,
    /// Part of the kernel heap.
    Heap,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::Reserved,
        Self::Anonymous,
        Self::Object,
        Self::Free,
        Self::FreeTail,
        Self::PageTable,
        Self::KernelTable,
        Self::Stack,
        Self::Device,
        Self::Pool,
        Self::Archive,
        Self::Heap,
    ];

    /// Whether such a frame holds a page.
    #[inline]
    pub const fn is_page(self) -> bool {
        matches!(self, Self::Anonymous | Self::Object)
    }

    /// Whether the kernel keeps such a frame for itself and cannot reclaim it.
    #[inline]
    pub const fn is_kernels(self) -> bool {
        matches!(self, Self::PageTable | Self::KernelTable | Self::Stack | Self::Heap)
    }
}

/// The end of a list.
pub const NO_FRAME: u32 = u32::MAX;

/// The LRU list of a frame that is in none.
pub const NO_LIST: u8 = 0;

/// 2^order contiguous frames that have no other owner: `unique` makes them, and says what they promise.
#[derive(Debug)]
pub struct UniqueFrame {
    pub(crate) first: FrameNumber,
    pub(crate) order: u8,
}

/// A counted reference to a folio: `folio` has what is done with it, and makes and drops them.
///
/// It is its frame's metadata, which most questions are about.
pub struct Folio(pub(crate) &'static Frame);

/// One frame's metadata.
///
/// Laid out as those who look from outside expect it.
#[derive(Debug)]
#[repr(C)]
pub struct Frame {
    /// What the swap core needs to know of the folio in this frame.
    pub(crate) folio: FrameState<Folio>,
    /// Whose page it is, as the rooms above mark it; of a slab, how much of it is in use.
    pub(crate) owned: AtomicU64,
    /// How many references there are to the folio, see `folio`, or who reaches a frame of a pool, see `pool_frame`; otherwise 0.
    pub(crate) references: AtomicU32,
    next: AtomicU32,
    previous: AtomicU32,
    kind: AtomicU8,
    order: AtomicU8,
    /// Which LRU list it is in: see `quire_memory::lru`.
    pub list: AtomicU8,
    /// Which memory cgroup it is charged to: see `quire_memory::cgroup`.
    pub cgroup: AtomicU8,
}

const _: () = assert!(size_of::<Frame>() <= 32, "metadata costs at most 32 bytes a frame");

const _: () = {
    use core::mem::offset_of;
    use quire_protocol::observatory::{FrameRecord, kind};

    assert!(size_of::<Frame>() == FrameRecord::BYTES);
    assert!(offset_of!(Frame, folio) + FrameState::<Folio>::BITS_OFFSET == offset_of!(FrameRecord, flags));
    assert!(offset_of!(Frame, folio) + FrameState::<Folio>::SLOT_OFFSET == offset_of!(FrameRecord, slot));
    assert!(offset_of!(Frame, owned) == offset_of!(FrameRecord, owned));
    assert!(offset_of!(Frame, references) == offset_of!(FrameRecord, references));
    assert!(offset_of!(Frame, next) == offset_of!(FrameRecord, next));
    assert!(offset_of!(Frame, previous) == offset_of!(FrameRecord, previous));
    assert!(offset_of!(Frame, kind) == offset_of!(FrameRecord, kind));
    assert!(offset_of!(Frame, order) == offset_of!(FrameRecord, order));
    assert!(offset_of!(Frame, list) == offset_of!(FrameRecord, list));
    assert!(offset_of!(Frame, cgroup) == offset_of!(FrameRecord, cgroup));
    assert!(Kind::Reserved as u8 == kind::RESERVED && Kind::Anonymous as u8 == kind::ANONYMOUS);
    assert!(Kind::Object as u8 == kind::OBJECT && Kind::Free as u8 == kind::FREE);
    assert!(Kind::FreeTail as u8 == kind::FREE_TAIL && Kind::PageTable as u8 == kind::PAGE_TABLE);
    assert!(Kind::KernelTable as u8 == kind::KERNEL_TABLE && Kind::Stack as u8 == kind::STACK);
    assert!(Kind::Device as u8 == kind::DEVICE && Kind::Pool as u8 == kind::POOL);
    assert!(Kind::Archive as u8 == kind::ARCHIVE && Kind::Heap as u8 == kind::HEAP);
};

impl Frame {
    /// The metadata of a frame that Quire leaves alone.
    pub const fn reserved() -> Self {
        Self {
            folio: FrameState::new(),
            owned: AtomicU64::new(0),
            references: AtomicU32::new(0),
            next: AtomicU32::new(NO_FRAME),
            previous: AtomicU32::new(NO_FRAME),
            kind: AtomicU8::new(Kind::Reserved as u8),
            order: AtomicU8::new(0),
            list: AtomicU8::new(0),
            cgroup: AtomicU8::new(0),
        }
    }

    /// Whose page it holds, as [`Folio::set_owner_mark`](crate::folio::Folio::set_owner_mark) has noted; 0 for nothing.
    #[inline]
    pub fn owner_mark(&self) -> u64 {
        if self.may_be_listed() { self.owned.load(Ordering::Acquire) } else { 0 }
    }

    /// Whether it holds a page that is in the swap cache.
    pub fn is_in_swap_cache(&self) -> bool {
        self.may_be_listed() && self.folio.state().is(FolioFlag::InCache)
    }

    /// Whether it holds a page of a large folio: see [`folio`](crate::folio).
    #[inline]
    pub fn is_of_large_folio(&self) -> bool {
        self.may_be_listed() && self.folio.state().is(FolioFlag::Large)
    }

    /// What the frame is used for.
    #[inline]
    pub fn kind(&self) -> Kind {
        Kind::ALL[usize::from(self.kind.load(Ordering::Relaxed))]
    }

    /// Whether the frame holds a page of an object.
    #[inline]
    pub fn is_of_object(&self) -> bool {
        self.kind.load(Ordering::Relaxed) == Kind::Object as u8
    }

    /// Whether the frame is free, alone or as part of a block.
    #[inline]
    pub(crate) fn is_unused(&self) -> bool {
        let kind = self.kind.load(Ordering::Relaxed);
        kind == Kind::Free as u8 || kind == Kind::FreeTail as u8
    }

    /// Whether the frame is the first of a free block of 2^`order`.
    #[inline]
    pub fn is_free(&self, order: u8) -> bool {
        self.kind.load(Ordering::Relaxed) == Kind::Free as u8 && self.order() == order
    }

    /// Whether lists of pages may link the frame.
    #[inline]
    fn may_be_listed(&self) -> bool {
        // The kinds from `Reserved` to `Object`: one comparison.
        self.kind.load(Ordering::Relaxed) <= Kind::Object as u8
    }

    /// Says what the frame is used for from now on.
    #[inline]
    pub(crate) fn set_kind(&self, kind: Kind) {
        self.kind.store(kind as u8, Ordering::Relaxed);
    }

    /// The order of the block that this frame is the first of.
    #[inline]
    pub fn order(&self) -> u8 {
        self.order.load(Ordering::Relaxed)
    }

    /// Says that this frame is the first of a block of 2^`order`.
    #[inline]
    pub(crate) fn set_order(&self, order: u8) {
        self.order.store(order, Ordering::Relaxed);
    }
}

/// A doubly linked list of frames, linked by their numbers through their metadata.
///
/// One of `PAGES` touches the links of frames alone that hold pages, or are left alone by the machine: what else the metadata links,
/// free frames, slabs and tables, no mistake of its user can reach.
#[derive(Debug)]
pub struct FrameList<const PAGES: bool> {
    first: u32,
    last: u32,
    length: usize,
}

/// A list of frames that hold pages.
pub type PageList = FrameList<true>;
/// A list of frames that the machine keeps for itself.
pub(crate) type OwnList = FrameList<false>;

impl PageList {
    /// An empty list.
    pub const fn new() -> Self {
        Self { first: NO_FRAME, last: NO_FRAME, length: 0 }
    }
}

impl OwnList {
    /// An empty list of the machine's.
    pub(crate) const fn empty() -> Self {
        Self { first: NO_FRAME, last: NO_FRAME, length: 0 }
    }
}

/// The metadata of a frame whose links change.
///
/// # Panics
/// When they are not those of a list of `PAGES`.
#[inline]
fn linked<const PAGES: bool>(frames: &[Frame], frame: u32) -> &Frame {
    match frames.get(frame as usize) {
        Some(metadata) if !PAGES || metadata.may_be_listed() => metadata,
        _ => no_page(frame),
    }
}

#[cold]
#[inline(never)]
fn no_page(frame: u32) -> ! {
    panic!("frame {frame:#x} holds no page")
}

impl<const PAGES: bool> FrameList<PAGES> {
    /// How many frames are in it.
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether nothing is in it.
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Puts `frame`, which is in no list, first.
    #[inline]
    pub fn push_front(&mut self, frames: &[Frame], frame: FrameNumber) {
        let metadata = linked::<PAGES>(frames, frame.0);
        metadata.next.store(self.first, Ordering::Relaxed);
        metadata.previous.store(NO_FRAME, Ordering::Relaxed);
        match self.first {
            NO_FRAME => self.last = frame.0,
            first => linked::<PAGES>(frames, first).previous.store(frame.0, Ordering::Relaxed),
        }
        self.first = frame.0;
        self.length += 1;
    }

    /// Puts `frame`, which is in no list, last.
    pub fn push_back(&mut self, frames: &[Frame], frame: FrameNumber) {
        let metadata = linked::<PAGES>(frames, frame.0);
        metadata.next.store(NO_FRAME, Ordering::Relaxed);
        metadata.previous.store(self.last, Ordering::Relaxed);
        match self.last {
            NO_FRAME => self.first = frame.0,
            last => linked::<PAGES>(frames, last).next.store(frame.0, Ordering::Relaxed),
        }
        self.last = frame.0;
        self.length += 1;
    }

    /// Takes `frame`, which is in this list, out.
    #[inline]
    pub fn remove(&mut self, frames: &[Frame], frame: FrameNumber) {
        let metadata = linked::<PAGES>(frames, frame.0);
        // Under the list's lock no other task changes them.
        let (next, previous) = (metadata.next.load(Ordering::Relaxed), metadata.previous.load(Ordering::Relaxed));
        match previous {
            NO_FRAME => self.first = next,
            previous => linked::<PAGES>(frames, previous).next.store(next, Ordering::Relaxed),
        }
        match next {
            NO_FRAME => self.last = previous,
            next => linked::<PAGES>(frames, next).previous.store(previous, Ordering::Relaxed),
        }
        self.length -= 1;
    }

    /// The frame before `frame`, which is in this list.
    pub fn before(&self, frames: &[Frame], frame: FrameNumber) -> Option<FrameNumber> {
        let previous = frames[frame.index()].previous.load(Ordering::Relaxed);
        (previous != NO_FRAME).then_some(FrameNumber(previous))
    }

    /// The first frame.
    pub fn first(&self) -> Option<FrameNumber> {
        (self.first != NO_FRAME).then_some(FrameNumber(self.first))
    }

    /// The last frame.
    pub fn last(&self) -> Option<FrameNumber> {
        (self.last != NO_FRAME).then_some(FrameNumber(self.last))
    }
}

impl Default for PageList {
    fn default() -> Self {
        Self::new()
    }
}
