//! Faults and page-out while what is mapped changes.

use std::sync::atomic::AtomicBool;

use quire_machine::protection::Protection;
use quire_memory::remap::Move;

use super::*;
use Outcome::{Done, Refused};

/// What the program writes last, if it can.
const LAST: u64 = 12;

/// The program writes page 0 until it may not, with page-out at the same time, while `change` is made; the last word that it
/// could write. Once `change` has returned it can write none, unless `is_new`: there is another page then.
fn write_until_refused(process: &Arc<Process>, space: &Arc<AddressSpace>, is_new: bool, change: impl FnOnce()) -> u64 {
    static IS_CHANGED: AtomicBool = AtomicBool::new(false);
    IS_CHANGED.store(false, Ordering::Relaxed);
    process.run(|| write(0, 1).unwrap()).join();
    // The first write waits for the disk between its look and its lock.
    page_out(space, 0..1);
    let writer = process.run(move || {
        for word in 2..=LAST {
            let is_late = IS_CHANGED.load(Ordering::Relaxed) && !is_new;
            if write(0, word).is_err() {
                return word - 1;
            }
            assert!(!is_late, "{word} was written to what is not there any more");
        }
        LAST
    });
    let taken_from = Arc::clone(space);
    let reclaimer = quire_machine::task::spawn("reclaimer", move || {
        (0..4).for_each(|_| _ = taken_from.advise(bytes(0..1), Advice::PageOut));
    });
    change();
    IS_CHANGED.store(true, Ordering::Relaxed);
    reclaimer.unwrap().join();
    writer.join()
}

const fn outcome(last: u64) -> Outcome {
    if last < LAST { Refused } else { Done }
}

#[test]
fn what_is_unmapped_is_gone() {
    explore(
        || {
            let _scene = Scene::new();
            let (process, space) = process(1);
            let last = write_until_refused(&process, &space, false, || space.unmap(bytes(0..1)).unwrap());
            assert!(read_in(&process, 0).is_err());
            map(&space, 1);
            assert_eq!(read_in(&process, 0), Ok(0), "nothing is left of it");
            outcome(last)
        },
        &[Done, Refused],
    );
}

#[test]
fn what_may_only_be_read_keeps_what_was_written_last() {
    explore(
        || {
            let _scene = Scene::new();
            let (process, space) = process(1);
            let read_only = Protection { write: false, ..Protection::READ_WRITE };
            let last = write_until_refused(&process, &space, false, || space.protect(bytes(0..1), read_only).unwrap());
            assert_eq!(process.run(|| (write(0, 9), read(0))).join(), (Err(Fault), Ok(last)));
            outcome(last)
        },
        &[Done, Refused],
    );
}

#[test]
fn what_is_moved_keeps_what_was_written_last() {
    explore(
        || {
            let _scene = Scene::new();
            let (process, space) = process(1);
            let to = Move::To(address(9));
            let last = write_until_refused(&process, &space, false, || {
                assert_eq!(space.remap(bytes(0..1), PAGE, to), Ok(address(9)));
            });
            assert_eq!(process.run(|| (read(0), read(9))).join(), (Err(Fault), Ok(last)));
            outcome(last)
        },
        &[Done, Refused],
    );
}

/// A page that was never touched is written for the first time.
#[test]
fn what_is_written_first_while_it_moves_moves_too() {
    explore(
        || {
            let _scene = Scene::new();
            let (process, space) = process(4);
            process.run(|| write(0, 1).unwrap()).join();
            let writer = process.run(|| (1..4).take_while(|page| write(*page, page + 1).is_ok()).count() as u64);
            space.remap(bytes(0..4), 4 * PAGE, Move::To(address(9))).unwrap();
            let written = writer.join();
            let found = process.run(|| [9, 10, 11, 12].map(|page| read(page).unwrap())).join();
            assert_eq!(found, std::array::from_fn(|page| if page as u64 <= written { page as u64 + 1 } else { 0 }));
            if written < 3 { Refused } else { Done }
        },
        &[Done, Refused],
    );
}

#[test]
fn what_is_replaced_is_new() {
    explore(
        || {
            let _scene = Scene::new();
            let (process, space) = process(1);
            let last = write_until_refused(&process, &space, true, || {
                space.unmap(bytes(0..1)).unwrap();
                map(&space, 1);
            });
            // The last write came to the old page, or to the new one.
            let found = read_in(&process, 0).unwrap();
            assert!(found == 0 || found == LAST, "{found} of the old page, the last was {last}");
            if found == 0 { Done } else { Refused }
        },
        &[Done, Refused],
    );
}

#[test]
fn what_is_locked_in_memory_stays() {
    explore(
        || {
            let _scene = Scene::new();
            let (process, space) = process(1);
            process.run(|| write(0, 1).unwrap()).join();
            let reclaimer = quire_machine::task::spawn("reclaimer", || {
                (0..3).for_each(|_| _ = quire_memory::reclaim::pass());
            });
            space.lock(bytes(0..1), true, false).unwrap();
            let before = served::major_faults();
            reclaimer.unwrap().join();
            (0..3).for_each(|_| _ = quire_memory::reclaim::pass());
            assert_eq!((space.usage().anonymous, space.usage().swapped), (1, 0));
            assert_eq!(read_in(&process, 0), Ok(1));
            assert_eq!(served::major_faults(), before);
            Done
        },
        &[Done],
    );
}
