//! Limits and ranges, to the page: as much as there may be is there, and not one page more.

use quire_machine::frame::Kind;
use quire_memory::AddressSpace;
use quire_memory::address_space::MapError;
use quire_memory::admission::Limit;
use quire_memory::advice::Advice;
use quire_memory::cgroup::{self, Cgroup, CgroupEvent};
use quire_memory::charge::Charge;

use crate::computer::Computer;
use crate::disk::Disk;
use crate::process::Process;
use crate::schedules::{BASE, PAGE, map, process, read, write};

fn machine() -> Computer {
    Computer::start(400, 1, Disk::new(256, false))
}

fn pages(first: u64, end: u64) -> std::ops::Range<u64> {
    BASE + first * PAGE..BASE + end * PAGE
}

#[test]
fn a_cgroup_has_as_many_pages_as_its_limit_says() {
    let computer = machine();
    let cgroup = Cgroup::root().new_child("one").unwrap();
    let process = Process::new(AddressSpace::new().unwrap(), cgroup.number());
    map(&process.memory(), 20);
    let own = std::sync::Arc::clone(&cgroup);
    let thread = process.run(move || {
        write(0, 1).unwrap();
        let max = own.current() + 4 * PAGE;
        own.set_max(Some(max));
        (1..5).for_each(|page| write(page, page + 1).unwrap());
        assert_eq!((own.current(), own.events(CgroupEvent::Max)), (max, 0), "what is left fits");
        write(5, 6).unwrap();
        assert!(own.events(CgroupEvent::Max) > 0 && own.peak() == max, "one more does not");
        own.set_max(Some(max - PAGE));
        assert!(own.current() < max, "what is above a lower limit goes");
    });
    thread.join();
    process.end();
    Computer::settle();
    assert_eq!((cgroup.current(), cgroup.swap_current()), (0, 0));
    drop(computer);
}

#[test]
fn a_cgroup_has_as_much_in_swap_as_its_limit_says() {
    let computer = machine();
    let cgroup = Cgroup::root().new_child("one").unwrap();
    let process = Process::new(AddressSpace::new().unwrap(), cgroup.number());
    map(&process.memory(), 10);
    process.run(|| (0..10).for_each(|page| write(page, page + 1).unwrap())).join();
    cgroup.set_swap_max(Some(4 * PAGE));
    process.memory().advise(pages(0, 4), Advice::PageOut).unwrap();
    assert_eq!((cgroup.swap_current(), cgroup.events(CgroupEvent::SwapMax)), (4 * PAGE, 0));
    process.memory().advise(pages(4, 10), Advice::PageOut).unwrap();
    assert_eq!((cgroup.swap_current(), cgroup.swap_peak()), (4 * PAGE, 4 * PAGE));
    assert!(cgroup.events(CgroupEvent::SwapMax) > 0);
    process.end();
    drop(computer);
}

/// What is refused is charged to none.
#[test]
fn a_cgroup_does_not_pay_for_what_it_does_not_get() {
    let computer = machine();
    let (outer, process) = (Cgroup::root().new_child("outer").unwrap(), Process::empty());
    let inner = outer.new_child("inner").unwrap();
    process.join(inner.number());
    let both = [outer.clone(), inner.clone()];
    let thread = process.run(move || {
        let charged = || both.each_ref().map(|cgroup| cgroup.current());
        let before = charged();
        for full in &both {
            full.set_max(Some(full.current() + 2 * PAGE));
            assert!(Charge::new(3 * PAGE as usize).is_err(), "nothing can make room");
            let fits = [(); 3].map(|()| cgroup::allocate(Kind::Stack));
            assert!(fits[1].is_some() && fits[2].is_none());
            fits.into_iter().flatten().for_each(cgroup::free);
            assert_eq!(charged(), before, "of the heap, or frames");
            full.set_max(None);
        }
        // Now the machine has none.
        let all: Vec<_> = std::iter::from_fn(|| cgroup::allocate(Kind::Stack)).collect();
        let full = charged();
        assert!(cgroup::allocate(Kind::Stack).is_none());
        assert_eq!(charged(), full);
        all.into_iter().for_each(cgroup::free);
        assert_eq!(charged(), before);
    });
    thread.join();
    process.end();
    drop(computer);
}

