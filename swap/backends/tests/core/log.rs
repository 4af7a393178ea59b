//! `log`: what it writes, in which order, and how often.

use std::sync::{Arc, mpsc};

use quire_swap::{
    Direction, DiskProperties, FaultError, Folio, FolioFlag, Locked, POOL_BATCHES, Plug, SlotReference, Swap, Written,
};

use crate::typed::{counts, enable, swap_with_types};
use quire_testkit::{Fake, FakeDisk, FakeFolio, Memory, lock, new_folio};

/// Pages that are out, each held by one reference, with what they hold.
struct Out {
    memory: &'static Memory,
    swap: &'static Swap<Fake>,
    disk: Arc<FakeDisk>,
    plug: Plug<Fake>,
    pages: Vec<(SlotReference<'static, Fake>, u64)>,
    /// On their way, with their folios.
    waiting: Vec<(FakeFolio, SlotReference<'static, Fake>, u64)>,
    refused: u64,
    next: u64,
    random: u64,
}

impl Out {
    fn on(pages: u64, options: &str) -> Self {
        let memory = Memory::new(400);
        let swap = swap_with_types();
        let properties = DiskProperties { discard: true, ..DiskProperties::default() };
        let disk = FakeDisk::with("/dev/vda", pages, properties, &[]);
        enable(swap, &disk, "log", options).unwrap();
        let (plug, pages, waiting) = (Plug::new(), Vec::new(), Vec::new());
        Self { memory, swap, disk, plug, pages, waiting, refused: 0, next: 1, random: 0x9e37_79b9_7f4a_7c15 }
    }

    fn random(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % below as u64) as usize
    }

    /// A new page leaves memory, with 31 others in a batch.
    fn page_out(&mut self) {
        self.next += 1;
        let folio = new_folio(0, self.next).unwrap();
        let locked = lock(&folio);
        let reference = self.swap.hold_in_swap(&locked).unwrap();
        assert!(matches!(self.swap.write(&mut self.plug, locked), Written::Queued));
        self.waiting.push((folio, reference, self.next));
        if self.waiting.len() == 32 {
            self.settle();
        }
    }

    fn settle(&mut self) {
        self.plug.submit();
        self.memory.run_all();
        for (folio, reference, word) in self.waiting.drain(..) {
            // One that was not written is the caller's still, and gives its slot up.
            if folio.state().is(FolioFlag::Dirty) {
                self.refused += 1;
                drop(reference);
                self.swap.drop_if_unused(&folio);
            } else {
                assert!(self.swap.evict(Locked::try_lock(folio).unwrap(), 2, 7).is_ok());
                self.pages.push((reference, word));
            }
        }
        self.memory.ended_writes.lock().unwrap().clear();
    }

    /// So many pages are exchanged for new ones, at random.
    fn exchange(&mut self, pages: usize) {
        for _ in 0..pages {
            self.free();
            self.page_out();
        }
        self.settle();
    }

    /// A page that is out is of no use any more.
    fn free(&mut self) {
        let index = self.random(self.pages.len());
        self.pages.swap_remove(index);
    }

    /// So many of 100 slots are in use.
    fn fill(&mut self, percent: u64) {
        while self.swap.area(0).unwrap().used() * 100 < self.swap.area(0).unwrap().usable() * percent {
            self.page_out();
        }
        self.settle();
    }

    /// What each page holds is what it should.
    fn check(&mut self) {
        for (reference, word) in &self.pages {
            let folio = self.swap.fault_in(reference.entry(), 0, None).unwrap().folio;
            assert_eq!(folio.word(0), *word);
            assert!(self.swap.evict(folio, 2, 7).is_ok());
        }
    }

    fn end(mut self) {
        self.pages.clear();
        assert_eq!((self.memory.free_frames(), self.swap.idle_batches()), (400, POOL_BATCHES));
        assert_eq!(counts(self.swap, 0)["log_pages_live"], 0);
        self.plug.submit();
    }
}

#[test]
fn random_page_out_is_sequential_and_costs_less_than_two_writes() {
    let mut out = Out::on(24 * 512, "");
    out.fill(80);
    let before = counts(out.swap, 0);
    out.disk.requests.lock().unwrap().clear();
    out.exchange(6 * out.pages.len());
    let after = counts(out.swap, 0);
    let grown = |name: &str| after[name] - before[name];
    let (swapped, moved) = (grown("log_pages_written"), grown("log_pages_moved"));
    // What the disk saw says the same.
    let requests = out.disk.requests.lock().unwrap().clone();
    let written: Vec<_> = requests.iter().filter(|(direction, ..)| *direction == Direction::Write).collect();
    let pages: u64 = written.iter().map(|(_, _, pages)| pages).sum();
    let breaks = written.windows(2).filter(|pair| pair[0].1 + pair[0].2 != pair[1].1).count() as u64;
    let (amplification, sequential) = (pages * 100 / swapped, 1000 - breaks * 1000 / pages);
    println!(
        "{swapped} pages out, {moved} moved: write amplification {amplification}/100, {sequential} of 1000 sequential, \
         wear {} to {}",
        after["log_wear_least"], after["log_wear_most"]
    );
    assert_eq!(pages, swapped + moved);
    assert!(moved > 1000, "the cleaner was at work");
    assert!(amplification < 200);
    assert!(sequential >= 950);
    assert!(after["log_sequential_percent"] >= 95);
    // Freed segments are discarded as wholes, and all wear about equally.
    assert!(out.disk.discarded.lock().unwrap().iter().all(|run| run.start % 512 == 0 && run.end == run.start + 512));
    assert_eq!(out.disk.discarded.lock().unwrap().len() as u64, after["log_segments_discarded"]);
    assert!(after["log_wear_most"] - after["log_wear_least"] <= 3);
    let wear = after["log_segments_discarded"] / after["log_segments"];
    assert!(wear > 0 && (after["log_wear_least"]..=after["log_wear_most"]).contains(&wear));
    out.check();
    out.end();
}

#[test]
fn a_full_log_takes_every_slot_that_it_has() {
    let mut out = Out::on(40 * 8, "segment=32,reserve=5");
    out.fill(100);
    assert_eq!(out.pages.len() as u64, out.swap.area(0).unwrap().usable());
    out.exchange(2000);
    assert_eq!(out.refused, 0);
    out.check();
    out.end();
}

#[test]
fn pages_that_left_together_are_read_by_one_request() {
    let mut out = Out::on(24 * 512, "");
    out.fill(50);
    out.exchange(1000);
    out.disk.requests.lock().unwrap().clear();
    // The newest 32 pages, though the area is full of gaps.
    let newest: Vec<_> = out.pages.iter().rev().take(32).map(|(reference, _)| reference.entry()).collect();
    for entry in &newest {
        out.swap.read_around(*entry);
    }
    out.memory.run_all();
    let (requests, pages) =
        out.disk.requests.lock().unwrap().iter().fold((0, 0), |(n, sum), request| (n + 1, sum + request.2));
    assert!(requests <= pages / 4, "{pages} pages were read by {requests} requests");
}

#[test]
fn broken_pages_cost_what_is_in_them_and_their_segment() {
    let mut out = Out::on(64 * 8, "segment=32");
    out.fill(80);
    out.exchange(40);
    let first = out.disk.requests.lock().unwrap()[0].1;
    out.disk.broken.lock().unwrap().extend(first..first + 4);
    out.exchange(2500);
    let mut lost = 0;
    for (reference, word) in &out.pages {
        match out.swap.fault_in(reference.entry(), 0, None) {
            Ok(fault) => {
                assert_eq!(fault.folio.word(0), *word);
                assert!(out.swap.evict(fault.folio, 2, 7).is_ok());
            }
            Err(error) => {
                assert_eq!(error, FaultError::ReadFailed(reference.entry()));
                lost += 1;
            }
        }
    }
    assert!((1..=6 * 32).contains(&out.refused), "{} pages were refused", out.refused);
    // Neighbours that were in every failed batch may go with it.
    assert!((1..=5).contains(&counts(out.swap, 0)["log_segments_retired"]));
    assert!(lost <= 4, "{lost} pages are lost, of 4 that cannot be read");
}

#[test]
fn a_page_that_is_written_again_at_its_slot_has_one_place() {
    let mut out = Out::on(14 * 8, "segment=32");
    out.fill(50);
    for _ in 0..3 {
        for (reference, word) in &mut out.pages {
            *word += 1000;
            let folio = out.swap.fault_in(reference.entry(), 0, None).unwrap().folio;
            folio.fill(0, *word);
            folio.state().set_written();
            let frame = FakeFolio::clone(&folio);
            assert!(matches!(out.swap.write(&mut out.plug, folio), Written::Queued));
            out.plug.submit();
            out.memory.run_all();
            assert!(out.swap.evict(Locked::try_lock(frame).unwrap(), 2, 7).is_ok());
        }
        assert_eq!(counts(out.swap, 0)["log_pages_live"], out.pages.len() as u64);
    }
    out.memory.ended_writes.lock().unwrap().clear();
    out.check();
    out.end();
}

#[test]
fn no_request_that_fails_once_loses_a_page() {
    // Those of the cleaner are among them.
    let mut moved = 0;
    for nth in 1..=80 {
        let mut out = Out::on(20 * 8, "segment=32,reserve=5");
        out.fill(100);
        out.memory.io.fail_nth(nth);
        (0..30).for_each(|_| out.exchange(8));
        out.memory.io.fail_nth(0);
        moved += counts(out.swap, 0)["log_pages_moved"];
        out.check();
        out.end();
    }
    assert!(moved > 0, "nothing was cleaned");
}

#[test]
fn a_page_that_finds_no_memory_for_the_map_costs_no_page_of_the_log() {
    for nth in 1.. {
        let mut out = Out::on(40 * 8, "segment=32,reserve=5");
        out.page_out();
        out.memory.heap.fail_nth(nth);
        out.settle();
        out.memory.heap.fail_nth(0);
        let refused = out.refused;
        assert_eq!(counts(out.swap, 0)["log_pages_live"], out.pages.len() as u64);
        out.fill(100);
        out.exchange(2000);
        assert_eq!(out.refused, refused);
        assert!(counts(out.swap, 0)["log_wear_least"] > 0, "a segment was never used again");
        out.check();
        out.end();
        if refused == 0 {
            assert_eq!(nth, 5, "both ways, each a directory and a leaf");
            return;
        }
    }
}

#[test]
fn zero_pages_have_no_slots_among_those_of_others() {
    let mut out = Out::on(24 * 512, "");
    let mut slots = Vec::new();
    for number in 0..64 {
        let folio = new_folio(0, number % 2).unwrap();
        let reference = out.swap.hold_in_swap(&lock(&folio)).unwrap();
        if number % 2 != 0 {
            slots.push(reference.entry().slot());
            out.waiting.push((folio, reference, 1));
        }
    }
    assert!(slots.is_sorted_by(|one, next| one + 1 == *next), "{slots:?}");
}

#[test]
fn a_page_that_is_being_read_stays_where_it_is_until_it_has_been() {
    let mut out = Out::on(24 * 8, "segment=32");
    out.fill(95);
    // Little of what is in the oldest segments lives: they are cleaned first.
    let mut position = 0..;
    out.pages.retain(|_| position.next().is_some_and(|position| position >= 32 || position % 8 == 0));
    out.swap.read_around(out.pages[0].0.entry());
    let reads = out.disk.take_pending();
    assert!(!reads.is_empty());
    let read: Vec<_> = out.pages.drain(..4).collect();
    out.exchange(400);
    out.disk.resume(reads);
    out.memory.run_all();
    out.pages.extend(read);
    out.check();
    out.end();
}

#[test]
fn a_segment_is_written_only_when_it_has_been_discarded() {
    let mut out = Out::on(24 * 8, "segment=32");
    out.fill(50);
    // Few segments are free from here on.
    out.exchange(400);
    let (memory, swap, disk) = (out.memory, out.swap, Arc::clone(&out.disk));
    let (plug, pages, waiting) = (Plug::new(), Vec::new(), Vec::new());
    let mut other = Out { memory, swap, disk, plug, pages, waiting, refused: 0, next: 1 << 20, random: 1 };
    let (others, back) = mpsc::channel();
    *out.disk.while_discarding.lock().unwrap() = Some(Box::new(move || {
        // As much as the free segments take, and more.
        (0..32).for_each(|_| other.page_out());
        others.send(other).unwrap();
    }));
    out.exchange(200);
    back.recv().expect("a segment was discarded").check();
    out.check();
}

#[test]
fn the_cleaner_waits_for_no_batch_that_waits_for_it() {
    let mut out = Out::on(24 * 8, "segment=32");
    out.fill(80);
    // Every batch but this one is out for good.
    let others: Vec<_> = (0..POOL_BATCHES - 1).map(|_| hold_a_batch(&out)).collect();
    out.exchange(200);
    drop(others);
    out.memory.run_all();
    out.check();
}

/// A plug with a folio in its batch.
fn hold_a_batch(out: &Out) -> Plug<Fake> {
    let mut plug = Plug::new();
    let folio = new_folio(0, 5).unwrap();
    let _entry = out.swap.add_to_swap(&lock(&folio)).unwrap();
    out.swap.write(&mut plug, lock(&folio));
    plug
}
