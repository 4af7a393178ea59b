//! A ghost area's pages on a disk, several to a block: what is written and read, and what failures leave as it was.

use std::sync::Arc;

use quire_compressed::zswap::{Whereabouts, Zswap};
use quire_swap::header::Page;
use quire_swap::{Direction, SwapOffError};

use crate::contents::{random, text, text_of_length};
use crate::ghost::{on_ghost, place, write_back};
use crate::zswap::{count, send_out};
use quire_testkit::kernel::{Kernel, Touch};
use quire_testkit::{Fake, FakeDisk, enable};

/// Pages that all are on a disk of so many pages, area 1, as far as they fit.
fn packed(
    pages: usize,
    blocks: u64,
    contents: impl Fn(u64) -> Page,
) -> (Kernel, &'static Arc<Zswap<Fake>>, Arc<FakeDisk>) {
    let (mut kernel, zswap) = on_ghost(pages, contents);
    zswap.set("compressed_writeback", "1").unwrap();
    let disk = FakeDisk::new("/dev/vda", blocks);
    assert_eq!(enable(kernel.swap, &disk, None), Ok(1));
    send_out(&mut kernel, pages);
    write_back(zswap);
    (kernel, zswap, disk)
}

fn used(kernel: &Kernel) -> u64 {
    kernel.swap.area(1).unwrap().used()
}

fn requests(disk: &FakeDisk, direction: Direction) -> Vec<(u64, u64)> {
    let requests = disk.requests.lock().unwrap();
    requests.iter().filter(|request| request.0 == direction).map(|request| (request.1, request.2)).collect()
}

/// All pages are what they were, and nothing is left when they go.
pub fn end(mut kernel: Kernel, zswap: &Zswap<Fake>, contents: impl Fn(u64) -> Page) -> Kernel {
    for page in 0..kernel.tables[0].len() {
        assert_eq!(kernel.read_page(0, page).unwrap(), contents(page as u64), "page {page}");
        kernel.unmap(0, page);
    }
    kernel.settle();
    assert!(zswap.adds_up());
    assert_eq!((zswap.stored_pages(), kernel.memory.pool.used()), (0, 0));
    assert_eq!(kernel.swap.areas().map(|area| area.used()).sum::<u64>(), 0, "a slot is lost");
    kernel
}

#[test]
fn text_goes_at_one_and_a_half_pages_a_block_and_nothing_is_decompressed() {
    let (kernel, zswap, disk) = packed(32, 100, text);
    let [pages, blocks] = ["written_back_packed", "written_back_packed_blocks"].map(|name| count(zswap, name));
    assert_eq!(pages, 32);
    assert!(2 * pages >= 3 * blocks, "{pages} pages went to {blocks} blocks");
    assert_eq!((used(&kernel), requests(&disk, Direction::Write)), (blocks, vec![(1, blocks)]), "one request");
    assert_eq!((count(zswap, "written_back_compressed"), count(zswap, "written_back_decompressed")), (32, 0));
    assert_eq!((count(zswap, "zswpin"), kernel.memory.pool.used()), (0, 0));
    end(kernel, zswap, text);
}

/// Reads page 6 of 12 that are on the disk: others of its blocks, which are near it, come into zswap and not into memory.
pub fn brings_its_neighbours(
    kernel: &mut Kernel,
    zswap: &Zswap<Fake>,
    disk: &FakeDisk,
    contents: impl Fn(u64) -> Page,
) {
    let frames = kernel.memory.free_frames();
    assert_eq!(kernel.read_page(0, 6).unwrap(), contents(6));
    assert_eq!(kernel.memory.free_frames(), frames - 1);
    let inside: Vec<usize> =
        (0..12).filter(|&page| page != 6 && place(kernel, zswap, page) == Whereabouts::Pool).collect();
    assert!(!inside.is_empty() && inside.iter().all(|page| (4..9).contains(page)), "{inside:?}");
    assert_eq!(count(zswap, "read_back_neighbours"), inside.len() as u64);
    assert_eq!((count(zswap, "stored_pages"), count(zswap, "zswpin")), (inside.len() as u64, 0));
    assert!(zswap.adds_up());
    // They are there without the disk.
    disk.broken.lock().unwrap().extend(0..100);
    for page in inside {
        assert_eq!(kernel.read_page(0, page).unwrap(), contents(page as u64));
    }
    disk.broken.lock().unwrap().clear();
}

