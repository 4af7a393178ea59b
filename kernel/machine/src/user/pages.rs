//! Ranges of pages as `mmap(2)` and its relatives are given them: an address and a length, which are rounded to whole pages.

use core::ops::Range;

use quire_swap::header::PAGE_SIZE;

use super::Word;
use crate::address_map::USER_END;

const PAGE: u64 = PAGE_SIZE as u64;

/// Why an address and a length are no range of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPages {
    /// The address is not a page's first.
    Unaligned,
    /// The length is so near to 2⁶⁴ that whole pages of it are none, as Linux counts them.
    RoundsToNothing,
    /// The range would end before it begins.
    Wraps,
    /// It is not all in the user half.
    Beyond,
}

/// The bytes of the pages from address `start` on that `length` bytes touch; `start` must be a page's first.
///
/// # Errors
/// [`NoPages`].
pub fn pages(start: Word, length: Word) -> Result<Range<u64>, NoPages> {
    pages_from(start.bits(), length.bits())
}

/// As [`pages`], from the page that holds address `start` on; what wraps counts as what is left then, as on Linux.
///
/// # Errors
/// [`NoPages`].
pub fn pages_around(start: Word, length: Word) -> Result<Range<u64>, NoPages> {
    let within = start.bits() % PAGE;
    pages_from(start.bits() ^ within, length.bits().wrapping_add(within))
}

fn pages_from(start: u64, length: u64) -> Result<Range<u64>, NoPages> {
    if !start.is_multiple_of(PAGE) {
        return Err(NoPages::Unaligned);
    }
    let length = whole_pages(length)?;
    let end = start.checked_add(length).ok_or(NoPages::Wraps)?;
    if end > USER_END { Err(NoPages::Beyond) } else { Ok(start..end) }
}

/// The bytes of as many pages as `length` bytes take.
///
/// # Errors
/// [`NoPages::RoundsToNothing`].
fn whole_pages(length: u64) -> Result<u64, NoPages> {
    length.checked_next_multiple_of(PAGE).ok_or(NoPages::RoundsToNothing)
}

/// The bytes of as many pages as a length that a program gave takes.
///
/// # Errors
/// [`NoPages::RoundsToNothing`]; [`NoPages::Beyond`] when no range can be so long.
pub fn page_length(length: Word) -> Result<u64, NoPages> {
    whole_pages(length.bits()).and_then(|length| if length > USER_END { Err(NoPages::Beyond) } else { Ok(length) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{NoPages, PAGE, USER_END, Word, page_length, pages, pages_around};

    fn edges() -> impl Strategy<Value = u64> {
        let edge = prop::sample::select(vec![0, 0x1000, USER_END, 1 << 47, 1 << 63, u64::MAX - 0xfff, u64::MAX]);
        let by = prop_oneof![-9_i64..9, (-4_i64..4).prop_map(|pages| pages * 0x1000)];
        prop_oneof![any::<u64>(), (edge, by).prop_map(|(edge, by)| edge.saturating_add_signed(by))]
    }

    /// In whole numbers: what Linux's arithmetic modulo 2⁶⁴ makes of it, and whether it is a range.
    fn exact(start: u64, length: u64) -> Result<(i128, i128), NoPages> {
        let (start, page) = (i128::from(start), i128::from(PAGE));
        let rounded = (i128::from(length) + page - 1) / page * page;
        match start + rounded {
            _ if start % page != 0 => Err(NoPages::Unaligned),
            _ if rounded == 1 << 64 => Err(NoPages::RoundsToNothing),
            end if end >= 1 << 64 => Err(NoPages::Wraps),
            end if end > i128::from(USER_END) => Err(NoPages::Beyond),
            end => Ok((start, end)),
        }
    }

    proptest! {
        #[test]
        fn a_range_of_pages_neither_wraps_nor_leaves_the_user_half(start in edges(), length in edges()) {
            let found = pages(Word::new(start), Word::new(length));
            prop_assert_eq!(found.map(|range| (range.start.into(), range.end.into())), exact(start, length));
            let within = start % PAGE;
            let around = pages_around(Word::new(start), Word::new(length));
            let wanted = exact(start - within, length.wrapping_add(within));
            prop_assert_eq!(around.map(|range| (range.start.into(), range.end.into())), wanted);
            let long = page_length(Word::new(length));
            prop_assert_eq!(long.map(|long| (0, long.into())), exact(0, length));
        }
    }
}
