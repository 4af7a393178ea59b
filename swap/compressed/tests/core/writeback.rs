//! zram's writeback: what goes to the backing device, what comes back, and what failures leave as it was.

use std::sync::Arc;

use quire_compressed::zram::{Zram, ZramDisk, ZramError};
use quire_swap::header::Page;
use quire_swap::{Direction, Disk, DiskProperties, IoError, SwapOnError, SwapOnOptions};

use crate::contents::{random, same, text, text_of_length};
use crate::zram::{new_zram, numbers, read, swapon};
use quire_testkit::kernel::Kernel;
use quire_testkit::{Fake, FakeDisk, Memory, new_swap};

const PAGES: u64 = 40;

fn contents(page: u64) -> Page {
    match page % 4 {
        0 => random(page),
        1 => same(page),
        _ => text_of_length(page, 400 + 90 * page as usize),
    }
}

/// A device with pages of every kind in slots 0 to 39 and a backing device of so many blocks.
fn filled(blocks: u64, compressed: bool) -> (Arc<Zram<Fake>>, Arc<ZramDisk<Fake>>, Arc<FakeDisk>) {
    let backing = FakeDisk::new("/dev/vdb", blocks);
    let (_, zram) = new_zram(new_swap());
    zram.store("backing_dev", "/dev/vdb\n").unwrap();
    zram.store("compressed_writeback", if compressed { "1" } else { "0" }).unwrap();
    zram.store("disksize", "1M").unwrap();
    let disk = zram.open().unwrap();
    (0..PAGES).for_each(|page| disk.write(page, &contents(page)).unwrap());
    (zram, disk, backing)
}

fn verify(disk: &ZramDisk<Fake>) {
    for page in 0..PAGES {
        assert_eq!(read(disk, page), Ok(contents(page)), "page {page}");
    }
}

/// The slots that are on the backing device.
pub fn written(zram: &Zram<Fake>) -> Vec<u64> {
    let lines = zram.show("block_state").unwrap();
    let is_written = |line: &&str| line.split_whitespace().last().unwrap().contains('w');
    lines.lines().filter(is_written).map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect()
}

#[test]
fn attributes_answer_as_on_linux() {
    Memory::new(0);
    let (_, zram) = new_zram(new_swap());
    let store = |name: &str, text: &str| zram.store(name, text);
    assert_eq!(zram.show("backing_dev").unwrap(), "none\n");
    assert_eq!(store("backing_dev", "/dev/nothing"), Err(ZramError::NoFile));
    FakeDisk::with("/swapfile", 10, DiskProperties { is_file: true, ..DiskProperties::default() }, &[]);
    assert_eq!(store("backing_dev", "/swapfile"), Err(ZramError::NotBlock));
    assert_eq!(store("writeback", "1"), Err(ZramError::Invalid), "without a size");
    for (name, value) in [("writeback_limit", "5"), ("writeback_limit_enable", "1")] {
        assert_eq!(store(name, value), Ok(()));
        assert_eq!(zram.show(name).unwrap(), format!("{value}\n"));
    }
    assert_eq!(store("writeback_batch_size", "0"), Err(ZramError::Invalid));
    assert_eq!(store("writeback_batch_size", "8"), Ok(()));
    assert_eq!(zram.show("writeback_batch_size").unwrap(), "8\n");
    assert_eq!(store("disksize", "1M"), Ok(()));
    assert_eq!(zram.show("writeback_limit").unwrap(), "5\n", "a size leaves it as it was");
    assert_eq!(zram.show("writeback_limit_enable").unwrap(), "1\n");
    assert_eq!(store("writeback_limit_enable", "y"), Err(ZramError::Invalid), "a number on Linux");
    assert_eq!(store("writeback", "idle"), Err(ZramError::NoBacking));
    assert_eq!(store("compressed_writeback", "1"), Err(ZramError::Busy));
    assert_eq!(store("backing_dev", "/dev/vdb"), Err(ZramError::Busy));
    assert_eq!(store("reset", "1"), Ok(()));
    assert_eq!(zram.show("writeback_batch_size").unwrap(), "32\n");
    assert_eq!(zram.show("writeback_limit").unwrap(), "0\n");

    let (zram, disk, _backing) = filled(100, false);
    let store = |name: &str, text: &str| zram.store(name, text);
    assert_eq!(zram.show("backing_dev").unwrap(), "/dev/vdb\n");
    for nonsense in ["", "banana", "type=banana", "page_index=x", "page_indexes=3", "color=red", "huge banana"] {
        assert_eq!(store("writeback", nonsense), Err(ZramError::Invalid), "{nonsense}");
    }
    for beyond in ["page_index=256", "page_indexes=200-256", "page_indexes=5-4"] {
        assert_eq!(store("writeback", beyond), Err(ZramError::Range), "{beyond}");
    }
    assert_eq!(store("writeback_limit_enable", "maybe"), Err(ZramError::Invalid));
    assert_eq!(store("writeback_limit", "maybe"), Err(ZramError::Invalid));
    assert_eq!(numbers(&zram, "bd_stat"), [0, 0, 0], "nothing has changed");
    assert_eq!(store("writeback", "idle"), Ok(()), "nothing is idle");
    assert!(written(&zram).is_empty());
    drop(disk);
    assert_eq!(store("reset", "1"), Ok(()));
    assert_eq!(zram.show("backing_dev").unwrap(), "none\n");
}

