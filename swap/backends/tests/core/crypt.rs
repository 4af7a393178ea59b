//! `crypt`: nothing on the disk can be read, and nothing that was done to it goes unnoticed.

use std::sync::Arc;

use quire_swap::{DecodedPte, Entry, Folio, FolioFlag, POOL_BATCHES, Swap, Written};

use crate::typed::{counts, enable, swap_with_types};
use quire_testkit::kernel::{Kernel, Touch};
use quire_testkit::{Fake, FakeDisk, Memory};

const PAGES: usize = 40;

/// A kernel with one task, whose pages can be on an encrypted disk.
struct Machine {
    memory: &'static Memory,
    swap: &'static Swap<Fake>,
    disk: Arc<FakeDisk>,
    kernel: Kernel,
}

impl Machine {
    fn new(options: &str) -> Self {
        let memory = Memory::new(4 * PAGES);
        let swap = swap_with_types();
        let disk = FakeDisk::new("/dev/vda", 20 * 8);
        enable(swap, &disk, "crypt", options).unwrap();
        Self { memory, swap, disk, kernel: Kernel::new(swap, memory, 1, PAGES) }
    }

    /// With all pages out.
    fn with_pages_out(options: &str) -> Self {
        let mut machine = Self::new(options);
        for page in 0..PAGES {
            assert!(machine.kernel.populate(0, page, 0, 1000));
            assert!(machine.kernel.reclaim(0, page));
        }
        machine.finish_writes();
        assert_eq!(machine.memory.free_frames(), 4 * PAGES, "also what stood in for pages is free");
        machine
    }

    fn finish_writes(&mut self) {
        self.kernel.write_out();
    }

    fn entry(&self, page: usize) -> Entry {
        let DecodedPte::Entry(entry) = self.kernel.pte(0, page) else { panic!("page {page} is out") };
        entry
    }

    /// Slots are the disk's pages.
    fn place(&self, page: usize) -> u64 {
        self.entry(page).slot().into()
    }

    /// Reads every page: only those of `damaged` cannot be.
    fn only_these_are_lost(&mut self, damaged: &[usize]) {
        for page in 0..PAGES {
            let expected = if damaged.contains(&page) { Err(Touch::BusError) } else { Ok(1000) };
            assert_eq!(self.kernel.read(0, page), expected, "page {page}");
        }
        for page in damaged {
            let line = format!("read from /dev/vda failed at slot {}: its page was changed", self.place(*page));
            assert!(self.memory.logged(&line), "{line}");
        }
    }

    fn end(mut self) {
        (0..PAGES).for_each(|page| self.kernel.unmap(0, page));
        self.kernel.settle();
        assert_eq!((self.memory.free_frames(), self.swap.idle_batches()), (4 * PAGES, POOL_BATCHES));
        self.swap.swapoff(0, &mut self.kernel).unwrap();
    }
}

#[test]
fn equal_pages_differ_on_the_disk_and_come_back() {
    for options in ["", "over=log,segment=32"] {
        let mut machine = Machine::with_pages_out(options);
        let plain = 1000_u64.to_le_bytes();
        let mut seen = std::collections::HashSet::new();
        let written = machine.disk.requests.lock().unwrap().clone();
        for place in written.iter().flat_map(|(_, first, pages)| *first..first + pages) {
            let page = machine.disk.page(place);
            assert!(!page.windows(8).any(|bytes| bytes == plain), "page {place} shows what it is");
            assert!(seen.insert(page), "two pages are the same");
        }
        assert_eq!(seen.len(), PAGES);
        machine.only_these_are_lost(&[]);
        let counts = counts(machine.swap, 0);
        assert_eq!((counts["crypt_pages_sealed"], counts["crypt_pages_refused"]), (PAGES as u64, 0));
        machine.end();
    }
}

