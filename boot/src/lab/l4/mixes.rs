//! What a cgroup's programs access, by a seed: one kind of program after the other, in an order that the seed makes.

use crate::lab::seed::{Random, Seed};

/// Accesses of one kind before the next begins.
const PIECE: u64 = 8_000;
/// How often each kind has its turn.
const TURNS: usize = 2;

/// A cgroup's memory, and its accesses.
pub(super) struct Mix {
    pub(super) frames: usize,
    pub(super) pages: Vec<u32>,
}

#[derive(Clone, Copy)]
enum Kind {
    /// Of many pages few are used often.
    Skewed,
    /// The same, and in between pages that never return.
    Scan,
    /// A little more than memory, again and again.
    Loop,
    /// Skewed, and every other access is of a loop that is smaller than memory.
    Both,
    /// A set that fits, and was not used before.
    Fits,
}

/// The mix of that number.
pub(super) fn mix(seed: Seed, number: usize) -> Mix {
    let mut random = seed.random(&format!("mix {number}"));
    let frames = 400 + random.below(300);
    let mut kinds = [Kind::Skewed, Kind::Scan, Kind::Loop, Kind::Both, Kind::Fits].repeat(TURNS);
    for place in (1..kinds.len()).rev() {
        kinds.swap(place, random.below(place as u64 + 1) as usize);
    }
    let mut pages = Vec::new();
    // What is new has numbers from here on.
    let mut next = 8 * frames;
    for kind in kinds {
        let first = next;
        for at in 0..PIECE {
            let page = match kind {
                Kind::Scan if at / 500 % 2 == 1 => {
                    next += 1;
                    next
                }
                Kind::Loop => 4 * frames + at % (frames + frames / 8),
                Kind::Both if at % 2 == 1 => 6 * frames + at / 2 % (frames / 2),
                Kind::Skewed | Kind::Scan | Kind::Both => skewed(&mut random, 4 * frames),
                Kind::Fits => {
                    next = first + frames;
                    first + random.below(frames / 4 * 3)
                }
            };
            pages.push(page as u32);
        }
    }
    Mix { frames: frames as usize, pages }
}

/// A page of so many, of which the first are the likeliest.
fn skewed(random: &mut Random, pages: u64) -> u64 {
    const WHOLE: u64 = 1 << 16;
    let mut part = || random.below(WHOLE);
    pages * part() / WHOLE * part() / WHOLE * part() / WHOLE
}

#[cfg(test)]
mod tests {
    use super::{PIECE, TURNS, mix};
    use crate::lab::seed::Seed;

    #[test]
    fn each_number_and_seed_has_a_mix_of_its_own() {
        let seeds = ["a", "b"].map(|id| Seed::new("L4", &id.parse().unwrap(), b""));
        let [one, other, third] = [mix(seeds[0], 0), mix(seeds[0], 1), mix(seeds[1], 0)];
        assert_eq!(one.pages, mix(seeds[0], 0).pages);
        assert_eq!(one.pages.len() as u64, 5 * TURNS as u64 * PIECE);
        assert!(one.pages != other.pages && one.pages != third.pages);
    }
}
