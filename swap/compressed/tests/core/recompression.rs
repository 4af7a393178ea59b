//! zram's recompression: what gets shorter, what stays as it was, and what the attributes say.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use quire_compressed::zram::{Zram, ZramDisk, ZramError};
use quire_swap::header::Page;

use crate::contents::{random, same, text, text_of_length};
use crate::zram::{new_zram, numbers, read};
use quire_testkit::{Fake, FakeDisk, Memory, new_swap};

/// A page that LZ4 leaves as it is and deflate does not: random, but only letters.
fn letters(number: u64) -> Page {
    random(number).map(|byte| b'a' + byte % 16)
}

fn contents(page: u64) -> Page {
    match page {
        0..8 => text(page),
        8..12 => letters(page),
        12..14 => random(page),
        _ => same(page),
    }
}

const PAGES: u64 = 16;

fn filled() -> (Arc<Zram<Fake>>, Arc<ZramDisk<Fake>>) {
    let (_, zram) = new_zram(new_swap());
    zram.store("recomp_algorithm", "algo=deflate").unwrap();
    zram.store("disksize", "1M").unwrap();
    let disk = zram.open().unwrap();
    (0..PAGES).for_each(|page| disk.write(page, &contents(page)).unwrap());
    (zram, disk)
}

fn verify(disk: &ZramDisk<Fake>) {
    (0..PAGES).for_each(|page| assert_eq!(read(disk, page), Ok(contents(page)), "page {page}"));
}

/// The letters of each slot in `block_state`.
fn letters_of(zram: &Zram<Fake>) -> Vec<String> {
    let lines = zram.show("block_state").unwrap();
    lines.lines().map(|line| line.split_whitespace().last().unwrap().into()).collect()
}

fn slots_with(zram: &Zram<Fake>, letter: char) -> Vec<usize> {
    let with = |(slot, letters): (usize, String)| letters.contains(letter).then_some(slot);
    letters_of(zram).into_iter().enumerate().filter_map(with).collect()
}

#[test]
fn attributes_answer_as_on_linux() {
    let memory = Memory::new(0);
    let (_, zram) = new_zram(new_swap());
    let store = |name: &str, text: &str| zram.store(name, text);
    assert_eq!(zram.show("recomp_algorithm").unwrap(), "");
    for nonsense in ["", "deflate", "algo=", "algo=banana", "algo=lz4", "algo=deflate priority=0", "priority=2"] {
        assert_eq!(store("recomp_algorithm", nonsense), Err(ZramError::Invalid), "{nonsense}");
    }
    for nonsense in ["algo=deflate priority=4", "algo=deflate priority=x", "algo=deflate colour=red"] {
        assert_eq!(store("recomp_algorithm", nonsense), Err(ZramError::Invalid), "{nonsense}");
    }
    assert_eq!(store("recomp_algorithm", &format!("algo={}", "x".repeat(128))), Err(ZramError::TooLong));
    assert_eq!(store("algorithm_params", "algo=deflate level=9"), Err(ZramError::Invalid), "there is none yet");
    assert_eq!(store("recomp_algorithm", "algo=deflate priority=2\n"), Ok(()));
    assert_eq!(store("recomp_algorithm", "algo=deflate"), Ok(()));
    assert_eq!(zram.show("recomp_algorithm").unwrap(), "#1: [deflate]\n#2: [deflate]\n");
    for nonsense in ["level=3", "algo=lz4 level=1", "priority=3 level=1", "priority=1 level=10", "priority=1 dict=x"] {
        assert_eq!(store("algorithm_params", nonsense), Err(ZramError::Invalid), "{nonsense}");
    }
    assert_eq!(store("algorithm_params", "priority=2 level=9"), Ok(()));
    assert_eq!(store("algorithm_params", "algo=deflate level=-1"), Ok(()));
    assert_eq!(store("recompress", "type=huge"), Err(ZramError::Invalid), "without a size");
    // Memory for none of it, then for all.
    for nth in 1..=12 {
        memory.heap.fail_nth(nth);
        assert_eq!(store("disksize", "1M"), Err(ZramError::NoMemory), "allocation {nth}");
    }
    memory.heap.fail_nth(0);
    assert_eq!(store("disksize", "1M"), Ok(()));
    for name in ["recomp_algorithm", "algorithm_params"] {
        assert_eq!(store(name, "algo=deflate priority=1"), Err(ZramError::Busy), "{name} with a size");
    }
    for nonsense in
        ["idle", "type=", "threshold=", "type=banana", "threshold=3625", "threshold=-1", "max_pages=x", "algo=lz4"]
    {
        assert_eq!(store("recompress", nonsense), Err(ZramError::Invalid), "{nonsense}");
    }
    assert_eq!(store("recompress", "priority=3"), Err(ZramError::Invalid), "there is no such algorithm");
    assert_eq!(store("recompress", "type=huge_idle threshold=3624 max_pages=1 algo=deflate"), Ok(()));
    assert_eq!(store("reset", "1"), Ok(()));
    assert_eq!(zram.show("recomp_algorithm").unwrap(), "", "a reset forgets them");
    assert_eq!(store("disksize", "1M"), Ok(()));
    assert_eq!(store("recompress", "type=huge"), Err(ZramError::Invalid), "nothing to compress with");
}

