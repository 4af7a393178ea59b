//! `swapon`, `swapoff`, and which slot is taken.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use quire_swap::header::HeaderError;
use quire_swap::{
    AllocateError, CLUSTER_SLOTS, Discard, Disk, DiskProperties, Entry, Folio, FolioFlag, Locked, MAX_AREAS, SlotRange,
    Slots, Swap, SwapOffError, SwapOnError, SwapOnOptions, Users,
};

use quire_testkit::kernel::Kernel;
use quire_testkit::shelf::Shelf;
use quire_testkit::{Fake, FakeDisk, FakeFolio, Memory, enable, lock, new_folio, new_swap, swap_on};

fn all(swap: &Swap<Fake>, order: u8) -> Vec<Slots<Fake>> {
    std::iter::from_fn(|| swap.allocate(order).ok()).collect()
}

#[test]
fn every_usable_slot_is_handed_out_once() {
    Memory::new(0);
    let disk = FakeDisk::with("/dev/vda", 1500, DiskProperties::default(), &[1, 600, 1499]);
    let (swap, index) = swap_on(&disk);
    let slots = all(swap, 0);
    assert_eq!(slots.len(), 1499 - 3);
    let numbers: HashSet<_> = slots.iter().map(|slots| slots.run().first).collect();
    assert_eq!(numbers.len(), slots.len());
    assert!(numbers.iter().all(|slot| (1..1500).contains(slot)));
    assert!([1, 600, 1499].iter().all(|bad| !numbers.contains(bad)));
    assert_eq!(swap.allocate(0).err(), Some(AllocateError::Full));
    assert_eq!(swap.totals(), (1496, 0));
    drop(slots);
    assert_eq!(swap.area(index).unwrap().used(), 0);
    assert_eq!(swap.totals(), (1496, 1496));
    assert_eq!(all(swap, 0).len(), 1496, "and once more");
}

#[test]
fn clusters_that_are_emptied_and_filled_stay_in_turn() {
    // So many that a cluster is not nearly full any more.
    const SOME: usize = 16;
    Memory::new(0);
    // So many that two free ones are few.
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 24 * CLUSTER_SLOTS as u64));
    let mut slots = all(swap, 0);
    let cluster_of = |slots: &Slots<Fake>| slots.run().first as usize / CLUSTER_SLOTS;
    let free_some = |slots: &mut Vec<Slots<Fake>>, cluster| {
        for _ in 0..SOME {
            drop(slots.remove(slots.iter().position(|slots| cluster_of(slots) == cluster).unwrap()));
        }
    };
    (1..=4).for_each(|cluster| free_some(&mut slots, cluster));
    // One from the end of the list and one from its middle become free, then another joins the list.
    slots.retain(|slots| ![2, 4].contains(&cluster_of(slots)));
    free_some(&mut slots, 5);
    let again = all(swap, 0);
    let mut order: Vec<_> = again.iter().map(cluster_of).collect();
    order.dedup();
    assert_eq!(order[..4], [1, 3, 5, 2], "partly used ones first, in the order in which they came");
    assert_eq!(again.len(), 3 * SOME + 2 * CLUSTER_SLOTS);
}

#[test]
fn holes_are_left_alone_while_whole_clusters_are_to_spare() {
    Memory::new(0);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 16 * CLUSTER_SLOTS as u64));
    let first = |slots: &Slots<Fake>| slots.run().first as usize;
    let mut kept: Vec<_> = (1..4 * CLUSTER_SLOTS).map(|_| swap.allocate(0).unwrap()).collect();
    // Every other slot of cluster 1 is a hole.
    kept.retain(|slots| first(slots) / CLUSTER_SLOTS != 1 || first(slots).is_multiple_of(2));
    let next: Vec<_> = (0..CLUSTER_SLOTS).map(|_| swap.allocate(0).unwrap()).collect();
    assert!(next.iter().all(|slots| first(slots) / CLUSTER_SLOTS == 4), "a whole cluster is taken");
    assert!(next.windows(2).all(|pair| first(&pair[1]) == first(&pair[0]) + 1), "in order");
    let holes = all(swap, 0).iter().filter(|slots| first(slots) / CLUSTER_SLOTS == 1).count();
    assert_eq!(holes, CLUSTER_SLOTS / 2, "and the holes when there is nothing better");
}

