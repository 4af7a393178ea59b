//! A model beside ghost swap and zswap: which page each place of each task has, as a plain map, and every operation at
//! random over areas that come and go, with failing allocations and disks. The states of slots are held to the table in
//! zswap's documentation.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use quire_compressed::zswap::{Whereabouts, Zswap};
use quire_swap::ghost::PATH;
use quire_swap::header::Page;
use quire_swap::{Area, DecodedPte, Entry, POOL_BATCHES, Swap, SwapOffError, SwapOnOptions};

use crate::contents::{random, same, text_of_length};
use crate::zswap::{count, start};
use quire_testkit::kernel::Kernel;
use quire_testkit::{Fake, FakeDisk, Memory, enable};

const TASKS: usize = 2;
const PAGES: usize = 40;
const FRAMES: usize = 160;
/// Frames that zswap is told of: a fifth of them are for its pool, so it gets full.
const TOLD: u64 = 60;
const GHOST_PAGES: u64 = 512;
const CASES: u32 = 180;
/// With `CASES`, more than 100,000 operations.
const OPERATIONS: usize = 600;
const CONTENTS: usize = 40;
const SWITCHES: [&str; 3] = ["enabled", "shrinker_enabled", "compressed_writeback"];

#[derive(Clone, Debug)]
enum Operation {
    Populate(usize, usize, usize),
    /// A folio of four pages of one word each.
    PopulateLarge(usize, usize),
    Read(usize, usize),
    Write(usize, usize, usize),
    Share(usize, usize),
    Unmap(usize, usize),
    Reclaim(usize, usize),
    Submit,
    Complete(usize),
    Evict,
    Shrink,
    Switch(usize, bool),
    MaxOrder(u8),
    FailHeap(u64),
    FailFolio(u64),
    FailFrame(u64),
    FailIo(u64),
    SwapOff(usize),
    SwapOn(usize),
}

fn operation() -> impl Strategy<Value = Operation> {
    use Operation as O;
    let (task, page, contents) = (0..TASKS, 0..PAGES, 0..CONTENTS);
    prop_oneof![
        12 => (task.clone(), page.clone(), contents.clone()).prop_map(|(t, p, c)| O::Populate(t, p, c)),
        1 => (task.clone(), 0..PAGES / 4).prop_map(|(t, p)| O::PopulateLarge(t, p * 4)),
        8 => (task.clone(), page.clone()).prop_map(|(t, p)| O::Read(t, p)),
        6 => (task.clone(), page.clone(), contents).prop_map(|(t, p, c)| O::Write(t, p, c)),
        2 => (task.clone(), page.clone()).prop_map(|(t, p)| O::Share(t, p)),
        4 => (task.clone(), page.clone()).prop_map(|(t, p)| O::Unmap(t, p)),
        24 => (task, page).prop_map(|(t, p)| O::Reclaim(t, p)),
        4 => Just(O::Submit),
        4 => (1..6_usize).prop_map(O::Complete),
        6 => Just(O::Evict),
        3 => Just(O::Shrink),
        2 => (0..SWITCHES.len(), prop::bool::weighted(0.8)).prop_map(|(s, on)| O::Switch(s, on)),
        1 => (0..3_u8).prop_map(O::MaxOrder),
        1 => (1..12_u64).prop_map(O::FailHeap),
        1 => (1..8_u64).prop_map(O::FailFolio),
        1 => (1..12_u64).prop_map(O::FailFrame),
        1 => (1..6_u64).prop_map(O::FailIo),
        1 => (0..AREAS.len()).prop_map(O::SwapOff),
        2 => (0..AREAS.len()).prop_map(O::SwapOn),
    ]
}

/// What zswap notes of a page of the disk that is its own slot's.
const OWN: u8 = 255;

/// What zswap has noted of a page of an area's disk.
fn note(area: &Area<Fake>, page: u32) -> u8 {
    area.page_notes().and_then(|notes| notes.get(page)).map_or(0, |note| note.load(Ordering::Relaxed))
}

/// The areas that come and go.
const AREAS: [&str; 3] = [PATH, "/dev/vda", "/dev/vdb"];

struct World {
    swap: &'static Swap<Fake>,
    zswap: &'static Arc<Zswap<Fake>>,
    kernel: Kernel,
    disks: [Arc<FakeDisk>; 2],
    /// What each place of each task holds.
    model: Vec<Vec<Option<Page>>>,
}

impl World {
    fn new() -> Self {
        let memory = Memory::new(FRAMES);
        let (swap, zswap) = start(TOLD);
        let disks = [FakeDisk::new(AREAS[1], 60), FakeDisk::new(AREAS[2], 24)];
        let kernel = Kernel::new(swap, memory, TASKS, PAGES);
        Self { swap, zswap, kernel, disks, model: vec![vec![None; PAGES]; TASKS] }
    }

    fn index_of(&self, name: &str) -> Option<u8> {
        self.swap.areas().find(|area| area.name() == name).map(|area| area.index())
    }

