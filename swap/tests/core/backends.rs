//! Which backend an area gets, and what the core promises to it.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

use quire_swap::extension::{BackendOptions, Extension, ExtensionError, OPTIONS_MAX, TypeName};
use quire_swap::header::{PADDING, Page};
use quire_swap::{
    Area, BATCH_FOLIOS, BLOCK_TYPE, BackendError, BackendType, BlockBackend, BlockDriver, DecodedPte, Disk, DriverId,
    Folio, FolioFlag, IoError, Opening, Plug, ReadBatch, RegistryError, Settings, Swap, SwapOnError, SwapOnOptions,
    SwapOps, SwapOpsFlags, WriteBatch, Written,
};

use quire_testkit::kernel::Kernel;
use quire_testkit::{Fake, FakeDisk, Memory, enable, lock, new_folio, new_swap};

/// A backend that keeps pages in memory and remembers what it was told.
#[derive(Default)]
struct Store {
    pages: Mutex<HashMap<u32, Box<Page>>>,
    batches: Mutex<Vec<usize>>,
    /// Slot and metadata of each slot that was freed.
    freed: Mutex<Vec<(u32, u64)>>,
    /// The same for slots whose pages are zero now.
    zeroed: Mutex<Vec<(u32, u64)>>,
    full: Mutex<bool>,
}

impl SwapOps<Fake> for Store {
    fn flags(&self) -> SwapOpsFlags {
        SwapOpsFlags { stable_writes: true, ..SwapOpsFlags::default() }
    }

    fn metadata_bits(&self) -> u8 {
        5
    }

    fn submit_read(&self, mut batch: ReadBatch<Fake>) {
        let runs: Vec<_> = batch.batch().folios().map(|(_, run)| run).collect();
        for (position, run) in runs.into_iter().enumerate() {
            for index in 0..run.length {
                let pages = self.pages.lock().unwrap();
                assert_eq!(batch.batch().area().metadata(run.first + index), u64::from(run.first + index) % 256);
                let page = &pages[&(run.first + index)];
                batch.with_page_mut(position, index as usize, |memory| memory.copy_from_slice(&**page)).unwrap();
            }
        }
        batch.complete(Ok(()));
    }

    fn submit_write(&self, batch: WriteBatch<Fake>) {
        self.batches.lock().unwrap().push(batch.batch().len());
        if *self.full.lock().unwrap() {
            return batch.complete(Err(IoError::NoSpace));
        }
        for (position, (_, run)) in batch.batch().folios().enumerate() {
            for index in 0..run.length {
                let slot = run.first + index;
                let page = batch.with_page(position, index as usize, |page| Box::new(*page)).unwrap();
                self.pages.lock().unwrap().insert(slot, page);
                batch.batch().area().set_metadata(slot, slot.into());
            }
        }
        batch.complete(Ok(()));
    }

    fn slot_free_notify(&self, _area: &Area<Fake>, slot: u32, metadata: u64) {
        self.pages.lock().unwrap().remove(&slot);
        self.freed.lock().unwrap().push((slot, metadata));
    }

    fn slot_zeroed(&self, _area: &Area<Fake>, slot: u32, metadata: u64) {
        self.pages.lock().unwrap().remove(&slot);
        self.zeroed.lock().unwrap().push((slot, metadata));
    }
}

/// A driver whose disks swap through one store each.
#[derive(Default)]
struct Driver {
    stores: Mutex<Vec<Arc<Store>>>,
}

impl BlockDriver<Fake> for Driver {
    fn swap_ops(&self, _disk: &Arc<dyn Disk<Fake>>) -> Option<Arc<dyn SwapOps<Fake>>> {
        let store = Arc::new(Store::default());
        self.stores.lock().unwrap().push(Arc::clone(&store));
        Some(store)
    }
}

const FAKE: DriverId = DriverId("fake");
const OTHER: DriverId = DriverId("other");

