//! To which cgroup a page belongs, in memory and in swap, whichever task touches it and whatever becomes of the cgroup.

use std::sync::Arc;
use std::time::Duration;

use quire_machine::clock;
use quire_memory::AddressSpace;
use quire_memory::advice::Advice;
use quire_memory::cgroup::{Cgroup, CgroupEvent, MOST, NoCgroup};
use quire_memory::charge::Charge;
use quire_memory::object::Object;

use crate::computer::Computer;
use crate::disk::Disk;
use crate::process::Process;
use crate::schedules::{BASE, PAGE, map, map_object, read, write};

const PAGES: u64 = 40;

fn machine() -> Computer {
    Computer::start(600, 1, Disk::new(512, false))
}

fn new(parent: &Arc<Cgroup>) -> Arc<Cgroup> {
    parent.new_child("cgroup").unwrap()
}

/// A process of the cgroup with pages that it has written.
fn writer(cgroup: &Cgroup, pages: u64) -> Arc<Process> {
    let process = Process::new(AddressSpace::new().unwrap(), cgroup.number());
    map(&process.memory(), pages);
    process.run(move || (0..pages).for_each(|page| write(page, page + 1).unwrap())).join();
    process
}

/// All pages of the process go to swap, as one that is the only one left to have them.
fn page_out(process: &Process, pages: u64) {
    process.memory().advise(BASE..BASE + pages * PAGE, Advice::PageOut).unwrap();
    Computer::settle();
}

/// A process in one cgroup whose pages are all in swap and belong to another, where its parent was that wrote them.
fn heir_of_swapped(owner: &Cgroup, cgroup: &Cgroup) -> Arc<Process> {
    let parent = writer(owner, PAGES);
    let heir = Process::new(parent.memory().fork().unwrap(), cgroup.number());
    parent.end();
    page_out(&heir, PAGES);
    heir
}

fn reads_all(process: &Arc<Process>) {
    process.run(|| (0..PAGES).for_each(|page| assert_eq!(read(page), Ok(page + 1)))).join();
}

/// In memory and in swap, in pages.
fn uses(cgroup: &Cgroup) -> (u64, u64) {
    (cgroup.uses().anonymous / PAGE, cgroup.swap_current() / PAGE)
}

#[test]
fn a_page_comes_back_to_the_cgroup_that_it_left() {
    let computer = machine();
    let (one, other) = (new(&Cgroup::root()), new(&Cgroup::root()));
    let heir = heir_of_swapped(&one, &other);
    assert_eq!((uses(&one), uses(&other)), ((0, PAGES), (0, 0)), "each slot is paid for once");
    assert_eq!(one.swap_peak(), PAGES * PAGE);
    reads_all(&heir);
    assert_eq!((uses(&one).0, uses(&other)), (PAGES, (0, 0)));
    assert_eq!((one.events(CgroupEvent::PageOut), other.events(CgroupEvent::PageIn)), (PAGES, 0));
    assert!(one.events(CgroupEvent::PageIn) > 0);
    heir.end();
    Computer::settle();
    assert_eq!((uses(&one), one.current()), ((0, 0), 0));
    drop(computer);
}

#[test]
fn what_a_removed_cgroup_has_in_swap_is_its_parents() {
    let computer = machine();
    let outer = new(&Cgroup::root());
    let (inner, other) = (new(&outer), new(&outer));
    let heir = heir_of_swapped(&inner, &other);
    drop(inner);
    assert_eq!((uses(&outer), uses(&other)), ((0, PAGES), (0, 0)));
    // What it leaves is not the next one's that has its number.
    let next = new(&outer);
    reads_all(&heir);
    assert_eq!((uses(&outer).0, uses(&other), uses(&next)), (PAGES, (0, 0), (0, 0)));
    heir.end();
    Computer::settle();
    assert_eq!((outer.current(), outer.swap_current()), (0, 0));
    drop(computer);
}

