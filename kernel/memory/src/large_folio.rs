//! Large folios of anonymous memory, 64 KiB each: who gets them, and what was counted (Linux: `mm/huge_memory.c`, multi-size THP).
//!
//! A large folio is pages that came together and are kept together: one block of frames, one fault, one charge, one decision whether
//! it leaves memory, one run of slots. Each of its pages has a count, a state, an owner mark and a place in the LRU lists of its own
//! (`quire_machine::folio` says why). So nothing that concerns one page has to know of large folios, and the lists count pages.
//!
//! # Its way
//!
//! 1. A fault makes it: `fill_large` in `fault/large.rs`. It reclaims a batch where a fault for one page would, and no more; where a
//!    large folio cannot be had, the page comes alone.
//! 2. What happens to a part of it, a write after `fork`, `munmap`, `mprotect`, `MADV_DONTNEED`, is done to those pages. The others
//!    stay marked as a large folio, though it is no longer whole.
//! 3. Reclaim, which comes to one of its pages, takes those beside it from their lists too: `isolate` in `lru/mod.rs`.
//! 4. Where all of them are there, they go or stay together, an access to one being one to all, and get sixteen aligned slots:
//!    `large.rs` in `page_out`. If some have slots still, which those lost that were written, they give these up for a new run, as a
//!    folio does on Linux. Where some are not there, are busy, or there is no such run, the folio is split there, and its pages go one
//!    by one. From their slots on they are folios like any other: each is written, found, zero, or stays alone if it was accessed at
//!    the last moment; those that are written are in one batch, and so in one request of a disk, with those of other
//!    large folios: each counts as one in its batch.
//! 5. A fault on one of them brings all back, `swap_in_large` in `fault/swap_in_large.rs`, if they are in such a run still, all out of
//!    memory, and none compressed in zswap. Here too nothing is reclaimed for it. Where that cannot be, they come back one by one, and
//!    are a large folio no more. Linux does so only with areas that are as fast as memory, and reads pages ahead from others; here a disk
//!    gets one request for all of them.
//!
//! # By default
//!
//! `never`, as on Linux: with `always` a program that touches one byte of each 64 KiB takes 16 times the memory.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use quire_machine::folio::Folio;
use quire_machine::frame::FrameNumber;
use quire_swap::header::PAGE_SIZE;
use quire_swap::{Folio as _, FolioFlag};

pub use quire_machine::folio::LARGE_PAGES;

/// The length of one.
pub const LARGE_BYTES: u64 = (LARGE_PAGES * PAGE_SIZE) as u64;

/// The address of the aligned 64 KiB that the page is in, and which page of them it is.
pub(crate) const fn block_of(page: u64) -> (u64, usize) {
    let first = page / LARGE_BYTES * LARGE_BYTES;
    (first, ((page - first) / PAGE_SIZE as u64) as usize)
}

/// The first frame of the large folio that the frame was allocated with.
pub(crate) const fn head(frame: FrameNumber) -> FrameNumber {
    FrameNumber(frame.0 & !(LARGE_PAGES as u32 - 1))
}

/// The first frame of the large folio that the page is marked as one of.
pub(crate) fn of(folio: &Folio) -> Option<FrameNumber> {
    folio.state().is(FolioFlag::Large).then(|| head(folio.frame()))
}

/// The frames that the frame was allocated with.
pub(crate) fn frames(frame: FrameNumber) -> impl Iterator<Item = FrameNumber> + Clone {
    (head(frame).0..).take(LARGE_PAGES).map(FrameNumber)
}

/// Which anonymous memory gets large folios.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Setting {
    /// None.
    Never,
    /// What a program has asked for (`MADV_HUGEPAGE`).
    Madvise,
    /// All but what a program has excepted (`MADV_NOHUGEPAGE`).
    Always,
    /// What the setting for all sizes says.
    Inherit,
}

impl Setting {
    /// All, in the order in which Linux shows them.
    pub const ALL: [Self; 4] = [Self::Always, Self::Inherit, Self::Madvise, Self::Never];

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setting| setting.name() == name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Madvise => "madvise",
            Self::Always => "always",
            Self::Inherit => "inherit",
        }
    }
}

/// What a program wants of a mapping (`MADV_HUGEPAGE`, `MADV_NOHUGEPAGE`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// It has not said.
    #[default]
    Unsaid,
    /// Large folios.
    Large,
    /// None.
    Small,
}

/// A setting that can be changed at any moment.
#[derive(Debug)]
pub struct Switch(AtomicU8);

impl Switch {
    /// What it says.
    #[inline]
    pub fn get(&self) -> Setting {
        let is_it = |setting: &Setting| *setting as u8 == self.0.load(Ordering::Relaxed);
        Setting::ALL.into_iter().find(is_it).unwrap_or(Setting::Never)
    }

    /// What is touched from now on heeds it; what there is stays as it is.
    pub fn set(&self, setting: Setting) {
        self.0.store(setting as u8, Ordering::Relaxed);
    }
}

/// The setting for this size (Linux: `hugepages-64kB/enabled`).
pub static FOR_SIZE: Switch = Switch(AtomicU8::new(Setting::Never as u8));
/// The setting for all sizes (Linux: `transparent_hugepage/enabled`), which means nothing here but to [`Setting::Inherit`].
pub static FOR_ALL_SIZES: Switch = Switch(AtomicU8::new(Setting::Never as u8));