/// A page out to the area with `index`, and back.
fn round_trip(swap: &'static Swap<Fake>, memory: &'static Memory) {
    let mut kernel = Kernel::new(swap, memory, 1, 1);
    kernel.populate(0, 0, 0, 5);
    kernel.reclaim(0, 0);
    kernel.write_out();
    assert_eq!(kernel.read(0, 0), Ok(5));
    kernel.unmap(0, 0);
    kernel.settle();
}

#[test]
fn registering_follows_the_truth_table() {
    let memory = Memory::new(8);
    let swap = new_swap();
    let driver = || Arc::new(Driver::default());
    // Unregistering nothing is no error.
    assert_eq!(swap.unregister(FAKE), Ok(()));
    // The same identity twice is busy; two drivers at once are not.
    let first = driver();
    assert_eq!(swap.register(FAKE, first.clone()), Ok(()));
    assert_eq!(swap.register(FAKE, driver()), Err(RegistryError::Taken("fake")));
    assert_eq!(swap.register(OTHER, driver()), Ok(()));
    // A wrong unregister warns and changes nothing.
    assert_eq!(swap.unregister(DriverId("nobody")), Err(RegistryError::NotRegistered("nobody")));
    assert!(memory.logged("nobody unregisters"));
    assert_eq!(swap.register(FAKE, driver()), Err(RegistryError::Taken("fake")));
    // An area keeps its operations after unregistering; the registry cannot free them.
    let index = enable(swap, &FakeDisk::new("/dev/vda", 100), None).unwrap();
    let store = Arc::downgrade(&first.stores.lock().unwrap().remove(0));
    assert_eq!(swap.unregister(FAKE), Ok(()));
    drop(first);
    round_trip(swap, memory);
    assert_eq!(*store.upgrade().expect("the area owns it").batches.lock().unwrap(), [1]);
    // The next area of the same driver gets the block backend.
    let plain = FakeDisk::new("/dev/vdb", 100);
    enable(swap, &plain, Some(9)).unwrap();
    round_trip(swap, memory);
    assert_eq!(plain.requests.lock().unwrap().len(), 2);
    // And with the area goes the backend.
    swap.swapoff(index, &mut Kernel::new(swap, memory, 0, 0)).unwrap();
    assert!(store.upgrade().is_none());
    assert_eq!(swap.unregister(OTHER), Ok(()));
    assert_eq!(swap.unregister(OTHER), Ok(()), "empty again");
}

#[test]
fn registering_may_fail_for_memory() {
    let memory = Memory::new(0);
    let swap = new_swap();
    memory.heap.fail_nth(1);
    assert_eq!(swap.register(FAKE, Arc::new(Driver::default())), Err(RegistryError::NoMemory));
    assert_eq!(swap.register(FAKE, Arc::new(Driver::default())), Ok(()));
}

#[test]
fn a_backend_without_can_merge_gets_full_batches_and_each_freed_slot_once() {
    Memory::new(64);
    let swap = new_swap();
    let driver = Arc::new(Driver::default());
    swap.register(FAKE, driver.clone()).unwrap();
    enable(swap, &FakeDisk::new("/dev/zram0", 600), None).unwrap();
    let store = driver.stores.lock().unwrap()[0].clone();
    let folios: Vec<_> = (1..=40).map(|word| new_folio(0, word).unwrap()).collect();
    let mut references = Vec::new();
    for folio in &folios {
        references.push(swap.duplicate(swap.add_to_swap(&lock(folio)).unwrap()).unwrap());
    }
    // Every other slot is left out: nothing is contiguous.
    let mut plug = Plug::new();
    for folio in folios.iter().step_by(2) {
        swap.write(&mut plug, lock(folio));
    }
    plug.submit();
    assert_eq!(*store.batches.lock().unwrap(), [20]);
    let entries: Vec<_> = references.iter().map(quire_swap::SlotReference::entry).collect();
    assert_eq!(swap.area(0).unwrap().metadata(entries[2].slot()), u64::from(entries[2].slot()));
    drop(references);
    drop(folios);
    let mut freed = store.freed.lock().unwrap().clone();
    freed.sort_unstable();
    let metadata = |index: usize, slot: u32| if index.is_multiple_of(2) { u64::from(slot) } else { 0 };
    let expected: Vec<_> =
        entries.iter().enumerate().map(|(index, entry)| (entry.slot(), metadata(index, entry.slot()))).collect();
    assert_eq!(freed, expected, "each slot once, with the bits that it had");
    // A slot that is taken again starts with none.
    let slots = swap.allocate(0).unwrap();
    assert_eq!(swap.area(0).unwrap().metadata(slots.run().first), 0);
}