#[test]
fn fresh_slots_ascend() {
    Memory::new(0);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 4 * CLUSTER_SLOTS as u64));
    let slots: Vec<_> = all(swap, 0).iter().map(|slots| slots.run().first).collect();
    assert!(slots.windows(2).all(|pair| pair[1] == pair[0] + 1));
}

#[test]
fn an_unused_slot_costs_a_tenth_of_a_byte_and_a_used_one_eight() {
    const SLOTS: u64 = 1 << 28;
    let memory = Memory::new(0);
    let asked = || memory.heap_bytes.load(Ordering::Relaxed);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", SLOTS));
    // 8 bytes a slot, and a bit.
    let tables = 4096 + 64;
    let fixed = asked();
    let clusters = SLOTS / CLUSTER_SLOTS as u64;
    assert!((clusters..SLOTS / 10 + 64 * 1024 + tables).contains(&fixed), "1 TiB costs {fixed} bytes");
    let mut slots: Vec<_> = (0..CLUSTER_SLOTS - 1).map(|_| swap.allocate(0).unwrap()).collect();
    assert_eq!(asked(), fixed, "the header's cluster has its table");
    slots.extend((0..2 * CLUSTER_SLOTS).map(|_| swap.allocate(0).unwrap()));
    assert_eq!(asked(), fixed + 2 * tables);
    slots.truncate(CLUSTER_SLOTS - 1);
    slots.push(swap.allocate(0).unwrap());
    assert_eq!(asked(), fixed + 3 * tables, "a table that was given back is made again");
}

#[test]
fn large_runs_are_aligned_and_keep_to_their_clusters() {
    Memory::new(0);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 5 * CLUSTER_SLOTS as u64));
    let mut held = Vec::new();
    let mut clusters: Vec<HashSet<usize>> = Vec::new();
    for order in [0, 3, 5, 9] {
        let mut of_order = HashSet::new();
        for _ in 0..(20_usize >> order).max(2) {
            let slots = swap.allocate(order).unwrap();
            assert_eq!((slots.run().first % (1 << order), slots.run().length), (0, 1 << order));
            of_order.insert(slots.run().first as usize / CLUSTER_SLOTS);
            held.push(slots);
        }
        assert!(clusters.iter().all(|others| others.is_disjoint(&of_order)), "order {order}");
        clusters.push(of_order);
    }
    assert_eq!(swap.allocate(9).err(), Some(AllocateError::Full));
    assert_eq!(swap.allocate(10).err(), Some(AllocateError::Full));
    // Order 0 may take what is left of the clusters for larger ones, when it has no other way.
    let small = all(swap, 0);
    let used: u32 = held.iter().chain(&small).map(|slots| slots.run().length).sum();
    assert_eq!(used as usize, 5 * CLUSTER_SLOTS - 1);
}

#[test]
fn a_fragmented_cluster_serves_its_order_again_after_frees() {
    Memory::new(0);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 2 * CLUSTER_SLOTS as u64));
    let mut runs = all(swap, 2);
    assert_eq!(runs.len(), 128, "the header's cluster is for order 0");
    let small = all(swap, 0);
    assert_eq!(small.len(), CLUSTER_SLOTS - 1);
    let freed = runs.remove(100).run().first;
    let taken = swap.allocate(0).unwrap();
    assert_eq!(taken.run().first / 4, freed / 4, "nothing else is left");
    assert_eq!(swap.allocate(2).err(), Some(AllocateError::Full));
    drop(taken);
    assert_eq!(swap.allocate(2).map(|slots| slots.run().first), Ok(freed));
}

#[test]
fn equal_priorities_share_cluster_by_cluster_and_higher_ones_fill_first() {
    Memory::new(0);
    let disks: Vec<_> = ["/dev/vda", "/dev/vdb", "/dev/vdc"].map(|name| FakeDisk::new(name, 4 * 512)).into();
    let (swap, _) = swap_on(&disks[0]);
    enable(swap, &disks[1], None).unwrap();
    enable(swap, &disks[2], Some(5)).unwrap();
    let mut order = Vec::new();
    let mut slots = all(swap, 0);
    for slots in &slots {
        let place = (slots.area().index(), slots.run().first / 512);
        if order.last() != Some(&place) {
            order.push(place);
        }
    }
    assert_eq!(order[..4], [(2, 0), (2, 1), (2, 2), (2, 3)]);
    let areas: Vec<_> = order[4..].iter().map(|place| place.0).collect();
    assert_eq!(areas, [0, 1, 0, 1, 0, 1, 0, 1]);
    // A full area is tried again as soon as something in it is free.
    let slot = slots.remove(0).run().first;
    let again = swap.allocate(0).unwrap();
    assert_eq!((again.area().index(), again.run().first), (2, slot));
}

