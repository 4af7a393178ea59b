//! A model beside the core: which page each place of each task has, as a plain map, and every operation that a kernel
//! does, at random, with failing allocations and devices.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use quire_swap::header::PAGE_SIZE;
use quire_swap::{
    CLUSTER_SLOTS, DecodedPte, Discard, Disk, Entry, Folio, POOL_BATCHES, Snapshot, Swap, SwapFile, SwapOffError,
    SwapOnOptions,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::kernel::{Kernel, Touch};
use crate::pieces::file_in_pieces;
use crate::shelf::Shelf;
use crate::{Fake, FakeDisk, Memory};

const TASKS: usize = 3;
const PAGES: usize = 64;
const FRAMES: usize = 160;
/// Who may pay for pages, but for 0, which pays for nothing.
const PAYERS: u8 = 5;
const CASES: u32 = 200;
const OPERATIONS: usize = 600;
/// Folios of 64 KiB.
const MOST_ORDER: u8 = 4;
/// The area without a device, among the disks.
const SHELF: u8 = 3;

#[derive(Clone, Debug)]
enum Operation {
    /// A new folio where the task has nothing.
    Populate {
        task: usize,
        page: usize,
        order: u8,
        zero: bool,
    },
    Read {
        task: usize,
        page: usize,
    },
    Write {
        task: usize,
        page: usize,
        zero: bool,
    },
    Share {
        from: usize,
        to: usize,
        page: usize,
    },
    Unmap {
        task: usize,
        page: usize,
    },
    /// The task gives all up that is in swap.
    UnmapSwapped(usize),
    Reclaim {
        task: usize,
        page: usize,
    },
    Submit,
    /// The devices complete so many requests.
    Complete(usize),
    Evict,
    SetCpu(u8),
    MaxOrder(u8),
    FailHeap(u64),
    FailFolio(u64),
    FailIo(u64),
    SwapOff(u8),
    SwapOn(u8),
    DoPendingWork,
    /// The task's pages from now on are paid for by this one.
    Join {
        task: usize,
        payer: u8,
    },
    /// What the one pays for is the other's from now on.
    HandOver {
        from: u8,
        to: u8,
    },
    /// One may pay for so many slots.
    Limit {
        payer: u8,
        slots: u64,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation as O;
    let (task, page) = (0..TASKS, 0..PAGES);
    prop_oneof![
        8 => (task.clone(), page.clone(), 0_u8..=MOST_ORDER, prop::bool::weighted(0.2))
            .prop_map(|(task, page, order, zero)| O::Populate { task, page, order, zero }),
        6 => (task.clone(), page.clone()).prop_map(|(task, page)| O::Read { task, page }),
        4 => (task.clone(), page.clone(), prop::bool::weighted(0.2))
            .prop_map(|(task, page, zero)| O::Write { task, page, zero }),
        3 => (task.clone(), task.clone(), page.clone()).prop_map(|(from, to, page)| O::Share { from, to, page }),
        3 => (task.clone(), page.clone()).prop_map(|(task, page)| O::Unmap { task, page }),
        1 => task.clone().prop_map(O::UnmapSwapped),
        12 => (task, page).prop_map(|(task, page)| O::Reclaim { task, page }),
        2 => Just(O::Submit),
        4 => (1_usize..6).prop_map(O::Complete),
        3 => Just(O::Evict),
        1 => (0_u8..3).prop_map(O::SetCpu),
        1 => (0_u8..=MOST_ORDER).prop_map(O::MaxOrder),
        1 => (1_u64..4).prop_map(O::FailHeap),
        1 => (1_u64..6).prop_map(O::FailFolio),
        1 => (1_u64..6).prop_map(O::FailIo),
        1 => (0_u8..4).prop_map(O::SwapOff),
        2 => (0_u8..4).prop_map(O::SwapOn),
        1 => Just(O::DoPendingWork),
        2 => (0..TASKS, 0..PAYERS).prop_map(|(task, payer)| O::Join { task, payer }),
        1 => (1..PAYERS, 0..PAYERS).prop_map(|(from, to)| O::HandOver { from, to }),
        1 => (1..PAYERS, prop_oneof![0..40_u64, Just(u64::MAX)]).prop_map(|(payer, slots)| O::Limit { payer, slots }),
    ]
}

/// The core and the model side by side.
struct Pair {
    kernel: Kernel,
    disks: Vec<Arc<FakeDisk>>,
    /// What the area without a device is on.
    shelf: Arc<Shelf>,
    /// What each place holds; nothing for a place whose page was lost to a device.
    model: HashMap<(usize, usize), u64>,
    /// Who pays for the page in each place, wherever it is.
    owners: HashMap<(usize, usize), u8>,
    /// Who pays for what each task allocates.
    payers: [u8; TASKS],
    next_contents: u64,
}

/// A disk with a name like this is a file system with one file ([`file_in_pieces`]).
const FILES: &str = "/mnt/";

/// Swap and the three disks that are areas of it, or can be.
pub type Setup = (&'static Swap<Fake>, Vec<Arc<FakeDisk>>);

impl Pair {
    fn new(memory: &'static Memory, (swap, disks): Setup) -> Self {
        let kernel = Kernel::new(swap, memory, TASKS, PAGES);
        let mut pair = Self {
            kernel,
            disks,
            shelf: Shelf::new(memory),
            model: HashMap::new(),
            owners: HashMap::new(),
            payers: std::array::from_fn(|task| task as u8),
            next_contents: 1,
        };
        pair.apply(&Operation::SwapOn(0));
        pair.apply(&Operation::SwapOn(1));
        pair
    }
}

impl Pair {
    fn contents(&mut self, zero: bool) -> u64 {
        self.next_contents += 16;
        if zero { 0 } else { self.next_contents }
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Populate { task, page, order, zero } => self.populate(task, page, order, zero),
            Operation::Read { task, page } => self.read(task, page),
            Operation::Write { task, page, zero } => {
                let contents = self.contents(zero);
                self.kernel.memory.set_payer(self.payers[task]);
                if self.model.contains_key(&(task, page)) && self.kernel.write(task, page, contents).is_ok() {
                    self.model.insert((task, page), contents);
                    self.note_writer(task, page);
                }
            }
            Operation::Share { from, to, page } => {
                if let Some(&contents) = self.model.get(&(from, page))
                    && !self.model.contains_key(&(to, page))
                    && self.kernel.share((from, page), (to, page))
                {
                    self.model.insert((to, page), contents);
                    self.owners.insert((to, page), self.owners[&(from, page)]);
                }
            }
            Operation::Unmap { task, page } => {
                self.kernel.unmap(task, page);
                self.model.remove(&(task, page));
            }
            Operation::UnmapSwapped(task) => {
                let kernel = &self.kernel;
                self.model.retain(|&(of, page), _| of != task || !matches!(kernel.pte(of, page), DecodedPte::Entry(_)));
                self.kernel.unmap_swapped(task);
            }
            Operation::Reclaim { task, page } => {
                self.kernel.reclaim(task, page);
            }
            Operation::Submit => self.kernel.plug.submit(),
            Operation::Complete(requests) => {
                for _ in 0..requests {
                    self.kernel.memory.run_one();
                }
            }
            Operation::Evict => self.kernel.evict_ended(),
            Operation::SetCpu(cpu) => self.kernel.memory.set_cpu(cpu),
            Operation::MaxOrder(order) => self.kernel.max_order = order,
            Operation::FailHeap(n) => self.kernel.memory.heap.fail_nth(n),
            Operation::FailFolio(n) => self.kernel.memory.folios.fail_nth(n),
            Operation::FailIo(n) => self.kernel.memory.io.fail_nth(n),
            Operation::SwapOff(disk) => self.swap_off(disk),
            Operation::SwapOn(SHELF) => {
                let _ = self.shelf.enable(self.kernel.swap, 1 << 32);
            }
            Operation::SwapOn(index) => {
                let discard = [Discard::Off, Discard::Both, Discard::Off][usize::from(index)];
                let disk: Arc<dyn Disk<Fake>> = self.disks[usize::from(index)].clone();
                let options = SwapOnOptions { discard, ..SwapOnOptions::default() };
                let _ = if disk.name().starts_with(FILES) {
                    let header = &self.disks[usize::from(index)].page(0);
                    let bytes = disk.pages() * PAGE_SIZE as u64;
                    let file =
                        SwapFile { name: disk.name(), disk: &disk, header, bytes, runs: &file_in_pieces(disk.pages()) };
                    self.kernel.swap.swapon_file(&file, options)
                } else {
                    self.kernel.swap.swapon(&disk, options)
                };
            }
            Operation::DoPendingWork => {
                let swap = self.kernel.swap;
                swap.do_pending_work();
                self.kernel.plug.submit();
                swap.return_refused(&mut self.kernel);
            }
            Operation::Join { task, payer } => self.payers[task] = payer,
            Operation::HandOver { from, to } => {
                if from != to {
                    let slots = self.kernel.memory.recharge(from, to);
                    assert_eq!(self.kernel.swap.replace_payer(from, to) as u64, slots);
                    self.owners.values_mut().filter(|owner| **owner == from).for_each(|owner| *owner = to);
                }
            }
            Operation::Limit { payer, slots } => self.kernel.memory.limit(payer, slots),
        }
    }

    /// The task has written to its page: what it did not write in place is a copy, which it pays for.
    fn note_writer(&mut self, task: usize, page: usize) {
        let DecodedPte::Present(word) = self.kernel.pte(task, page) else { panic!("it was just written") };
        let now = self.kernel.memory.payer_of(word >> 12);
        let before = self.owners.insert((task, page), now);
        assert!(Some(now) == before || now == self.payers[task], "task {task} page {page}: {before:?}, now {now}");
    }

    fn populate(&mut self, task: usize, page: usize, order: u8, zero: bool) {
        let (length, contents) = (1 << order, self.contents(false));
        let page = page & !(length - 1);
        self.kernel.memory.set_payer(self.payers[task]);
        if (page..page + length).any(|page| self.kernel.tables[task][page] != 0) {
            return;
        }
        // Of every second folio with zero pages one page is not zero.
        let other = if zero && contents.is_multiple_of(32) { length } else { contents as usize / 32 % length };
        let word = |index: usize| if zero && (order == 0 || index != other) { 0 } else { contents + index as u64 };
        if self.kernel.populate_each(task, page, order, word) {
            for index in 0..length {
                self.model.insert((task, page + index), word(index));
                self.owners.insert((task, page + index), self.payers[task]);
            }
        }
    }

    fn read(&mut self, task: usize, page: usize) {
        let Some(&expected) = self.model.get(&(task, page)) else { return };
        let io_failures = self.kernel.swap.statistics().failed_reads;
        match self.kernel.read(task, page) {
            Ok(contents) => assert_eq!(contents, expected, "task {task} page {page}"),
            Err(Touch::NoMemory) => {}
            Err(Touch::BusError) => {
                let poisoned = matches!(self.kernel.pte(task, page), DecodedPte::Poisoned(_));
                let failed = self.kernel.swap.statistics().failed_reads > io_failures;
                assert!(poisoned || failed, "a bus error for nothing");
                if poisoned {
                    self.kernel.unmap(task, page);
                    self.model.remove(&(task, page));
                }
            }
        }
    }

    fn swap_off(&mut self, disk: u8) {
        let name = self.disks.get(usize::from(disk)).map_or("/dev/shelf", |disk| disk.name()).to_owned();
        let Some(area) = self.kernel.swap.areas().find(|area| area.name() == name) else { return };
        let (swap, index) = (self.kernel.swap, area.index());
        drop(area);
        self.kernel.plug.submit();
        match swap.swapoff(index, &mut self.kernel) {
            Ok(()) => assert!(swap.area(index).is_none()),
            Err(error) => {
                assert_eq!(error, SwapOffError::NoMemory);
                assert!(swap.area(index).is_some());
            }
        }
    }

    /// Each slot's count is the number of words that hold it, used slots are those that a word or a folio holds, and each is
    /// paid for by its page's owner, once.
    fn check(&self) {
        let swap = self.kernel.swap;
        for &(task, page) in self.model.keys() {
            let payer = match self.kernel.pte(task, page) {
                DecodedPte::Present(word) => self.kernel.memory.payer_of(word >> 12),
                DecodedPte::Entry(entry) => swap.payer(entry),
                _ => continue,
            };
            assert_eq!(payer, self.owners[&(task, page)], "task {task} page {page}");
        }
        let mut paid = [0; PAYERS as usize];
        let mut words = HashMap::new();
        for word in self.kernel.tables.iter().flatten() {
            if let Some(entry) = Entry::from_pte(*word) {
                *words.entry((entry.area(), entry.slot())).or_insert(0_u32) += 1;
            }
        }
        for area in swap.areas() {
            let mut used = 0;
            // Of the largest area only the lowest clusters are ever in use; a word beyond them would be left over.
            for slot in 1..area.extents().pages().min(16 * CLUSTER_SLOTS as u64) as u32 {
                let entry = Entry::new(area.index(), slot).unwrap();
                let count = words.remove(&(area.index(), slot)).unwrap_or(0);
                assert_eq!(swap.count(entry), count, "{entry}");
                let folio = swap.lookup(entry);
                if let Some(folio) = &folio {
                    let first = folio.state().entry().expect("a cached folio knows where");
                    assert!((first.slot()..first.slot() + (1 << folio.order())).contains(&slot));
                }
                used += u64::from(count > 0 || folio.is_some());
                paid[usize::from(swap.payer(entry))] += 1;
            }
            assert_eq!(area.used(), used, "{}", area.name());
            let told = self.kernel.memory.told.lock().unwrap();
            let told: Vec<_> =
                told.iter().filter(|((index, _), _)| *index == area.index()).map(|(_, times)| *times).collect();
            assert_eq!(told, vec![1; used as usize], "{}", area.name());
        }
        assert!(words.is_empty(), "words of areas that are gone: {words:?}");
        for payer in 1..PAYERS {
            assert_eq!(self.kernel.memory.charged_to(payer), paid[usize::from(payer)], "slots that {payer} pays for");
        }
    }

    fn finish(mut self) {
        let memory = self.kernel.memory;
        memory.heap.fail_nth(0);
        memory.folios.fail_nth(0);
        memory.io.fail_nth(0);
        (1..PAYERS).for_each(|payer| memory.limit(payer, u64::MAX));
        self.kernel.settle();
        self.check();
        let mut places: Vec<_> = self.model.keys().copied().collect();
        places.sort_unstable();
        for &(task, page) in &places {
            self.read(task, page);
            // Make room for the next ones.
            self.kernel.reclaim(task, page);
            self.kernel.write_out();
        }
        for (task, page) in places {
            self.kernel.unmap(task, page);
        }
        for task in 0..TASKS {
            for page in 0..PAGES {
                assert!(matches!(self.kernel.pte(task, page), DecodedPte::None), "task {task} page {page}");
            }
        }
        self.kernel.settle();
        assert_eq!(memory.free_frames(), FRAMES, "a frame is lost");
        assert_eq!(self.kernel.swap.idle_batches(), POOL_BATCHES, "a batch is lost");
        assert_eq!(self.kernel.memory.charged(), 0, "a slot that is free is paid for");
        for disk in 0..4 {
            self.swap_off(disk);
        }
        assert_eq!(self.kernel.swap.areas().count(), 0);
        memory.forget();
    }
}

/// Does the operations on machines that `setup` makes, and looks whether the model agrees; what happened.
pub fn compare(setup: impl Fn() -> Setup) -> Seen {
    let done = AtomicU64::new(0);
    let seen = Seen::default();
    let config = Config { cases: CASES, failure_persistence: None, max_shrink_iters: 2000, ..Config::default() };
    let operations = prop::collection::vec(operation(), OPERATIONS);
    let result = TestRunner::new(config).run(&operations, |operations| {
        let memory = Memory::new(FRAMES);
        let mut pair = Pair::new(memory, setup());
        for (index, operation) in operations.iter().enumerate() {
            pair.apply(operation);
            if index % 50 == 0 {
                pair.check();
            }
        }
        done.fetch_add(operations.len() as u64, Ordering::Relaxed);
        let swap = pair.kernel.swap;
        pair.finish();
        seen.add(&swap.statistics());
        Ok(())
    });
    println!("{} operations: {seen:?}", done.into_inner());
    result.unwrap();
    seen
}

/// What happened in all cases together.
#[derive(Debug, Default)]
pub struct Seen([AtomicU64; 9]);

impl Seen {
    fn add(&self, now: &Snapshot) {
        let numbers = [
            now.pages_out,
            now.pages_in,
            now.zero_out,
            now.zero_in,
            now.failed_writes,
            now.failed_reads,
            now.readahead_hits,
            now.flushed_unmergeable,
            now.discarded_clusters,
        ];
        for (seen, number) in self.0.iter().zip(numbers) {
            seen.fetch_add(number, Ordering::Relaxed);
        }
    }

    /// Whether all of it happened.
    pub fn all(&self) -> bool {
        self.first_of_all(self.0.len())
    }

    /// Whether the first so many of the counters of [`Seen::add`] grew.
    pub fn first_of_all(&self, counters: usize) -> bool {
        self.0[..counters].iter().all(|seen| seen.load(Ordering::Relaxed) > 0)
    }
}
