//! Two processes reach the limit of a cgroup at once.

use quire_memory::cgroup::{Cgroup, CgroupEvent};

use quire_memory::charge::Charge;

use super::*;
use Outcome::{CameBack, Done, Refused};

/// What the cgroup may have: tables, stacks and pages. The two processes have as many pages again.
const LIMIT: u64 = 44 * PAGE;
const PAGES: u64 = 24;

#[test]
fn both_find_their_bytes_and_the_limit_holds() {
    explore(
        || {
            let scene = Scene::new();
            let cgroup = Cgroup::root().new_child("two").unwrap();
            cgroup.set_max(Some(LIMIT));
            let program = |first: u64| {
                move || {
                    (0..PAGES).for_each(|page| write(page, first + page).unwrap());
                    (0..PAGES).for_each(|page| assert_eq!(read(page), Ok(first + page)));
                }
            };
            let processes = [100, 200].map(|first| {
                let process = Process::new(AddressSpace::new().unwrap(), cgroup.number());
                map(&process.memory(), PAGES);
                (process, first)
            });
            let running = processes.each_ref().map(|(process, first)| process.run(program(*first)));
            running.into_iter().for_each(quire_machine::task::JoinHandle::join);
            assert!(
                cgroup.peak() <= LIMIT && cgroup.events(CgroupEvent::Max) > 0 && cgroup.events(CgroupEvent::Kill) == 0
            );
            for (process, _) in processes {
                process.end();
            }
            Computer::settle();
            assert_eq!((cgroup.current(), cgroup.swap_current()), (0, 0), "all charges are taken back");
            scene.outcome()
        },
        &[CameBack],
    );
}

/// Where there is room for the tables or for the page, the two do not push each other out.
#[test]
fn what_does_not_fit_ends_the_process_and_not_in_a_loop() {
    explore(
        || {
            let _scene = Scene::new();
            let cgroup = Cgroup::root().new_child("one").unwrap();
            let object = Object::shared(PAGE, 0, false, Charge::NONE).unwrap();
            let process = Process::new(AddressSpace::new().unwrap(), cgroup.number());
            map_object(&process.memory(), &object, true, 0);
            let program = process.run(|| read(0));
            // The thread's stack is charged by now; tables of three levels and the page are missing.
            cgroup.set_max(Some(cgroup.current() + 3 * PAGE));
            let outcome = if program.join() == Ok(0) { Done } else { Refused };
            process.end();
            drop((process, object));
            outcome
        },
        &[Refused],
    );
}

/// A cgroup goes while pages of it leave memory and come back: its parent is charged for all of them.
#[test]
fn a_cgroup_goes_while_its_pages_go_out_and_come_back() {
    explore(
        || {
            let scene = Scene::new();
            let outer = Cgroup::root().new_child("outer").unwrap();
            let inner = outer.new_child("inner").unwrap();
            let process = Process::new(AddressSpace::new().unwrap(), inner.number());
            map(&process.memory(), 6);
            process.run(|| (0..3).for_each(|page| write(page, page + 1).unwrap())).join();
            page_out(&process.memory(), 0..1);
            // What is under way may have asked before which cgroup it is.
            let program = process.run(|| {
                (0..3).for_each(|page| assert_eq!(read(page), Ok(page + 1)));
                (3..6).for_each(|page| write(page, page + 1).unwrap());
            });
            let reclaimer = quire_machine::task::spawn("reclaimer", || {
                (0..3).for_each(|_| _ = quire_memory::reclaim::pass());
            });
            process.join(outer.number());
            drop(inner);
            let next = outer.new_child("next").unwrap();
            program.join();
            reclaimer.unwrap().join();
            Computer::settle();
            assert_eq!((next.current(), next.swap_current()), (0, 0), "what was charged to the one before");
            process.run(|| (0..6).for_each(|page| assert_eq!(read(page), Ok(page + 1)))).join();
            process.end();
            drop(process);
            Computer::settle();
            assert_eq!((outer.current(), outer.swap_current()), (0, 0));
            scene.outcome()
        },
        &[CameBack],
    );
}
