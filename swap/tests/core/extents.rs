//! The tree from page index to disk.

use proptest::prelude::*;
use quire_swap::{Extent, ExtentError, Extents};

use crate::fake::{Fake, Memory};

fn extents(parts: &[(u64, u64, u64)]) -> Result<Extents, ExtentError> {
    Memory::new(0);
    let parts: Vec<_> = parts.iter().map(|&(page, disk_page, pages)| Extent { page, disk_page, pages }).collect();
    Extents::new::<Fake>(&parts)
}

#[test]
fn pages_are_found_through_any_order_of_extents() {
    let extents = extents(&[(10, 100, 5), (0, 50, 10), (15, 105, 5), (20, 7, 1)]).unwrap();
    assert_eq!(extents.len(), 3, "runs side by side are one");
    assert_eq!((extents.pages(), extents.span()), (21, 103));
    for (page, disk_page) in [(0, 50), (9, 59), (10, 100), (19, 109), (20, 7)] {
        assert_eq!(extents.disk_page(page), Some(disk_page), "{page}");
    }
    assert_eq!(extents.disk_page(21), None);
    assert_eq!(extents.runs(8..21).collect::<Vec<_>>(), [58..60, 100..110, 7..8]);
}

#[test]
fn holes_and_overlaps_are_named() {
    let refused = |parts: &[_]| extents(parts).unwrap_err();
    assert_eq!(refused(&[(1, 0, 5)]), ExtentError::Hole { page: 0 });
    assert_eq!(refused(&[(0, 0, 5), (6, 9, 1)]), ExtentError::Hole { page: 5 });
    assert_eq!(refused(&[(0, 0, 5), (4, 9, 1)]), ExtentError::Overlap { page: 4 });
    assert_eq!(refused(&[(0, 0, 0)]), ExtentError::Overlap { page: 0 });
    assert_eq!(refused(&[(0, u64::MAX, 2)]), ExtentError::Overlap { page: 0 });
    assert_eq!(refused(&[(0, 0, 1), (1, 0, u64::MAX)]), ExtentError::Overlap { page: 1 });
}

proptest! {
    /// Any extents: refused, or each page is where the extent that covers it says.
    #[test]
    fn no_extents_are_misread(parts in prop::collection::vec((0_u64..40, prop_oneof![0_u64..40, any::<u64>()], 0_u64..20), 0..6)) {
        let covering = |page| {
            let mut covering = parts.iter().filter(move |(first, _, pages)| (*first..first + pages).contains(&page));
            let found = covering.next().map(|(first, disk_page, _)| disk_page + (page - first));
            (found, covering.next().is_some())
        };
        if let Ok(extents) = extents(&parts) {
            for page in 0..64 {
                let (expected, twice) = covering(page);
                prop_assert!(!twice);
                prop_assert_eq!(extents.disk_page(page), expected);
                prop_assert_eq!(extents.runs(page..page + 1).next().map(|run| run.start), expected);
            }
            prop_assert_eq!(extents.pages(), parts.iter().map(|(_, _, pages)| pages).sum::<u64>());
        }
    }
}
