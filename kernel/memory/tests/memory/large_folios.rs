//! Anonymous memory in folios of 64 KiB: when it comes so, and what becomes of them.

use std::sync::Arc;

use quire_memory::AddressSpace;
use quire_memory::address_space::{MapRequest, Placement};
use quire_memory::advice::Advice;
use quire_memory::cgroup::Cgroup;
use quire_memory::fault::served;
use quire_memory::large_folio::{Count, FOR_ALL_SIZES, FOR_SIZE, LARGE_PAGES, Setting, Wanted, count};
use quire_memory::{reclaim, swap};
use quire_swap::SlotRange;

use crate::computer::Computer;
use crate::disk::Disk;
use crate::process::Process;
use crate::schedules::{BASE, PAGE, map, process, read, write};

const LARGE: u64 = LARGE_PAGES as u64;

fn machine(setting: Setting) -> Computer {
    machine_with(setting, 2048)
}

fn machine_with(setting: Setting, slots: u64) -> Computer {
    let computer = Computer::start(600, 1, Disk::new(slots, false));
    FOR_SIZE.set(setting);
    computer
}

/// What was counted since.
struct Since([u64; Count::ALL.len()], u64);

impl Since {
    fn now() -> Self {
        Self(std::array::from_fn(|place| count(Count::ALL[place].0)), served::faults())
    }

    fn count(&self, what: Count) -> u64 {
        count(what) - self.0[what as usize]
    }

    /// Large folios that came, and those that did not.
    fn came(&self) -> (u64, u64) {
        (self.count(Count::AnonFaultAlloc), self.count(Count::AnonFaultFallback))
    }

    fn faults(&self) -> u64 {
        served::faults() - self.1
    }
}

fn resident(process: &Process) -> u64 {
    process.memory().usage().anonymous as u64
}

fn write_in(process: &Arc<Process>, page: u64) {
    process.run(move || write(page, page + 1).unwrap()).join();
}

fn write_all(process: &Arc<Process>, pages: u64) {
    process.run(move || (0..pages).for_each(|page| write(page, page + 1).unwrap())).join();
}

#[test]
fn one_fault_maps_sixteen_pages() {
    let _computer = machine(Setting::Always);
    let (process, _) = process(4 * LARGE);
    let since = Since::now();
    write_in(&process, LARGE + 5);
    assert_eq!((since.came(), since.faults(), resident(&process)), ((1, 0), 1, LARGE));
    let found = process.run(|| (0..4 * LARGE).map(|page| read(page).unwrap()).collect::<Vec<_>>()).join();
    assert!((0..).zip(found).all(|(page, word)| word == if page == LARGE + 5 { page + 1 } else { 0 }));
    assert_eq!(since.came(), (1, 0), "what is only read is not filled");
    // Pages are mapped to zeros beside it now.
    write_in(&process, 0);
    assert_eq!((since.came(), resident(&process)), ((1, 0), LARGE + 1));
}

#[test]
fn the_setting_and_the_program_say_where() {
    let _computer = machine(Setting::Never);
    let came = |wanted: Option<Wanted>| {
        let (process, space) = process(LARGE);
        if let Some(wanted) = wanted {
            space.advise(BASE..BASE + LARGE * PAGE, Advice::Want(wanted)).unwrap();
        }
        write_in(&process, 3);
        let pages = resident(&process);
        process.end();
        pages == LARGE
    };
    let all = || [None, Some(Wanted::Large), Some(Wanted::Small)].map(came);
    assert_eq!(all(), [false; 3]);
    FOR_SIZE.set(Setting::Madvise);
    assert_eq!(all(), [false, true, false]);
    FOR_SIZE.set(Setting::Inherit);
    assert_eq!(all(), [false; 3]);
    FOR_ALL_SIZES.set(Setting::Always);
    assert_eq!(all(), [true, true, false]);
    FOR_ALL_SIZES.set(Setting::Never);
}

#[test]
fn what_does_not_lie_in_the_mapping_is_not_filled() {
    let _computer = machine(Setting::Always);
    let since = Since::now();
    let process = Process::empty();
    // From the third page of one to the last but one of the next.
    let request = MapRequest::anonymous(Placement::Fixed(BASE + 2 * PAGE), (2 * LARGE - 3) * PAGE);
    process.memory().map(&request).unwrap();
    process.run(|| [2, LARGE + 1].map(|page| write(page, 1).unwrap())).join();
    assert_eq!((since.came(), resident(&process)), ((0, 0), 2), "nor is that a fallback");
}

#[test]
fn without_room_a_page_comes_alone() {
    let _computer = machine(Setting::Always);
    let cgroup = Cgroup::root().new_child("small").unwrap();
    let process = Process::new(AddressSpace::new().unwrap(), cgroup.number());
    map(&process.memory(), 2 * LARGE);
    write_in(&process, 0);
    cgroup.set_max(Some(cgroup.current() + 4 * PAGE));
    let since = Since::now();
    write_in(&process, LARGE);
    assert_eq!((since.came(), since.count(Count::AnonFaultFallbackCharge)), ((0, 1), 1));
    assert_eq!(resident(&process), LARGE + 1);
    process.end();
    Computer::settle();
    assert_eq!(cgroup.current(), 0);
    drop(cgroup);
    // Memory is filled until reclaim would have to help.
    let (process, _) = self::process(800);
    let since = Since::now();
    write_all(&process, 800);
    let (came, did_not) = since.came();
    assert!(came > 0 && did_not > 0, "{came}, {did_not}");
    assert_eq!(since.count(Count::AnonFaultFallbackCharge), 0);
}

