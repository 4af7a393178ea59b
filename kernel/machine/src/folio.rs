//! Folios: counted references to frames that hold pages of address spaces and of objects.
//!
//! # Invariants
//!
//! A frame of [`Kind::Anonymous`] or [`Kind::Object`] has one reference for each [`Folio`], for each [`Pte`](crate::pte::Pte)
//! that maps it, in a table or not, and for the swap cache while it is there. Only these types change the count, and the
//! one that drops the last frees the frame. So a frame stays allocated while a PTE maps it.
//!
//! # Contents
//!
//! A folio that is not up to date is in no page table, and is read and written by its owner alone, which is a [`NewFolio`] or
//! the holder of its lock ([`Locked`]). One that is up to date may be mapped: tasks read and write it at any moment, so its bytes
//! are copied, and no reference to them is made, but where the swap core looks at a page that no task can write.
//!
//! # Large folios
//!
//! A large folio is [`LARGE_PAGES`] folios of one page each whose frames are one block of the buddy allocator: they are allocated
//! together, aligned to their length, and each is marked as [`FolioFlag::Large`]. The mark is all that the frame table says of it; the
//! head is the frame whose number is a multiple of [`LARGE_PAGES`]. Counts, state and lock are each page's own: what concerns one page, a
//! copy on write, the end of a part of the mapping, a page that was locked in memory, touches that page and no other, so a large
//! folio is split by taking marks away, which needs neither memory nor the others' locks; and the frames of pages that go are free at
//! once, not with the last page. The mark of a frame that is freed goes with its state. So a mark alone proves nothing: who takes
//! the pages of a large folio together locks all of them, and looks.

use core::fmt;
use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicU64, Ordering};

use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::{Folio as _, FolioFlag, FolioState, Forgotten, Locked, ReadAccess, WriteAccess};

use crate::address_map::direct;
use crate::arch::{translations, vector};
pub use crate::frame::Folio;
use crate::frame::{Frame, FrameNumber, Kind, NO_LIST};
use crate::physical;
use crate::pool_frame::IS_POOL;
use crate::task::WaitQueue;
use crate::unique::UniqueFrame;
use crate::upcall::upcalls;
use crate::watermark::Purpose;

/// In the count of references: it does not rise from a frame's number, and the last reference does not free. No folio has so many.
const FROZEN: u32 = 1 << 29;
const _: () = assert!(FROZEN < IS_POOL);

/// The order of a large folio: 64 KiB.
pub const LARGE_ORDER: u8 = 4;

/// How many pages a large folio has.
pub const LARGE_PAGES: usize = 1 << LARGE_ORDER;

/// A folio that has no references and no contents yet: a frame of its own.
pub struct NewFolio(UniqueFrame);

impl NewFolio {
    /// A folio with junk in it; `None` when `purpose` may not have a frame. Does not sleep.
    pub fn allocate(purpose: Purpose) -> Option<Self> {
        UniqueFrame::allocate(0, Kind::Anonymous, purpose).map(Self)
    }

    /// The pages of a large folio, with junk in them; `None` when no block is free that `purpose` may have. Does not sleep.
    pub fn allocate_large(purpose: Purpose) -> Option<[Self; LARGE_PAGES]> {
        let block = UniqueFrame::allocate(LARGE_ORDER, Kind::Anonymous, purpose)?;
        Some(block.split().map(Self))
    }

    /// The frame's metadata.
    #[inline]
    pub fn metadata(&self) -> &'static Frame {
        &physical::frames()[self.0.number().index()]
    }

    /// The frame.
    #[inline]
    pub const fn number(&self) -> FrameNumber {
        self.0.number()
    }

    /// Its contents.
    pub fn page_mut(&mut self) -> &mut Page {
        let Some(page) = self.0.bytes_mut().as_mut_array() else { unreachable!("a frame is a page") };
        page
    }

    /// Fills it with zeros.
    pub fn clear(&mut self) {
        vector::fill(self.page_mut(), 0);
    }

    /// Makes it a copy of `other`, which tasks may have mapped.
    pub fn copy_from(&mut self, other: &Folio) {
        other.assert_has_contents();
        // SAFETY: both frames stay allocated while the folios live. Nothing else has this one, and of one that has contents
        // there is no mutable reference.
        unsafe { core::ptr::copy_nonoverlapping(other.bytes(), self.0.bytes_mut().as_mut_ptr(), PAGE_SIZE) };
    }

    /// The folio with what was written as its contents.
    #[inline]
    pub fn filled(self) -> Folio {
        self.metadata().folio.set_filled();
        self.into_empty()
    }

    /// [`Self::filled`] for a page of a large folio, of which there is no other copy, with its [owner mark](Folio::set_owner_mark).
    #[inline]
    pub fn filled_large(self, mark: u64) -> Folio {
        let metadata = self.metadata();
        metadata.folio.set_filled_and([FolioFlag::Dirty, FolioFlag::Large]);
        metadata.owned.store(mark, Ordering::Release);
        self.into_empty()
    }

    /// The folio without contents, which the holder of its lock will give it.
    #[inline]
    pub fn into_empty(self) -> Folio {
        let metadata = ManuallyDrop::new(self).metadata();
        metadata.references.store(1, Ordering::Release);
        Folio(metadata)
    }
}

