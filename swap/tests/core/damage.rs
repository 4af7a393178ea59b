//! Random and damaged bytes where a disk's are expected.

use proptest::prelude::*;
use quire_swap::Extent;
use quire_swap::extension::{BackendOptions, Extension, TypeName};
use quire_swap::header::{BadPages, Header, Medium, PADDING, PAGE_SIZE, Page};
use quire_swap::store::{Decoder, Encoding, Workspace};

use crate::bytes;
use crate::contents::{random, text_of_length};
use crate::fake::{Fake, Memory};

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

/// Sound objects of both algorithms.
fn objects() -> Vec<(Encoding, Vec<u8>, Page)> {
    let mut workspace = Workspace::new::<Fake>(false).unwrap();
    let pages = (0..8).map(|number| text_of_length(number, 200 + 500 * number as usize)).chain([random(1)]);
    let objects = pages.flat_map(|page| {
        let lz4 = workspace.compress(&page).unwrap().to_vec();
        let deflate = miniz_oxide::deflate::compress_to_vec(&page, 6);
        [(Encoding::Lz4, lz4, page), (Encoding::Deflate, deflate, page)]
    });
    objects.collect()
}

#[test]
fn damaged_objects_are_pages_or_errors() {
    Memory::new(0);
    let mut decoder = Decoder::with_deflate::<Fake>().unwrap();
    let mut state = 1_u64;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % bound
    };
    let mut accepted = 0;
    for (encoding, sound, page) in objects() {
        let mut found = [0; PAGE_SIZE];
        assert_eq!(decoder.decompress(encoding, &sound, &mut found), Some(()));
        assert_eq!(found, page);
        for _ in 0..2000 {
            let mut changed = sound.clone();
            for _ in 0..=below(4) {
                let place = below(changed.len());
                changed[place] = below(256) as u8;
            }
            changed.truncate(if below(4) == 0 { below(changed.len()) } else { changed.len() });
            bytes::object(&mut decoder, &changed);
            accepted += usize::from(decoder.decompress(encoding, &changed, &mut found).is_some());
        }
    }
    assert!(accepted > 1000, "most of the changed bytes are literals: {accepted}");
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
