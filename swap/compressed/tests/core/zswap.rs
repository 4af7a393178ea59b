//! zswap before a disk: what it takes, where pages are, and that they come back.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use quire_compressed::Access;
use quire_compressed::zswap::{ATTRIBUTES, Directory, Whereabouts, Zswap, ZswapError};
use quire_swap::header::Page;
use quire_swap::{
    BlockDriver, DecodedPte, Direction, Disk, DiskProperties, Entry, Folio, FolioFlag, Locked, POOL_BATCHES, Plug,
    ReadBatch, SlotRange, Swap, SwapOffError, SwapOnOptions, SwapOps, Users, WriteBatch, Written,
};

use crate::contents::{random, same, text};
use crate::zram::{sized, swapon};
use quire_testkit::kernel::{Kernel, Touch};
use quire_testkit::{Fake, FakeDisk, Memory, enable, memory, new_folio, new_swap};

/// Swap with an enabled zswap, on a machine that says it has so many frames.
pub fn start(memory: u64) -> (&'static Swap<Fake>, &'static Arc<Zswap<Fake>>) {
    let swap = new_swap();
    let zswap = Box::leak(Box::new(Zswap::start(swap, memory).unwrap()));
    zswap.set("enabled", "Y").unwrap();
    (swap, zswap)
}

/// No PTE holds these slots.
pub struct Nobody;

impl Users for Nobody {
    fn swap_in(&mut self, _: &SlotRange) -> Result<(), SwapOffError> {
        Ok(())
    }

    fn map_refused(&mut self, _: &SlotRange) {}
}

/// The end of a schedule: nothing is left of what was taken, and the areas can go.
pub fn end_without_a_loss(memory: &'static Memory, swap: &Swap<Fake>, zswap: &Zswap<Fake>, frames: usize) {
    memory.run_all();
    assert_eq!(swap.areas().map(|area| area.used()).sum::<u64>(), 0, "a slot is lost");
    assert_eq!((zswap.stored_pages(), memory.pool.used()), (0, 0), "an object is lost");
    assert_eq!(memory.free_frames(), frames, "a frame is lost");
    assert_eq!(swap.idle_batches(), POOL_BATCHES, "a batch is lost");
    assert!(zswap.adds_up());
    swap.areas().for_each(|area| swap.swapoff(area.index(), &mut Nobody).unwrap());
    memory.forget();
}

/// Sends the pages of task 0 out, all of them.
pub fn send_out(kernel: &mut Kernel, pages: usize) {
    for page in 0..pages {
        assert!(kernel.reclaim(0, page), "page {page} stays");
    }
    kernel.write_out();
}

pub fn count(zswap: &Zswap<Fake>, name: &str) -> u64 {
    zswap.counter(name).unwrap()
}

fn before_disk(pages: usize, contents: impl Fn(u64) -> Page) -> (Kernel, &'static Zswap<Fake>, Arc<FakeDisk>) {
    before_disk_of(|| FakeDisk::new("/dev/vda", 200), pages, contents)
}

/// Pages of a task that are out, to an area on this disk that has zswap before it.
pub fn before_disk_of(
    disk: impl FnOnce() -> Arc<FakeDisk>,
    pages: usize,
    contents: impl Fn(u64) -> Page,
) -> (Kernel, &'static Zswap<Fake>, Arc<FakeDisk>) {
    let memory = Memory::new(64);
    let (swap, zswap) = start(1000);
    let disk = disk();
    enable(swap, &disk, None).unwrap();
    let mut kernel = Kernel::new(swap, memory, 1, pages);
    for page in 0..pages {
        kernel.populate_page(0, page, &contents(page as u64));
    }
    send_out(&mut kernel, pages);
    (kernel, zswap, disk)
}

/// Whether a page that is on its way to the area with the highest priority may be written to meanwhile.
fn may_write_on_the_way(swap: &Swap<Fake>) -> bool {
    let folio = new_folio(0, 1).unwrap();
    let locked = Locked::lock(folio.clone());
    let reference = swap.hold_in_swap(&locked).unwrap();
    assert!(folio.state().may_be_written());
    let mut plug = Plug::new();
    assert!(matches!(swap.write(&mut plug, locked), Written::Queued));
    let may_write = folio.state().may_be_written();
    plug.submit();
    memory().run_all();
    assert!(folio.state().may_be_written());
    drop(reference);
    may_write
}