#[test]
fn a_changed_bit_costs_its_page_alone() {
    for bit in [0, 1, 4095 * 8 + 7, 2048 * 8] {
        let mut machine = Machine::with_pages_out("");
        let place = machine.place(7);
        let mut page = machine.disk.page(place);
        page[bit / 8] ^= 1 << (bit % 8);
        machine.disk.set_page(place, &page);
        machine.only_these_are_lost(&[7]);
        // The page that was changed comes back when it is put right.
        page[bit / 8] ^= 1 << (bit % 8);
        machine.disk.set_page(place, &page);
        assert_eq!(machine.kernel.read(0, 7), Ok(1000));
        machine.end();
    }
}

#[test]
fn a_page_that_was_moved_is_found_out_in_both_places() {
    let mut machine = Machine::with_pages_out("");
    let (one, other) = (machine.place(3), machine.place(30));
    let (page, other_page) = (machine.disk.page(one), machine.disk.page(other));
    machine.disk.set_page(one, &other_page);
    machine.disk.set_page(other, &page);
    machine.only_these_are_lost(&[3, 30]);
    machine.end();
}

#[test]
fn an_older_page_of_the_same_slot_is_found_out() {
    let mut machine = Machine::with_pages_out("");
    let (entry, place) = (machine.entry(5), machine.place(5));
    let older = machine.disk.page(place);
    // The same contents once more at the same slot: what is on the disk differs all the same.
    let folio = machine.swap.fault_in(entry, 0, None).unwrap().folio;
    folio.state().set(FolioFlag::Dirty);
    assert!(matches!(machine.swap.write(&mut machine.kernel.plug, folio), Written::Queued));
    machine.finish_writes();
    assert_ne!(machine.disk.page(place), older);
    machine.disk.set_page(place, &older);
    machine.only_these_are_lost(&[5]);
    machine.end();
}

#[test]
fn what_an_earlier_swapon_wrote_cannot_be_put_back() {
    let mut machine = Machine::with_pages_out("");
    let older: Vec<_> = (0..PAGES).map(|page| (machine.place(page), machine.disk.page(machine.place(page)))).collect();
    machine.swap.swapoff(0, &mut machine.kernel).unwrap();
    enable(machine.swap, &machine.disk, "crypt", "").unwrap();
    for page in 0..PAGES {
        assert!(machine.kernel.reclaim(0, page));
    }
    machine.finish_writes();
    for (place, page) in &older {
        assert_ne!(machine.disk.page(*place), *page, "the key is another");
        machine.disk.set_page(*place, page);
    }
    let lost: Vec<_> = (0..PAGES).collect();
    machine.memory.clock.fetch_add(10_000, std::sync::atomic::Ordering::Relaxed);
    for page in lost {
        assert_eq!(machine.kernel.read(0, page), Err(Touch::BusError));
    }
    machine.end();
}

#[test]
fn swapoff_loses_only_what_was_damaged() {
    let mut machine = Machine::with_pages_out("");
    let place = machine.place(11);
    machine.disk.set_page(place, &[0; 4096]);
    machine.swap.swapoff(0, &mut machine.kernel).unwrap();
    assert_eq!(machine.kernel.poisoned, 1);
    for page in 0..PAGES {
        assert_eq!(machine.kernel.read(0, page).is_ok(), page != 11);
    }
}

#[test]
fn without_a_frame_or_memory_for_tags_a_page_stays_in_memory() {
    for what in ["frame", "leaf"] {
        let mut machine = Machine::new("");
        for page in 0..4 {
            assert!(machine.kernel.populate(0, page, 0, 1000));
        }
        // The cluster's table and metadata are there already.
        assert!(machine.kernel.reclaim(0, 3));
        match what {
            "frame" => machine.memory.folios.fail_nth(1),
            _ => machine.memory.heap.fail_nth(1),
        }
        machine.kernel.plug.submit();
        machine.finish_writes();
        assert!(machine.memory.free_frames() < 4 * PAGES - 3, "it is in memory still");
        assert_eq!(machine.kernel.read(0, 3), Ok(1000));
        // The next time it goes.
        for page in 0..4 {
            assert!(machine.kernel.reclaim(0, page));
        }
        machine.finish_writes();
        assert_eq!(machine.memory.free_frames(), 4 * PAGES, "{what}");
        for page in 0..4 {
            assert_eq!(machine.kernel.read(0, page), Ok(1000));
        }
        machine.end();
    }
}
