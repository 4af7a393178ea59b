//! Batches in the hands of backends: completed one by one, given to another area, or for pages of the backend's own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use quire_swap::{
    Area, BATCH_FOLIOS, BATCH_PAGES, Deviceless, Direction, Entry, FaultError, Folio, FolioFlag, FolioUse, IoError,
    Locked, Machine, POOL_BATCHES, Plug, ReadBatch, SlotRange, SlotReference, SlotRun, Swap, SwapOffError,
    SwapOnOptions, SwapOps, SwapOpsFlags, Users, WriteBatch, Written,
};

use quire_testkit::kernel::Kernel;
use quire_testkit::{Fake, FakeDisk, FakeFolio, Memory, lock, new_folio, new_swap, swap_on};

/// An area without a disk, on these operations.
fn enable_without_disk(swap: &Swap<Fake>, ops: Arc<dyn SwapOps<Fake>>) -> u8 {
    let area = Deviceless { name: "/dev/none", slots: 512, ops };
    swap.swapon_without_disk(&area, SwapOnOptions { priority: Some(5), ..SwapOnOptions::default() }).unwrap()
}

/// Pages that were written out, each with the count of a PTE; their batch is not submitted yet.
fn written<'a>(swap: &'a Swap<Fake>, plug: &mut Plug<Fake>, folios: &[FakeFolio]) -> Vec<SlotReference<'a, Fake>> {
    let write = |folio: &FakeFolio| {
        let reference = swap.hold_in_swap(&lock(folio)).unwrap();
        assert!(matches!(swap.write(plug, lock(folio)), Written::Queued));
        reference
    };
    folios.iter().map(write).collect()
}

fn pages(numbers: std::ops::Range<u64>) -> Vec<FakeFolio> {
    numbers.map(|number| new_folio(0, number).unwrap()).collect()
}

/// How long the requests are that write a batch and a half of pages, sixteen of which keep together, each so many frames from the next.
fn lengths_of_requests(apart: u64) -> Vec<u64> {
    let memory = Memory::new(256);
    let disk = FakeDisk::new("/dev/vda", 600);
    let (swap, _) = swap_on(&disk);
    let folios: Vec<_> = pages(1..BATCH_PAGES as u64 * 3 / 2 * apart).into_iter().step_by(apart as usize).collect();
    let mut plug = Plug::new();
    let mut references = Vec::new();
    for together in folios.chunks(16) {
        plug.keep_together(together.len());
        references.extend(written(swap, &mut plug, together));
    }
    plug.submit();
    memory.run_all();
    disk.requests.lock().unwrap().iter().map(|request| request.2).collect()
}

#[test]
fn folios_that_keep_together_count_as_one() {
    let (most, longest) = (BATCH_PAGES as u64, BATCH_FOLIOS as u64);
    assert_eq!(lengths_of_requests(1), [most, most / 2 - 1]);
    // Memory in too many pieces does not all go in one request.
    assert_eq!(lengths_of_requests(2), [longest, longest, longest]);
}

#[test]
fn those_that_keep_together_are_in_one_batch_and_the_next_batch_is_as_long_as_any() {
    let memory = Memory::new(256);
    let disk = FakeDisk::new("/dev/vda", 600);
    let (swap, _) = swap_on(&disk);
    let folios = pages(1..128);
    let (mut plug, mut references) = (Plug::new(), Vec::new());
    let mut write = |plug: &mut Plug<Fake>, folios: &[FakeFolio]| references.extend(written(swap, plug, folios));
    // One more would fit in.
    plug.keep_together(BATCH_FOLIOS);
    write(&mut plug, &folios[..BATCH_FOLIOS]);
    plug.keep_together(BATCH_FOLIOS + 1);
    write(&mut plug, &folios[BATCH_FOLIOS..=2 * BATCH_FOLIOS]);
    plug.submit();
    // Long batches are idle again.
    memory.run_all();
    write(&mut plug, &folios[2 * BATCH_FOLIOS + 1..]);
    plug.submit();
    let lengths: Vec<_> = disk.requests.lock().unwrap().iter().map(|request| request.2).collect();
    assert_eq!(lengths, [32, 33, 32, 30]);
}

/// Ends what it gets one by one: refuses as many as it is told first, keeps no page and fills the others with the slot's number.
#[derive(Default)]
struct OneByOne {
    refuses: AtomicU32,
}

