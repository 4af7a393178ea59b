//! Anonymous memory in folios of 64 KiB: when it comes so, and what becomes of them.

use std::sync::Arc;

use quire_machine::user::Fault;
use quire_memory::AddressSpace;
use quire_memory::address_space::{MapRequest, Placement};
use quire_memory::advice::Advice;
use quire_memory::cgroup::Cgroup;
use quire_memory::fault::served;
use quire_memory::large_folio::{Count, FOR_ALL_SIZES, FOR_SIZE, LARGE_PAGES, Setting, Wanted, count};
use quire_memory::{reclaim, swap};
use quire_swap::{Direction, SlotRange};

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
    let requests = || swap::statistics().write_requests;
    let (since, before) = (Since::now(), requests());
    page_out(&process, 4 * LARGE);
    assert_eq!((since.count(Count::Swpout), since.count(Count::SwpoutFallback), since.count(Count::Split)), (4, 0, 0));
    assert_eq!(requests() - before, 1, "they count as four in their batch, and lie side by side");
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

/// A process with so many large folios in swap, each page with its number and 1.
fn in_swap(folios: u64) -> (Arc<Process>, Arc<AddressSpace>) {
    let (process, space) = process(folios * LARGE);
    write_all(&process, folios * LARGE);
    let since = Since::now();
    page_out(&process, folios * LARGE);
    assert_eq!((since.count(Count::Swpout), resident(&process)), (folios, 0));
    (process, space)
}

fn look(process: &Arc<Process>, pages: u64) {
    process.run(move || (0..pages).for_each(|page| assert_eq!(read(page), Ok(page + 1), "page {page}"))).join();
}

fn read_in(process: &Arc<Process>, page: u64) -> Result<u64, Fault> {
    process.run(move || read(page)).join()
}

#[test]
fn one_fault_and_one_request_bring_it_back() {
    let _computer = machine(Setting::Always);
    let (process, _space) = in_swap(4);
    let (since, requests) = (Since::now(), swap::statistics().read_requests);
    assert_eq!(read_in(&process, LARGE + 5), Ok(LARGE + 6));
    assert_eq!((since.count(Count::Swpin), since.count(Count::SwpinFallback)), (1, 0));
    assert_eq!((since.faults(), resident(&process)), (1, LARGE));
    assert_eq!(swap::statistics().read_requests - requests, 1);
    look(&process, 4 * LARGE);
    assert_eq!((since.count(Count::Swpin), since.faults()), (4, 4));
    // It is whole, and its slots have what is in it still: there is nothing to write.
    let (since, written) = (Since::now(), swap::statistics().pages_out);
    page_out(&process, 4 * LARGE);
    assert_eq!((since.count(Count::Swpout), since.count(Count::Split), resident(&process)), (0, 0, 0));
    assert_eq!(swap::statistics().pages_out, written);
    look(&process, 4 * LARGE);
    assert_eq!(since.count(Count::Swpin), 4);
}

#[test]
fn a_write_brings_it_back_and_stays() {
    let _computer = machine(Setting::Always);
    let (process, _space) = in_swap(2);
    let since = Since::now();
    process.run(|| write(LARGE + 3, 77).unwrap()).join();
    assert_eq!((since.count(Count::Swpin), since.faults(), resident(&process)), (1, 1, LARGE));
    // The others can be written without a fault.
    process.run(|| (LARGE..2 * LARGE).for_each(|page| write(page, page + 100).unwrap())).join();
    assert_eq!(since.faults(), 1);
    page_out(&process, 2 * LARGE);
    look(&process, LARGE);
    process.run(|| (LARGE..2 * LARGE).for_each(|page| assert_eq!(read(page), Ok(page + 100)))).join();
}

#[test]
fn pages_of_zeros_among_them_are_not_read() {
    let _computer = machine(Setting::Always);
    let (process, _space) = process(2 * LARGE);
    // Of the second all but what is asked for are zero, of the first all.
    process.run(|| [0, LARGE + 4].map(|page| write(page, page / LARGE).unwrap())).join();
    page_out(&process, 2 * LARGE);
    let (since, read_before) = (Since::now(), swap::statistics().pages_in);
    assert_eq!([0, 2 * LARGE - 1, LARGE + 4].map(|page| read_in(&process, page)), [Ok(0), Ok(0), Ok(1)]);
    assert_eq!((since.count(Count::Swpin), since.faults(), resident(&process)), (2, 2, 2 * LARGE));
    assert_eq!(swap::statistics().pages_in - read_before, 1);
}