#[test]
fn what_concerns_a_part_concerns_no_other_page() {
    let _computer = machine(Setting::Always);
    let (process, space) = process(2 * LARGE);
    write_all(&process, 2 * LARGE);
    assert_eq!(resident(&process), 2 * LARGE);
    let since = Since::now();
    let pages = |first: u64, end: u64| BASE + first * PAGE..BASE + end * PAGE;
    let child = Process::new(space.fork().unwrap(), 0);
    child.run(|| write(4, 99).unwrap()).join();
    space.advise(pages(0, 2), Advice::DontNeed).unwrap();
    space.unmap(pages(8, 12)).unwrap();
    assert_eq!((resident(&process), resident(&child)), (2 * LARGE - 6, 2 * LARGE));
    let look = move |process: &Arc<Process>, expected: fn(u64) -> Option<u64>| {
        process
            .run(move || (0..2 * LARGE).for_each(|page| assert_eq!(read(page).ok(), expected(page), "page {page}")))
            .join();
    };
    let in_child = |page| Some(if page == 4 { 99 } else { page + 1 });
    let in_parent = |page| match page {
        0 | 1 => Some(0),
        8..12 => None,
        _ => Some(page + 1),
    };
    look(&child, in_child);
    look(&process, in_parent);
    // All that can goes to swap, a part of what was left first.
    space.advise(pages(16, 20), Advice::PageOut).unwrap();
    child.end();
    space.advise(pages(0, 8), Advice::PageOut).unwrap();
    space.advise(pages(12, 2 * LARGE), Advice::PageOut).unwrap();
    Computer::settle();
    assert_eq!(resident(&process), 0);
    assert_eq!((since.count(Count::Split), since.count(Count::Swpout)), (2, 1), "the second alone was whole");
    look(&process, in_parent);
    process.end();
}

/// The pages that are in swap, with their slots.
fn slots(process: &Process) -> Vec<(u64, u32)> {
    let space = process.memory();
    let all = SlotRange { area: 0, slots: 0..u64::MAX };
    let next = |from| space.next_entry(from, &all);
    let found = std::iter::successors(next(0), |(page, _)| next(page + PAGE));
    found.map(|(page, entry)| ((page - BASE) / PAGE, entry.slot())).collect()
}

fn page_out(process: &Process, pages: u64) {
    process.memory().advise(BASE..BASE + pages * PAGE, Advice::PageOut).unwrap();
    Computer::settle();
}

#[test]
fn it_leaves_memory_for_a_run_of_slots() {
    let computer = machine(Setting::Always);
    // One page that another process has in swap: the run is aligned all the same.
    let (other, _) = process(1);
    write_in(&other, 0);
    page_out(&other, 1);
    let (process, space) = process(4 * LARGE);
    write_all(&process, 4 * LARGE);
    let (since, requests) = (Since::now(), swap::statistics().write_batches);
    page_out(&process, 4 * LARGE);
    assert_eq!((since.count(Count::Swpout), since.count(Count::SwpoutFallback), since.count(Count::Split)), (4, 0, 0));
    assert_eq!(swap::statistics().write_batches - requests, 2, "two folios fill a batch");
    let slots = slots(&process);
    assert_eq!(slots.len() as u64, 4 * LARGE);
    for run in slots.chunks(LARGE_PAGES) {
        let (page, slot) = run[0];
        assert!(page % LARGE == 0 && u64::from(slot) % LARGE == 0, "page {page} is in slot {slot}");
        assert!((0..).zip(run).all(|(place, at)| *at == (page + place, slot + place as u32)), "{run:?}");
    }
    // A child has them too.
    let child = Process::new(space.fork().unwrap(), 0);
    for process in [&process, &child] {
        process.run(|| (0..4 * LARGE).for_each(|page| assert_eq!(read(page), Ok(page + 1)))).join();
    }
    drop((process, space, child, other));
    drop(computer);
}

#[test]
fn without_a_run_it_leaves_page_by_page() {
    let _computer = machine_with(Setting::Never, 512);
    let (other, others) = process(400);
    write_all(&other, 400);
    page_out(&other, 400);
    (0..400).step_by(2).for_each(|page| others.unmap(BASE + page * PAGE..BASE + (page + 1) * PAGE).unwrap());
    // The rest of the area, so that what is left are those holes.
    let (rest, _) = process(96);
    write_all(&rest, 96);
    page_out(&rest, 96);
    FOR_SIZE.set(Setting::Always);
    let (process, _) = process(2 * LARGE);
    write_all(&process, 2 * LARGE);
    let since = Since::now();
    page_out(&process, 2 * LARGE);
    assert_eq!((since.count(Count::Swpout), since.count(Count::SwpoutFallback), since.count(Count::Split)), (0, 2, 2));
    assert_eq!(slots(&process).len() as u64, 2 * LARGE);
    process.run(|| (0..2 * LARGE).for_each(|page| assert_eq!(read(page), Ok(page + 1)))).join();
    rest.run(|| (0..96).for_each(|page| assert_eq!(read(page), Ok(page + 1)))).join();
}

/// Of memory that is full of large folios, of which one page each is used, none is split by that.
#[test]
fn an_access_to_one_page_keeps_all() {
    let _computer = machine(Setting::Always);
    let (process, _) = process(20 * LARGE);
    write_all(&process, 20 * LARGE);
    let since = Since::now();
    for round in 0..20 {
        process.run(|| (0..20).for_each(|folio| assert_eq!(read(folio * LARGE + 3), Ok(folio * LARGE + 4)))).join();
        reclaim::pass();
        assert_eq!(since.count(Count::Split), 0, "round {round}");
    }
    (0..100).for_each(|_| _ = reclaim::pass());
    Computer::settle();
    assert!(since.count(Count::Swpout) > 0 && since.count(Count::Split) == 0);
}
