//! The student's crate. This file and `main.rs` are given; `fifo.rs`, `clock.rs` and `own.rs` are to be written.
//!
//! The code here has no operating system below it, as in a kernel: there are `core` and `alloc` (`Vec`, `VecDeque`,
//! `BTreeMap`, `BTreeSet`), and no `std`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod clock;
pub mod fifo;
pub mod own;

/// The number of a page.
pub type Page = u32;

/// A policy: it is told each access, and says which page goes when there is no free frame.
///
/// An access is a hit if its page is in a frame. If not, it is a miss: while there is a free frame the page gets that; else
/// [`Policy::evict`] is called first, and its page leaves its frame. Then [`Policy::added`] is called.
pub trait Policy {
    /// `page` was accessed and is in a frame.
    fn hit(&mut self, page: Page);

    /// There is no free frame for `coming`. Which page goes? It has to be one that is in a frame.
    fn evict(&mut self, coming: Page) -> Page;

    /// `page` was accessed, was in no frame, and is in one now.
    fn added(&mut self, page: Page);
}