impl SwapOps<Fake> for OneByOne {
    fn flags(&self) -> SwapOpsFlags {
        SwapOpsFlags { stable_writes: true, ..SwapOpsFlags::default() }
    }

    fn submit_read(&self, mut batch: ReadBatch<Fake>) {
        assert_eq!(batch.with_page_mut(batch.batch().len(), 0, |_| ()), None, "there is no such folio");
        while let Some(run) = batch.batch().run(0) {
            assert_eq!(batch.with_page_mut(0, run.length as usize, |_| ()), None, "the folio has no such page");
            for page in 0..run.length {
                let word = u64::from(run.first + page).to_le_bytes();
                batch.with_page_mut(0, page as usize, |memory| memory.as_chunks_mut().0.fill(word)).unwrap();
            }
            batch.complete_one(0, Ok(()));
        }
        batch.complete(Err(IoError::Device));
    }

    fn submit_write(&self, mut batch: WriteBatch<Fake>) {
        assert_eq!(batch.with_page(batch.batch().len(), 0, |_| ()), None, "there is no such folio");
        while let Some(run) = batch.batch().run(0) {
            assert_eq!(batch.with_page(0, run.length as usize, |_| ()), None, "the folio has no such page");
            let refuses = self.refuses.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            batch.complete_one(0, if refuses.is_ok() { Err(IoError::NoSpace) } else { Ok(()) });
        }
        batch.complete(Err(IoError::NoSpace));
    }
}

/// Remembers the slots whose refused pages are to be mapped again.
#[derive(Default)]
struct Asked(Vec<SlotRange>);

impl Users for Asked {
    fn swap_in(&mut self, _slots: &SlotRange) -> Result<(), SwapOffError> {
        Ok(())
    }

    fn map_refused(&mut self, slots: &SlotRange) {
        self.0.push(slots.clone());
    }
}

#[test]
fn an_empty_batch_says_nothing_when_it_is_completed() {
    let memory = Memory::new(8);
    let swap = new_swap();
    let backend = Arc::new(OneByOne { refuses: AtomicU32::new(1) });
    enable_without_disk(swap, backend);
    memory.forget();
    let folios = pages(1..4);
    let mut plug = Plug::new();
    let references = written(swap, &mut plug, &folios);
    plug.submit();
    let results =
        |memory: &Memory| memory.ended_writes.lock().unwrap().iter().map(|(_, result)| *result).collect::<Vec<_>>();
    assert_eq!(results(memory), [Err(IoError::NoSpace), Ok(()), Ok(())]);
    assert!(swap.has_space(), "one folio's refusal is about that folio");
    assert!(memory.log.lock().unwrap().is_empty(), "{:?}", memory.log.lock().unwrap());
    let mut asked = Asked::default();
    swap.return_refused(&mut asked);
    assert!(asked.0.is_empty(), "the area does not refuse pages");
    let slots: Vec<_> = references.iter().map(|reference| reference.entry().slot()).collect();
    drop(folios);
    for number in 1..3 {
        let folio = Locked::lock(swap.lookup(references[number].entry()).unwrap());
        swap.evict(folio, 2, 0).unwrap();
        let fault = swap.fault_in(references[number].entry(), 0, None).unwrap();
        assert_eq!(fault.folio.word(0), u64::from(slots[number]));
    }
    assert!(memory.log.lock().unwrap().is_empty(), "{:?}", memory.log.lock().unwrap());
    assert_eq!(swap.idle_batches(), POOL_BATCHES);
}

#[test]
fn only_pages_that_were_refused_are_mapped_again() {
    Memory::new(16);
    let disk = FakeDisk::new("/dev/vda", 600);
    let (swap, _) = swap_on(&disk);
    let folios = pages(1..8);
    let mut plug = Plug::new();
    let mut references = written(swap, &mut plug, &folios[..3]);
    plug.submit();
    references.extend(written(swap, &mut plug, &folios[3..]));
    plug.submit();
    disk.room.store(0, Ordering::SeqCst);
    assert!(disk.run_one());
    assert!(!swap.has_space());
    // The area refuses pages, and yet these are written.
    disk.room.store(u64::MAX, Ordering::SeqCst);
    assert!(disk.run_one());
    let mut asked = Asked::default();
    swap.return_refused(&mut asked);
    let asked: Vec<_> =
        references.iter().map(|held| asked.0.iter().any(|slots| slots.contains(held.entry()))).collect();
    assert_eq!(asked, [true, true, true, false, false, false, false]);
}

