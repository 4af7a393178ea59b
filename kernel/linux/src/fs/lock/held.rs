//! The kernel's table of locks, and waiting for one.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use quire_machine::sync::Rank;
use quire_machine::task::{Mutex, WaitQueue};

use super::super::node::NodeIdentity;
use super::ranges::{FileLock, LockOwner};
use super::table::{LockRequest, Refusal, Sort, Table};
use crate::errno::Errno;

static TABLE: Mutex<Table> = Mutex::new(Rank::FileLocks, Table::new());
/// Whether there are locks: closing a file looks at no more than this while there are none.
static ARE_HELD: AtomicBool = AtomicBool::new(false);
/// Counts the times at which others may get what they wait for.
static CHANGES: AtomicU64 = AtomicU64::new(0);
/// Who waits, by file.
static QUEUES: [WaitQueue; 16] = [const { WaitQueue::new() }; 16];

fn queue(file: NodeIdentity) -> &'static WaitQueue {
    &QUEUES[file.1 as usize % QUEUES.len()]
}

/// Does `work` with the table; if it says that others may get a lock on `file` now, they look.
fn change<R>(file: NodeIdentity, work: impl FnOnce(&mut Table) -> (R, bool)) -> R {
    let (result, may_wake) = {
        let mut table = TABLE.lock();
        let (result, may_wake) = work(&mut table);
        ARE_HELD.store(!table.is_empty(), Ordering::Release);
        if may_wake {
            table.end_waits(file);
        }
        (result, may_wake)
    };
    if may_wake {
        CHANGES.fetch_add(1, Ordering::Release);
        queue(file).wake_all();
    }
    result
}

/// Grants the request; sleeps until that is possible if it `waits`.
///
/// # Errors
/// `EAGAIN`; `EDEADLK`; `ENOLCK` when there is no memory for it; `RESTART` if a signal came first.
pub fn acquire(request: LockRequest, waits: bool) -> Result<(), Errno> {
    // Only processes are followed when a circle is looked for.
    let waiter = match request.owner {
        LockOwner::Process(pid) if waits => Some(pid),
        _ => None,
    };
    loop {
        let seen = CHANGES.load(Ordering::Acquire);
        let granted = change(request.file, |table| {
            // Who changes a lock on a whole file gives it up first.
            let had_one =
                request.sort == Sort::Whole && table.conflict(&LockRequest { mode: None, ..request }).is_some();
            let granted = match table.set(&request) {
                Err(Refusal::Conflict) if let Some(pid) = waiter => {
                    table.begin_wait(pid, &request).and(Err(Refusal::Conflict))
                }
                granted => {
                    waiter.inspect(|pid| table.end_wait(*pid));
                    granted
                }
            };
            // A task that waits in vain wakes no other: two that did would keep each other from sleeping.
            let may_wake = granted.is_ok() || had_one;
            (granted, may_wake)
        });
        match granted {
            Ok(()) => return Ok(()),
            Err(Refusal::NoMemory) => return Err(Errno::ENOLCK),
            Err(Refusal::Deadlock) => return Err(Errno::EDEADLK),
            Err(Refusal::Conflict) if !waits => return Err(Errno::EAGAIN),
            Err(Refusal::Conflict) => {}
        }
        if queue(request.file).wait_until_interrupted(|| CHANGES.load(Ordering::Acquire) != seen).is_err() {
            if let Some(pid) = waiter {
                TABLE.lock().end_wait(pid);
            }
            return Err(Errno::RESTART);
        }
    }
}

/// A lock that keeps the request from being granted, if there is one ([`Table::conflict`]).
pub fn conflict(request: &LockRequest) -> Option<FileLock> {
    TABLE.lock().conflict(request)
}

/// The process has closed a file that `identity` tells: its record locks there are gone.
pub fn forget_process(pid: u32, identity: impl FnOnce() -> NodeIdentity) {
    if ARE_HELD.load(Ordering::Acquire) {
        let file = identity();
        change(file, |table| ((), table.forget(file, Sort::Record, LockOwner::Process(pid))));
    }
}

/// An open file description that has had locks is gone, and so are they.
pub fn forget_open_file(number: u64, file: NodeIdentity) {
    let owner = LockOwner::OpenFile(number);
    change(file, |table| {
        let had = [Sort::Record, Sort::Whole].map(|sort| table.forget(file, sort, owner));
        ((), had.contains(&true))
    });
}
