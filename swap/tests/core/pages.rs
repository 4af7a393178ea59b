//! The way of a page, out and in, and what goes wrong on it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use quire_swap::{
    BATCH_FOLIOS, CLUSTER_SLOTS, DecodedPte, Direction, DiskProperties, DuplicateError, Entry, FaultError, FaultKind,
    Folio, FolioFlag, FolioUse, InsertError, Inserted, IoError, Locked, Machine, Neighbourhood, POOL_BATCHES, Plug,
    Readahead, SlotReference, Swap, Written,
};

use quire_testkit::kernel::{Kernel, Touch};
use quire_testkit::{Fake, FakeDisk, FakeFolio, Memory, enable, lock, new_folio, swap_on};

struct Bench {
    memory: &'static Memory,
    disk: Arc<FakeDisk>,
    swap: &'static Swap<Fake>,
    kernel: Kernel,
}

fn bench(frames: usize, pages: u64, mapped: usize) -> Bench {
    let memory = Memory::new(frames);
    let disk = FakeDisk::new("/dev/vda", pages);
    let (swap, _) = swap_on(&disk);
    Bench { memory, disk, swap, kernel: Kernel::new(swap, memory, 2, mapped) }
}

impl Bench {
    fn fill(&mut self, pages: usize) {
        for page in 0..pages {
            assert!(self.kernel.populate(0, page, 0, 1000 + page as u64));
        }
    }

    fn swap_out(&mut self, pages: usize) {
        for page in 0..pages {
            assert!(self.kernel.reclaim(0, page));
        }
        self.kernel.write_out();
    }

    fn entry(&self, page: usize) -> Entry {
        match self.kernel.pte(0, page) {
            DecodedPte::Entry(entry) => entry,
            other => panic!("page {page} is {other:?}"),
        }
    }

    /// Everything is as it was before anything happened.
    fn assert_nothing_left(mut self, frames: usize) {
        for page in 0..self.kernel.tables[0].len() {
            self.kernel.unmap(0, page);
            self.kernel.unmap(1, page);
        }
        self.kernel.settle();
        assert_eq!(self.memory.free_frames(), frames);
        assert!(self.swap.areas().all(|area| area.used() == 0));
        assert_eq!(self.swap.idle_batches(), POOL_BATCHES);
    }
}

#[test]
fn pages_go_out_in_full_requests_and_come_back() {
    let mut bench = bench(128, 600, 100);
    bench.fill(100);
    bench.swap_out(100);
    assert_eq!(bench.memory.free_frames(), 128, "every frame is free");
    let requests = bench.disk.requests.lock().unwrap().clone();
    assert_eq!(requests.iter().map(|request| request.2).collect::<Vec<_>>(), [32, 32, 32, 4]);
    for page in (0..100).rev() {
        assert_eq!(bench.kernel.read(0, page), Ok(1000 + page as u64));
    }
    let statistics = bench.swap.statistics();
    assert_eq!((statistics.pages_out, statistics.write_batches, statistics.write_requests), (100, 4, 4));
    assert_eq!((statistics.flushed_full, statistics.flushed_on_request), (3, 1 + statistics.read_batches));
    assert_eq!(statistics.pages_in, 100);
    bench.assert_nothing_left(128);
}

#[test]
fn sequential_faults_read_ahead() {
    let mut bench = bench(512, 600, 448);
    bench.fill(448);
    bench.swap_out(448);
    for page in 0..448 {
        assert_eq!(bench.kernel.read(0, page), Ok(1000 + page as u64));
    }
    let major = bench.kernel.faults.iter().filter(|kind| **kind == FaultKind::Read).count();
    assert!(major * 7 <= 448, "{major} faults of 448 had to read");
    let statistics = bench.swap.statistics();
    assert_eq!((statistics.cache_hits + statistics.cache_misses, statistics.cache_misses), (448, major as u64));
    assert_eq!(statistics.readahead, 448 - major as u64);
    assert_eq!(statistics.readahead_hits, statistics.cache_hits);
    bench.assert_nothing_left(512);
}

/// How many of a task's faults were of a kind.
fn faults(bench: &Bench, kind: FaultKind) -> usize {
    bench.kernel.faults.iter().filter(|other| **other == kind).count()
}

