//! The ghost device and its areas: what it reads like, what it costs, and where its pages go.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use quire_compressed::zswap::{Whereabouts, Zswap};
use quire_swap::ghost::{self, MOST_PAGES, PATH};
use quire_swap::header::{Header, Medium, PAGE_SIZE, Page};
use quire_swap::{
    DecodedPte, Entry, FolioUse, IoError, Machine, SlotRange, SwapOffError, SwapOnError, SwapOnOptions, Users,
};

use crate::contents::{random, same, text};
use crate::zswap::{count, send_out, start};
use quire_testkit::kernel::{Kernel, Touch};
use quire_testkit::{Fake, FakeDisk, Memory, enable};

const FIRST: SwapOnOptions<'static> = SwapOnOptions {
    priority: Some(5),
    discard: quire_swap::Discard::Off,
    backend: quire_swap::extension::BackendOptions(""),
};

/// A kernel with pages in task 0, and a ghost area that is filled before any disk.
pub fn on_ghost(pages: usize, contents: impl Fn(u64) -> Page) -> (Kernel, &'static Arc<Zswap<Fake>>) {
    let memory = Memory::new(80);
    let (swap, zswap) = start(1000);
    assert_eq!(zswap.swapon_ghost(1024, FIRST), Ok(0));
    let mut kernel = Kernel::new(swap, memory, 1, pages);
    for page in 0..pages {
        kernel.populate_page(0, page, &contents(page as u64));
    }
    (kernel, zswap)
}

pub fn place(kernel: &Kernel, zswap: &Zswap<Fake>, page: usize) -> Whereabouts {
    zswap.whereabouts(Entry::from_pte(kernel.tables[0][page]).expect("the page is out"))
}

pub fn write_back(zswap: &Zswap<Fake>) -> u64 {
    zswap.set("shrinker_enabled", "1").unwrap();
    zswap.memory_is_low();
    zswap.shrink()
}

#[test]
fn the_device_reads_as_one_page_with_a_header_at_any_offset() {
    let frames = 16_384;
    let mut page = [0xee; PAGE_SIZE];
    assert_eq!(ghost::read(frames, 0, &mut page), PAGE_SIZE);
    let mut wanted = [0; PAGE_SIZE];
    wanted[1024] = 1;
    wanted[1028..1032].copy_from_slice(&16_383_u32.to_le_bytes());
    wanted[4086..].copy_from_slice(b"SWAPSPACE2");
    assert_eq!(page, wanted);
    let header = Header::parse(&page, Medium { pages: 0, is_file: false }).unwrap();
    assert_eq!((header.last_page, header.bad_pages.len()), (16_383, 0));
    // The area has whole clusters, so it may be larger than the header says.
    assert_eq!((ghost::default_pages(frames), ghost::default_pages(frames + 1)), (16_384, 16_896));
    for offset in 0..PAGE_SIZE + 2 {
        for size in [0, 1, 2, 7, 8, 511, 512, 4095, 4096, 4097, 8192] {
            let mut buffer = [0xee; 8192];
            let read = ghost::read(frames, offset as u64, &mut buffer[..size]);
            assert_eq!(read, size.min(PAGE_SIZE.saturating_sub(offset)), "{size} bytes at {offset}");
            assert!(buffer[..read] == wanted[offset.min(PAGE_SIZE)..][..read]);
            assert!(buffer[read..].iter().all(|byte| *byte == 0xee), "nothing behind what was read");
        }
    }
    for offset in [u64::MAX, 1 << 32, 1 << 52] {
        assert_eq!(ghost::read(frames, offset, &mut page), 0);
    }
}

