//! Races in a zram device, explored schedule by schedule.

use std::sync::Arc;

use quire_compressed::zram::{Zram, ZramDisk, ZramError};
use quire_swap::Swap;
use quire_swap::header::Page;
use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::thread::{self, JoinHandle};
use shuttle::{Config, Runner};

use crate::contents::{random, same, text};
use crate::zram::{new_zram, numbers, read};
use quire_testkit::interrupt::Interrupting;
use quire_testkit::{Fake, FakeDisk, Memory};

const SCHEDULES: usize = 1000;
/// Tasks have pages on their stacks.
const STACK: usize = 1 << 18;

#[derive(Clone)]
struct World {
    memory: &'static Memory,
    zram: Arc<Zram<Fake>>,
    disk: Arc<ZramDisk<Fake>>,
}

impl World {
    fn spawn(&self, task: impl FnOnce(&Self) + Send + 'static) -> JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || {
            world.memory.enter();
            task(&world);
        })
    }
}

/// Runs `body` under many schedules, on a device of so many slots with a backing device. Whoever visits all slots gives
/// way at each: few slots let the others meet it where it matters.
fn explore(slots: u64, body: impl Fn(&World) + Send + Sync + Copy + 'static) {
    explore_on(slots, 64, body);
}

/// The same where the backing device has so many pages, of which the first is no block.
fn explore_on(slots: u64, backing: u64, body: impl Fn(&World) + Send + Sync + Copy + 'static) {
    let memory = Memory::new(0);
    let schedule = move || {
        memory.enter();
        FakeDisk::new("/dev/vdb", backing);
        // Not one that stays: there are thousands of schedules.
        let swap = Box::new(Swap::new());
        let (_, zram) = new_zram(&swap);
        zram.store("backing_dev", "/dev/vdb").unwrap();
        zram.store("recomp_algorithm", "algo=deflate").unwrap();
        zram.store("disksize", &(slots * 4096).to_string()).unwrap();
        let disk = zram.open().unwrap();
        let world = World { memory, zram, disk };
        memory.explore(true);
        body(&world);
        memory.explore(false);
        world.disk.discard(0..slots);
        assert_eq!(numbers(&world.zram, "mm_stat")[..3], [0, 0, 0]);
        assert_eq!((memory.pool.used(), numbers(&world.zram, "bd_stat")[0]), (0, 0));
        memory.forget();
    };
    let mut config = Config::new();
    config.stack_size = STACK;
    Runner::new(RandomScheduler::new(SCHEDULES / 2), config.clone()).run(schedule);
    Runner::new(PctScheduler::new(3, SCHEDULES / 2), config.clone()).run(schedule);
    Runner::new(Interrupting::new(SCHEDULES / 2), config).run(schedule);
}

fn join(tasks: impl IntoIterator<Item = JoinHandle<()>>) {
    for task in tasks {
        task.join().unwrap();
    }
}

#[test]
fn a_reader_sees_one_page_or_the_other() {
    explore(16, |world| {
        world.disk.write(5, &text(1)).unwrap();
        let writer = world.spawn(|world| world.disk.write(5, &random(2)).unwrap());
        let reader = world.spawn(|world| {
            let found = read(&world.disk, 5).unwrap();
            assert!([text(1), random(2), same(0)].contains(&found));
        });
        let freer = world.spawn(|world| {
            world.disk.discard(5..6);
            let found = read(&world.disk, 5).unwrap();
            assert!(found == same(0) || found == random(2));
        });
        join([writer, reader, freer]);
    });
}

#[test]
fn compaction_moves_what_others_read_and_free() {
    explore(16, |world| {
        // One class, two chains or more.
        for slot in 0..16 {
            world.disk.write(slot, &text(1)).unwrap();
        }
        for slot in (0..16).filter(|slot| slot % 3 != 0) {
            world.disk.discard(slot..slot + 1);
        }
        let compact = world.spawn(|world| world.zram.store("compact", "1").unwrap());
        let reader = world.spawn(|world| {
            // Long enough to meet compaction, which looks at every class first.
            for slot in [15, 12].repeat(8) {
                assert!(read(&world.disk, slot) == Ok(text(1)), "slot {slot}");
            }
        });
        let writer = world.spawn(|world| {
            world.disk.discard(3..4);
            world.disk.write(4, &text(40)).unwrap();
        });
        join([compact, reader, writer]);
        for slot in [0, 6, 9, 12, 15] {
            assert!(read(&world.disk, slot) == Ok(text(1)), "slot {slot}");
        }
        assert!(read(&world.disk, 4) == Ok(text(40)));
    });
}

