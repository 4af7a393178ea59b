//! The student's crate. `readahead.rs` is to be written; this file and `main.rs` are given.
//!
//! The code here has no operating system below it, as in a kernel: there are `core` and `alloc` (`Vec`, `VecDeque`,
//! `BTreeMap`), and no `std`.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod readahead;

/// The number of a page in the swap area, from 0 to [`PAGES`] - 1.
pub type Page = u32;

/// Pages of the area.
pub const PAGES: u32 = 1 << 16;

/// The most pages of a request, with the missing one.
pub const WINDOW_MAX: u32 = 32;

/// How many neighbours of a missing page are read with it, by the same request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Pages before it.
    pub before: u32,
    /// Pages after it.
    pub after: u32,
}

/// Decides how far to read ahead. It is told what became of its decisions.
pub trait Readahead {
    /// `page` is missing and is read. What is read with it? Together at most [`WINDOW_MAX`] pages; what would lie beyond the
    /// area's ends is left out.
    fn fault(&mut self, page: Page) -> Window;

    /// `page` was read ahead and is used for the first time.
    fn used(&mut self, page: Page);

    /// `page` was read ahead and leaves memory without having been used.
    fn wasted(&mut self, page: Page);
}
