//! Races, explored schedule by schedule: every lock, every lock-free look and every wait is a place where another task
//! may run.

use std::sync::Arc;

use quire_swap::{
    CLUSTER_SLOTS, DecodedPte, DiskProperties, Entry, FaultError, Folio, FolioFlag, FolioUse, Locked, Machine,
    Neighbourhood, POOL_BATCHES, Plug, Readahead, SlotRange, SlotReference, Swap, SwapOffError, Users, Written,
};
use shuttle::sync::Mutex;
use shuttle::thread;

use quire_testkit::device::Device;
use quire_testkit::interrupt;
use quire_testkit::shelf::Shelf;
use quire_testkit::{Fake, FakeDisk, FakeFolio, Memory, enable, new_folio, new_swap};

const SCHEDULES: usize = 2000;

struct World {
    memory: &'static Memory,
    swap: &'static Swap<Fake>,
    disk: Arc<FakeDisk>,
}

/// Runs `body` under many schedules, half of them at random, half with few switches at the worst places.
fn explore(body: impl Fn(&World) + Send + Sync + Copy + 'static) {
    explore_on(DiskProperties::default(), body);
}

fn explore_on(properties: DiskProperties, body: impl Fn(&World) + Send + Sync + Copy + 'static) {
    let memory = Memory::new(16);
    let swap = new_swap();
    let schedule = move || {
        memory.enter();
        let disk = FakeDisk::with("/dev/vda", 8 * CLUSTER_SLOTS as u64, properties, &[]);
        enable(swap, &disk, None).unwrap();
        memory.explore(true);
        let world = World { memory, swap, disk };
        body(&world);
        memory.explore(false);
        while world.disk.run_one() {}
        assert_eq!(swap.idle_batches(), POOL_BATCHES, "a batch is lost");
        assert_eq!(memory.charged(), 0, "a slot that is free is paid for");
        assert!(swap.areas().all(|area| area.used() == 0), "a slot is lost");
        assert_eq!(memory.free_frames(), 16, "a frame is lost");
        assert!(memory.told.lock().unwrap().is_empty(), "a slot was told of that is free");
        if swap.areas().count() > 0 {
            swap.swapoff(0, &mut OneWord { swap, word: Arc::new(Mutex::new(0)) }).unwrap();
        }
        memory.forget();
    };
    shuttle::check_random(schedule, SCHEDULES / 2);
    shuttle::check_pct(schedule, SCHEDULES / 2, 3);
    interrupt::check(schedule, SCHEDULES / 2);
}

/// Puts a page in a slot and drops its frame: what is left is the count.
fn swapped_out(world: &World, contents: u64) -> u64 {
    let folio = new_folio(0, contents).unwrap();
    let locked = Locked::lock(folio);
    let reference = world.swap.duplicate(world.swap.add_to_swap(&locked).unwrap()).unwrap();
    let number = locked.number();
    let mut plug = Plug::new();
    assert!(matches!(world.swap.write(&mut plug, locked), Written::Queued));
    plug.submit();
    while world.disk.run_one() {}
    let folio = Locked::lock(FakeFolio::try_from_number(number).unwrap());
    world.swap.evict(folio, 2, 0).unwrap();
    reference.into_pte()
}

fn give_up(world: &World, held: u64) {
    drop(SlotReference::from_pte(world.swap, held));
}

#[test]
fn two_faults_on_one_page_read_it_once() {
    explore(|world| {
        let word = swapped_out(world, 5);
        let entry = Entry::from_pte(word).unwrap();
        let before = world.swap.statistics().pages_in;
        let (swap, memory) = (world.swap, world.memory);
        let faults: Vec<_> = (0..2)
            .map(|_| {
                thread::spawn(move || {
                    memory.enter();
                    let fault = swap.fault_in(entry, 0, None).expect("the slot is counted");
                    assert_eq!(fault.folio.word(0), 5);
                })
            })
            .collect();
        let device = Device::start(world.memory, &world.disk);
        for fault in faults {
            fault.join().unwrap();
        }
        device.stop();
        assert_eq!(swap.statistics().pages_in - before, 1);
        give_up(world, word);
    });
}

