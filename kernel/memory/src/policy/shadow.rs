//! What an evicted page leaves behind in its slot's table entry, by which its return is judged (Linux:
//! `mm/workingset.c`).

use quire_swap::SHADOW_BITS;

const MASK: u64 = (1 << SHADOW_BITS) - 1;

/// How many bits the times of two clocks have.
const TIME_BITS: u32 = (SHADOW_BITS - 1) / 2;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

/// `SHADOW_BITS` bits of a policy's; all of them 0 for a page that was not evicted, or of whose eviction nothing is
/// known any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shadow(u64);

impl Shadow {
    /// What a page has that was not evicted.
    pub const NONE: Self = Self(0);

    /// The shadow of these bits; those are ignored that a table entry has no place for.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits & MASK)
    }

    /// The bits that the table entry keeps.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The time by two clocks, and a flag.
    pub const fn from_times(flag: bool, times: [u64; 2]) -> Self {
        Self((flag as u64) << (2 * TIME_BITS) | (times[0] & TIME_MASK) << TIME_BITS | times[1] & TIME_MASK)
    }

    /// The flag.
    pub const fn flag(self) -> bool {
        self.0 >> (2 * TIME_BITS) != 0
    }

    /// How much of each clock's time has passed since; the clocks may have gone round, once in 2^24.
    pub const fn ages(self, now: [u64; 2]) -> [u64; 2] {
        [now[0].wrapping_sub(self.0 >> TIME_BITS) & TIME_MASK, now[1].wrapping_sub(self.0) & TIME_MASK]
    }

    /// Whether nothing is known of an eviction.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// Counts evictions, so that a shadow tells how many others have left since: the refault distance.
#[derive(Clone, Copy, Debug)]
pub struct Evictions(u64);

impl Evictions {
    /// None yet. Begins with 1, as a shadow of 0 says nothing.
    pub const fn new() -> Self {
        Self(1)
    }

    /// A page is evicted: its shadow.
    pub const fn count(&mut self) -> Shadow {
        let shadow = Shadow::from_bits(self.0);
        self.0 += 1;
        shadow
    }

    /// The refault distance of a page that left this shadow: the evictions since, its own included; `None` without a
    /// shadow.
    pub const fn distance(&self, shadow: Shadow) -> Option<u64> {
        if shadow.is_none() { None } else { Some(self.0.wrapping_sub(shadow.0) & MASK) }
    }
}

impl Default for Evictions {
    fn default() -> Self {
        Self::new()
    }
}
