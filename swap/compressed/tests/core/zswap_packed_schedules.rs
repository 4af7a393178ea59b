//! Races over pages that share blocks, explored schedule by schedule: faults, giving pages up, writeback, and their disk's leaving.

use std::sync::Arc;

use quire_compressed::zswap::{Whereabouts, Zswap};
use quire_swap::header::Page;
use quire_swap::{Entry, FaultError, Folio, FolioFlag, Locked, Plug, SlotReference, Swap, SwapOnOptions, Written};
use shuttle::thread::{self, JoinHandle};

use crate::contents::{random, text};
use crate::zswap::{Nobody, end_without_a_loss, start};
use quire_testkit::device::Device;
use quire_testkit::interrupt;
use quire_testkit::{Fake, FakeDisk, FakeFolio, Memory, enable, new_folio};

const SCHEDULES: usize = 600;
const FRAMES: usize = 12;
const PAGES: u64 = 3;

/// Three pages of text, in two blocks of a disk if they are written back.
#[derive(Clone)]
struct World {
    memory: &'static Memory,
    swap: &'static Swap<Fake>,
    zswap: &'static Arc<Zswap<Fake>>,
    disk: Arc<FakeDisk>,
    disk_area: u8,
    entries: Vec<Entry>,
}

fn page_out(swap: &Swap<Fake>, contents: &Page) -> Entry {
    let folio = new_folio(0, 0).unwrap();
    folio.with_page_mut(0, |page| *page = *contents);
    let folio = Locked::lock(folio);
    let reference = swap.duplicate(swap.add_to_swap(&folio).unwrap()).unwrap();
    let entry = reference.entry();
    reference.into_pte();
    let frame = folio.number();
    let mut plug = Plug::new();
    assert!(matches!(swap.write(&mut plug, folio), Written::Queued));
    plug.submit();
    let mut folio = Locked::lock(FakeFolio::try_from_number(frame).unwrap());
    folio.wait_for_writeback();
    // Another task may be looking at it.
    while let Err(again) = swap.evict(folio, 2, 0) {
        assert!(!again.state().is(FolioFlag::Dirty), "it was refused");
        folio = again;
        thread::yield_now();
    }
    entry
}

/// Whose the pages are: an area's that has no disk, or one's that has.
#[derive(Clone, Copy, PartialEq)]
enum Home {
    Ghost,
    Disk,
}

fn explore_both(written_back: bool, body: impl Fn(&World) + Send + Sync + Copy + 'static) {
    for home in [Home::Ghost, Home::Disk] {
        explore(home, written_back, body);
    }
}

fn explore(home: Home, written_back: bool, body: impl Fn(&World) + Send + Sync + Copy + 'static) {
    let memory = Memory::new(FRAMES);
    let (swap, zswap) = start(1000);
    zswap.set("shrinker_enabled", "1").unwrap();
    zswap.set("compressed_writeback", "1").unwrap();
    let schedule = move || {
        memory.enter();
        if home == Home::Ghost {
            zswap.swapon_ghost(512, SwapOnOptions { priority: Some(1), ..SwapOnOptions::default() }).unwrap();
        }
        let disk = FakeDisk::new("/dev/vda", if home == Home::Ghost { 100 } else { 5 });
        let disk_area = enable(swap, &disk, None).unwrap();
        let entries = (0..PAGES).map(|number| page_out(swap, &text(number))).collect();
        let world = World { memory, swap, zswap, disk, disk_area, entries };
        let device = Device::start(memory, &world.disk);
        if written_back {
            zswap.memory_is_low();
            assert_eq!(zswap.shrink(), PAGES);
            assert!(matches!(zswap.whereabouts(world.entries[1]), Whereabouts::Part { .. }));
        }
        memory.explore(true);
        body(&world);
        device.stop();
        memory.explore(false);
        end_without_a_loss(memory, swap, zswap, FRAMES);
    };
    shuttle::check_random(schedule, SCHEDULES / 2);
    shuttle::check_pct(schedule, SCHEDULES / 2, 3);
    interrupt::check(schedule, SCHEDULES / 2);
}