#[test]
fn a_rotational_disk_is_filled_in_order_by_all_processors() {
    let memory = Memory::new(0);
    let properties = DiskProperties { rotational: true, ..DiskProperties::default() };
    let (swap, _) = swap_on(&FakeDisk::with("/dev/sda", 8 * 512, properties, &[]));
    let held: Vec<_> = (0..1200)
        .map(|turn: u32| {
            memory.set_cpu((turn % 3) as u8);
            swap.allocate(0).unwrap()
        })
        .collect();
    assert!(held.windows(2).all(|pair| pair[1].run().first == pair[0].run().first + 1));
}

#[test]
fn swapon_refuses_and_changes_nothing() {
    let memory = Memory::new(0);
    let swap = Swap::<Fake>::new();
    let refused = |disk: &Arc<FakeDisk>| {
        let error = enable(&swap, disk, None).unwrap_err();
        assert!(memory.logged(disk.name()), "the log names the device");
        error
    };
    let disk = FakeDisk::new("/dev/vda", 600);
    disk.broken.lock().unwrap().insert(0);
    assert!(matches!(refused(&disk), SwapOnError::HeaderUnreadable(_)));
    disk.broken.lock().unwrap().clear();
    let empty = FakeDisk::new("/dev/vdb", 600);
    empty.set_page(0, &[0; 4096]);
    assert_eq!(refused(&empty), SwapOnError::Header(HeaderError::Magic([0; 10])));
    let properties = DiskProperties { read_only: true, ..DiskProperties::default() };
    let fixed = FakeDisk::with("/dev/sr0", 600, properties, &[]);
    assert_eq!(refused(&fixed), SwapOnError::ReadOnly);
    assert_eq!(swap.areas().count(), 0);
    assert_eq!(enable(&swap, &disk, None), Ok(0));
    assert_eq!(refused(&disk), SwapOnError::Busy);
    for index in 1..MAX_AREAS {
        assert_eq!(enable(&swap, &FakeDisk::new(&format!("/dev/vd{index}"), 600), None), Ok(index as u8));
    }
    assert_eq!(refused(&FakeDisk::new("/dev/last", 600)), SwapOnError::TooManyAreas);
    assert_eq!(SwapOnOptions::from_flags(0x8_0000), Err(SwapOnError::Flags(0x8_0000)));
}

#[test]
fn swapon_runs_out_of_memory_at_any_step_and_leaves_nothing() {
    let memory = Memory::new(0);
    let disk = FakeDisk::new("/dev/vda", 3000);
    let swap = Swap::<Fake>::new();
    let before = memory.heap.done();
    let mut failures = 0;
    loop {
        memory.heap.fail_nth(failures + 1);
        match enable(&swap, &disk, None) {
            Ok(_) => break,
            Err(error) => assert_eq!(error, SwapOnError::NoMemory),
        }
        assert_eq!((swap.areas().count(), swap.totals()), (0, (0, 0)));
        failures += 1;
    }
    assert!(failures >= 6 && memory.heap.done() > before + failures, "{failures} allocations can fail");
    assert_eq!(swap.totals(), (2999, 2999));
}

#[test]
fn the_flags_of_swapon_mean_what_they_mean_on_linux() {
    for (flags, priority, discard) in [
        (0, None, Discard::Off),
        (0x8000, Some(0), Discard::Off),
        (0xffff, Some(0x7fff), Discard::Off),
        (0x7fff, None, Discard::Off),
        (0x1_0000, None, Discard::Both),
        (0x3_0000, None, Discard::Once),
        (0x5_0000, None, Discard::Pages),
        (0x7_0000, None, Discard::Once),
        (0x6_0000, None, Discard::Off),
    ] {
        let options = SwapOnOptions::from_flags(flags).unwrap();
        assert_eq!((options.priority, options.discard), (priority, discard), "{flags:#x}");
    }
    assert_eq!(SwapOnOptions::from_flags(0x18_0001), Err(SwapOnError::Flags(0x18_0000)));
    Memory::new(0);
    let (swap, index) = swap_on(&FakeDisk::new("/dev/vda", 100));
    assert_eq!(swap.area(index).unwrap().priority(), -1, "without one");
    assert_eq!(swap.area(index).unwrap().usable(), 99);
}

