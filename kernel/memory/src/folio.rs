//! Folios: counted references to frames that hold pages of address spaces and of objects.
//!
//! # Invariants
//!
//! A frame of [`Kind::Anonymous`] or [`Kind::Object`] has at least one reference: one for each PTE that maps it,
//! one for its object's index entry, one for the swap cache, and those of whoever works on it. The reclaim lists hold none: a folio
//! whose last reference goes leaves them.
//!
//! `owned` says where the PTEs are that may map the folio (see `mm::rmap`). It is set before the first of them does, and
//! stays until the frame is free: a slot, and so a folio that comes back from it, always belongs to one owner and index.
//!
//! For the time being every folio of the kernel has order 0.

use core::arch::asm;
use core::fmt;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayVec;
use quire_machine::address_map::DIRECT_MAP;
use quire_machine::frame::{Frame, FrameNumber, Kind};
use quire_machine::physical;
use quire_machine::task::WaitQueue;
use quire_machine::unique::UniqueFrame;
use quire_machine::watermark::Purpose;
use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::{FolioFlag, FolioState};

use super::cgroup;
use super::lru;
use crate::swap;

/// A counted reference to a folio.
///
/// It is its frame's metadata, which most questions are about.
pub struct Folio(&'static Frame);

/// Folios that are looked at together in reclaim, and written together (Linux: `SWAP_CLUSTER_MAX`).
pub const BATCH: usize = quire_swap::BATCH_FOLIOS;

/// Some folios.
pub type FolioBatch = ArrayVec<Folio, BATCH>;

/// Whose page a folio is: see `mm::rmap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The owner's number, from 1.
    pub owner: u32,
    /// The page's index there.
    pub index: u64,
}

/// The bits of an index.
const INDEX_BITS: u32 = 36;
/// Owners have numbers below this.
pub(super) const OWNER_NUMBERS: u32 = 1 << (u64::BITS - INDEX_BITS);

impl Owned {
    const fn pack(self) -> u64 {
        (self.owner as u64) << INDEX_BITS | self.index & ((1 << INDEX_BITS) - 1)
    }

    const fn unpack(word: u64) -> Option<Self> {
        if word == 0 {
            return None;
        }
        Some(Self { owner: (word >> INDEX_BITS) as u32, index: word & ((1 << INDEX_BITS) - 1) })
    }
}

impl Folio {
    /// A folio with junk in it; `None` when `purpose` may not have a frame. Does not sleep.
    pub fn allocate(purpose: Purpose) -> Option<Self> {
        let frame = UniqueFrame::allocate(0, Kind::Anonymous, purpose)?.into_number();
        let metadata = &physical::frames()[frame.index()];
        metadata.references.store(1, Ordering::Release);
        Some(Self(metadata))
    }

    /// The frame.
    pub fn frame(&self) -> FrameNumber {
        physical::number_of(self.0)
    }