#[test]
fn neighbours_are_found_by_address_where_seeking_costs_nothing_and_by_slot_elsewhere() {
    const PAGES: usize = 128;
    let run = |rotational, by_address| {
        let memory = Memory::new(512);
        let properties = DiskProperties { rotational, ..DiskProperties::default() };
        let disk = FakeDisk::with("/dev/vda", 600, properties, &[]);
        let (swap, _) = swap_on(&disk);
        swap.readahead_policy().set_by_address(by_address);
        let mut bench = Bench { memory, disk, swap, kernel: Kernel::new(swap, memory, 2, PAGES) };
        // The pages of two tasks lie in turns.
        for page in 0..PAGES {
            for task in 0..2 {
                assert!(bench.kernel.populate(task, page, 0, 1000 + page as u64));
                assert!(bench.kernel.reclaim(task, page));
            }
        }
        bench.swap_out(0);
        for page in 0..PAGES {
            assert_eq!(bench.kernel.read(0, page), Ok(1000 + page as u64));
        }
        let statistics = swap.statistics();
        let unwanted = statistics.readahead - statistics.readahead_hits;
        let read = faults(&bench, FaultKind::Read);
        bench.assert_nothing_left(512);
        (read, unwanted)
    };
    assert_eq!(run(false, true), (PAGES / 8 + 1, 0), "eight pages of the one task for each fault");
    for by_slot in [run(true, true), run(false, false)] {
        assert!(
            by_slot.0 >= PAGES / 4 && by_slot.1 >= PAGES as u64 / 2,
            "half of what is read is the other's: {by_slot:?}"
        );
    }
}

#[test]
fn zero_pages_are_filled_ahead_and_read_ahead_of() {
    const PAGES: usize = 64;
    let mut bench = bench(128, 600, PAGES);
    let contents = |page: usize| if page.is_multiple_of(8) { 0 } else { page as u64 };
    for page in 0..PAGES {
        assert!(bench.kernel.populate(0, page, 0, contents(page)));
    }
    bench.swap_out(PAGES);
    for page in 0..PAGES {
        assert_eq!(bench.kernel.read(0, page), Ok(contents(page)));
    }
    // The first fault reads the pages behind it, and half a window; the others a window each.
    let (zero, read) = (faults(&bench, FaultKind::Zero), faults(&bench, FaultKind::Read));
    assert_eq!((zero, read), (1, PAGES / 8));
    let statistics = bench.swap.statistics();
    assert_eq!(statistics.readahead, (PAGES - zero - read) as u64);
    assert_eq!(statistics.readahead_hits, statistics.readahead);
    assert_eq!((statistics.zero_in, statistics.pages_in), (8, 56));
    bench.assert_nothing_left(128);
}

#[test]
fn pages_that_nobody_wants_any_more_when_they_have_been_read_leave_nothing() {
    let mut bench = bench(64, 600, 16);
    bench.fill(16);
    bench.swap_out(16);
    // A gap, so that what is read ahead takes two requests, of which a fault awaits the first.
    bench.kernel.unmap(0, 3);
    assert_eq!(bench.kernel.read(0, 0), Ok(1000));
    assert!(bench.disk.pending() > 0, "nothing is on its way");
    (0..16).for_each(|page| bench.kernel.unmap(0, page));
    bench.memory.run_all();
    assert_eq!(bench.swap.totals(), (599, 599), "slots in use");
    assert_eq!(bench.memory.free_frames(), 64);
    bench.assert_nothing_left(64);
}

#[test]
fn a_clean_cached_page_is_dropped_without_a_write() {
    let mut bench = bench(64, 600, 8);
    bench.fill(1);
    bench.swap_out(1);
    assert_eq!(bench.kernel.read(0, 0), Ok(1000));
    let writes = bench.swap.statistics().pages_out;
    assert!(bench.kernel.reclaim(0, 0));
    assert_eq!(bench.memory.free_frames(), 64, "the frame is free at once");
    assert_eq!(bench.swap.statistics().pages_out, writes);
    assert_eq!(bench.kernel.read(0, 0), Ok(1000));
    bench.kernel.write(0, 0, 5).unwrap();
    bench.swap_out(1);
    assert_eq!(bench.swap.statistics().pages_out, writes + 1, "but a changed one is written");
    assert_eq!(bench.kernel.read(0, 0), Ok(5));
    bench.assert_nothing_left(64);
}

#[test]
fn a_zero_page_is_never_written() {
    let mut bench = bench(64, 600, 8);
    bench.kernel.populate(0, 0, 0, 0);
    bench.swap_out(1);
    assert_eq!(bench.memory.free_frames(), 64);
    assert_eq!(bench.disk.requests.lock().unwrap().len(), 0);
    assert_eq!(bench.kernel.read(0, 0), Ok(0));
    assert_eq!(bench.kernel.faults, [FaultKind::Zero]);
    // Overwritten in the cache it is no zero page any more.
    bench.kernel.share((0, 0), (1, 0));
    assert!(bench.kernel.reclaim(0, 0), "clean");
    bench.kernel.unmap(1, 0);
    let entry = bench.entry(0);
    let fault = bench.swap.fault_in(entry, 0, None).ok().unwrap();
    fault.folio.fill(0, 77);
    fault.folio.state().set(FolioFlag::Dirty);
    assert!(matches!(bench.swap.write(&mut bench.kernel.plug, fault.folio), Written::Queued));
    bench.kernel.write_out();
    assert_eq!(bench.kernel.read(0, 0), Ok(77));
    let statistics = bench.swap.statistics();
    assert_eq!((statistics.zero_out, statistics.zero_in, statistics.pages_out), (1, 2, 1));
    bench.assert_nothing_left(64);
}