/// What a slot that is being written back may hold, and what is done to it meanwhile.
fn written_back_while(meanwhile: fn(&World), allowed: fn(&Page) -> bool) {
    explore(3, move |world| {
        world.disk.write(1, &text(1)).unwrap();
        world.disk.write(2, &text(2)).unwrap();
        world.zram.store("idle", "all").unwrap();
        let write_back = world.spawn(|world| world.zram.store("writeback", "idle").unwrap());
        let other = world.spawn(meanwhile);
        join([write_back, other]);
        assert!(allowed(&read(&world.disk, 1).unwrap()));
        assert!(read(&world.disk, 2) == Ok(text(2)));
    });
}

#[test]
fn a_slot_is_written_while_it_is_written_back() {
    written_back_while(|world| world.disk.write(1, &text(9)).unwrap(), |page| *page == text(9));
}

#[test]
fn a_slot_is_freed_while_it_is_written_back() {
    written_back_while(|world| world.disk.discard(1..2), |page| *page == same(0));
}

#[test]
fn a_slot_is_freed_and_used_again_while_it_is_written_back() {
    written_back_while(
        |world| {
            world.disk.discard(1..2);
            world.disk.write(1, &text(7)).unwrap();
        },
        |page| *page == text(7),
    );
}

#[test]
fn a_slot_is_read_while_it_is_written_back() {
    explore(3, |world| {
        world.disk.write(1, &text(1)).unwrap();
        world.zram.store("idle", "all").unwrap();
        let write_back = world.spawn(|world| world.zram.store("writeback", "idle").unwrap());
        let reader = world.spawn(|world| assert!(read(&world.disk, 1) == Ok(text(1))));
        join([write_back, reader]);
        let [used, reads, _] = numbers(&world.zram, "bd_stat")[..] else { panic!("three numbers") };
        assert!(used == 0 || reads == 1, "what was read from memory is not idle, so it stays there");
    });
}

#[test]
fn a_slot_is_written_while_it_is_read_from_the_backing_device() {
    explore(3, |world| {
        world.disk.write(1, &text(1)).unwrap();
        world.zram.store("idle", "all").unwrap();
        world.zram.store("writeback", "idle").unwrap();
        let writer = world.spawn(|world| world.disk.write(1, &text(9)).unwrap());
        let reader = world.spawn(|world| {
            let found = read(&world.disk, 1);
            assert!(found == Ok(text(1)) || found == Ok(text(9)));
        });
        join([writer, reader]);
    });
}

#[test]
fn the_only_block_becomes_another_slots_while_it_is_read() {
    explore_on(3, 2, |world| {
        world.disk.write(1, &random(1)).unwrap();
        world.zram.store("writeback", "page_index=1").unwrap();
        let reader = world.spawn(|world| {
            let found = read(&world.disk, 1);
            assert!(found == Ok(random(1)) || found == Ok(same(0)));
        });
        let other = world.spawn(|world| {
            world.disk.discard(1..2);
            world.disk.write(2, &random(2)).unwrap();
            world.zram.store("writeback", "page_index=2").unwrap();
        });
        join([reader, other]);
        assert!(read(&world.disk, 2) == Ok(random(2)));
    });
}

#[test]
fn a_slot_is_written_while_two_tasks_want_it_written_back() {
    explore(3, |world| {
        world.disk.write(1, &text(1)).unwrap();
        world.disk.write(2, &text(2)).unwrap();
        let write_back = || {
            world.spawn(|world| {
                let written = world.zram.store("writeback", "page_indexes=1-2");
                assert!([Ok(()), Err(ZramError::Again)].contains(&written));
            })
        };
        let writer = world.spawn(|world| world.disk.write(1, &text(9)).unwrap());
        join([write_back(), write_back(), writer]);
        assert!(read(&world.disk, 1) == Ok(text(9)));
        assert!(read(&world.disk, 2) == Ok(text(2)));
        assert_eq!(numbers(&world.zram, "mm_stat")[0], 2 * 4096);
    });
}

#[test]
fn a_slot_is_read_written_and_freed_while_it_is_compressed_again() {
    explore(4, |world| {
        (0..4).for_each(|slot| world.disk.write(slot, &text(slot)).unwrap());
        let recompress = world.spawn(|world| world.zram.store("recompress", "max_pages=4").unwrap());
        let reader = world.spawn(|world| assert!(read(&world.disk, 0) == Ok(text(0))));
        let writer = world.spawn(|world| world.disk.write(1, &text(9)).unwrap());
        let freer = world.spawn(|world| {
            world.disk.discard(2..3);
            world.disk.write(2, &text(7)).unwrap();
        });
        join([recompress, reader, writer, freer]);
        for (slot, page) in (0..).zip([text(0), text(9), text(7), text(3)]) {
            assert!(read(&world.disk, slot) == Ok(page), "slot {slot}");
        }
        assert_eq!(numbers(&world.zram, "mm_stat")[0], 4 * 4096);
    });
}
