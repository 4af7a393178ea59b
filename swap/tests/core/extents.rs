//! The tree from page index to disk.

use proptest::prelude::*;
use quire_swap::{Extent, ExtentError, Extents, FileRun};

use quire_testkit::{Fake, Memory};

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

/// Where the pages of a file lie, block by block, as `iomap_swapfile_activate` finds it: a page where all its blocks are aligned
/// and one after another, and the next one behind it; a block that begins none is skipped.
fn pages_of_file(blocks: &[u64], block_bytes: u64) -> Vec<u64> {
    let in_page = 4096 / block_bytes;
    let (mut at, mut pages) = (0, Vec::new());
    while at + in_page as usize <= blocks.len() {
        let first = blocks[at];
        let fits =
            first.is_multiple_of(in_page) && (0..in_page).all(|index| blocks[at + index as usize] == first + index);
        if fits {
            pages.push(first / in_page);
        }
        at += if fits { in_page as usize } else { 1 };
    }
    pages
}

fn of_file(runs: &[(u64, u64, u64)], bytes: u64) -> Result<Extents, ExtentError> {
    Memory::new(0);
    let runs: Vec<_> =
        runs.iter().map(|&(offset, disk_offset, bytes)| FileRun { offset, disk_offset, bytes }).collect();
    Extents::of_file::<Fake>(&runs, bytes, 100)
}

#[test]
fn a_files_runs_become_extents_and_wrong_ones_are_named() {
    let file = of_file(&[(0, 0x2000, 0x3000), (0x3000, 0x5000, 0x1000), (0x4000, 0x9400, 0x2000)], 0x6000).unwrap();
    assert_eq!((file.len(), file.pages()), (2, 5), "what is not aligned is no page, and runs side by side are one");
    assert_eq!(file.runs(0..5).collect::<Vec<_>>(), [2..6, 10..11]);
    let refused = |runs: &[_], bytes| of_file(runs, bytes).unwrap_err();
    assert_eq!(refused(&[(0, 0x2000, 0x1000), (0x2000, 0x4000, 0x1000)], 0x3000), ExtentError::Hole { page: 1 });
    assert_eq!(refused(&[(0, 0x2000, 0x1000)], 0x2000), ExtentError::Hole { page: 1 });
    assert_eq!(refused(&[], 0x1000), ExtentError::Hole { page: 0 });
    assert_eq!(refused(&[(0, 0x2000, 0x2000), (0x1000, 0x9000, 0x1000)], 0x2000), ExtentError::Overlap { page: 1 });
    assert_eq!(refused(&[(0, 0x2000, 0x2000), (0x2000, 0x3000, 0x1000)], 0x3000), ExtentError::Overlap { page: 2 });
    assert_eq!(refused(&[(0, 0x2000, 0)], 0x2000), ExtentError::Overlap { page: 0 });
    assert_eq!(refused(&[(0, u64::MAX, 0x1000)], 0x1000), ExtentError::Overlap { page: 0 });
    assert_eq!(refused(&[(0, 0, 0x1000), (0x1000, 99 << 12, 0x2000)], 0x3000), ExtentError::BeyondDisk { page: 1 });
    assert_eq!(refused(&[(0, 0x200, 0x1000)], 0x1000), ExtentError::NothingUsable);
    assert_eq!(refused(&[(0, 0x2000, 0x1000)], 0xfff), ExtentError::NothingUsable);
    assert!(of_file(&[(0, 0x2000, 0x1000), (0x2000, 0x4000, 0x1000)], 0x1fff).is_ok(), "a hole behind the last page");
}

#[test]
fn a_page_in_a_thousand_extents_is_found_in_ten_steps() {
    // Every other page of the disk, so that no two runs are one.
    Memory::new(0);
    let runs: Vec<_> = (0..1000)
        .map(|page| FileRun { offset: page << 12, disk_offset: (2 * page + 1) << 12, bytes: 1 << 12 })
        .collect();
    let extents = Extents::of_file::<Fake>(&runs, 1000 << 12, 2000).unwrap();
    assert_eq!((extents.len(), extents.span()), (1000, 1999));
    assert!((0..1000).all(|page| extents.disk_page(page) == Some(2 * page + 1)));
    assert!((0..1000).all(|page| extents.runs(page..page + 1).eq(std::iter::once(2 * page + 1..2 * page + 2))));
}

proptest! {
    /// Any file of blocks of any size: its pages are those that are found block by block.
    #[test]
    fn pages_of_files_are_where_linux_finds_them(
        size in 0_u64..3,
        pieces in prop::collection::vec((0_u64..300, 1_u64..12), 1..12),
    ) {
        let block_bytes = 1024 << size;
        let (mut blocks, mut runs) = (Vec::new(), Vec::new());
        for (first, length) in pieces {
            if (first..first + length).any(|block| blocks.contains(&block)) || (first + length) * block_bytes > 100 << 12 {
                continue;
            }
            runs.push((blocks.len() as u64 * block_bytes, first * block_bytes, length * block_bytes));
            blocks.extend(first..first + length);
        }
        let bytes = blocks.len() as u64 * block_bytes;
        // A page at the end that is not whole is no part of the file.
        blocks.truncate((bytes / 4096 * 4096 / block_bytes) as usize);
        let expected = pages_of_file(&blocks, block_bytes);
        match of_file(&runs, bytes) {
            Ok(extents) => {
                let found: Vec<_> = (0..extents.pages()).map(|page| extents.disk_page(page).unwrap()).collect();
                prop_assert_eq!(found, expected);
            }
            Err(error) => prop_assert!(expected.is_empty() && error == ExtentError::NothingUsable || runs.is_empty(), "{error}"),
        }
    }

    /// Any runs: refused, or no two pages are in one place, and none beyond the disk.
    #[test]
    fn no_runs_are_misread(
        runs in prop::collection::vec(prop_oneof![(0_u64..20, 0_u64..90, 0_u64..9), (any::<u64>(), any::<u64>(), any::<u64>())], 0..6),
        shift in 10_u32..13,
        bytes in prop_oneof![0_u64..100 << 12, any::<u64>()],
    ) {
        let scaled: Vec<_> = runs.iter().map(|(offset, disk, length)| (offset << shift, disk << shift, length << shift)).collect();
        if let Ok(extents) = of_file(&scaled, bytes) {
            let mut pages: Vec<_> = (0..extents.pages()).map(|page| extents.disk_page(page).unwrap()).collect();
            prop_assert!(!pages.is_empty() && pages.iter().all(|page| *page < 100));
            pages.sort_unstable();
            pages.dedup();
            prop_assert_eq!(pages.len() as u64, extents.pages());
        }
    }
}