#[test]
fn a_child_has_it_too_and_copies_what_it_writes() {
    let _computer = machine(Setting::Always);
    let (process, space) = in_swap(2);
    let child = Process::new(space.fork().unwrap(), 0);
    let since = Since::now();
    child.run(|| write(5, 99).unwrap()).join();
    assert_eq!((since.count(Count::Swpin), resident(&child)), (1, LARGE));
    look(&process, 2 * LARGE);
    assert_eq!(since.count(Count::Swpin), 2, "the first is in the swap cache");
    process.run(|| write(6, 98).unwrap()).join();
    page_out(&process, 2 * LARGE);
    page_out(&child, 2 * LARGE);
    let expected = |changed: u64, word: u64| move |page| if page == changed { word } else { page + 1 };
    for (process, changed, word) in [(&process, 6, 98), (&child, 5, 99)] {
        let expected = expected(changed, word);
        process.run(move || (0..2 * LARGE).for_each(|page| assert_eq!(read(page), Ok(expected(page))))).join();
    }
}

#[test]
fn what_is_not_a_whole_run_comes_back_page_by_page() {
    let _computer = machine(Setting::Always);
    let (process, space) = in_swap(4);
    let pages = |first: u64, end: u64| BASE + first * PAGE..BASE + end * PAGE;
    space.advise(pages(3, 4), Advice::DontNeed).unwrap();
    space.unmap(pages(2 * LARGE - 1, 2 * LARGE)).unwrap();
    FOR_SIZE.set(Setting::Never);
    assert_eq!(read_in(&process, 2 * LARGE), Ok(2 * LARGE + 1));
    FOR_SIZE.set(Setting::Always);
    let since = Since::now();
    let found = process.run(|| (0..3 * LARGE).map(read).collect::<Vec<_>>()).join();
    for (page, found) in (0..).zip(found) {
        let expected = match page {
            3 => Ok(0),
            31 => Err(Fault),
            _ => Ok(page + 1),
        };
        assert_eq!(found, expected, "page {page}");
    }
    assert_eq!((since.count(Count::Swpin), since.count(Count::SwpinFallback)), (0, 0), "nor is that a fallback");
    assert_eq!(read_in(&process, 3 * LARGE), Ok(3 * LARGE + 1));
    assert_eq!(since.count(Count::Swpin), 1);
}

#[test]
fn without_room_it_comes_back_page_by_page() {
    let _computer = machine(Setting::Always);
    let cgroup = Cgroup::root().new_child("small").unwrap();
    let process = Process::new(AddressSpace::new().unwrap(), cgroup.number());
    map(&process.memory(), 2 * LARGE);
    write_all(&process, 2 * LARGE);
    page_out(&process, 2 * LARGE);
    cgroup.set_max(Some(cgroup.current() + (LARGE + 4) * PAGE));
    let since = Since::now();
    look(&process, LARGE);
    assert_eq!((since.count(Count::Swpin), since.count(Count::SwpinFallback)), (1, 0));
    look(&process, 2 * LARGE);
    let fell_back = (since.count(Count::SwpinFallback), since.count(Count::SwpinFallbackCharge));
    assert!(fell_back.0 == fell_back.1 && fell_back.0 > 0 && since.count(Count::Swpin) == 1, "{fell_back:?}");
    process.end();
    Computer::settle();
    assert_eq!((cgroup.current(), cgroup.swap_current()), (0, 0));
    drop(cgroup);
    // Memory is full of other pages.
    let (process, _) = in_swap(2);
    let (other, _) = self::process(560);
    FOR_SIZE.set(Setting::Never);
    write_all(&other, 560);
    FOR_SIZE.set(Setting::Always);
    let since = Since::now();
    look(&process, 2 * LARGE);
    assert!(since.count(Count::SwpinFallback) > 0 && since.count(Count::SwpinFallbackCharge) == 0);
    look(&other, 560);
}

#[test]
fn a_read_that_fails_loses_no_page_but_the_one_that_cannot_be_read() {
    let computer = machine(Setting::Always);
    let (process, _) = in_swap(2);
    // Once: the faults read one by one what the request for all did not.
    computer.disk.fail(Direction::Read, 0);
    let since = Since::now();
    look(&process, LARGE);
    assert_eq!((since.count(Count::Swpin), resident(&process)), (0, LARGE));
    // For good.
    let (_, slot) = slots(&process)[9];
    computer.disk.break_page(slot.into());
    let found = process.run(|| (LARGE..2 * LARGE).map(read).collect::<Vec<_>>()).join();
    let expected = |page: u64| if page == LARGE + 9 { Err(Fault) } else { Ok(page + 1) };
    assert!((LARGE..).zip(found).all(|(page, found)| found == expected(page)));
    computer.disk.repair();
    assert_eq!(read_in(&process, LARGE + 9), Ok(LARGE + 10));
    process.end();
}

/// A device as fast as memory, which swap calls without requests.
#[test]
fn zram_reads_all_of_it_for_one_fault() {
    let _computer = Computer::with_zram(600, 1, 1100, Disk::new(64, false));
    FOR_SIZE.set(Setting::Always);
    let (process, _) = in_swap(8);
    let (since, batches) = (Since::now(), swap::statistics().read_batches);
    look(&process, 8 * LARGE);
    assert_eq!((since.count(Count::Swpin), since.faults(), resident(&process)), (8, 8, 8 * LARGE));
    assert_eq!(swap::statistics().read_batches - batches, 8);
}
