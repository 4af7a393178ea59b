//! What a policy sees of the pages in memory: frame numbers, the list that each is in, and a few bits of each.
//!
//! # The bits of a page
//!
//! All of a policy's state of a page is in the frame's `list` byte and in the links that the frame has anyway:
//!
//! | bits | meaning |
//! |---|---|
//! | 0–2 | number of the list, 1 to 6; 0 for a page that the policy does not know, 7 for one that the caller keeps |
//! | 3 | isolated: taken out of that list to be looked at |
//! | 4 | fresh: so new that its accessed bit may still be that of the access that brought it in |
//! | 5–6 | mark: the policy's own |
//! | 7 | the caller's: see `lru` |
//!
//! # Locks
//!
//! None of its own. The lock that the caller holds for a policy covers its lists and the bits of the pages in them.

use core::sync::atomic::Ordering;

pub use quire_machine::frame::FrameNumber;
use quire_machine::frame::{Frame, PageList};

/// How many bits of a frame's metadata a policy uses, without the links of the list.
pub const PAGE_BITS: u32 = 7;

/// The greatest number that a list can have.
pub const LIST_MAX: u8 = 6;

const LIST: u8 = 0b111;
const ISOLATED: u8 = 1 << 3;
const FRESH: u8 = 1 << 4;
const MARK_SHIFT: u32 = 5;
const MARK: u8 = 0b11 << MARK_SHIFT;
const CALLERS: u8 = 1 << 7;

const _: () = assert!(
    LIST_MAX < LIST
        && (LIST | ISOLATED | FRESH | MARK) == (1 << PAGE_BITS) - 1
        && CALLERS == !(LIST | ISOLATED | FRESH | MARK)
);

/// The greatest mark of a page: a policy has two bits for what it likes.
pub const MARK_MAX: u8 = 3;

/// The metadata of all frames.
#[derive(Clone, Copy, Debug)]
pub struct Pages<'a>(pub &'a [Frame]);

impl Pages<'_> {
    fn bits(self, page: FrameNumber) -> u8 {
        self.0[page.index()].list.load(Ordering::Relaxed)
    }

    fn set(self, page: FrameNumber, mask: u8, bits: u8) {
        self.0[page.index()].list.store(self.bits(page) & !mask | bits, Ordering::Relaxed);
    }

    /// The number of the list that the page is in, or was taken from to be looked at.
    #[inline]
    pub fn list(self, page: FrameNumber) -> u8 {
        self.bits(page) & LIST
    }

    /// Whether the page is in a list and not isolated.
    pub fn is_listed(self, page: FrameNumber) -> bool {
        self.list(page) != 0 && !self.is_isolated(page)
    }

    /// Whether the page was taken out of its list to be looked at.
    pub fn is_isolated(self, page: FrameNumber) -> bool {
        self.bits(page) & ISOLATED != 0
    }

    /// What the policy noted of the page, up to [`MARK_MAX`]; 0 for a page that has just come.
    #[inline]
    pub fn mark(self, page: FrameNumber) -> u8 {
        (self.bits(page) & MARK) >> MARK_SHIFT
    }

    /// Notes something of the page, up to [`MARK_MAX`].
    #[inline]
    pub fn set_mark(self, page: FrameNumber, mark: u8) {
        debug_assert!(mark <= MARK_MAX);
        self.set(page, MARK, mark << MARK_SHIFT & MARK);
    }

    /// Whether an accessed bit of the page may still be that of the access that brought it in.
    pub fn is_fresh(self, page: FrameNumber) -> bool {
        self.bits(page) & FRESH != 0
    }

    pub(super) fn set_fresh(self, page: FrameNumber, fresh: bool) {
        self.set(page, FRESH, if fresh { FRESH } else { 0 });
    }

    /// The policy knows the page no more.
    pub(super) fn forget(self, page: FrameNumber) {
        self.set(page, !CALLERS, 0);
    }

    /// The caller's bit.
    #[inline]
    pub fn callers_bit(self, page: FrameNumber) -> bool {
        self.bits(page) & CALLERS != 0
    }

    /// Sets the caller's bit.
    pub fn set_callers_bit(self, page: FrameNumber, bit: bool) {
        self.set(page, CALLERS, if bit { CALLERS } else { 0 });
    }
}

/// One of a policy's lists. Pages are pushed at its head and looked at from its tail on.
#[derive(Debug)]
pub struct Queue {
    list: PageList,
    number: u8,
}

impl Queue {
    /// An empty list with a number from 1 to [`LIST_MAX`], that no other list of the policy has.
    ///
    /// # Panics
    /// When it is compiled, if the number is another.
    pub const fn new(number: u8) -> Self {
        assert!(0 < number && number <= LIST_MAX);
        Self { list: PageList::new(), number }
    }

    /// The caller's own list, of pages that no policy is to know.
    pub const fn of_caller() -> Self {
        Self { list: PageList::new(), number: LIST }
    }

    /// Its number.
    #[inline]
    pub const fn number(&self) -> u8 {
        self.number
    }

    /// How many pages are in it.
    pub const fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether no page is in it.
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Puts the page, which is in no list, at the head.
    pub fn push(&mut self, pages: Pages<'_>, page: FrameNumber) {
        debug_assert!(!pages.is_listed(page), "{page} is in list {} already", pages.list(page));
        pages.set(page, LIST | ISOLATED, self.number);
        self.list.push_front(pages.0, page);
    }

    /// Puts the page, which is in no list, at the tail: it is looked at next.
    pub fn push_last(&mut self, pages: Pages<'_>, page: FrameNumber) {
        debug_assert!(!pages.is_listed(page), "{page} is in list {} already", pages.list(page));
        pages.set(page, LIST | ISOLATED, self.number);
        self.list.push_back(pages.0, page);
    }

    /// Isolates the page at the tail.
    pub fn isolate(&mut self, pages: Pages<'_>) -> Option<FrameNumber> {
        let page = self.list.last()?;
        self.list.remove(pages.0, page);
        pages.set(page, ISOLATED, ISOLATED);
        Some(page)
    }

    /// Takes the page, which is in this list, out.
    pub fn remove(&mut self, pages: Pages<'_>, page: FrameNumber) {
        debug_assert!(pages.is_listed(page) && pages.list(page) == self.number);
        self.list.remove(pages.0, page);
        pages.set(page, ISOLATED, ISOLATED);
    }
}
