//! Random and damaged bytes where a disk's are expected.

use proptest::prelude::*;
use quire_swap::Extent;
use quire_swap::extension::{BackendOptions, Extension, TypeName};
use quire_swap::header::{BadPages, Header, Medium, PADDING, PAGE_SIZE, Page};

use crate::bytes;
use quire_testkit::{Fake, Memory};

/// A good header with an extension, and a few bytes of it changed where it matters.
fn damaged() -> impl Strategy<Value = Page> {
    let places = prop_oneof![
        8 => 1024_usize..1040,
        4 => PADDING.start..PADDING.start + 80,
        4 => 1536_usize..1560,
        1 => 0..PAGE_SIZE,
    ];
    let bad = prop::collection::vec(0_u32..90, 0..6);
    (bad, prop::collection::vec((places, any::<u8>()), 0..6), any::<bool>()).prop_map(|(bad, changes, swapped)| {
        let mut page = [0; PAGE_SIZE];
        let header = Header { last_page: 80, uuid: [1; 16], label: [2; 16], bad_pages: BadPages::new(&bad) };
        if header.encode(&mut page).is_ok() {
            let backend = TypeName::new("block").expect("short");
            let extension = Extension { backend, version: 1, options: BackendOptions("a=b,c") };
            extension.encode(&mut page).expect("short");
            if swapped {
                for word in [1024, 1028, 1032].into_iter().chain((1536..1560).step_by(4)) {
                    page[word..word + 4].reverse();
                }
            }
        }
        for (place, byte) in changes {
            page[place] = byte;
        }
        page
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn damaged_headers_are_refused_or_right(page in damaged(), pages in 0_u64..100, is_file: bool) {
        bytes::header(&page, Medium { pages, is_file });
        bytes::extension(&page);
    }

    #[test]
    fn random_extents_are_refused_or_right(
        parts in prop::collection::vec((0_u64..60, prop_oneof![0_u64..60, any::<u64>()], 0_u64..30), 0..5),
        shuffled: bool,
    ) {
        Memory::new(0);
        let mut end = 0;
        let extents: Vec<_> = parts
            .into_iter()
            .map(|(page, disk_page, pages)| {
                // One after another without a hole, or anywhere.
                let page = if shuffled { page } else { end };
                end = page + pages;
                Extent { page, disk_page, pages }
            })
            .collect();
        bytes::extents::<Fake>(&extents);
    }
}