/// A folio of the caller's on its way to the disk, and its slot's PTE.
fn on_its_way(world: &World, contents: u64) -> u64 {
    let locked = Locked::lock(new_folio(0, contents).unwrap());
    let pte = world.swap.hold_in_swap(&locked).unwrap().into_pte();
    let mut plug = Plug::new();
    assert!(matches!(world.swap.write(&mut plug, locked), Written::Queued));
    pte
}

#[test]
fn a_page_is_not_written_to_while_it_goes_where_it_must_not_change() {
    let stable = DiskProperties { stable_writes: true, ..DiskProperties::default() };
    explore_on(stable, |world| {
        let pte = on_its_way(world, 5);
        let (swap, memory) = (world.swap, world.memory);
        let fault = thread::spawn(move || {
            memory.enter();
            let folio = swap.fault_in(Entry::from_pte(pte).unwrap(), 0, None).expect("the slot is counted").folio;
            if folio.state().may_be_written() {
                folio.fill(0, 6);
                folio.state().set(FolioFlag::Dirty);
            } else {
                assert!(folio.state().is(FolioFlag::Writeback));
            }
        });
        let device = Device::start(memory, &world.disk);
        fault.join().unwrap();
        device.stop();
        give_up(world, pte);
    });
}

#[test]
fn a_page_is_given_up_while_another_task_faults_on_it() {
    explore(|world| {
        let word = swapped_out(world, 5);
        let entry = Entry::from_pte(word).unwrap();
        let (swap, memory) = (world.swap, world.memory);
        let device = Device::start(memory, &world.disk);
        let fault = thread::spawn(move || {
            memory.enter();
            match swap.fault_in(entry, 0, None) {
                Ok(fault) => {
                    assert_eq!(fault.folio.word(0), 5);
                }
                Err(error) => assert_eq!(error, FaultError::Gone),
            }
        });
        give_up(world, word);
        fault.join().unwrap();
        device.stop();
    });
}

#[test]
fn a_page_is_given_up_while_reclaim_puts_it_back() {
    explore(|world| {
        let word = swapped_out(world, 5);
        let entry = Entry::from_pte(word).unwrap();
        let swap = world.swap;
        let device = Device::start(world.memory, &world.disk);
        drop(swap.fault_in(entry, 0, None).expect("the slot is counted"));
        device.stop();
        let reclaim = looking_at(world, entry);
        give_up(world, word);
        reclaim.join().unwrap();
    });
}

#[test]
fn a_page_gets_a_slot_elsewhere_while_its_old_one_is_given_up() {
    explore(|world| {
        let (swap, memory) = (world.swap, world.memory);
        let locked = Locked::lock(new_folio(0, 5).unwrap());
        let reference = swap.hold_in_swap(&locked).unwrap();
        let folio = locked.unlock();
        let other = enable(swap, &FakeDisk::new("/dev/vdb", 600), Some(5)).unwrap();
        let mover = {
            let folio = folio.clone();
            thread::spawn(move || {
                memory.enter();
                let locked = Locked::lock(folio);
                if swap.try_free_slot(&locked) {
                    assert_eq!(swap.add_to_swap(&locked).unwrap().area(), other);
                }
            })
        };
        drop(reference);
        mover.join().unwrap();
        swap.drop_if_unused(&folio);
        drop(folio);
        swap.swapoff(other, &mut OneWord { swap, word: Arc::new(Mutex::new(0)) }).unwrap();
    });
}

/// Reclaim that looks at the page in `entry` and leaves it where it is.
fn looking_at(world: &World, entry: Entry) -> thread::JoinHandle<()> {
    let (swap, memory) = (world.swap, world.memory);
    thread::spawn(move || {
        memory.enter();
        if let Some(Ok(folio)) = swap.lookup(entry).map(Locked::try_lock) {
            thread::yield_now();
            drop(folio);
        }
    })
}

/// A fault on the page in `entry`; says which frame the word maps now, then takes its count back.
fn map(swap: &Swap<Fake>, entry: Entry, say: impl FnOnce(u64)) {
    let fault = swap.fault_in(entry, 0, None).expect("the slot is counted");
    say(FakeFolio::clone(&fault.folio).into_number());
    swap.put_mapped(entry, &fault.folio, false);
}

/// What unmapping the frame does.
fn unmap(swap: &Swap<Fake>, frame: u64) {
    thread::yield_now();
    swap.drop_if_unused(&FakeFolio::from_number(frame));
}