    /// The frame's metadata.
    pub const fn metadata(&self) -> &'static Frame {
        self.0
    }

    /// Fills the folio with zeros. Nobody else uses its contents yet.
    pub fn clear(&self) {
        // SAFETY: the frame stays allocated while `self` lives, and nobody else uses it yet. One string instruction costs
        // less than any loop.
        unsafe {
            asm!(
                "rep stosq",
                inout("rdi") self.bytes() => _,
                inout("rcx") PAGE_SIZE / 8 => _,
                in("rax") 0,
                options(nostack, preserves_flags)
            );
        }
    }

    /// Whose page it is, if it was ever somebody's.
    pub fn owned(&self) -> Option<Owned> {
        Owned::unpack(self.metadata().owned.load(Ordering::Acquire))
    }

    /// Says whose page it is.
    pub fn set_owned(&self, owned: Owned) {
        self.metadata().owned.store(owned.pack(), Ordering::Release);
    }

    /// How many references there are.
    pub fn references(&self) -> u32 {
        self.metadata().references.load(Ordering::Acquire)
    }

    /// Takes `count` references away that PTEs had; the caller has another.
    pub fn drop_references(&self, count: u32) {
        let before = self.metadata().references.fetch_sub(count, Ordering::AcqRel);
        debug_assert!(before > count, "the caller of {self:?} has a reference");
    }

    /// Whether it is a page of an object.
    pub fn is_of_object(&self) -> bool {
        self.metadata().kind() == Kind::Object
    }

    /// Copies bytes out, from byte `start` of the page on. Tasks that have the page mapped may change it meanwhile.
    ///
    /// # Panics
    /// When the bytes are not all in the page.
    pub fn read_bytes(&self, start: usize, to: &mut [u8]) {
        assert!(start + to.len() <= PAGE_SIZE, "the bytes are in the page");
        // SAFETY: the source is within a frame that stays allocated while `self` lives; the destination is a live slice
        // elsewhere. No Rust reference to the frame's bytes exists: they are plain data of tasks.
        unsafe { core::ptr::copy_nonoverlapping((self.bytes() as *const u8).add(start), to.as_mut_ptr(), to.len()) };
    }

    /// Copies bytes in, from byte `start` of the page on. Tasks that have the page mapped may see it meanwhile.
    ///
    /// # Panics
    /// When the bytes are not all in the page.
    pub fn write_bytes(&self, start: usize, from: &[u8]) {
        assert!(start + from.len() <= PAGE_SIZE, "the bytes are in the page");
        // SAFETY: as in `read_bytes`, the other way round.
        unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), (self.bytes() as *mut u8).add(start), from.len()) };
    }

    /// Makes this new folio a copy of `other`, which tasks may have mapped for reading.
    pub fn copy_from(&self, other: &Self) {
        // SAFETY: both frames stay allocated while the folios live; nobody else uses this one yet.
        unsafe { core::ptr::copy_nonoverlapping(other.bytes() as *const u8, self.bytes() as *mut u8, PAGE_SIZE) };
    }

    fn bytes(&self) -> u64 {
        DIRECT_MAP + self.frame().address()
    }

    /// Gives this reference to a PTE.
    pub fn into_frame(self) -> FrameNumber {
        let frame = self.frame();
        core::mem::forget(self);
        frame
    }

    /// The reference of a PTE that maps `frame`, once the PTE is gone.
    pub fn from_frame(frame: FrameNumber) -> Self {
        let metadata = &physical::frames()[frame.index()];
        debug_assert!(matches!(metadata.kind(), Kind::Anonymous | Kind::Object));
        Self(metadata)
    }

    /// A new reference, if the folio has one still: for lists and tables that hold none.
    pub fn try_from_frame(frame: FrameNumber) -> Option<Self> {
        let metadata = physical::frames().get(frame.index())?;
        let more = |count: u32| (count != 0).then(|| count + 1);
        metadata.references.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more).ok().map(|_| Self(metadata))
    }
}

impl Clone for Folio {
    fn clone(&self) -> Self {
        self.metadata().references.fetch_add(1, Ordering::Relaxed);
        Self(self.0)
    }
}

impl Folio {
    /// Gives the reference up; whether it was the last, so that the frame is nobody's and is to be freed.
    #[inline]
    fn release(&self) -> bool {
        let metadata = self.metadata();
        if metadata.references.fetch_sub(1, Ordering::AcqRel) != 1 {
            return false;
        }
        if lru::is_listed(self) {
            lru::remove(self.frame());
        }
        metadata.owned.store(0, Ordering::Release);
        metadata.folio.reset();
        let cgroup = metadata.cgroup.load(Ordering::Relaxed);
        if cgroup != cgroup::ROOT {
            metadata.cgroup.store(cgroup::ROOT, Ordering::Relaxed);
            cgroup::uncharge(cgroup);
        }
        true
    }
}

