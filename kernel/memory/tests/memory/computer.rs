//! A machine with memory, processes and a disk.

use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};

use quire_backends::{CryptType, LogType, crypt, log};
use quire_compressed::zram::{Control, Zram};
use quire_compressed::zswap::Zswap;
use quire_machine::arch::registers::TrapFrame;
use quire_machine::random;
use quire_machine::simulated::{Configuration, Machine, program};
use quire_machine::task;
use quire_machine::upcall::{self as machine_upcall, Access};
use quire_memory::fatal::Fatal;
use quire_memory::frame_use::FrameUse;
use quire_memory::swap::Quire;
use quire_memory::swap::happening::Happening;
use quire_memory::{
    AddressSpace, cgroup, fault, frame_use, large_folio, lru, policy, progress, reclaim, swap, unused, upcall,
};
use quire_swap::header::PAGE_SIZE;
use quire_swap::{FileRun, SlotRange, SwapFile, SwapOnError, SwapOnOptions, ghost};

use crate::disk::{self, Disk};
use crate::process;

static MACHINE: machine_upcall::Upcalls = machine_upcall::Upcalls {
    page_fault,
    user_copy_fault: |address, access| serve(address, access).is_ok(),
    exception: |_| unreachable!("a test's program has no exceptions"),
    system_call: |_, _, _| unreachable!("a test's program makes no system calls"),
    before_user: |_| (),
    tick: |_| (),
    memory_is_low: reclaim::wake_kswapd,
    serves_ordinary_user: || false,
    allocate_charged: cgroup::allocate,
    free_charged: cgroup::free,
    folio_is_unused: unused::is_unused,
    folio_is_orphaned: unused::is_orphaned,
};

static MEMORY: upcall::Upcalls = upcall::Upcalls {
    process_after: process::after,
    memory_is_low,
    wake_shrinker: || SHRINK.happened(),
    find_disk: |_| None,
};

/// Pages are to leave zswap for a disk.
static SHRINK: Happening = Happening::new();

fn memory_is_low() {
    if let Some(zswap) = ZSWAP.get() {
        zswap.memory_is_low();
    }
}

fn page_fault(frame: &mut TrapFrame, address: u64, access: Access) {
    if serve(address, access).is_err() {
        program::abandon(frame);
    }
}

fn serve(address: u64, access: Access) -> Result<(), Fatal> {
    fault::handle(address, access).map(drop).inspect_err(|fatal| process::note(*fatal))
}

/// The test that has started a machine and not ended it: if another one can start, that one has failed.
static LAST: Mutex<Option<String>> = Mutex::new(None);

/// Said to a process that runs one test.
pub(crate) const ALONE: &str = "QUIRE_ALONE";

/// Whether no other test has a machine in this process: nextest gives each test its own.
pub(crate) fn has_process_to_itself() -> bool {
    ["NEXTEST", ALONE].iter().any(|variable| std::env::var_os(variable).is_some())
}

/// What can become a swap area.
enum Device {
    Disk(Arc<dyn quire_swap::Disk<Quire>>),
    /// A file on a disk.
    File(Arc<dyn quire_swap::Disk<Quire>>, Vec<FileRun>),
    /// The ghost device, of so many pages.
    Ghost(&'static Arc<Zswap<Quire>>, u64),
}

/// A swap area, or what can become one.
struct Area {
    device: Device,
    index: Option<u8>,
}

impl Area {
    fn enable(&self) -> Result<u8, SwapOnError> {
        let (disk, runs) = match &self.device {
            Device::Disk(disk) => return swap::core().swapon(disk, SwapOnOptions::default()),
            Device::File(disk, runs) => (disk, runs),
            Device::Ghost(zswap, pages) => return zswap.swapon_ghost(*pages, SwapOnOptions::default()),
        };
        let mut header = [0; PAGE_SIZE];
        disk.read_page(0, &mut header).expect("the disk has its first page");
        let bytes = disk.pages() * PAGE_SIZE as u64;
        let file = SwapFile { name: "/mnt/file", disk, header: &header, bytes, runs };
        swap::core().swapon_file(&file, SwapOnOptions::default())
    }
}

/// What keeps compressed pages.
#[derive(Clone, Copy)]
enum Compressed {
    Nothing,
    Zram(u64),
    Zswap,
    /// And has an area of its own.
    Ghost,
}

/// A machine that has been started, with swap areas. Dropping it disables them and looks whether everything was freed.
pub(crate) struct Computer {
    machine: Machine,
    areas: Vec<Area>,
    zram: Option<Arc<Zram<Quire>>>,
    zswap: Option<&'static Arc<Zswap<Quire>>>,
    /// The disk of the last area.
    pub(crate) disk: Arc<Disk>,
}

impl Computer {
    /// With so many frames, and a disk to swap to.
    pub(crate) fn start(frames: usize, processors: usize, disk: Disk) -> Self {
        Self::with(frames, processors, Compressed::Nothing, disk)
    }