#[test]
fn a_page_is_unmapped_while_reclaim_looks_at_it() {
    explore(|world| {
        let entry = Entry::from_pte(swapped_out(world, 5)).unwrap();
        let swap = world.swap;
        let device = Device::start(world.memory, &world.disk);
        let mut mapped = None;
        map(swap, entry, |frame| mapped = Some(frame));
        device.stop();
        let reclaim = looking_at(world, entry);
        unmap(swap, mapped.unwrap());
        reclaim.join().unwrap();
    });
}

#[test]
fn a_page_is_unmapped_while_the_fault_that_maps_it_ends() {
    explore(|world| {
        let entry = Entry::from_pte(swapped_out(world, 5)).unwrap();
        let (swap, memory) = (world.swap, world.memory);
        let device = Device::start(world.memory, &world.disk);
        let mapped = Arc::new(Mutex::new(None));
        let word = Arc::clone(&mapped);
        let fault = thread::spawn(move || {
            memory.enter();
            map(swap, entry, |frame| *word.lock().unwrap() = Some(frame));
        });
        let frame = loop {
            if let Some(frame) = mapped.lock().unwrap().take() {
                break frame;
            }
            thread::yield_now();
        };
        unmap(swap, frame);
        fault.join().unwrap();
        device.stop();
    });
}

#[test]
fn a_page_is_given_up_while_another_task_copies_it() {
    explore(|world| {
        let word = swapped_out(world, 5);
        let entry = Entry::from_pte(word).unwrap();
        let other = world.swap.duplicate(entry).unwrap().into_pte();
        let (swap, memory) = (world.swap, world.memory);
        let device = Device::start(world.memory, &world.disk);
        let fault = thread::spawn(move || {
            memory.enter();
            let fault = swap.fault_in(entry, 0, None).expect("the slot is counted");
            swap.put_mapped(entry, &fault.folio, true);
        });
        give_up(world, other);
        fault.join().unwrap();
        device.stop();
    });
}

#[test]
fn a_zero_page_is_given_up_while_it_is_filled_ahead() {
    explore(|world| {
        let words = [0, 1].map(|_| {
            let folio = Locked::lock(new_folio(0, 0).unwrap());
            let reference = world.swap.duplicate(world.swap.add_to_swap(&folio).unwrap()).unwrap();
            let Written::Zero(folio) = world.swap.write(&mut Plug::new(), folio) else { panic!("it is zero") };
            world.swap.evict(folio, 2, 0).unwrap();
            reference.into_pte()
        });
        let (swap, memory, entries) = (world.swap, world.memory, words.map(|word| Entry::from_pte(word).unwrap()));
        let fault = thread::spawn(move || {
            memory.enter();
            let around = Neighbourhood {
                readahead: &Readahead::new(),
                page: 0,
                pages: (0, 2),
                entry: &|page| Some(entries[page as usize]),
            };
            swap.fault_in(entries[0], 0, Some(&around)).expect("the slot is counted").folio.unlock()
        });
        give_up(world, words[1]);
        let folio = fault.join().unwrap();
        give_up(world, words[0]);
        drop(folio);
    });
}

#[test]
fn a_page_is_given_up_while_its_write_ends() {
    explore(|world| {
        let locked = Locked::lock(new_folio(0, 5).unwrap());
        let entry = world.swap.add_to_swap(&locked).unwrap();
        let reference = world.swap.duplicate(entry).unwrap();
        let mut plug = Plug::new();
        assert!(matches!(world.swap.write(&mut plug, locked), Written::Queued));
        plug.submit();
        let disk = Arc::clone(&world.disk);
        let memory = world.memory;
        let device = thread::spawn(move || {
            memory.enter();
            assert!(disk.run_one());
        });
        drop(reference);
        device.join().unwrap();
    });
}