impl Drop for NewFolio {
    fn drop(&mut self) {
        if self.metadata().cgroup.load(Ordering::Relaxed) != 0 {
            (upcalls().folio_is_unused)(self.metadata());
        }
    }
}

impl Folio {
    /// The frame.
    #[inline]
    pub fn frame(&self) -> FrameNumber {
        physical::number_of(self.0)
    }

    /// The frame's metadata.
    #[inline]
    pub const fn metadata(&self) -> &'static Frame {
        self.0
    }

    /// What [`Self::set_owner_mark`] noted; 0 for nothing.
    #[inline]
    pub fn owner_mark(&self) -> u64 {
        self.0.owned.load(Ordering::Acquire)
    }

    /// Notes whose page the folio is, in the form that the rooms above give it. It stays so until the frame is free.
    #[inline]
    pub fn set_owner_mark(&self, mark: u64) {
        self.0.owned.store(mark, Ordering::Release);
    }

    /// How many references there are.
    #[inline]
    pub fn references(&self) -> u32 {
        self.0.references.load(Ordering::Acquire) & !FROZEN
    }

    /// Whether it is a page of an object.
    #[inline]
    pub fn is_of_object(&self) -> bool {
        self.0.is_of_object()
    }

    /// Says that it is a page of an object.
    pub fn set_of_object(&self) {
        self.0.set_kind(Kind::Object);
    }

    /// A reference to the folio in `frame`, if one is there.
    #[inline]
    pub fn try_from_frame(frame: FrameNumber) -> Option<Self> {
        let metadata = physical::frames().get(frame.index())?;
        let more = |count: u32| (1..FROZEN).contains(&count).then(|| count + 1);
        metadata.references.fetch_update(Ordering::AcqRel, Ordering::Relaxed, more).ok().map(|_| Self(metadata))
    }

    /// The reference of a PTE or of the swap cache.
    ///
    /// # Safety
    /// That had a reference to the folio in `frame`, which becomes the caller's.
    #[inline]
    pub(crate) unsafe fn from_frame(frame: FrameNumber) -> Self {
        // SAFETY: a folio's frame has metadata.
        let metadata = unsafe { physical::metadata(frame) };
        debug_assert!(metadata.kind().is_page());
        Self(metadata)
    }

    /// One more reference to the folio in `frame`, which has one that outlives this call.
    ///
    /// # Safety
    /// It has.
    #[inline]
    pub(crate) unsafe fn add_reference(frame: FrameNumber) -> &'static Frame {
        // SAFETY: a folio's frame has metadata.
        let metadata = unsafe { physical::metadata(frame) };
        count(metadata.references.fetch_add(1, Ordering::Relaxed));
        metadata
    }

    /// Copies bytes out, from byte `start` of the page on. Tasks that have the page mapped may change it meanwhile.
    ///
    /// # Panics
    /// When the bytes are not all in the page.
    pub fn read_bytes(&self, start: usize, to: &mut [u8]) {
        assert!(are_in_page(start, to.len()), "the bytes are in the page");
        self.assert_has_contents();
        // SAFETY: the source is within a frame that stays allocated while `self` lives and of which, as it has contents, nothing
        // has a mutable reference; the destination is a live slice elsewhere.
        unsafe { core::ptr::copy_nonoverlapping(self.bytes().add(start), to.as_mut_ptr(), to.len()) };
    }

    /// Copies bytes in, from byte `start` of the page on. Tasks that have the page mapped may see it meanwhile.
    ///
    /// # Panics
    /// When the bytes are not all in the page, or the page is on its way to where it must not change meanwhile.
    pub fn write_bytes(locked: &Locked<Self>, start: usize, from: &[u8]) {
        assert!(are_in_page(start, from.len()), "the bytes are in the page");
        locked.assert_has_contents();
        assert!(locked.state().may_be_written(), "{locked:?} must not change now");
        // SAFETY: as in `read_bytes`, the other way round. The swap core looks at a page only where that must not change, or
        // under the lock, which the caller has.
        unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), locked.bytes().add(start), from.len()) };
    }

    #[inline]
    pub(crate) fn assert_has_contents(&self) {
        assert!(self.state().is(FolioFlag::UpToDate), "{self:?} has no contents yet");
    }

    /// Its words, which tasks may write meanwhile.
    ///
    /// # Panics
    /// When it has no contents yet.
    #[inline]
    fn words(&self) -> &[AtomicU64; PAGE_SIZE / 8] {
        self.assert_has_contents();
        // SAFETY: the frame is in the direct map and stays allocated while `self` lives; as it has contents, nothing has a mutable
        // reference to them.
        unsafe { &*direct(self.frame().address()) }
    }

    #[inline]
    fn bytes(&self) -> *mut u8 {
        direct(self.frame().address())
    }

    /// Gives the reference up; whether it was the last: [`Self::forget`] is next, and the frame is to be freed.
    #[inline]
    fn give_up(&self) -> bool {
        self.0.references.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Clears the metadata of a frame that is about to be freed, to which there are no references any more.
    #[inline]
    fn forget(&self) {
        let metadata = self.0;
        if metadata.list.load(Ordering::Relaxed) != NO_LIST || metadata.cgroup.load(Ordering::Relaxed) != 0 {
            (upcalls().folio_is_unused)(metadata);
            assert!(metadata.list.load(Ordering::Relaxed) == NO_LIST, "{self:?} is freed and in a list");
        }
        metadata.owned.store(0, Ordering::Release);
        metadata.folio.reset();
        translations::flush_stale();
    }

    #[inline(never)]
    fn free(&self) {
        self.forget();
        // SAFETY: there was a last reference, and it was given up.
        drop(unsafe { UniqueFrame::from_number(self.frame(), 0) });
    }
}