/// Keeps its pages on slots of a real area, which are its own slots' numbers and `BEHIND`.
struct Elsewhere {
    real: Arc<Area<Fake>>,
    /// Whether pages go together.
    merges: bool,
    gone: Mutex<Vec<u32>>,
}

const BEHIND: u32 = 100;

impl Elsewhere {
    fn new(swap: &Swap<Fake>, real: u8, merges: bool) -> Arc<Self> {
        Arc::new(Self { real: swap.area(real).unwrap(), merges, gone: Mutex::default() })
    }
}

impl SwapOps<Fake> for Elsewhere {
    fn can_merge(&self, _area: &Area<Fake>, _previous: SlotRun, _next: SlotRun, _direction: Direction) -> bool {
        self.merges
    }

    fn submit_read(&self, mut batch: ReadBatch<Fake>) {
        assert!(!batch.batch().is_owned());
        batch.redirect(&self.real, |run| run.first + BEHIND);
        assert!(batch.batch().is_owned() && Arc::ptr_eq(batch.batch().area(), &self.real));
        self.real.ops().submit_read(batch);
    }

    fn submit_write(&self, mut batch: WriteBatch<Fake>) {
        assert!(!batch.batch().is_owned());
        batch.redirect(&self.real, |run| run.first + BEHIND);
        assert!(batch.batch().is_owned() && Arc::ptr_eq(batch.batch().area(), &self.real));
        self.real.ops().submit_write(batch);
    }

    fn slot_free_notify(&self, _area: &Area<Fake>, slot: u32, _metadata: u64) {
        self.gone.lock().unwrap().push(slot);
    }
}

#[test]
fn a_redirected_batch_moves_the_pages_of_one_area_to_another_and_back() {
    let memory = Memory::new(16);
    let disk = FakeDisk::new("/dev/vda", 600);
    let (swap, real) = swap_on(&disk);
    let elsewhere = Elsewhere::new(swap, real, true);
    let home = enable_without_disk(swap, elsewhere.clone());
    let folios = pages(1..5);
    let mut plug = Plug::new();
    let mut references = written(swap, &mut plug, &folios);
    plug.submit();
    let entries: Vec<Entry> = references.iter().map(SlotReference::entry).collect();
    assert!(entries.iter().all(|entry| entry.area() == home));
    // The first is given up while it is written.
    drop(references.remove(0));
    assert_eq!(*elsewhere.gone.lock().unwrap(), []);
    memory.run_all();
    assert_eq!(*elsewhere.gone.lock().unwrap(), [entries[0].slot()], "it goes with the end of its write");
    let first = u64::from(entries[0].slot() + BEHIND);
    assert_eq!(*disk.requests.lock().unwrap(), [(Direction::Write, first, 4)]);
    assert_eq!(memory.ended_writes.lock().unwrap().len(), 4, "the machine hears of each");
    let numbers: Vec<_> = folios.iter().map(Folio::number).collect();
    drop(folios);
    for number in &numbers[1..] {
        swap.evict(Locked::lock(FakeFolio::try_from_number(*number).unwrap()), 2, 0).unwrap();
    }
    for (number, reference) in references.iter().enumerate() {
        let fault = swap.fault_in(reference.entry(), 0, None).unwrap();
        assert_eq!(fault.folio.word(0), number as u64 + 2);
    }
    drop(references);
    assert_eq!((swap.area(home).unwrap().used(), memory.free_frames()), (0, 16));
}

#[test]
fn a_page_that_is_given_up_while_it_is_read_from_another_area_goes_with_its_slot() {
    let memory = Memory::new(16);
    let disk = FakeDisk::new("/dev/vda", 600);
    let (swap, real) = swap_on(&disk);
    let elsewhere = Elsewhere::new(swap, real, false);
    let home = enable_without_disk(swap, elsewhere);
    let mut kernel = Kernel::new(swap, memory, 1, 8);
    for page in 0..8 {
        kernel.populate(0, page, 0, 5);
        kernel.reclaim(0, page);
    }
    kernel.write_out();
    assert_eq!((kernel.read(0, 0), swap.area(home).unwrap().used()), (Ok(5), 8));
    assert!(disk.pending() > 0, "nothing is read ahead");
    (0..8).for_each(|page| kernel.unmap(0, page));
    assert_ne!(swap.area(home).unwrap().used(), 0, "a slot whose page is being read stays");
    memory.run_all();
    assert_eq!((swap.area(home).unwrap().used(), memory.free_frames()), (0, 16));
}