#[test]
fn a_device_is_told_what_is_unused_when_it_wants_to_know() {
    let memory = Memory::new(0);
    let able = DiskProperties { discard: true, ..DiskProperties::default() };
    for (discard, properties, at_once, clusters) in [
        (Discard::Off, able, false, false),
        (Discard::Once, able, true, false),
        (Discard::Pages, able, false, true),
        (Discard::Both, able, true, true),
        (Discard::Both, DiskProperties::default(), false, false),
    ] {
        let swap = Swap::<Fake>::new();
        let disk = FakeDisk::with("/dev/vda", 3 * 512, properties, &[]);
        let device: Arc<dyn Disk<Fake>> = disk.clone();
        swap.swapon(&device, SwapOnOptions { discard, ..SwapOnOptions::default() }).unwrap();
        let whole = at_once.then_some(1..3 * 512);
        assert!(disk.discarded.lock().unwrap().iter().eq(&whole), "{discard:?}: all but the header");
        disk.discarded.lock().unwrap().clear();
        let slots = all(&swap, 0);
        drop(slots);
        assert_eq!(disk.discarded.lock().unwrap().len(), 0, "not while slots are freed: it sleeps");
        // With nothing else left the allocation itself waits for the device.
        let again = all(&swap, 0);
        assert_eq!(again.len(), 3 * 512 - 1);
        let expected = if clusters { vec![512..1024, 1024..1536] } else { vec![] };
        let sorted = || {
            let mut discarded = disk.discarded.lock().unwrap().clone();
            discarded.sort_unstable_by_key(|range| range.start);
            discarded
        };
        assert_eq!(sorted(), expected, "{discard:?}: the header's cluster is never empty");
        drop(again);
        swap.do_pending_work();
        assert_eq!(disk.discarded.lock().unwrap().len(), 2 * expected.len());
        swap.do_pending_work();
        assert_eq!(disk.discarded.lock().unwrap().len(), 2 * expected.len(), "once each");
        memory.forget();
    }
}

#[test]
fn work_is_left_when_a_cluster_waits_for_its_discard_or_a_chunk_is_empty() {
    let memory = Memory::new(0);
    let swap = new_swap();
    let work_left = || memory.work_left.swap(0, Ordering::Relaxed);
    let able = DiskProperties { discard: true, ..DiskProperties::default() };
    for (discard, expected) in [(Discard::Off, 0), (Discard::Pages, 2)] {
        let disk: Arc<dyn Disk<Fake>> = FakeDisk::with("/dev/vda", 3 * 512, able, &[]);
        let index = swap.swapon(&disk, SwapOnOptions { discard, ..SwapOnOptions::default() }).unwrap();
        let slots = all(swap, 0);
        assert_eq!(work_left(), 0, "{discard:?}");
        drop(slots);
        assert_eq!(work_left(), expected, "{discard:?}: the header's cluster is never empty");
        swap.do_pending_work();
        assert_eq!(work_left(), 0);
        swap.swapoff(index, &mut Kernel::new(swap, memory, 0, 0)).unwrap();
        memory.forget();
    }
    Shelf::new(memory).enable(swap, 1 << 20).unwrap();
    let mut slots: Vec<_> = (0..200 * 512).map(|_| swap.allocate(0).unwrap()).collect();
    assert_eq!(work_left(), 0);
    slots.truncate(100 * 512);
    assert_ne!(work_left(), 0);
}

