//! The store of compressed pages: what comes back, what it takes, and what failures do.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use quire_compressed::store::{Encoding, HUGE, Store, StoreError, Stored};
use quire_swap::header::{PAGE_SIZE, Page};

use crate::contents::{random, same, text, text_of_length};
use quire_testkit::{Fake, Memory};

fn new_store(pages: u32) -> Store<Fake> {
    Store::new(pages).unwrap()
}

fn load(store: &Store<Fake>, stored: Stored) -> Result<Page, StoreError> {
    let mut page = [0xee; PAGE_SIZE];
    store.load(stored, &mut page).map(|()| page)
}

fn free(store: &Store<Fake>, stored: impl IntoIterator<Item = Stored>) {
    for stored in stored {
        store.free(stored);
    }
}

/// Bytes in use of the bytes in frames, in thousandths.
fn density(store: &Store<Fake>, stored: &[Stored]) -> u64 {
    let bytes: usize = stored.iter().map(|stored| length(*stored)).sum();
    bytes as u64 * 1000 / (store.usage().frames * PAGE_SIZE as u64)
}

fn length(stored: Stored) -> usize {
    match stored {
        Stored::Same(_) => 0,
        Stored::Object(object) => object.length(),
    }
}

/// A generator for the tests' own choices.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) as usize % bound
    }
}

#[test]
fn every_kind_of_page_is_stored_in_its_way() {
    let memory = Memory::new(0);
    let store = new_store(16);
    assert_eq!(store.store(&same(0)), Ok(Stored::Same(0)));
    assert_eq!(store.store(&same(0x5A5A)), Ok(Stored::Same(0x5A5A)));
    assert_eq!(store.usage().frames, 0, "a word takes no frame");
    let mut last_differs = same(7);
    last_differs[4095] ^= 1;
    let mut middle_differs = same(7);
    middle_differs[2000] ^= 1;
    let mut all = Vec::new();
    let kinds = [Encoding::Lz4, Encoding::Raw, Encoding::Lz4, Encoding::Lz4];
    for (page, encoding) in [&text(1), &random(1), &last_differs, &middle_differs].into_iter().zip(kinds) {
        let stored = store.store(page).unwrap();
        let Stored::Object(object) = stored else { panic!("not a repeated word") };
        assert_eq!(object.encoding(), encoding);
        assert_eq!(object.length() == PAGE_SIZE, encoding == Encoding::Raw);
        assert_eq!(load(&store, stored), Ok(*page));
        all.push(stored);
    }
    assert_eq!(load(&store, Stored::Same(0x5A5A)), Ok(same(0x5A5A)));
    free(&store, all);
    assert_eq!((store.usage().frames, memory.pool.used()), (0, 0));
}

#[test]
fn objects_of_every_length_come_back() {
    let memory = Memory::new(0);
    let store = new_store(5000);
    let contents = random(9);
    let objects: Vec<_> =
        (0..=PAGE_SIZE).map(|length| store.insert(&contents[..length], Encoding::Raw).unwrap()).collect();
    for (length, object) in objects.iter().enumerate() {
        store.with_object(*object, |bytes| assert_eq!(bytes, &contents[..length])).unwrap();
    }
    assert_eq!(store.insert(&[0; PAGE_SIZE + 1], Encoding::Raw), Err(StoreError::TooLong(PAGE_SIZE + 1)));
    free(&store, objects.into_iter().map(Stored::Object));
    assert_eq!(memory.pool.used(), 0);
}

#[test]
fn what_does_not_get_shorter_than_the_threshold_is_raw() {
    Memory::new(0);
    let store = new_store(4200);
    let mut lengths = Vec::new();
    for random_bytes in (0..PAGE_SIZE).step_by(8) {
        let mut page = text(3);
        page[..random_bytes].copy_from_slice(&random(3)[..random_bytes]);
        let stored = store.store(&page).unwrap();
        assert_eq!(load(&store, stored), Ok(page));
        lengths.push(length(stored));
        let Stored::Object(object) = stored else { panic!("not a repeated word") };
        assert_eq!(object.encoding() == Encoding::Raw, object.length() == PAGE_SIZE);
        assert!(object.length() < HUGE || object.length() == PAGE_SIZE);
    }
    assert!(lengths.iter().any(|length| (HUGE - 100..HUGE).contains(length)), "the test comes near the threshold");
}

