//! zswap before a disk, with compressed writeback: several pages to a block, in pages of the disk that are not their slots' own,
//! and what that means for the slots that come after.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use quire_compressed::zswap::{Whereabouts, Zswap};
use quire_swap::header::Page;
use quire_swap::{DecodedPte, Discard, Disk, DiskProperties, Entry, SwapOnOptions};

use crate::contents::{random, text};
use crate::ghost::{place, write_back};
use crate::zswap::{before_disk_of, count, send_out, start, writes};
use crate::zswap_packed;
use quire_testkit::kernel::Kernel;
use quire_testkit::{Fake, FakeDisk, Memory};

/// Bad pages of the disk.
const BAD: [u32; 2] = [1, 2];

/// Pages of a task that are in the pool, of an area with as many slots as there are pages.
fn pooled(pages: usize, contents: impl Fn(u64) -> Page) -> (Kernel, &'static Zswap<Fake>, Arc<FakeDisk>) {
    let blocks = (1 + BAD.len() + pages) as u64;
    let disk = || FakeDisk::with("/dev/vda", blocks, DiskProperties::default(), &BAD);
    let (kernel, zswap, disk) = before_disk_of(disk, pages, contents);
    zswap.set("compressed_writeback", "1").unwrap();
    (kernel, zswap, disk)
}

/// The same, written back.
fn packed(pages: usize, contents: impl Fn(u64) -> Page) -> (Kernel, &'static Zswap<Fake>, Arc<FakeDisk>) {
    let (kernel, zswap, disk) = pooled(pages, contents);
    write_back(zswap);
    (kernel, zswap, disk)
}

/// What is noted of the pages of the disk: those that are vacant, those that several may have, and those that are their own slots'.
fn notes(kernel: &Kernel) -> [usize; 3] {
    let area = kernel.swap.area(0).unwrap();
    let mut counted = [0; 3];
    for page in (1..area.slots() as u32).filter(|page| area.is_usable(*page)) {
        let note = area.page_notes().unwrap().get(page).map_or(0, |note| note.load(Ordering::Relaxed));
        counted[match note {
            0 => 0,
            255 => 2,
            _ => 1,
        }] += 1;
    }
    counted
}

/// Sends those pages out that are in memory, as often as some are refused for want of a page of the disk.
fn send_rest_out(kernel: &mut Kernel, zswap: &Zswap<Fake>) {
    for _ in 0..10 {
        let is_in = |page: &usize| matches!(kernel.pte(0, *page), DecodedPte::Present(_));
        let rest: Vec<usize> = (0..kernel.tables[0].len()).filter(is_in).collect();
        if rest.is_empty() {
            return;
        }
        for page in rest {
            assert!(kernel.reclaim(0, page), "page {page} stays");
        }
        kernel.write_out();
        let swap = kernel.swap;
        swap.return_refused(kernel);
        zswap.shrink();
    }
    panic!("some are refused for ever");
}

/// All pages are what they were, and nothing is left when they go, nor of the disk's pages.
fn end(kernel: Kernel, zswap: &Zswap<Fake>, contents: impl Fn(u64) -> Page) {
    let pages = kernel.tables[0].len();
    let kernel = zswap_packed::end(kernel, zswap, contents);
    assert_eq!(notes(&kernel), [pages, 0, 0], "a page of the disk is lost");
}

#[test]
fn text_goes_at_one_and_a_half_pages_a_block_on_a_full_area_and_nothing_is_decompressed() {
    let (kernel, zswap, disk) = packed(32, text);
    let [pages, blocks] = ["written_back_packed", "written_back_packed_blocks"].map(|name| count(zswap, name));
    assert_eq!((pages, count(zswap, "zswpwb")), (32, 32));
    // One object begins again with the first page, behind the disk's last.
    assert!(2 * pages >= 3 * (blocks - 1), "{pages} pages went to {blocks} blocks");
    assert_eq!((writes(&disk), disk.requests.lock().unwrap().len()), (blocks, 2));
    assert_eq!((count(zswap, "written_back_compressed"), count(zswap, "written_back_decompressed")), (32, 0));
    assert_eq!((count(zswap, "zswpin"), kernel.memory.pool.used()), (0, 0));
    assert_eq!(kernel.swap.area(0).unwrap().used(), 32, "no slot but the pages' own");
    assert_eq!(notes(&kernel), [32 - blocks as usize, blocks as usize, 0]);
    end(kernel, zswap, text);
}

#[test]
fn a_fault_brings_its_blocks_other_pages_into_zswap_and_not_into_memory() {
    let (mut kernel, zswap, disk) = packed(12, text);
    zswap_packed::brings_its_neighbours(&mut kernel, zswap, &disk, text);
    end(kernel, zswap, text);
}

#[test]
fn a_page_whose_place_others_have_goes_to_a_vacant_one() {
    // All slots are in use and most pages of the disk are blocks': then every page changes to what no pool takes.
    let (mut kernel, zswap, disk) = packed(32, text);
    let blocks = notes(&kernel)[1];
    for first in (0..32).step_by(8) {
        for page in first..first + 8 {
            kernel.write_page(0, page, &random(page as u64)).unwrap();
        }
        send_rest_out(&mut kernel, zswap);
        let changed = |page: u64| if page < first as u64 + 8 { random(page) } else { text(page) };
        for page in 0..32 {
            assert_eq!(kernel.read_page(0, page).unwrap(), changed(page as u64), "page {page}");
        }
        send_rest_out(&mut kernel, zswap);
    }
    let away = (0..32).filter(|&page| matches!(place(&kernel, zswap, page), Whereabouts::Page(_))).count();
    assert!(away > 0, "{blocks} blocks were in nobody's way");
    assert_eq!(notes(&kernel), [0, away, 32 - away]);
    assert!(writes(&disk) >= 32);
    end(kernel, zswap, random);
}