#[test]
fn the_heap_of_brk_ends_where_it_was_said() {
    let _computer = machine();
    let (process, space) = process(1);
    space.start_break(BASE + 4 * PAGE);
    let end = BASE + 9 * PAGE - 1;
    assert_eq!(space.set_break(end), end);
    let words = || (4..10).map(read).map(Result::ok).collect::<Vec<_>>();
    process.run(|| (4..9).for_each(|page| write(page, page).unwrap())).join();
    assert_eq!(process.run(words).join(), [Some(4), Some(5), Some(6), Some(7), Some(8), None]);
    let end = BASE + 6 * PAGE + 1;
    assert_eq!(space.set_break(end), end);
    assert_eq!(
        (process.run(words).join(), space.usage().anonymous),
        (vec![Some(4), Some(5), Some(6), None, None, None], 3)
    );
    assert_eq!(space.set_break(BASE + 9 * PAGE), BASE + 9 * PAGE);
    assert_eq!(process.run(words).join()[2..], [Some(6), Some(0), Some(0), None]);
    // A page stays free below what is mapped above.
    space.map_anonymous(pages(12, 13)).unwrap();
    assert_eq!(space.set_break(BASE + 12 * PAGE), BASE + 9 * PAGE);
    assert_eq!(space.set_break(BASE + 11 * PAGE), BASE + 11 * PAGE);
}

#[test]
fn as_many_pages_are_locked_as_the_limit_says() {
    let _computer = machine();
    let (_process, space) = process(8);
    space.set_limit(Limit::Locked, 4 * PAGE + 1);
    assert_eq!(space.lock(pages(0, 5), true, true), Err(MapError::LockLimit));
    space.lock(pages(0, 4), true, true).unwrap();
    // What is locked already counts once.
    space.lock(pages(1, 4), true, true).unwrap();
    assert_eq!(space.lock(pages(3, 5), true, true), Err(MapError::LockLimit));
    space.lock(pages(0, 1), false, true).unwrap();
    space.lock(pages(3, 5), true, true).unwrap();
    assert_eq!(space.usage().locked, 4);
}

/// More pages than are looked at, or emptied, at a time.
#[test]
fn advice_and_unmapping_reach_every_page() {
    const MANY: u64 = 150;
    let _computer = machine();
    let (process, space) = process(MANY);
    process.run(|| (0..MANY).for_each(|page| write(page, page + 1).unwrap())).join();
    space.advise(pages(0, MANY), Advice::PageOut).unwrap();
    assert_eq!((space.usage().anonymous, space.usage().swapped), (0, MANY as usize));
    process.run(|| (0..MANY).for_each(|page| assert_eq!(read(page), Ok(page + 1)))).join();
    // What is in swap and what is in memory, of which one page is on either side.
    space.advise(pages(0, 70), Advice::PageOut).unwrap();
    space.advise(pages(1, 70), Advice::Free).unwrap();
    assert_eq!((space.usage().anonymous, space.usage().swapped), (MANY as usize - 70, 1));
    space.unmap(pages(2, MANY - 1)).unwrap();
    assert_eq!((space.usage().anonymous, space.usage().swapped), (1, 1));
    let ends = [0, 1, MANY - 1];
    assert_eq!(process.run(move || ends.map(read)).join(), [Ok(1), Ok(0), Ok(MANY)]);
}

/// The most that was in memory is known after it has gone.
#[test]
fn the_peak_stays() {
    let _computer = machine();
    let (process, space) = process(30);
    process.run(|| (0..30).for_each(|page| write(page, page).unwrap())).join();
    space.unmap(pages(0, 20)).unwrap();
    assert_eq!((space.resident(), space.usage().peak), (10, 30));
}

/// A page that one space need not keep any more can go.
#[test]
fn what_is_locked_no_more_goes_out() {
    let _computer = machine();
    let swapped = |space: &AddressSpace| {
        space.advise(pages(0, 8), Advice::PageOut).unwrap();
        space.usage().swapped
    };
    // By munlock.
    let (one, space) = process(8);
    one.run(|| (0..8).for_each(|page| write(page, page + 1).unwrap())).join();
    space.lock(pages(0, 8), true, false).unwrap();
    assert_eq!(space.advise(pages(0, 8), Advice::PageOut), Err(MapError::NotAllowed));
    (0..100).for_each(|_| _ = quire_memory::reclaim::pass());
    assert_eq!(space.usage().swapped, 0);
    space.lock(pages(0, 8), false, false).unwrap();
    assert_eq!(swapped(&space), 8);
    // By the end of the space that had locked it, and a child has it still, which has locked nothing.
    let (other, space) = process(8);
    other.run(|| (0..8).for_each(|page| write(page, page + 1).unwrap())).join();
    space.lock(pages(0, 8), true, false).unwrap();
    let child = Process::new(space.fork().unwrap(), cgroup::ROOT);
    drop(space);
    other.end();
    assert_eq!(swapped(&child.memory()), 8);
    child.run(|| (0..8).for_each(|page| assert_eq!(read(page), Ok(page + 1)))).join();
}