#[test]
fn a_page_does_not_change_while_it_is_compressed() {
    Memory::new(64);
    let swap = new_swap();
    enable(swap, &FakeDisk::new("/dev/vda", 200), None).unwrap();
    assert!(may_write_on_the_way(swap), "a disk has what was there when the write ended");

    let swap = new_swap();
    swapon(swap, &sized(swap, "1M").1);
    assert!(!may_write_on_the_way(swap), "zram");

    let (swap, zswap) = start(1000);
    enable(swap, &FakeDisk::new("/dev/vdb", 200), None).unwrap();
    assert!(!may_write_on_the_way(swap), "zswap before a disk");
    zswap.swapon_ghost(1024, SwapOnOptions { priority: Some(5), ..SwapOnOptions::default() }).unwrap();
    assert!(!may_write_on_the_way(swap), "a ghost area");
}

pub fn writes(disk: &FakeDisk) -> u64 {
    let requests = disk.requests.lock().unwrap();
    requests.iter().filter(|(direction, ..)| *direction == Direction::Write).map(|(_, _, pages)| pages).sum()
}

#[test]
fn what_compresses_stays_in_memory_and_the_rest_goes_to_the_disk() {
    let contents = |number: u64| match number % 4 {
        0 => random(number),
        1 => same(number),
        2 => same(u64::MAX - number),
        _ => text(number),
    };
    let (mut kernel, zswap, disk) = before_disk(16, contents);
    assert_eq!(writes(&disk), 4, "the random pages");
    assert_eq!(count(zswap, "zswpout"), 12);
    assert_eq!(count(zswap, "stored_pages"), 12);
    assert_eq!(count(zswap, "same_filled_pages"), 4, "those whose word leaves room for a tag");
    assert_eq!(count(zswap, "reject_compress_poor"), 4);
    assert!(count(zswap, "pool_total_size") > 0 && zswap.adds_up());
    for page in 0..16 {
        assert_eq!(kernel.read_page(0, page).unwrap(), contents(page as u64), "page {page}");
    }
    assert_eq!(count(zswap, "zswpin"), 12);
    assert_eq!(count(zswap, "stored_pages"), 12, "a load keeps the stored copy");
    // A clean page that is in memory goes without being written again.
    send_out(&mut kernel, 16);
    assert_eq!((count(zswap, "zswpout"), writes(&disk)), (12, 4));
    for page in 0..16 {
        kernel.write_page(0, page, &same(1)).unwrap();
    }
    assert_eq!(count(zswap, "stored_pages"), 0, "the slots are free");
    assert_eq!((count(zswap, "dropped_pages"), count(zswap, "pool_total_size")), (12, 0));
    assert!(zswap.adds_up());
    assert_eq!(kernel.memory.pool.used(), 0);
}

#[test]
fn a_page_that_is_written_again_loses_its_old_copy_even_if_the_new_one_is_refused() {
    let (mut kernel, zswap, disk) = before_disk(1, text);
    let area = kernel.swap.area(0).unwrap();
    // Mapped for reading, then changed through the mapping: the slot stays the same.
    let written: [fn() -> Page; 5] = [|| random(5), || text(9), || same(0), || text(9), || random(7)];
    for contents in written {
        let contents = contents();
        let (folio, _) = {
            kernel.read_page(0, 0).unwrap();
            let DecodedPte::Present(word) = kernel.pte(0, 0) else { panic!("it was read") };
            kernel.memory.folio_of(word >> 12)
        };
        folio.with_page_mut(0, |page| *page = contents);
        folio.state().set(FolioFlag::Dirty);
        drop(folio);
        send_out(&mut kernel, 1);
        assert_eq!(area.used(), 1);
        assert_eq!(count(zswap, "stored_pages"), u64::from(contents == text(9)));
        assert_eq!(kernel.read_page(0, 0).unwrap(), contents);
    }
    assert_eq!(writes(&disk), 2);
    assert!(zswap.adds_up());
}

