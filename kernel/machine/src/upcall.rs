//! What the machine asks of the rooms above it: one table of functions, which the top fills in at its start.
//!
//! A trap, a system call or a tick is served above; so are the questions that an allocation has. The machine knows of those
//! who answer nothing but the types here.

use core::cell::Cell;

use crate::arch::interrupts;
use crate::arch::registers::TrapFrame;
use crate::frame::{Folio, Frame, Kind, UniqueFrame};
use crate::protection::Protection;
use crate::sync::Once;

/// How an address was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Written to.
    pub write: bool,
    /// Executed.
    pub execute: bool,
    /// By a program itself; otherwise the kernel did it on its behalf.
    pub user: bool,
}

impl Access {
    /// Whether pages with this protection may be touched like that.
    #[inline]
    pub const fn is_allowed_by(self, protection: Protection) -> bool {
        if self.write {
            protection.write
        } else if self.execute {
            protection.execute
        } else {
            protection.is_some()
        }
    }
}

/// Who serves what.
pub struct Upcalls {
    /// A program touched `address` and could not. Interrupts are on.
    pub page_fault: fn(frame: &mut TrapFrame, address: u64, access: Access),
    /// The kernel touched `address` of the user half on behalf of a program and could not; returns whether it can now. Sleeps.
    pub user_copy_fault: fn(address: u64, access: Access) -> bool,
    /// A program did what raises an exception other than a page fault. Interrupts are on.
    pub exception: fn(frame: &TrapFrame),
    /// A program makes system call `number` with its registers in `frame`; returns what it finds in `rax` afterwards. Interrupts
    /// are on.
    pub system_call: fn(frame: &Cell<TrapFrame>, number: u64, arguments: [u64; 6]) -> u64,
    /// The last thing before a program goes on with `frame`: signals, and other threads' turn. Returns with interrupts off.
    pub before_user: fn(frame: &mut TrapFrame),
    /// A timer tick, which found a program running or the kernel. Interrupts are off.
    pub tick: fn(in_program: bool),
    /// Fewer frames are free than the low watermark. Called under no lock of the machine's; must not sleep.
    pub memory_is_low: fn(),
    /// Whether the running thread works for a program of an ordinary user, who leaves root's share of memory alone.
    pub serves_ordinary_user: fn() -> bool,
    /// Takes a frame that the running thread's memory cgroup is charged for.
    pub allocate_charged: fn(kind: Kind) -> Option<UniqueFrame>,
    /// Frees a frame that was taken so.
    pub free_charged: fn(frame: UniqueFrame),
    /// The last reference to the folio in this frame went, which is in an LRU list or charged to a memory cgroup: takes it out
    /// of the one and off the other.
    pub folio_is_unused: fn(frame: &'static Frame),
    /// See [`quire_swap::Folio::orphaned`].
    pub folio_is_orphaned: fn(folio: &Folio),
}

static UPCALLS: Once<&'static Upcalls> = Once::new();

/// Fills the table in, before the first trap and the first allocation.
pub fn install(upcalls: &'static Upcalls) {
    UPCALLS.call_once(|| upcalls);
}

/// The table.
///
/// # Panics
/// Before [`install`].
#[inline]
pub fn upcalls() -> &'static Upcalls {
    UPCALLS.get().expect("the table is filled in before anything is asked of it")
}

/// What is done each time before the program goes on. Interrupts are off afterwards, whatever was done: none may come between the
/// change of the GS base and that of the ring.
#[inline]
pub(crate) fn before_program(frame: &mut TrapFrame) {
    (upcalls().before_user)(frame);
    interrupts::disable();
}
