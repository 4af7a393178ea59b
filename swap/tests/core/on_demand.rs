//! Areas without a device: clusters that exist only while they are in use.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use quire_swap::{AllocateError, CLUSTER_SLOTS, Entry, Slots, SwapOnError};

use quire_testkit::kernel::Kernel;
use quire_testkit::shelf::Shelf;
use quire_testkit::{Fake, FakeDisk, Memory, enable, new_swap};

#[test]
fn the_largest_area_costs_next_to_nothing_until_it_is_used() {
    let memory = Memory::new(0);
    let asked = || memory.heap_bytes.load(Ordering::Relaxed);
    let swap = new_swap();
    let before = asked();
    assert_eq!(Shelf::new(memory).enable(swap, 1 << 32), Ok(0));
    let enabled = asked() - before;
    println!("16 TiB enabled: {enabled} bytes, the pool of batches included");
    assert!(enabled < 64 << 10, "{enabled} bytes");
    assert_eq!(swap.totals(), ((1 << 32) - 1, (1 << 32) - 1));
    let area = swap.area(0).unwrap();
    assert!(area.existing_clusters() <= 4 && area.disk().is_none() && area.properties().is_file);
    let slots: Vec<_> = (0..10 * CLUSTER_SLOTS).map(|_| swap.allocate(0).unwrap()).collect();
    let used = asked() - before - enabled;
    // A table of 8 bytes a slot, 4 of the backend's, and the clusters' own 48 bytes.
    assert!(used < slots.len() as u64 * 13, "{used} bytes for {} slots", slots.len());
    assert!(slots.iter().all(|slots| slots.run().first < 12 * CLUSTER_SLOTS as u32), "the lowest clusters first");
    assert!((10..=12).contains(&area.existing_clusters()));
    drop(slots);
    swap.do_pending_work();
    assert_eq!(
        area.existing_clusters(),
        4,
        "what is left is the cluster of the slot that is never used, and three beside it"
    );
}

#[test]
fn the_last_slot_of_the_largest_area_can_be_named_and_a_size_is_cut_to_clusters() {
    let memory = Memory::new(0);
    let swap = new_swap();
    assert!(matches!(Shelf::new(memory).enable(swap, 511), Err(SwapOnError::Header(_))));
    assert_eq!(Shelf::new(memory).enable(swap, 1023), Ok(0));
    assert_eq!(swap.totals(), (511, 511));
    assert_eq!(Shelf::new(memory).enable(swap, 1 << 20), Err(SwapOnError::Busy));
    let slots: Vec<_> = std::iter::from_fn(|| swap.allocate(0).ok()).collect();
    assert_eq!((slots.len(), swap.allocate(0).err()), (511, Some(AllocateError::Full)));
    assert!(swap.lookup(Entry::new(0, u32::MAX).unwrap()).is_none());
    assert!(memory.logged("adding 2044k on /dev/shelf"));
}

#[test]
fn pages_go_to_a_backend_without_a_device_and_come_back() {
    let memory = Memory::new(64);
    let swap = new_swap();
    let shelf = Shelf::new(memory);
    shelf.enable(swap, 1 << 32).unwrap();
    let mut kernel = Kernel::new(swap, memory, 1, 64);
    for page in 0..64 {
        assert!(kernel.populate(0, page, 0, 1 + page as u64));
        kernel.reclaim(0, page);
    }
    kernel.plug.submit();
    kernel.evict_ended();
    assert_eq!((shelf.pages(), memory.free_frames()), (64, 64));
    assert!((0..32).all(|page| kernel.read(0, page) == Ok(1 + page as u64)));
    assert_eq!(swap.swapoff(0, &mut kernel), Ok(()));
    assert_eq!((shelf.pages(), swap.areas().count()), (0, 0));
    assert!((0..64).all(|page| kernel.read(0, page) == Ok(1 + page as u64)));
}

#[test]
fn any_allocation_may_fail_while_clusters_appear() {
    let memory = Memory::new(0);
    let swap = new_swap();
    let mut failures = 0;
    while failures == 0 || swap.areas().count() == 0 {
        memory.heap.fail_nth(failures + 1);
        if let Err(error) = Shelf::new(memory).enable(swap, 1 << 32) {
            assert_eq!((error, swap.areas().count()), (SwapOnError::NoMemory, 0));
        }
        failures += 1;
    }
    memory.heap.fail_nth(0);
    let held: Vec<_> = (0..4 * CLUSTER_SLOTS - 1).map(|_| swap.allocate(0).unwrap()).collect();
    let mut refused = 0;
    for n in 1.. {
        memory.heap.fail_nth(n);
        let slot = swap.allocate(0);
        swap.do_pending_work();
        match slot {
            Err(error) => assert_eq!(error, AllocateError::NoMemory),
            Ok(_) => break,
        }
        refused += 1;
    }
    assert!(refused >= 3, "a chunk, its table and the backend's bits: {refused}");
    drop(held);
    assert_eq!(swap.area(0).unwrap().used(), 0);
}

