//! Races over one page of a ghost area, explored schedule by schedule: faults, writes, writeback, its disk's leaving and
//! giving the page up.

use std::sync::Arc;

use quire_compressed::zswap::{Whereabouts, Zswap};
use quire_swap::header::Page;
use quire_swap::{Entry, FaultError, Folio, FolioFlag, Locked, Plug, SlotReference, Swap, SwapOnOptions, Written};
use shuttle::thread;

use crate::contents::{random, text};
use crate::zswap::{Nobody, count, end_without_a_loss, start};
use quire_testkit::device::Device;
use quire_testkit::interrupt;
use quire_testkit::{Fake, FakeDisk, FakeFolio, Memory, enable, new_folio};

const SCHEDULES: usize = 1000;
const FRAMES: usize = 8;

/// One page of text in the pool, and a disk.
#[derive(Clone)]
struct World {
    memory: &'static Memory,
    swap: &'static Swap<Fake>,
    zswap: &'static Arc<Zswap<Fake>>,
    disk: Arc<FakeDisk>,
    disk_area: u8,
    entry: Entry,
}

fn explore(body: impl Fn(&World) + Send + Sync + Copy + 'static) {
    let memory = Memory::new(FRAMES);
    let (swap, zswap) = start(1000);
    zswap.set("shrinker_enabled", "1").unwrap();
    let schedule = move || {
        memory.enter();
        let ghost = zswap.swapon_ghost(512, SwapOnOptions { priority: Some(1), ..SwapOnOptions::default() }).unwrap();
        let disk = FakeDisk::new("/dev/vda", 100);
        let disk_area = enable(swap, &disk, None).unwrap();
        let folio = Locked::lock(page_of(&text(1)));
        let reference = swap.duplicate(swap.add_to_swap(&folio).unwrap()).unwrap();
        let entry = reference.entry();
        assert_eq!(entry.area(), ghost);
        reference.into_pte();
        let number = write(swap, folio);
        swap.evict(Locked::lock(FakeFolio::try_from_number(number).unwrap()), 2, 0).unwrap();
        let world = World { memory, swap, zswap, disk, disk_area, entry };
        memory.explore(true);
        let device = Device::start(memory, &world.disk);
        body(&world);
        device.stop();
        memory.explore(false);
        end_without_a_loss(memory, swap, zswap, FRAMES);
    };
    shuttle::check_random(schedule, SCHEDULES / 2);
    shuttle::check_pct(schedule, SCHEDULES / 2, 3);
    interrupt::check(schedule, SCHEDULES / 2);
}

fn page_of(contents: &Page) -> FakeFolio {
    let folio = new_folio(0, 0).unwrap();
    folio.with_page_mut(0, |page| *page = *contents);
    folio
}

fn write(swap: &Swap<Fake>, folio: Locked<FakeFolio>) -> u64 {
    let number = folio.number();
    let mut plug = Plug::new();
    assert!(matches!(swap.write(&mut plug, folio), Written::Queued));
    plug.submit();
    number
}

impl World {
    fn spawn(&self, work: impl FnOnce(Self) + Send + 'static) -> thread::JoinHandle<()> {
        let world = self.clone();
        thread::spawn(move || {
            world.memory.enter();
            work(world);
        })
    }

    fn shrinker(&self) -> thread::JoinHandle<()> {
        self.spawn(|world| {
            world.zswap.memory_is_low();
            world.zswap.shrink();
        })
    }

    /// The page must be what it was as long as somebody holds it.
    fn fault(&self, wanted: &Page) -> Result<Locked<FakeFolio>, FaultError> {
        let fault = self.swap.fault_in(self.entry, 0, None)?;
        assert!(fault.folio.with_page(0, |page| page == wanted), "the page is not what it was");
        Ok(fault.folio)
    }

    fn give_up(&self) {
        drop(SlotReference::from_pte(self.swap, self.entry.to_pte()));
    }
}

#[test]
fn a_fault_meets_writeback() {
    explore(|world| {
        let shrinker = world.shrinker();
        drop(world.fault(&text(1)).unwrap());
        shrinker.join().unwrap();
        world.give_up();
    });
}

#[test]
fn a_page_is_given_up_while_it_is_written_back_and_wanted() {
    explore(|world| {
        let fault = world.spawn(|world| match world.fault(&text(1)) {
            Ok(folio) => drop(folio),
            Err(error) => assert_eq!(error, FaultError::Gone),
        });
        let shrinker = world.shrinker();
        world.give_up();
        fault.join().unwrap();
        shrinker.join().unwrap();
    });
}

#[test]
fn a_page_is_written_again_while_the_shrinker_looks_for_it() {
    explore(|world| {
        let writer = world.spawn(|world| {
            let folio = world.fault(&text(1)).unwrap();
            FakeFolio::with_page_mut(&folio, 0, |page| *page = text(2));
            folio.state().set(FolioFlag::Dirty);
            let number = write(world.swap, folio);
            if let Some(folio) = FakeFolio::try_from_number(number)
                && let Ok(folio) = Locked::try_lock(folio)
            {
                let _ = world.swap.evict(folio, 2, 0);
            }
        });
        world.shrinker().join().unwrap();
        writer.join().unwrap();
        drop(world.fault(&text(2)).unwrap());
        world.give_up();
    });
}

#[test]
fn a_disk_leaves_while_a_page_on_it_is_wanted() {
    explore(|world| {
        world.memory.explore(false);
        world.zswap.memory_is_low();
        assert_eq!(world.zswap.shrink(), 1);
        assert!(matches!(world.zswap.whereabouts(world.entry), Whereabouts::Slot(_)));
        assert_eq!(count(world.zswap, "stored_pages"), 0);
        world.memory.explore(true);
        let fault = world.spawn(|world| drop(world.fault(&text(1)).unwrap()));
        world.swap.swapoff(world.disk_area, &mut Nobody).unwrap();
        fault.join().unwrap();
        assert_eq!(world.zswap.whereabouts(world.entry), Whereabouts::Nowhere);
        drop(world.fault(&text(1)).unwrap());
        world.give_up();
    });
}

#[test]
fn a_disk_leaves_while_pages_go_there_and_one_is_given_up() {
    explore(|world| {
        let shrinker = world.shrinker();
        let leaving = world.spawn(|world| world.swap.swapoff(world.disk_area, &mut Nobody).unwrap());
        world.give_up();
        shrinker.join().unwrap();
        leaving.join().unwrap();
    });
}

#[test]
fn a_disk_leaves_while_a_page_that_no_pool_takes_goes_there() {
    explore(|world| {
        let writer = world.spawn(|world| {
            let folio = world.fault(&text(1)).unwrap();
            FakeFolio::with_page_mut(&folio, 0, |page| *page = random(2));
            folio.state().set_written();
            write(world.swap, folio);
        });
        let mut waits = 0;
        while world.disk.pending() == 0 && waits < 200 {
            thread::yield_now();
            waits += 1;
        }
        world.swap.swapoff(world.disk_area, &mut Nobody).unwrap();
        assert_eq!(world.disk.pending(), 0, "a disk that has left is written");
        writer.join().unwrap();
        drop(world.fault(&random(2)).unwrap());
        world.give_up();
    });
}