    /// With a zram device of so many pages as well, which is filled first.
    pub(crate) fn with_zram(frames: usize, processors: usize, zram_pages: u64, disk: Disk) -> Self {
        Self::with(frames, processors, Compressed::Zram(zram_pages), disk)
    }

    /// With zswap before the disk, and a ghost area or none.
    pub(crate) fn with_zswap(frames: usize, ghost: bool, disk: Disk) -> Self {
        Self::with(frames, 1, if ghost { Compressed::Ghost } else { Compressed::Zswap }, disk)
    }

    fn with(frames: usize, processors: usize, compressed: Compressed, disk: Disk) -> Self {
        let mut machine = Machine::start(Configuration { frames, processors }, &MACHINE);
        let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
        // What memory and swap keep in statics is that machine's still, and a later one would only show that.
        assert!(last.is_none(), "not run: {} failed before and has left its machine as it was", last.as_ref().unwrap());
        *last = Some(std::thread::current().name().unwrap_or_default().to_owned());
        drop(last);
        upcall::install(&MEMORY);
        lru::set_policy(policy::DEFAULT).expect("it is a policy");
        large_folio::FOR_SIZE.set(large_folio::Setting::Never);
        quire_memory::start().expect("the machine has frames");
        let zswap = matches!(compressed, Compressed::Zswap | Compressed::Ghost).then(|| start_zswap(frames));
        machine.settle();
        register_types();
        let disk = Arc::new(disk);
        let zram = if let Compressed::Zram(pages) = compressed { Some(new_zram(pages)) } else { None };
        let first = match (compressed, zswap) {
            (Compressed::Ghost, Some(zswap)) => Some(Device::Ghost(zswap, ghost::default_pages(frames as u64))),
            _ => zram.as_ref().map(|zram| Device::Disk(zram.open().expect("it has a size") as _)),
        };
        let own: Arc<dyn quire_swap::Disk<Quire>> = Arc::clone(&disk) as _;
        let own = disk.file().map_or(Device::Disk(Arc::clone(&own)), |runs| Device::File(own, runs));
        let areas = first.into_iter().chain([own]).map(|device| Area { device, index: None }).collect();
        let mut computer = Self { machine, areas, zram, zswap, disk };
        computer.enable();
        assert!(computer.areas.iter().all(|area| area.index.is_some()));
        computer
    }

    /// Enables the areas that are not, if there is memory for that.
    pub(crate) fn enable(&mut self) {
        self.disk.start();
        for area in self.areas.iter_mut().filter(|area| area.index.is_none()) {
            area.index = area.enable().ok();
        }
    }

    /// Disables the areas, as far as there is memory for their pages; whether none is left.
    pub(crate) fn disable(&mut self) -> bool {
        for area in &mut self.areas {
            area.index = area.index.filter(|index| swap::swapoff::disable(*index).is_err());
        }
        self.areas.iter().all(|area| area.index.is_none())
    }

    /// How many of the PTEs of a space say that their page is in swap.
    pub(crate) fn count_entries(&self, space: &AddressSpace) -> usize {
        let in_area = |index| {
            let slots = SlotRange { area: index, slots: 0..u64::MAX };
            let next = |from: u64| space.next_entry(from, &slots).map(|(page, _)| page + PAGE_SIZE as u64);
            std::iter::successors(next(0), |from| next(*from)).count()
        };
        self.areas.iter().filter_map(|area| area.index).map(in_area).sum()
    }

