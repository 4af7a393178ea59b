//! Faults and page-out while an object gets shorter, or loses pages.

use quire_memory::charge::Charge;

use super::*;
use std::sync::atomic::AtomicBool;

use Outcome::{Done, Refused, Stayed};

/// A process that maps two pages of an object, shared from page 0 on and private from page 4 on.
fn process_with_object() -> (Arc<Process>, Arc<Object>) {
    let process = Process::empty();
    let object = Object::shared(2 * PAGE, 0, false, Charge::NONE).unwrap();
    map_object(&process.memory(), &object, true, 0);
    map_object(&process.memory(), &object, false, 4);
    (process, object)
}

/// What the program writes last, if it can.
const LAST: u64 = 12;

/// `change` while page 1 of the object is written, read by a private copy, and goes out. The last word that could be written.
fn change_while_used(process: &Arc<Process>, change: impl FnOnce()) -> u64 {
    process.run(|| (0..2).for_each(|page| write(page, 1).unwrap())).join();
    let program = process.run(|| {
        for word in 2..=LAST {
            if write(1, word).is_err() || write(5, word).is_err() {
                return word - 1;
            }
        }
        LAST
    });
    let reclaimer = quire_machine::task::spawn("reclaimer", || (0..3).for_each(|_| _ = quire_memory::reclaim::pass()));
    change();
    reclaimer.unwrap().join();
    program.join()
}

#[test]
fn what_is_cut_off_is_gone_for_all() {
    explore(
        || {
            let _scene = Scene::new();
            let (process, object) = process_with_object();
            let last = change_while_used(&process, || object.set_length(PAGE).unwrap());
            assert_eq!(process.run(|| [0, 1, 5].map(read)).join(), [Ok(1), Err(Fault), Err(Fault)]);
            object.set_length(2 * PAGE).unwrap();
            assert_eq!(process.run(|| [0, 1, 5].map(read)).join(), [Ok(1), Ok(0), Ok(0)]);
            if last < LAST { Refused } else { Done }
        },
        &[Done, Refused],
    );
}

#[test]
fn what_is_punched_out_is_zero_unless_it_was_written_again() {
    explore(
        || {
            let _scene = Scene::new();
            let (process, object) = process_with_object();
            assert_eq!(change_while_used(&process, || object.punch_hole(PAGE..2 * PAGE).unwrap()), LAST);
            let [first, shared, private] = process.run(|| [0, 1, 5].map(read)).join();
            assert_eq!((first, private), (Ok(1), Ok(LAST)), "a private copy stays");
            assert!(shared == Ok(0) || shared == Ok(LAST), "{shared:?}");
            if shared == Ok(0) { Done } else { Stayed }
        },
        &[Done, Stayed],
    );
}

#[test]
fn writes_to_the_object_and_to_the_mapping_meet() {
    explore(
        || {
            let scene = Scene::with_disk(Disk::with_stable_writes(64));
            let (process, object) = process_with_object();
            process.run(|| write(0, 1).unwrap()).join();
            let program = process.run(|| (2..5).for_each(|word| write(0, word).unwrap()));
            let reclaimer = quire_machine::task::spawn("reclaimer", || {
                (0..3).for_each(|_| _ = quire_memory::reclaim::pass());
            });
            object.write_at(8, &7_u64.to_le_bytes()).unwrap();
            program.join();
            reclaimer.unwrap().join();
            let mut words = [0; 16];
            object.read_at(0, &mut words).unwrap();
            assert_eq!(words, [4_u64, 7].map(u64::to_le_bytes).concat()[..]);
            scene.outcome()
        },
        &[Outcome::WentOut],
    );
}

/// What was punched out is mapped nowhere any more: both mappings have the new page.
#[test]
fn two_mappings_have_one_page_after_it_was_punched_out() {
    static IS_PUNCHED: AtomicBool = AtomicBool::new(false);
    explore(
        || {
            let _scene = Scene::new();
            IS_PUNCHED.store(false, Ordering::Relaxed);
            let (process, object) = process_with_object();
            map_object(&process.memory(), &object, true, 8);
            let program = process.run(|| {
                (1..2 * LAST).fold(Stayed, |outcome, word| {
                    let was_punched = IS_PUNCHED.load(Ordering::Relaxed);
                    write(1, word).unwrap();
                    let found = read(9).unwrap();
                    assert!(found == word || found == 0 && !was_punched, "{word} was written, {found} is there");
                    if was_punched { Done } else { outcome }
                })
            });
            // One that is found on its way to the disk stays in use for a while after it was punched out.
            (0..3).for_each(|_| _ = quire_memory::reclaim::pass());
            object.punch_hole(PAGE..2 * PAGE).unwrap();
            IS_PUNCHED.store(true, Ordering::Relaxed);
            program.join()
        },
        &[Done],
    );
}

/// A child that is made meanwhile has no private copy either of what is cut off.
#[test]
fn what_is_cut_off_is_gone_for_a_child_too() {
    explore(
        || {
            let _scene = Scene::new();
            let (process, object) = process_with_object();
            process.run(|| (4..6).for_each(|page| write(page, page).unwrap())).join();
            let own = Arc::clone(&object);
            let cutter = quire_machine::task::spawn("cutter", move || own.set_length(PAGE).unwrap()).unwrap();
            let child = Process::new(process.memory().fork().expect("there is memory"), quire_memory::cgroup::ROOT);
            let is_early = object.length() == 2 * PAGE;
            cutter.join();
            for process in [&process, &child] {
                assert_eq!(process.run(|| [4, 5].map(read)).join(), [Ok(4), Err(Fault)]);
            }
            if is_early { Done } else { Refused }
        },
        &[Done, Refused],
    );
}
