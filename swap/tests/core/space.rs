//! Backends that have no room left: others get the pages, and nothing is lost.

use std::sync::atomic::Ordering;

use quire_swap::{AllocateError, BATCH_FOLIOS, CLUSTER_SLOTS, DecodedPte, DiskProperties, IoError};

use quire_testkit::kernel::Kernel;
use quire_testkit::{FakeDisk, Memory, enable, swap_on};

const PAGES: usize = 300;

fn small_and_fast() -> DiskProperties {
    DiskProperties { synchronous: true, ..DiskProperties::default() }
}

/// Everything that can leave memory leaves it.
fn push_out(kernel: &mut Kernel) {
    for page in 0..PAGES {
        kernel.reclaim(0, page);
    }
    kernel.plug.submit();
    kernel.memory.run_all();
    kernel.evict_ended();
    let swap = kernel.swap;
    swap.return_refused(kernel);
}

fn entries_of(kernel: &Kernel, area: u8) -> usize {
    let held = |page: &usize| matches!(kernel.word(0, *page), DecodedPte::Entry(entry) if entry.area() == area);
    (0..PAGES).filter(held).count()
}

#[test]
fn what_one_backend_refuses_goes_to_the_next_area() {
    let memory = Memory::new(PAGES + 8);
    let full = FakeDisk::with("/dev/full", 1000, small_and_fast(), &[]);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 1000));
    full.room.store(100, Ordering::SeqCst);
    assert_eq!(enable(swap, &full, Some(5)), Ok(1));
    let mut kernel = Kernel::new(swap, memory, 1, PAGES);
    for page in 0..PAGES {
        assert!(kernel.populate(0, page, 0, 1 + page as u64));
    }
    push_out(&mut kernel);
    assert!(memory.ended_writes.lock().unwrap().is_empty());
    assert!(memory.logged("/dev/full takes no pages for now"));
    assert_eq!(entries_of(&kernel, 1), 96, "three batches fitted");
    assert_eq!(swap.area(1).unwrap().used(), 96, "a refused page keeps no slot when it is mapped again");
    let stayed = (0..PAGES).filter(|&page| matches!(kernel.word(0, page), DecodedPte::Present(_))).count();
    assert_eq!(stayed, BATCH_FOLIOS, "one batch was on its way when the backend was found full");
    push_out(&mut kernel);
    assert_eq!(entries_of(&kernel, 0), PAGES - 96, "on their next way out they go elsewhere");
    assert_eq!(memory.free_frames(), PAGES + 8);
    for page in 0..PAGES {
        assert_eq!(kernel.read(0, page), Ok(1 + page as u64));
        kernel.unmap(0, page);
    }
    kernel.settle();
    assert_eq!(swap.areas().map(|area| area.used()).sum::<u64>(), 0);
}

#[test]
fn an_area_takes_part_again_when_a_batch_of_slots_is_free_or_its_backend_says_so() {
    let memory = Memory::new(PAGES);
    let full = FakeDisk::with("/dev/full", 1000, small_and_fast(), &[]);
    full.room.store(128, Ordering::SeqCst);
    let (swap, _) = swap_on(&full);
    let mut kernel = Kernel::new(swap, memory, 1, PAGES);
    for page in 0..200 {
        assert!(kernel.populate(0, page, 0, 1 + page as u64));
    }
    push_out(&mut kernel);
    assert_eq!(entries_of(&kernel, 0), 128);
    assert_eq!(swap.allocate(0).err(), Some(AllocateError::Full), "nobody else has room");
    assert!(swap.totals().1 > 0 && !swap.has_space(), "free slots of a backend that refuses pages are no room");
    for page in 0..BATCH_FOLIOS {
        assert!(swap.allocate(0).is_err(), "{page} slots are not enough for a batch");
        kernel.unmap(0, page);
    }
    drop(swap.allocate(0).expect("a batch of slots is free"));
    assert!(swap.has_space());
    // It is refused once more, and then the backend itself speaks.
    push_out(&mut kernel);
    assert!(swap.allocate(0).is_err());
    full.room.store(u64::MAX, Ordering::SeqCst);
    swap.area(0).unwrap().note_space();
    push_out(&mut kernel);
    assert_eq!(entries_of(&kernel, 0), 200 - BATCH_FOLIOS);
    for page in BATCH_FOLIOS..200 {
        assert_eq!(kernel.read(0, page), Ok(1 + page as u64));
    }
}

#[test]
fn a_page_that_changes_in_a_full_backend_finds_another_one() {
    let memory = Memory::new(PAGES);
    let full = FakeDisk::with("/dev/full", 1000, small_and_fast(), &[]);
    full.room.store(32, Ordering::SeqCst);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 1000));
    assert_eq!(enable(swap, &full, Some(5)), Ok(1));
    let mut kernel = Kernel::new(swap, memory, 2, PAGES);
    for page in 0..64 {
        assert!(kernel.populate(0, page, 0, 1 + page as u64));
    }
    kernel.share((0, 3), (1, 3));
    push_out(&mut kernel);
    push_out(&mut kernel);
    // Two tasks have page 3; one of them brings it back, and it is marked as changed in place.
    assert_eq!(kernel.read(0, 3), Ok(4));
    assert_eq!(kernel.write(0, 3, 99), Ok(()));
    push_out(&mut kernel);
    push_out(&mut kernel);
    assert_eq!((kernel.read(0, 3), kernel.read(1, 3)), (Ok(99), Ok(4)));
    assert_eq!(
        memory.ended_writes.lock().unwrap().iter().filter(|(_, result)| *result == Err(IoError::NoSpace)).count(),
        0
    );
}

#[test]
fn a_full_area_is_left_out_until_one_of_its_slots_is_free() {
    Memory::new(0);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 2 * CLUSTER_SLOTS as u64));
    enable(swap, &FakeDisk::new("/dev/vdb", 4 * CLUSTER_SLOTS as u64), Some(5)).unwrap();
    let mut held: Vec<_> = std::iter::from_fn(|| swap.allocate(0).ok()).collect();
    assert_eq!(held.len(), 6 * CLUSTER_SLOTS - 2);
    for _ in 0..20 {
        assert_eq!(swap.allocate(0).err(), Some(AllocateError::Full));
        assert!(!swap.has_space());
    }
    for index in [1, 0, 1] {
        let slots = held.swap_remove(held.iter().position(|slots| slots.area().index() == index).unwrap());
        let freed = slots.run().first;
        drop(slots);
        let again = swap.allocate(0).unwrap();
        assert_eq!((again.area().index(), again.run().first), (index, freed));
        assert!(swap.allocate(0).is_err());
        held.push(again);
    }
}