impl Drop for Folio {
    fn drop(&mut self) {
        if self.release() {
            // SAFETY: this was the last reference.
            drop(unsafe { UniqueFrame::from_number(self.frame(), 0) });
        }
    }
}

/// Drops references; the frames whose last they were are freed together.
#[expect(clippy::disallowed_methods, reason = "an array of a fixed size")]
pub(super) fn drop_all(folios: &mut FolioBatch) {
    let release = |folio: Folio| {
        let folio = ManuallyDrop::new(folio);
        folio.release().then(|| folio.frame())
    };
    let last = folios.drain(..).filter_map(release).collect::<ArrayVec<_, BATCH>>();
    // SAFETY: these were the last references.
    unsafe { physical::free_each(&last) };
}

impl fmt::Debug for Folio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "folio {} ({} references)", self.frame(), self.metadata().references.load(Ordering::Relaxed))
    }
}

const WAIT_QUEUES: usize = 64;
static WAITERS: [WaitQueue; WAIT_QUEUES] = [const { WaitQueue::new() }; WAIT_QUEUES];

impl Folio {
    fn waiters(&self) -> &'static WaitQueue {
        &WAITERS[self.frame().index() % WAIT_QUEUES]
    }
}

impl quire_swap::Folio for Folio {
    fn number(&self) -> u64 {
        u64::from(self.frame().0)
    }

    fn order(&self) -> u8 {
        0
    }

    fn into_number(self) -> u64 {
        u64::from(self.into_frame().0)
    }

    fn from_number(number: u64) -> Self {
        Self::from_frame(FrameNumber(number as u32))
    }

    fn try_from_number(number: u64) -> Option<Self> {
        Self::try_from_frame(FrameNumber(u32::try_from(number).ok()?))
    }

    fn try_freeze(&self, expected: u32) -> bool {
        self.metadata().references.compare_exchange(expected, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn unfreeze(&self, references: u32) {
        self.metadata().references.store(references, Ordering::Release);
    }

    fn state(&self) -> &FolioState {
        &self.metadata().folio
    }

    fn with_page<R>(&self, index: usize, read: impl FnOnce(&Page) -> R) -> R {
        debug_assert_eq!(index, 0);
        // SAFETY: the frame is in the direct map and stays allocated while `self` lives. Those who may change it are a
        // task that has it mapped and a device that reads into it: the swap core looks only at folios that it has
        // unmapped or that nobody maps yet, and that no read is filling.
        read(unsafe { &*((DIRECT_MAP + self.frame().address()) as *const Page) })
    }

    fn with_page_mut<R>(&self, index: usize, write: impl FnOnce(&mut Page) -> R) -> R {
        debug_assert_eq!(index, 0);
        // SAFETY: as above; it is written to only before it is up to date, by the holder of its lock or by whoever
        // allocated it, so nobody else reads or writes it.
        write(unsafe { &mut *((DIRECT_MAP + self.frame().address()) as *mut Page) })
    }

    fn looks_zero(&self) -> bool {
        /// One word of every other cache line, every time another one: a page that is zero there is rarely not zero elsewhere.
        const STRIDE: usize = 17;
        let words = (DIRECT_MAP + self.frame().address()) as *const AtomicU64;
        // SAFETY: the frame is in the direct map and stays allocated while `self` lives; its task may write to it
        // meanwhile, so it is read as atomics.
        let word = |index| unsafe { (*words.add(index)).load(Ordering::Relaxed) };
        (0..PAGE_SIZE / 8).step_by(STRIDE).all(|index| word(index) == 0)
    }

    fn wait_while(&self, flag: FolioFlag) {
        self.waiters().wait_until(|| !self.metadata().folio.is(flag));
    }

    fn wake(&self, _flag: FolioFlag) {
        self.waiters().wake_all();
    }

    #[cold]
    fn orphaned(&self) {
        swap::core().drop_if_unused(self);
    }
}
