//! Files as areas: by their extents, with the block backend, whatever the driver has registered.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use quire_swap::extension::{BackendOptions, Extension, TypeName};
use quire_swap::header::{BadPages, Header, HeaderError, PAGE_SIZE, Page};
use quire_swap::{
    BackendError, BlockDriver, Discard, Disk, DiskProperties, DriverId, ExtentError, FileRun, Swap, SwapFile,
    SwapOnError, SwapOnOptions, SwapOps,
};

use quire_testkit::kernel::Kernel;
use quire_testkit::pieces::{PIECE, file_in_pieces};
use quire_testkit::{Fake, FakeDisk, Memory, new_swap};

const PAGE: u64 = PAGE_SIZE as u64;

fn header(last_page: u32) -> Box<Page> {
    let mut page = Box::new([0; PAGE_SIZE]);
    let header = Header { last_page, uuid: [1; 16], label: [0; 16], bad_pages: BadPages::new(&[]) };
    header.encode(&mut page).unwrap();
    page
}

fn run(page: u64, disk_page: u64, pages: u64) -> FileRun {
    FileRun { offset: page * PAGE, disk_offset: disk_page * PAGE, bytes: pages * PAGE }
}

fn enable(
    swap: &Swap<Fake>,
    disk: &Arc<FakeDisk>,
    header: &Page,
    pages: u64,
    runs: &[FileRun],
) -> Result<u8, SwapOnError> {
    let disk: Arc<dyn Disk<Fake>> = disk.clone();
    let file = SwapFile { name: "/mnt/swapfile", disk: &disk, header, bytes: pages * PAGE, runs };
    swap.swapon_file(&file, SwapOnOptions::default())
}

/// A driver whose disks have operations of their own, which no file may get.
#[derive(Default)]
struct Driver(AtomicU32);