impl World {
    fn spawn(&self, work: impl FnOnce(Self) + Send + 'static) -> JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || {
            world.memory.enter();
            work(world);
        })
    }

    /// The page is what it was as long as a task holds it.
    fn fault(&self, page: usize) {
        match self.swap.fault_in(self.entries[page], 0, None) {
            Ok(fault) => assert!(fault.folio.with_page(0, |found| *found == text(page as u64)), "page {page}"),
            Err(error) => assert_eq!(error, FaultError::Gone),
        }
    }

    fn give_up(&self, page: usize) {
        drop(SlotReference::from_pte(self.swap, self.entries[page].to_pte()));
    }

    fn give_all_up(&self) {
        (0..PAGES as usize).for_each(|page| self.give_up(page));
    }
}

#[test]
fn pages_of_one_block_are_wanted_at_once() {
    explore_both(true, |world| {
        let tasks = [0, 1, 2].map(|page| world.spawn(move |world| world.fault(page)));
        for task in tasks {
            task.join().unwrap();
        }
        world.give_all_up();
    });
}

#[test]
fn a_page_is_given_up_while_its_block_is_read_for_another() {
    explore_both(true, |world| {
        let reader = world.spawn(|world| world.fault(1));
        let other = world.spawn(|world| {
            world.give_up(0);
            world.fault(2);
            world.give_up(2);
        });
        reader.join().unwrap();
        other.join().unwrap();
        world.give_up(1);
    });
}

#[test]
fn a_block_is_used_again_while_it_is_read() {
    explore_both(true, |world| {
        let reader = world.spawn(|world| world.fault(1));
        let other = world.spawn(|world| {
            // What this takes into the pool goes to the disk again, to the same slots or others.
            world.fault(0);
            world.give_up(0);
            world.zswap.memory_is_low();
            world.zswap.shrink();
        });
        reader.join().unwrap();
        other.join().unwrap();
        world.fault(1);
        world.fault(2);
        world.give_up(1);
        world.give_up(2);
    });
}

#[test]
fn a_slot_is_used_again_by_what_no_pool_takes_while_the_blocks_of_others_go() {
    explore(Home::Disk, true, |world| {
        let other = world.spawn(|world| {
            world.fault(2);
            world.give_up(2);
        });
        // Three slots, of which this page gets one, in a disk of four pages of which two are blocks.
        world.give_up(0);
        let again = page_out(world.swap, &random(7));
        other.join().unwrap();
        world.fault(1);
        let fault = world.swap.fault_in(again, 0, None).unwrap();
        assert!(fault.folio.with_page(0, |found| *found == random(7)));
        drop(fault);
        drop(SlotReference::from_pte(world.swap, again.to_pte()));
        world.give_up(1);
    });
}

#[test]
fn pages_are_given_up_and_wanted_while_their_blocks_are_written() {
    explore_both(false, |world| {
        let shrinker = world.spawn(|world| {
            world.zswap.memory_is_low();
            world.zswap.shrink();
        });
        let other = world.spawn(|world| {
            world.give_up(0);
            world.fault(2);
        });
        shrinker.join().unwrap();
        other.join().unwrap();
        world.fault(1);
        world.give_up(1);
        world.give_up(2);
    });
}

#[test]
fn one_task_at_a_time_writes_back() {
    explore_both(false, |world| {
        let shrink = || {
            let world = world.clone();
            thread::spawn(move || {
                world.memory.enter();
                world.zswap.memory_is_low();
                world.zswap.shrink()
            })
        };
        let mut written = [shrink(), shrink()].map(|task| task.join().unwrap());
        written.sort_unstable();
        assert_eq!(written, [0, PAGES], "all are as cold, so the first takes all");
        (0..PAGES as usize).for_each(|page| world.fault(page));
        world.give_all_up();
    });
}

#[test]
fn a_disk_leaves_while_a_block_of_it_is_read_and_another_page_given_up() {
    explore(Home::Ghost, true, |world| {
        let reader = world.spawn(|world| world.fault(1));
        let other = world.spawn(|world| world.give_up(0));
        world.swap.swapoff(world.disk_area, &mut Nobody).unwrap();
        reader.join().unwrap();
        other.join().unwrap();
        world.fault(1);
        world.fault(2);
        world.give_up(1);
        world.give_up(2);
    });
}

#[test]
fn a_disk_leaves_while_its_blocks_are_written() {
    explore(Home::Ghost, false, |world| {
        let shrinker = world.spawn(|world| {
            world.zswap.memory_is_low();
            world.zswap.shrink();
        });
        world.swap.swapoff(world.disk_area, &mut Nobody).unwrap();
        shrinker.join().unwrap();
        (0..PAGES as usize).for_each(|page| world.fault(page));
        world.give_all_up();
    });
}
