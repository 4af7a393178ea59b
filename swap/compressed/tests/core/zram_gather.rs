//! Reads of several pages that are on a zram device's backing device: their requests, what fails, and what others do meanwhile.

use std::sync::Arc;

use quire_compressed::zram::{Zram, ZramDisk};
use quire_swap::header::Page;
use quire_swap::{DecodedPte, Direction, DriverId, Neighbourhood, Readahead, Swap};
use shuttle::scheduler::RandomScheduler;
use shuttle::{Config, Runner};

use crate::contents::{random, same, text, text_of_length};
use crate::writeback::written;
use crate::zram::{new_zram, numbers, read};
use crate::zram_batches::Slow;
use quire_testkit::kernel::{Kernel, Touch};
use quire_testkit::{Fake, FakeDisk, Memory, enable, new_swap};

/// Pages that are read together when the fourth is wanted.
const PAGES: usize = 8;

struct Bench {
    memory: &'static Memory,
    swap: &'static Swap<Fake>,
    zram: Arc<Zram<Fake>>,
    disk: Arc<ZramDisk<Fake>>,
    backing: Arc<FakeDisk>,
    kernel: Kernel,
}

/// A task whose pages are out on a device with a backing device, which is told what to write back.
fn bench(memory: &'static Memory, compressed: bool, contents: impl Fn(u64) -> Page, written_back: &str) -> Bench {
    let swap = new_swap();
    let backing = FakeDisk::new("/dev/vdb", 100);
    let (_, zram) = new_zram(swap);
    zram.store("backing_dev", "/dev/vdb").unwrap();
    zram.store("compressed_writeback", if compressed { "1" } else { "0" }).unwrap();
    zram.store("disksize", "1M").unwrap();
    let disk = zram.open().unwrap();
    swap.register(DriverId("fake"), Arc::new(Slow(Arc::clone(&disk)))).unwrap();
    assert_eq!(enable(swap, &FakeDisk::new("/dev/slow", 256), None), Ok(0));
    let mut kernel = Kernel::new(swap, memory, 1, PAGES);
    for page in 0..PAGES {
        assert!(kernel.populate_page(0, page, &contents(page as u64)));
        assert!(kernel.reclaim(0, page));
    }
    kernel.plug.submit();
    kernel.evict_ended();
    zram.store("writeback", written_back).unwrap();
    backing.requests.lock().unwrap().clear();
    Bench { memory, swap, zram, disk, backing, kernel }
}

impl Bench {
    fn reads(&self) -> Vec<(u64, u64)> {
        let requests = self.backing.requests.lock().unwrap();
        requests.iter().filter(|request| request.0 == Direction::Read).map(|request| (request.1, request.2)).collect()
    }

    fn end(mut self) {
        (0..PAGES).for_each(|page| self.kernel.unmap(0, page));
        self.kernel.settle();
        assert_eq!(numbers(&self.zram, "bd_stat")[0], 0);
        self.swap.swapoff(0, &mut self.kernel).unwrap();
        assert_eq!(self.memory.pool.used(), 0);
        self.memory.forget();
    }
}

#[test]
fn a_batch_is_one_request_for_each_run_of_blocks() {
    let memory = Memory::new(64);
    let mut bench = bench(memory, false, random, "page_indexes=1-8");
    assert_eq!(bench.kernel.read_page(0, 3).unwrap(), random(3));
    assert_eq!(bench.reads(), [(1, 8)]);
    assert_eq!(numbers(&bench.zram, "bd_stat")[1], 8);
    for page in 0..PAGES {
        assert_eq!(bench.kernel.read_page(0, page).unwrap(), random(page as u64));
    }
    assert_eq!(bench.reads().len(), 1, "all of them were read together");
    bench.end();
}

#[test]
fn a_block_is_read_once_for_all_of_its_pages_and_those_in_memory_are_not_read() {
    let memory = Memory::new(64);
    let contents = |page| if page == 2 { same(7) } else { text_of_length(page, 1400) };
    // The third repeats a word, and the sixth is not named: both stay in memory.
    let mut bench = bench(memory, true, contents, "page_indexes=1-5 page_indexes=7-8");
    assert_eq!(written(&bench.zram), [1, 2, 4, 5, 7, 8]);
    let blocks = numbers(&bench.zram, "bd_stat")[0];
    assert!((2..=3).contains(&blocks), "{blocks} blocks");
    bench.kernel.read_page(0, 3).unwrap();
    assert_eq!(bench.reads(), [(1, blocks)]);
    for page in 0..PAGES {
        assert_eq!(bench.kernel.read_page(0, page).unwrap(), contents(page as u64));
    }
    assert_eq!(numbers(&bench.zram, "bd_stat")[1], blocks);
    bench.end();
}

