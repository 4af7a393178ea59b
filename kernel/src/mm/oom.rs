//! The out-of-memory killer: when nothing can be reclaimed, the process goes whose death frees most (Linux:
//! `mm/oom_kill.c`).
//!
//! How bad a process is, its pages in memory and in swap and its page tables say, moved by its `oom_score_adj`
//! ([`policy::badness`]). Process 1 and those with -1000 are never chosen, nor threads of the kernel. The one that is chosen
//! gets SIGKILL, and its private memory is taken away at once: it does not run in user mode again, and what it waits for in
//! the kernel ends.
//!
//! For a group that has reached its limit, only processes of that group are looked at.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayVec;

use super::address_space::AddressSpace;
use super::group;
use super::physical;
use super::policy;
use crate::log;
use crate::process::signal::{Info, Signal};
use crate::process::{self, Process};
use crate::swap;
use crate::task;

/// Processes killed since boot (Linux: `oom_kill`).
pub static KILLS: AtomicU64 = AtomicU64::new(0);

/// How many lines the table in the log has at most.
const LINES: usize = 12;

struct Candidate {
    process: Arc<Process>,
    space: Arc<AddressSpace>,
    badness: i64,
}

/// Pages that there are, in memory and in swap.
fn total() -> usize {
    physical::managed_frames() + swap::total_pages() as usize
}

/// `/proc/PID/oom_score`.
pub fn score(process: &Process) -> u64 {
    let pages = process.space().map_or(0, |space| space.weight());
    policy::score(policy::badness(pages, process.oom_score_adjustment(), total()), total())
}

/// Kills the worst process in the group, and frees its memory. `false` when there is none to kill, or the caller is the one
/// and has to go by itself.
pub(super) fn kill(number: u8) -> bool {
    // Nothing is allocated where there is no memory.
    let mut candidates = ArrayVec::<Candidate, LINES>::new();
    for process in process::all() {
        let is_out_of_question = process.pid() == process::INIT || !group::is_within(process.memory_group(), number);
        let Some(space) = process.space().filter(|_| !is_out_of_question) else { continue };
        if process.standing().is_killed() {
            // One that is on its way out: if it still has memory, that is where to get some.
            if space.weight() > 0 && space.reap() > 0 {
                return true;
            }
            continue;
        }
        let badness = policy::badness(space.weight(), process.oom_score_adjustment(), total());
        let Some(badness) = badness else { continue };
        let place = candidates.partition_point(|worse| worse.badness >= badness);
        if place < LINES {
            candidates.truncate(LINES - 1);
            candidates.insert(place, Candidate { process, space, badness });
        }
    }
    let Some(worst) = candidates.first() else {
        log!("oom", "out of memory, and no process that could be killed");
        return false;
    };
    let asker = task::current();
    log!(
        "oom",
        "{asker} needs memory and there is none{}",
        if number == group::ROOT { "" } else { " left in its group" }
    );
    log!(
        "oom",
        "{:>7} {:16} {:>9} {:>9} {:>7} {:>5} {:>9}",
        "pid",
        "name",
        "resident",
        "swapped",
        "tables",
        "adj",
        "badness"
    );
    for Candidate { process, space, badness } in &candidates {
        let usage = space.usage_without_regions();
        log!(
            "oom",
            "{:>7} {:16} {:>9} {:>9} {:>7} {:>5} {badness:>9}",
            process.pid(),
            process.name(),
            usage.resident(),
            usage.swapped,
            usage.tables,
            process.oom_score_adjustment()
        );
    }
    let Candidate { process, space, .. } = worst;
    log!("oom", "killed {process}: its pages in memory and in swap, its tables and its adjustment make it the worst");
    KILLS.fetch_add(1, Ordering::Relaxed);
    // A signal that is not a real-time one always finds room.
    let _ = process::send_to(process, Signal::SIGKILL, Info::Kernel);
    space.reap();
    true
}
