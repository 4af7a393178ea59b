//! A large folio comes back while it goes out, or parts of it, its process or its area go.

use quire_memory::cgroup;
use quire_memory::large_folio::{Count, FOR_SIZE, LARGE_PAGES, Setting, count};

use super::*;
use Outcome::{CameBack, Done};

const LARGE: u64 = LARGE_PAGES as u64;

/// A scene with a large folio in swap, each page with its number and 1.
struct LargeScene {
    process: Arc<Process>,
    space: Arc<AddressSpace>,
    came: u64,
    /// The last to go.
    scene: Scene,
}

impl LargeScene {
    fn new() -> Self {
        // The first cluster is for single slots.
        let scene = Scene::with_disk(Disk::new(1100, true));
        FOR_SIZE.set(Setting::Always);
        let (process, space) = process(LARGE);
        process.run(|| (0..LARGE).for_each(|page| write(page, page + 1).unwrap())).join();
        page_out(&space, 0..LARGE);
        while quire_memory::progress::writes_under_way() > 0 {
            quire_machine::task::yield_now();
        }
        Self { process, space, came: count(Count::Swpin), scene }
    }

    /// Whether it has come back whole.
    fn outcome(&self) -> Outcome {
        if count(Count::Swpin) > self.came { Done } else { self.scene.outcome() }
    }

    fn look(&self) {
        self.process.run(|| (0..LARGE).for_each(|page| assert_eq!(read(page), Ok(page + 1)))).join();
    }
}

/// Lets the disk go on, so that a read may be over or not.
fn wait_a_little() {
    (0..4).for_each(|_| quire_machine::task::yield_now());
}

#[test]
fn two_faults_bring_it_back_whole() {
    explore(
        || {
            let scene = LargeScene::new();
            let other = scene.process.run(|| assert_eq!(read(9), Ok(10)));
            scene.process.run(|| assert_eq!(read(2), Ok(3))).join();
            other.join();
            assert_eq!(count(Count::Swpin), scene.came + 1, "one fault may map a page before the other can");
            scene.look();
            scene.outcome()
        },
        &[Done],
    );
}

#[test]
fn it_has_what_was_written_wherever_it_is() {
    explore(
        || {
            let scene = LargeScene::new();
            let program = scene.process.run(|| {
                for (page, word) in [(3, 50), (12, 51), (3, 52)] {
                    write(page, word).unwrap();
                    assert_eq!(read(5), Ok(6));
                }
            });
            (0..4).for_each(|_| page_out(&scene.space, 0..LARGE));
            program.join();
            let expected = |page| match page {
                3 => 52,
                12 => 51,
                _ => page + 1,
            };
            scene.process.run(move || (0..LARGE).for_each(|page| assert_eq!(read(page), Ok(expected(page))))).join();
            scene.outcome()
        },
        &[Done],
    );
}

#[test]
fn it_comes_back_while_its_area_goes() {
    explore(
        || {
            let mut scene = LargeScene::new();
            let reader = scene.process.run(|| assert_eq!(read(7), Ok(8)));
            wait_a_little();
            assert!(scene.scene.computer.disable(), "there is room in memory");
            reader.join();
            assert_eq!(scene.space.usage().swapped, 0, "nothing is left in the area");
            scene.look();
            scene.outcome()
        },
        &[Done],
    );
}

#[test]
fn it_comes_back_while_a_child_is_made() {
    explore(
        || {
            let scene = LargeScene::new();
            let writer = scene.process.run(|| write(4, 99).unwrap());
            let child = Process::new(scene.space.fork().expect("there is memory"), cgroup::ROOT);
            writer.join();
            let seen_by_child = read_in(&child, 4);
            assert!(matches!(seen_by_child, Ok(5 | 99)), "{seen_by_child:?}");
            child.run(|| write(6, 98).unwrap()).join();
            let expected = |page| if page == 4 { 99 } else { page + 1 };
            scene.process.run(move || (0..LARGE).for_each(|page| assert_eq!(read(page), Ok(expected(page))))).join();
            scene.outcome()
        },
        &[Done],
    );
}

#[test]
fn parts_of_it_go_while_it_comes_back() {
    explore(
        || {
            let scene = LargeScene::new();
            let reader = scene.process.run(|| assert_eq!(read(7), Ok(8)));
            wait_a_little();
            scene.space.advise(bytes(2..4), Advice::DontNeed).unwrap();
            wait_a_little();
            scene.space.unmap(bytes(12..13)).unwrap();
            reader.join();
            let expected = |page| match page {
                2 | 3 => Ok(0),
                12 => Err(Fault),
                _ => Ok(page + 1),
            };
            scene.process.run(move || (0..LARGE).for_each(|page| assert_eq!(read(page), expected(page)))).join();
            scene.outcome()
        },
        &[Done, CameBack],
    );
}

#[test]
fn its_process_ends_while_it_comes_back() {
    explore(
        || {
            let LargeScene { process, space, came, scene } = LargeScene::new();
            drop(space);
            let reader = process.run(|| assert_eq!(read(7), Ok(8)));
            process.end();
            reader.join();
            if count(Count::Swpin) > came { Done } else { scene.outcome() }
        },
        &[Done],
    );
}
