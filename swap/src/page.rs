//! A page as bytes.

/// Bytes in a page, a frame and a slot.
pub const PAGE_SIZE: usize = 4096;
/// KiB in a page.
pub const KIB_PER_PAGE: u64 = PAGE_SIZE as u64 / 1024;
/// The contents of one page.
pub type Page = [u8; PAGE_SIZE];

/// Words that are looked at together: unrolled, because this is most of what such a page costs.
const GROUP: usize = 16;

/// Whether every byte is zero. Each is looked at once.
pub fn is_zero(page: &Page) -> bool {
    const { assert!(PAGE_SIZE.is_multiple_of(8 * GROUP)) };
    let (words, _) = page.as_chunks::<8>();
    let (groups, _) = words.as_chunks::<GROUP>();
    groups.iter().all(|group| group.iter().fold(0, |bits, word| bits | u64::from_ne_bytes(*word)) == 0)
}

/// The 8-byte word that the whole page repeats, if there is one.
pub fn repeated_word(page: &Page) -> Option<u64> {
    let (words, _) = page.as_chunks::<8>();
    let (first, last) = (u64::from_le_bytes(*words.first()?), u64::from_le_bytes(*words.last()?));
    let differs =
        |group: &[[u8; 8]; GROUP]| group.iter().fold(0, |bits, word| bits | (u64::from_le_bytes(*word) ^ first)) != 0;
    // Most pages that differ do so at the ends.
    (first == last && !words.as_chunks().0.iter().any(differs)).then_some(first)
}

/// Makes the whole page repeat one word.
pub fn fill(page: &mut Page, word: u64) {
    let (groups, _) = page.as_chunks_mut::<{ 8 * GROUP }>();
    for group in groups {
        group.as_chunks_mut::<8>().0.fill(word.to_le_bytes());
    }
}