#[test]
fn what_is_selected_goes_and_comes_back() {
    let memory = Memory::new(0);
    for compressed in [false, true] {
        let (zram, disk, backing) = filled(100, compressed);
        let before = numbers(&zram, "mm_stat");
        zram.store("writeback", "type=huge").unwrap();
        let huge: Vec<u64> = (0..PAGES).filter(|page| page % 4 == 0).collect();
        assert_eq!(written(&zram), huge);
        let after = numbers(&zram, "mm_stat");
        assert_eq!(after[0], before[0], "what is written back is stored still");
        assert_eq!(after[1], before[1] - 10 * 4096);
        assert_eq!(after[7], 0, "but no longer in memory");
        assert_eq!(after[8], before[8], "huge ones ever");
        assert_eq!(numbers(&zram, "bd_stat"), [10, 0, 10]);
        assert_eq!(*backing.requests.lock().unwrap(), [(Direction::Write, 1, 10)], "one request, and not block 0");
        zram.store("writeback", "page_indexes=2-7 page_index=10").unwrap();
        assert!(written(&zram).ends_with(&[36]) && written(&zram).contains(&10));
        assert!(!written(&zram).contains(&5), "a repeated word stays");
        zram.store("idle", "all").unwrap();
        read(&disk, 15).unwrap();
        zram.store("writeback", "idle").unwrap();
        assert!(!written(&zram).contains(&15) && written(&zram).contains(&14));
        let [blocks, ..] = numbers(&zram, "bd_stat")[..] else { panic!("three numbers") };
        assert!(if compressed { blocks < 22 } else { blocks == 29 }, "{blocks} blocks");
        verify(&disk);
        // Overwritten, discarded or freed, the blocks are free again.
        disk.write(0, &text(0)).unwrap();
        disk.write(2, &same(0)).unwrap();
        disk.discard(0..256);
        assert_eq!(numbers(&zram, "bd_stat")[0], 0);
        assert_eq!(numbers(&zram, "mm_stat")[..3], [0, 0, 0]);
        assert_eq!(memory.pool.used(), 0);
        memory.forget();
    }
}

#[test]
fn a_slot_that_was_written_back_still_knows_that_its_page_was_huge() {
    for compressed in [false, true] {
        let memory = Memory::new(0);
        let (zram, disk, _backing) = filled(100, compressed);
        zram.store("idle", "all").unwrap();
        read(&disk, 4).unwrap();
        zram.store("writeback", "type=huge_idle").unwrap();
        let huge = |page: &u64| page.is_multiple_of(4);
        assert_eq!(written(&zram), (0..PAGES).filter(|page| huge(page) && *page != 4).collect::<Vec<_>>());
        zram.store("writeback", "page_indexes=0-255").unwrap();
        let lines = zram.show("block_state").unwrap();
        for (page, line) in (0..PAGES).zip(lines.lines()) {
            assert_eq!((line.contains('w'), line.contains('h')), (page % 4 != 1, huge(&page)), "{line}");
        }
        memory.forget();
    }
}

#[test]
fn blocks_follow_one_another_whatever_becomes_free() {
    Memory::new(0);
    let (zram, disk, backing) = filled(5, false);
    for (slot, block) in [(0, 1), (4, 2), (8, 3), (12, 4), (16, 1)] {
        zram.store("writeback", &format!("page_index={slot}")).unwrap();
        assert_eq!(backing.requests.lock().unwrap().last(), Some(&(Direction::Write, block, 1)));
        disk.discard(slot..slot + 1);
    }
}

