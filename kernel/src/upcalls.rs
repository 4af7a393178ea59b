//! What the kernel answers to the questions of the rooms below: see `quire_machine::upcall` and `quire_memory::upcall`.

use quire_linux::fs::devices;
use quire_linux::fs::terminal::input;
use quire_linux::process::control_block::Process;
use quire_linux::process::{ring3, table};
use quire_linux::syscall;
use quire_machine::arch::registers::TrapFrame;
use quire_machine::task::scheduler;
use quire_machine::upcall::{Access, Upcalls};
use quire_memory::{cgroup, fault, reclaim, unused, upcall};

use crate::zswap;

/// What the machine asks.
pub static MACHINE: Upcalls = Upcalls {
    page_fault,
    user_copy_fault,
    exception: ring3::exception,
    system_call: syscall::serve,
    before_user: ring3::before_user,
    tick,
    memory_is_low: reclaim::wake_kswapd,
    serves_ordinary_user,
    allocate_charged: cgroup::allocate,
    free_charged: cgroup::free,
    folio_is_unused: unused::is_unused,
    folio_is_orphaned: unused::is_orphaned,
};

/// What memory asks.
pub static MEMORY: upcall::Upcalls = upcall::Upcalls {
    process_after: |pid| table::after(pid).map(|process| process as _),
    memory_is_low: zswap::memory_is_low,
    wake_shrinker: zswap::wake,
    find_disk: devices::for_swap,
};

fn tick(in_program: bool) {
    input::tick();
    ring3::tick(in_program);
}

fn page_fault(frame: &mut TrapFrame, address: u64, access: Access) {
    match fault::handle(address, access) {
        Ok(service) => ring3::count_fault(service),
        Err(fatal) => ring3::fault(frame, address, fatal),
    }
}

fn user_copy_fault(address: u64, access: Access) -> bool {
    fault::handle(address, access).map(ring3::count_fault).is_ok()
}

fn serves_ordinary_user() -> bool {
    let is_ordinary = |process: &Process| !process.identity().is_superuser();
    scheduler::with_current(|thread| thread.owner_as().is_some_and(is_ordinary)) == Some(true)
}
