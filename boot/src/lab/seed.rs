//! A student's name, and the numbers that follow from it.

use std::{fmt, str::FromStr};

use super::error::LabError;

/// Who a tree belongs to. It is part of file names, so it is short and plain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Id(String);

impl Id {
    /// One of no student, for what does not depend on whose it is.
    pub(super) fn guest() -> Self {
        Self("guest".to_owned())
    }
}

impl FromStr for Id {
    type Err = LabError;

    fn from_str(text: &str) -> Result<Self, LabError> {
        let is_plain = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
        let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        if text.len() <= 32 && begins_well && text.chars().all(is_plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(LabError::Id(text.to_owned()))
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What a lab's numbers are made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seed(u64);

impl Seed {
    /// The seed of a student, who knows it; with a secret, one that only the grader knows.
    pub(super) fn new(lab: &str, id: &Id, secret: &[u8]) -> Self {
        // FNV-1a: each part ends with a byte that is in none of them, but for the secret, which is the last.
        let bytes = lab.bytes().chain([0]).chain(id.0.bytes()).chain([0]).chain(secret.iter().copied());
        let hash = |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.fold(0xcbf2_9ce4_8422_2325, hash))
    }

    /// The numbers for one purpose, which are not those for another.
    pub(super) fn random(self, purpose: &str) -> Random {
        Random(purpose.bytes().fold(self.0, |state, byte| Random(state ^ u64::from(byte)).next()))
    }

    /// One of several for one purpose.
    pub(super) fn choose<T: Copy>(self, purpose: &str, among: &[T]) -> T {
        among[self.random(purpose).below(among.len() as u64) as usize]
    }

    /// A number for a generator that makes its own.
    pub(super) fn number(self, purpose: &str) -> u64 {
        self.random(purpose).next()
    }
}

/// `SplitMix64` (Steele, Lea and Flood, 2014).
#[derive(Clone)]
pub(super) struct Random(u64);

impl Random {
    /// The numbers that follow from one that is no secret.
    pub(super) fn from_number(number: u64) -> Self {
        Self(number)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// One of the numbers below `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

#[cfg(test)]
mod tests {
    use super::{Id, Seed};

    #[test]
    fn an_id_is_part_of_a_file_name() {
        for id in ["s123", "a.b-c_d", "7"] {
            assert_eq!(id.parse::<Id>().unwrap().to_string(), id);
        }
        for id in ["", ".", "..", "-x", "a/b", "a b", "é", "a\n", &"a".repeat(33)] {
            assert!(id.parse::<Id>().is_err(), "{id:?}");
        }
    }

    #[test]
    fn each_student_lab_secret_and_purpose_has_numbers_of_its_own() {
        let id = |id: &str| id.parse().unwrap();
        let seeds = [
            Seed::new("L1", &id("a"), b""),
            Seed::new("L1", &id("b"), b""),
            Seed::new("L2", &id("a"), b""),
            Seed::new("L1", &id("a"), b"secret"),
        ];
        let mut numbers: Vec<u64> =
            seeds.iter().flat_map(|seed| ["x", "y"].map(|purpose| seed.number(purpose))).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 8);
    }
}