#[test]
fn a_large_zero_folio_comes_back_whole() {
    let mut bench = bench(8, 2000, 4);
    assert!(bench.kernel.populate(0, 0, 2, 0));
    let DecodedPte::Present(word) = bench.kernel.pte(0, 0) else { panic!("it was just made") };
    let (folio, _) = bench.memory.folio_of(word >> 12);
    (0..4).for_each(|page| folio.fill(page, 0));
    drop(folio);
    bench.swap_out(1);
    assert_eq!(bench.memory.free_frames(), 8);
    bench.kernel.max_order = 2;
    for page in 0..4 {
        assert_eq!(bench.kernel.read(0, page), Ok(0), "page {page}");
    }
    assert_eq!(bench.kernel.faults, [FaultKind::Zero]);
    let statistics = bench.swap.statistics();
    assert_eq!((statistics.zero_out, statistics.zero_in, statistics.pages_out), (4, 4, 0));
    bench.assert_nothing_left(8);
}

#[test]
fn a_large_fault_over_zero_and_stored_pages_brings_single_pages() {
    let mut bench = bench(64, 600, 8);
    bench.fill(8);
    bench.swap_out(8);
    let even = (0..8).find(|&page| bench.entry(page).slot().is_multiple_of(2)).unwrap();
    let fault = bench.swap.fault_in(bench.entry(even), 0, None).unwrap();
    fault.folio.fill(0, 0);
    fault.folio.state().set(FolioFlag::Dirty);
    let Written::Zero(folio) = bench.swap.write(&mut bench.kernel.plug, fault.folio) else { panic!("it is zero") };
    assert!(bench.kernel.evict(folio));
    bench.kernel.max_order = 1;
    assert_eq!(bench.kernel.read(0, even), Ok(0));
    assert_eq!(bench.kernel.read(0, even + 1), Ok(1000 + even as u64 + 1));
    bench.assert_nothing_left(64);
}

#[test]
fn a_page_that_gave_its_slot_back_is_dirty() {
    let mut bench = bench(64, 600, 1);
    bench.fill(1);
    bench.swap_out(1);
    let entry = bench.entry(0);
    assert_eq!(bench.kernel.read(0, 0), Ok(1000));
    let folio = bench.swap.lookup(entry).unwrap();
    assert!(!folio.state().is(FolioFlag::Dirty));
    assert!(bench.swap.try_free_slot(&lock(&folio)));
    assert!(folio.state().is(FolioFlag::Dirty), "memory has the only copy");
    drop(folio);
    assert!(bench.swap.lookup(entry).is_none());
    bench.assert_nothing_left(64);
}

#[test]
fn a_full_area_takes_slots_back_from_the_cache() {
    let memory = Memory::new(1100);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 1024));
    let folios: Vec<_> = (1..1024).map(|word| new_folio(0, word).unwrap()).collect();
    for folio in &folios {
        swap.add_to_swap(&lock(folio)).unwrap();
    }
    assert_eq!(swap.totals(), (1023, 0), "no PTE holds any of them");
    let held: Vec<_> = (0..1023).map(|_| swap.allocate(0).expect("the cache gives way")).collect();
    assert!(folios.iter().all(|folio| folio.state().entry().is_none() && folio.state().is(FolioFlag::Dirty)));
    assert!(swap.allocate(0).is_err());
    drop((held, folios));
    assert_eq!(memory.free_frames(), 1100);
}

#[test]
fn zero_pages_do_not_break_the_runs_of_others() {
    let mut bench = bench(128, 2000, 96);
    for page in 0..96 {
        bench.kernel.populate(0, page, 0, if page % 3 == 0 { 0 } else { 1000 });
    }
    bench.swap_out(96);
    let requests: Vec<_> = bench.disk.requests.lock().unwrap().iter().map(|request| request.2).collect();
    assert_eq!(requests, [32, 32], "64 pages to store");
    for page in 0..96 {
        assert_eq!(bench.kernel.read(0, page), Ok(if page % 3 == 0 { 0 } else { 1000 }));
    }
    bench.assert_nothing_left(128);
}