#[test]
fn the_coldest_pages_are_written_back_and_come_back_from_the_disk() {
    for compressed in [false, true] {
        let (mut kernel, zswap, disk) = before_disk(8, text);
        zswap.set("compressed_writeback", if compressed { "1" } else { "0" }).unwrap();
        assert_eq!(zswap.shrink(), 0, "nothing is wanted");
        zswap.memory_is_low();
        assert_eq!(zswap.shrink(), 0, "the shrinker is not enabled");
        zswap.set("shrinker_enabled", "Y").unwrap();
        zswap.memory_is_low();
        assert_eq!(zswap.shrink(), 8);
        // Compressed, several go to a block.
        assert_eq!(writes(&disk), if compressed { 6 } else { 8 });
        assert_eq!(disk.requests.lock().unwrap().len(), 1, "neighbours go in one request");
        assert_eq!((count(zswap, "zswpwb"), count(zswap, "stored_pages")), (8, 0));
        assert_eq!(count(zswap, "written_back_compressed"), if compressed { 8 } else { 0 });
        assert_eq!(count(zswap, "written_back_decompressed"), if compressed { 0 } else { 8 });
        assert_eq!(kernel.memory.pool.used(), 0);
        let free = kernel.memory.free_frames();
        for page in 0..8 {
            assert_eq!(kernel.read_page(0, page).unwrap(), text(page as u64));
        }
        assert_eq!(kernel.memory.free_frames(), free - 8);
        let read = ["read_back_compressed", "read_back_neighbours"].map(|name| count(zswap, name));
        assert_eq!((read[0] + read[1], read[1] > 0), if compressed { (8, true) } else { (0, false) });
        assert!(zswap.adds_up());
    }
}

#[test]
fn a_failed_writeback_leaves_the_page_in_memory() {
    let (mut kernel, zswap, disk) = before_disk(8, text);
    zswap.set("shrinker_enabled", "Y").unwrap();
    disk.broken.lock().unwrap().extend(0..200);
    zswap.memory_is_low();
    assert_eq!(zswap.shrink(), 0);
    assert_eq!((count(zswap, "stored_pages"), count(zswap, "zswpwb")), (8, 0));
    for page in 0..8 {
        assert_eq!(kernel.read_page(0, page).unwrap(), text(page as u64));
    }
    // Now they are in memory, so there is nothing cold.
    disk.broken.lock().unwrap().clear();
    zswap.memory_is_low();
    assert_eq!(zswap.shrink(), 0);
    assert!(zswap.adds_up());
}

#[test]
fn a_full_pool_refuses_until_it_is_down_at_the_threshold() {
    let memory = Memory::new(200);
    let (swap, zswap) = start(100);
    let disk = FakeDisk::new("/dev/vda", 200);
    enable(swap, &disk, None).unwrap();
    swap.readahead_policy().set_page_cluster(0);
    let mut kernel = Kernel::new(swap, memory, 1, 100);
    for page in 0..100 {
        kernel.populate_page(0, page, &text(page as u64));
    }
    send_out(&mut kernel, 100);
    // 20 of 100 frames.
    let stored = count(zswap, "stored_pages");
    assert!((20..40).contains(&stored), "{stored}");
    assert_eq!(writes(&disk), 100 - stored);
    assert_eq!(count(zswap, "pool_limit_hit"), 1);
    assert_eq!(count(zswap, "reject_reclaim_fail"), 100 - stored);
    assert_eq!(memory.pool.shrinker_wakes.load(Ordering::Relaxed), 100 - stored, "to make room");
    // A load takes the copy over now: the page in memory is the only one, and dirty.
    let first = (0..100).find(|page| {
        kernel.read_page(0, *page).unwrap();
        count(zswap, "zswpin") == 1
    });
    assert_eq!(count(zswap, "stored_pages"), stored - 1);
    kernel.settle();
    assert_eq!(kernel.read_page(0, first.unwrap()).unwrap(), text(first.unwrap() as u64));
    let was_over = count(zswap, "pool_total_size") > 18 * 4096;
    assert_eq!(zswap.shrink() > 0, was_over);
    assert!(count(zswap, "pool_total_size") <= 18 * 4096, "90 % of 20 frames");
    for page in 0..100 {
        assert_eq!(kernel.read_page(0, page).unwrap(), text(page as u64));
    }
    assert!(zswap.adds_up());
}