#[test]
fn a_backend_with_bits_of_its_own_is_told_once_when_a_page_becomes_zero() {
    let memory = Memory::new(8);
    let swap = new_swap();
    let driver = Arc::new(Driver::default());
    swap.register(FAKE, driver.clone()).unwrap();
    enable(swap, &FakeDisk::new("/dev/zram0", 600), None).unwrap();
    let store = driver.stores.lock().unwrap()[0].clone();
    let mut kernel = Kernel::new(swap, memory, 1, 1);
    kernel.populate(0, 0, 0, 5);
    kernel.reclaim(0, 0);
    kernel.plug.submit();
    let DecodedPte::Entry(entry) = kernel.pte(0, 0) else { panic!("the page is out") };
    let mut write = |word| {
        let folio = swap.fault_in(entry, 0, None).unwrap().folio;
        folio.fill(0, word);
        folio.state().set(FolioFlag::Dirty);
        let is_zero = matches!(swap.write(&mut kernel.plug, folio), Written::Zero(_));
        kernel.plug.submit();
        is_zero
    };
    assert!(write(0));
    let slot = entry.slot();
    let told = [(slot, slot.into())];
    assert_eq!((&*store.zeroed.lock().unwrap(), swap.area(0).unwrap().metadata(slot)), (&told.to_vec(), 0));
    assert!(!write(6));
    assert_eq!(*store.zeroed.lock().unwrap(), told, "a page that is not zero any more is stored, and that is all");
    assert_eq!(swap.area(0).unwrap().metadata(slot), slot.into());
}

/// Takes every other folio, and hands the rest on to the block backend.
struct Choosy(BlockBackend<Fake>);

impl SwapOps<Fake> for Choosy {
    fn flags(&self) -> SwapOpsFlags {
        SwapOpsFlags { stable_writes: true, ..SwapOpsFlags::default() }
    }

    fn submit_read(&self, batch: ReadBatch<Fake>) {
        self.0.submit_read(batch);
    }

    fn submit_write(&self, mut batch: WriteBatch<Fake>) {
        for position in 0..batch.batch().len() / 2 {
            batch.complete_one(position, if position == 0 { Err(IoError::NoSpace) } else { Ok(()) });
        }
        batch.complete_one(BATCH_FOLIOS, Ok(()));
        self.0.submit_write(batch);
    }
}

impl BlockDriver<Fake> for Choosy {
    fn swap_ops(&self, disk: &Arc<dyn Disk<Fake>>) -> Option<Arc<dyn SwapOps<Fake>>> {
        Some(Arc::new(Choosy(BlockBackend::new(Arc::clone(disk)))))
    }
}

