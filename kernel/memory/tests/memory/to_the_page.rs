//! Limits and ranges, to the page: as much as there may be is there, and not one page more.

use std::sync::Arc;

use quire_machine::frame::Kind;
use quire_machine::protection::Protection;
use quire_memory::AddressSpace;
use quire_memory::address_space::MapError;
use quire_memory::admission::Limit;
use quire_memory::advice::Advice;
use quire_memory::cgroup::{self, Cgroup, CgroupEvent};
use quire_memory::charge::Charge;
use quire_memory::object::{FileSystemAccount, Object, ObjectError};
use quire_memory::quota::Quota;

use crate::computer::Computer;
use crate::disk::Disk;
use crate::process::Process;
use crate::schedules::{BASE, PAGE, map, map_object, process, read, write};

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
    let own = Arc::clone(&cgroup);
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

/// What a full file system does not take is not there, nor is the object longer for it.
#[test]
fn an_object_ends_behind_what_could_be_written() {
    let _computer = machine();
    let account = Arc::new(FileSystemAccount { blocks: Quota::new(1), stays: false });
    let object = Object::of_file_system(&account).unwrap();
    assert_eq!((object.write_at(0, &[1; 8]), object.length()), (Ok(8), 8));
    assert_eq!((object.write_at(PAGE - 4, &[2; 8]), object.length()), (Ok(4), PAGE));
    assert_eq!((object.write_at(3 * PAGE, &[3; 8]), object.length()), (Err(ObjectError::NoSpace), PAGE));
    assert_eq!(object.append(&[4; 8]), Err(ObjectError::NoSpace));
    assert_eq!((object.length(), object.pages(), account.blocks.used()), (PAGE, 1, 1));
    account.blocks.set_limit(3);
    assert_eq!(object.allocate(0..5 * PAGE, u64::MAX), Err(ObjectError::NoSpace));
    assert_eq!((object.pages(), account.blocks.used()), (1, 1));
}

/// What is reserved stays so though it is not written, and of what cannot be reserved as a whole nothing is.
#[test]
fn all_of_a_range_is_reserved_or_nothing() {
    let computer = machine();
    let account = Arc::new(FileSystemAccount { blocks: Quota::new(100), stays: false });
    let object = Object::of_file_system(&account).unwrap();
    object.allocate(PAGE..5 * PAGE, u64::MAX).unwrap();
    (0..50).for_each(|_| _ = quire_memory::reclaim::pass());
    assert_eq!((object.pages(), account.blocks.used(), object.length()), (4, 4, 0));
    let cgroup = Cgroup::root().new_child("small").unwrap();
    cgroup.set_swap_max(Some(0));
    let process = Process::new(AddressSpace::new().unwrap(), cgroup.number());
    let (own, limited) = (Arc::clone(&object), Arc::clone(&cgroup));
    let thread = process.run(move || {
        limited.set_max(Some(limited.current() + 8 * PAGE));
        own.allocate(0..40 * PAGE, u64::MAX)
    });
    assert!(matches!(thread.join(), Err(ObjectError::NoMemory | ObjectError::Killed)));
    assert_eq!((object.pages(), account.blocks.used()), (4, 4), "no more than before");
    process.end();
    drop((process, object));
    drop(computer);
}

/// A hole begins and ends at any byte.
#[test]
fn a_hole_has_the_bytes_that_were_said() {
    const BYTES: usize = 3 * PAGE as usize;
    let _computer = machine();
    let object = Object::shared(3 * PAGE, 0, false, Charge::NONE).unwrap();
    for hole in [100..PAGE + 50, 100..200, 50..PAGE, PAGE..PAGE + 1, PAGE - 1..2 * PAGE + 1, 0..3 * PAGE] {
        assert_eq!(object.write_at(0, &[1; BYTES]), Ok(BYTES));
        object.punch_hole(hole.clone()).unwrap();
        let mut found = [0; BYTES];
        assert_eq!(object.read_at(0, &mut found), Ok(BYTES));
        assert!((0..).zip(found).all(|(at, byte)| (byte == 0) == hole.contains(&at)), "{hole:?}");
    }
}

/// A page that is not mapped is in core as well if its object or the swap cache has it.
#[test]
fn what_is_in_core_is_said_of_each_page() {
    let _computer = machine();
    let (parent, space) = process(2);
    let object = Object::shared(3 * PAGE, 0, false, Charge::NONE).unwrap();
    object.write_at(PAGE, &[1; 8]).unwrap();
    map_object(&space, &object, true, 4);
    let core = |first, end| {
        let mut found = Vec::new();
        space.in_core(pages(first, end), |index| found.push(index)).unwrap();
        found
    };
    assert_eq!(core(4, 7), [1]);
    parent.run(|| (0..2).for_each(|page| write(page, page + 1).unwrap())).join();
    space.advise(pages(0, 2), Advice::PageOut).unwrap();
    assert_eq!(core(0, 2), [0; 0]);
    let child = Process::new(space.fork().unwrap(), cgroup::ROOT);
    child.run(|| assert_eq!(read(1), Ok(2))).join();
    // The other may have been read ahead.
    assert!(core(0, 2).contains(&1));
}

/// Its locked pages are its parent's as the others are.
#[test]
fn locked_pages_outlive_their_cgroup() {
    let computer = machine();
    let outer = Cgroup::root().new_child("outer").unwrap();
    let inner = outer.new_child("inner").unwrap();
    let process = Process::new(AddressSpace::new().unwrap(), inner.number());
    map(&process.memory(), 8);
    process.memory().lock(pages(0, 4), true, true).unwrap();
    process.run(|| (0..8).for_each(|page| write(page, page + 1).unwrap())).join();
    process.join(outer.number());
    drop(inner);
    Computer::look_at_lists();
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

/// What one space has locked stays, though another that has the pages too locks them no more.
#[test]
fn what_another_has_locked_stays() {
    let _computer = machine();
    let (parent, space) = process(8);
    parent.run(|| (0..4).for_each(|page| write(page, page + 1).unwrap())).join();
    // Those that are there, and those that come because of it.
    space.lock(pages(0, 8), true, false).unwrap();
    for write in [false, true] {
        space.protect(pages(0, 8), Protection { write, ..Protection::READ_WRITE }).unwrap();
    }
    let child = Process::new(space.fork().unwrap(), cgroup::ROOT);
    for lock in [true, false] {
        child.memory().lock(pages(0, 8), lock, true).unwrap();
    }
    (0..100).for_each(|_| _ = quire_memory::reclaim::pass());
    assert_eq!([&space, &child.memory()].map(|space| space.usage().swapped), [0, 0]);
    space.lock(pages(0, 8), false, true).unwrap();
    (0..100).for_each(|_| _ = quire_memory::reclaim::pass());
    assert_eq!([&space, &child.memory()].map(|space| space.usage().swapped), [8, 8]);
}
