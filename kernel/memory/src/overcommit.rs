//! Memory that is promised before it is there (Linux: `mm/util.c`, `__vm_enough_memory`).
//!
//! What may become private memory of a program, and shared memory, is promised when it is mapped. A [`Commitment`] is so many
//! pages of the sum of all promises (`Committed_AS`), kept by what they were promised to: the layout of an address space for
//! its VMAs, an object for its pages. Dropping it releases them, so the sum cannot drift.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use quire_machine::AllocationError;
use quire_machine::physical;
use quire_machine::task;
use quire_machine::upcall::upcalls;
use quire_swap::page::{KIB_PER_PAGE, PAGE_SIZE};

use crate::swap;

/// `vm.overcommit_memory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Overcommit {
    /// Refuse only what could not fit if nothing else existed.
    Guess = 0,
    /// Refuse nothing.
    Always = 1,
    /// Keep the sum of all promises below a limit.
    Never = 2,
}

static MODE: AtomicU8 = AtomicU8::new(Overcommit::Guess as u8);
static COMMITTED: AtomicU64 = AtomicU64::new(0);

/// `vm.overcommit_ratio`, in percent of memory; and `vm.overcommit_kbytes`, which replaces it unless it is 0.
static RATIO: AtomicU64 = AtomicU64::new(50);
static KIBIBYTES: AtomicU64 = AtomicU64::new(0);

/// A part of the limit that is kept back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserve {
    /// For the superuser (`vm.admin_reserve_kbytes`).
    Superuser = 0,
    /// For programs beside the one that asks (`vm.user_reserve_kbytes`).
    Others = 1,
}

/// In KiB; those that nothing set follow the size of memory.
static RESERVES: [AtomicU64; 2] = [const { AtomicU64::new(u64::MAX) }; 2];

/// The mode.
pub fn mode() -> Overcommit {
    match MODE.load(Ordering::Relaxed) {
        1 => Overcommit::Always,
        2 => Overcommit::Never,
        _ => Overcommit::Guess,
    }
}

/// Sets the mode.
pub fn set_mode(mode: Overcommit) {
    MODE.store(mode as u8, Ordering::Relaxed);
}

/// `vm.overcommit_ratio` and `vm.overcommit_kbytes`: one of them is 0.
pub fn ratio_and_kibibytes() -> (u64, u64) {
    (RATIO.load(Ordering::Relaxed), KIBIBYTES.load(Ordering::Relaxed))
}

/// Has the limit follow the size of memory, in percent.
pub fn set_ratio(percent: u64) {
    RATIO.store(percent, Ordering::Relaxed);
    KIBIBYTES.store(0, Ordering::Relaxed);
}

/// Has the limit be so many KiB, and swap.
pub fn set_kibibytes(kibibytes: u64) {
    KIBIBYTES.store(kibibytes, Ordering::Relaxed);
    RATIO.store(0, Ordering::Relaxed);
}

/// The reserve, in KiB (Linux: `init_admin_reserve`, `init_user_reserve`).
pub fn reserve(reserve: Reserve) -> u64 {
    let most = match reserve {
        Reserve::Superuser => 8 << 10,
        Reserve::Others => 128 << 10,
    };
    match RESERVES[reserve as usize].load(Ordering::Relaxed) {
        u64::MAX => (physical::managed_frames() as u64 * KIB_PER_PAGE / 32).min(most),
        set => set,
    }
}

/// Sets the reserve, in KiB.
pub fn set_reserve(reserve: Reserve, kibibytes: u64) {
    RESERVES[reserve as usize].store(kibibytes, Ordering::Relaxed);
}

/// The most that may be promised in mode 2 (`CommitLimit`), in pages.
pub fn limit() -> u64 {
    let frames = physical::managed_frames() as u64;
    limit_of(frames, ratio_and_kibibytes(), swap::core().totals().0)
}

/// The limit in pages of which the bytes can be counted, whatever was set.
fn limit_of(frames: u64, (ratio, kibibytes): (u64, u64), swap: u64) -> u64 {
    const MOST: u64 = u64::MAX / PAGE_SIZE as u64;
    let memory = match kibibytes {
        0 => u64::try_from(u128::from(frames) * u128::from(ratio) / 100).unwrap_or(MOST),
        kibibytes => kibibytes / KIB_PER_PAGE,
    };
    memory.saturating_add(swap).min(MOST)
}

/// What is promised (`Committed_AS`), in pages.
pub fn committed() -> u64 {
    COMMITTED.load(Ordering::Relaxed)
}

/// Pages that are promised.
#[derive(Debug, Default)]
#[must_use]
pub struct Commitment(u64);

impl Commitment {
    /// Promises `pages` more to a program that has `mapped` pages.
    ///
    /// # Errors
    /// [`AllocationError`] when the mode does not allow it.
    pub fn new(pages: u64, mapped: u64) -> Result<Self, AllocationError> {
        let after = COMMITTED.fetch_add(pages, Ordering::Relaxed).saturating_add(pages);
        // Released by being dropped if it is refused.
        let commitment = Self(pages);
        let is_allowed = pages == 0
            || match mode() {
                Overcommit::Always => true,
                Overcommit::Guess => pages <= physical::managed_frames() as u64 + swap::core().totals().0,
                Overcommit::Never => after < limit_for_current(mapped),
            };
        if is_allowed { Ok(commitment) } else { Err(AllocationError) }
    }

    /// Of no pages.
    pub const fn none() -> Self {
        Self(0)
    }

    /// Leaves the promise to something that counts it itself: [`Self::left`] takes it back.
    pub fn leave(self) {
        core::mem::forget(self);
    }

    /// So many pages that were [left](Self::leave).
    pub const fn left(pages: u64) -> Self {
        Self(pages)
    }

    /// Takes over what `other` promises.
    pub fn join(&mut self, other: Self) {
        self.0 += other.0;
        core::mem::forget(other);
    }

    /// Promises `pages` only, which are no more than before.
    pub fn keep(&mut self, pages: u64) {
        let kept = pages.min(self.0);
        COMMITTED.fetch_sub(self.0 - kept, Ordering::Relaxed);
        self.0 = kept;
    }
}

impl Drop for Commitment {
    fn drop(&mut self) {
        COMMITTED.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// The limit without what is kept back from the current process.
fn limit_for_current(mapped: u64) -> u64 {
    if !task::works_for_process() {
        return limit();
    }
    let is_ordinary = (upcalls().serves_ordinary_user)();
    let for_superuser = if is_ordinary { reserve(Reserve::Superuser) / KIB_PER_PAGE } else { 0 };
    let for_others = (reserve(Reserve::Others) / KIB_PER_PAGE).min(mapped / 32);
    limit().saturating_sub(for_superuser + for_others)
}

#[cfg(test)]
mod tests {
    use super::{KIB_PER_PAGE, limit_of};

    #[test]
    fn the_limit_can_be_shown_whatever_is_set() {
        assert_eq!(limit_of(1000, (50, 0), 300), 800);
        assert_eq!(limit_of(1000, (0, 80), 300), 320);
        for (ratio, kibibytes) in [(u64::MAX, 0), (u64::MAX - 1, 0), (0, u64::MAX), (1 << 62, 0)] {
            let limit = limit_of(16_384, (ratio, kibibytes), 65_535);
            assert!(limit.checked_mul(KIB_PER_PAGE * 1024).is_some(), "{ratio}, {kibibytes}: {limit}");
        }
    }
}
