//! Pages by their names, which tests, messages and students use: `text 7`, `near 3 text 7`.

use crate::lab::seed::Random;

/// Words of a page.
pub(super) const WORDS: usize = 512;

/// Bytes of a page.
pub(super) const BYTES: u64 = 4096;

pub(super) type Contents = [u64; WORDS];

/// What text consists of.
const VOCABULARY: [&str; 32] = [
    "page",
    "frame",
    "slot",
    "swap",
    "memory",
    "kernel",
    "the",
    "of",
    "and",
    "to",
    "a",
    "is",
    "was",
    "when",
    "reclaim",
    "folio",
    "store",
    "fault",
    "cluster",
    "backend",
    "that",
    "no",
    "other",
    "least",
    "recently",
    "used",
    "in",
    "with",
    "which",
    "for",
    "compressed",
    "cache",
];

/// The page of that name, or none if it is no name of a page.
pub(super) fn contents(name: &[&str]) -> Option<Contents> {
    let (kind, rest) = name.split_first()?;
    let mut numbers = rest.iter().map_while(|word| word.parse::<u64>().ok());
    let number = numbers.next();
    let of_one = rest.len() == 1;
    // Each kind has numbers of its own.
    let mut random =
        Random::from_number(kind.bytes().fold(number.unwrap_or(0), |seed, byte| seed << 7 ^ u64::from(byte)));
    let mut page = [0; WORDS];
    match *kind {
        "zero" if rest.is_empty() => {}
        "same" if of_one => page = [number.map(|_| random.next())?; WORDS],
        "random" if of_one => {
            number?;
            page = [0; WORDS].map(|_: u64| random.next());
        }
        "sparse" if of_one => {
            number?;
            for _ in 0..2 + random.below(12) {
                page[random.below(WORDS as u64) as usize] = random.next();
            }
        }
        "text" if of_one => {
            number?;
            let mut text = String::new();
            while text.len() < WORDS * 8 {
                text.push_str(VOCABULARY[random.below(VOCABULARY.len() as u64) as usize]);
                text.push(if random.below(12) == 0 { '\n' } else { ' ' });
            }
            for (word, bytes) in page.iter_mut().zip(text.as_bytes().as_chunks().0) {
                *word = u64::from_le_bytes(*bytes);
            }
        }
        "near" => {
            page = contents(rest.get(1..)?)?;
            for _ in 0..=number? % 6 {
                page[random.below(WORDS as u64) as usize] = random.next();
            }
        }
        "like" => {
            page = contents(rest.get(1..)?)?;
            look_alike(&mut page, number?, &mut random);
        }
        _ => return None,
    }
    Some(page)
}

/// Changes it so that careless sums of it stay the same.
fn look_alike(page: &mut Contents, number: u64, random: &mut Random) {
    let one = 1 + random.below(WORDS as u64 / 2 - 2) as usize;
    let other = WORDS / 2 + random.below(WORDS as u64 / 2 - 1) as usize;
    match number % 4 {
        // The same words in another order.
        0 if page[one] != page[other] => page.swap(one, other),
        // The same sum, and often the same exclusive or.
        0 | 1 => {
            page[one] = page[one].wrapping_add(2);
            page[other] = page[other].wrapping_sub(2);
        }
        // The same exclusive or.
        2 => {
            page[one] ^= 1 << 40;
            page[other] ^= 1 << 40;
        }
        // One bit in the middle of the page.
        _ => page[other] ^= 1,
    }
}

#[cfg(test)]
mod tests {
    use super::{WORDS, contents};

    fn page(name: &str) -> [u64; WORDS] {
        contents(&name.split_whitespace().collect::<Vec<_>>()).unwrap_or_else(|| panic!("{name}"))
    }

    #[test]
    fn a_page_follows_from_its_name() {
        for kind in ["zero", "same 3", "random 3", "sparse 3", "text 3", "near 3 text 3", "like 3 near 4 random 3"] {
            assert_eq!(page(kind), page(kind), "{kind}");
        }
        assert_ne!(page("text 3"), page("text 4"));
        for name in ["", "zero 1", "same", "text x", "text 1 2", "near text 3", "near 3", "book 3"] {
            assert!(contents(&name.split_whitespace().collect::<Vec<_>>()).is_none(), "{name}");
        }
    }

    #[test]
    fn look_alikes_differ_in_a_word_or_two() {
        for number in 0..40 {
            for base in ["zero", "same 1", "text 2", "random 5", "sparse 6"] {
                let (one, other) = (page(base), page(&format!("like {number} {base}")));
                let differences = one.iter().zip(&other).filter(|(one, other)| one != other).count();
                assert!((1..=2).contains(&differences), "like {number} {base}: {differences}");
            }
        }
    }
}
