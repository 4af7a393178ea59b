//! The sum by which bytes that were changed are found out.

/// A sum in which every word and its place count: no change of one word, and no exchange of two, leaves it as it was, but for one
/// in 2^32.
///
/// Two words at a time are added to two counters, each of which is then added to the other in turn: three additions for two
/// words, where Fletcher's sum takes four. So a word counts as often as Fibonacci's numbers say for its place. One of the two is
/// subtracted, as it would else count for as much as its neighbour in the next two.
pub(crate) fn sum(contents: &[u8]) -> u32 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let (words, rest) = contents.as_chunks::<8>();
    let mut tail = [0; 8];
    tail[..rest.len()].copy_from_slice(rest);
    let (mut one, mut other) = (contents.len() as u64, u64::from_le_bytes(tail));
    let mut add = |[plus, minus, next_plus, next_minus]: &[[u8; 8]; 4]| {
        one = one.wrapping_add(u64::from_le_bytes(*plus));
        other = other.wrapping_sub(u64::from_le_bytes(*minus));
        one = one.wrapping_add(other);
        other = other.wrapping_add(u64::from_le_bytes(*next_plus));
        one = one.wrapping_sub(u64::from_le_bytes(*next_minus));
        other = other.wrapping_add(one);
    };
    let (fours, last) = words.as_chunks::<4>();
    // Unrolled: this is done for every page that is stored, and again when it comes back.
    let (groups, rest) = fours.as_chunks::<8>();
    groups.iter().flatten().for_each(&mut add);
    rest.iter().for_each(&mut add);
    let mut padded = [[0; 8]; 4];
    padded[..last.len()].copy_from_slice(last);
    add(&padded);
    let mixed = (one ^ other.rotate_left(32)).wrapping_mul(ODD);
    (mixed >> 32) as u32 ^ mixed as u32
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::sum;

    fn contents(length: usize) -> Vec<u8> {
        (0..length as u64).map(|byte| (byte.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
    }

    #[test]
    fn each_bit_counts() {
        for length in [1, 7, 8, 9, 31, 32, 33, 255, 256, 1000] {
            let before = contents(length);
            for bit in 0..length * 8 {
                let mut changed = before.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                assert_ne!(sum(&before), sum(&changed), "bit {bit} of {length} bytes");
            }
        }
    }

    #[test]
    fn each_place_counts() {
        let before = contents(600);
        for one in 0..before.len() / 8 {
            for other in 0..one {
                let mut changed = before.clone();
                for byte in 0..8 {
                    changed.swap(8 * one + byte, 8 * other + byte);
                }
                assert_ne!(sum(&before), sum(&changed), "words {other} and {one} change places");
            }
        }
    }

    #[test]
    fn zeros_at_the_end_count() {
        let zeros = [0; 100];
        for length in 1..zeros.len() {
            assert_ne!(sum(&zeros[..length]), sum(&zeros[..length - 1]), "{length} bytes");
        }
    }
}