#[test]
fn the_longest_go_first_within_the_budget() {
    Memory::new(0);
    let (zram, disk, _backing) = filled(100, false);
    zram.store("writeback_limit_enable", "1").unwrap();
    assert_eq!(zram.store("writeback", "huge"), Err(ZramError::NoBudget), "no budget");
    zram.store("writeback_limit", "12").unwrap();
    zram.store("idle", "all").unwrap();
    assert_eq!(zram.store("writeback", "idle"), Err(ZramError::NoBudget), "not all of them");
    assert_eq!(zram.show("writeback_limit").unwrap(), "0\n");
    let mut expected: Vec<u64> = (0..PAGES).step_by(4).collect();
    expected.extend([38, 39]);
    expected.sort_unstable();
    assert_eq!(written(&zram), expected, "ten that are huge and the two longest others");
    verify(&disk);
}

#[test]
fn a_full_or_failing_backing_device_loses_nothing() {
    let memory = Memory::new(0);
    for compressed in [false, true] {
        let (zram, disk, _backing) = filled(6, compressed);
        assert_eq!(zram.store("writeback", "huge"), Err(ZramError::NoSpace));
        assert_eq!((written(&zram).len(), numbers(&zram, "bd_stat")[0]), (5, 5), "all blocks but the first");
        verify(&disk);
        memory.forget();

        let (zram, disk, backing) = filled(100, compressed);
        zram.store("writeback_batch_size", "4").unwrap();
        zram.store("writeback_limit_enable", "1").unwrap();
        zram.store("writeback_limit", "100").unwrap();
        memory.io.fail_nth(2);
        assert_eq!(zram.store("writeback", "huge"), Err(ZramError::Backing(IoError::Device)));
        assert_eq!(written(&zram).len(), 6, "the second batch of four failed, the others are written");
        assert_eq!(zram.show("writeback_limit").unwrap(), "94\n", "and is refunded");
        assert_eq!(numbers(&zram, "bd_stat")[0], 6, "its blocks are free again");
        verify(&disk);
        // A block that cannot be read any more costs that page.
        let slot = written(&zram)[0];
        (0..100).for_each(|block| _ = backing.broken.lock().unwrap().insert(block));
        assert_eq!(read(&disk, slot), Err(IoError::Device));
        assert!(memory.logged(&format!("cannot read page {slot}: backing device: device error")));
        assert_eq!(numbers(&zram, "io_stat")[0], 1);
        backing.broken.lock().unwrap().clear();
        verify(&disk);
        // Memory for none of it.
        for nth in 1..=4 {
            memory.heap.fail_nth(nth);
            let result = zram.store("writeback", "page_indexes=0-39");
            memory.heap.fail_nth(0);
            assert_eq!(result, Err(ZramError::NoMemory));
        }
        verify(&disk);
        memory.forget();
    }
}

#[test]
fn swap_reads_what_was_written_back() {
    for compressed in [false, true] {
        let memory = Memory::new(64);
        let swap = new_swap();
        let (_, zram) = new_zram(swap);
        FakeDisk::new("/dev/vdb", 100);
        zram.store("backing_dev", "/dev/vdb").unwrap();
        zram.store("compressed_writeback", if compressed { "y" } else { "n" }).unwrap();
        zram.store("disksize", "16M").unwrap();
        let disk = zram.open().unwrap();
        let index = swapon(swap, &disk);
        let mut kernel = Kernel::new(swap, memory, 1, 16);
        for page in 0..16 {
            kernel.populate(0, page, 0, 7);
            let quire_swap::DecodedPte::Present(word) = kernel.pte(0, page) else { panic!("present") };
            let (folio, _) = memory.folio_of(word >> 12);
            folio.with_page_mut(0, |contents| *contents = text(page as u64));
            drop(folio);
            assert!(kernel.reclaim(0, page));
        }
        kernel.plug.submit();
        kernel.evict_ended();
        zram.store("writeback", "page_indexes=1-255").unwrap();
        assert_eq!(written(&zram).len(), 16);
        for page in 0..16 {
            let quire_swap::DecodedPte::Entry(entry) = kernel.pte(0, page) else { panic!("out") };
            let fault = swap.fault_in(entry, 0, None).unwrap();
            fault.folio.with_page(0, |contents| assert_eq!(*contents, text(page as u64)));
        }
        assert_eq!(numbers(&zram, "bd_stat")[1], 16);
        (0..16).for_each(|page| kernel.unmap(0, page));
        kernel.settle();
        assert_eq!(numbers(&zram, "bd_stat")[0], 0, "freed slots free their blocks");
        assert_eq!(swap.idle_batches(), quire_swap::POOL_BATCHES);
        swap.swapoff(index, &mut kernel).unwrap();
    }
}

