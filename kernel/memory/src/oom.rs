//! The out-of-memory killer: when nothing can be reclaimed, the process goes whose death frees most (Linux:
//! `mm/oom_kill.c`).
//!
//! How bad a process is: as many pages as it has in memory, in swap and for page tables, moved by its `oom_score_adj`
//! ([`badness`]). Process 1 and those with -1000 are never chosen, nor threads of the kernel, nor a child that has
//! borrowed its memory (`vfork`): its parent is chosen for it. The one that is chosen gets SIGKILL, as do those that share its
//! memory, and its private memory is taken away at once: it does not run in user mode again, and what it waits for in the
//! kernel ends.
//!
//! For a cgroup that has reached its limit, only processes of that cgroup are looked at.
//!
//! # One victim is enough
//!
//! One task at a time looks for a victim. It looks first whether the need is over, by the victim of the one before it, and
//! then whether one is dying already: that one's memory is taken away, and its end waited for, before another is chosen.
//!
//! The killer waits for nothing that a victim can keep: taking the memory away needs no layout (`AddressSpace::reap`), and
//! the wait for an end is given up when that makes no progress, since the victim may wait for what the waiting task has.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use arrayvec::ArrayVec;
use quire_machine::clock;
use quire_machine::event::{self, EventKind};
use quire_machine::physical;
use quire_machine::sync::Rank;
use quire_machine::task::{self, Mutex, is_killed, scheduler};
use quire_machine::{log, log_error};

use crate::badness;
use crate::cgroup::counts;
use crate::progress;
use crate::swap;
use crate::upcall::{self, Memory, Process};

/// Processes killed since boot (Linux: `oom_kill`).
pub static KILLS: AtomicU64 = AtomicU64::new(0);

/// How many lines the table in the log has at most.
const LINES: usize = 12;

/// How long a process that was killed may go on without freeing anything before another has to die (Linux:
/// `MAX_OOM_REAP_RETRIES`, a second).
const PATIENCE: Duration = Duration::from_secs(1);

/// The right to look for a victim.
static TURN: Mutex<()> = Mutex::new(Rank::OutOfMemory, ());

/// What came of looking for a victim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OomOutcome {
    /// A process was killed and its memory taken away.
    Killed,
    /// The need is over, or one that was killed before has freed something, or the caller is killed itself.
    Again,
    /// There is none that could be killed.
    NoVictim,
}

/// A process that has memory.
struct Holder {
    process: Arc<dyn Process>,
    space: Arc<dyn Memory>,
}

impl Holder {
    fn is_in_question(&self, cgroup: u8) -> bool {
        !self.process.is_immortal() && counts::is_within(self.process.memory_cgroup(), cgroup)
    }

    /// Also once it has taken its signal and only frees what it has.
    fn is_killed(&self) -> bool {
        self.process.is_killed() || self.space.is_reaped()
    }

    fn shares_with(&self, other: &Self) -> bool {
        is_same(&self.space, &other.space)
    }
}

