//! Entries as page-table words: for every area, and for slots of every size.

use proptest::prelude::*;
use quire_swap::{ENTRY_AREAS, Entry, PageTableWord};

proptest! {
    #[test]
    fn every_entry_comes_back_from_its_word(area in 0..ENTRY_AREAS, slot in 1_u32.., shift in 0_u32..32) {
        for slot in [slot, (slot >> shift).max(1), u32::MAX] {
            let entry = Entry::new(area, slot).unwrap();
            let word = entry.to_word();
            prop_assert!(word & 1 == 0, "not present");
            prop_assert_eq!((entry.area(), entry.slot()), (area, slot));
            prop_assert_eq!(Entry::from_word(word), Some(entry));
            prop_assert_eq!(PageTableWord::decode(word), PageTableWord::Entry(entry));
            let poisoned = PageTableWord::Poisoned(entry);
            prop_assert_eq!(PageTableWord::decode(poisoned.encode()), poisoned);
            prop_assert_eq!(Entry::from_word(poisoned.encode()), None);
            prop_assert_ne!(poisoned.encode() & 0xe, 0);
        }
    }

    #[test]
    fn every_word_comes_back_as_it_was(word: u64) {
        prop_assert_eq!(PageTableWord::decode(word).encode(), word);
        prop_assert_eq!(matches!(PageTableWord::decode(word), PageTableWord::Present(_)), word & 1 == 1);
    }
}

#[test]
fn nothing_is_no_entry() {
    assert_eq!(PageTableWord::decode(0), PageTableWord::None);
    assert_eq!(Entry::from_word(0), None);
    assert_eq!(Entry::new(0, 0), None, "slot 0 is the header");
    assert_eq!(Entry::new(ENTRY_AREAS, 1), None);
    for area in 0..ENTRY_AREAS {
        assert_ne!(Entry::new(area, 1).unwrap().to_word(), 0);
    }
    assert_eq!(PageTableWord::decode(0b1010), PageTableWord::Unknown(0b1010), "kind 5");
}
