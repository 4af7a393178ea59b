//! Races of the cleaner with those whose pages it moves, explored schedule by schedule.

use quire_swap::{DiskProperties, Entry, Folio, FolioFlag, Locked, POOL_BATCHES, Plug, SlotReference, Swap, Written};
use shuttle::thread;

use crate::typed::{counts, enable, swap_with_types};
use quire_testkit::device::Device;
use quire_testkit::interrupt;
use quire_testkit::kernel::Kernel;
use quire_testkit::{Fake, FakeDisk, FakeFolio, Memory, new_folio};

const SCHEDULES: usize = 400;
const FRAMES: usize = 64;
/// Slots of the log below are 32.
const PAGES: u64 = 24;

/// A page that leaves memory, and what its PTE holds then.
fn page_out(swap: &'static Swap<Fake>, word: u64) -> u64 {
    let locked = Locked::lock(new_folio(0, word).unwrap());
    let pte = swap.hold_in_swap(&locked).unwrap().into_pte();
    let folio = FakeFolio::clone(&locked);
    let mut plug = Plug::new();
    assert!(matches!(swap.write(&mut plug, locked), Written::Queued));
    plug.submit();
    let locked = Locked::lock(folio);
    locked.wait_for_writeback();
    assert!(!locked.state().is(FolioFlag::Dirty), "it was written");
    // Another task may look at it just now: then it stays in memory a little longer.
    let _ = swap.evict(locked, 2, 0);
    pte
}

fn check(swap: &'static Swap<Fake>, pte: u64, word: u64) {
    let fault = swap.fault_in(Entry::from_pte(pte).unwrap(), 0, None).expect("the slot is counted");
    assert_eq!(fault.folio.word(0), word);
    let _ = swap.evict(fault.folio, 2, 0);
}

fn give_up(swap: &'static Swap<Fake>, pte: u64) {
    drop(SlotReference::from_pte(swap, pte));
}

#[test]
fn pages_are_cleaned_while_they_are_read_and_given_up() {
    for (backend, options) in [("log", "segment=32"), ("crypt", "over=log,segment=32")] {
        let memory = Memory::new(FRAMES);
        let swap = swap_with_types();
        let schedule = move || {
            memory.enter();
            let properties = DiskProperties { discard: true, ..DiskProperties::default() };
            let disk = FakeDisk::with("/dev/vda", 80, properties, &[]);
            let area = enable(swap, &disk, backend, options).unwrap();
            // Every other page of what fills the log lives.
            let mut pages: Vec<_> = (0..PAGES).map(|word| (page_out(swap, 100 + word), 100 + word)).collect();
            for page in pages.iter_mut().step_by(2) {
                give_up(swap, page.0);
                page.1 += 1000;
                page.0 = page_out(swap, page.1);
            }
            let before = counts(swap, area);
            memory.explore(true);
            let device = Device::start(memory, &disk);
            let (read, rest) = pages.split_at(8);
            let (given_up, changing) = rest.split_at(4);
            let (read, given_up, mut changing) = (read.to_vec(), given_up.to_vec(), changing.to_vec());
            let reading = read.clone();
            let writer = thread::spawn(move || {
                memory.enter();
                for word in 500..550 {
                    let page = (page_out(swap, word), word);
                    // One in two lives shortly, so that segments are neither full nor empty.
                    let index = if word % 2 == 0 { 0 } else { word as usize / 2 % changing.len() };
                    give_up(swap, std::mem::replace(&mut changing[index], page).0);
                }
                changing
            });
            let tasks = [
                thread::spawn(move || {
                    memory.enter();
                    for (pte, word) in reading {
                        check(swap, pte, word);
                    }
                }),
                thread::spawn(move || {
                    memory.enter();
                    for (pte, _) in given_up {
                        give_up(swap, pte);
                    }
                }),
            ];
            for task in tasks {
                task.join().unwrap();
            }
            let changed = writer.join().unwrap();
            device.stop();
            memory.explore(false);
            memory.run_all();
            let moved = counts(swap, area)["log_pages_moved"] - before["log_pages_moved"];
            assert!(moved > 0, "nothing was cleaned");
            end(swap, memory, area, read.iter().chain(&changed));
        };
        shuttle::check_random(schedule, SCHEDULES / 2);
        shuttle::check_pct(schedule, SCHEDULES / 2, 3);
    }
}

/// All pages are what they were when they went out; when they are given up nothing is left, and the area goes.
fn end<'a>(swap: &'static Swap<Fake>, memory: &'static Memory, area: u8, pages: impl Iterator<Item = &'a (u64, u64)>) {
    for &(pte, word) in pages {
        check(swap, pte, word);
        give_up(swap, pte);
    }
    assert_eq!(counts(swap, area)["log_pages_live"], 0);
    assert_eq!((memory.free_frames(), swap.idle_batches()), (FRAMES, POOL_BATCHES));
    swap.swapoff(area, &mut Kernel::new(swap, memory, 0, 0)).unwrap();
    memory.forget();
}

/// Tasks that write, and the pages that each of them has.
const WRITERS: u64 = 3;
const PAGES_OF_WRITER: usize = 10;

/// A task whose pages change, and are looked at, at random.
fn write_and_look(swap: &'static Swap<Fake>, writer: u64, mut pages: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    let mut random = writer + 1;
    for step in 0..24 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let index = (random >> 33) as usize % pages.len();
        if step % 4 == 3 {
            check(swap, pages[index].0, pages[index].1);
            continue;
        }
        give_up(swap, pages[index].0);
        let word = writer * 10_000 + 1000 + step;
        pages[index] = (page_out(swap, word), word);
    }
    pages
}

#[test]
fn writers_clean_in_turn_while_others_write_look_and_give_up_what_is_moved() {
    let memory = Memory::new(FRAMES);
    let swap = swap_with_types();
    let schedule = move || {
        memory.enter();
        let properties = DiskProperties { discard: true, ..DiskProperties::default() };
        let disk = FakeDisk::with("/dev/vda", 80, properties, &[]);
        let area = enable(swap, &disk, "log", "segment=32").unwrap();
        let mut pages: Vec<_> =
            (0..WRITERS * PAGES_OF_WRITER as u64).map(|word| (page_out(swap, word + 100), word + 100)).collect();
        // Gaps in all segments: whoever writes has to clean soon.
        for page in pages.iter_mut().step_by(2) {
            give_up(swap, page.0);
            page.1 += 1000;
            page.0 = page_out(swap, page.1);
        }
        memory.explore(true);
        let device = Device::start(memory, &disk);
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let pages = pages.iter().skip(writer as usize).step_by(WRITERS as usize).copied().collect();
                thread::spawn(move || {
                    memory.enter();
                    write_and_look(swap, writer, pages)
                })
            })
            .collect();
        let pages: Vec<_> = writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect();
        device.stop();
        memory.explore(false);
        memory.run_all();
        assert!(counts(swap, area)["log_pages_moved"] > 0, "nothing was cleaned");
        assert_eq!(counts(swap, area)["log_pages_live"], pages.len() as u64);
        end(swap, memory, area, pages.iter());
    };
    shuttle::check_random(schedule, SCHEDULES / 2);
    shuttle::check_pct(schedule, SCHEDULES / 2, 3);
    interrupt::check(schedule, SCHEDULES / 2);
}
