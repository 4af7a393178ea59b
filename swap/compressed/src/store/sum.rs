//! The sum by which bytes that were changed are found out.

/// A sum in which every word and its place count (Fletcher's): no change of one word leaves it as it was, but for one in
/// 2^32.
pub(crate) fn sum(contents: &[u8]) -> u32 {
    const ODD: u64 = 0x9E37_79B9_7F4A_7C15;
    let (words, rest) = contents.as_chunks::<8>();
    let mut tail = [0; 8];
    tail[..rest.len()].copy_from_slice(rest);
    let (mut plain, mut weighted) = (contents.len() as u64, u64::from_le_bytes(tail));
    let mut add = |word: &[u8; 8]| {
        plain = plain.wrapping_add(u64::from_le_bytes(*word));
        weighted = weighted.wrapping_add(plain);
    };
    // Unrolled: this is done for every page that is stored, and again when it comes back.
    let (groups, rest) = words.as_chunks::<16>();
    groups.iter().flatten().for_each(&mut add);
    rest.iter().for_each(&mut add);
    let mixed = (weighted ^ plain.rotate_left(32)).wrapping_mul(ODD);
    (mixed >> 32) as u32 ^ mixed as u32
}
