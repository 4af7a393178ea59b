//! zram: its attributes, its pages by every way in and out, and what swap gets from it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quire_compressed::Access;
use quire_compressed::store::{Encoding, Store, Stored};
use quire_compressed::zram::{ATTRIBUTES, Control, ZRAM, Zram, ZramDisk, ZramError};
use quire_swap::header::{BadPages, Header, PAGE_SIZE, Page};
use quire_swap::{
    Disk, DiskProperties, FaultError, IoError, RegistryError, Swap, SwapOnOptions, SwapOps, SwapOpsFlags,
};

use crate::contents::{random, same, text};
use quire_testkit::kernel::Kernel;
use quire_testkit::{Fake, FakeDisk, Memory, new_swap};

/// zram0 without a size.
pub fn new_zram(swap: &Swap<Fake>) -> (Arc<Control<Fake>>, Arc<Zram<Fake>>) {
    let control = Control::start(swap).unwrap();
    assert_eq!(control.hot_add(), Ok(0));
    let zram = control.device("/dev/zram0").unwrap();
    (control, zram)
}

/// zram0 with a size.
pub fn sized(swap: &Swap<Fake>, size: &str) -> (Arc<Zram<Fake>>, Arc<ZramDisk<Fake>>) {
    let (_, zram) = new_zram(swap);
    zram.store("disksize", size).unwrap();
    let disk = zram.open().unwrap();
    (zram, disk)
}

pub fn read(disk: &ZramDisk<Fake>, page: u64) -> Result<Page, IoError> {
    let mut contents = [0xee; PAGE_SIZE];
    disk.read(page, &mut contents).map(|()| contents)
}