impl BlockDriver<Fake> for Driver {
    fn swap_ops(&self, _disk: &Arc<dyn Disk<Fake>>) -> Option<Arc<dyn SwapOps<Fake>>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[test]
fn a_device_is_told_of_each_piece_of_an_empty_cluster() {
    const PAGES: u64 = 1 + PIECE * 170;
    let memory = Memory::new(0);
    let swap = new_swap();
    let able = DiskProperties { discard: true, ..DiskProperties::default() };
    let disk = FakeDisk::with("/dev/vda", PAGES, able, &[]);
    let device: Arc<dyn Disk<Fake>> = disk.clone();
    let (header, bytes, runs) = (&disk.page(0), PAGES * PAGE, &file_in_pieces(PAGES));
    let file = SwapFile { name: "/mnt/swapfile", disk: &device, header, bytes, runs };
    let options = SwapOnOptions { discard: Discard::Pages, ..SwapOnOptions::default() };
    let area = swap.area(swap.swapon_file(&file, options).unwrap()).unwrap();
    let slots: Vec<_> = (1..PAGES).map(|_| swap.allocate(0).unwrap()).collect();
    drop(slots);
    swap.do_pending_work();
    let mut discarded: Vec<u64> = disk.discarded.lock().unwrap().iter().cloned().flatten().collect();
    discarded.sort_unstable();
    let mut expected: Vec<u64> = (512..1024).map(|slot| area.extents().disk_page(slot).unwrap()).collect();
    expected.sort_unstable();
    assert_eq!(discarded, expected, "the clusters of the header and of the end are never empty");
    memory.forget();
}

#[test]
fn pages_of_a_file_in_pieces_come_back_and_nothing_else_is_touched() {
    const PAGES: u64 = 64;
    let memory = Memory::new(PAGES as usize);
    let swap = new_swap();
    let driver = Arc::new(Driver::default());
    swap.register(DriverId("fake"), driver.clone()).unwrap();
    let disk = FakeDisk::new("/dev/vda", 1000);
    // The file system has the disk for itself while the file is an area.
    let held = Mutex::new(disk.device_state().claim().unwrap());
    // From behind, so that no two pieces are one.
    let runs: Vec<_> = (0..=PAGES).map(|page| run(page, 900 - 3 * page, 1)).collect();
    let index = enable(swap, &disk, &header(PAGES as u32), PAGES + 1, &runs).unwrap();
    let area = swap.area(index).unwrap();
    assert_eq!((area.extents().len() as u64, area.usable(), area.properties().is_file), (PAGES + 1, PAGES, true));
    assert_eq!(driver.0.load(Ordering::Relaxed), 0, "the driver's operations are for whole disks");

    let mut kernel = Kernel::new(swap, memory, 1, PAGES as usize);
    for page in 0..PAGES as usize {
        kernel.populate(0, page, 0, 100 + page as u64);
        kernel.reclaim(0, page);
    }
    kernel.write_out();
    // No large folio is read from pieces.
    kernel.max_order = 2;
    for page in 0..PAGES as usize {
        assert_eq!(kernel.read(0, page), Ok(100 + page as u64));
        kernel.unmap(0, page);
    }
    kernel.settle();
    let is_inside = |page: u64| (900 - 3 * PAGES..900).contains(&page) && (900 - page).is_multiple_of(3);
    let requests = disk.requests.lock().unwrap();
    assert!(requests.len() as u64 >= 2 * PAGES, "each page is a request of its own");
    assert!(requests.iter().all(|(_, page, pages)| *pages == 1 && is_inside(*page)), "{requests:?}");
    drop(requests);
    drop(area);
    swap.swapoff(index, &mut Kernel::new(swap, memory, 0, 0)).unwrap();
    drop(held);
    assert!(disk.device_state().claim().is_some());
}

#[test]
fn what_is_wrong_with_a_file_is_named_and_changes_nothing() {
    Memory::new(0);
    let swap = new_swap();
    let disk = FakeDisk::new("/dev/vda", 1000);
    let refused = |header: &Page, pages, runs: &[_]| enable(swap, &disk, header, pages, runs).unwrap_err();
    let whole = [run(0, 10, 20)];
    assert_eq!(
        refused(&header(20), 20, &whole),
        SwapOnError::Header(HeaderError::BeyondDevice { last_page: 20, device_pages: 20 })
    );
    assert_eq!(refused(&[0; PAGE_SIZE], 0, &[]), SwapOnError::Header(HeaderError::NoPage));
    assert_eq!(refused(&[0; PAGE_SIZE], 20, &whole), SwapOnError::Header(HeaderError::Magic([0; 10])));
    let hole = [run(0, 10, 5), run(6, 20, 14)];
    assert_eq!(refused(&header(19), 20, &hole), SwapOnError::Extents(ExtentError::Hole { page: 5 }));
    let beyond = [run(0, 990, 20)];
    assert_eq!(refused(&header(19), 20, &beyond), SwapOnError::Extents(ExtentError::BeyondDisk { page: 0 }));
    let one = [FileRun { offset: 0, disk_offset: 10 * PAGE + 512, bytes: 2 * PAGE }];
    assert_eq!(refused(&header(1), 2, &one), SwapOnError::Header(HeaderError::Empty), "no page beside the header");
    let mut typed = header(19);
    let backend = TypeName::new("log").unwrap();
    Extension { backend, version: 1, options: BackendOptions("") }.encode(&mut typed).unwrap();
    let unknown = refused(&typed, 20, &whole);
    assert_eq!(unknown, SwapOnError::Backend(BackendError::UnknownType(backend)));
    assert!(disk.requests.lock().unwrap().is_empty());
    let properties = DiskProperties { read_only: true, ..DiskProperties::default() };
    let read_only = FakeDisk::with("/dev/vdb", 1000, properties, &[]);
    assert_eq!(enable(swap, &read_only, &header(19), 20, &whole), Err(SwapOnError::ReadOnly));
    let index = enable(swap, &disk, &header(19), 20, &whole).unwrap();
    assert_eq!(refused(&header(19), 20, &whole), SwapOnError::Busy);
    swap.swapoff(index, &mut Kernel::new(swap, Memory::new(0), 0, 0)).unwrap();
}