#[test]
fn a_fault_brings_its_blocks_other_pages_into_zswap_and_not_into_memory() {
    let contents = |number| text_of_length(number, 1600);
    let (mut kernel, zswap, disk) = packed(12, 100, contents);
    brings_its_neighbours(&mut kernel, zswap, &disk, contents);
    end(kernel, zswap, contents);
}

#[test]
fn other_pages_stay_on_the_disk_when_the_pool_has_no_room_for_them() {
    for limit in ["full", "no frame", "disabled"] {
        let (mut kernel, zswap, _disk) = packed(12, 100, text);
        match limit {
            "full" => zswap.set("max_pool_percent", "0").unwrap(),
            "no frame" => kernel.memory.pool.allocations.fail_nth(1),
            _ => zswap.set("enabled", "0").unwrap(),
        }
        assert_eq!(kernel.read_page(0, 6).unwrap(), text(6));
        assert_eq!(count(zswap, "read_back_neighbours"), 0, "{limit}");
        end(kernel, zswap, text);
    }
}

#[test]
fn a_disk_that_writes_nothing_leaves_all_in_the_pool() {
    let (mut kernel, zswap) = on_ghost(32, text);
    zswap.set("compressed_writeback", "1").unwrap();
    let disk = FakeDisk::new("/dev/vda", 100);
    enable(kernel.swap, &disk, None).unwrap();
    send_out(&mut kernel, 32);
    // A block in the middle.
    disk.broken.lock().unwrap().insert(9);
    assert_eq!(write_back(zswap), 0);
    assert_eq!((count(zswap, "stored_pages"), used(&kernel)), (32, 0));
    assert_eq!(["written_back_packed", "written_back_packed_blocks"].map(|name| count(zswap, name)), [0, 0]);
    disk.broken.lock().unwrap().clear();
    assert_eq!(write_back(zswap), 32);
    end(kernel, zswap, text);
}

#[test]
fn what_finds_no_slot_stays_in_the_pool() {
    // Ten slots beside the header, and those are what the first pages fill.
    let (kernel, zswap, _disk) = packed(32, 11, text);
    let gone = count(zswap, "written_back_pages");
    assert!((15..17).contains(&gone), "{gone}");
    assert_eq!((used(&kernel), count(zswap, "stored_pages")), (10, 32 - gone));
    end(kernel, zswap, text);
}

#[test]
fn an_object_begins_with_its_slot_where_the_one_before_is_not_the_next() {
    let (mut kernel, zswap) = on_ghost(12, text);
    zswap.set("compressed_writeback", "1").unwrap();
    let disk = FakeDisk::new("/dev/vda", 60);
    enable(kernel.swap, &disk, None).unwrap();
    let swap = kernel.swap;
    let slots: Vec<_> = (0..59).map(|_| swap.allocate_on_disk(0).unwrap()).collect();
    let held: Vec<_> = slots.into_iter().filter(|slots| slots.run().first % 3 != 0).collect();
    send_out(&mut kernel, 12);
    assert_eq!(write_back(zswap), 12);
    for page in 0..12 {
        let Whereabouts::Part { first, last } = place(&kernel, zswap, page) else { panic!("it is on the disk") };
        assert_eq!(first, last, "the slot behind it is another's");
    }
    drop(held);
    end(kernel, zswap, text);
}

