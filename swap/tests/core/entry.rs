//! Entries as PTEs: for every area, and for slots of every size.

use proptest::prelude::*;
use quire_swap::{DecodedPte, ENTRY_AREAS, Entry};

proptest! {
    #[test]
    fn every_entry_comes_back_from_its_word(area in 0..ENTRY_AREAS, slot in 1_u32.., shift in 0_u32..32) {
        for slot in [slot, (slot >> shift).max(1), u32::MAX] {
            let entry = Entry::new(area, slot).unwrap();
            let word = entry.to_pte();
            prop_assert!(word & 1 == 0, "not present");
            prop_assert_eq!((entry.area(), entry.slot()), (area, slot));
            prop_assert_eq!(Entry::from_pte(word), Some(entry));
            prop_assert_eq!(DecodedPte::decode(word), DecodedPte::Entry(entry));
            let poisoned = DecodedPte::Poisoned(entry);
            prop_assert_eq!(DecodedPte::decode(poisoned.encode()), poisoned);
            prop_assert_eq!(Entry::from_pte(poisoned.encode()), None);
            prop_assert_ne!(poisoned.encode() & 0xe, 0);
        }
    }

    #[test]
    fn every_word_comes_back_as_it_was(word: u64) {
        prop_assert_eq!(DecodedPte::decode(word).encode(), word);
        prop_assert_eq!(matches!(DecodedPte::decode(word), DecodedPte::Present(_)), word & 1 == 1);
    }
}

#[test]
fn nothing_is_no_entry() {
    assert_eq!(DecodedPte::decode(0), DecodedPte::None);
    assert_eq!(Entry::from_pte(0), None);
    assert_eq!(Entry::new(0, 0), None, "slot 0 is the header");
    assert_eq!(Entry::new(ENTRY_AREAS, 1), None);
    for area in 0..ENTRY_AREAS {
        assert_ne!(Entry::new(area, 1).unwrap().to_pte(), 0);
    }
    assert_eq!(DecodedPte::decode(0b1010), DecodedPte::Unknown(0b1010), "kind 5");
}
