//! Robust lists: the futexes that a process holds as locks are let go of when it ends, and their next owners learn of it
//! (`set_robust_list(2)`; Linux: `exit_robust_list` in `kernel/futex/core.c`).
//!
//! The list is the program's, in its memory, and may be anything: it is followed for so many steps, and no further than it
//! can be read.

use linux_raw_sys::general as linux;
use quire_machine::user::{self, Fault, UserPtr};

use super::waiting::wake;
use super::word::{FutexWord, Head};
use crate::process::control_block::Process;

/// The most entries that are looked at (`ROBUST_LIST_LIMIT`).
const ENTRIES_MAX: usize = 2048;

/// An entry as the list links it: the lowest bit says that its lock inherits priorities, which no futex does here.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Link(u64);

impl Link {
    const fn new(word: user::Word) -> Self {
        Self(word.bits())
    }

    const fn address(self) -> u64 {
        self.0 & !1
    }

    const fn inherits(self) -> bool {
        self.0 & 1 != 0
    }
}

/// Lets go of the locks in the list of `process`, which runs this and leaves its memory.
pub fn release(process: &Process) {
    let head = process.robust_list();
    process.set_robust_list(UserPtr::NULL);
    if !head.is_null() {
        // A list that cannot be read on ends there.
        let _ = walk(head, process.pid());
    }
}

fn walk(head: UserPtr<Head>, pid: u32) -> Result<(), Fault> {
    let Head { list, futex_offset, pending } = head.read()?;
    let futex_of = |link: Link| UserPtr::new(link.address().wrapping_add(futex_offset.bits()));
    let pending = Link::new(pending);
    let mut link = Link::new(list);
    for _ in 0..ENTRIES_MAX {
        if link.address() == head.address() {
            break;
        }
        // Read first: the next owner may free the entry.
        let next = UserPtr::<user::Word>::new(link.address()).read();
        if link.address() != pending.address() {
            let_go(futex_of(link), pid, link.inherits(), false)?;
        }
        link = Link::new(next?);
    }
    if pending.address() == 0 { Ok(()) } else { let_go(futex_of(pending), pid, pending.inherits(), true) }
}

/// Marks a lock of `pid` as one whose owner has died, and wakes one that waits for it (Linux: `handle_futex_death`).
fn let_go(address: UserPtr<u32>, pid: u32, inherits: bool, is_pending: bool) -> Result<(), Fault> {
    if !address.address().is_multiple_of(size_of::<u32>() as u64) {
        return Err(Fault);
    }
    let wake_one = || {
        // A word that is not memory any more has no waiters.
        let _ = wake(FutexWord { address, is_private: false }, u32::MAX, 1);
    };
    let mut found = address.load()?;
    loop {
        let owner = found & linux::FUTEX_TID_MASK;
        if is_pending && !inherits && owner == 0 {
            // It was let go of already, but perhaps no waiter was woken.
            wake_one();
            return Ok(());
        }
        if owner != pid {
            return Ok(());
        }
        let before = address.compare_exchange(found, found & linux::FUTEX_WAITERS | linux::FUTEX_OWNER_DIED)?;
        if before == found {
            break;
        }
        found = before;
    }
    if !inherits && found & linux::FUTEX_WAITERS != 0 {
        wake_one();
    }
    Ok(())
}
