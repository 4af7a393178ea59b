//! What the kernel answers to the machine's questions: see `quire_machine::upcall`.

use quire_machine::arch::registers::TrapFrame;
use quire_machine::task::scheduler;
use quire_machine::upcall::{Access, Upcalls};

use crate::mm::{fault, group, reclaim};
use crate::process::{self, Process};
use crate::syscall;

/// The table.
pub static UPCALLS: Upcalls = Upcalls {
    page_fault,
    user_copy_fault,
    exception: process::exception,
    system_call: syscall::serve,
    before_user: process::before_user,
    tick: process::tick,
    memory_is_low: reclaim::wake_kswapd,
    serves_ordinary_user,
    allocate_charged: group::allocate,
    free_charged: group::free,
};

fn page_fault(frame: &mut TrapFrame, address: u64, access: Access) {
    match fault::handle(address, access) {
        Ok(service) => process::count_fault(service),
        Err(fatal) => process::fault(frame, address, fatal),
    }
}

fn user_copy_fault(address: u64, access: Access) -> bool {
    fault::handle(address, access).map(process::count_fault).is_ok()
}

fn serves_ordinary_user() -> bool {
    let is_ordinary = |process: &Process| !process.identity().is_superuser();
    scheduler::with_current(|thread| thread.owner_as().is_some_and(is_ordinary)) == Some(true)
}