#[test]
fn pages_of_an_object_are_paid_for_once_however_many_map_it() {
    let computer = machine();
    let (one, other) = (new(&Cgroup::root()), new(&Cgroup::root()));
    let object = Object::shared(PAGES * PAGE, 0, false, Charge::NONE).unwrap();
    let processes = [&one, &other].map(|cgroup| {
        let process = Process::new(AddressSpace::new().unwrap(), cgroup.number());
        map_object(&process.memory(), &object, true, 0);
        process
    });
    processes[0].run(|| (0..PAGES).for_each(|page| write(page, page + 1).unwrap())).join();
    // What others have mapped as well stays.
    page_out(&processes[0], PAGES);
    let swapped = [&one, &other].map(|cgroup| cgroup.swap_current() / PAGE);
    assert_eq!(swapped, [PAGES, 0]);
    reads_all(&processes[1]);
    assert_eq!([&one, &other].map(|cgroup| cgroup.uses().file / PAGE), [PAGES, 0]);
    for process in &processes {
        process.end();
    }
    drop((processes, object));
    Computer::settle();
    assert_eq!([&one, &other].map(|cgroup| (cgroup.current(), cgroup.swap_current())), [(0, 0); 2]);
    drop(computer);
}

/// A full cgroup without processes can make no room, and no other may lose anything for it.
#[test]
fn a_task_pays_for_what_a_full_cgroup_cannot_take_back() {
    let computer = machine();
    let (one, other) = (new(&Cgroup::root()), new(&Cgroup::root()));
    let heir = heir_of_swapped(&one, &other);
    one.set_max(Some(0));
    reads_all(&heir);
    assert_eq!((uses(&one).0, uses(&other).0), (0, PAGES));
    assert!(!heir.is_over());
    heir.end();
    Computer::settle();
    drop(computer);
}

#[test]
fn numbers_come_back_however_much_their_cgroups_leave_in_swap() {
    const ROUNDS: u64 = 300;
    let computer = machine();
    let outer = new(&Cgroup::root());
    let object = Object::shared(ROUNDS * PAGE, 0, false, Charge::NONE).unwrap();
    for round in 0..ROUNDS {
        let inner = new(&outer);
        let process = Process::new(AddressSpace::new().unwrap(), inner.number());
        map_object(&process.memory(), &object, true, 0);
        process.run(move || write(round, round + 1).unwrap()).join();
        page_out(&process, ROUNDS);
        assert_eq!((inner.swap_current(), outer.swap_current()), (PAGE, (round + 1) * PAGE));
        process.end();
    }
    let mut all: Vec<_> =
        std::iter::repeat_with(|| outer.new_child("one of all")).take(MOST - 2).map(Result::unwrap).collect();
    assert_eq!(outer.new_child("one too many").err(), Some(NoCgroup::TooMany));
    all.pop();
    all.push(new(&outer));
    drop((all, object));
    Computer::settle();
    assert_eq!((outer.current(), outer.swap_current()), (0, 0));
    drop(computer);
}

#[test]
fn a_task_waits_for_what_it_takes_while_its_cgroup_has_too_much_in_swap() {
    const HIGH: u64 = 64;
    let computer = machine();
    let (outer, other) = (new(&Cgroup::root()), new(&Cgroup::root()));
    let inner = new(&outer);
    inner.set_max(Some(100 * PAGE));
    outer.set_swap_high(Some(HIGH * PAGE));
    let run = |pages| {
        let start = clock::since_boot();
        writer(&inner, pages).end();
        Computer::settle();
        (
            clock::since_boot().saturating_sub(start),
            [&outer, &inner, &other].map(|cgroup| cgroup.events(CgroupEvent::SwapHigh)),
        )
    };
    let (_, noted) = run(90 + HIGH);
    assert_eq!(noted, [0; 3], "so much may be in swap");
    let (waited, noted) = run(90 + 2 * HIGH);
    assert!(waited < Duration::from_secs(1) && noted == [1, 0, 0], "{waited:?} for what was just too much, {noted:?}");
    // By now it has twice as much.
    let (waited, noted) = run(90 + 3 * HIGH);
    assert!(waited >= Duration::from_secs(2) && noted == [3, 0, 0], "{waited:?}, {noted:?}");
    drop(computer);
}
