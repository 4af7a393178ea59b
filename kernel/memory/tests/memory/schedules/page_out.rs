//! Faults while a page leaves memory.

use super::*;
use Outcome::{CameBack, MetOnItsWay};

/// The program writes and reads a page that goes out again and again.
fn write_while_it_goes_out(scene: &Scene) -> Outcome {
    let (process, space) = process(1);
    process.run(|| write(0, 1).unwrap()).join();
    page_out(&space, 0..1);
    let program = process.run(|| {
        for word in 2..7 {
            assert_eq!(read(0), Ok(word - 1));
            write(0, word).unwrap();
        }
    });
    (0..8).for_each(|_| page_out(&space, 0..1));
    program.join();
    assert_eq!(read_in(&process, 0), Ok(6));
    scene.outcome()
}

#[test]
fn a_page_has_what_was_written_wherever_it_is() {
    explore(|| write_while_it_goes_out(&Scene::new()), &[MetOnItsWay, CameBack]);
}

/// The disk looks whether a page changes while it is written.
#[test]
fn a_page_does_not_change_on_its_way_where_it_must_not() {
    explore(|| write_while_it_goes_out(&Scene::with_disk(Disk::with_stable_writes(64))), &[MetOnItsWay, CameBack]);
}

#[test]
fn two_faults_bring_in_one_page() {
    explore(
        || {
            let scene = Scene::new();
            let (process, space) = process(1);
            process.run(|| write(0, 7).unwrap()).join();
            page_out(&space, 0..1);
            let writer = |place: u64| {
                move || {
                    assert_eq!(read(0), Ok(7));
                    program::write(address(0) + place, &place.to_le_bytes()).unwrap();
                }
            };
            let other = process.run(writer(8));
            process.run(writer(16)).join();
            other.join();
            let both = process.run(|| {
                let mut bytes = [0; 24];
                program::read(address(0), &mut bytes).unwrap();
                bytes
            });
            assert_eq!(both.join(), [7_u64, 8, 16].map(u64::to_le_bytes).concat()[..]);
            scene.outcome()
        },
        &[MetOnItsWay, CameBack],
    );
}

#[test]
fn two_passes_of_reclaim_share_the_pages_out() {
    explore(
        || {
            let scene = Scene::new();
            let (process, _space) = process(3);
            process.run(|| (0..3).for_each(|page| write(page, page + 1).unwrap())).join();
            let other = quire_machine::task::spawn("reclaimer", || {
                (0..3).for_each(|_| _ = quire_memory::reclaim::pass());
            });
            let program = process.run(|| (0..3).for_each(|page| assert_eq!(read(page), Ok(page + 1))));
            (0..3).for_each(|_| _ = quire_memory::reclaim::pass());
            other.unwrap().join();
            program.join();
            process.run(|| (0..3).for_each(|page| assert_eq!(read(page), Ok(page + 1)))).join();
            scene.outcome()
        },
        &[MetOnItsWay, CameBack],
    );
}
