//! Backends that have no room left: others get the pages, and nothing is lost.

use std::sync::atomic::Ordering;

use quire_swap::{
    AllocateError, BATCH_FOLIOS, CLUSTER_SLOTS, DecodedPte, DiskProperties, Folio, FolioFlag, IoError, Plug, SlotRange,
    SwapOffError, Users, Written,
};

use quire_testkit::kernel::Kernel;
use quire_testkit::{FakeDisk, Memory, enable, lock, new_folio, swap_on};

const PAGES: usize = 300;

fn small_and_fast() -> DiskProperties {
    DiskProperties { synchronous: true, ..DiskProperties::default() }
}

/// Everything that can leave memory leaves it.
fn push_out(kernel: &mut Kernel) {
    for page in 0..PAGES {
        kernel.reclaim(0, page);
    }
    kernel.write_out();
    let swap = kernel.swap;
    swap.return_refused(kernel);
}

fn entries_of(kernel: &Kernel, area: u8) -> usize {
    let held = |page: &usize| matches!(kernel.pte(0, *page), DecodedPte::Entry(entry) if entry.area() == area);
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
    let stayed = (0..PAGES).filter(|&page| matches!(kernel.pte(0, page), DecodedPte::Present(_))).count();
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

#[test]
fn a_slot_is_worthless_when_more_than_half_of_all_are_in_use() {
    Memory::new(8);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 9));
    let folio = lock(&new_folio(0, 5).unwrap());
    let held = swap.hold_in_swap(&folio).unwrap();
    let is_worthless = || (swap.is_slot_worthless(&folio), swap.is_half_full());
    let mut others: Vec<_> = (0..3).map(|_| swap.allocate(0).unwrap()).collect();
    assert_eq!(is_worthless(), (false, false), "4 of 8");
    others.push(swap.allocate(0).unwrap());
    assert_eq!(is_worthless(), (true, true), "5 of 8");
    enable(swap, &FakeDisk::new("/dev/vdb", 9), None).unwrap();
    assert_eq!(is_worthless(), (false, false), "5 of 16");
    others.extend((0..3).map(|_| swap.allocate(0).unwrap()));
    assert_eq!(is_worthless(), (false, false), "8 of 16");
    others.push(swap.allocate(0).unwrap());
    assert_eq!(is_worthless(), (true, true), "9 of 16");
    drop(held);
}

#[test]
fn while_a_backend_refuses_pages_no_other_goes_there_and_what_is_not_stored_gives_its_slot_up() {
    let memory = Memory::new(8);
    let (swap, index) = swap_on(&FakeDisk::new("/dev/vda", 600));
    let folio = new_folio(0, 5).unwrap();
    let held = swap.hold_in_swap(&lock(&folio)).unwrap();
    let area = swap.area(index).unwrap();
    area.note_no_space(0);
    let (mut plug, work) = (Plug::new(), memory.work_left.load(Ordering::Relaxed));
    let Written::Refused(locked) = swap.write(&mut plug, lock(&folio)) else { panic!("it was not refused") };
    assert!(plug.is_empty() && locked.state().is(FolioFlag::Dirty));
    assert_eq!(memory.work_left.load(Ordering::Relaxed), work + 1, "it is to be mapped again");
    assert!(swap.is_refused(held.entry()) && swap.is_slot_worthless(&locked));
    locked.state().clear(FolioFlag::Dirty);
    assert!(!swap.is_refused(held.entry()) && !swap.is_slot_worthless(&locked), "it is stored");
    locked.state().set(FolioFlag::Dirty);
    area.note_space();
    assert!(!swap.is_slot_worthless(&locked));
    assert!(matches!(swap.write(&mut plug, locked), Written::Queued));
    folio.state().set(FolioFlag::Dirty);
    assert!(!swap.is_refused(held.entry()), "it is on its way");
    plug.submit();
    memory.run_all();
    drop((held, folio));
    assert_eq!((area.used(), memory.free_frames()), (0, 8));
}

/// Looks at what is free while an area is emptied.
struct Totals<'a>(&'a Kernel, Vec<(u64, u64)>);

impl Users for Totals<'_> {
    fn swap_in(&mut self, _slots: &SlotRange) -> Result<(), SwapOffError> {
        self.1.push(self.0.swap.totals());
        Err(SwapOffError::Interrupted)
    }

    fn map_refused(&mut self, _slots: &SlotRange) {}
}

#[test]
fn of_an_area_that_is_emptied_only_what_is_in_use_counts_and_space_that_it_finds_is_not_used() {
    let memory = Memory::new(8);
    let (swap, index) = swap_on(&FakeDisk::new("/dev/vda", 101));
    enable(swap, &FakeDisk::new("/dev/vdb", 51), None).unwrap();
    let slots: Vec<_> = (0..3).map(|_| swap.allocate(0).unwrap()).collect();
    let in_first = slots.iter().filter(|slots| slots.area().index() == index).count() as u64;
    let kernel = Kernel::new(swap, memory, 1, 1);
    let mut totals = Totals(&kernel, Vec::new());
    assert_eq!(swap.swapoff(index, &mut totals), Err(SwapOffError::Interrupted));
    assert_eq!(totals.1, [(50 + in_first, 50 - (3 - in_first))]);
    assert_eq!(swap.totals(), (150, 147));
    // It takes part again, once.
    drop(slots);
    assert_eq!(std::iter::from_fn(|| swap.allocate(0).ok().map(std::mem::forget)).count(), 150);
}

/// Says while an area is emptied that it has space again.
struct Space<'a>(&'a Kernel);

impl Users for Space<'_> {
    fn swap_in(&mut self, slots: &SlotRange) -> Result<(), SwapOffError> {
        self.0.swap.area(slots.area).unwrap().note_space();
        assert!(self.0.swap.allocate(0).is_err(), "the area is on its way out");
        Err(SwapOffError::Interrupted)
    }

    fn map_refused(&mut self, _slots: &SlotRange) {}
}

#[test]
fn that_there_is_space_is_no_news_to_an_area_that_is_in_use_or_emptied() {
    let memory = Memory::new(8);
    let (swap, index) = swap_on(&FakeDisk::new("/dev/vda", 51));
    let kernel = Kernel::new(swap, memory, 1, 1);
    let (area, slots) = (swap.area(index).unwrap(), swap.allocate(0).unwrap());
    area.note_space();
    for refuses in [false, true] {
        if refuses {
            area.note_no_space(0);
        }
        assert_eq!(swap.swapoff(index, &mut Space(&kernel)), Err(SwapOffError::Interrupted));
    }
    drop(slots);
    assert_eq!(std::iter::from_fn(|| swap.allocate(0).ok().map(std::mem::forget)).count(), 50);
}