/// The pages of so many that have a part of this block of the disk.
fn pages_in(kernel: &Kernel, zswap: &Zswap<Fake>, pages: usize, block: u32) -> Vec<usize> {
    let is_in = |page: &usize| match place(kernel, zswap, *page) {
        Whereabouts::Part { first, last } => (first.slot()..=last.slot()).contains(&block),
        _ => false,
    };
    (0..pages).filter(is_in).collect()
}

/// Reads 12 pages of text, of which those in a block that cannot be read are lost for now; how many those are.
pub fn without_block(kernel: &mut Kernel, zswap: &Zswap<Fake>, disk: &FakeDisk, block: u32) -> usize {
    zswap.set("max_pool_percent", "0").unwrap();
    let lost = pages_in(kernel, zswap, 12, block);
    disk.broken.lock().unwrap().insert(block.into());
    for page in 0..12 {
        let wanted = if lost.contains(&page) { Err(Touch::BusError) } else { Ok(text(page as u64)) };
        assert_eq!(kernel.read_page(0, page), wanted, "page {page}");
    }
    // Nothing was given up.
    disk.broken.lock().unwrap().clear();
    lost.len()
}

#[test]
fn a_block_that_cannot_be_read_costs_the_pages_that_are_in_it() {
    let (mut kernel, zswap, disk) = packed(12, 100, text);
    assert_eq!(without_block(&mut kernel, zswap, &disk, 3), 2);
    end(kernel, zswap, text);
}

#[test]
fn a_changed_byte_costs_its_page_and_gives_no_wrong_one() {
    let (mut kernel, zswap, disk) = packed(6, 100, text);
    zswap.set("max_pool_percent", "0").unwrap();
    let words = kernel.tables.clone();
    let mut noticed = 0;
    for block in 1..=used(&kernel) {
        for byte in (0..4096).step_by(251) {
            let sound = disk.page(block);
            let mut changed = sound;
            changed[byte] ^= 0x10;
            disk.set_page(block, &changed);
            let mut refused = 0;
            for page in 0..6 {
                match kernel.read_page(0, page) {
                    Ok(found) => assert_eq!(found, text(page as u64)),
                    Err(error) => {
                        assert_eq!(error, Touch::BusError);
                        refused += 1;
                    }
                }
                kernel.reclaim(0, page);
            }
            kernel.write_out();
            assert!(refused <= 1, "block {block} byte {byte}");
            noticed += refused;
            disk.set_page(block, &sound);
        }
    }
    assert_eq!(kernel.tables, words, "all are where they were");
    assert!(noticed > 30, "{noticed}");
    end(kernel, zswap, text);
}

#[test]
fn a_disk_leaves_and_the_pages_of_its_blocks_come_home() {
    for failing in [false, true] {
        let contents = |number: u64| if number.is_multiple_of(4) { random(number) } else { text(number) };
        let (mut kernel, zswap, disk) = packed(16, 100, contents);
        let mut lost = Vec::new();
        if failing {
            lost = pages_in(&kernel, zswap, 16, 7);
            assert!(!lost.is_empty(), "there is no such block");
            disk.broken.lock().unwrap().insert(7);
        }
        // Without room the area stays, and works.
        kernel.memory.folios.fail_nth(2);
        let swap = kernel.swap;
        assert_eq!(swap.swapoff(1, &mut kernel), Err(SwapOffError::NoMemory));
        assert_eq!(swap.swapoff(1, &mut kernel), Ok(()));
        for page in 0..16 {
            if lost.contains(&page) {
                assert_eq!(place(&kernel, zswap, page), Whereabouts::Lost);
            }
            let wanted = if lost.contains(&page) { Err(Touch::BusError) } else { Ok(contents(page as u64)) };
            assert_eq!(kernel.read_page(0, page), wanted, "page {page}");
        }
        swap.swapoff(0, &mut kernel).unwrap();
        assert!(zswap.adds_up());
    }
}
