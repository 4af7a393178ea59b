//! Two processes reach the limit of a cgroup at once.

use quire_memory::cgroup::{Cgroup, Event};

use super::*;
use Outcome::CameBack;

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
            assert!(cgroup.peak() <= LIMIT && cgroup.events(Event::Max) > 0 && cgroup.events(Event::Kill) == 0);
            processes.into_iter().for_each(|(process, _)| process.end());
            scene.computer.settle();
            assert_eq!((cgroup.current(), cgroup.swap_current()), (0, 0), "all charges are taken back");
            scene.outcome()
        },
        &[CameBack],
    );
}
