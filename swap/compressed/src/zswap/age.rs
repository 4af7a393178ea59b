//! Which entries are the coldest: a list by age that needs no memory of its own.
//!
//! Each entry in the pool has, in its slot's metadata, the number of the generation in which it was stored or last wanted.
//! A generation ends when an eighth of all entries belong to it. How many entries each generation has is counted, so the
//! oldest is known, and writeback walks the slots until that many were found. Numbers are used again, but not
//! while an entry has one: then the youngest generation goes on growing.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Generations that can be told apart.
const GENERATIONS: usize = 1 << u8::BITS;
/// A generation ends when it has one part in so many of all entries.
const PART: u64 = 8;
/// Smaller generations are not worth ending.
const LEAST: u64 = 64;

/// How many entries there are, by generation.
pub(super) struct Ages {
    entries: [AtomicU32; GENERATIONS],
    all: AtomicU64,
    /// The youngest generation.
    now: AtomicU32,
}

impl Ages {
    pub(super) const fn new() -> Self {
        Self { entries: [const { AtomicU32::new(0) }; GENERATIONS], all: AtomicU64::new(0), now: AtomicU32::new(0) }
    }

    /// Entries of all generations.
    pub(super) fn all(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }

    /// Where their number is.
    pub(super) const fn word(&self) -> &AtomicU64 {
        &self.all
    }

    /// The youngest generation.
    pub(super) fn now(&self) -> u8 {
        self.now.load(Ordering::Relaxed) as u8
    }

    /// One more entry, whose generation is returned.
    pub(super) fn add(&self) -> u8 {
        let all = self.all.fetch_add(1, Ordering::Relaxed) + 1;
        let now = self.now();
        let members = self.entries[usize::from(now)].fetch_add(1, Ordering::Relaxed) + 1;
        if u64::from(members) >= (all / PART).max(LEAST) {
            self.end(now);
        }
        now
    }

    /// One entry of `generation` less.
    pub(super) fn remove(&self, generation: u8) {
        self.entries[usize::from(generation)].fetch_sub(1, Ordering::Relaxed);
        self.all.fetch_sub(1, Ordering::Relaxed);
    }

    /// The oldest generation that has entries, and how many; the youngest if none has.
    pub(super) fn oldest(&self) -> (u8, u32) {
        let now = self.now();
        (1..=GENERATIONS)
            .map(|step| now.wrapping_add(step as u8))
            .map(|generation| (generation, self.entries[usize::from(generation)].load(Ordering::Relaxed)))
            .find(|(_, entries)| *entries > 0)
            .unwrap_or((now, 0))
    }

    fn end(&self, generation: u8) {
        let next = generation.wrapping_add(1);
        if self.entries[usize::from(next)].load(Ordering::Relaxed) == 0 {
            // Another task may have ended it.
            let _ = self.now.compare_exchange(generation.into(), next.into(), Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn generations_end_and_the_oldest_is_found() {
        let ages = Ages::new();
        assert_eq!(ages.oldest(), (0, 0));
        let of: Vec<u8> = (0..1000).map(|_| ages.add()).collect();
        assert!(of.is_sorted() && *of.last().unwrap() > 7, "a generation is an eighth of all: {}", of.last().unwrap());
        let first = of.iter().position(|generation| *generation != 0).unwrap();
        assert_eq!(ages.oldest(), (0, first as u32));
        (0..first).for_each(|_| ages.remove(0));
        assert_eq!(ages.oldest().0, 1);
        assert_eq!(ages.all(), 1000 - first as u64);
    }

    #[test]
    fn a_number_is_not_used_again_while_an_entry_has_it() {
        let ages = Ages::new();
        let first = ages.add();
        // One entry comes and goes so often that every number could have been used.
        for _ in 0..2 * LEAST * GENERATIONS as u64 {
            let generation = ages.add();
            assert!(generation >= first, "the numbers went round past an entry");
            (0..LEAST).map(|_| ages.add()).collect::<Vec<_>>().into_iter().for_each(|more| ages.remove(more));
            ages.remove(generation);
        }
        assert_eq!((ages.now(), ages.oldest()), (u8::MAX, (first, 1)));
        ages.remove(first);
        (0..LEAST).for_each(|_| _ = ages.add());
        assert_eq!(ages.now(), 0, "the first number is free again");
    }
}