#[test]
fn a_failed_write_keeps_every_page_of_its_batch() {
    let mut bench = bench(64, 600, 40);
    bench.fill(40);
    bench.memory.io.fail_nth(1);
    bench.swap_out(40);
    let ended = bench.swap.statistics();
    assert_eq!((ended.failed_writes, bench.memory.free_frames()), (32, 24 + 8));
    assert!(bench.memory.logged("write to /dev/vda failed at slot 1, 32 folios"));
    let folio = bench.swap.lookup(bench.entry(3)).unwrap();
    assert!(folio.state().is(FolioFlag::Dirty) && !folio.state().is(FolioFlag::Writeback));
    drop(folio);
    for page in 0..40 {
        assert_eq!(bench.kernel.read(0, page), Ok(1000 + page as u64));
    }
    bench.assert_nothing_left(64);
}

#[test]
fn a_failed_read_costs_only_the_page_that_cannot_be_read() {
    let mut bench = bench(64, 600, 32);
    bench.fill(32);
    bench.swap_out(32);
    let broken = bench.entry(12);
    bench.disk.broken.lock().unwrap().insert(broken.slot().into());
    for page in 0..32 {
        let expected = if page == 12 { Err(Touch::BusError) } else { Ok(1000 + page as u64) };
        assert_eq!(bench.kernel.read(0, page), expected, "{page}");
    }
    assert!(bench.memory.logged("read from /dev/vda failed"));
    assert_eq!(bench.swap.fault_in(broken, 0, None).err(), Some(FaultError::ReadFailed(broken)));
    bench.disk.broken.lock().unwrap().clear();
    assert_eq!(bench.kernel.read(0, 12), Ok(1012), "the slot kept the page");
    bench.assert_nothing_left(64);
}

#[test]
fn a_shared_page_goes_with_its_last_word() {
    let mut bench = bench(64, 600, 40);
    bench.fill(1);
    for page in 1..33 {
        assert!(bench.kernel.share((0, 0), (1, page)));
    }
    bench.swap_out(1);
    let entry = bench.entry(0);
    assert_eq!((bench.swap.count(entry), bench.kernel.ptes_with(entry)), (33, 33));
    for page in 1..33 {
        bench.kernel.unmap(1, page);
        assert_eq!(bench.swap.count(entry), 33 - page as u32, "counts above 14 come down one by one");
        if page == 19 {
            let asked = bench.memory.heap.done();
            bench.kernel.share((0, 0), (1, page));
            assert_eq!(bench.memory.heap.done(), asked + 1, "at 14 the extension was given back");
            bench.kernel.unmap(1, page);
        }
    }
    assert_eq!(bench.swap.area(entry.area()).unwrap().used(), 1);
    bench.kernel.unmap(0, 0);
    assert_eq!(bench.swap.area(entry.area()).unwrap().used(), 0);
    assert_eq!(bench.swap.duplicate(entry).err(), Some(DuplicateError::NotInUse(entry)));
    let asked = bench.memory.folios.done();
    assert_eq!(bench.swap.fault_in(entry, 0, None).err(), Some(FaultError::Gone));
    assert_eq!(bench.memory.folios.done(), asked, "what is gone costs no frame");
    bench.assert_nothing_left(64);
}

#[test]
fn large_counts_of_neighbours_do_not_go_with_one_another() {
    let mut bench = bench(64, 600, 40);
    bench.fill(2);
    for page in 0..40 {
        assert!(bench.kernel.share((0, page / 20), (1, page)));
    }
    bench.swap_out(2);
    let entries = [bench.entry(0), bench.entry(1)];
    (0..20).for_each(|page| bench.kernel.unmap(1, page));
    assert_eq!(entries.map(|entry| bench.swap.count(entry)), [1, 21]);
    (20..40).for_each(|page| bench.kernel.unmap(1, page));
    assert_eq!(entries.map(|entry| bench.swap.count(entry)), [1, 1]);
    bench.assert_nothing_left(64);
}

#[test]
fn a_page_was_read_ahead_for_its_first_fault_alone_and_not_from_the_slot_of_another_area() {
    let mut bench = bench(64, 600, 8);
    bench.fill(8);
    bench.swap_out(8);
    let (readahead, first) = (Readahead::new(), bench.entry(0));
    // Its neighbours have PTEs of another area.
    let elsewhere = |page| Entry::new(1, bench.entry(page as usize).slot());
    let around = Neighbourhood { readahead: &readahead, page: 0, pages: (0, 8), entry: &elsewhere };
    drop(bench.swap.fault_in(first, 0, Some(&around)).unwrap());
    assert_eq!(bench.swap.statistics().readahead, 0);
    let entries: Vec<_> = (0..8).map(|page| bench.entry(page)).collect();
    let here = |page| Some(entries[page as usize]);
    let around = Neighbourhood { readahead: &Readahead::new(), page: 1, pages: (0, 8), entry: &here };
    drop(bench.swap.fault_in(entries[1], 0, Some(&around)).unwrap());
    let ahead = entries.iter().copied().filter(|entry| !entries[..2].contains(entry));
    let ahead: Vec<_> = ahead.filter(|entry| bench.swap.lookup(*entry).is_some()).collect();
    assert!(!ahead.is_empty());
    for entry in ahead {
        let was_read_ahead = || bench.swap.fault_in(entry, 0, None).unwrap().was_read_ahead;
        assert_eq!((was_read_ahead(), was_read_ahead()), (true, false));
    }
    bench.assert_nothing_left(64);
}