#[test]
fn what_gets_shorter_is_replaced_and_what_does_not_is_left_alone_from_then_on() {
    let memory = Memory::new(0);
    let (zram, disk) = filled();
    let before = numbers(&zram, "mm_stat");
    assert_eq!(before[7], 6, "huge pages");
    zram.store("recompress", "type=huge").unwrap();
    let after = numbers(&zram, "mm_stat");
    assert!(after[1] + 4 * 1500 < before[1], "{before:?} {after:?}");
    assert_eq!((after[0], after[7], after[8]), (before[0], 2, 6));
    assert_eq!(after[2], memory.pool.used() as u64 * 4096);
    assert_eq!(slots_with(&zram, 'r'), [8, 9, 10, 11]);
    assert_eq!(slots_with(&zram, 'n'), [12, 13]);
    assert_eq!(slots_with(&zram, 'h'), [12, 13]);
    verify(&disk);
    // Everything else, too.
    zram.store("recompress", "").unwrap();
    assert_eq!(slots_with(&zram, 'r'), (0..12).collect::<Vec<_>>());
    assert!(numbers(&zram, "mm_stat")[1] < after[1]);
    verify(&disk);
    // What is overwritten is as new, and nothing is left behind.
    (0..PAGES).for_each(|page| disk.write(page, &contents(page)).unwrap());
    assert_eq!(numbers(&zram, "mm_stat")[1], before[1]);
    assert_eq!((slots_with(&zram, 'r'), slots_with(&zram, 'n')), (vec![], vec![]));
    disk.discard(0..PAGES);
    assert_eq!((memory.pool.used(), numbers(&zram, "mm_stat")[1]), (0, 0));
}

#[test]
fn only_what_was_asked_for_is_tried() {
    let memory = Memory::new(0);
    let (zram, disk) = filled();
    memory.clock.store(100_000, Ordering::Relaxed);
    zram.store("idle", "all").unwrap();
    (0..4).for_each(|page| _ = read(&disk, page).unwrap());
    zram.store("recompress", "type=idle threshold=3000").unwrap();
    assert_eq!(slots_with(&zram, 'r'), [8, 9, 10, 11], "only the long ones");
    let idle = slots_with(&zram, 'i');
    assert_eq!(idle, [4, 5, 6, 7], "what was tried is not idle any more, whatever came of it");
    zram.store("recompress", "type=idle max_pages=3").unwrap();
    assert_eq!(slots_with(&zram, 'r').len(), 7);
    zram.store("recompress", "type=idle threshold=100").unwrap();
    assert_eq!(slots_with(&zram, 'r').len(), 7, "what comes out is not below the threshold");
    assert_eq!(slots_with(&zram, 'i'), Vec::<usize>::new());
    verify(&disk);
    // The recompressed and the hopeless are not tried again.
    zram.store("idle", "all").unwrap();
    zram.store("recompress", "type=idle").unwrap();
    let left: Vec<_> = slots_with(&zram, 'i');
    assert!([8, 9, 10, 11, 12, 13].iter().all(|slot| left.contains(slot)), "{left:?}");
    assert_eq!(slots_with(&zram, 'r').len() + slots_with(&zram, 'n').len(), 14);
}

/// A device that compresses again by these parameters, one priority each.
fn device(parameters: &[&str]) -> (Arc<Zram<Fake>>, Arc<ZramDisk<Fake>>) {
    let (_, zram) = new_zram(new_swap());
    for (priority, level) in (1..).zip(parameters) {
        zram.store("recomp_algorithm", &format!("algo=deflate priority={priority}")).unwrap();
        zram.store("algorithm_params", &format!("priority={priority} {level}")).unwrap();
    }
    zram.store("disksize", "1M").unwrap();
    let disk = zram.open().unwrap();
    (zram, disk)
}