    fn swap_on(&self, area: usize) {
        let _ = match area {
            0 => {
                let options = SwapOnOptions { priority: Some(5), ..SwapOnOptions::default() };
                self.zswap.swapon_ghost(GHOST_PAGES, options)
            }
            disk => enable(self.swap, &self.disks[disk - 1], None),
        };
    }

    fn swap_off(&mut self, area: usize) -> Result<(), SwapOffError> {
        let Some(index) = self.index_of(AREAS[area]) else { return Ok(()) };
        self.kernel.plug.submit();
        // What cannot be read now is given up for ever.
        self.kernel.memory.io.fail_nth(0);
        self.swap.swapoff(index, &mut self.kernel)
    }

    /// A read must give what was written, unless no frame could be had. A disk that failed once is asked again.
    fn read(&mut self, task: usize, page: usize) -> Result<(), TestCaseError> {
        let Some(wanted) = self.model[task][page] else { return Ok(()) };
        let mut errors = Vec::new();
        for _ in 0..3 {
            match self.kernel.read_page(task, page) {
                Ok(found) => {
                    prop_assert!(found == wanted, "page {page} of task {task} is wrong");
                    return Ok(());
                }
                Err(error) => errors.push(error),
            }
        }
        let place = Entry::from_pte(self.kernel.tables[task][page]).map(|entry| self.zswap.whereabouts(entry));
        prop_assert!(self.kernel.memory.free_frames() == 0, "page {page} of task {task}: {errors:?}, {place:?}");
        Ok(())
    }

    fn share(&mut self, task: usize, page: usize) {
        let other = (task + 1) % TASKS;
        if self.model[other][page].is_none()
            && self.model[task][page].is_some()
            && self.kernel.share((task, page), (other, page))
        {
            self.model[other][page] = self.model[task][page];
        }
    }

    /// Whether the page of this slot, which a task has, is all zero.
    fn is_zero(&self, entry: Entry) -> bool {
        let words = self.kernel.tables.iter().zip(&self.model);
        let mut pages = words.flat_map(|(words, pages)| words.iter().zip(pages));
        let held = pages.find(|(word, _)| **word == DecodedPte::Entry(entry).encode());
        held.and_then(|(_, page)| *page) == Some(same(0))
    }

    /// Every slot is in a legal state, and what points at what points back.
    fn check(&self) -> Result<(), TestCaseError> {
        let mut stored = 0;
        let mut parts: HashMap<Entry, u16> = HashMap::new();
        for area in self.swap.areas() {
            let is_ghost = area.name() == PATH;
            for slot in 1..=u32::try_from(area.usable()).unwrap() {
                let entry = Entry::new(area.index(), slot).unwrap();
                let place = self.zswap.whereabouts(entry);
                stored += u64::from(matches!(place, Whereabouts::Same | Whereabouts::Pool));
                let (counted, cached) = (self.swap.count(entry) > 0, self.swap.lookup(entry).is_some());
                if let Some(owner) = area.owner_of(slot) {
                    prop_assert!(!is_ghost && !counted && !cached, "{entry} is owned and used");
                    prop_assert_eq!(self.zswap.whereabouts(owner), Whereabouts::Slot(entry));
                }
                if !counted && !cached {
                    prop_assert_eq!(place, Whereabouts::Nowhere, "{} is free", entry);
                }
                match place {
                    Whereabouts::Slot(other) => {
                        prop_assert!(is_ghost);
                        let target = self.swap.area(other.area()).expect("its slot is in use");
                        prop_assert_eq!(target.owner_of(other.slot()), Some(entry));
                    }
                    Whereabouts::Part { first, last } => {
                        prop_assert_eq!(is_ghost, first.area() != area.index());
                        *parts.entry(first).or_default() += 1;
                        *parts.entry(last).or_default() += u16::from(last != first);
                    }
                    Whereabouts::Page(page) if page == slot => prop_assert_eq!(note(&area, page), OWN),
                    Whereabouts::Page(page) => {
                        prop_assert!(!is_ghost);
                        *parts.entry(Entry::new(area.index(), page).unwrap()).or_default() += 1;
                    }
                    Whereabouts::Lost => prop_assert!(false, "{} was lost", entry),
                    Whereabouts::Nowhere if is_ghost && counted && !cached => {
                        prop_assert!(self.is_zero(entry), "{entry} is nowhere");
                    }
                    Whereabouts::Nowhere
                        if area.page_notes().is_some() && counted && !cached && !self.is_zero(entry) =>
                    {
                        prop_assert_eq!(note(&area, slot), OWN, "{} is nowhere", entry);
                    }
                    _ => {}
                }
            }
        }
        for area in self.swap.areas() {
            for slot in 1..=u32::try_from(area.usable()).unwrap() {
                let counted = parts.get(&Entry::new(area.index(), slot).unwrap()).copied().unwrap_or(0);
                let noted = note(&area, slot);
                let is_used = area.owner_of(slot).is_some() || area.holders(slot) > 0;
                let elsewhere = if noted == OWN { 0 } else { u16::from(noted) };
                prop_assert_eq!(area.holders(slot) + elsewhere, counted, "slot {} of {}", slot, area.name());
                if noted == OWN {
                    let entry = Entry::new(area.index(), slot).unwrap();
                    let is_used = is_used || self.swap.count(entry) > 0 || self.swap.lookup(entry).is_some();
                    prop_assert!(is_used, "page {} of {} is a free slot's", slot, area.name());
                }
            }
        }
        prop_assert_eq!(stored, self.zswap.stored_pages());
        prop_assert!(self.zswap.adds_up());
        Ok(())
    }

