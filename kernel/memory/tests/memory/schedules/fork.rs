//! Faults and page-out while an address space is copied, and while both copies are written.

use std::sync::atomic::AtomicBool;

use super::*;
use Outcome::{CameBack, Done, MetOnItsWay, Refused, Stayed};

/// The child, if there was memory for it.
fn child_of(space: &AddressSpace) -> Arc<Process> {
    Process::new(space.fork().expect("there is memory"), quire_memory::cgroup::ROOT)
}

#[test]
fn a_copy_is_made_while_a_page_goes_out() {
    explore(
        || {
            let scene = Scene::new();
            let (parent, space) = process(2);
            parent.run(|| (0..2).for_each(|page| write(page, page + 1).unwrap())).join();
            let taken_from = Arc::clone(&space);
            let reclaimer = quire_machine::task::spawn("reclaimer", move || page_out(&taken_from, 0..2)).unwrap();
            let child = child_of(&space);
            child.run(|| write(0, 10).unwrap()).join();
            reclaimer.join();
            assert_eq!([0, 1].map(|page| read_in(&parent, page)), [Ok(1), Ok(2)]);
            assert_eq!([0, 1].map(|page| read_in(&child, page)), [Ok(10), Ok(2)]);
            scene.outcome()
        },
        &[Stayed, MetOnItsWay, CameBack],
    );
}

#[test]
fn the_parent_writes_while_it_is_copied() {
    explore(
        || {
            let _scene = Scene::new();
            let (parent, space) = process(1);
            parent.run(|| write(0, 1).unwrap()).join();
            let writer = parent.run(|| (2..20).for_each(|word| write(0, word).unwrap()));
            let child = child_of(&space);
            // Whichever it was then, it stays.
            let at_first = read_in(&child, 0).unwrap();
            assert!((1..20).contains(&at_first));
            writer.join();
            assert_eq!((read_in(&parent, 0), read_in(&child, 0)), (Ok(19), Ok(at_first)));
            if at_first == 1 { Refused } else { Done }
        },
        &[Refused, Done],
    );
}

/// Both copies of a page are written at once.
fn both_write(scene: &Scene, goes_out: bool) -> Outcome {
    let (parent, space) = process(1);
    parent.run(|| write(0, 1).unwrap()).join();
    let child = child_of(&space);
    if goes_out {
        child.run(|| assert_eq!(read(0), Ok(1))).join();
        (0..3).for_each(|_| _ = quire_memory::reclaim::pass());
    }
    let writer = |word| {
        move || {
            assert_eq!(read(0), Ok(1));
            write(0, word).unwrap();
            assert_eq!(read(0), Ok(word));
        }
    };
    let other = child.run(writer(2));
    parent.run(writer(3)).join();
    other.join();
    assert_eq!((read_in(&parent, 0), read_in(&child, 0)), (Ok(3), Ok(2)));
    scene.outcome()
}

#[test]
fn both_copies_of_a_page_in_memory_are_written() {
    explore(|| both_write(&Scene::new(), false), &[Stayed]);
}

#[test]
fn both_copies_of_a_page_in_swap_are_written() {
    explore(|| both_write(&Scene::new(), true), &[MetOnItsWay, CameBack]);
}

#[test]
fn both_copies_are_written_while_the_page_goes_out() {
    explore(
        || {
            let scene = Scene::with_disk(Disk::with_stable_writes(64));
            let (parent, space) = process(1);
            parent.run(|| write(0, 1).unwrap()).join();
            let child = child_of(&space);
            let reclaimer = quire_machine::task::spawn("reclaimer", || {
                (0..4).for_each(|_| _ = quire_memory::reclaim::pass());
            });
            let writer = |word| {
                move || {
                    write(0, word).unwrap();
                    assert_eq!(read(0), Ok(word));
                }
            };
            let other = child.run(writer(2));
            parent.run(writer(3)).join();
            other.join();
            reclaimer.unwrap().join();
            assert_eq!((read_in(&parent, 0), read_in(&child, 0)), (Ok(3), Ok(2)));
            scene.outcome()
        },
        &[MetOnItsWay, CameBack],
    );
}

