//! Which page goes: the policies of reclaim behind one trait, the same in the kernel and in the simulator (`cargo run
//! -- policy`).
//!
//! A policy sees what hardware shows a kernel: that a page came, whether its accessed bit was set when it was looked
//! at, which clears the bit, and that it left. It has neither locks nor pages: an [`Instance`] is one policy's state
//! for the pages of one group, or for all, and whoever owns it locks it. Its lists run through the frames' metadata,
//! and what it knows of a page there are [`PAGE_BITS`] bits beside the list's links ([`Pages`]); of a page that has
//! left it knows the [`Shadow`] in its slot. Nothing is allocated.
//!
//! # The way of a page
//!
//! ```text
//! fault ── add ──> lists ── next ──> isolated ── looked_at ──> Stay: in a list again
//!                    ^                              │
//!                    └────────── put_back ──────────┴────────> Evict ── evicted ──> shadow, in the slot
//! ```
//!
//! A caller may isolate a batch before it tells what it found. A page that goes for other reasons is removed.
//!
//! # The access that brought a page in
//!
//! It sets the accessed bit and is no reuse. So a page is *fresh* until [`FRESH_MAX`] others have come: then the caller
//! clears its bit ([`Instance::settle`]), and the policy learns only of accesses after that. Accesses close after the
//! first are not told from it, which is as well (O'Neil, O'Neil and Weikum call them correlated references).
//!
//! # A new policy
//!
//! A file here that implements [`Policy`], declared below, and a line in the table `policies!`.

mod balance;
mod clock;
mod clock_pro;
mod fifo;
mod instance;
mod mglru;
mod pages;
#[cfg(not(target_os = "none"))]
pub mod replay;
mod reuse;
mod s3_fifo;
mod shadow;
mod two_list;

#[cfg(test)]
mod tests;

pub use balance::*;
pub use instance::{FRESH_MAX, Instance};
pub use pages::{FrameNumber, LIST_MAX, MARK_MAX, PAGE_BITS, Pages, Queue};
pub use shadow::{Evictions, Shadow};

/// What becomes of a page that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in a list again.
    Stay,
    /// It is to leave memory, and isolated until it has.
    Evict,
}

/// Decides which page goes.
pub trait Policy {
    /// Its lists, each with another number.
    fn queues(&mut self) -> &mut [Queue];

    /// A page has come into memory; `shadow` is what its eviction left, if it was evicted.
    fn add(&mut self, pages: Pages<'_>, page: FrameNumber, shadow: Shadow);

    /// Isolates the page that is to be looked at next; `None` only if there is none in its lists.
    fn next(&mut self, pages: Pages<'_>) -> Option<FrameNumber>;

    /// What the look at an isolated page has found; its accessed bit is clear now. Puts it into a list, unless it is to
    /// go.
    ///
    /// For a page that was not accessed ever since it has to be [`Verdict::Evict`] after a few looks.
    fn looked_at(&mut self, pages: Pages<'_>, page: FrameNumber, accessed: bool) -> Verdict;

    /// An isolated page leaves memory for its slot, where the shadow stays.
    fn evicted(&mut self, pages: Pages<'_>, page: FrameNumber) -> Shadow;

    /// Whether the pages mapped beside one that was accessed are worth a look at their accessed bits.
    fn looks_around(&self) -> bool {
        false
    }

    /// A page in a list was accessed that is mapped beside one that was looked at; its accessed bit is clear now.
    fn accessed_beside(&mut self, _pages: Pages<'_>, _page: FrameNumber) {}
}

/// The table of policies: the name by which one is chosen, and its type.
macro_rules! policies {
    ($($name:literal: $module:ident::$type:ident,)*) => {
        /// The names of all policies.
        pub const NAMES: &[&str] = &[$($name),*];

        /// A policy that is chosen when it is made.
        #[derive(Debug)]
        enum Chosen {
            $($type($module::$type),)*
        }

        impl Chosen {
            const fn new(number: usize) -> Option<Self> {
                let mut left = number;
                $(
                    if left == 0 {
                        return Some(Self::$type($module::$type::new()));
                    }
                    left = left.wrapping_sub(1);
                )*
                let _ = left;
                None
            }

            fn policy(&mut self) -> &mut dyn Policy {
                match self {
                    $(Self::$type(policy) => policy,)*
                }
            }
        }
    };
}

policies! {
    "fifo": fifo::Fifo,
    "clock": clock::Clock,
    "two-list": two_list::TwoList,
    "mglru": mglru::Mglru,
    "clock-pro": clock_pro::ClockPro,
    "s3-fifo": s3_fifo::S3Fifo,
    "reuse": reuse::Reuse,
}

/// The policy that decides unless another is chosen: the one that wins on the evidence in `docs/policies.md`.
pub const DEFAULT: &str = "reuse";