#[test]
fn slots_that_are_freed_and_used_again_leave_the_blocks_of_others_alone() {
    let (mut kernel, zswap, _disk) = packed(32, text);
    // One page of each three stays on the disk.
    let stays = |page: usize| page.is_multiple_of(3);
    for page in (0..32).filter(|&page| !stays(page)) {
        kernel.unmap(0, page);
        kernel.populate_page(0, page, &random(page as u64));
    }
    send_rest_out(&mut kernel, zswap);
    let contents = |page: u64| if stays(page as usize) { text(page) } else { random(page) };
    for page in 0..32 {
        assert_eq!(kernel.read_page(0, page).unwrap(), contents(page as u64), "page {page}");
    }
    end(kernel, zswap, contents);
}

#[test]
fn objects_that_alone_keep_two_pages_give_one_back_when_nothing_is_vacant() {
    let (mut kernel, zswap, _disk) = packed(32, text);
    let mut kept = HashSet::new();
    let mut stays = [false; 32];
    for (page, stays) in stays.iter_mut().enumerate() {
        if let Whereabouts::Part { first, last } = place(&kernel, zswap, page)
            && first != last
            && !kept.contains(&first)
        {
            kept.extend([first, last]);
            *stays = true;
        }
    }
    for page in (0..32).filter(|&page| !stays[page]) {
        kernel.unmap(0, page);
        kernel.populate_page(0, page, &random(page as u64));
    }
    kernel.settle();
    assert_eq!(notes(&kernel), [32 - kept.len(), kept.len(), 0]);
    let vacant = 32 - kept.len();
    assert!(stays.iter().filter(|stays| !**stays).count() > vacant, "there are pages for all");
    send_rest_out(&mut kernel, zswap);
    assert!(count(zswap, "read_back_neighbours") > 0);
    end(kernel, zswap, |page| if stays[page as usize] { text(page) } else { random(page) });
}

#[test]
fn a_disk_that_writes_nothing_leaves_all_in_the_pool_and_the_places_vacant() {
    for compressed in ["1", "0"] {
        let (kernel, zswap, disk) = pooled(32, text);
        zswap.set("compressed_writeback", compressed).unwrap();
        disk.broken.lock().unwrap().extend(0..100);
        assert_eq!(write_back(zswap), 0);
        assert_eq!((count(zswap, "stored_pages"), notes(&kernel)), (32, [32, 0, 0]));
        disk.broken.lock().unwrap().clear();
        assert_eq!(write_back(zswap), 32);
        end(kernel, zswap, text);
    }
}

/// Whether a page of the disk has what a frame held before that was never written.
fn has_junk(disk: &FakeDisk, page: u64) -> bool {
    disk.page(page).as_chunks::<8>().0.contains(&[0xdd; 8])
}

#[test]
fn blocks_have_nothing_of_what_was_in_memory_before() {
    // The last of the blocks is filled in part.
    let (kernel, zswap, disk) = packed(5, text);
    let pages: HashSet<u64> =
        disk.requests.lock().unwrap().iter().flat_map(|request| request.1..request.1 + request.2).collect();
    assert!(!pages.is_empty() && pages.into_iter().all(|page| !has_junk(&disk, page)));
    end(kernel, zswap, text);
}

#[test]
fn a_page_goes_alone_to_a_vacant_place_when_compressed_writeback_is_off() {
    let (mut kernel, zswap, _disk) = packed(32, text);
    // Back in the pool, from where it goes to the disk as a page.
    for page in 0..8 {
        kernel.write_page(0, page, &text(100 + page as u64)).unwrap();
    }
    send_rest_out(&mut kernel, zswap);
    zswap.set("compressed_writeback", "0").unwrap();
    assert!(write_back(zswap) >= 8);
    assert!(count(zswap, "written_back_decompressed") >= 8);
    end(kernel, zswap, |page| if page < 8 { text(100 + page) } else { text(page) });
}

#[test]
fn a_block_that_cannot_be_read_costs_the_pages_that_are_in_it() {
    let (mut kernel, zswap, disk) = packed(12, text);
    let Whereabouts::Part { first, .. } = place(&kernel, zswap, 5) else { panic!("it is in a block") };
    assert!(zswap_packed::without_block(&mut kernel, zswap, &disk, first.slot()) > 0);
    end(kernel, zswap, text);
}

#[test]
fn an_area_that_discards_has_every_page_in_its_own_place() {
    let memory = Memory::new(64);
    let (swap, zswap) = start(1000);
    let able = DiskProperties { discard: true, ..DiskProperties::default() };
    let able = FakeDisk::with("/dev/vda", 33, able, &[]);
    let disk: Arc<dyn Disk<Fake>> = able.clone();
    swap.swapon(&disk, SwapOnOptions { discard: Discard::Pages, ..SwapOnOptions::default() }).unwrap();
    let mut kernel = Kernel::new(swap, memory, 1, 12);
    for page in 0..12 {
        kernel.populate_page(0, page, &text(page as u64));
    }
    send_out(&mut kernel, 12);
    zswap.set("compressed_writeback", "1").unwrap();
    assert_eq!(write_back(zswap), 12);
    assert_eq!((count(zswap, "written_back_packed"), notes(&kernel)), (0, [20, 0, 12]));
    let mut slots = kernel.tables[0].iter().filter_map(|word| Entry::from_pte(*word));
    assert!(slots.all(|entry| !has_junk(&able, entry.slot().into())), "behind an object there are zeros");
    for page in 0..12 {
        assert_eq!(kernel.read_page(0, page).unwrap(), text(page as u64));
    }
}
