//! Where each task is in the kernel, with the locks that it holds.

use std::fmt::Write as _;

use quire_boot::observatory::{
    Snapshot,
    backtrace::{Backtrace, Since},
};

use super::happened;

/// The backtraces of all tasks, those that panicked or run first.
pub(super) fn backtraces(snapshot: &Snapshot, backtraces: &[Backtrace], ranks: &[String]) -> String {
    let mut text = String::new();
    let order = |since: &Since| match since {
        Since::Panic => 0,
        Since::Tick | Since::Unknown => 1,
        Since::Parked => 2,
    };
    let mut sorted: Vec<_> = backtraces.iter().collect();
    sorted.sort_by_key(|backtrace| order(&backtrace.since));
    for backtrace in sorted {
        let since = match backtrace.since {
            Since::Panic => "panicked",
            Since::Tick => "runs; at the last tick of the timer that found it in the kernel it was",
            Since::Unknown => "runs, in a program or not yet interrupted: where is not in memory",
            Since::Parked => "does not run",
        };
        _ = writeln!(text, "\n{} {since}", happened::task(snapshot, backtrace.thread));
        let held = snapshot.tasks.iter().find(|task| task.thread == backtrace.thread).map_or(0, |task| task.held_ranks);
        if held != 0 {
            _ = writeln!(text, "    holds locks: {}", names(held, ranks).join(", "));
        }
        text += &backtrace.lines();
    }
    text
}

/// The names of the ranks, the lowest first.
fn names(held: u64, ranks: &[String]) -> Vec<String> {
    let set = (0..u64::BITS).filter(|rank| held & 1 << rank != 0);
    set.map(|rank| match ranks.get(rank as usize).filter(|name| !name.is_empty()) {
        Some(name) => format!("{name} (rank {rank})"),
        None => format!("rank {rank}"),
    })
    .collect()
}