#[test]
fn a_large_zero_folio_that_is_written_is_stored_whole() {
    let memory = Memory::new(16);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 2000));
    let folio = new_folio(2, 0).unwrap();
    (0..4).for_each(|index| folio.fill(index, 0));
    let first = swap.add_to_swap(&lock(&folio)).unwrap();
    let slots = || (0..4).map(|index| Entry::new(first.area(), first.slot() + index).unwrap());
    let held: Vec<_> = slots().map(|entry| swap.duplicate(entry).unwrap()).collect();
    let mut plug = Plug::new();
    assert!(matches!(swap.write(&mut plug, lock(&folio)), Written::Zero(_)));
    (0..4).for_each(|index| folio.fill(index, 5 + index as u64));
    folio.state().set_written();
    assert!(matches!(swap.write(&mut plug, lock(&folio)), Written::Queued));
    plug.submit();
    memory.run_all();
    memory.ended_writes.lock().unwrap().clear();
    swap.evict(Locked::lock(folio), 2, 0).unwrap();
    for (entry, word) in slots().zip(5..) {
        assert_eq!(swap.fault_in(entry, 0, None).unwrap().folio.word(0), word);
    }
    drop(held);
    assert_eq!((swap.area(0).unwrap().used(), memory.free_frames()), (0, 16));
}

#[test]
fn one_pays_for_all_of_a_large_folio() {
    let memory = Memory::new(64);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 600));
    let mut kernel = Kernel::new(swap, memory, 1, 12);
    for page in 0..12 {
        memory.set_payer(if page < 6 { 3 } else { 4 });
        kernel.populate(0, page, 0, 5 + page as u64);
        kernel.reclaim(0, page);
    }
    kernel.write_out();
    for page in 0..12 {
        let entry = Entry::from_pte(kernel.tables[0][page]).unwrap();
        if entry.slot().is_multiple_of(4) && page + 4 <= 12 {
            let fault = swap.fault_in(entry, 2, None).unwrap();
            let one_pays = page + 4 <= 6 || page >= 6;
            assert_eq!(fault.folio.order(), if one_pays { 2 } else { 0 }, "page {page}");
        }
    }
    (0..12).for_each(|page| kernel.unmap(0, page));
    kernel.settle();
    assert_eq!((memory.charged(), memory.free_frames()), (0, 64));
}

#[test]
fn a_batch_goes_one_way() {
    let memory = Memory::new(8);
    let disk = FakeDisk::new("/dev/vda", 2000);
    let (swap, index) = swap_on(&disk);
    let (area, slots) = (swap.area(index).unwrap(), swap.allocate(1).unwrap());
    let slot = slots.run().first;
    let mut plug = Plug::new();
    let written = new_folio(0, 5).unwrap();
    plug.add_owned(&area, lock(&written).start_writeback(), slot, Direction::Write);
    let read = Fake::allocate_folio(0, FolioUse::Writeback).unwrap();
    plug.add_owned(&area, lock(&read).into_read(), slot + 1, Direction::Read);
    plug.submit();
    memory.run_all();
    let requests = disk.requests.lock().unwrap().clone();
    assert_eq!(requests, [(Direction::Write, slot.into(), 1), (Direction::Read, u64::from(slot) + 1, 1)]);
}

#[test]
fn what_is_no_page_has_no_count() {
    Memory::new(1);
    let (swap, _) = swap_on(&FakeDisk::with("/dev/vda", 600, DiskProperties::default(), &[5]));
    let slots = swap.allocate(0).unwrap();
    for slot in [5, slots.run().first] {
        let entry = Entry::new(0, slot).unwrap();
        assert_eq!(swap.duplicate(entry).err(), Some(DuplicateError::Bad(entry)));
    }
    for (area, slot) in [(0, 599), (0, 600), (0, u32::MAX), (1, 5)] {
        let entry = Entry::new(area, slot).unwrap();
        let expected = if slot == 600 { DuplicateError::Bad(entry) } else { DuplicateError::NotInUse(entry) };
        assert_eq!(swap.duplicate(entry).err(), Some(expected));
    }
}