#[test]
fn slots_are_found_where_there_are_more_clusters_than_a_cluster_has_slots() {
    const CLUSTERS: usize = 2 * CLUSTER_SLOTS + 8;
    let memory = Memory::new(8);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", (CLUSTERS * CLUSTER_SLOTS) as u64));
    let others: Vec<_> = std::iter::from_fn(|| swap.allocate(9).ok()).collect();
    assert_eq!(others.len(), CLUSTERS - 1, "all but the header's");
    let mut kernel = Kernel::new(swap, memory, 2, 4);
    for page in 0..4 {
        kernel.populate(0, page, 0, 1 + page as u64);
        kernel.reclaim(0, page);
    }
    kernel.write_out();
    for page in 0..4 {
        assert!(kernel.share((0, page), (1, page)));
        let entry = Entry::from_pte(kernel.tables[0][page]).unwrap();
        assert_eq!(entry.slot() as usize, page + 1);
        assert_eq!(kernel.read(0, page), Ok(1 + page as u64));
        assert!(swap.lookup(entry).is_some());
    }
    (0..4).for_each(|page| kernel.unmap(0, page));
    (0..4).for_each(|page| kernel.unmap(1, page));
    kernel.settle();
    let mut single = all(swap, 0);
    assert_eq!(single.len(), CLUSTER_SLOTS - 1);
    single.retain(|slots| slots.run().first != 1);
    assert_eq!(swap.allocate(0).ok().map(|slots| slots.run().first), Some(1), "it is the only one that is free");
}

#[test]
fn who_pays_for_slots_can_be_replaced() {
    let memory = Memory::new(300);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 200));
    Shelf::new(memory).enable(swap, 600).unwrap();
    let mut kernel = Kernel::new(swap, memory, 1, 300);
    for page in 0..300 {
        memory.set_payer(page as u8 % 8);
        kernel.populate(0, page, 0, 1);
        kernel.reclaim(0, page);
    }
    assert_eq!(swap.areas().map(|area| area.used()).filter(|used| *used > 0).count(), 2, "both areas have some");
    let payers = |kernel: &Kernel| {
        let mut slots = [0; 8];
        for pte in &kernel.tables[0] {
            slots[usize::from(swap.payer(Entry::from_pte(*pte).unwrap()))] += 1;
        }
        slots
    };
    assert_eq!(payers(&kernel), [38, 38, 38, 38, 37, 37, 37, 37]);
    let paid = memory.recharge(3, 5);
    assert_eq!(swap.replace_payer(3, 5) as u64, paid);
    assert_eq!(payers(&kernel), [38, 38, 38, 0, 37, 75, 37, 37]);
    assert_eq!(swap.replace_payer(3, 5), 0);
    (0..300).for_each(|page| kernel.unmap(0, page));
    kernel.settle();
    assert_eq!(memory.charged(), 0);
}

#[test]
fn a_cluster_that_waits_for_its_discard_is_left_alone() {
    Memory::new(0);
    let properties = DiskProperties { discard: true, ..DiskProperties::default() };
    let disk = FakeDisk::with("/dev/vda", 4 * 512, properties, &[]);
    let device: Arc<dyn Disk<Fake>> = disk.clone();
    let swap = Swap::<Fake>::new();
    swap.swapon(&device, SwapOnOptions { discard: Discard::Pages, ..SwapOnOptions::default() }).unwrap();
    let first = swap.allocate(0).unwrap().run().first / 512;
    let second = swap.allocate(0).unwrap();
    assert_ne!(second.run().first / 512, first, "the device was not told yet");
    assert!(disk.discarded.lock().unwrap().is_empty());
}

#[test]
fn swapoff_sleeps_while_the_last_page_is_being_written() {
    let memory = Memory::new(8);
    let (swap, index) = swap_on(&FakeDisk::new("/dev/vda", 600));
    let mut kernel = Kernel::new(swap, memory, 1, 1);
    assert!(kernel.populate(0, 0, 0, 7) && kernel.reclaim(0, 0));
    kernel.plug.submit();
    assert_eq!(swap.swapoff(index, &mut kernel), Ok(()));
    assert_eq!((kernel.read(0, 0), memory.relaxed.load(Ordering::Relaxed)), (Ok(7), 0));
}

struct Nobody {
    gives_up: Option<SwapOffError>,
    error: Option<SwapOffError>,
    seen: Vec<SlotRange>,
}

impl Users for Nobody {
    fn swap_in(&mut self, slots: &SlotRange) -> Result<(), SwapOffError> {
        self.seen.push(slots.clone());
        self.error.map_or(Ok(()), Err)
    }

    fn map_refused(&mut self, _slots: &SlotRange) {}

    fn gives_up(&self) -> Option<SwapOffError> {
        self.gives_up
    }
}