#[test]
fn a_backend_completes_some_folios_of_a_batch_and_hands_the_others_on() {
    let memory = Memory::new(16);
    let swap = new_swap();
    let disk = FakeDisk::new("/dev/vda", 100);
    let backend: Arc<dyn Disk<Fake>> = disk.clone();
    swap.register(FAKE, Arc::new(Choosy(BlockBackend::new(backend)))).unwrap();
    enable(swap, &disk, None).unwrap();
    let mut kernel = Kernel::new(swap, memory, 1, 8);
    for page in 0..8 {
        kernel.populate(0, page, 0, 5 + page as u64);
        kernel.reclaim(0, page);
    }
    kernel.plug.submit();
    // The first of those that were completed one by one was refused: it is dirty again, the next is clean.
    let ended: Vec<_> = memory.ended_writes.lock().unwrap().iter().map(|(_, result)| *result).collect();
    assert_eq!(ended, [Err(IoError::NoSpace), Ok(()), Ok(()), Ok(())]);
    memory.run_all();
    assert_eq!(memory.ended_writes.lock().unwrap().len(), 8, "every folio's write ends once");
    assert_eq!(disk.requests.lock().unwrap().iter().map(|(_, _, pages)| pages).sum::<u64>(), 4);
    assert_eq!(swap.idle_batches(), quire_swap::POOL_BATCHES);
    assert_eq!(kernel.read(0, 0), Ok(5), "what was refused is in memory");
}

/// Takes batches as they come and hands them on to the block backend.
struct Delegating(BlockBackend<Fake>);

impl SwapOps<Fake> for Delegating {
    fn flags(&self) -> SwapOpsFlags {
        SwapOpsFlags { stable_writes: true, ..SwapOpsFlags::default() }
    }

    fn submit_read(&self, batch: ReadBatch<Fake>) {
        self.0.submit_read(batch);
    }

    fn submit_write(&self, batch: WriteBatch<Fake>) {
        self.0.submit_write(batch);
    }

    fn slot_zeroed(&self, _area: &Area<Fake>, slot: u32, _metadata: u64) {
        panic!("slot {slot} has no bits of the backend's own");
    }
}

struct DelegatingDriver;

impl BlockDriver<Fake> for DelegatingDriver {
    fn swap_ops(&self, disk: &Arc<dyn Disk<Fake>>) -> Option<Arc<dyn SwapOps<Fake>>> {
        Some(Arc::new(Delegating(BlockBackend::new(Arc::clone(disk)))))
    }
}

#[test]
fn a_batch_that_is_handed_on_goes_run_by_run_and_ends_once() {
    let memory = Memory::new(64);
    let swap = new_swap();
    swap.register(FAKE, Arc::new(DelegatingDriver)).unwrap();
    let disk = FakeDisk::new("/dev/vda", 600);
    enable(swap, &disk, None).unwrap();
    let mut kernel = Kernel::new(swap, memory, 1, 10);
    kernel.populate(0, 0, 0, 0);
    kernel.reclaim(0, 0);
    kernel.unmap(0, 0);
    for page in 0..10 {
        kernel.populate(0, page, 0, 100 + page as u64);
    }
    // Slots 1 to 10; pages 3 and 7 are not written, so there are three runs.
    for page in 0..10 {
        let DecodedPte::Present(word) = kernel.pte(0, page) else { panic!("page {page} was just made") };
        swap.add_to_swap(&lock(&memory.folio_of(word >> 12).0)).unwrap();
    }
    for (failing, requests) in [(2, 2), (0, 3)] {
        memory.io.fail_nth(failing);
        disk.requests.lock().unwrap().clear();
        for page in [0, 1, 2, 4, 5, 6, 8, 9] {
            kernel.reclaim(0, page);
        }
        kernel.plug.submit();
        memory.run_all();
        assert_eq!(disk.requests.lock().unwrap().len(), requests, "an error ends the batch");
        let ended = memory.ended_writes.lock().unwrap().clone();
        assert_eq!(ended.len(), 8, "each folio once");
        assert!(ended.iter().all(|(_, result)| result.is_err() == (failing > 0)));
        kernel.evict_ended();
        for page in 0..10 {
            assert_eq!(kernel.read(0, page), Ok(100 + page as u64));
        }
    }
}

