//! Anonymous memory in folios of 64 KiB: when it comes so, and what becomes of them.

use std::sync::Arc;

use quire_memory::AddressSpace;
use quire_memory::address_space::{MapRequest, Placement};
use quire_memory::advice::Advice;
use quire_memory::cgroup::Cgroup;
use quire_memory::fault::served;
use quire_memory::large_folio::{Count, FOR_ALL_SIZES, FOR_SIZE, LARGE_PAGES, Setting, Wanted, count};

use crate::computer::Computer;
use crate::disk::Disk;
use crate::process::Process;
use crate::schedules::{BASE, PAGE, map, process, read, write};

const LARGE: u64 = LARGE_PAGES as u64;

fn machine(setting: Setting) -> Computer {
    let computer = Computer::start(600, 1, Disk::new(512, false));
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
    look(&process, in_parent);
    process.end();
}