#[test]
fn the_device_is_enabled_once_at_any_size() {
    let memory = Memory::new(16);
    let (swap, zswap) = start(1000);
    let before = memory.heap_bytes.load(Ordering::Relaxed);
    let index = zswap.swapon_ghost(MOST_PAGES, SwapOnOptions::default()).unwrap();
    let bytes = memory.heap_bytes.load(Ordering::Relaxed) - before;
    assert!(bytes < 64 << 10, "16 TiB cost {bytes} bytes");
    assert_eq!(zswap.swapon_ghost(1024, FIRST), Err(SwapOnError::Busy));
    let area = swap.area(index).unwrap();
    assert_eq!((area.name(), area.usable(), area.priority()), (PATH, MOST_PAGES - 1, -1));
    assert!(area.properties().is_file && !area.properties().rotational && area.disk().is_none());
    let mut kernel = Kernel::new(swap, memory, 1, 1);
    kernel.populate_page(0, 0, &text(1));
    send_out(&mut kernel, 1);
    assert_eq!(kernel.read_page(0, 0).unwrap(), text(1));
    drop(area);
    swap.swapoff(index, &mut kernel).unwrap();
    assert_eq!(kernel.read_page(0, 0).unwrap(), text(1));
    assert_eq!(zswap.swapon_ghost(1024, FIRST), Ok(index), "it is free again");
}

#[test]
fn a_used_slot_costs_sixteen_bytes_and_eight_more_on_a_disk() {
    const SLOTS: u64 = 4 * 512 - 1;
    // The first cluster is there from the start, because of slot 0.
    const NEW: u64 = 3 * 512;
    let memory = Memory::new(16);
    let (swap, zswap) = start(1000);
    let disk = FakeDisk::new("/dev/vda", 4 * 512);
    enable(swap, &disk, None).unwrap();
    zswap.swapon_ghost(1 << 20, FIRST).unwrap();
    let bytes = || memory.heap_bytes.load(Ordering::Relaxed);
    let before = bytes();
    let slots: Vec<_> = (0..SLOTS).map(|_| swap.allocate(0).unwrap()).collect();
    assert!(slots.iter().all(|slots| slots.area().name() == PATH));
    let ghost = bytes() - before;
    assert!((16 * NEW..17 * NEW).contains(&ghost), "{ghost} bytes for {NEW} slots");
    drop(slots);
    // The disk's slots have their table, and zswap's words only when zswap is before it.
    let plain = Memory::new(16);
    let (swap, zswap) = start(1000);
    zswap.set("enabled", "0").unwrap();
    enable(swap, &FakeDisk::new("/dev/vda", 4 * 512), None).unwrap();
    let before = plain.heap_bytes.load(Ordering::Relaxed);
    let slots: Vec<_> = (0..SLOTS).map(|_| swap.allocate(0).unwrap()).collect();
    let real = plain.heap_bytes.load(Ordering::Relaxed) - before;
    assert!((8 * NEW..9 * NEW).contains(&real), "{real} bytes for {NEW} slots");
    drop(slots);
}

#[test]
fn a_ghost_alone_keeps_what_compresses_and_refuses_the_rest() {
    let contents = |number: u64| match number % 3 {
        0 => text(number),
        1 => random(number),
        _ => same(0),
    };
    let (mut kernel, zswap) = on_ghost(12, contents);
    for page in 0..12 {
        kernel.reclaim(0, page);
    }
    kernel.plug.submit();
    let ended = std::mem::take(&mut *kernel.memory.ended_writes.lock().unwrap());
    let refused = ended.iter().filter(|(_, result)| *result == Err(IoError::Refused)).count();
    assert_eq!((ended.len(), refused), (8, 4), "zero pages are never written");
    assert!(kernel.memory.log.lock().unwrap().iter().all(|line| !line.contains("fail")), "nothing is wrong");
    for page in 0..12 {
        assert_eq!(kernel.read_page(0, page).unwrap(), contents(page as u64));
    }
    assert_eq!(count(zswap, "reject_compress_poor"), 4);
    assert_eq!(write_back(zswap), 0, "there is no disk");
    assert_eq!((count(zswap, "zswpwb"), count(zswap, "written_back_decompressed")), (0, 0));
    // The area takes others: it is not full.
    assert!(kernel.swap.allocate(0).is_ok());
}

