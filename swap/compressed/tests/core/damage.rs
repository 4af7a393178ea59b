//! Damaged bytes where an object's are expected.

use quire_compressed::store::{Decoder, Encoding, Workspace};
use quire_swap::header::{PAGE_SIZE, Page};

use crate::bytes;
use crate::contents::{random, text_of_length};
use quire_testkit::{Fake, Memory};

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