/// Whether any mapping may get large folios.
#[inline]
pub(crate) fn are_on() -> bool {
    FOR_SIZE.0.load(Ordering::Relaxed) != Setting::Never as u8
}

/// Whether a mapping may, of which the program wants that.
pub(crate) fn may_have(wanted: Wanted) -> bool {
    let setting = match FOR_SIZE.get() {
        Setting::Inherit => FOR_ALL_SIZES.get(),
        own => own,
    };
    match setting {
        Setting::Always => wanted != Wanted::Small,
        Setting::Madvise => wanted == Wanted::Large,
        Setting::Never | Setting::Inherit => false,
    }
}

macro_rules! counts {
    ($($name:ident = $text:literal: $what:literal,)*) => {
        /// What is counted, under the names of Linux's `hugepages-64kB/stats`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Count {
            $(#[doc = $what] $name,)*
        }

        impl Count {
            /// All, with their names.
            pub const ALL: &[(Self, &str)] = &[$((Self::$name, $text)),*];
        }
    };
}

counts! {
    AnonFaultAlloc = "anon_fault_alloc": "Large folios that faults have made.",
    AnonFaultFallback = "anon_fault_fallback": "Faults that could have made one and did not.",
    AnonFaultFallbackCharge = "anon_fault_fallback_charge": "Those of them for which the memory cgroup had no space.",
    Swpin = "swpin": "Large folios that came back from a run of slots together.",
    SwpinFallback = "swpin_fallback": "Faults that could have brought one back and did not.",
    SwpinFallbackCharge = "swpin_fallback_charge": "Those of them for which the memory cgroup had no space.",
    Zswpout = "zswpout": "Large folios of which all that had to be written went to zswap.",
    Swpout = "swpout": "Large folios that got a run of slots and left memory together, but for those.",
    SwpoutFallback = "swpout_fallback": "Those for which there was no run of slots, so that they were split.",
    Split = "split": "Large folios that were split.",
}

impl Count {
    /// A fault got no large folio where it fills memory with zeros; and that for want of space in its cgroup.
    pub(crate) const ANON_FAULT_FALLBACKS: [Self; 2] = [Self::AnonFaultFallback, Self::AnonFaultFallbackCharge];
    /// The same where it brings pages back from swap.
    pub(crate) const SWPIN_FALLBACKS: [Self; 2] = [Self::SwpinFallback, Self::SwpinFallbackCharge];
}

/// Why there is no large folio.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoLargeFolio {
    /// No block of frames is free that a task may have without reclaim.
    Memory,
    /// The cgroup has no space for it.
    Charge,
}

/// What there is; else it is counted that there was nothing.
pub(crate) fn or_fallback<T>(found: Result<T, NoLargeFolio>, [any, charge]: [Count; 2]) -> Option<T> {
    let count = |reason: &NoLargeFolio| {
        note(any);
        if *reason == NoLargeFolio::Charge {
            note(charge);
        }
    };
    found.inspect_err(count).ok()
}

static COUNTS: [AtomicU64; Count::ALL.len()] = [const { AtomicU64::new(0) }; Count::ALL.len()];

/// How often it has happened since boot.
pub fn count(what: Count) -> u64 {
    let noted = |what: Count| COUNTS[what as usize].load(Ordering::Relaxed);
    match what {
        // Where they go is known after they have left.
        Count::Swpout => noted(what).saturating_sub(noted(Count::Zswpout)),
        _ => noted(what),
    }
}

/// These folios of a batch were stored in zswap, or not. A large folio is not in two batches.
pub(crate) fn note_stored<'a>(folios: impl Iterator<Item = (&'a Folio, bool)>) {
    if !have_come() {
        return;
    }
    let mut last = None;
    let done = |last: Option<(FrameNumber, bool)>| {
        if let Some((_, true)) = last {
            note(Count::Zswpout);
        }
    };
    for (folio, is_stored) in folios {
        last = match (last, of(folio)) {
            (Some((same, all)), Some(head)) if same == head => Some((head, all && is_stored)),
            (before, next) => {
                done(before);
                next.map(|head| (head, is_stored))
            }
        };
    }
    done(last);
}

/// Whether there has been a large folio since boot.
pub(crate) fn have_come() -> bool {
    count(Count::AnonFaultAlloc) > 0
}

/// It has happened.
pub(crate) fn note(what: Count) {
    COUNTS[what as usize].fetch_add(1, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_wants_counts_as_far_as_the_setting_allows() {
        let allowed = |size, all| {
            FOR_SIZE.set(size);
            FOR_ALL_SIZES.set(all);
            [Wanted::Unsaid, Wanted::Large, Wanted::Small].map(may_have)
        };
        assert_eq!(allowed(Setting::Never, Setting::Always), [false; 3]);
        assert_eq!(allowed(Setting::Madvise, Setting::Never), [false, true, false]);
        assert_eq!(allowed(Setting::Always, Setting::Never), [true, true, false]);
        assert_eq!(allowed(Setting::Inherit, Setting::Never), [false; 3]);
        assert_eq!(allowed(Setting::Inherit, Setting::Madvise), [false, true, false]);
        assert_eq!(allowed(Setting::Inherit, Setting::Always), [true, true, false]);
        FOR_SIZE.set(Setting::Never);
        FOR_ALL_SIZES.set(Setting::Never);
    }
}