#[test]
fn a_disk_is_a_swap_area_or_a_backing_device_but_not_both() {
    let memory = Memory::new(0);
    let swap = new_swap();
    let (_, zram) = new_zram(swap);
    let disk = FakeDisk::new("/dev/vdb", 100);
    let as_disk: Arc<dyn Disk<Fake>> = disk;
    let store = |name: &str, text: &str| zram.store(name, text);
    assert_eq!(store("backing_dev", "/dev/vdb"), Ok(()));
    assert_eq!(store("backing_dev", "/dev/vdb\n"), Ok(()), "it is this one already");
    let refused = swap.swapon(&as_disk, SwapOnOptions::default()).unwrap_err();
    assert_eq!(refused, SwapOnError::Claimed);
    assert!(memory.logged("/dev/vdb: is in use already"));
    assert_eq!(store("disksize", "1M"), Ok(()));
    assert!(swap.swapon(&as_disk, SwapOnOptions::default()).is_err());
    assert_eq!(store("reset", "1"), Ok(()));
    let area = swap.swapon(&as_disk, SwapOnOptions::default()).unwrap();
    assert_eq!(store("backing_dev", "/dev/vdb"), Err(ZramError::Busy));
    assert_eq!(zram.show("backing_dev").unwrap(), "none\n");
    swap.swapoff(area, &mut Kernel::new(swap, memory, 1, 1)).unwrap();
    assert_eq!(store("backing_dev", "/dev/vdb"), Ok(()));
    FakeDisk::with("/dev/vdc", 10, DiskProperties { read_only: true, ..DiskProperties::default() }, &[]);
    assert_eq!(store("backing_dev", "/dev/vdc"), Err(ZramError::WriteProtected));
    assert_eq!(zram.show("backing_dev").unwrap(), "/dev/vdb\n", "the old one stays");
}

#[test]
fn a_block_that_is_not_what_was_written_is_an_error_and_no_other_page() {
    for compressed in [false, true] {
        let memory = Memory::new(0);
        let (zram, disk, backing) = filled(100, compressed);
        zram.store("writeback", "page_indexes=0-255").unwrap();
        let slots = written(&zram);
        let blocks = 1..=numbers(&zram, "bd_stat")[0];
        // Two blocks change places: every page in them is refused, whatever it may look like.
        for (one, other) in blocks.clone().zip(blocks.clone().skip(1)) {
            let exchange = || {
                let (first, second) = (backing.page(one), backing.page(other));
                backing.set_page(one, &second);
                backing.set_page(other, &first);
            };
            exchange();
            let mut refused = 0;
            for slot in &slots {
                match disk.read(*slot, &mut [0; 4096]) {
                    Ok(()) => assert_eq!(read(&disk, *slot), Ok(contents(*slot)), "slot {slot}"),
                    Err(error) => {
                        assert_eq!(error, IoError::Device);
                        let mut page = [0xee; 4096];
                        assert!(
                            disk.read(*slot, &mut page).is_err() && page == [0; 4096],
                            "nothing is left in the page"
                        );
                        refused += 1;
                    }
                }
            }
            assert!(refused >= 2, "blocks {one} and {other}");
            exchange();
        }
        // A changed byte costs at most the page that it belongs to.
        let mut noticed = 0;
        for block in blocks {
            for byte in (0..4096).step_by(67) {
                let sound = backing.page(block);
                let mut changed = sound;
                changed[byte] ^= 4;
                backing.set_page(block, &changed);
                let refused = slots.iter().filter(|slot| {
                    let found = read(&disk, **slot);
                    assert!(found == Ok(contents(**slot)) || found == Err(IoError::Device));
                    found.is_err()
                });
                let refused = refused.count();
                assert!(refused <= 1, "block {block} byte {byte}");
                noticed += refused;
                backing.set_page(block, &sound);
            }
        }
        assert!(noticed > 1000, "{noticed}");
        assert!(memory.logged("the backing device gave other bytes than it got"));
        verify(&disk);
        memory.forget();
    }
}