#[test]
fn what_does_not_compress_is_not_tried_again_until_it_is_written() {
    let (mut kernel, zswap) = on_ghost(1, text);
    let page_out = |kernel: &mut Kernel| {
        kernel.reclaim(0, 0);
        kernel.plug.submit();
        (count(zswap, "reject_compress_poor"), count(zswap, "stored_pages"))
    };
    zswap.set("max_compressed_percent", "10").unwrap();
    assert_eq!(page_out(&mut kernel), (1, 0));
    assert_eq!(kernel.read_page(0, 0).unwrap(), text(0));
    zswap.set("max_compressed_percent", "90").unwrap();
    assert_eq!(page_out(&mut kernel), (2, 0), "it would be stored now, if it were tried");
    kernel.write_page(0, 0, &text(1)).unwrap();
    assert_eq!(page_out(&mut kernel), (2, 1), "it was written");
    assert_eq!(kernel.read_page(0, 0).unwrap(), text(1));
}

#[test]
fn a_full_pool_without_a_disk_leaves_the_area_out() {
    let memory = Memory::new(80);
    let (swap, zswap) = start(150);
    zswap.swapon_ghost(1024, FIRST).unwrap();
    let mut kernel = Kernel::new(swap, memory, 1, 64);
    for page in 0..64 {
        kernel.populate_page(0, page, &text(page as u64));
        kernel.reclaim(0, page);
        kernel.plug.submit();
    }
    assert!((10..50).contains(&count(zswap, "stored_pages")), "{}", count(zswap, "stored_pages"));
    assert_eq!(count(zswap, "pool_limit_hit"), 1);
    assert!(swap.allocate(0).is_err(), "the area takes no more");
    for page in 0..64 {
        assert_eq!(kernel.read_page(0, page).unwrap(), text(page as u64));
        kernel.unmap(0, page);
    }
    kernel.settle();
    assert!(swap.allocate(0).is_ok());
    assert_eq!(memory.pool.used(), 0);
}

#[test]
fn pages_go_from_zswap_to_a_disk_without_a_page_table_noticing() {
    for compressed in [false, true] {
        let (mut kernel, zswap) = on_ghost(8, text);
        zswap.set("compressed_writeback", if compressed { "1" } else { "0" }).unwrap();
        let disk = FakeDisk::new("/dev/vda", 100);
        let area = enable(kernel.swap, &disk, None).unwrap();
        send_out(&mut kernel, 8);
        assert_eq!(place(&kernel, zswap, 3), Whereabouts::Pool);
        let words = kernel.tables.clone();
        assert_eq!(write_back(zswap), 8);
        assert_eq!(kernel.tables, words);
        assert_eq!(kernel.memory.pool.used(), 0);
        let area = kernel.swap.area(area).unwrap();
        match place(&kernel, zswap, 3) {
            Whereabouts::Slot(slot) if !compressed => {
                assert_eq!(area.owner_of(slot.slot()).map(Entry::to_pte), Some(kernel.tables[0][3]));
                assert_eq!(area.used(), 8);
            }
            Whereabouts::Part { .. } if compressed => assert_eq!(area.used(), 6),
            other => panic!("it is {other:?}"),
        }
        let (counts, none) = (["written_back_compressed", "written_back_decompressed"], "read_back_compressed");
        let counts = counts.map(|name| count(zswap, name));
        assert_eq!(counts, if compressed { [8, 0] } else { [0, 8] });
        for page in 0..8 {
            assert_eq!(kernel.read_page(0, page).unwrap(), text(page as u64));
            kernel.unmap(0, page);
        }
        // Some came into the pool with others of their block.
        let read_back = count(zswap, none) + count(zswap, "read_back_neighbours");
        assert_eq!(read_back, if compressed { 8 } else { 0 });
        assert_eq!(area.used(), 0, "each slot went with its owner");
        assert!(zswap.adds_up());
    }
}

#[test]
fn what_zswap_refuses_goes_to_a_disk_at_once() {
    let (mut kernel, zswap) = on_ghost(8, random);
    let disk = FakeDisk::new("/dev/vda", 100);
    enable(kernel.swap, &disk, None).unwrap();
    send_out(&mut kernel, 8);
    assert_eq!(disk.requests.lock().unwrap().len(), 1, "one batch");
    assert!(matches!(place(&kernel, zswap, 0), Whereabouts::Slot(_)));
    for page in 0..8 {
        assert_eq!(kernel.read_page(0, page).unwrap(), random(page as u64));
    }
}

