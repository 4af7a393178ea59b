//! A process ends, or its memory is taken away, while its pages are on their way.

use super::*;
use Outcome::{Done, Refused, Stayed, WentOut};

#[test]
fn a_process_ends_while_its_pages_go_out() {
    explore(
        || {
            let scene = Scene::new();
            let (process, space) = process(3);
            process.run(|| (0..3).for_each(|page| write(page, page + 1).unwrap())).join();
            // The next pass takes them.
            space.advise(bytes(0..3), Advice::Cold).unwrap();
            drop(space);
            let reclaimer = quire_machine::task::spawn("reclaimer", || {
                (0..3).for_each(|_| _ = quire_memory::reclaim::pass());
            });
            process.end();
            drop(process);
            reclaimer.unwrap().join();
            scene.outcome()
        },
        &[Stayed, WentOut],
    );
}

/// What OOM does to a process that runs: it finds its bytes, or does not go on.
fn reap(goes_out: bool) -> Outcome {
    let _scene = Scene::new();
    let (process, space) = process(2);
    process.run(|| (0..2).for_each(|page| write(page, page + 1).unwrap())).join();
    if goes_out {
        page_out(&space, 0..2);
    }
    let program = process.run(|| {
        for round in 0..3 {
            for page in 0..2 {
                match read(page) {
                    Ok(word) => assert_eq!(word, page + 1 + round),
                    Err(Fault) => return Refused,
                }
                if write(page, page + 2 + round).is_err() {
                    return Refused;
                }
            }
        }
        Done
    });
    // Not killed: that alone would keep it from going on.
    let memory = upcall_memory(&process);
    memory.reap();
    let outcome = program.join();
    // Once more for what a fault brought in that was under way.
    memory.reap();
    assert_eq!((space.usage().anonymous, space.usage().swapped), (0, 0));
    assert!(read_in(&process, 0).is_err(), "what was taken away is not zero");
    outcome
}

fn upcall_memory(process: &Arc<Process>) -> Arc<dyn quire_memory::upcall::Memory> {
    quire_memory::upcall::Process::memory(&**process).expect("it has not ended")
}

#[test]
fn memory_is_taken_away_while_it_is_used() {
    explore(|| reap(false), &[Done, Refused]);
}

#[test]
fn memory_in_swap_is_taken_away_while_it_is_used() {
    explore(|| reap(true), &[Refused]);
}

/// Once the memory was taken away, no fault that was under way brings anything in, and none finds zeros where something was.
#[test]
fn nothing_comes_after_memory_was_taken_away() {
    const PAGES: u64 = 4;
    explore(
        || {
            let _scene = Scene::new();
            let (process, space) = process(PAGES);
            process.run(|| write(0, 1).unwrap()).join();
            let program = process.run(|| {
                for page in 1..PAGES {
                    match read(0) {
                        Ok(word) => assert_eq!(word, 1),
                        Err(Fault) => return Refused,
                    }
                    if write(page, page).is_err() {
                        return Refused;
                    }
                }
                Done
            });
            upcall_memory(&process).reap();
            let outcome = program.join();
            assert_eq!(space.usage().anonymous, 0, "a fault has brought a page in");
            outcome
        },
        &[Refused],
    );
}

/// A child has all that its parent had, or there is none.
#[test]
fn a_child_of_what_is_taken_away_misses_nothing() {
    explore(
        || {
            let _scene = Scene::new();
            let (process, space) = process(3);
            process.run(|| (0..3).for_each(|page| write(page, page + 1).unwrap())).join();
            let memory = upcall_memory(&process);
            let reaper = quire_machine::task::spawn("reaper", move || memory.reap()).unwrap();
            let child = space.fork();
            reaper.join();
            let Ok(child) = child else { return Refused };
            let child = Process::new(child, quire_memory::cgroup::ROOT);
            child.run(|| (0..3).for_each(|page| assert_eq!(read(page), Ok(page + 1)))).join();
            Done
        },
        &[Done, Refused],
    );
}