#[test]
fn text_fills_the_frames() {
    Memory::new(0);
    let store = new_store(5000);
    let mut stored: Vec<_> = (0..4096).map(|number| (number, store.store(&text(number)).unwrap())).collect();
    let values = |stored: &[(u64, Stored)]| stored.iter().map(|(_, stored)| *stored).collect::<Vec<_>>();
    let before = density(&store, &values(&stored));
    assert!(before >= 950, "{before}");
    // Free three of four at random; the holes close.
    let mut random = Random(5);
    for _ in 0..3072 {
        let (_, freed) = stored.swap_remove(random.below(stored.len()));
        store.free(freed);
    }
    let holey = density(&store, &values(&stored));
    assert!(holey < 600, "there is something to compact: {holey}");
    let frames = store.usage().frames;
    let freed = store.compact();
    assert_eq!(store.usage().frames, frames - freed);
    assert_eq!(store.usage().compacted, freed);
    assert_eq!(store.usage().most_frames, frames.max(store.usage().most_frames));
    let after = density(&store, &values(&stored));
    assert!(after >= 900, "{after}");
    for (number, stored) in stored {
        assert_eq!(load(&store, stored), Ok(text(number)), "page {number}");
    }
    assert_eq!(store.compact(), 0, "once is enough");
}

#[test]
fn what_is_being_read_is_not_moved() {
    let memory = Memory::new(0);
    let store = new_store(100);
    // Two zspages of one class. The first keeps one object, which lies across two frames; the second has room for it.
    let mut first = vec![store.store(&text(1)).unwrap()];
    let zspage = store.usage().frames;
    while store.usage().frames == zspage {
        first.push(store.store(&text(1)).unwrap());
    }
    let mut second = vec![first.pop().unwrap()];
    second.extend((2..first.len()).map(|_| store.store(&text(1)).unwrap()));
    assert_eq!(store.usage().frames, 2 * zspage);
    let kept = first.remove(1);
    free(&store, first);
    let Stored::Object(object) = kept else { panic!("text is an object") };
    store.with_object(object, |_| assert_eq!(store.compact(), 0, "its zspage stays while somebody reads")).unwrap();
    assert_eq!(store.compact(), zspage, "and goes afterwards");
    assert_eq!(load(&store, kept), Ok(text(1)));
    free(&store, second.into_iter().chain([kept]));
    assert_eq!(memory.pool.used(), 0);
}

#[test]
fn the_limit_holds_and_nothing_is_lost_at_it() {
    let memory = Memory::new(0);
    let store = new_store(1000);
    store.set_limit(64);
    let mut stored = Vec::new();
    let error = loop {
        let number = stored.len() as u64;
        match store.store(&text(number)) {
            Ok(new) => stored.push(new),
            Err(error) => break error,
        }
    };
    assert_eq!(error, StoreError::Limit(64));
    assert!((56..=64).contains(&store.usage().frames), "{:?}", store.usage());
    assert_eq!(store.usage().frames, memory.pool.used() as u64);
    assert_eq!(store.store(&same(1)), Ok(Stored::Same(1)), "a word needs no frame");
    for (number, stored) in stored.iter().enumerate() {
        assert_eq!(load(&store, *stored), Ok(text(number as u64)));
    }
    // Lowered, it keeps what is there.
    store.set_limit(10);
    assert_eq!(load(&store, stored[5]), Ok(text(5)));
    free(&store, stored);
    assert_eq!(store.usage().frames, 0);
    store.set_limit(0);
    assert!(store.store(&random(1)).is_ok());
    assert!(store.usage().most_frames <= 64);
    store.forget_most_frames();
    assert_eq!(store.usage().most_frames, 1);
}

#[test]
fn every_failing_allocation_is_an_error_that_changes_nothing() {
    let memory = Memory::new(0);
    let store = new_store(8);
    let kept = store.store(&text(0)).unwrap();
    let frames = memory.pool.used();
    for nth in 1..=8 {
        memory.pool.allocations.fail_nth(nth);
        // Another class, so a new zspage.
        let result = store.store(&text_of_length(1, 1000));
        memory.pool.allocations.fail_nth(0);
        match result {
            Ok(stored) => {
                store.free(stored);
                assert!(nth > 1, "a zspage has a first frame");
                break;
            }
            Err(error) => assert_eq!(error, StoreError::NoFrame),
        }
        assert_eq!((memory.pool.used(), store.usage().frames), (frames, frames as u64));
    }
    assert_eq!(load(&store, kept), Ok(text(0)));
    // And every heap allocation, from an empty store on.
    let mut failed = 0;
    loop {
        memory.heap.fail_nth(failed + 1);
        let store = Store::<Fake>::new(8);
        let stored = store.as_ref().map(|store| store.store(&text(2)));
        memory.heap.fail_nth(0);
        match stored {
            Ok(Ok(_)) => break,
            Err(error) => assert_eq!(*error, StoreError::NoMemory),
            Ok(Err(error)) => assert_eq!(error, StoreError::NoMemory),
        }
        failed += 1;
    }
    assert!(failed > 10, "{failed}");
    assert_eq!(memory.pool.used(), frames, "a store that goes gives its frames back");
}