#[test]
fn a_fault_races_with_eviction() {
    explore(|world| {
        let word = swapped_out(world, 5);
        let entry = Entry::from_pte(word).unwrap();
        let (swap, memory) = (world.swap, world.memory);
        let device = Device::start(memory, &world.disk);
        let tasks: Vec<_> = (0..2)
            .map(|task| {
                thread::spawn(move || {
                    memory.enter();
                    let fault = swap.fault_in(entry, 0, None).expect("the slot is counted");
                    assert_eq!(fault.folio.word(0), 5);
                    if task == 0 {
                        let _ = swap.evict(fault.folio, 2, 0);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.join().unwrap();
        }
        device.stop();
        give_up(world, word);
    });
}

#[test]
fn a_page_is_written_to_while_it_is_evicted() {
    explore(|world| {
        let word = swapped_out(world, 5);
        let (swap, memory) = (world.swap, world.memory);
        let device = Device::start(memory, &world.disk);
        let fault = swap.fault_in(Entry::from_pte(word).unwrap(), 0, None).expect("the slot is counted");
        device.stop();
        let mapped = FakeFolio::clone(&fault.folio);
        let writer = thread::spawn(move || {
            memory.enter();
            mapped.fill(0, 7);
            mapped.state().set_written();
        });
        // There are so few references only when the writer has let go of the page, which is dirty then.
        let evicted = swap.evict(fault.folio, 2, 0);
        assert!(evicted.is_err(), "what was written is lost");
        drop(evicted);
        writer.join().unwrap();
        give_up(world, word);
    });
}

#[test]
fn a_lookup_never_sees_another_page() {
    explore(|world| {
        let word = swapped_out(world, 5);
        let entry = Entry::from_pte(word).unwrap();
        let fault = |swap: &Swap<Fake>| swap.fault_in(entry, 0, None).expect("the slot is counted").folio;
        let (swap, memory) = (world.swap, world.memory);
        let device = Device::start(world.memory, &world.disk);
        drop(fault(swap));
        device.stop();
        let reader = thread::spawn(move || {
            memory.enter();
            if let Some(folio) = swap.lookup(entry) {
                assert_eq!(folio.word(0), 5, "what is returned was in the slot, and stays what it is");
            }
        });
        // The frame is freed and used for something else at once.
        let folio = Locked::lock(swap.lookup(entry).unwrap());
        let evicted = swap.evict(folio, 2, 0);
        drop(evicted.map(drop));
        let other = new_folio(0, 6).unwrap();
        reader.join().unwrap();
        drop(other);
        if let Some(folio) = swap.lookup(entry) {
            let _ = swap.evict(Locked::lock(folio), 2, 0);
        }
        give_up(world, word);
    });
}

#[test]
fn slots_are_taken_and_given_back_by_all_at_once() {
    explore(|world| {
        let (swap, memory) = (world.swap, world.memory);
        let taken = Arc::new(Mutex::new(std::collections::HashSet::new()));
        let tasks: Vec<_> = (0..3)
            .map(|task| {
                let taken = Arc::clone(&taken);
                thread::spawn(move || {
                    memory.enter();
                    for order in [0, task] {
                        let slots = swap.allocate(order).expect("there is room");
                        let run = slots.run();
                        for slot in run.first..run.first + run.length {
                            assert!(taken.lock().unwrap().insert(slot), "slot {slot} was taken twice");
                        }
                        thread::yield_now();
                        for slot in run.first..run.first + run.length {
                            taken.lock().unwrap().remove(&slot);
                        }
                        drop(slots);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.join().unwrap();
        }
    });
}

/// One PTE that a task faults on while `swapoff` swaps it in.
struct OneWord {
    swap: &'static Swap<Fake>,
    word: Arc<Mutex<u64>>,
}

impl OneWord {
    /// What a fault does: `None` once the page is present.
    fn fault(&self) -> Option<()> {
        let word = *self.word.lock().unwrap();
        let entry = Entry::from_pte(word)?;
        match self.swap.fault_in(entry, 0, None) {
            Ok(fault) => {
                assert_eq!(fault.folio.word(0), 5);
                let mut now = self.word.lock().unwrap();
                if *now == word {
                    *now = FakeFolio::clone(&fault.folio).into_number() << 12 | 1;
                    drop(now);
                    self.swap.put_mapped(entry, &fault.folio, true);
                }
            }
            Err(error) => assert_eq!(error, FaultError::Gone),
        }
        Some(())
    }
}

impl Users for OneWord {
    fn swap_in(&mut self, slots: &SlotRange) -> Result<(), SwapOffError> {
        assert!(slots.slots.contains(&1));
        self.fault();
        Ok(())
    }

    fn map_refused(&mut self, _slots: &SlotRange) {}
}

#[test]
fn swapoff_races_with_a_fault_and_an_allocation() {
    explore(|world| {
        let word = Arc::new(Mutex::new(swapped_out(world, 5)));
        let (swap, memory) = (world.swap, world.memory);
        let device = Device::start(world.memory, &world.disk);
        let task = OneWord { swap, word: Arc::clone(&word) };
        let faulting = thread::spawn(move || {
            memory.enter();
            while task.fault().is_some() {}
        });
        let allocating = thread::spawn(move || {
            memory.enter();
            if let Ok(slots) = swap.allocate(0) {
                assert_eq!(swap.areas().count(), 1, "an area with a slot in use stays");
                drop(slots);
            }
        });
        let mut users = OneWord { swap, word: Arc::clone(&word) };
        swap.swapoff(0, &mut users).unwrap();
        assert_eq!(swap.areas().count(), 0);
        faulting.join().unwrap();
        allocating.join().unwrap();
        device.stop();
        let DecodedPte::Present(present) = DecodedPte::decode(*word.lock().unwrap()) else { panic!("not back") };
        drop(FakeFolio::from_number(present >> 12));
    });
}

#[test]
fn an_area_stays_while_its_only_slots_are_taken() {
    explore(|world| {
        let (swap, memory) = (world.swap, world.memory);
        // Slots of a cluster without a table, which has to be made, and of the first one, where the header's is in use.
        swap.swapoff(0, &mut Patient).unwrap();
        let disk = FakeDisk::new("/dev/vdb", 2 * CLUSTER_SLOTS as u64);
        for order in [1, 0, 0, 0] {
            let area = enable(swap, &disk, None).unwrap();
            let allocating = thread::spawn(move || {
                memory.enter();
                while let Ok(slots) = swap.allocate(order) {
                    for _ in 0..4 {
                        assert_eq!(swap.areas().count(), 1, "an area with a slot in use stays");
                        thread::yield_now();
                    }
                    drop(slots);
                }
            });
            (0..40).for_each(|_| thread::yield_now());
            swap.swapoff(area, &mut Patient).unwrap();
            allocating.join().unwrap();
        }
    });
}

#[test]
fn a_page_gives_its_slot_up_while_others_fault_on_it_alone_and_with_its_neighbour() {
    explore(|world| {
        let words = [swapped_out(world, 5), swapped_out(world, 6)];
        let entries = words.map(|word| Entry::from_pte(word).unwrap());
        assert_eq!(entries[0].slot() + 1, entries[1].slot());
        let (swap, memory) = (world.swap, world.memory);
        let device = Device::start(memory, &world.disk);
        let check = move |folio: &Locked<FakeFolio>, page: usize| {
            assert_eq!((folio.state().entry(), folio.word(0)), (Some(entries[page]), 5 + page as u64));
        };
        let alone = thread::spawn(move || {
            memory.enter();
            match swap.fault_in(entries[1], 0, None) {
                Ok(fault) => check(&fault.folio, 1),
                Err(error) => assert_eq!(error, FaultError::Gone),
            }
        });
        let together = thread::spawn(move || {
            memory.enter();
            let folios = [(); 2].map(|()| Fake::allocate_folio(0, FolioUse::Readahead(entries[0])).unwrap());
            let Some(back) = swap.fault_in_together(entries[0], folios) else { return };
            back.folios.iter().enumerate().for_each(|(page, folio)| folio.iter().for_each(|folio| check(folio, page)));
        });
        // The page's only PTE maps it, and its task writes to it.
        let folio = swap.fault_in(entries[1], 0, None).unwrap().folio;
        check(&folio, 1);
        swap.put_mapped(entries[1], &folio, true);
        folio.fill(0, 7);
        folio.state().set_written();
        let mapped = FakeFolio::clone(&folio);
        drop(folio);
        alone.join().unwrap();
        together.join().unwrap();
        device.stop();
        drop(mapped);
        give_up(world, words[0]);
    });
}

/// Runs `body` on an area whose clusters exist only while they are in use, under many schedules.
fn explore_on_demand(body: impl Fn(&World) + Send + Sync + Copy + 'static) {
    explore(move |world| {
        world.memory.explore(false);
        let mut nobody = OneWord { swap: world.swap, word: Arc::new(Mutex::new(0)) };
        world.swap.swapoff(0, &mut nobody).unwrap();
        assert_eq!(Shelf::new(world.memory).enable(world.swap, 64 * CLUSTER_SLOTS as u64), Ok(0));
        world.memory.explore(true);
        body(world);
    });
}

#[test]
fn clusters_vanish_while_others_look_at_them_and_take_from_them() {
    explore_on_demand(|world| {
        let (swap, memory) = (world.swap, world.memory);
        // The first chunk of clusters stays; these fill it and one more.
        let mut held: Vec<_> = (0..5).map(|_| swap.allocate(9).unwrap()).collect();
        let entry = Entry::new(0, held.last().unwrap().run().first).unwrap();
        let taken = Arc::new(Mutex::new(std::collections::HashSet::new()));
        let mut tasks = vec![thread::spawn(move || {
            memory.enter();
            for _ in 0..3 {
                assert!(swap.lookup(entry).is_none());
                assert_eq!(swap.count(entry), 0);
            }
        })];
        for _ in 0..2 {
            let taken = Arc::clone(&taken);
            tasks.push(thread::spawn(move || {
                memory.enter();
                for _ in 0..4 {
                    let slots = swap.allocate(9).expect("there is room");
                    assert!(taken.lock().unwrap().insert(slots.run().first), "a cluster was given out twice");
                    thread::yield_now();
                    taken.lock().unwrap().remove(&slots.run().first);
                }
            }));
        }
        tasks.push(thread::spawn(move || {
            memory.enter();
            for _ in 0..8 {
                swap.do_pending_work();
            }
        }));
        // What is left is all that the others take from: a chunk that is empty whenever they have nothing.
        held.truncate(3);
        for task in tasks {
            task.join().unwrap();
        }
        drop(held);
        swap.do_pending_work();
        assert_eq!(swap.area(0).unwrap().existing_clusters(), 4, "what is empty has vanished");
    });
}

#[test]
fn clusters_in_use_are_found_while_others_appear_before_and_behind_them() {
    explore_on_demand(|world| {
        let (swap, memory) = (world.swap, world.memory);
        // Three chunks of four clusters, of which the second vanishes. The first cluster has the header's slot.
        let mut held: Vec<_> = (0..11).map(|_| swap.allocate(9).unwrap()).collect();
        let slot = held.last().unwrap().run().first;
        held.drain(3..7);
        swap.do_pending_work();
        assert_eq!(swap.area(0).unwrap().existing_clusters(), 8);
        let looking = thread::spawn(move || {
            memory.enter();
            let area = swap.area(0).unwrap();
            for _ in 0..100 {
                assert!(area.is_usable(slot), "a cluster in use is not found");
                thread::yield_now();
            }
        });
        held.extend((0..5).map(|_| swap.allocate(9).expect("there is room")));
        looking.join().unwrap();
        assert_eq!(swap.area(0).unwrap().existing_clusters(), 16);
        drop(held);
    });
}

#[test]
fn an_area_is_disabled_while_its_clusters_appear_and_vanish() {
    explore_on_demand(|world| {
        let (swap, memory) = (world.swap, world.memory);
        let held: Vec<_> = (0..4).map(|_| swap.allocate(9).unwrap()).collect();
        let allocating: Vec<_> = (0..2)
            .map(|_| {
                thread::spawn(move || {
                    memory.enter();
                    if let Ok(slots) = swap.allocate(9) {
                        assert_eq!(swap.areas().count(), 1, "an area with a slot in use stays");
                        drop(slots);
                    }
                })
            })
            .collect();
        let working = thread::spawn(move || {
            memory.enter();
            swap.do_pending_work();
        });
        let freeing = thread::spawn(move || {
            memory.enter();
            drop(held);
        });
        swap.swapoff(0, &mut Patient).unwrap();
        assert_eq!(swap.areas().count(), 0);
        for task in allocating.into_iter().chain([working, freeing]) {
            task.join().unwrap();
        }
    });
}

/// No PTE of its own: what is in use is freed by others.
struct Patient;

impl Users for Patient {
    fn swap_in(&mut self, _slots: &SlotRange) -> Result<(), SwapOffError> {
        thread::yield_now();
        Ok(())
    }

    fn map_refused(&mut self, _slots: &SlotRange) {}
}
