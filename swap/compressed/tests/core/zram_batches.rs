//! Batches that zram completes, of which one page fails: what was done before it stays, what comes behind it is not
//! attempted, and every folio hears the same.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use quire_compressed::zram::{Zram, ZramDisk, ZramError};
use quire_swap::header::PAGE_SIZE;
use quire_swap::{
    Area, BlockDriver, DecodedPte, Disk, DriverId, Entry, Folio, FolioFlag, IoError, ReadBatch, Swap, SwapOnError,
    SwapOnOptions, SwapOps, SwapOpsFlags, WriteBatch,
};

use crate::contents::random;
use crate::zram::{mkswap, numbers, read, sized};
use quire_testkit::kernel::{Kernel, Touch};
use quire_testkit::{Fake, FakeDisk, FakeFolio, Memory, enable, new_swap, swap_on};

const FRAMES: usize = 64;

/// zram behind a device that is not synchronous, so that pages are read ahead, in one batch.
pub struct Slow(pub Arc<ZramDisk<Fake>>);

impl SwapOps<Fake> for Slow {
    fn flags(&self) -> SwapOpsFlags {
        SwapOpsFlags { stable_writes: true, ..SwapOpsFlags::default() }
    }

    fn submit_read(&self, batch: ReadBatch<Fake>) {
        self.0.submit_read(batch);
    }

    fn submit_write(&self, batch: WriteBatch<Fake>) {
        self.0.submit_write(batch);
    }

    fn slot_free_notify(&self, area: &Area<Fake>, slot: u32, metadata: u64) {
        self.0.slot_free_notify(area, slot, metadata);
    }
}

impl BlockDriver<Fake> for Slow {
    fn swap_ops(&self, _: &Arc<dyn Disk<Fake>>) -> Option<Arc<dyn SwapOps<Fake>>> {
        Some(Arc::new(Self(Arc::clone(&self.0))))
    }
}

struct Bench {
    memory: &'static Memory,
    swap: &'static Swap<Fake>,
    zram: Arc<Zram<Fake>>,
    disk: Arc<ZramDisk<Fake>>,
    area: u8,
    kernel: Kernel,
}

/// Three pages of a task that do not get shorter, so that each takes a frame of the pool.
fn bench() -> Bench {
    let memory = Memory::new(FRAMES);
    let swap = new_swap();
    let (zram, disk) = sized(swap, "1M");
    swap.register(DriverId("fake"), Arc::new(Slow(Arc::clone(&disk)))).unwrap();
    let (area, device) = (0, FakeDisk::new("/dev/slow", 256));
    assert_eq!(enable(swap, &device, None), Ok(area));
    let mut kernel = Kernel::new(swap, memory, 1, 3);
    for page in 0..3 {
        assert!(kernel.populate_page(0, page, &random(page as u64)));
    }
    Bench { memory, swap, zram, disk, area, kernel }
}

impl Bench {
    fn entry(&self, page: usize) -> Entry {
        let DecodedPte::Entry(entry) = self.kernel.pte(0, page) else { panic!("page {page} is not out") };
        entry
    }

    /// Whether the slot of a page that is out, or was, was not used since all were marked idle.
    fn is_idle(&self, page: u32) -> bool {
        let lines = self.zram.show("block_state").unwrap();
        let line = lines.lines().find(|line| line.split_whitespace().next() == Some(&(page + 1).to_string())).unwrap();
        line.split_whitespace().last().unwrap().contains('i')
    }

    fn cached(&self, page: usize) -> Option<FakeFolio> {
        self.swap.lookup(self.entry(page))
    }

    /// Queues all three pages and writes them as one batch.
    fn write(&mut self) {
        (0..3).for_each(|page| assert!(self.kernel.reclaim(0, page)));
        self.kernel.plug.submit();
    }

    fn counts(&self) -> [u64; 6] {
        let state = self.swap.area(self.area).unwrap().statistics().snapshot();
        let (pages, batches) = ([state.pages_out, state.pages_in], [state.write_batches, state.read_batches]);
        [pages[0], batches[0], state.failed_writes, pages[1], batches[1], state.failed_reads]
    }

    fn end(mut self) {
        (0..3).for_each(|page| self.kernel.unmap(0, page));
        self.kernel.settle();
        self.swap.swapoff(self.area, &mut self.kernel).unwrap();
        assert_eq!(self.memory.free_frames(), FRAMES);
    }
}