#[test]
fn a_backend_that_is_full_keeps_the_page_in_memory() {
    let memory = Memory::new(8);
    let swap = new_swap();
    let driver = Arc::new(Driver::default());
    swap.register(FAKE, driver.clone()).unwrap();
    enable(swap, &FakeDisk::new("/dev/zram0", 600), None).unwrap();
    *driver.stores.lock().unwrap()[0].full.lock().unwrap() = true;
    let mut kernel = Kernel::new(swap, memory, 1, 1);
    kernel.populate(0, 0, 0, 5);
    assert!(kernel.reclaim(0, 0));
    kernel.plug.submit();
    kernel.evict_ended();
    assert_eq!(memory.ended_writes.lock().unwrap().len(), 0);
    assert_eq!(memory.free_frames(), 7);
    assert!(memory.logged("no space on the device"));
    assert_eq!(kernel.read(0, 0), Ok(5));
}

#[test]
fn large_folios_go_out_and_come_back_whole() {
    let memory = Memory::new(1024);
    let swap = new_swap();
    let disk = FakeDisk::new("/dev/vda", 4 * 512);
    enable(swap, &disk, None).unwrap();
    for order in 1..10 {
        let mut kernel = Kernel::new(swap, memory, 1, 512);
        kernel.max_order = 9;
        assert!(kernel.populate(0, 0, order, 1000));
        disk.requests.lock().unwrap().clear();
        assert!(kernel.reclaim(0, 0));
        kernel.write_out();
        assert_eq!(memory.free_frames(), 1024, "order {order}");
        for page in 0..1 << order {
            assert_eq!(kernel.read(0, page), Ok(1000 + page as u64), "order {order}");
        }
        let requests: Vec<_> = disk.requests.lock().unwrap().iter().map(|request| request.2).collect();
        assert_eq!(requests, [1 << order; 2], "one request out, one in");
        assert_eq!(kernel.faults.len(), 1);
        // Broken in one place, only that page is lost.
        assert!(kernel.reclaim(0, 0));
        let DecodedPte::Entry(broken) = kernel.pte(0, 1) else { panic!("page 1 is out") };
        disk.broken.lock().unwrap().insert(broken.slot().into());
        for page in 0..1 << order {
            assert_eq!(kernel.read(0, page).is_ok(), page != 1, "order {order} page {page}");
        }
        disk.broken.lock().unwrap().clear();
        (0..512).for_each(|page| kernel.unmap(0, page));
        kernel.settle();
        assert_eq!((memory.free_frames(), swap.area(0).unwrap().used()), (1024, 0), "order {order}");
    }
}

/// Registered as a type of backend for headers to name.
struct StoreType;

impl BackendType<Fake> for StoreType {
    fn versions(&self) -> RangeInclusive<u32> {
        2..=3
    }

    fn is_overridable(&self, key: &str) -> bool {
        key == "limit"
    }

    fn open(
        &self,
        _opening: &Opening<'_, Fake>,
        settings: &Settings<'_>,
    ) -> Result<Arc<dyn SwapOps<Fake>>, BackendError> {
        match (settings.get("codec"), settings.get("limit")) {
            (Some("raw"), Some("10" | "20")) => Ok(Arc::new(Store::default())),
            (Some("raw"), _) => Err(BackendError::option("limit")),
            _ => Err(BackendError::option("codec")),
        }
    }
}

/// `swapon` of a disk whose header has an extension.
fn extended(swap: &Swap<Fake>, extension: Option<(&str, u32, &str)>, overrides: &str) -> Result<u8, SwapOnError> {
    let disk = FakeDisk::new("/dev/vda", 100);
    let mut page = disk.page(0);
    if let Some((name, version, options)) = extension {
        let extension = Extension { backend: TypeName::new(name).unwrap(), version, options: BackendOptions(options) };
        extension.encode(&mut page).unwrap();
    }
    disk.set_page(0, &page);
    let disk: Arc<dyn Disk<Fake>> = disk;
    swap.swapon(&disk, SwapOnOptions { backend: BackendOptions(overrides), ..SwapOnOptions::default() })
}