/// The numbers of a line of statistics.
pub fn numbers(zram: &Zram<Fake>, attribute: &str) -> Vec<u64> {
    let text = zram.show(attribute).unwrap();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

pub fn mkswap(disk: &ZramDisk<Fake>) {
    let last_page = u32::try_from(disk.pages() - 1).unwrap();
    let header = Header { last_page, uuid: [0; 16], label: [0; 16], bad_pages: BadPages::new(&[]) };
    let mut page = [0; PAGE_SIZE];
    header.encode(&mut page).unwrap();
    disk.write(0, &page).unwrap();
}

pub fn swapon(swap: &Swap<Fake>, disk: &Arc<ZramDisk<Fake>>) -> u8 {
    mkswap(disk);
    let disk: Arc<dyn Disk<Fake>> = disk.clone();
    swap.swapon(&disk, SwapOnOptions::default()).unwrap()
}

#[test]
fn attributes_answer_as_on_linux() {
    let memory = Memory::new(0);
    let (control, zram) = new_zram(new_swap());
    let store = |name: &str, text: &str| zram.store(name, text);
    let show = |name: &str| zram.show(name);
    // Without a size.
    assert_eq!(show("disksize").unwrap(), "0\n");
    assert_eq!(show("initstate").unwrap(), "0\n");
    memory.heap.fail_nth(1);
    assert_eq!(show("initstate"), Err(ZramError::NoMemory));
    assert_eq!(show("comp_algorithm").unwrap(), "[lz4]\n");
    assert_eq!(show("mm_stat").unwrap(), format!("{0}\n", ["       0"; 9].join(" ")));
    assert_eq!(show("io_stat").unwrap(), "       0        0        0        0\n");
    assert_eq!(show("debug_stat").unwrap(), "version: 1\n       0        0\n");
    for name in ["compact", "idle"] {
        assert_eq!(store(name, "all"), Err(ZramError::Invalid), "{name} without a size");
    }
    assert_eq!(show("block_state"), Err(ZramError::Invalid));
    assert_eq!(store("disksize", "0"), Err(ZramError::Invalid));
    assert_eq!(store("disksize", "banana"), Err(ZramError::Invalid));
    assert_eq!(store("comp_algorithm", "banana"), Err(ZramError::Invalid));
    assert_eq!(store("comp_algorithm", &"x".repeat(128)), Err(ZramError::TooLong));
    assert_eq!(store("comp_algorithm", &"x".repeat(127)), Err(ZramError::Invalid));
    assert_eq!(store("comp_algorithm", "lz4\n"), Ok(()));
    assert_eq!(store("mem_limit", "x"), Err(ZramError::Invalid));
    assert_eq!(store("mem_limit", "1M"), Ok(()), "a limit can be set beforehand");
    assert_eq!(numbers(&zram, "mm_stat")[3], 1 << 20);
    assert_eq!(
        store("mem_limit", "18446744073709551615"),
        Ok(()),
        "rounded up, it is more than there are bytes to count"
    );
    assert_eq!(numbers(&zram, "mm_stat")[3], u64::MAX);
    assert_eq!(store("reset", "1"), Ok(()), "nothing to do");
    assert_eq!(numbers(&zram, "mm_stat")[3], 0);
    // With one, rounded up to pages.
    assert_eq!(store("disksize", "8191\n"), Ok(()));
    assert_eq!(show("disksize").unwrap(), "8192\n");
    assert_eq!(show("initstate").unwrap(), "1\n");
    assert_eq!(store("disksize", "1M"), Err(ZramError::Busy));
    assert_eq!(store("disksize", "0"), Err(ZramError::Invalid), "nonsense is found first");
    assert_eq!(store("comp_algorithm", "lz4"), Err(ZramError::Busy));
    assert_eq!(store("mem_used_max", "1"), Err(ZramError::Invalid));
    assert_eq!(store("mem_used_max", "0"), Ok(()));
    assert_eq!(store("compact", "1"), Ok(()));
    assert_eq!(store("idle", "banana"), Err(ZramError::Invalid));
    assert_eq!(store("idle", "all\n"), Ok(()));
    // In use.
    let disk = zram.open().unwrap();
    assert_eq!(store("reset", "1"), Err(ZramError::Busy));
    assert_eq!(control.hot_remove("0"), Err(ZramError::Busy));
    drop(disk);
    assert_eq!(store("reset", "0"), Err(ZramError::Invalid));
    assert_eq!(store("reset", "x"), Err(ZramError::Invalid));
    assert_eq!(store("reset", "1\n"), Ok(()));
    assert_eq!(show("initstate").unwrap(), "0\n");
    // And what is not there.
    assert_eq!(show("max_comp_streams"), Err(ZramError::NoAttribute));
    assert_eq!(store("max_comp_streams", "2"), Err(ZramError::NoAttribute));
    for (name, access) in ATTRIBUTES {
        match access {
            Access::Read => assert_eq!(zram.store(name, "0"), Err(ZramError::ReadOnly), "{name}"),
            Access::Write => assert_eq!(zram.show(name), Err(ZramError::WriteOnly), "{name}"),
            Access::Both => assert!(zram.show(name).is_ok(), "{name}"),
        }
    }
}

#[test]
fn a_device_says_what_it_is_like() {
    Memory::new(0);
    let (zram, disk) = sized(new_swap(), "1M");
    let flags = SwapOpsFlags { synchronous: true, stable_writes: true, ..SwapOpsFlags::default() };
    assert_eq!(SwapOps::flags(&*disk), flags);
    let (open, disk): (_, Arc<dyn Disk<Fake>>) = (zram.open_file(), disk);
    let mut properties =
        DiskProperties { synchronous: true, stable_writes: true, discard: true, ..DiskProperties::default() };
    assert_eq!((open.properties(), disk.properties()), (properties, properties));
    open.device_state().set_read_only(true);
    properties.read_only = true;
    assert_eq!((open.properties(), disk.properties()), (properties, properties));
    assert_eq!((disk.name(), disk.driver(), disk.pages()), ("/dev/zram0", ZRAM, 256));
    let mut page = [0; PAGE_SIZE];
    disk.write_pages(3, &[text(3), text(4)]).unwrap();
    disk.read_page(4, &mut page).unwrap();
    assert_eq!(page, text(4));
    disk.discard(4..5).unwrap();
    disk.read_page(4, &mut page).unwrap();
    assert_eq!(page, same(0));
    assert_eq!(numbers(&zram, "mm_stat")[0], 4096);
}

#[test]
fn devices_come_and_go() {
    let memory = Memory::new(0);
    let swap = new_swap();
    let (control, zram) = new_zram(swap);
    assert!(matches!(Control::start(swap), Err(RegistryError::Taken("zram"))), "zram comes up once");
    assert_eq!((control.hot_add(), control.hot_add()), (Ok(1), Ok(2)));
    assert_eq!(control.device("zram1").unwrap().number(), 1);
    assert!(control.device("zram3").is_none() && control.device("vda").is_none());
    let remove = |text| control.hot_remove(text);
    assert_eq!(remove("7"), Err(ZramError::NoDevice));
    assert_eq!(remove("-1"), Err(ZramError::Invalid));
    assert_eq!(remove("1\n"), Ok(()));
    assert_eq!(control.hot_add(), Ok(1), "the lowest free number");
    assert!(control.open("/dev/zram0").is_none(), "it has no size");
    zram.store("disksize", "1M").unwrap();
    zram.open().unwrap().write(3, &text(1)).unwrap();
    assert!(memory.pool.used() > 0);
    drop(zram);
    assert_eq!(remove("0"), Ok(()));
    assert_eq!(memory.pool.used(), 0);
    // Memory for none of it.
    for nth in 1..=4 {
        memory.heap.fail_nth(nth);
        assert_eq!(control.hot_add(), Err(ZramError::NoMemory));
    }
    let swap = new_swap();
    for nth in 1..=2 {
        memory.heap.fail_nth(nth);
        assert!(matches!(Control::start(swap), Err(RegistryError::NoMemory)));
    }
}

#[test]
fn pages_are_kept_and_counted() {
    let memory = Memory::new(0);
    let (zram, disk) = sized(new_swap(), "4M");
    let contents = |page| match page {
        0 => text(1),
        7 => random(1),
        8 => same(9),
        _ => same(0),
    };
    let pages = [0, 7, 8, 1023];
    assert_eq!(read(&disk, 5), Ok(same(0)), "what was never written is zeros");
    for page in pages {
        disk.write(page, &contents(page)).unwrap();
    }
    for page in pages {
        assert_eq!(read(&disk, page), Ok(contents(page)));
    }
    assert_eq!(disk.write(1024, &text(1)), Err(IoError::Unsupported));
    assert!(memory.logged("/dev/zram0: cannot write page 1024: beyond the end"));
    let state = numbers(&zram, "mm_stat");
    let compressed = state[1];
    assert!((4096 + 2400..4096 + 2900).contains(&compressed), "{state:?}");
    let frames = memory.pool.used() as u64 * PAGE_SIZE as u64;
    assert_eq!(state, [4 * 4096, compressed, frames, 0, frames, 2, 0, 1, 1]);
    let lines = zram.show("block_state").unwrap();
    let flags: Vec<_> = lines.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
    assert_eq!(flags, ["......", "..h...", "s.....", "s....."]);
    memory.heap.fail_nth(1);
    assert_eq!(zram.show("block_state"), Err(ZramError::NoMemory), "a line for each page may be more than there is");
    // Overwriting frees the old page, discarding frees all, and a whole device is soon done.
    disk.write(7, &same(1)).unwrap();
    assert_eq!(numbers(&zram, "mm_stat")[5..], [3, 0, 0, 1]);
    disk.discard(0..u64::MAX);
    let state = numbers(&zram, "mm_stat");
    assert_eq!((state[0], state[1], state[2], state[5]), (0, 0, 0, 0));
    assert_eq!(memory.pool.used(), 0);
    assert_eq!(read(&disk, 7), Ok(same(0)));
}

#[test]
fn idle_is_what_nobody_asked_for() {
    let memory = Memory::new(0);
    let (zram, disk) = sized(new_swap(), "1M");
    for page in 0..4 {
        disk.write(page, &text(page)).unwrap();
    }
    disk.write(4, &same(1)).unwrap();
    let idle = || {
        let lines = zram.show("block_state").unwrap();
        lines.lines().map(|line| line.contains('i')).collect::<Vec<_>>()
    };
    memory.clock.store(100_000, std::sync::atomic::Ordering::Relaxed);
    read(&disk, 1).unwrap();
    zram.store("idle", "100").unwrap();
    assert_eq!(idle(), [true, false, true, true, false], "by age, and never a repeated word");
    read(&disk, 0).unwrap();
    disk.write(2, &text(5)).unwrap();
    assert_eq!(idle(), [false, false, false, true, false]);
    zram.store("idle", "100").unwrap();
    assert_eq!(idle(), [false, false, false, true, false], "what was read or written is young again");
    zram.store("idle", "all").unwrap();
    assert_eq!(idle(), [true, true, true, true, false]);
}

#[test]
fn a_huge_device_costs_nothing_until_it_fills() {
    let memory = Memory::new(0);
    let before = memory.heap_bytes.load(std::sync::atomic::Ordering::Relaxed);
    let (zram, disk) = sized(new_swap(), "107374182400");
    zram.store("mem_limit", "1M").unwrap();
    let bytes = memory.heap_bytes.load(std::sync::atomic::Ordering::Relaxed) - before;
    let workspaces = 8 * 21_000;
    assert!(bytes < workspaces + 64_000, "{bytes} bytes");
    assert_eq!(memory.pool.used(), 0);
    // Spread far apart, until the limit.
    let spread = |number: u64| number * 12345;
    let written = (0..2000).take_while(|number| disk.write(spread(*number), &text(*number)).is_ok()).count() as u64;
    assert!((300..450).contains(&written), "{written}");
    assert_eq!(disk.write(spread(written), &text(written)), Err(IoError::NoSpace));
    assert_eq!(numbers(&zram, "io_stat"), [0, 2, 0, 0]);
    assert!(memory.logged("/dev/zram0: cannot write page"));
    assert!(numbers(&zram, "mm_stat")[2] <= 1 << 20);
    for number in 0..written {
        assert_eq!(read(&disk, spread(number)), Ok(text(number)));
    }
    // A failed overwrite leaves the old page.
    let refused = (0..written).find(|number| disk.write(spread(*number), &random(*number)).is_err()).unwrap();
    assert_eq!(read(&disk, spread(refused)), Ok(text(refused)));
    disk.discard(0..disk.pages());
    assert_eq!(memory.pool.used(), 0);
}

#[test]
fn swap_goes_through_without_a_request() {
    let memory = Memory::new(64);
    let swap = new_swap();
    swap.readahead_policy().set_by_address(false);
    let (zram, disk) = sized(swap, "16M");
    for cycle in 1..=3 {
        let index = swapon(swap, &disk);
        let mut kernel = Kernel::new(swap, memory, 1, 32);
        kernel.max_order = 3;
        for page in (0..32).step_by(8) {
            assert!(kernel.populate(0, page, if page == 0 { 3 } else { 0 }, page as u64 * 1000 + 1));
        }
        for page in (0..32).step_by(8) {
            assert!(kernel.reclaim(0, page));
        }
        kernel.plug.submit();
        kernel.evict_ended();
        assert_eq!(memory.free_frames(), 64);
        let state = swap.area(index).unwrap().statistics().snapshot();
        assert_eq!((state.pages_out, state.write_batches, state.write_requests), (11, 1, 0));
        assert_eq!(numbers(&zram, "mm_stat")[0], 12 * 4096, "with the header");
        for page in 0..8 {
            assert_eq!(kernel.read(0, page), Ok(page as u64 + 1));
        }
        assert_eq!(kernel.read(0, 24), Ok(24001));
        let state = swap.area(index).unwrap().statistics().snapshot();
        assert_eq!(
            (state.read_requests, state.readahead),
            (0, 0),
            "a device at the speed of memory reads nothing ahead"
        );
        (0..32).for_each(|page| kernel.unmap(0, page));
        kernel.settle();
        swap.swapoff(index, &mut kernel).unwrap();
        assert_eq!(numbers(&zram, "io_stat"), [0, 0, 0, 11 * cycle], "every page was given back");
    }
    drop(disk);
    assert_eq!(zram.store("reset", "1"), Ok(()), "no area holds it any more");
    assert_eq!((memory.pool.used(), numbers(&zram, "mm_stat")[2]), (0, 0));
}

#[test]
fn a_full_device_keeps_the_page_in_memory_and_the_rest_stored() {
    let memory = Memory::new(64);
    let swap = new_swap();
    let (zram, disk) = sized(swap, "1M");
    let index = swapon(swap, &disk);
    let mut kernel = Kernel::new(swap, memory, 1, 2);
    kernel.populate(0, 0, 0, 1);
    kernel.populate(0, 1, 0, 2);
    let quire_swap::DecodedPte::Present(word) = kernel.pte(0, 1) else { panic!("present") };
    let (folio, _) = memory.folio_of(word >> 12);
    folio.with_page_mut(0, |page| *page = random(5));
    drop(folio);
    memory.pool.allocations.fail_nth(1);
    assert!(kernel.reclaim(0, 0) && kernel.reclaim(0, 1));
    kernel.plug.submit();
    kernel.evict_ended();
    assert_eq!(memory.free_frames(), 62, "both stay, the first is stored too");
    assert_eq!(numbers(&zram, "io_stat")[..2], [0, 1]);
    assert_eq!(kernel.read(0, 0), Ok(1));
    (0..2).for_each(|page| kernel.unmap(0, page));
    kernel.settle();
    swap.swapoff(index, &mut kernel).unwrap();
}

#[test]
fn a_corrupt_object_costs_one_page() {
    let memory = Memory::new(0);
    let (zram, disk) = sized(new_swap(), "1M");
    disk.write(1, &text(1)).unwrap();
    disk.write(2, &random(2)).unwrap();
    let frames: Vec<_> = memory.pool.frames.lock().unwrap().iter().flatten().cloned().collect();
    frames[0].lock().unwrap()[100] ^= 1;
    assert_eq!(read(&disk, 1), Err(IoError::Device));
    assert_eq!(read(&disk, 2), Ok(random(2)));
    assert_eq!(numbers(&zram, "io_stat")[0], 1);
    assert!(memory.logged("cannot read page 1: object 0 is not what was stored"));
    disk.write(1, &text(3)).unwrap();
    assert_eq!(read(&disk, 1), Ok(text(3)));
}

#[test]
fn an_error_says_what_is_wrong() {
    assert_eq!(ZramError::NoBudget.to_string(), "the budget is spent");
    assert_eq!(ZramError::Backing(IoError::Device).to_string(), "backing device: device error");
}

/// Does `work` with the task killed at the first look, at the second and so on, until it is not noticed any more.
fn killed_at_every_look<T: std::fmt::Debug>(memory: &Memory, mut work: impl FnMut() -> Result<T, ZramError>) -> usize {
    let looks = (1..1000).position(|nth| {
        memory.pool.looks.fail_nth(nth);
        let result = work();
        assert!(matches!(result, Ok(_) | Err(ZramError::Killed)), "{result:?}");
        result.is_ok()
    });
    memory.pool.looks.fail_nth(0);
    looks.expect("work ends")
}

#[test]
fn a_killed_task_leaves_the_rest_as_it_was() {
    let memory = Memory::new(0);
    FakeDisk::new("/dev/vdb", 100);
    let (_, zram) = new_zram(new_swap());
    zram.store("backing_dev", "/dev/vdb").unwrap();
    zram.store("recomp_algorithm", "algo=deflate").unwrap();
    zram.store("disksize", "16K").unwrap();
    let disk = zram.open().unwrap();
    let write = || (0..4).for_each(|page| disk.write(page, &text(page)).unwrap());
    let with = |letter| zram.show("block_state").unwrap().matches(letter).count();
    write();
    assert_eq!(killed_at_every_look(memory, || zram.show("block_state")), 4, "a look for each page");
    assert_eq!(killed_at_every_look(memory, || zram.store("idle", "all")), 4);
    assert_eq!(with('i'), 4);
    // Two looks to mark what is meant and to list it, and one to do it.
    assert_eq!(killed_at_every_look(memory, || zram.store("recompress", "threshold=3000")), 2 * 4);
    assert!(killed_at_every_look(memory, || zram.store("recompress", "")) > 2 * 4);
    assert_eq!(with('r'), 4);
    assert!(killed_at_every_look(memory, || zram.store("writeback", "page_indexes=0-3")) > 2 * 4);
    assert_eq!(with('w'), 4);
    (0..4).for_each(|page| assert_eq!(read(&disk, page), Ok(text(page))));
    write();
    let mut left = Vec::new();
    let discard = || {
        left.push(numbers(&zram, "mm_stat")[0] / 4096);
        disk.discard_unless_killed(0..u64::MAX)
    };
    assert_eq!(killed_at_every_look(memory, discard), 4);
    assert_eq!((left, numbers(&zram, "mm_stat")[0]), (vec![4, 4, 3, 2, 1], 0));
}

#[test]
fn a_block_request_moves_pages_until_one_fails() {
    let memory = Memory::new(64);
    let swap = new_swap();
    let (zram, disk) = sized(swap, "16M");
    swap.unregister(ZRAM).unwrap();
    let index = swapon(swap, &disk);
    let mut kernel = Kernel::new(swap, memory, 1, 8);
    kernel.max_order = 2;
    let send_out = |kernel: &mut Kernel| {
        for page in [0, 4, 5, 6, 7] {
            kernel.reclaim(0, page);
        }
        kernel.plug.submit();
        kernel.evict_ended();
    };
    assert!(kernel.populate(0, 0, 2, 1000));
    (4..8).for_each(|page| assert!(kernel.populate_page(0, page, &random(page as u64))));
    send_out(&mut kernel);
    let state = swap.area(index).unwrap().statistics().snapshot();
    assert_eq!((state.pages_out, state.failed_writes, memory.free_frames()), (8, 0, 64));
    assert!(state.write_requests > 0, "the block layer has them");
    for page in 0..8 {
        let expected = if page < 4 { same(1000 + page as u64) } else { random(page as u64) };
        assert_eq!(kernel.read_page(0, page).unwrap(), expected, "page {page}");
    }
    // Each way, what lies before the page that fails is done, and what lies behind it is not.
    for page in 4..8 {
        kernel.unmap(0, page);
        kernel.populate_page(0, page, &random(100 + page as u64));
    }
    let (before, asked) = (numbers(&zram, "io_stat"), memory.pool.allocations.done());
    memory.pool.allocations.fail_nth(2);
    send_out(&mut kernel);
    assert_eq!((numbers(&zram, "io_stat")[1] - before[1], memory.pool.allocations.done() - asked), (1, 2));
    for page in 4..8 {
        assert_eq!(kernel.read_page(0, page).unwrap(), random(100 + page as u64), "page {page}");
    }
    swap.area(index).unwrap().note_space();
    send_out(&mut kernel);
    assert_eq!(memory.free_frames(), 64);
    let quire_swap::DecodedPte::Entry(entry) = kernel.pte(0, 5) else { panic!("it is out") };
    let frames: Vec<_> = memory.pool.frames.lock().unwrap().iter().flatten().cloned().collect();
    let frame = frames.iter().find(|frame| *frame.lock().unwrap() == random(105)).unwrap();
    frame.lock().unwrap()[7] ^= 1;
    assert_eq!(swap.fault_in(entry, 0, None).err(), Some(FaultError::ReadFailed(entry)));
    (0..8).for_each(|page| kernel.unmap(0, page));
    kernel.settle();
    swap.swapoff(index, &mut kernel).unwrap();
}

#[test]
fn objects_are_blocks_that_the_c_library_reads() {
    Memory::new(0);
    let store = Store::<Fake>::new(100).unwrap();
    for number in 0..100 {
        let page = text(number);
        let Ok(Stored::Object(object)) = store.store(&page) else { panic!("text is an object") };
        assert_eq!(object.encoding(), Encoding::Lz4);
        let decoded = store.with_object(object, |bytes| lz4::block::decompress(bytes, Some(4096)).unwrap());
        assert_eq!(decoded.unwrap(), page);
    }
}

#[test]
fn eight_tasks_on_eight_slots_never_wait_for_one_another() {
    let memory = Memory::new(0);
    let (_, disk) = sized(new_swap(), "1M");
    (0..8).for_each(|slot| disk.write(slot, &random(slot)).unwrap());
    for stopped in 0..8 {
        // Whoever reads this slot is stopped in the middle, with the slot locked and a workspace in use.
        let frames: Vec<_> = memory.pool.frames.lock().unwrap().iter().flatten().cloned().collect();
        let frame = frames.iter().find(|frame| *frame.lock().unwrap() == random(stopped)).unwrap();
        let held = frame.lock().unwrap();
        std::thread::scope(|scope| {
            let task = |slot: u64| {
                let disk = &disk;
                scope.spawn(move || {
                    memory.enter();
                    assert_eq!(read(disk, slot), Ok(random(slot)));
                    disk.write(slot, &text(slot)).unwrap();
                    disk.write(slot, &random(slot)).unwrap();
                })
            };
            let slow = task(stopped);
            let others: Vec<_> = (0..8).filter(|slot| *slot != stopped).map(task).collect();
            // Whoever does wait would wait for ever: the deadline is far beyond what the work takes.
            let deadline = Instant::now() + Duration::from_secs(30);
            while !others.iter().all(std::thread::ScopedJoinHandle::is_finished) && Instant::now() < deadline {
                std::thread::yield_now();
            }
            let (waited, is_held) = (others.iter().any(|task| !task.is_finished()), !slow.is_finished());
            drop(held);
            assert!(!waited && is_held, "somebody waited for slot {stopped}");
        });
    }
    (0..8).for_each(|slot| assert_eq!(read(&disk, slot), Ok(random(slot))));
}

#[test]
fn a_page_that_finds_no_place_in_the_table_leaves_nothing_in_the_pool() {
    let memory = Memory::new(0);
    let mut failed = 0;
    loop {
        let (_, disk) = sized(new_swap(), "1M");
        memory.heap.fail_nth(failed + 1);
        let written = disk.write(0, &text(1));
        memory.heap.fail_nth(0);
        if written.is_ok() {
            break;
        }
        assert_eq!((written, memory.pool.used()), (Err(IoError::NoSpace), 0), "allocation {failed}");
        failed += 1;
    }
    assert!(failed > 2, "the pool's tables, and the device's own");
}
