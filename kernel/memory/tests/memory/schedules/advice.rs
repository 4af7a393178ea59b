//! Faults and page-out while pages are given away.

use super::*;
use Outcome::{Done, Refused};

/// Page 0 is given away while the program writes it once and reclaim looks for pages; what is there in the end.
fn give_away(advice: Advice, goes_out: bool) -> u64 {
    let _scene = Scene::new();
    let (process, space) = process(1);
    process.run(|| write(0, 1).unwrap()).join();
    if goes_out {
        page_out(&space, 0..1);
    }
    let writer = process.run(|| {
        let before = read(0).unwrap();
        assert!(before == 0 || before == 1, "{before}");
        write(0, 2).unwrap();
        before
    });
    let reclaimer = quire_machine::task::spawn("reclaimer", || (0..2).for_each(|_| _ = quire_memory::reclaim::pass()));
    space.advise(bytes(0..1), advice).unwrap();
    reclaimer.unwrap().join();
    let before = writer.join();
    (0..3).for_each(|_| _ = quire_memory::reclaim::pass());
    let after = read_in(&process, 0).unwrap();
    // What is written during `MADV_FREE` may be given away as well.
    let may_be_zero = before == 1 || advice == Advice::Free;
    assert!(after == 2 || after == 0 && may_be_zero, "{before} and then {after}");
    after
}

fn outcome(found: u64) -> Outcome {
    if found == 2 { Done } else { Refused }
}

#[test]
fn what_is_not_needed_is_zero_unless_it_was_written_again() {
    explore(|| outcome(give_away(Advice::DontNeed, false)), &[Done, Refused]);
    explore(|| outcome(give_away(Advice::DontNeed, true)), &[Done, Refused]);
}

#[test]
fn what_is_free_is_zero_unless_it_was_written_again() {
    explore(|| outcome(give_away(Advice::Free, false)), &[Done, Refused]);
    explore(|| outcome(give_away(Advice::Free, true)), &[Done, Refused]);
}

/// What is written after the call has returned stays.
#[test]
fn what_is_written_after_it_was_given_away_stays() {
    explore(
        || {
            let scene = Scene::new();
            let (process, space) = process(1);
            let own = Arc::clone(&space);
            let reclaimer = quire_machine::task::spawn("reclaimer", || {
                (0..4).for_each(|_| _ = quire_memory::reclaim::pass());
            });
            let program = process.run(move || {
                write(0, 1).unwrap();
                own.advise(bytes(0..1), Advice::Free).unwrap();
                write(0, 2).unwrap();
                assert_eq!(read(0), Ok(2));
            });
            reclaimer.unwrap().join();
            program.join();
            (0..3).for_each(|_| _ = quire_memory::reclaim::pass());
            assert_eq!(read_in(&process, 0), Ok(2));
            drop(space);
            scene.outcome()
        },
        &[Outcome::MetOnItsWay, Outcome::CameBack],
    );
}

#[test]
fn what_is_used_after_it_was_cold_has_its_second_chance() {
    explore(
        || {
            let scene = Scene::new();
            let (process, space) = process(1);
            let program = process.run(move || {
                write(0, 1).unwrap();
                space.advise(bytes(0..1), Advice::Cold).unwrap();
                assert_eq!(read(0), Ok(1));
                quire_memory::reclaim::pass();
                assert_eq!(space.usage().swapped, 0, "it was used since");
            });
            program.join();
            scene.outcome()
        },
        &[Outcome::Stayed],
    );
}

/// Reclaim, which looks at a space's places in their order, misses a PTE that goes back to where it has looked: the page stays.
#[test]
fn what_was_given_away_moves_while_it_goes() {
    explore(
        || {
            let scene = Scene::new();
            let (process, space) = process(1);
            process.run(|| write(0, 1).unwrap()).join();
            let place = |page| quire_memory::remap::Move::To(address(page));
            space.remap(bytes(0..1), PAGE, place(9)).unwrap();
            space.advise(bytes(9..10), Advice::Free).unwrap();
            let reclaimer = quire_machine::task::spawn("reclaimer", || {
                (0..2).for_each(|_| _ = quire_memory::reclaim::pass());
            });
            space.remap(bytes(9..10), PAGE, place(0)).unwrap();
            reclaimer.unwrap().join();
            assert!(read_in(&process, 0).unwrap() <= 1);
            scene.outcome();
            Refused
        },
        &[Refused],
    );
}