#[test]
fn what_is_on_its_way_for_another_area_or_a_backend_does_not_say_that_the_disk_is_full() {
    let memory = Memory::new(16);
    let disk = FakeDisk::new("/dev/vda", 600);
    let (swap, real) = swap_on(&disk);
    disk.room.store(0, Ordering::SeqCst);
    let area = swap.area(real).unwrap();
    let mut plug = Plug::new();
    // A folio of a backend: neither the core nor the machine knows more of it than its flags.
    let owned = new_folio(0, 5).unwrap();
    owned.state().clear(FolioFlag::Dirty);
    plug.add_owned(&area, lock(&owned).start_writeback(), 7, Direction::Write);
    plug.submit();
    memory.run_all();
    assert!(owned.state().is(FolioFlag::Dirty) && !owned.state().is(FolioFlag::Writeback));
    assert!(swap.has_space() && memory.ended_writes.lock().unwrap().is_empty());
    // A page of another area.
    enable_without_disk(swap, Elsewhere::new(swap, real, true));
    let folios = pages(1..2);
    let references = written(swap, &mut plug, &folios);
    plug.submit();
    memory.run_all();
    assert_eq!(*memory.ended_writes.lock().unwrap(), [(folios[0].number(), Err(IoError::NoSpace))]);
    assert!(!memory.logged("has no room"));
    drop(references);
}

#[test]
fn pages_are_counted_one_by_one_also_in_large_folios() {
    let memory = Memory::new(16);
    let disk = FakeDisk::new("/dev/vda", 2000);
    let (swap, _) = swap_on(&disk);
    let folio = new_folio(2, 5).unwrap();
    let entry = swap.add_to_swap(&lock(&folio)).unwrap();
    let references: Vec<_> =
        (0..4).map(|page| swap.duplicate(Entry::new(0, entry.slot() + page).unwrap()).unwrap()).collect();
    let mut plug = Plug::new();
    let write = |plug: &mut Plug<Fake>, fails: u64| {
        memory.io.fail_nth(fails);
        assert!(matches!(swap.write(plug, lock(&folio)), Written::Queued));
        plug.submit();
        memory.run_all();
    };
    write(&mut plug, 1);
    write(&mut plug, 0);
    swap.evict(lock(&folio), 3, 0).unwrap();
    drop(folio);
    let fault = swap.fault_in(references[3].entry(), 2, None).unwrap();
    swap.evict(fault.folio, 2, 0).unwrap();
    disk.broken.lock().unwrap().insert(u64::from(entry.slot() + 3));
    let failed = swap.fault_in(references[3].entry(), 2, None).err();
    assert_eq!(failed, Some(FaultError::ReadFailed(references[3].entry())));
    let counts = swap.statistics();
    assert_eq!((counts.pages_out, counts.failed_writes), (8, 4));
    assert_eq!((counts.pages_in, counts.failed_reads), (4, 4 + 1));
}

#[test]
#[should_panic(expected = "a folio goes the other way")]
fn a_folio_that_is_being_written_is_in_no_batch_that_is_read() {
    let _memory = Memory::new(16);
    let disk = FakeDisk::new("/dev/vda", 600);
    let (swap, real) = swap_on(&disk);
    let folio = new_folio(0, 5).unwrap();
    let mut locked = lock(&folio);
    Plug::new().add_owned(&swap.area(real).unwrap(), locked.start_writeback(), 7, Direction::Read);
}

#[test]
#[should_panic(expected = "a folio that has contents is written")]
fn a_folio_that_is_being_written_is_not_read_meanwhile() {
    let _memory = Memory::new(16);
    let folio = Fake::allocate_folio(0, FolioUse::Writeback).unwrap();
    let mut locked = lock(&folio);
    let _written = locked.start_writeback();
    let _read = locked.into_read();
}
