//! The table of processes, by number: their relations, and what one learns of another.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering};

use intrusive_collections::{Bound, KeyAdapter, RBTree, intrusive_adapter};
use quire_machine::physical;
use quire_machine::sync::{Rank, SpinLock};
use quire_swap::header::PAGE_SIZE;

use super::control_block::{INIT, Life, Process};
use super::signal::{ChildChange, Info, QueueFull, Signal};
use super::wanted::Wanted;
use crate::errno::Errno;

mod adapter {
    #![expect(clippy::expl_impl_clone_on_copy, reason = "inside the library's macro")]
    use super::{Arc, Process, intrusive_adapter};
    use intrusive_collections::RBTreeAtomicLink;

    intrusive_adapter!(pub(super) ByNumber = Arc<Process>: Process { link => RBTreeAtomicLink });
}
use adapter::ByNumber;

impl KeyAdapter<'_> for ByNumber {
    type Key = u32;
    fn get_key(&self, process: &Process) -> u32 {
        process.pid()
    }
}

struct Table {
    processes: RBTree<ByNumber>,
    last_number: u32,
}

static TABLE: SpinLock<Table> =
    SpinLock::new(Rank::Processes, Table { processes: RBTree::new(ByNumber::NEW), last_number: 0 });

/// One more than the greatest number that a process gets (Linux: `pid_max`).
const NUMBERS: u32 = 32768;

/// Linux's kernel stacks, by which it reckons how many threads memory is enough for.
const STACK_BYTES: usize = 16 << 10;

/// `kernel.threads-max`; 0 until it is set.
static MOST: AtomicUsize = AtomicUsize::new(0);

/// The most processes (Linux: `threads-max`): at first, as many as an eighth of memory has stacks for (`set_max_threads`).
pub fn most() -> usize {
    match MOST.load(Ordering::Relaxed) {
        0 => (physical::managed_frames() * PAGE_SIZE / (8 * STACK_BYTES)).max(20),
        most => most,
    }
}

/// Sets the most processes.
pub fn set_most(processes: usize) {
    MOST.store(processes, Ordering::Relaxed);
}

/// The process of that number, also when it has ended and its parent has not asked for it yet.
pub fn find(pid: u32) -> Option<Arc<Process>> {
    TABLE.lock().processes.find(&pid).clone_pointer()
}

/// Every process, by number. The table is not locked between one and the next: those that come and go may be among them.
pub fn all() -> impl Iterator<Item = Arc<Process>> {
    let mut last = 0;
    core::iter::from_fn(move || {
        let next = after(last)?;
        last = next.pid();
        Some(next)
    })
}

/// The process with the next larger number.
pub fn after(pid: u32) -> Option<Arc<Process>> {
    TABLE.lock().processes.lower_bound(Bound::Excluded(&pid)).clone_pointer()
}

/// How many processes there are.
pub fn count() -> usize {
    TABLE.lock().processes.iter().count()
}

/// How many processes are this user's.
pub(super) fn count_of_user(user: u32) -> u64 {
    let is_own = |process: &&Process| process.identity().user.real == user;
    TABLE.lock().processes.iter().filter(is_own).count() as u64
}

/// How many signals wait for this user's processes.
pub fn signals_of_user(user: u32) -> u64 {
    let is_own = |process: &&Process| process.identity().user.real == user;
    let waiting = |process: &Process| process.with_signals(|signals| signals.waiting()) as u64;
    TABLE.lock().processes.iter().filter(is_own).map(waiting).sum()
}

/// The number that was given last.
pub fn last_number() -> u32 {
    TABLE.lock().last_number
}

/// A number that no process, group or session has; `None` when there is none.
pub(super) fn free_number() -> Option<u32> {
    let mut table = TABLE.lock();
    let mut number = table.last_number;
    for _ in 1..NUMBERS {
        number = number % (NUMBERS - 1) + 1;
        let taken = |process: &Process| [process.pid(), process.group(), process.session()].contains(&number);
        if !table.processes.iter().any(taken) {
            table.last_number = number;
            return Some(number);
        }
    }
    None
}

/// Lets the process be found.
pub(super) fn insert(process: Arc<Process>) {
    TABLE.lock().processes.insert(process);
}

