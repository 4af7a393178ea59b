//! The end of a process, and how its parent learns of it.
//!
//! A process ends on its own thread, on the way back to its program, where nothing on the stack owns anything: what it
//! had is freed piece by piece, and the thread never returns.

use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::Ordering;

use quire_machine::log;
use quire_machine::sync::Once;
use quire_machine::task::{WaitQueue, scheduler};
use quire_machine::user::UserPtr;
use quire_memory::AddressSpace;

use super::alarm::Alarm;
use super::alarms;
use super::control_block::{INIT, Life, Process, this};
use super::signal::ChildChange;
use super::table::{self, Children};
use super::wanted::Wanted;
use crate::errno::Errno;
use crate::fs::terminal::job;
use crate::futex::robust;
use crate::futex::waiting::wake;
use crate::futex::word::FutexWord;

static INIT_END: Once<ChildChange> = Once::new();
static INIT_ENDED: WaitQueue = WaitQueue::new();

/// Ends the current process. The caller's frames hold nothing that has to be dropped.
pub fn end_current(end: ChildChange) -> ! {
    free_everything(&this(), end);
    scheduler::exit()
}

fn free_everything(process: &Arc<Process>, end: ChildChange) {
    // Before its files, as Linux's `do_exit` does it: who waits for a pipe's end then finds its memory and its swap slots free.
    leave_space(process, None);
    process.files.close_all();
    // The last reference to the process may go where nothing may sleep.
    process.location.leave();
    process.leave_program();
    alarms::set(process, Alarm::NONE);
    if process.session() == process.pid() {
        job::release(process.session());
    }
    if process.pid() == INIT {
        log!("init", "{process} has ended: {}", Ending(end));
        INIT_END.call_once(|| end);
        INIT_ENDED.wake_all();
    }
    table::end(process, end);
}

/// Leaves the process's memory for good, or for that of another program; a parent that lent it may go on.
pub(super) fn leave_space(process: &Process, next: Option<Arc<AddressSpace>>) {
    robust::release(process);
    clear_number(process);
    if let Some(space) = process.space() {
        process.usage.most_resident.fetch_max(space.usage().peak as u64, Ordering::Relaxed);
    }
    drop(process.replace_space(next));
    release_parent(process);
}

/// Does what `set_tid_address` asked for.
fn clear_number(process: &Process) {
    let address = process.clear_at_end.swap(0, Ordering::Relaxed);
    if address != 0 && !process.standing().is_killed() {
        // A program that gave a bad address gets nothing cleared.
        let _ = UserPtr::new(address).write(0_u32);
        let _ = wake(FutexWord { address: UserPtr::new(address), is_private: false }, u32::MAX, 1);
    }
}

/// Lets a parent that `vfork`ed go on.
fn release_parent(process: &Process) {
    process.released.store(true, Ordering::Release);
    process.release.wake_all();
}

/// Sleeps until the first process has ended; returns how.
pub fn wait_for_init() -> ChildChange {
    INIT_ENDED.wait_until(|| INIT_END.is_completed());
    *INIT_END.wait()
}

/// Waits for a change of a child. `None` when there is none yet and the caller wants to know `at_once`.
///
/// # Errors
/// `ECHILD` when no child is meant; interrupted by a signal.
pub fn wait(wanted: &Wanted, at_once: bool) -> Result<Option<(Arc<Process>, ChildChange)>, Errno> {
    let parent = this();
    loop {
        let seen = parent.child_events.load(Ordering::Acquire);
        match table::take_change(parent.pid(), wanted) {
            Children::Change(child, change) => {
                if child.life() != Life::Runs && !wanted.leave {
                    reap(&parent, &child);
                }
                return Ok(Some((child, change)));
            }
            Children::None => return Err(Errno::ECHILD),
            Children::Quiet if at_once => return Ok(None),
            Children::Quiet => {}
        }
        let happened = || parent.child_events.load(Ordering::Acquire) != seen;
        parent.children.wait_until_interrupted(happened).map_err(|_| Errno::RESTART)?;
    }
}

/// The child is gone from the table: its usage is its parent's, and when this returns its stack is freed.
fn reap(parent: &Process, child: &Process) {
    parent.children_usage.add(&child.usage);
    parent.children_usage.add(&child.children_usage);
    if let Some(thread) = child.thread() {
        thread.wait_for_end();
    }
}

struct Ending(ChildChange);

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ChildChange::Exited(status) => write!(f, "exit status {status}"),
            ChildChange::Killed(signal) | ChildChange::Stopped(signal) => write!(f, "killed by {signal}"),
            ChildChange::Continued => f.write_str("continued"),
        }
    }
}