#[test]
fn a_block_that_cannot_be_read_costs_its_own_pages() {
    for compressed in [false, true] {
        let memory = Memory::new(64);
        let contents = |page| text_of_length(page, 2000);
        let mut bench = bench(memory, compressed, contents, "page_indexes=1-8");
        bench.backing.broken.lock().unwrap().insert(2);
        // Whatever block they are in, a page that is read alone says it.
        let is_lost = |page: &usize| read(&bench.disk, *page as u64 + 1).is_err();
        let lost: Vec<usize> = (0..PAGES).filter(is_lost).collect();
        assert!(lost.len() == 1 || compressed && lost.len() == 2, "{lost:?}");
        let failed: Vec<usize> =
            (0..PAGES).filter(|&page| bench.kernel.read_page(0, page) == Err(Touch::BusError)).collect();
        assert_eq!(failed, lost);
        for page in 0..PAGES {
            let slot = page + 1;
            let named = memory.logged(&format!("cannot read page {slot}: backing device: device error"));
            assert!(!named || failed.contains(&page), "page {page} is named and was read");
        }
        bench.backing.broken.lock().unwrap().clear();
        for page in (0..PAGES).filter(|page| !failed.contains(page)) {
            assert_eq!(bench.kernel.read_page(0, page).unwrap(), contents(page as u64));
        }
        bench.end();
    }
}

#[test]
fn a_request_that_fails_once_is_tried_again_page_by_page() {
    for nth in 1..=PAGES as u64 {
        let memory = Memory::new(64);
        let mut bench = bench(memory, false, random, "page_indexes=1-8");
        memory.ended_reads.lock().unwrap().clear();
        memory.io.fail_nth(nth);
        assert_eq!(bench.kernel.read_page(0, 3).unwrap(), random(3));
        memory.io.fail_nth(0);
        let ended = std::mem::take(&mut *memory.ended_reads.lock().unwrap());
        assert!(ended.len() == PAGES && ended.iter().all(|(_, result)| result.is_ok()), "{ended:?}");
        bench.end();
    }
}

/// Two tasks read batches, one with the device's gathering and one without, while slots are written and freed and their blocks
/// used again by others.
#[test]
fn slots_are_written_and_freed_while_their_blocks_are_read() {
    let memory = Memory::new(64);
    let schedule = move || {
        memory.enter();
        let bench = bench(memory, true, text, "page_indexes=1-8");
        memory.explore(true);
        let (swap, zram, disk) = (bench.swap, Arc::clone(&bench.zram), Arc::clone(&bench.disk));
        let words = bench.kernel.tables[0].clone();
        let reader = |first: usize| {
            let words = words.clone();
            move || {
                memory.enter();
                let entry_of = |page: u64| match DecodedPte::decode(words[page as usize]) {
                    DecodedPte::Entry(entry) => Some(entry),
                    _ => None,
                };
                let readahead = Readahead::new();
                let neighbourhood = Neighbourhood {
                    readahead: &readahead,
                    page: first as u64,
                    pages: (first as u64, first as u64 + 4),
                    entry: &entry_of,
                };
                let fault = swap.fault_in(entry_of(first as u64).unwrap(), 0, Some(&neighbourhood)).unwrap();
                fault.folio.with_page(0, |page| {
                    let number = first as u64;
                    assert!(*page == text(number) || *page == random(number) || *page == same(0), "page {number}");
                });
            }
        };
        let (one, other) = (shuttle::thread::spawn(reader(0)), shuttle::thread::spawn(reader(4)));
        let writer = shuttle::thread::spawn(move || {
            memory.enter();
            disk.write(1, &random(0)).unwrap();
            disk.discard(5..6);
            disk.discard(2..3);
            // Their blocks become free, and have other pages soon.
            disk.write(200, &random(200)).unwrap();
            zram.store("writeback", "page_index=200").unwrap();
        });
        for task in [one, other, writer] {
            task.join().unwrap();
        }
        memory.explore(false);
        bench.disk.discard(9..256);
        bench.end();
    };
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    Runner::new(RandomScheduler::new(300), config).run(schedule);
}