/// Sends `signal` to `process`. May be called from an interrupt.
///
/// # Errors
/// [`QueueFull`], only for a real-time signal.
pub fn send_to(process: &Process, signal: Signal, info: Info) -> Result<(), QueueFull> {
    TABLE.lock().send(process, signal, info)
}

/// Sends `signal` to every process that `choose` chooses; returns how many there are. `choose` takes no lock of a rank above
/// [`Rank::Signals`]. May be called from an interrupt.
pub fn send_where(signal: Signal, info: Info, choose: impl Fn(&Process) -> bool) -> usize {
    let table = TABLE.lock();
    let mut count = 0;
    for process in table.processes.iter().filter(|process| choose(process)) {
        // One whose queue of real-time signals is full has been sent enough of them.
        let _ = table.send(process, signal, info);
        count += 1;
    }
    count
}

/// Sends `signal` to every process of `group`; returns how many there are. May be called from an interrupt.
pub fn send_to_group(group: u32, signal: Signal, info: Info) -> usize {
    send_where(signal, info, |process| process.group() == group)
}

/// Whether a process that `choose` chooses exists. `choose` takes no lock of a rank above [`Rank::Signals`].
pub fn exists(choose: impl Fn(&Process) -> bool) -> bool {
    TABLE.lock().processes.iter().any(choose)
}

/// Whether no process of the session could continue one of `group`: stopping it from the terminal would be for ever.
pub fn is_orphaned(group: u32) -> bool {
    !TABLE.lock().has_guardian(group)
}

/// Calls `work` for every process. `work` takes no lock of a rank above [`Rank::Signals`]. May be called from an interrupt.
pub(super) fn for_each(work: impl FnMut(&Process)) {
    TABLE.lock().processes.iter().for_each(work);
}

/// Stops the process that runs this because of `signal`, and tells its parent; says whether it is stopped now.
pub(super) fn stop(process: &Process, signal: Signal) -> bool {
    let table = TABLE.lock();
    let stopped = process.with_signals(|signals| signals.stop(signal));
    if stopped {
        table.tell_parent(process, ChildChange::Stopped(signal));
    }
    stopped
}

/// The process has ended: its children become the first process's, and its parent learns of it, who may have said that it
/// does not want to; then the process is gone at once.
pub(super) fn end(process: &Process, end: ChildChange) {
    let mut table = TABLE.lock();
    let mut orphans_ended = false;
    for child in table.processes.iter().filter(|child| child.parent() == process.pid()) {
        child.set_parent(INIT);
        orphans_ended |= matches!(child.life(), Life::Ended(_));
    }
    if orphans_ended && let Some(init) = table.processes.find(&INIT).get() {
        Table::count_child_event(init);
    }
    process.life.replace(Life::Ended(end));
    table.hang_up_orphaned_groups(process);
    let wanted = table.tell_parent(process, end);
    let gone = if wanted { None } else { table.processes.find_mut(&process.pid()).remove() };
    // Freeing memory is no work for the lock's holder.
    drop(table);
    drop(gone);
}

/// What [`take_change`] found.
pub(super) enum Children {
    /// One of them has something to report.
    Change(Arc<Process>, ChildChange),
    /// There are some, but nothing has happened.
    Quiet,
    /// There are none that are meant.
    None,
}

/// Looks for a change of a kind that `wanted` wants at a child of `parent`, and takes it: a child that has ended is gone from
/// the table then.
pub(super) fn take_change(parent: u32, wanted: &Wanted) -> Children {
    let mut table = TABLE.lock();
    let mut answer = Children::None;
    let mut cursor = table.processes.front_mut();
    while let Some(child) = cursor.get() {
        if child.parent() == parent && wanted.means(child) {
            let life = child.life();
            let change = match life {
                Life::Ended(end) => Some(end).filter(|_| wanted.ends),
                Life::Runs => {
                    child.with_signals(|signals| signals.take_change(wanted.stops, wanted.continuations, wanted.leave))
                }
            };
            if let Some(change) = change {
                let gone = matches!(life, Life::Ended(_)) && !wanted.leave;
                let child = if gone { cursor.remove() } else { cursor.as_cursor().clone_pointer() };
                return child.map_or(Children::None, |child| Children::Change(child, change));
            }
            answer = Children::Quiet;
        }
        cursor.move_next();
    }
    answer
}