#[test]
fn numbers_are_used_again_after_failures_and_when_objects_go() {
    let memory = Memory::new(0);
    let store = new_store(8);
    for _ in 0..1000 {
        memory.pool.allocations.fail_nth(1);
        assert_eq!(store.store(&text(1)), Err(StoreError::NoFrame));
        memory.pool.allocations.fail_nth(0);
        store.free(store.store(&text(1)).unwrap());
    }
    assert_eq!(memory.pool.used(), 0);
}

#[test]
fn a_corrupt_object_is_an_error() {
    let memory = Memory::new(0);
    for page in [text(1), random(1)] {
        let store = new_store(8);
        let before = store.store(&text(7)).unwrap();
        let stored = store.store(&page).unwrap();
        let frames: Vec<_> = memory.pool.frames.lock().unwrap().iter().flatten().cloned().collect();
        let mut noticed = 0;
        for (frame, byte) in
            (0..frames.len()).flat_map(|frame| (0..PAGE_SIZE).step_by(31).map(move |byte| (frame, byte)))
        {
            frames[frame].lock().unwrap()[byte] ^= 0x10;
            match load(&store, stored) {
                Ok(loaded) => assert_eq!(loaded, page),
                Err(error) => {
                    assert!(matches!(error, StoreError::Corrupt { .. }));
                    noticed += 1;
                }
            }
            frames[frame].lock().unwrap()[byte] ^= 0x10;
        }
        assert!(noticed * 31 >= length(stored) - 62, "every changed byte of the object is noticed: {noticed}");
        assert_eq!(load(&store, before), Ok(text(7)));
    }
}

#[test]
fn whatever_the_frames_hold_nothing_panics() {
    let memory = Memory::new(0);
    let mut random = Random(11);
    for round in 0..200 {
        let store = new_store(64);
        let mut stored: Vec<_> = (0..40).map(|number| store.store(&text(number)).unwrap()).collect();
        for _ in 0..10 {
            store.free(stored.swap_remove(random.below(stored.len())));
        }
        for frame in memory.pool.frames.lock().unwrap().iter().flatten() {
            let mut page = frame.lock().unwrap();
            for _ in 0..=round {
                page[random.below(PAGE_SIZE)] = random.below(256) as u8;
            }
        }
        stored.extend((0..20).filter_map(|number| store.store(&text(number)).ok()));
        store.compact();
        for stored in stored {
            let _ = load(&store, stored);
            store.free(stored);
        }
        drop(store);
        assert_eq!(memory.pool.used(), 0);
    }
}

#[derive(Clone, Debug)]
enum Operation {
    Store(u64, usize),
    Free(usize),
    Compact,
}

#[test]
fn a_store_does_what_a_map_does() {
    let operation = prop_oneof![
        6 => (any::<u64>(), 0..PAGE_SIZE).prop_map(|(number, length)| Operation::Store(number, length)),
        5 => any::<usize>().prop_map(Operation::Free),
        1 => Just(Operation::Compact),
    ];
    let operations = proptest::collection::vec(operation, 400);
    let mut runner = TestRunner::new(Config { cases: 100, failure_persistence: None, ..Config::default() });
    runner
        .run(&operations, |operations| {
            let memory = Memory::new(0);
            let store = new_store(400);
            let mut model: HashMap<usize, (Stored, Page)> = HashMap::new();
            for (number, operation) in operations.into_iter().enumerate() {
                match operation {
                    Operation::Store(seed, length) => {
                        let page = if length % 7 == 0 { random(seed) } else { text_of_length(seed, length) };
                        model.insert(number, (store.store(&page).unwrap(), page));
                    }
                    Operation::Free(at) => {
                        let Some(key) = model.keys().nth(at % model.len().max(1)).copied() else { continue };
                        store.free(model.remove(&key).unwrap().0);
                    }
                    Operation::Compact => _ = store.compact(),
                }
                prop_assert_eq!(store.usage().frames, memory.pool.used() as u64);
            }
            for (stored, page) in model.values() {
                prop_assert_eq!(load(&store, *stored), Ok(*page));
            }
            free(&store, model.into_values().map(|(stored, _)| stored));
            prop_assert_eq!(memory.pool.used(), 0);
            Ok(())
        })
        .unwrap();
}