    fn run(&mut self, operation: &Operation, pages: &[Page]) -> Result<(), TestCaseError> {
        let memory = self.kernel.memory;
        match *operation {
            Operation::Populate(task, page, contents) => {
                if self.model[task][page].is_none() && self.kernel.populate_page(task, page, &pages[contents]) {
                    self.model[task][page] = Some(pages[contents]);
                }
            }
            Operation::PopulateLarge(task, page) => {
                let free = self.model[task][page..page + 4].iter().all(Option::is_none);
                if free && self.kernel.populate(task, page, 2, 77) {
                    (0..4).for_each(|index| self.model[task][page + index] = Some(same(77 + index as u64)));
                }
            }
            Operation::Read(task, page) => self.read(task, page)?,
            Operation::Write(task, page, contents) => {
                if self.model[task][page].is_some() && self.kernel.write_page(task, page, &pages[contents]).is_ok() {
                    self.model[task][page] = Some(pages[contents]);
                }
            }
            Operation::Share(task, page) => self.share(task, page),
            Operation::Unmap(task, page) => {
                if self.model[task][page].take().is_some() {
                    self.kernel.unmap(task, page);
                }
            }
            Operation::Reclaim(task, page) => _ = self.kernel.reclaim(task, page),
            Operation::Submit => self.kernel.plug.submit(),
            Operation::Complete(requests) => (0..requests).for_each(|_| _ = memory.run_one()),
            Operation::Evict => self.kernel.evict_ended(),
            Operation::Shrink => {
                self.zswap.memory_is_low();
                self.zswap.shrink();
            }
            Operation::Switch(switch, on) => self.zswap.set(SWITCHES[switch], if on { "1" } else { "0" }).unwrap(),
            Operation::MaxOrder(order) => self.kernel.max_order = order,
            Operation::FailHeap(nth) => memory.heap.fail_nth(nth),
            Operation::FailFolio(nth) => memory.folios.fail_nth(nth),
            Operation::FailFrame(nth) => memory.pool.allocations.fail_nth(nth),
            Operation::FailIo(nth) => memory.io.fail_nth(nth),
            Operation::SwapOff(area) => _ = self.swap_off(area),
            Operation::SwapOn(area) => self.swap_on(area),
        }
        Ok(())
    }
}

#[test]
fn ghost_areas_and_disks_do_what_a_map_does() {
    let pages: Vec<Page> = (0..CONTENTS as u64)
        .map(|number| match number % 8 {
            0 => same(0),
            1 => same(number),
            2 => same(u64::MAX - number),
            3 => random(number),
            _ => text_of_length(number, 200 + 90 * number as usize),
        })
        .collect();
    let mut runner = TestRunner::new(Config { cases: CASES, failure_persistence: None, ..Config::default() });
    let operations = (0..8_u8, proptest::collection::vec(operation(), OPERATIONS), Just([0, 1, 2]).prop_shuffle());
    runner
        .run(&operations, |(enabled, operations, last)| {
            let mut world = World::new();
            (0..3).filter(|area| enabled >> area & 1 != 0).for_each(|area| world.swap_on(area));
            for (number, operation) in operations.into_iter().enumerate() {
                world.run(&operation, &pages)?;
                if number.is_multiple_of(20) {
                    world.check()?;
                }
            }
            let memory = world.kernel.memory;
            for failing in [&memory.heap, &memory.folios, &memory.pool.allocations, &memory.io] {
                failing.fail_nth(0);
            }
            world.kernel.write_out();
            world.check()?;

            for area in last {
                world.swap_off(area).unwrap();
                for (task, page) in (0..TASKS).flat_map(|task| (0..PAGES).map(move |page| (task, page))) {
                    world.read(task, page)?;
                }
            }
            prop_assert_eq!((world.zswap.stored_pages(), memory.pool.used()), (0, 0));
            prop_assert_eq!(count(world.zswap, "pool_total_size"), 0);
            for (task, page) in (0..TASKS).flat_map(|task| (0..PAGES).map(move |page| (task, page))) {
                world.kernel.unmap(task, page);
            }
            prop_assert_eq!(memory.free_frames(), FRAMES, "a frame is lost");
            prop_assert_eq!(world.swap.idle_batches() % POOL_BATCHES, 0, "a batch is lost");
            Ok(())
        })
        .unwrap();
}
