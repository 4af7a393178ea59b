//! An area is disabled while pages come from it, go to it, and change their address space.

use quire_memory::charge::Charge;

use super::*;
use Outcome::{CameBack, MetOnItsWay, WentOut};

/// Pages 0 to 2 of a process have come to swap, and the area goes while `meanwhile` runs in a thread of it.
fn disable_while(
    scene: &mut Scene,
    meanwhile: impl FnOnce(&Arc<Process>, &Arc<AddressSpace>) + Send + 'static,
) -> (Arc<Process>, Arc<AddressSpace>) {
    let (process, space) = process(3);
    process.run(|| (0..3).for_each(|page| write(page, page + 1).unwrap())).join();
    page_out(&space, 0..3);
    let own = (Arc::clone(&process), Arc::clone(&space));
    let other = process.run(move || meanwhile(&own.0, &own.1));
    assert!(scene.computer.disable(), "there is room in memory");
    other.join();
    assert_eq!(space.usage().swapped, 0, "nothing is left in the area");
    (process, space)
}

#[test]
fn faults_bring_the_pages_in_meanwhile() {
    explore(
        || {
            let mut scene = Scene::new();
            let (process, _space) = disable_while(&mut scene, |_, _| {
                (0..3).for_each(|page| {
                    assert_eq!(read(page), Ok(page + 1));
                    write(page, page + 4).unwrap();
                });
            });
            process.run(|| (0..3).for_each(|page| assert_eq!(read(page), Ok(page + 4)))).join();
            scene.outcome()
        },
        &[MetOnItsWay, CameBack],
    );
}

#[test]
fn page_out_goes_on_meanwhile() {
    explore(
        || {
            let mut scene = Scene::new();
            let (process, _space) = disable_while(&mut scene, |_, space| page_out(space, 0..3));
            process.run(|| (0..3).for_each(|page| assert_eq!(read(page), Ok(page + 1)))).join();
            scene.outcome()
        },
        &[WentOut],
    );
}

#[test]
fn a_child_is_not_missed() {
    explore(
        || {
            let mut scene = Scene::new();
            let children: Arc<Mutex<Vec<Arc<Process>>>> = Arc::default();
            let made = Arc::clone(&children);
            let (parent, _space) = disable_while(&mut scene, move |_, space| {
                let child = Process::new(space.fork().expect("there is memory"), quire_memory::cgroup::ROOT);
                made.lock().unwrap().push(child);
            });
            let child = children.lock().unwrap().pop().unwrap();
            assert_eq!(child.memory().usage().swapped, 0);
            for process in [parent, child] {
                process.run(|| (0..3).for_each(|page| assert_eq!(read(page), Ok(page + 1)))).join();
            }
            scene.outcome()
        },
        &[WentOut],
    );
}

#[test]
fn pages_are_unmapped_and_moved_meanwhile() {
    explore(
        || {
            let mut scene = Scene::new();
            let (process, _space) = disable_while(&mut scene, |_, space| {
                space.unmap(bytes(1..2)).unwrap();
                let to = quire_memory::remap::Move::To(address(20));
                space.remap(bytes(2..3), PAGE, to).unwrap();
            });
            let found = process.run(|| [0, 1, 2, 20].map(read)).join();
            assert_eq!(found, [Ok(1), Err(Fault), Err(Fault), Ok(3)]);
            scene.outcome()
        },
        &[WentOut],
    );
}

#[test]
fn the_process_ends_meanwhile() {
    explore(
        || {
            let mut scene = Scene::new();
            let (process, space) = process(3);
            process.run(|| (0..3).for_each(|page| write(page, page + 1).unwrap())).join();
            page_out(&space, 0..3);
            drop(space);
            let ends = quire_machine::task::spawn("end", move || process.end()).unwrap();
            assert!(scene.computer.disable());
            ends.join();
            scene.outcome()
        },
        &[WentOut],
    );
}

#[test]
fn pages_of_objects_are_not_missed() {
    explore(
        || {
            let mut scene = Scene::new();
            let process = Process::empty();
            let object = Object::shared(2 * PAGE, 0, false, Charge::NONE).unwrap();
            map_object(&process.memory(), &object, true, 0);
            process.run(|| (0..2).for_each(|page| write(page, page + 1).unwrap())).join();
            (0..4).for_each(|_| _ = quire_memory::reclaim::pass());
            let reader = process.run(|| assert_eq!(read(0), Ok(1)));
            assert!(scene.computer.disable());
            reader.join();
            let mut bytes = [0; 8];
            object.read_at(PAGE, &mut bytes).unwrap();
            assert_eq!(u64::from_le_bytes(bytes), 2);
            scene.outcome()
        },
        &[CameBack, WentOut],
    );
}