#[test]
fn a_pool_that_was_full_takes_nothing_until_it_is_down_at_the_threshold() {
    let memory = Memory::new(200);
    let (swap, zswap) = start(100);
    zswap.set("accept_threshold_percent", "50").unwrap();
    enable(swap, &FakeDisk::new("/dev/vda", 200), None).unwrap();
    let mut kernel = Kernel::new(swap, memory, 1, 100);
    for page in 0..100 {
        kernel.populate_page(0, page, &text(page as u64));
    }
    send_out(&mut kernel, 100);
    let frames = || count(zswap, "pool_total_size") / 4096;
    assert_eq!(count(zswap, "pool_limit_hit"), 1, "it is full");
    let taken_at = (0..100).find_map(|page| {
        // One object less, and another page is to go there.
        kernel.unmap(0, page);
        let (before, stored) = (frames(), count(zswap, "zswpout"));
        kernel.populate_page(0, page, &text(100 + page as u64));
        kernel.reclaim(0, page);
        kernel.write_out();
        (count(zswap, "zswpout") > stored).then_some(before)
    });
    assert!(taken_at.is_some_and(|frames| (5..=10).contains(&frames)), "half of 20 frames: {taken_at:?}");
}

#[test]
fn what_a_load_took_over_is_in_memory_alone_until_it_is_written() {
    let memory = Memory::new(200);
    let (swap, zswap) = start(100);
    enable(swap, &FakeDisk::new("/dev/vda", 200), None).unwrap();
    swap.readahead_policy().set_page_cluster(0);
    let mut kernel = Kernel::new(swap, memory, 2, 100);
    for page in 0..100 {
        kernel.populate_page(0, page, &text(page as u64));
        kernel.share((0, page), (1, page));
    }
    send_out(&mut kernel, 100);
    let entry = |kernel: &Kernel, page: usize| Entry::from_pte(kernel.tables[1][page]).unwrap();
    let place = |kernel: &Kernel, page: usize| zswap.whereabouts(entry(kernel, page));
    let page = (0..100).find(|page| place(&kernel, *page) == Whereabouts::Pool).unwrap();
    assert_eq!(kernel.read_page(0, page).unwrap(), text(page as u64));
    assert_eq!(place(&kernel, page), Whereabouts::Nowhere);
    assert!(swap.lookup(entry(&kernel, page)).unwrap().state().is(FolioFlag::Dirty));
    kernel.unmap(0, page);
    kernel.settle();
    assert_eq!(kernel.read_page(1, page).unwrap(), text(page as u64));
    assert!(zswap.adds_up());
}

#[test]
fn what_cannot_go_to_the_disk_keeps_no_other_from_going() {
    let memory = Memory::new(300);
    let (swap, zswap) = start(1000);
    // The first area is without zswap.
    let synchronous = DiskProperties { synchronous: true, ..DiskProperties::default() };
    enable(swap, &FakeDisk::with("/dev/ram", 200, synchronous, &[]), None).unwrap();
    enable(swap, &FakeDisk::new("/dev/vdb", 600), Some(5)).unwrap();
    swap.readahead_policy().set_page_cluster(0);
    zswap.set("shrinker_enabled", "Y").unwrap();
    let mut kernel = Kernel::new(swap, memory, 1, 400);
    let send = |kernel: &mut Kernel, pages: std::ops::Range<usize>| {
        for page in pages {
            kernel.populate_page(0, page, &text(page as u64));
            assert!(kernel.reclaim(0, page));
        }
        kernel.write_out();
    };
    let shrink = || {
        (0..12)
            .map(|_| {
                zswap.memory_is_low();
                zswap.shrink()
            })
            .sum::<u64>()
    };
    send(&mut kernel, 0..100);
    // One of the oldest is damaged, and one is in memory.
    let frame = memory.pool.frames.lock().unwrap().iter().flatten().next().unwrap().clone();
    frame.lock().unwrap()[100..200].fill(0x5a);
    assert_eq!(kernel.read_page(0, 99).unwrap(), text(99));
    assert_eq!(shrink(), 98);
    for pages in [100..200, 200..300] {
        send(&mut kernel, pages.clone());
        assert_eq!(shrink(), 100, "{pages:?}");
    }
    assert_eq!(count(zswap, "stored_pages"), 2);
    let lost = (0..300).filter(|page| kernel.read_page(0, *page).is_err()).count();
    assert_eq!(lost, 1);
}

#[test]
fn only_what_is_slower_than_memory_and_has_its_pages_as_they_are_gets_zswap() {
    Memory::new(0);
    let (swap, _) = start(1000);
    let synchronous = DiskProperties { synchronous: true, ..DiskProperties::default() };
    for (disk, has_zswap) in [
        (FakeDisk::new("/dev/vda", 200), true),
        (FakeDisk::with("/dev/ram", 200, synchronous, &[]), false),
        (FakeDisk::with("/mnt/other", 200, DiskProperties::default(), &[]), false),
    ] {
        if !has_zswap && !disk.properties().synchronous {
            swap.register(disk.driver(), Arc::new(Elsewhere)).unwrap();
        }
        let index = enable(swap, &disk, None).unwrap();
        assert_eq!(swap.area(index).unwrap().has_frontswap(), has_zswap, "{}", disk.name());
    }
}