#[test]
fn large_folios_are_in_one_place_or_in_several() {
    let (mut kernel, zswap) = on_ghost(8, |_| same(0));
    (0..8).for_each(|page| kernel.unmap(0, page));
    let disk = FakeDisk::new("/dev/vda", 2000);
    enable(kernel.swap, &disk, None).unwrap();
    kernel.max_order = 2;
    for first in [0, 4] {
        kernel.populate(0, first, 2, 50);
        // One page of the second is incompressible: all four go to the disk.
        if first == 4 {
            kernel.write_page(0, 6, &random(6)).unwrap();
        }
        kernel.reclaim(0, first);
    }
    kernel.write_out();
    let places: Vec<_> = (0..8).map(|page| place(&kernel, zswap, page)).collect();
    assert!(places[..4].iter().all(|place| *place == Whereabouts::Same), "{places:?}");
    assert!(places[4..].iter().all(|place| matches!(place, Whereabouts::Slot(_))), "{places:?}");
    for page in 0..8 {
        let wanted = if page == 6 { random(6) } else { same(50 + page as u64 % 4) };
        assert_eq!(kernel.read_page(0, page).unwrap(), wanted, "page {page}");
    }
    assert_eq!(count(zswap, "zswpin"), 4, "each page of the first");
}

#[test]
fn a_ghost_without_zswap_has_as_much_room_as_there_is_on_disks() {
    Memory::new(0);
    let (swap, zswap) = start(1000);
    assert_eq!(zswap.swapon_ghost(1024, FIRST), Ok(0));
    assert!(swap.has_space());
    zswap.set("enabled", "N").unwrap();
    assert!(swap.totals().1 > 0 && !swap.has_space());
    enable(swap, &FakeDisk::new("/dev/vda", 100), None).unwrap();
    assert!(swap.has_space());
}

#[test]
fn a_batch_of_a_ghost_goes_to_one_disk_and_the_rest_to_the_next() {
    let (mut kernel, zswap) = on_ghost(16, random);
    // Four slots that can be used.
    let areas = [FakeDisk::new("/dev/vda", 5), FakeDisk::new("/dev/vdb", 100)]
        .map(|disk| enable(kernel.swap, &disk, None).unwrap());
    for _ in 0..2 {
        for page in 0..16 {
            // One that was refused is in memory still.
            let is_out =
                |word| Entry::from_pte(word).is_some_and(|entry| zswap.whereabouts(entry) != Whereabouts::Nowhere);
            if !is_out(kernel.tables[0][page]) {
                kernel.read_page(0, page).unwrap();
                kernel.reclaim(0, page);
            }
        }
        kernel.write_out();
    }
    assert_eq!(areas.map(|area| kernel.swap.area(area).unwrap().used()), [4, 12]);
    // Four at once, of which some are on the one disk and some on the other.
    let entries: Vec<_> = (0..16).map(|page| Entry::from_pte(kernel.tables[0][page]).unwrap()).collect();
    let is_on =
        |entry: &Entry, area| matches!(zswap.whereabouts(*entry), Whereabouts::Slot(slot) if slot.area() == area);
    let first = entries.iter().filter(|entry| !is_on(entry, areas[0])).copied().find(|entry| {
        entry
            .slot()
            .checked_sub(1)
            .and_then(|before| Entry::new(entry.area(), before))
            .is_some_and(|before| is_on(&before, areas[0]))
    });
    let first = first.and_then(|entry| Entry::new(entry.area(), entry.slot() - 2)).expect("the disks meet somewhere");
    let folios = [(); 4].map(|()| Fake::allocate_folio(0, FolioUse::Readahead(first)).unwrap());
    let back = kernel.swap.fault_in_together(first, folios).unwrap();
    for (folio, slot) in back.folios.iter().zip(first.slot()..) {
        let page = entries.iter().position(|entry| entry.slot() == slot).unwrap();
        let contents = folio.as_ref().unwrap().with_page(0, |contents| *contents);
        assert!(contents == random(page as u64), "page {page}");
    }
    drop(back);
    for page in 0..16 {
        assert_eq!(kernel.read_page(0, page).unwrap(), random(page as u64));
    }
}