#[test]
fn a_write_stops_at_the_page_that_fails() {
    let mut bench = bench();
    let frames = bench.memory.pool.allocations.done();
    bench.memory.pool.allocations.fail_nth(2);
    bench.write();
    assert_eq!(bench.memory.pool.allocations.done() - frames, 2, "the third page was not attempted");
    let ended: Vec<_> = bench.memory.ended_writes.lock().unwrap().iter().map(|(_, result)| *result).collect();
    assert_eq!(ended, [Err(IoError::NoSpace); 3], "each folio once");
    for page in 0..3 {
        let folio = bench.cached(page).expect("it stays in memory");
        let state = folio.state();
        assert!(state.is(FolioFlag::Dirty) && state.is(FolioFlag::UpToDate), "page {page}");
        assert!(!state.is(FolioFlag::Writeback) && !state.is(FolioFlag::Locked), "page {page}");
    }
    assert_eq!(bench.counts(), [3, 1, 3, 0, 0, 0]);
    let slot = |page| u64::from(bench.entry(page).slot());
    assert_eq!(read(&bench.disk, slot(0)), Ok(random(0)), "what was stored stays stored");
    assert_eq!(read(&bench.disk, slot(1)), Ok([0; PAGE_SIZE]));
    assert_eq!(read(&bench.disk, slot(2)), Ok([0; PAGE_SIZE]));
    assert_eq!(numbers(&bench.zram, "io_stat"), [0, 1, 0, 0], "one page failed");
    let state = numbers(&bench.zram, "mm_stat");
    assert_eq!((state[0], state[7]), (4096, 1), "the first page");
    for page in 0..3 {
        assert_eq!(bench.kernel.read_page(0, page).unwrap(), random(page as u64));
    }
    bench.end();
}

#[test]
fn a_read_stops_at_the_page_that_fails() {
    let mut bench = bench();
    bench.write();
    bench.kernel.evict_ended();
    assert_eq!(bench.counts(), [3, 1, 0, 0, 0, 0]);
    // The pages are raw in frames of their own; the middle one is damaged.
    let middle = random(1);
    for frame in bench.memory.pool.frames.lock().unwrap().iter().flatten() {
        let mut frame = frame.lock().unwrap();
        if *frame == middle {
            frame[100] ^= 1;
        }
    }
    bench.zram.store("idle", "all").unwrap();
    assert_eq!(bench.kernel.read_page(0, 0).unwrap(), random(0), "alone, after the batch has failed");
    assert_eq!(bench.counts(), [3, 1, 0, 1, 2, 3], "none of the three was read by the batch");
    assert_eq!(numbers(&bench.zram, "io_stat"), [1, 0, 0, 0]);
    assert!(bench.memory.logged("/dev/zram0: cannot read page"));
    for page in 1..3 {
        let state = bench.cached(page).expect("it was read ahead");
        assert!(!state.state().is(FolioFlag::UpToDate) && !state.state().is(FolioFlag::Locked), "page {page}");
        assert!(!state.state().is(FolioFlag::Dirty) && !state.state().is(FolioFlag::Writeback), "page {page}");
    }
    assert!(bench.is_idle(2), "the third was not attempted");
    assert!(!bench.is_idle(0));
    assert_eq!(bench.kernel.read_page(0, 2).unwrap(), random(2));
    assert_eq!(bench.kernel.read_page(0, 1).unwrap_err(), Touch::BusError);
    assert_eq!(numbers(&bench.zram, "io_stat")[0], 2);
    bench.end();
}

#[test]
fn a_freed_slot_that_is_busy_is_missed_and_never_waited_for() {
    let mut bench = bench();
    bench.write();
    bench.kernel.evict_ended();
    // A task is stopped while it reads the middle page, with its slot locked.
    let slot = u64::from(bench.entry(1).slot());
    let frames: Vec<_> = bench.memory.pool.frames.lock().unwrap().iter().flatten().cloned().collect();
    let frame = frames.iter().find(|frame| *frame.lock().unwrap() == random(1)).unwrap();
    let held = frame.lock().unwrap();
    let (memory, relaxed) = (bench.memory, bench.memory.relaxed.load(Ordering::Relaxed));
    std::thread::scope(|scope| {
        let disk = &bench.disk;
        let reader = scope.spawn(move || {
            memory.enter();
            read(disk, slot)
        });
        // It waits for the frame, which it does only with the slot locked.
        while memory.relaxed.load(Ordering::Relaxed) == relaxed {
            std::thread::yield_now();
        }
        (0..3).for_each(|page| bench.kernel.unmap(0, page));
        assert!(!reader.is_finished(), "freeing went on beside it");
        assert_eq!(numbers(&bench.zram, "io_stat")[3], 3, "all were counted");
        assert!(bench.zram.show("debug_stat").unwrap().ends_with(" 1\n"), "one was missed");
        assert_eq!(numbers(&bench.zram, "mm_stat")[0], 4096, "and keeps its page");
        drop(held);
        assert_eq!(reader.join().unwrap(), Ok(random(1)));
    });
    // Until it is written again, or given up as a block.
    bench.disk.discard(slot..slot + 1);
    assert_eq!(numbers(&bench.zram, "mm_stat")[0], 0);
    bench.end();
}