#[test]
fn one_copy_ends_while_the_other_is_written() {
    explore(
        || {
            let scene = Scene::new();
            let (parent, space) = process(1);
            parent.run(|| write(0, 1).unwrap()).join();
            let child = child_of(&space);
            drop(space);
            (0..2).for_each(|_| _ = quire_memory::reclaim::pass());
            let writer = child.run(|| {
                assert_eq!(read(0), Ok(1));
                write(0, 2).unwrap();
                assert_eq!(read(0), Ok(2));
            });
            parent.end();
            drop(parent);
            writer.join();
            assert_eq!(read_in(&child, 0), Ok(2));
            scene.outcome()
        },
        &[MetOnItsWay, CameBack],
    );
}

/// Two threads of one process: what the one has written, the other one reads from then on, though it remembers the page that was
/// there before.
fn other_thread_reads_it(prepare: fn(&Arc<Process>, &AddressSpace) -> Option<Arc<Process>>) -> Outcome {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let _scene = Scene::new();
    WRITTEN.store(0, Ordering::Relaxed);
    let (process, space) = process(1);
    let _child = prepare(&process, &space);
    let reader = process.run(|| {
        (0..12).fold(Refused, |outcome, _| {
            let least = get(&WRITTEN);
            let found = read(0).unwrap();
            assert!(found >= least, "{least} was written, {found} is there");
            if least > 0 && outcome == Refused { Done } else { outcome }
        })
    });
    let writer = process.run(|| {
        for word in 100..103 {
            write(0, word).unwrap();
            WRITTEN.store(word, Ordering::Relaxed);
        }
    });
    writer.join();
    reader.join()
}

#[test]
fn another_thread_reads_what_was_written_to_a_copy() {
    explore(
        || {
            other_thread_reads_it(|process, space| {
                process.run(|| write(0, 1).unwrap()).join();
                Some(child_of(space))
            })
        },
        &[Done, Refused],
    );
}

#[test]
fn another_thread_reads_what_was_written_first() {
    explore(|| other_thread_reads_it(|_, _| None), &[Done, Refused]);
}

#[test]
fn what_one_copy_unmaps_is_gone_though_the_other_has_it() {
    static IS_UNMAPPED: AtomicBool = AtomicBool::new(false);
    explore(
        || {
            let _scene = Scene::new();
            IS_UNMAPPED.store(false, Ordering::Relaxed);
            let (parent, space) = process(1);
            parent.run(|| write(0, 1).unwrap()).join();
            let child = child_of(&space);
            let reader = parent.run(|| {
                for _ in 0..12 {
                    let is_late = IS_UNMAPPED.load(Ordering::Relaxed);
                    match read(0) {
                        Ok(word) => assert!(word == 1 && !is_late, "{word} is read of what is not mapped"),
                        Err(Fault) => return Refused,
                    }
                }
                Done
            });
            space.unmap(bytes(0..1)).unwrap();
            IS_UNMAPPED.store(true, Ordering::Relaxed);
            assert_eq!(read_in(&child, 0), Ok(1));
            reader.join()
        },
        &[Done, Refused],
    );
}

/// Whichever of two has brought a page of both back, and whichever goes: reclaim finds where the other maps it.
#[test]
fn a_page_that_a_copy_has_brought_back_goes_out_after_the_end_of_the_copy() {
    explore(
        || {
            let scene = Scene::new();
            let (parent, space) = process(1);
            parent.run(|| write(0, 1).unwrap()).join();
            page_out(&space, 0..1);
            let child = child_of(&space);
            let reader = child.run(|| assert_eq!(read(0), Ok(1)));
            assert_eq!(read_in(&parent, 0), Ok(1));
            reader.join();
            child.end();
            // It may be on its way to the disk.
            let goes_out = || {
                quire_memory::reclaim::pass();
                quire_machine::task::yield_now();
                space.usage().swapped == 1
            };
            assert!((0..100).any(|_| goes_out()), "the page is where reclaim does not find it");
            assert_eq!(read_in(&parent, 0), Ok(1));
            scene.outcome()
        },
        &[CameBack],
    );
}