/// Whether both are the memory of the same processes.
fn is_same(one: &Arc<dyn Memory>, other: &Arc<dyn Memory>) -> bool {
    core::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

struct Victim {
    holder: Holder,
    badness: i64,
}

/// Pages that there are, in memory and in swap.
fn total() -> usize {
    physical::managed_frames() + swap::total_pages() as usize
}

/// `/proc/PID/oom_score`.
pub fn score(process: &dyn Process) -> u64 {
    let pages = process.memory().map_or(0, |space| space.weight());
    badness::score(badness::badness(pages, process.oom_score_adjustment(), total()), total())
}

/// Kills the worst process in the cgroup and frees its memory, unless `is_over` says that there is no need any more or one that
/// was killed before frees memory. Sleeps; allocates nothing where there is no memory.
pub(crate) fn relieve(number: u8, is_over: impl Fn() -> bool) -> OomOutcome {
    let Ok(_turn) = TURN.lock_unless_killed() else { return OomOutcome::Again };
    if is_over() || reap_killed(number) > 0 {
        return OomOutcome::Again;
    }
    while let Some(dying) = dying(number).next().map(|holder| Arc::downgrade(&holder.space)) {
        if frees_more(&dying, &is_over) {
            return OomOutcome::Again;
        }
    }
    // None of them is left, or the last has given something after all: what they had may have been enough.
    if is_over() {
        return OomOutcome::Again;
    }
    let mut candidates = ArrayVec::<Victim, LINES>::new();
    let is_meant =
        |holder: &Holder| holder.is_in_question(number) && !holder.is_killed() && !holder.process.borrows_memory();
    for holder in holders().filter(is_meant) {
        let badness = badness::badness(holder.space.weight(), holder.process.oom_score_adjustment(), total());
        let Some(badness) = badness else { continue };
        let place = candidates.partition_point(|worse| worse.badness >= badness);
        if place < LINES {
            candidates.truncate(LINES - 1);
            candidates.insert(place, Victim { holder, badness });
        }
    }
    let Some(Victim { holder: worst, .. }) = candidates.first() else {
        log_error!("oom", "out of memory, and no process that could be killed");
        return OomOutcome::NoVictim;
    };
    log_choice(number, &candidates);
    KILLS.fetch_add(1, Ordering::Relaxed);
    event::note(EventKind::OutOfMemory, 0, worst.process.pid().into());
    holders().filter(|other| other.shares_with(worst)).for_each(|other| other.process.kill());
    worst.space.reap();
    OomOutcome::Killed
}

/// A task of the kernel's own that gets no frame gives up what it has and ends by itself: the processes have done nothing to
/// it. `false` if `is_over` says that it need not.
pub(crate) fn give_up_own(is_over: impl Fn() -> bool) -> bool {
    let _turn = TURN.lock();
    let gives_up = !is_over();
    if gives_up {
        scheduler::with_current(task::Thread::owner).flatten().inspect(|owner| owner.give_up_memory());
    }
    gives_up
}

/// Those that were killed before and whose memory no other task uses, but for those that were given up.
fn dying(number: u8) -> impl Iterator<Item = Holder> {
    let is_used = |space: &Arc<dyn Memory>| holders().any(|other| is_same(&other.space, space) && !other.is_killed());
    holders().filter(move |holder| {
        let is_meant = holder.is_in_question(number) && holder.is_killed() && !holder.space.is_given_up();
        is_meant && !is_used(&holder.space)
    })
}

/// Takes away the memory of those that were killed before; returns how many pages that were.
fn reap_killed(number: u8) -> usize {
    let reap = |Holder { process, space }: Holder| {
        // What has killed it may have been a signal that it could still come to ignore.
        process.kill();
        space.reap()
    };
    dying(number).map(reap).sum()
}

/// Waits for the end of a space that was reaped, while that frees something. `false` if it frees nothing any more.
fn frees_more(dying: &Weak<dyn Memory>, is_over: &impl Fn() -> bool) -> bool {
    loop {
        // Without a reference meanwhile: with the last one the space goes.
        let Some(weight) = dying.upgrade().map(|space| space.weight()) else { return true };
        let deadline = clock::since_boot() + PATIENCE;
        if progress::wait_for_freed_until(deadline, || dying.strong_count() == 0 || is_over() || is_killed()) {
            return true;
        }
        let Some(space) = dying.upgrade() else { return true };
        if space.weight() >= weight {
            space.give_up();
            return false;
        }
    }
}

fn holders() -> impl Iterator<Item = Holder> {
    upcall::processes().filter_map(|process| process.memory().map(|space| Holder { process, space }))
}

fn log_choice(number: u8, candidates: &[Victim]) {
    let asker = task::current();
    log!(
        "oom",
        "{asker} needs memory and there is none{}",
        if number == counts::ROOT { "" } else { " left in its cgroup" }
    );
    log!("oom", "{:>9} {:>9} {:>7} {:>5} {:>9}  process", "resident", "swapped", "tables", "adj", "badness");
    for Victim { holder: Holder { process, space }, badness } in candidates {
        let usage = space.usage();
        log!(
            "oom",
            "{:>9} {:>9} {:>7} {:>5} {badness:>9}  {process}",
            usage.resident,
            usage.swapped,
            usage.tables,
            process.oom_score_adjustment()
        );
    }
    if let Some(Victim { holder: Holder { process, .. }, .. }) = candidates.first() {
        log_error!(
            "oom",
            "killed {process}: its pages in memory and in swap, its tables and its adjustment make it the worst"
        );
    }
}
