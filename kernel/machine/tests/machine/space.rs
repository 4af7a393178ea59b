//! An address space that has one table of each level, and nothing that manages it.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use quire_machine::arch::page_table::{self, leaf};
use quire_machine::arch::registers::TrapFrame;
use quire_machine::frame::Kind;
use quire_machine::simulated::{Configuration, Machine, program};
use quire_machine::task::{UserHalf, scheduler};
use quire_machine::unique::UniqueFrame;
use quire_machine::upcall::{Access, Upcalls};
use quire_machine::user_tables::{Root, UserTables};
use quire_machine::watermark::Purpose;
use x86_64::structures::paging::PageTableFlags as Flags;

pub(crate) static UPCALLS: Upcalls = Upcalls {
    page_fault,
    user_copy_fault: |address, access| serve(address, access),
    exception: |_| unreachable!("a test's program has no exceptions"),
    system_call: |_, number, _| if number == EXIT { scheduler::exit() } else { number + 1 },
    before_user: |_| (),
    tick: |_| (),
    memory_is_low: || (),
    serves_ordinary_user: || false,
    allocate_charged: |kind| UniqueFrame::allocate(0, kind, Purpose::Kernel),
    free_charged: drop,
    folio_is_unused: |_| unreachable!("no folio is in a list"),
    folio_is_orphaned: |_| unreachable!("nothing is in the swap cache"),
};

/// The call that ends a program; others return the next number.
pub(crate) const EXIT: u64 = 60;

/// The faults that came, and what is done about them.
pub(crate) static FAULTS: Mutex<Vec<(u64, Access)>> = Mutex::new(Vec::new());
type Service = Box<dyn FnMut(u64, Access) -> bool + Send>;
static SERVICE: Mutex<Option<Service>> = Mutex::new(None);

fn serve(address: u64, access: Access) -> bool {
    FAULTS.lock().unwrap().push((address, access));
    let service = SERVICE.lock().unwrap().take();
    let Some(mut service) = service else { return false };
    let is_served = service(address, access);
    *SERVICE.lock().unwrap() = Some(service);
    is_served
}

fn page_fault(frame: &mut TrapFrame, address: u64, access: Access) {
    assert!(frame.is_programs() && frame.error >> 2 & 1 == 1);
    if !serve(address, access) {
        program::abandon(frame);
    }
}

/// Lets faults be served from now on.
pub(crate) fn serve_faults(service: impl FnMut(u64, Access) -> bool + Send + 'static) {
    *SERVICE.lock().unwrap() = Some(Box::new(service));
}

/// Takes the faults that came.
pub(crate) fn faults() -> Vec<(u64, Access)> {
    std::mem::take(&mut FAULTS.lock().unwrap())
}

/// A machine on which no fault is served.
pub(crate) fn machine(processors: usize) -> Machine {
    let machine = Machine::start(Configuration { frames: if cfg!(miri) { 256 } else { 1024 }, processors }, &UPCALLS);
    // Not before: until then another test may have the machine, and its faults come here.
    *SERVICE.lock().unwrap() = None;
    faults();
    machine
}

/// What a program may do with a page that is only read.
pub(crate) const READ: Flags = Flags::PRESENT.union(Flags::USER_ACCESSIBLE).union(Flags::NO_EXECUTE);
/// And with one that is written as well.
pub(crate) const WRITE: Flags = READ.union(Flags::WRITABLE);

/// Tables for addresses below 2 MiB, whose entries are written as they come: they own nothing.
pub(crate) struct Space {
    pub(crate) tables: UserTables,
    next: AtomicU32,
}

impl UserHalf for Space {
    fn root(&self) -> &Root {
        self.tables.root()
    }
}

impl Space {
    /// An empty one, which the caller's thread has from now on.
    pub(crate) fn enter() -> Arc<Self> {
        let space = Arc::new(Self::new());
        scheduler::set_space(Some(Arc::clone(&space) as _));
        space
    }

    pub(crate) fn new() -> Self {
        let (tables, _key) = UserTables::new(frame(Kind::PageTable, 0));
        assert!(tables.lock().find_or_create(0).is_some());
        Self { tables, next: AtomicU32::new(0) }
    }

    fn table(&self) -> &page_table::Table {
        // SAFETY: the tables stay while `self` lives: its key was dropped.
        unsafe {
            let above = page_table::walk(self.tables.root().frame(), 0, 2).expect("the table was made");
            page_table::table(page_table::frame_of(above.load(Ordering::Acquire)))
        }
    }

    /// Writes the entry of page `index`.
    pub(crate) fn set(&self, index: usize, entry: u64) {
        self.table()[index].store(entry, Ordering::Release);
    }

    /// The entry of page `index`.
    pub(crate) fn entry(&self, index: usize) -> u64 {
        self.table()[index].load(Ordering::Acquire)
    }

    pub(crate) fn flags(&self, index: usize) -> Flags {
        page_table::flags_of(self.entry(index))
    }

    /// Maps the next page to `frame`; returns the page's index.
    pub(crate) fn map(&self, frame: &UniqueFrame, flags: Flags) -> usize {
        let index = self.next.fetch_add(1, Ordering::Relaxed) as usize;
        self.set(index, leaf(frame.number(), flags));
        index
    }

    /// Takes the space from the thread, which must be the only one that has it.
    pub(crate) fn leave(self: Arc<Self>) {
        scheduler::set_space(None);
        assert_eq!(Arc::strong_count(&self), 1);
    }
}

/// A frame that is full of `byte`.
pub(crate) fn frame(kind: Kind, byte: u8) -> UniqueFrame {
    let mut frame = UniqueFrame::allocate(0, kind, Purpose::Kernel).expect("the machine has frames");
    frame.bytes_mut().fill(byte);
    frame
}

/// The byte that a program finds at the start of page `index`.
pub(crate) fn read(index: usize) -> u8 {
    let mut byte = [0];
    program::read(address(index), &mut byte).expect("the page can be read");
    byte[0]
}

/// Where page `index` is.
pub(crate) const fn address(index: usize) -> u64 {
    index as u64 * 4096
}