#[test]
fn errors_are_told_at_a_bounded_rate_and_for_ever() {
    let bench = bench();
    let lines = || bench.memory.log.lock().unwrap().iter().filter(|line| line.contains("cannot write")).count();
    let fail = || {
        bench.memory.pool.allocations.fail_nth(1);
        assert_eq!(bench.disk.write(9, &random(9)), Err(IoError::NoSpace));
    };
    (0..25).for_each(|_| fail());
    assert_eq!(lines(), 10);
    assert_eq!(numbers(&bench.zram, "io_stat")[1], 25, "the count goes on");
    bench.memory.clock.store(5000, Ordering::Relaxed);
    fail();
    assert_eq!(lines(), 10, "five seconds are not over");
    bench.memory.clock.store(5001, Ordering::Relaxed);
    fail();
    assert_eq!(lines(), 11);
    assert!(bench.memory.logged("/dev/zram0: 16 lines suppressed"));
    (0..25).for_each(|_| fail());
    assert_eq!(lines(), 20);
    bench.end();
}

#[test]
fn failed_batches_are_told_at_the_same_rate() {
    let memory = Memory::new(FRAMES);
    let disk = FakeDisk::new("/dev/vda", 64);
    let (swap, area) = swap_on(&disk);
    let mut kernel = Kernel::new(swap, memory, 1, 1);
    kernel.populate(0, 0, 0, 1);
    let lines = || memory.log.lock().unwrap().iter().filter(|line| line.contains("write to /dev/vda failed")).count();
    let mut fail = |times: usize| {
        for _ in 0..times {
            memory.io.fail_nth(1);
            assert!(kernel.reclaim(0, 0));
            kernel.plug.submit();
            memory.run_all();
            memory.ended_writes.lock().unwrap().clear();
            assert_eq!(kernel.read(0, 0), Ok(1));
        }
    };
    fail(12);
    assert_eq!(lines(), 10);
    memory.clock.store(60_000, Ordering::Relaxed);
    fail(12);
    assert_eq!(lines(), 20);
    assert!(memory.logged("/dev/vda: 2 lines suppressed"));
    assert_eq!(swap.area(area).unwrap().statistics().snapshot().failed_batches, 24);
}

#[test]
fn a_device_has_one_exclusive_user() {
    let memory = Memory::new(FRAMES);
    let swap = new_swap();
    let (zram, disk) = sized(swap, "1M");
    mkswap(&disk);
    let backing = FakeDisk::new("/dev/vdb", 64);
    let held = disk.device_state().claim().unwrap();
    assert!(disk.device_state().claim().is_none());
    let as_disk: Arc<dyn Disk<Fake>> = disk.clone();
    assert_eq!(swap.swapon(&as_disk, SwapOnOptions::default()), Err(SwapOnError::Claimed));
    drop(held);
    let area = swap.swapon(&as_disk, SwapOnOptions::default()).unwrap();
    assert!(disk.device_state().claim().is_none(), "the area has it");
    swap.swapoff(area, &mut Kernel::new(swap, memory, 1, 1)).unwrap();
    assert!(disk.device_state().claim().is_some());
    drop((as_disk, disk));
    // A program that has it open, with a size or without, keeps it from being reset or removed.
    for size in ["1M", ""] {
        zram.store("reset", "1").unwrap();
        let open = zram.open_file();
        assert!(open.disk().is_none());
        if !size.is_empty() {
            zram.store("disksize", size).unwrap();
            assert_eq!(open.disk().unwrap().pages(), 256, "the size came later");
        }
        assert_eq!(zram.store("reset", "1"), Err(ZramError::Busy));
        let held = open.device_state().claim().unwrap();
        assert!(zram.open().is_none_or(|disk| disk.device_state().claim().is_none()));
        drop((held, open));
    }
    zram.store("reset", "1").unwrap();
    let held = backing.device_state().claim().unwrap();
    assert_eq!(zram.store("backing_dev", "/dev/vdb"), Err(ZramError::Busy));
    drop(held);
    zram.store("backing_dev", "/dev/vdb").unwrap();
    assert!(backing.device_state().claim().is_none());
    assert_eq!(enable(swap, &backing, None), Err(SwapOnError::Claimed));
    zram.store("reset", "1").unwrap();
    assert!(backing.device_state().claim().is_some());
}

#[test]
fn a_device_shorter_than_a_header_is_no_area() {
    Memory::new(FRAMES);
    let disk = FakeDisk::empty("/dev/short");
    let (swap, requests) = (new_swap(), &disk.requests);
    assert!(matches!(enable(swap, &disk, None), Err(SwapOnError::Header(_))), "the header is wrong");
    assert!(requests.lock().unwrap().is_empty());
    assert!(disk.device_state().claim().is_some(), "and is nobody's");
}
