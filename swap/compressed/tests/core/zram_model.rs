//! A model beside a zram device: which page each slot has, as a plain map, and every operation at random, with failing
//! frames and a failing backing device.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use quire_swap::header::{PAGE_SIZE, Page};

use crate::contents::{random, same, text_of_length};
use crate::writeback::written;
use crate::zram::{new_zram, numbers, read};
use quire_testkit::{FakeDisk, Memory, new_swap};

const SLOTS: u64 = 64;
const PAGES: usize = 48;
const CASES: u32 = 200;
/// With `CASES`, at least 100,000 operations.
const OPERATIONS: usize = 500;

#[derive(Clone, Debug)]
enum Operation {
    Write(u64, usize),
    Read(u64),
    Discard(u64, u64),
    Idle,
    WriteBack(&'static str, u64),
    WriteBackSlots(u64),
    Recompress(String),
    /// The `n`-th next frame or transfer fails.
    FailFrame(u64),
    FailDisk(u64),
    Compact,
    Limit(u64),
    Seconds,
    Reset,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        20 => (0..SLOTS, 0..PAGES).prop_map(|(slot, page)| Operation::Write(slot, page)),
        12 => (0..SLOTS).prop_map(Operation::Read),
        6 => (0..SLOTS, 1..4_u64).prop_map(|(first, count)| Operation::Discard(first, count)),
        2 => Just(Operation::Idle),
        3 => (prop_oneof![Just("idle"), Just("huge"), Just("type=huge_idle"), Just("incompressible")], 1..6_u64)
            .prop_map(|(kind, batch)| Operation::WriteBack(kind, batch)),
        2 => (0..SLOTS).prop_map(Operation::WriteBackSlots),
        2 => (prop_oneof![Just(""), Just("type=idle "), Just("type=huge ")], 0..9_u64, 1..4_u64)
            .prop_map(|(kind, most, priority)| {
                Operation::Recompress(format!("{kind}max_pages={most} priority={priority} threshold={}", most * 60))
            }),
        2 => (1..12_u64).prop_map(Operation::FailFrame),
        2 => (1..6_u64).prop_map(Operation::FailDisk),
        2 => Just(Operation::Compact),
        1 => (0..40_u64).prop_map(Operation::Limit),
        1 => Just(Operation::Seconds),
        1 => Just(Operation::Reset),
    ]
}

/// Pages to write, of every kind.
fn pages() -> Vec<Page> {
    let page = |number: usize| match number % 6 {
        0 => random(number as u64),
        1 => same(number as u64 % 12),
        _ => text_of_length(number as u64, 37 + number * 80),
    };
    (0..PAGES).map(page).collect()
}

#[test]
fn a_device_does_what_a_map_does() {
    let pages = pages();
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let operations = (any::<bool>(), proptest::collection::vec(operation(), OPERATIONS));
    runner
        .run(&operations, |(compressed, operations)| {
            let memory = Memory::new(0);
            let backing = FakeDisk::new("/dev/vdb", 24);
            let (_, zram) = new_zram(new_swap());
            let start = || {
                zram.store("backing_dev", "/dev/vdb").unwrap();
                zram.store("compressed_writeback", if compressed { "1" } else { "0" }).unwrap();
                zram.store("recomp_algorithm", "algo=deflate priority=1").unwrap();
                zram.store("recomp_algorithm", "algo=deflate priority=3").unwrap();
                zram.store("algorithm_params", "priority=1 level=1").unwrap();
                zram.store("disksize", &(SLOTS * PAGE_SIZE as u64).to_string()).unwrap();
            };
            start();
            let mut disk = zram.open().unwrap();
            let mut model: HashMap<u64, usize> = HashMap::new();
            for operation in operations {
                match operation {
                    Operation::Write(slot, page) => {
                        if disk.write(slot, &pages[page]).is_ok() {
                            model.insert(slot, page);
                        }
                    }
                    Operation::Read(slot) => {
                        let wanted = model.get(&slot).map_or(same(0), |page| pages[*page]);
                        // A backing device that fails is the one excuse.
                        match read(&disk, slot) {
                            Ok(found) => prop_assert!(found == wanted, "slot {slot}"),
                            Err(_) => prop_assert!(read(&disk, slot) == Ok(wanted), "slot {slot} after an error"),
                        }
                    }
                    Operation::Discard(first, count) => {
                        disk.discard(first..first + count);
                        model.retain(|slot, _| !(first..first + count).contains(slot));
                    }
                    Operation::Idle => zram.store("idle", "5").unwrap(),
                    Operation::WriteBack(kind, batch) => {
                        zram.store("writeback_batch_size", &batch.to_string()).unwrap();
                        let _ = zram.store("writeback", kind);
                    }
                    Operation::WriteBackSlots(first) => {
                        let _ = zram.store("writeback", &format!("page_indexes={first}-{}", SLOTS - 1));
                    }
                    Operation::Recompress(what) => _ = zram.store("recompress", &what),
                    Operation::FailFrame(nth) => memory.pool.allocations.fail_nth(nth),
                    Operation::FailDisk(nth) => memory.io.fail_nth(nth),
                    Operation::Compact => zram.store("compact", "1").unwrap(),
                    Operation::Limit(frames) => zram.store("mem_limit", &(frames * 4096).to_string()).unwrap(),
                    Operation::Seconds => _ = memory.clock.fetch_add(3000, std::sync::atomic::Ordering::Relaxed),
                    Operation::Reset => {
                        drop(disk);
                        zram.store("reset", "1").unwrap();
                        prop_assert_eq!(memory.pool.used(), 0);
                        model.clear();
                        start();
                        disk = zram.open().unwrap();
                    }
                }
                let state = numbers(&zram, "mm_stat");
                prop_assert_eq!(state[0], model.len() as u64 * 4096);
                prop_assert_eq!(state[2], memory.pool.used() as u64 * 4096);
            }
            memory.io.fail_nth(0);
            for slot in 0..SLOTS {
                let wanted = model.get(&slot).map_or(same(0), |page| pages[*page]);
                prop_assert!(read(&disk, slot) == Ok(wanted), "slot {slot} at the end");
            }
            let (state, written) = (numbers(&zram, "mm_stat"), written(&zram));
            prop_assert_eq!(state[5], model.values().filter(|page| **page % 6 == 1).count() as u64);
            let is_huge = |(slot, page): &(&u64, &usize)| **page % 6 == 0 && !written.contains(slot);
            prop_assert_eq!(state[7], model.iter().filter(is_huge).count() as u64, "no algorithm helps");
            disk.discard(0..SLOTS);
            prop_assert_eq!(&numbers(&zram, "mm_stat")[..3], &[0, 0, 0]);
            prop_assert_eq!(numbers(&zram, "bd_stat")[0], 0);
            prop_assert_eq!(memory.pool.used(), 0);
            drop(backing);
            Ok(())
        })
        .unwrap();
}