#[test]
fn a_disk_leaves_and_its_pages_come_home() {
    for failing in [false, true] {
        let contents = |number: u64| if number.is_multiple_of(2) { text(number) } else { random(number) };
        let (mut kernel, zswap) = on_ghost(8, contents);
        let disk = FakeDisk::new("/dev/vda", 100);
        let area = enable(kernel.swap, &disk, None).unwrap();
        send_out(&mut kernel, 8);
        assert_eq!(write_back(zswap), 4);
        let lost = place(&kernel, zswap, 5);
        if failing && let Whereabouts::Slot(slot) = lost {
            disk.broken.lock().unwrap().insert(slot.slot().into());
        }
        // Without room the area stays, and works.
        kernel.memory.folios.fail_nth(3);
        let swap = kernel.swap;
        assert_eq!(swap.swapoff(area, &mut kernel), Err(SwapOffError::NoMemory));
        if !failing {
            // One request fails, and is done again.
            kernel.memory.io.fail_nth(2);
        }
        assert_eq!(swap.swapoff(area, &mut kernel), Ok(()));
        if failing {
            assert_eq!(place(&kernel, zswap, 5), Whereabouts::Lost);
            let entry = Entry::from_pte(kernel.tables[0][5]).unwrap();
            assert!(swap.lookup(entry).is_none(), "what is lost has no frame");
        }
        // A page whose slot cannot be read is lost, and only that.
        for page in 0..8 {
            let read = kernel.read_page(0, page);
            let wanted = if failing && page == 5 { Err(Touch::BusError) } else { Ok(contents(page as u64)) };
            assert_eq!(read, wanted, "page {page}");
            if let DecodedPte::Present(word) = kernel.pte(0, page) {
                assert_eq!(kernel.memory.payer_of(word >> 12), 1, "page {page} is paid for by who paid for its slot");
            }
        }
        swap.swapoff(0, &mut kernel).unwrap();
        assert!(zswap.adds_up());
    }
}

/// Has no space for pages that none of its PTEs names.
struct Full;

impl Users for Full {
    fn swap_in(&mut self, _slots: &SlotRange) -> Result<(), SwapOffError> {
        Ok(())
    }

    fn map_refused(&mut self, _slots: &SlotRange) {}

    fn has_space(&self) -> bool {
        false
    }
}

#[test]
fn a_disk_stays_while_there_is_no_space_for_the_pages_of_a_ghost() {
    let (mut kernel, _zswap) = on_ghost(4, random);
    let swap = kernel.swap;
    let area = enable(swap, &FakeDisk::new("/dev/vda", 100), None).unwrap();
    send_out(&mut kernel, 4);
    assert_eq!(swap.swapoff(area, &mut Full), Err(SwapOffError::NoMemory));
    assert_eq!(swap.area(area).unwrap().used(), 4);
    assert_eq!(swap.swapoff(area, &mut kernel), Ok(()));
    for page in 0..4 {
        assert_eq!(kernel.read_page(0, page).unwrap(), random(page as u64));
    }
}

#[test]
fn a_failing_disk_costs_nothing_while_pages_fit_into_memory() {
    let (mut kernel, zswap) = on_ghost(8, text);
    let disk = FakeDisk::new("/dev/vda", 100);
    let area = enable(kernel.swap, &disk, None).unwrap();
    disk.broken.lock().unwrap().extend(0..100);
    send_out(&mut kernel, 8);
    assert_eq!(write_back(zswap), 0);
    assert_eq!((count(zswap, "stored_pages"), kernel.swap.area(area).unwrap().used()), (8, 0));
    for page in 0..8 {
        assert_eq!(kernel.read_page(0, page).unwrap(), text(page as u64));
    }
}