#[derive(Clone, Copy, Debug)]
enum Operation {
    Allocate(u8),
    Free(usize),
    FreeMany(usize),
    Work,
    FailHeap(u64),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => prop_oneof![Just(0_u8), Just(0), 0_u8..10, Just(9)].prop_map(Operation::Allocate),
        3 => any::<prop::sample::Index>().prop_map(|index| Operation::Free(index.index(1 << 20))),
        1 => (1_usize..40).prop_map(Operation::FreeMany),
        1 => Just(Operation::Work),
        1 => (1_u64..5).prop_map(Operation::FailHeap),
    ]
}

/// A set of slots beside the core: none is given out twice, clusters exist where one is in use, and vanish.
#[test]
fn clusters_appear_and_vanish_as_the_model_says() {
    const CASES: u32 = 128;
    const OPERATIONS: usize = 800;
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let most = std::cell::Cell::new(0);
    let vanished = std::cell::Cell::new(0);
    let operations = prop::collection::vec(operation(), OPERATIONS);
    TestRunner::new(config)
        .run(&operations, |operations| {
            let memory = Memory::new(0);
            let swap = new_swap();
            Shelf::new(memory).enable(swap, 64 * CLUSTER_SLOTS as u64).unwrap();
            let area = swap.area(0).unwrap();
            let mut held: Vec<Slots<Fake>> = Vec::new();
            let mut model: HashSet<u32> = HashSet::new();
            let take_out = |model: &mut HashSet<u32>, slots: Slots<Fake>| {
                let run = slots.run();
                drop(slots);
                (run.first..run.first + run.length).for_each(|slot| assert!(model.remove(&slot)));
            };
            for operation in operations {
                match operation {
                    Operation::Allocate(order) => {
                        if let Ok(slots) = swap.allocate(order) {
                            let run = slots.run();
                            assert!(run.first > 0 && run.end() <= 64 * CLUSTER_SLOTS as u64);
                            for slot in run.first..run.first + run.length {
                                assert!(model.insert(slot), "slot {slot} was given out twice");
                            }
                            held.push(slots);
                        }
                    }
                    Operation::Free(index) if !held.is_empty() => {
                        let slots = held.swap_remove(index % held.len());
                        take_out(&mut model, slots);
                    }
                    Operation::FreeMany(number) => {
                        held.drain(held.len().saturating_sub(number)..).for_each(|slots| take_out(&mut model, slots));
                    }
                    Operation::Work => {
                        let before = area.existing_clusters();
                        swap.do_pending_work();
                        let clusters: HashSet<_> =
                            model.iter().map(|slot| *slot as usize / CLUSTER_SLOTS / 4).chain([0]).collect();
                        let exist = area.existing_clusters();
                        assert!(exist <= 4 * clusters.len() + 4, "{exist} clusters exist for {clusters:?}");
                        assert!(exist >= 4 * clusters.len());
                        most.set(most.get().max(exist));
                        vanished.set(vanished.get() + before - exist);
                    }
                    Operation::FailHeap(n) => memory.heap.fail_nth(n),
                    Operation::Free(_) => {}
                }
                assert_eq!(area.used(), model.len() as u64);
            }
            memory.heap.fail_nth(0);
            held.clear();
            swap.do_pending_work();
            assert_eq!((area.used(), area.existing_clusters()), (0, 4));
            Ok(())
        })
        .unwrap();
    println!(
        "{} operations, {} clusters at most, {} vanished",
        CASES as usize * OPERATIONS,
        most.get(),
        vanished.get()
    );
    assert!(most.get() >= 16 && vanished.get() > 1000, "what did not happen was not tested");
}

#[test]
fn an_area_without_a_device_takes_its_turn_beside_disks() {
    let memory = Memory::new(0);
    let swap = new_swap();
    enable(swap, &FakeDisk::new("/dev/vda", 2 * CLUSTER_SLOTS as u64), Some(5)).unwrap();
    Shelf::new(memory).enable(swap, 1 << 32).unwrap();
    let areas: Vec<_> = (0..3 * CLUSTER_SLOTS).map(|_| swap.allocate(0).unwrap()).collect();
    let on_disk = areas.iter().filter(|slots| slots.area().index() == 0).count();
    assert_eq!(on_disk, 2 * CLUSTER_SLOTS - 1, "the disk has the higher priority");
}