/// Whether so many bytes from byte `start` on are in a page. Their sum may wrap.
#[inline]
fn are_in_page(start: usize, bytes: usize) -> bool {
    start.checked_add(bytes).is_some_and(|end| end <= PAGE_SIZE)
}

/// Holds a count that has risen to what it can be. Far below, so that no other processor takes it there meanwhile.
#[inline]
fn count(before: u32) {
    assert!(before & !FROZEN < FROZEN / 2, "a folio has too many references");
}

impl Clone for Folio {
    #[inline]
    fn clone(&self) -> Self {
        count(self.0.references.fetch_add(1, Ordering::Relaxed));
        Self(self.0)
    }
}

impl Drop for Folio {
    #[inline]
    fn drop(&mut self) {
        if self.give_up() {
            self.free();
        }
    }
}

/// Drops references; the frames whose last they were are freed together.
#[expect(clippy::disallowed_methods, reason = "an array of a fixed size")]
pub fn drop_all<const MOST: usize>(folios: arrayvec::Drain<'_, Folio, MOST>) {
    let release = |folio: Folio| {
        let folio = ManuallyDrop::new(folio);
        if !folio.give_up() {
            return None;
        }
        folio.forget();
        Some(folio.frame())
    };
    let last = folios.filter_map(release).collect::<arrayvec::ArrayVec<_, MOST>>();
    // SAFETY: these were the last references.
    unsafe { physical::free_each(&last) };
}

impl fmt::Debug for Folio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "folio {} ({} references)", self.frame(), self.0.references.load(Ordering::Relaxed))
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

    #[inline]
    fn order(&self) -> u8 {
        0
    }

    fn take_up(&self, forgotten: Forgotten<'_, Self>) -> Self {
        forgotten.check(self.state());
        Self(self.0)
    }

    fn try_from_number(number: u64) -> Option<Self> {
        Self::try_from_frame(FrameNumber(u32::try_from(number).ok()?))
    }

    fn try_freeze(&self, expected: u32) -> bool {
        let frozen = expected | FROZEN;
        self.0.references.compare_exchange(expected, frozen, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn thaw(&self) {
        self.0.references.fetch_and(!FROZEN, Ordering::Release);
    }

    #[inline]
    fn state(&self) -> &FolioState<Self> {
        self.0.folio.state()
    }

    fn read_page<R>(&self, index: usize, access: &ReadAccess<'_, Self>, read: impl FnOnce(&Page) -> R) -> R {
        access.check(self.state());
        assert!(index == 0, "a folio has one page");
        // SAFETY: the frame is in the direct map and stays allocated while `self` lives. With such an access nothing writes it: it
        // has contents, so nothing else may write them by reference; no PTE that is made lets a task write it, and `write_bytes` does
        // not.
        read(unsafe { &*self.bytes().cast() })
    }

    fn write_page<R>(&self, index: usize, access: &mut WriteAccess<'_, Self>, write: impl FnOnce(&mut Page) -> R) -> R {
        access.check(self.state());
        assert!(index == 0, "a folio has one page");
        // SAFETY: as above; with such an access nothing else reads or writes it: it has no contents, so no PTE maps it and its
        // bytes are not copied.
        write(unsafe { &mut *self.bytes().cast() })
    }

    fn is_zero(&self, index: usize) -> bool {
        debug_assert_eq!(index, 0);
        vector::are_zero(self.words())
    }

    fn looks_zero(&self) -> bool {
        /// The first word, the last, and some between, each at another place in its cache line: a page that is zero there is rarely
        /// not zero elsewhere, and then no more is lost than that its slot is not beside those of its neighbours.
        const STRIDE: usize = 73;
        const { assert!(PAGE_SIZE / 8 == 7 * STRIDE + 1) };
        let words = self.words();
        let word = |index: usize| words[index].load(Ordering::Relaxed);
        word(0) == 0 && (1..8).fold(0, |bits, turn| bits | word(turn * STRIDE)) == 0
    }

    fn clear(page: &mut Page) {
        vector::fill(page, 0);
    }

    fn wait_while(&self, flag: FolioFlag) {
        self.waiters().wait_until(|| !self.state().is(flag));
    }

    #[inline]
    fn wake(&self, _flag: FolioFlag) {
        self.waiters().wake_all();
    }

    #[cold]
    fn orphaned(&self) {
        (upcalls().folio_is_orphaned)(self);
    }
}