#[test]
#[should_panic(expected = "lost a count that it did not have")]
fn a_count_that_nobody_has_cannot_be_given_back() {
    let bench = bench(8, 600, 1);
    let entry = bench.swap.add_to_swap(&lock(&new_folio(0, 5).unwrap())).unwrap();
    drop(SlotReference::from_pte(bench.swap, entry.to_pte()));
}

#[test]
fn a_page_that_no_word_holds_is_not_written() {
    let bench = bench(8, 600, 1);
    let folio = new_folio(0, 5).unwrap();
    let entry = bench.swap.add_to_swap(&lock(&folio)).unwrap();
    let mut plug = Plug::new();
    assert!(matches!(bench.swap.write(&mut plug, lock(&folio)), Written::Unused(_)));
    assert!(plug.is_empty() && folio.state().is(FolioFlag::Dirty) && folio.state().entry().is_none());
    assert_eq!(bench.swap.duplicate(entry).err(), Some(DuplicateError::NotInUse(entry)), "its slot is free");
    drop(folio);
    // Also if it is all zero.
    let folio = new_folio(0, 0).unwrap();
    bench.swap.add_to_swap(&lock(&folio)).unwrap();
    assert!(matches!(bench.swap.write(&mut plug, lock(&folio)), Written::Unused(_)));
    assert!(folio.state().is(FolioFlag::Dirty) && folio.state().entry().is_none());
    drop(folio);
    bench.assert_nothing_left(8);
}

#[test]
fn clusters_are_locked_once_for_slots_that_follow_one_another_and_not_to_write_a_page() {
    let memory = Memory::new(16);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 600));
    enable(swap, &FakeDisk::new("/dev/vdb", 600), None).unwrap();
    let locks = |work: &mut dyn FnMut()| {
        let before = memory.cluster_locks.load(Ordering::Relaxed);
        work();
        memory.cluster_locks.load(Ordering::Relaxed) - before
    };
    let folios: Vec<_> = (1..=12).map(|word| new_folio(0, word).unwrap()).collect();
    // Four in the first cluster of one area, four in that of the other, four in the other's second.
    let mut spare = Vec::new();
    let entries: Vec<_> = folios
        .iter()
        .enumerate()
        .map(|(number, folio)| {
            let (area, cluster) = [(0, 0), (1, 0), (1, 1)][number / 4];
            while swap.allocate(0).is_ok_and(|slots| {
                let is_there = slots.area().index() == area && slots.run().first / CLUSTER_SLOTS as u32 == cluster;
                if !is_there {
                    spare.push(slots);
                }
                !is_there
            }) {}
            swap.add_to_swap(&lock(folio)).unwrap()
        })
        .collect();
    let mut references = Vec::new();
    let wanted = || entries.iter().map(|entry| (*entry, ()));
    let duplicate = &mut || swap.duplicate_each(wanted(), |(), held| references.push(held.unwrap()));
    assert_eq!(locks(duplicate), 3, "{entries:?}");
    let mut plug = Plug::new();
    let write = &mut || {
        for folio in &folios {
            assert!(matches!(swap.write(&mut plug, lock(folio)), Written::Queued));
        }
    };
    assert_eq!(locks(write), 0);
    plug.submit();
    memory.run_all();
    let mut gone = 0;
    let evict = &mut || {
        swap.evict_each(folios.iter().map(lock), 3, |_| 7, |evicted| gone += u32::from(evicted.is_ok()));
    };
    assert_eq!((locks(evict), gone), (3, 12));
}

#[test]
fn slots_of_different_payers_in_one_cluster_are_freed_in_one_critical_section() {
    const SLOTS: usize = 24;
    let memory = Memory::new(SLOTS);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 600));
    let mut kernel = Kernel::new(swap, memory, 1, SLOTS);
    for page in 0..SLOTS {
        memory.set_payer([0, 1, 1, 7][page % 4]);
        kernel.populate(0, page, 0, 5);
        kernel.reclaim(0, page);
    }
    kernel.write_out();
    assert_eq!([1, 7].map(|payer| memory.charged_to(payer)), [12, 6]);
    let before = memory.cluster_locks.load(Ordering::Relaxed);
    swap.put_each(std::mem::take(&mut kernel.tables[0]).into_iter());
    assert_eq!(memory.cluster_locks.load(Ordering::Relaxed) - before, 1);
    assert_eq!((memory.charged(), swap.areas().next().unwrap().used()), (0, 0));
}

