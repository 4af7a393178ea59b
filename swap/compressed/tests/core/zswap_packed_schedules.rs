//! Races over pages that share blocks, explored schedule by schedule: faults, giving pages up, writeback, and their disk's leaving.

use std::sync::Arc;

use quire_compressed::zswap::{Whereabouts, Zswap};
use quire_swap::{Entry, FaultError, Folio, Locked, Plug, SlotReference, Swap, SwapOnOptions, Written};
use shuttle::thread::{self, JoinHandle};

use crate::contents::text;
use crate::zswap::{Nobody, end_without_a_loss, start};
use quire_testkit::device::Device;
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

fn page_out(swap: &Swap<Fake>, number: u64) -> Entry {
    let folio = new_folio(0, 0).unwrap();
    folio.with_page_mut(0, |page| *page = text(number));
    let folio = Locked::lock(folio);
    let reference = swap.duplicate(swap.add_to_swap(&folio).unwrap()).unwrap();
    let entry = reference.entry();
    reference.into_pte();
    let frame = folio.number();
    let mut plug = Plug::new();
    assert!(matches!(swap.write(&mut plug, folio), Written::Queued));
    plug.submit();
    swap.evict(Locked::lock(FakeFolio::try_from_number(frame).unwrap()), 2, 0).unwrap();
    entry
}

fn explore(written_back: bool, body: impl Fn(&World) + Send + Sync + Copy + 'static) {
    let memory = Memory::new(FRAMES);
    let (swap, zswap) = start(1000);
    zswap.set("shrinker_enabled", "1").unwrap();
    zswap.set("compressed_writeback", "1").unwrap();
    let schedule = move || {
        memory.enter();
        zswap.swapon_ghost(512, SwapOnOptions { priority: Some(1), ..SwapOnOptions::default() }).unwrap();
        let disk = FakeDisk::new("/dev/vda", 100);
        let disk_area = enable(swap, &disk, None).unwrap();
        let entries = (0..PAGES).map(|number| page_out(swap, number)).collect();
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
    explore(true, |world| {
        let tasks = [0, 1, 2].map(|page| world.spawn(move |world| world.fault(page)));
        for task in tasks {
            task.join().unwrap();
        }
        world.give_all_up();
    });
}

#[test]
fn a_page_is_given_up_while_its_block_is_read_for_another() {
    explore(true, |world| {
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
    explore(true, |world| {
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
fn pages_are_given_up_and_wanted_while_their_blocks_are_written() {
    explore(false, |world| {
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
fn a_disk_leaves_while_a_block_of_it_is_read_and_another_page_given_up() {
    explore(true, |world| {
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
    explore(false, |world| {
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
