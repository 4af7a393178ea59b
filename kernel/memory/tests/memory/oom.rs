//! Memory runs out while processes run on threads of their own: some are killed, and the others find all their bytes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use quire_machine::folio::NewFolio;
use quire_machine::user::Fault;
use quire_machine::watermark::Purpose;
use quire_machine::{clock, task};
use quire_memory::AddressSpace;
use quire_memory::cgroup::{self, Cgroup};
use quire_memory::oom::KILLS;
use quire_memory::upcall::{Memory as _, Process as _};

use crate::computer::Computer;
use crate::disk::Disk;
use crate::process::Process;
use crate::schedules::{map, read, write};

/// Fewer than all processes want together, with those of the disk.
const FRAMES: usize = 300;
const SLOTS: u64 = 64;
const PROCESSES: u64 = 5;

/// Writes so many pages again and again and looks at them; in between, other processes run.
fn use_memory(number: u64, pages: u64) -> Result<(), Fault> {
    for round in 0..3 {
        let word = |page| number << 32 | round << 16 | page;
        for page in 0..pages {
            write(page, word(page))?;
            task::yield_now();
        }
        for page in 0..pages {
            assert_eq!(read(page)?, word(page), "page {page} of process {number}");
        }
    }
    Ok(())
}

fn run_out_of_memory(pages: [u64; PROCESSES as usize], disk: Disk) {
    let computer = Computer::start(FRAMES, 1, disk);
    let killed_before = KILLS.load(Ordering::Relaxed);
    // Without a limit: it is the machine that has no more.
    let cgroup = Cgroup::root().new_child("all").unwrap();
    let start = |(number, pages)| {
        let process = Process::new(AddressSpace::new().unwrap(), cgroup.number());
        map(&process.memory(), pages);
        let own = Arc::clone(&process);
        let thread = process.run(move || {
            let result = use_memory(number, pages);
            own.end();
            result
        });
        (process, thread)
    };
    let threads: Vec<_> = (1..).zip(pages).map(start).collect();
    let killed = threads.into_iter().filter_map(|(process, thread)| {
        let has_failed = thread.join().is_err();
        assert_eq!(has_failed, process.is_over(), "{process}: a process fails if it was killed, and only then");
        has_failed.then_some(process)
    });
    let killed = killed.count() as u64;
    assert_eq!(killed, KILLS.load(Ordering::Relaxed) - killed_before);
    assert!((1..PROCESSES).contains(&killed), "{killed} were killed");
    Computer::settle();
    assert_eq!((cgroup.current(), cgroup.swap_current()), (0, 0), "they pay for nothing that they did not get");
    drop(computer);
}

#[test]
fn some_are_killed_and_the_others_find_all_their_bytes() {
    for larger in 0..PROCESSES {
        let pages = std::array::from_fn(|number| if number as u64 == larger { 150 } else { 70 + 5 * number as u64 });
        run_out_of_memory(pages, Disk::new(SLOTS, false));
        run_out_of_memory(pages, Disk::new(SLOTS, true));
    }
}

fn with(space: &Arc<AddressSpace>) -> Arc<Process> {
    Process::new(Arc::clone(space), cgroup::ROOT)
}

fn writes_all(process: &Arc<Process>, pages: u64) -> bool {
    process.run(move || (0..pages).try_for_each(|page| write(page, page + 1))).join().is_ok()
}

/// Those that share the memory of the worst die with it. What another uses that goes on stays, though one of those that share it was
/// killed before.
#[test]
fn who_shares_memory_dies_with_it_and_it_goes_when_none_needs_it() {
    let computer = Computer::start(FRAMES, 1, Disk::new(SLOTS, false));
    let (small, large) = (AddressSpace::new().unwrap(), AddressSpace::new().unwrap());
    let (one, killed, worst, sharer) = (with(&small), with(&small), with(&large), with(&large));
    map(&small, 40);
    map(&large, 320);
    assert!(writes_all(&one, 40));
    killed.kill();
    assert!(!writes_all(&worst, 320), "there is not so much");
    assert_eq!([&one, &worst, &sharer].map(|process| process.is_over()), [false, true, true]);
    one.run(|| (0..40).for_each(|page| assert_eq!(read(page), Ok(page + 1)))).join();
    drop((small, large));
    for process in [one, killed, worst, sharer] {
        process.end();
    }
    drop(computer);
}

/// Where a cgroup is full, one of its own processes dies, and not a larger one elsewhere.
#[test]
fn a_full_cgroup_costs_no_other_a_process() {
    let computer = Computer::start(600, 1, Disk::new(SLOTS, false));
    let cgroup = Cgroup::root().new_child("full").unwrap();
    cgroup.set_max(Some(60 * 4096));
    cgroup.set_swap_max(Some(0));
    let (other, own) = (Process::empty(), Process::new(AddressSpace::new().unwrap(), cgroup.number()));
    map(&other.memory(), 200);
    map(&own.memory(), 100);
    assert!(writes_all(&other, 200) && !writes_all(&own, 100));
    assert_eq!([&other, &own].map(|process| process.is_over()), [false, true]);
    for process in [other, own] {
        process.end();
    }
    drop(computer);
}

/// Frames that come free while a task waits for the end of a process are enough for it, though none is told of them.
#[test]
fn who_finds_frames_kills_no_other() {
    let mut computer = Computer::start(FRAMES, 1, Disk::new(SLOTS, false));
    assert!(computer.disable());
    let (killed, own) = (Process::empty(), Process::empty());
    map(&killed.memory(), 8);
    map(&own.memory(), 20);
    assert!(writes_all(&killed, 8));
    killed.kill();
    killed.memory().reap();
    let start = clock::since_boot();
    let holder = task::spawn("holder", || {
        let held: Vec<_> = std::iter::from_fn(|| NewFolio::allocate(Purpose::Task)).collect();
        task::time::sleep(Duration::from_millis(500));
        drop(held);
    });
    task::yield_now();
    assert!(writes_all(&own, 20) && !own.is_over(), "frames are free, and it was killed");
    assert!(
        clock::since_boot().saturating_sub(start) > Duration::from_secs(1),
        "it has not waited for the other's end"
    );
    holder.expect("there is memory for a thread").join();
    for process in [killed, own] {
        process.end();
    }
    drop(computer);
}

/// A task that has disabled an area is one like any other afterwards: a larger one dies before it gets no memory.
#[test]
fn who_has_disabled_an_area_gets_memory_after_that() {
    let mut computer = Computer::start(FRAMES, 1, Disk::new(SLOTS, false));
    let (other, own) = (Process::empty(), Process::empty());
    map(&other.memory(), 150);
    map(&own.memory(), 120);
    assert!(writes_all(&other, 150));
    let thread = own.run(move || {
        assert!(computer.disable(), "there is room in memory");
        (0..120).try_for_each(|page| write(page, page + 1)).map(|()| computer)
    });
    let computer = thread.join().expect("it gets memory");
    assert_eq!([&other, &own].map(|process| process.is_over()), [true, false]);
    for process in [other, own] {
        process.end();
    }
    drop(computer);
}