#[test]
fn the_header_chooses_the_backend() {
    let memory = Memory::new(8);
    let swap = new_swap();
    swap.register_type("store", Arc::new(StoreType)).unwrap();
    assert_eq!(swap.register_type("store", Arc::new(StoreType)), Err(RegistryError::Taken("store")));
    assert_eq!(swap.register_type(BLOCK_TYPE, Arc::new(StoreType)), Err(RegistryError::Taken("block")));
    let name = |name| TypeName::new(name).unwrap();
    let refused = |extension, overrides, expected: BackendError, words: &str| {
        let error = extended(swap, extension, overrides).unwrap_err();
        assert_eq!(error, SwapOnError::Backend(expected));
        assert!(memory.logged(words), "{words}");
    };
    refused(Some(("tape", 1, "")), "", BackendError::UnknownType(name("tape")), "backend type \"tape\"");
    refused(Some(("store", 4, "")), "", BackendError::UnknownVersion(name("store"), 4), "version 4 of backend type");
    refused(Some(("block", 2, "")), "", BackendError::UnknownVersion(name("block"), 2), "version 2 of backend type");
    refused(Some(("store", 2, "codec=raw")), "", BackendError::Option(name("limit")), "option \"limit\"");
    refused(
        Some(("store", 2, "codec=raw,limit=10")),
        "codec=raw",
        BackendError::NotOverridable(name("codec")),
        "option \"codec\" cannot be set",
    );
    refused(None, "color=red", BackendError::NotOverridable(name("color")), "option \"color\"");
    refused(None, "synchronous=maybe", BackendError::Option(name("synchronous")), "option \"synchronous\"");
    refused(Some(("block", 1, "color=red")), "", BackendError::Option(name("color")), "option \"color\"");
    for (extension, overrides) in [
        (None, ""),
        (None, "synchronous=no"),
        (Some(("block", 1, "synchronous=auto")), "synchronous=no"),
        (Some(("store", 3, "codec=raw")), "limit=20"),
        (Some(("store", 2, "codec=raw,limit=1,limit=10")), ""),
        (Some(("store", 2, "codec=raw,limit=1")), "limit=10"),
    ] {
        let index = extended(swap, extension, overrides).unwrap();
        round_trip(swap, memory);
        swap.swapoff(index, &mut Kernel::new(swap, memory, 0, 0)).unwrap();
    }
}

#[test]
fn an_extension_that_cannot_be_believed_is_refused() {
    Memory::new(0);
    let mut page = FakeDisk::new("/dev/vda", 100).page(0);
    assert_eq!(Extension::parse(&page), Ok(None));
    let extension = Extension {
        backend: TypeName::new("0123456789abcdef").unwrap(),
        version: 7,
        options: BackendOptions("a=1,b,c=2=3"),
    };
    extension.encode(&mut page).unwrap();
    assert_eq!(Extension::parse(&page), Ok(Some(extension)));
    assert_eq!(extension.options.iter().collect::<Vec<_>>(), [("a", "1"), ("b", ""), ("c", "2=3")]);
    for byte in PADDING {
        let mut broken = page;
        broken[byte] ^= 4;
        match byte - PADDING.start {
            0..8 => assert_eq!(Extension::parse(&broken), Ok(None), "no magic, no extension"),
            8..12 => assert!(matches!(Extension::parse(&broken), Err(ExtensionError::Version(_)))),
            _ => assert!(matches!(Extension::parse(&broken), Err(ExtensionError::Checksum { .. })), "byte {byte}"),
        }
    }
    let long = "x".repeat(OPTIONS_MAX + 1);
    let mut untouched = page;
    let too_long = Extension { options: BackendOptions(&long), ..extension };
    assert_eq!(too_long.encode(&mut untouched), Err(ExtensionError::OptionsLength(429)));
    assert_eq!(untouched, page);
    let longest = Extension { options: BackendOptions(&long[1..]), ..extension };
    longest.encode(&mut page).unwrap();
    assert_eq!(Extension::parse(&page), Ok(Some(longest)));
    assert_eq!(TypeName::new("0123456789abcdefg"), None);
}
