//! A machine with memory, processes and a disk.

use std::sync::Arc;

use quire_machine::arch::registers::TrapFrame;
use quire_machine::simulated::{Configuration, Machine, program};
use quire_machine::upcall::{self as machine_upcall, Access};
use quire_memory::fatal::Fatal;
use quire_memory::{cgroup, fault, progress, reclaim, swap, unused, upcall};
use quire_swap::{Disk as _, SwapOnOptions};

use crate::disk::Disk;
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

static MEMORY: upcall::Upcalls =
    upcall::Upcalls { process_after: process::after, memory_is_low: || (), wake_shrinker: || (), find_disk: |_| None };

fn page_fault(frame: &mut TrapFrame, address: u64, access: Access) {
    if serve(address, access).is_err() {
        program::abandon(frame);
    }
}

fn serve(address: u64, access: Access) -> Result<(), Fatal> {
    fault::handle(address, access).map(drop).inspect_err(|fatal| process::note(*fatal))
}

/// A machine that has been started, with a swap area. Dropping it disables the area and looks whether everything was freed.
pub(crate) struct Computer {
    machine: Machine,
    area: Option<u8>,
    /// The disk of the area.
    pub(crate) disk: Arc<Disk>,
}

impl Computer {
    /// With so many frames, and a disk of so many pages to swap to.
    pub(crate) fn start(frames: usize, processors: usize, disk: Disk) -> Self {
        let mut machine = Machine::start(Configuration { frames, processors }, &MACHINE);
        upcall::install(&MEMORY);
        quire_memory::start().expect("the machine has frames");
        machine.settle();
        let mut computer = Self { machine, area: None, disk: Arc::new(disk) };
        computer.enable();
        computer
    }

    /// Enables the area, if it is not.
    pub(crate) fn enable(&mut self) {
        if self.area.is_none() {
            let disk: Arc<dyn quire_swap::Disk<swap::Quire>> = Arc::clone(&self.disk) as _;
            self.disk.start();
            self.area = Some(swap::core().swapon(&disk, SwapOnOptions::default()).expect(self.disk.name()));
        }
    }

    /// Disables the area, if there is memory for its pages; whether it did.
    pub(crate) fn disable(&mut self) -> bool {
        let Some(area) = self.area else { return true };
        let is_disabled = swap::swapoff::disable(area).is_ok();
        if is_disabled {
            self.area = None;
        }
        is_disabled
    }

    /// Waits until no write is on its way.
    pub(crate) fn settle(&self) {
        Machine::wait_for_others();
        assert_eq!(progress::writes_under_way(), 0);
    }
}

impl Drop for Computer {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.settle();
        process::forget_all();
        assert_eq!(swap::used_pages(), 0, "slots are used, and no process is left");
        assert!(self.disable(), "an empty area is disabled");
        self.disk.stop();
        self.machine.check_frames();
    }
}