/// Moves `pid`, the caller itself or a child of it in the same session, to `group`.
///
/// # Errors
/// As `setpgid(2)`.
pub fn set_group(caller: &Process, pid: u32, group: u32) -> Result<(), Errno> {
    let table = TABLE.lock();
    let found = table.processes.find(&pid);
    let process = found.get().ok_or(Errno::ESRCH)?;
    if process.pid() != caller.pid() && process.parent() != caller.pid() {
        return Err(Errno::ESRCH);
    }
    if process.session() != caller.session() {
        return Err(Errno::EPERM);
    }
    // A child that runs a program of its own is not its parent's to move any more.
    if process.pid() != caller.pid() && process.has_executed.load(Ordering::Relaxed) {
        return Err(Errno::EACCES);
    }
    if process.session() == process.pid() {
        return Err(Errno::EPERM);
    }
    let joins = |other: &Process| other.group() == group && other.session() == caller.session();
    if group != pid && !table.processes.iter().any(joins) {
        return Err(Errno::EPERM);
    }
    process.set_group(group);
    Ok(())
}

/// Makes `process` the leader of a session of its own.
///
/// # Errors
/// `EPERM` when it leads a process group already.
pub fn start_session(process: &Process) -> Result<u32, Errno> {
    let table = TABLE.lock();
    let pid = process.pid();
    if table.processes.iter().any(|other| other.group() == pid) {
        return Err(Errno::EPERM);
    }
    process.set_group(pid);
    process.set_session(pid);
    Ok(pid)
}

impl Table {
    fn send(&self, process: &Process, signal: Signal, info: Info) -> Result<(), QueueFull> {
        let life = process.life();
        if life == Life::Runs && process.add_signal(signal, info)?.continued {
            self.tell_parent(process, ChildChange::Continued);
        }
        Ok(())
    }

    /// Tells the parent how `child` has changed; says whether it will ask for it if that was its end.
    fn tell_parent(&self, child: &Process, change: ChildChange) -> bool {
        let found = self.processes.find(&child.parent());
        // The first process's end is the kernel's to know.
        let Some(parent) = found.get() else { return true };
        let has_ended = matches!(change, ChildChange::Exited(_) | ChildChange::Killed(_));
        let (wants_signal, vanish) =
            parent.with_signals(|signals| (has_ended || signals.wants_stops_of_children(), signals.children_vanish()));
        if wants_signal {
            let user = child.identity().user.real;
            // Not a real-time signal, so there is room.
            let _ = self.send(parent, Signal::SIGCHLD, Info::Child { pid: child.pid(), user, change });
        }
        Self::count_child_event(parent);
        !vanish
    }

    fn count_child_event(parent: &Process) {
        parent.child_events.fetch_add(1, Ordering::Release);
        parent.children.wake_all();
    }

    /// Whether a process of `group` has a parent in the same session but another group.
    fn has_guardian(&self, group: u32) -> bool {
        let is_guarded = |process: &Process| {
            let found = self.processes.find(&process.parent());
            found.get().is_some_and(|parent| parent.group() != group && parent.session() == process.session())
        };
        let runs = |process: &Process| !matches!(process.life(), Life::Ended(_));
        self.processes.iter().any(|process| process.group() == group && runs(process) && is_guarded(process))
    }

    /// Groups with a stopped process that no other can continue any more, now that `ended` has: they are told to hang up,
    /// and go on.
    fn hang_up_orphaned_groups(&self, ended: &Process) {
        for process in &self.processes {
            let concerns = process.session() == ended.session() && process.group() != ended.group();
            let is_stopped = process.standing().is_stopped();
            if concerns && is_stopped && !self.has_guardian(process.group()) {
                for signal in [Signal::SIGHUP, Signal::SIGCONT] {
                    // Not a real-time signal, so there is room.
                    let _ = self.send(process, signal, Info::Kernel);
                }
            }
        }
    }
}