/// A driver, and its operations, whose pages are not the disk's.
struct Elsewhere;

impl BlockDriver<Fake> for Elsewhere {
    fn swap_ops(&self, _disk: &Arc<dyn Disk<Fake>>) -> Option<Arc<dyn SwapOps<Fake>>> {
        Some(Arc::new(Self))
    }
}

impl SwapOps<Fake> for Elsewhere {
    fn submit_read(&self, batch: ReadBatch<Fake>) {
        drop(batch);
    }

    fn submit_write(&self, batch: WriteBatch<Fake>) {
        drop(batch);
    }
}

#[test]
fn a_corrupt_entry_costs_one_page() {
    let (mut kernel, zswap, _disk) = before_disk(8, text);
    let frame = kernel.memory.pool.frames.lock().unwrap().iter().flatten().next().unwrap().clone();
    frame.lock().unwrap()[100..200].fill(0x5a);
    let lost = (0..8).filter(|page| match kernel.read_page(0, *page) {
        Ok(contents) => {
            assert_eq!(contents, text(*page as u64));
            false
        }
        Err(error) => {
            assert_eq!(error, Touch::BusError);
            true
        }
    });
    assert_eq!(lost.count(), 1);
    assert!(count(zswap, "decompress_fail") > 0);
}

#[test]
fn swapoff_brings_every_page_back() {
    let contents = |number: u64| if number.is_multiple_of(3) { random(number) } else { text(number) };
    let (mut kernel, zswap, disk) = before_disk(16, contents);
    zswap.set("shrinker_enabled", "Y").unwrap();
    zswap.set("compressed_writeback", "Y").unwrap();
    kernel.read_page(0, 1).unwrap();
    let swap = kernel.swap;
    swap.swapoff(0, &mut kernel).unwrap();
    assert_eq!((count(zswap, "stored_pages"), count(zswap, "pool_total_size")), (0, 0));
    for page in 0..16 {
        assert_eq!(kernel.read_page(0, page).unwrap(), contents(page as u64));
    }
    assert!(zswap.adds_up());
    drop(disk);
}

#[test]
fn attributes_answer_as_on_linux() {
    Memory::new(0);
    let (_, zswap) = start(1000);
    for (name, directory, access) in ATTRIBUTES {
        let shown = zswap.show(name).unwrap();
        assert!(shown.ends_with('\n'), "{name}");
        assert_eq!(directory == Directory::Parameters, access == Access::Both, "{name}");
        let unchanged = zswap.set(name, &shown);
        assert_eq!(unchanged, if access == Access::Both { Ok(()) } else { Err(ZswapError::ReadOnly) }, "{name}");
        assert_eq!(zswap.show(name).unwrap(), shown);
    }
    let show = |name: &str| zswap.show(name).unwrap();
    assert_eq!([show("enabled"), show("compressor"), show("shrinker_enabled")], ["Y\n", "lz4\n", "N\n"]);
    assert_eq!([show("max_pool_percent"), show("accept_threshold_percent")], ["20\n", "90\n"]);
    assert_eq!(show("max_compressed_percent"), "73\n");
    for (name, text) in [("enabled", "off\n"), ("max_pool_percent", "50\n"), ("shrinker_enabled", "t")] {
        assert_eq!(zswap.set(name, text), Ok(()));
    }
    assert_eq!([show("enabled"), show("max_pool_percent"), show("shrinker_enabled")], ["N\n", "50\n", "Y\n"]);
    for (name, text) in [
        ("enabled", "banana"),
        ("enabled", ""),
        ("max_pool_percent", "101"),
        ("max_pool_percent", "-1"),
        ("compressor", "lzo"),
    ] {
        assert_eq!(zswap.set(name, text), Err(ZswapError::Invalid), "{name}={text}");
    }
    assert_eq!(zswap.set("banana", "1"), Err(ZswapError::NoAttribute));
    assert_eq!(zswap.show("banana"), Err(ZswapError::NoAttribute));
}