#[test]
fn swapoff_reads_in_long_requests_whatever_the_order_of_the_pages() {
    let memory = Memory::new(2048);
    let disk = FakeDisk::new("/dev/vda", 4 * CLUSTER_SLOTS as u64);
    let (swap, index) = swap_on(&disk);
    let mut kernel = Kernel::new(swap, memory, 3, 1200);
    for page in 0..1200 {
        // Neighbouring slots belong to pages far apart.
        kernel.populate(0, page * 7 % 1200, 0, 1 + page as u64);
        kernel.reclaim(0, page * 7 % 1200);
    }
    kernel.write_out();
    for page in 0..100 {
        kernel.share((0, page), (1, page));
    }
    let broken = 800;
    disk.broken.lock().unwrap().insert(broken);
    disk.requests.lock().unwrap().clear();
    assert_eq!(swap.swapoff(index, &mut kernel), Ok(()));
    assert_eq!(swap.areas().count(), 0);
    assert_eq!(kernel.poisoned, 1, "only the page that cannot be read");
    let reads: Vec<_> = disk.requests.lock().unwrap().iter().map(|request| request.1).collect();
    let descents = reads.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(descents <= 33, "{descents} seeks backwards, for the batch with the broken page alone");
    for page in 0..1200 {
        let word = kernel.read(0, page * 7 % 1200);
        assert!(word == Ok(1 + page as u64) || word.is_err());
    }
    assert_eq!(swap.swapoff(index, &mut kernel), Err(SwapOffError::NotActive));
    assert_eq!(enable(swap, &disk, None), Ok(index), "the place is free again");
}

#[test]
fn a_failed_swapoff_leaves_a_working_area() {
    Memory::new(0);
    let (swap, index) = swap_on(&FakeDisk::new("/dev/vda", 600));
    let slots = swap.allocate(0).unwrap();
    let no_memory = Some(SwapOffError::NoMemory);
    let interrupted = Some(SwapOffError::Interrupted);
    for (gives_up, error) in [(None, no_memory), (interrupted, no_memory), (no_memory, None)] {
        let mut users = Nobody { gives_up, error, seen: Vec::new() };
        assert_eq!(swap.swapoff(index, &mut users).err(), gives_up.or(error));
        // One pass over all page tables, for all slots.
        let all = SlotRange { area: index, slots: 0..600 };
        assert_eq!(users.seen, if gives_up.is_none() { vec![all] } else { vec![] });
        let more = swap.allocate(0).expect("it works as before");
        assert_eq!(swap.totals(), (599, 597));
        drop(more);
    }
    drop(slots);
    let mut users = Nobody { gives_up: None, error: None, seen: Vec::new() };
    assert_eq!(swap.swapoff(index, &mut users), Ok(()));
    assert_eq!(users.seen, [], "nothing was in use");
    assert_eq!(swap.swapoff(9, &mut users), Err(SwapOffError::NotActive));
}

/// Gives its slots back and is in need of memory for that.
struct Late(Option<Slots<Fake>>);

impl Users for Late {
    fn swap_in(&mut self, _slots: &SlotRange) -> Result<(), SwapOffError> {
        self.0 = None;
        Ok(())
    }

    fn map_refused(&mut self, _slots: &SlotRange) {}

    fn gives_up(&self) -> Option<SwapOffError> {
        self.0.is_none().then_some(SwapOffError::NoMemory)
    }
}

#[test]
fn swapoff_gives_up_for_who_needs_memory_when_the_last_page_is_back() {
    Memory::new(0);
    let (swap, index) = swap_on(&FakeDisk::new("/dev/vda", 600));
    let mut users = Late(swap.allocate(0).ok());
    assert_eq!(swap.swapoff(index, &mut users), Err(SwapOffError::NoMemory));
    assert_eq!(swap.totals(), (599, 599), "it works as before");
    assert_eq!(swap.swapoff(index, &mut users), Ok(()), "nothing was in use");
}

/// Is interrupted when it is asked for the fourth time.
struct Interrupted {
    passes: u32,
    asked: std::cell::Cell<u32>,
}

impl Users for Interrupted {
    fn swap_in(&mut self, _slots: &SlotRange) -> Result<(), SwapOffError> {
        self.passes += 1;
        Ok(())
    }