#[test]
fn a_page_that_comes_back_is_paid_for_by_who_pays_for_its_slot() {
    let memory = Memory::new(16);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 600));
    let mut kernel = Kernel::new(swap, memory, 1, 16);
    for page in 0..16 {
        memory.set_payer(if page < 8 { 3 } else { 4 });
        kernel.populate(0, page, 0, 5);
        kernel.reclaim(0, page);
    }
    kernel.write_out();
    // The one who touches them, and what is read ahead of that.
    memory.set_payer(9);
    for page in 0..16 {
        kernel.read(0, page).unwrap();
        let DecodedPte::Present(frame) = kernel.pte(0, page) else { panic!("it was just read") };
        assert_eq!(memory.payer_of(frame >> 12), if page < 8 { 3 } else { 4 }, "page {page}");
    }
}

#[test]
fn a_folio_enters_the_cache_where_all_its_slots_are_in_use_and_alike() {
    let memory = Memory::new(64);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 600));
    let area = swap.area(0).unwrap();
    let mut kernel = Kernel::new(swap, memory, 1, 16);
    for page in 0..16 {
        kernel.populate(0, page, 0, if page == 12 { 0 } else { 5 + page as u64 });
        kernel.reclaim(0, page);
    }
    kernel.write_out();
    let entry = |page: usize| Entry::from_pte(kernel.tables[0][page]).unwrap();
    let first = (0..8).find(|&page| entry(page).slot().is_multiple_of(4)).unwrap();
    let insert = |order, entry| {
        let folio = Locked::lock(Fake::allocate_folio(order, FolioUse::Demand { entry, payer: 0 }).unwrap());
        let inserted = area.insert(entry, &folio);
        if inserted.is_ok() {
            assert_eq!(folio.state().entry(), Some(entry));
            area.withdraw_leaving(entry, &folio, 7);
        }
        inserted
    };
    let free = area.entry(599).unwrap();
    // What eviction left is replaced in each.
    (0..16).for_each(|page| _ = insert(0, entry(page)).unwrap());
    assert_eq!(insert(0, entry(0)), Ok(Inserted { shadow: 7, zero: false }));
    assert_eq!(insert(0, entry(12)), Ok(Inserted { shadow: 7, zero: true }));
    assert_eq!(insert(0, free), Err(InsertError::Gone));
    assert_eq!(insert(1, free), Err(InsertError::Conflict));
    assert_eq!(insert(2, entry(first)), Ok(Inserted { shadow: 7, zero: false }));
    assert_eq!(insert(2, entry(first + 1)), Err(InsertError::Conflict), "it is not aligned");
    let cached = Locked::lock(Fake::allocate_folio(0, FolioUse::Demand { entry: entry(first), payer: 0 }).unwrap());
    area.insert(entry(first), &cached).unwrap();
    assert_eq!(insert(0, entry(first)), Err(InsertError::Exists));
    assert_eq!(insert(1, entry(first)), Err(InsertError::Conflict));
    area.withdraw(entry(first), &cached);
    assert_eq!(
        insert(0, entry(first)),
        Ok(Inserted { shadow: 0, zero: false }),
        "nothing is left of what eviction had left"
    );
    drop(cached);
    (0..16).for_each(|page| kernel.unmap(0, page));
    kernel.settle();
    assert_eq!((memory.free_frames(), area.used()), (64, 0));
}

#[test]
fn without_a_frame_for_a_large_folio_a_page_comes_back_alone_and_without_any_it_fails() {
    let mut bench = bench(4, 2000, 4);
    assert!(bench.kernel.populate(0, 0, 2, 1000));
    bench.swap_out(1);
    let entry = bench.entry(0);
    bench.memory.folios.fail_nth(1);
    assert_eq!(bench.swap.fault_in(entry, 0, None).err(), Some(FaultError::NoMemory), "it is not tried again");
    bench.memory.folios.fail_nth(1);
    let fault = bench.swap.fault_in(entry, 2, None).unwrap();
    assert_eq!((fault.folio.order(), fault.folio.word(0)), (0, 1000));
    drop(fault);
    bench.assert_nothing_left(4);
}

#[test]
fn a_page_given_up_during_its_write_is_freed_when_that_ends() {
    let mut bench = bench(64, 600, 1);
    bench.fill(1);
    assert!(bench.kernel.reclaim(0, 0));
    bench.kernel.plug.submit();
    bench.kernel.unmap(0, 0);
    assert_eq!(bench.swap.areas().next().unwrap().used(), 1, "a slot with a folio under writeback stays");
    bench.memory.run_all();
    assert_eq!(bench.swap.areas().next().unwrap().used(), 0);
    assert_eq!(bench.memory.free_frames(), 64);
    bench.assert_nothing_left(64);
}