/// Bytes of objects.
fn bytes(zram: &Zram<Fake>) -> u64 {
    numbers(zram, "mm_stat")[1]
}

#[test]
fn an_object_is_replaced_by_one_that_takes_less_memory_and_is_below_the_threshold() {
    Memory::new(0);
    let (zram, disk) = device(&["level=6"]);
    let (mut replaced, mut left) = (0, 0);
    for length in (8..400).step_by(4) {
        disk.write(0, &text_of_length(1, length)).unwrap();
        let before = bytes(&zram);
        zram.store("recompress", "").unwrap();
        let after = bytes(&zram);
        // Sizes are multiples of 16 with a header of 8.
        let size = |bytes: u64| (bytes + 8).div_ceil(16);
        assert!(after == before || size(after) < size(before), "{before} bytes became {after}");
        *(if after < before { &mut replaced } else { &mut left }) += 1;
    }
    assert!(replaced > 0 && left > 0);
    disk.write(0, &letters(8)).unwrap();
    zram.store("recompress", "").unwrap();
    let shortest = bytes(&zram);
    for (threshold, expected) in [(shortest, 4096), (shortest + 1, shortest)] {
        disk.write(0, &letters(8)).unwrap();
        zram.store("recompress", &format!("threshold={threshold}")).unwrap();
        assert_eq!(bytes(&zram), expected, "threshold {threshold}");
    }
    // What is as long as the threshold is tried, what is shorter is not.
    for threshold in [shortest, shortest + 1] {
        zram.store("idle", "all").unwrap();
        zram.store("recompress", &format!("threshold={threshold}")).unwrap();
        assert_eq!(slots_with(&zram, 'i'), [0], "it has the highest priority already");
    }
}

#[test]
fn one_algorithm_after_another_is_tried_and_what_the_last_leaves_is_hopeless() {
    Memory::new(0);
    let (zram, disk) = device(&["level=1", "level=9"]);
    disk.write(0, &text(1)).unwrap();
    disk.write(1, &random(1)).unwrap();
    let before = bytes(&zram);
    zram.store("recompress", "priority=1").unwrap();
    let quick = bytes(&zram);
    assert_eq!((slots_with(&zram, 'r'), slots_with(&zram, 'n')), (vec![0], vec![]));
    zram.store("recompress", "priority=2").unwrap();
    assert!(bytes(&zram) < quick && quick < before);
    assert_eq!((slots_with(&zram, 'r'), slots_with(&zram, 'n')), (vec![0], vec![1]));
    assert_eq!((read(&disk, 0), read(&disk, 1)), (Ok(text(1)), Ok(random(1))));
    let best = bytes(&zram);
    zram.store("recompress", "priority=1").unwrap();
    assert_eq!(bytes(&zram), best, "there is no going back");
}

#[test]
fn without_memory_for_the_new_object_the_old_one_stays() {
    let memory = Memory::new(0);
    let (zram, disk) = filled();
    let before = letters_of(&zram);
    memory.pool.allocations.fail_nth(1);
    assert_eq!(zram.store("recompress", "type=huge"), Err(ZramError::NoMemory));
    memory.pool.allocations.fail_nth(0);
    assert!(letters_of(&zram) != before, "one failed, the others did not");
    assert_eq!(slots_with(&zram, 'r').len(), 3);
    verify(&disk);
    zram.store("recompress", "type=huge").unwrap();
    verify(&disk);
}

#[test]
fn what_no_algorithm_helps_can_be_written_back_and_so_can_what_was_compressed_again() {
    for compressed in [false, true] {
        Memory::new(0);
        FakeDisk::new("/dev/vdb", 100);
        let (_, zram) = new_zram(new_swap());
        zram.store("backing_dev", "/dev/vdb").unwrap();
        zram.store("recomp_algorithm", "algo=deflate").unwrap();
        zram.store("compressed_writeback", if compressed { "1" } else { "0" }).unwrap();
        zram.store("disksize", "1M").unwrap();
        let disk = zram.open().unwrap();
        (0..PAGES).for_each(|page| disk.write(page, &contents(page)).unwrap());
        zram.store("recompress", "max_pages=100").unwrap();
        zram.store("writeback", "incompressible").unwrap();
        assert_eq!(slots_with(&zram, 'w'), [12, 13]);
        zram.store("writeback", "page_indexes=0-255").unwrap();
        assert_eq!(slots_with(&zram, 'w'), (0..14).collect::<Vec<_>>());
        assert_eq!(slots_with(&zram, 'r').is_empty(), !compressed, "the disk has what memory had, or pages");
        verify(&disk);
    }
}