    fn map_refused(&mut self, _slots: &SlotRange) {}

    fn gives_up(&self) -> Option<SwapOffError> {
        self.asked.set(self.asked.get() + 1);
        (self.asked.get() > 3).then_some(SwapOffError::Interrupted)
    }
}

#[test]
fn swapoff_asks_before_each_slot() {
    Memory::new(0);
    let (swap, index) = swap_on(&FakeDisk::new("/dev/vda", 600));
    let slots = swap.allocate(0).unwrap();
    let mut users = Interrupted { passes: 0, asked: std::cell::Cell::new(0) };
    assert_eq!(swap.swapoff(index, &mut users), Err(SwapOffError::Interrupted));
    assert_eq!((users.passes, users.asked.get()), (1, 4));
    drop(slots);
}

#[test]
fn that_memory_was_short_is_said_though_another_area_was_full() {
    let memory = Memory::new(0);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 2000));
    enable(swap, &FakeDisk::new("/dev/vdb", 600), Some(5)).unwrap();
    memory.heap.fail_nth(1);
    assert_eq!(swap.allocate(1).err(), Some(AllocateError::NoMemory));
    assert!(swap.allocate(1).is_ok());
}

#[test]
fn slots_gather_in_clusters_that_are_nearly_full_before_they_are_used_again() {
    Memory::new(0);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 24 * CLUSTER_SLOTS as u64));
    let mut slots = all(swap, 0);
    let cluster_of = |slots: &Slots<Fake>| slots.run().first as usize / CLUSTER_SLOTS;
    // One slot of each cluster is free, and one cluster is.
    for cluster in 0..24 {
        drop(slots.remove(slots.iter().position(|slots| cluster_of(slots) == cluster).unwrap()));
    }
    slots.retain(|slots| cluster_of(slots) != 7);
    let again = all(swap, 0);
    assert!(again[..CLUSTER_SLOTS].iter().all(|slots| cluster_of(slots) == 7), "the free cluster first");
    let nearly_full: HashSet<_> = again[CLUSTER_SLOTS..].iter().map(cluster_of).collect();
    assert_eq!((again.len(), nearly_full.len()), (CLUSTER_SLOTS + 23, 23), "and every slot in the end");
}

#[test]
fn pages_that_are_to_lie_together_get_a_run_or_stay_as_they_were() {
    let memory = Memory::new(64);
    let (swap, _) = swap_on(&FakeDisk::new("/dev/vda", 2 * 512));
    memory.set_payer(3);
    memory.limit(3, 40);
    let pages = || (1..=16).map(|word| lock(&new_folio(0, word).unwrap())).collect::<Vec<_>>();
    let are_out = |pages: &[Locked<FakeFolio>]| pages.iter().all(|page| page.state().entry().is_none());
    // One that is in the way of the first.
    let single = lock(&new_folio(0, 1).unwrap());
    let single = (swap.hold_in_swap(&single).unwrap(), single);
    let together = pages();
    let counts: Vec<_> = swap.hold_together_in_swap(together.iter()).unwrap().collect();
    let first = counts[0].entry().slot();
    assert!(first.is_multiple_of(16) && counts.len() == 16);
    for ((page, count), slot) in together.iter().zip(&counts).zip(first..) {
        let entry = count.entry();
        assert_eq!((entry.slot(), page.state().entry()), (slot, Some(entry)));
        assert_eq!((swap.count(entry), swap.payer(entry), page.state().is(FolioFlag::Dirty)), (1, 3, true));
    }
    let more = pages();
    let counts_of_more: Vec<_> = swap.hold_together_in_swap(more.iter()).unwrap().collect();
    let others = pages();
    let refused = swap.hold_together_in_swap(others.iter()).map(drop);
    assert_eq!((refused, memory.charged_to(3)), (Err(AllocateError::OverLimit), 33));
    drop((counts_of_more, more));
    // The other cluster is full of runs.
    let runs = all(swap, 4);
    let refused = swap.hold_together_in_swap(others.iter()).map(drop);
    assert_eq!((refused, memory.charged_to(3)), (Err(AllocateError::Full), 17));
    assert!(are_out(&others));
    drop((runs, others, counts, together, single));
    assert_eq!((swap.totals().0 - swap.totals().1, memory.charged_to(3), memory.free_frames()), (0, 0, 64));
}