    /// Waits until no write is on its way.
    pub(crate) fn settle() {
        Machine::wait_for_others();
        assert_eq!(progress::writes_under_way(), 0);
    }

    /// While nothing is on its way, each page is in a list.
    pub(crate) fn look_at_lists() {
        Self::settle();
        for page in used_frames().filter_map(|used| used.page) {
            assert!(page.list.listed, "in no list, so that reclaim does not find it: {page:?}");
        }
    }
}

/// Makes the types of backends known, once for all machines of this process.
fn register_types() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        swap::core().register_type(log::LOG, Arc::new(LogType)).expect("there is memory for a type");
        let crypt = Arc::new(CryptType::new(random::fill));
        swap::core().register_type(crypt::CRYPT, crypt).expect("there is memory for a type");
    });
}

/// The zram devices, which are there for all machines of this process.
fn zram_devices() -> &'static Control<Quire> {
    static CONTROL: OnceLock<Arc<Control<Quire>>> = OnceLock::new();
    CONTROL.get_or_init(|| Control::start(swap::core()).expect("zram is registered once"))
}

/// All frames, with what each is used for.
pub(crate) fn used_frames() -> impl Iterator<Item = FrameUse> {
    (0..frame_use::frames()).filter_map(frame_use::frame_use)
}

/// The compressed cache, which is there for all machines of this process once one has begun with it.
static ZSWAP: OnceLock<Arc<Zswap<Quire>>> = OnceLock::new();

/// One of its counters.
pub(crate) fn zswap_counter(name: &str) -> u64 {
    ZSWAP.get().and_then(|zswap| zswap.counter(name)).unwrap_or_default()
}

/// Puts zswap before the areas that are enabled from now on, with a pool so small that pages go on to the disk, and starts
/// the thread that writes them, as the kernel does.
fn start_zswap(frames: usize) -> &'static Arc<Zswap<Quire>> {
    let start = || Zswap::start(swap::core(), frames as u64).expect("there is memory for its tables");
    let zswap = ZSWAP.get_or_init(start);
    for (name, value) in [("enabled", "Y"), ("shrinker_enabled", "Y"), ("max_pool_percent", "1")] {
        zswap.set(name, value).expect("it is a parameter");
    }
    let work = || {
        task::current().running().set_reclaims();
        SHRINK.whenever(|| _ = zswap.shrink());
    };
    task::spawn("zswap", work).expect("there is memory for a thread");
    zswap
}

/// No machine has zswap until it is started again; it has no page.
fn stop_zswap(zswap: &Zswap<Quire>) {
    zswap.set("enabled", "N").expect("it is a parameter");
    assert_eq!((zswap_counter("stored_pages"), zswap_counter("pool_total_size")), (0, 0), "in the pool");
    assert!(zswap.adds_up(), "pages stored are those dropped and written back");
}

/// A zram device of so many pages with a swap header.
fn new_zram(pages: u64) -> Arc<Zram<Quire>> {
    let number = zram_devices().hot_add().expect("there is memory for a device");
    let zram = zram_devices().device(&format!("/dev/zram{number}")).expect("it was just added");
    zram.store("disksize", &(pages * PAGE_SIZE as u64).to_string()).expect("there is memory for its slots");
    zram.open().expect("it has a size").write(0, &disk::header(pages)).expect("there is memory for a page");
    zram
}

/// Takes a device away that has nothing but its header.
fn remove_zram(zram: &Zram<Quire>) {
    let numbers = zram.show("mm_stat").expect("there is memory for a line");
    let stored = numbers.split_whitespace().next().and_then(|number| number.parse().ok());
    assert_eq!(stored, Some(PAGE_SIZE), "pages are stored, and no slot is used: {numbers}");
    zram_devices().hot_remove(&zram.number().to_string()).expect("it is not used");
}

impl Drop for Computer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        Self::settle();
        process::forget_all();
        assert_eq!(swap::used_pages(), 0, "slots are used, and no process is left");
        assert!(self.disable(), "empty areas are disabled");
        self.areas.clear();
        self.zram.take().iter().for_each(|zram| remove_zram(zram));
        self.zswap.iter().for_each(|zswap| stop_zswap(zswap));
        self.disk.stop();
        self.machine.check_frames();
        *LAST.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