#[test]
fn a_dropped_batch_is_completed_as_failed() {
    let mut bench = bench(64, 600, 2);
    bench.fill(2);
    assert!(bench.kernel.reclaim(0, 0) && bench.kernel.reclaim(0, 1));
    bench.kernel.plug.submit();
    let folio = bench.swap.lookup(bench.entry(1)).unwrap();
    bench.disk.drop_requests();
    assert!(!folio.state().is(FolioFlag::Writeback) && folio.state().is(FolioFlag::Dirty));
    assert_eq!(bench.memory.ended_writes.lock().unwrap().last().unwrap().1, Err(IoError::Abandoned));
    assert_eq!(bench.swap.idle_batches(), POOL_BATCHES);
    drop(folio);
    bench.swap_out(0);
    bench.assert_nothing_left(64);
}

#[test]
fn batches_break_at_another_area_at_a_gap_and_when_full() {
    let memory = Memory::new(256);
    let first = FakeDisk::new("/dev/vda", 2000);
    let (swap, _) = swap_on(&first);
    let second = FakeDisk::new("/dev/vdb", 2000);
    enable(swap, &second, None).unwrap();
    let folios: Vec<_> = (1..=80).map(|word| new_folio(0, word).unwrap()).collect();
    let locked: Vec<_> = folios.iter().map(lock).collect();
    let mut held = Vec::new();
    for folio in &locked {
        held.push(swap.duplicate(swap.add_to_swap(folio).unwrap()).unwrap());
        if held.len() == 40 {
            // The rest of this cluster, so that the next slots are on the other area.
            while swap.area(0).unwrap().used() < 511 {
                let filler = new_folio(0, 9).unwrap();
                let filler_locked = lock(&filler);
                if swap.add_to_swap(&filler_locked).is_err() {
                    break;
                }
                held.push(swap.duplicate(filler_locked.state().entry().unwrap()).unwrap());
                swap.write(&mut Plug::new(), filler_locked);
                memory.run_all();
                let number = filler.number();
                drop(filler);
                swap.evict(Locked::lock(FakeFolio::try_from_number(number).unwrap()), 2, 0).ok();
            }
        }
    }
    let before = swap.statistics();
    let mut plug = Plug::new();
    for (index, folio) in locked.into_iter().enumerate() {
        if index != 3 {
            assert!(matches!(swap.write(&mut plug, folio), Written::Queued));
        }
    }
    plug.submit();
    assert!(plug.is_empty());
    let after = swap.statistics();
    assert_eq!(after.flushed_unmergeable - before.flushed_unmergeable, 1, "slot 4 is missing");
    assert_eq!(after.flushed_full - before.flushed_full, 2);
    assert_eq!(after.flushed_for_another - before.flushed_for_another, 1);
    assert_eq!(after.flushed_on_request - before.flushed_on_request, 1);
    memory.run_all();
    let lengths = |disk: &FakeDisk| disk.requests.lock().unwrap().iter().map(|request| request.2).collect::<Vec<_>>();
    assert_eq!(lengths(&first)[lengths(&first).len() - 3..], [3, BATCH_FOLIOS as u64, 4]);
    assert_eq!(lengths(&second), [BATCH_FOLIOS as u64, 8]);
}

#[test]
fn the_pool_lends_no_more_than_it_has() {
    let memory = Memory::new(64);
    let disk = FakeDisk::new("/dev/vda", 600);
    let (swap, _) = swap_on(&disk);
    let mut plug = Plug::new();
    let mut references = Vec::new();
    for word in 1..=40 {
        let locked = lock(&new_folio(0, word).unwrap());
        references.push(swap.duplicate(swap.add_to_swap(&locked).unwrap()).unwrap());
        swap.write(&mut plug, locked);
        plug.submit();
    }
    assert_eq!(swap.idle_batches(), 0);
    assert_eq!(disk.pending(), POOL_BATCHES, "the others had to wait for one to end");
    memory.run_all();
    assert_eq!(swap.idle_batches(), POOL_BATCHES);
}

#[test]
fn a_synchronous_disk_is_done_at_once_and_reads_nothing_ahead() {
    let memory = Memory::new(64);
    let properties = DiskProperties { synchronous: true, ..DiskProperties::default() };
    let disk = FakeDisk::with("/dev/ram0", 600, properties, &[]);
    let (swap, _) = swap_on(&disk);
    let mut kernel = Kernel::new(swap, memory, 1, 32);
    for page in 0..32 {
        kernel.populate(0, page, 0, 1 + page as u64);
        kernel.reclaim(0, page);
    }
    kernel.plug.submit();
    kernel.evict_ended();
    assert_eq!((disk.pending(), memory.free_frames()), (0, 64));
    for page in 0..32 {
        assert_eq!(kernel.read(0, page), Ok(1 + page as u64));
    }
    assert!(kernel.faults.iter().all(|kind| *kind == FaultKind::Read));
    let reads = disk.requests.lock().unwrap().iter().filter(|request| request.0 == Direction::Read).count();
    assert_eq!(reads, 32);
}
