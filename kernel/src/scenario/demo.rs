//! The demo: tasks whose working sets together are four times the RAM run to their end on a swap disk.
//!
//! Phases, the same for all tasks and one after the other: fill, visit in order, visit at random, visit a small set over
//! and over while writing, and visit in order once more. The table at the end says what that took.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use quire_swap::Snapshot;

use super::Failure;
use super::contents::Contents;
use super::workload::{self, Tally, Workload};
use crate::arch::user::Fault;
use crate::command_line::CommandLine;
use crate::mm::{fault, physical, reclaim};
use crate::swap;
use crate::task::{WaitQueue, time};
use crate::{log, print, require};

const TASKS: u64 = 4;
/// The working sets together, in multiples of the RAM for pages.
const TIMES_RAM: u64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Fill,
    Sequential,
    Random,
    Revisit,
    Again,
}

const PHASES: [(Phase, &str); 5] = [
    (Phase::Fill, "fill"),
    (Phase::Sequential, "in order"),
    (Phase::Random, "at random"),
    (Phase::Revisit, "over and over"),
    (Phase::Again, "in order"),
];

/// What the tasks and the thread that watches them share.
struct Stage {
    tally: Arc<Tally>,
    /// The phase that tasks may work on.
    open: AtomicUsize,
    /// How many tasks are done with each phase.
    done: [AtomicU64; PHASES.len()],
    opened: WaitQueue,
    finished: WaitQueue,
}

impl Stage {
    fn new() -> Self {
        Self {
            tally: Arc::new(Tally::default()),
            open: AtomicUsize::new(0),
            done: [const { AtomicU64::new(0) }; PHASES.len()],
            opened: WaitQueue::new(),
            finished: WaitQueue::new(),
        }
    }

    fn play(&self, workload: &mut Workload, pages: u64) -> Result<(), Fault> {
        let mut outcome = Ok(());
        for (number, (phase, _)) in PHASES.iter().enumerate() {
            self.opened.wait_until(|| self.open.load(Ordering::Acquire) >= number);
            outcome = outcome.and_then(|()| match phase {
                Phase::Fill => workload.fill(),
                Phase::Sequential | Phase::Again => workload.sequential(),
                Phase::Random => workload.random(pages / 8),
                Phase::Revisit => workload.revisit(pages / 32, pages / 4),
            });
            self.done[number].fetch_add(1, Ordering::Release);
            self.finished.wake_all();
        }
        outcome
    }

    /// Opens a phase and waits for its end, with a line of progress every second.
    fn watch(&self, number: usize, visits: u64) {
        let start = time::since_boot();
        let visited_before = self.tally.visited();
        self.open.store(number, Ordering::Release);
        self.opened.wake_all();
        loop {
            let tick = time::since_boot() + Duration::from_secs(1);
            if self.finished.wait_until_or(tick, || self.done[number].load(Ordering::Acquire) == TASKS) {
                return;
            }
            let visited = self.tally.visited() - visited_before;
            log!(
                "demo",
                "  {:3}%  {} frames free, {} of {} MiB swap used, {:.0?}",
                (visited * 100 / visits.max(1)).min(100),
                physical::free_frames(),
                swap::used_pages() >> 8,
                swap::total_pages() >> 8,
                time::since(start)
            );
        }
    }
}

pub(super) fn demo(command_line: CommandLine<'static>) -> Result<String, Failure> {
    let enabled = swap::enable(command_line)?;
    let free_before = physical::free_frames();
    let ram = physical::managed_frames() as u64;
    let room = ram / 2 + swap::total_pages();
    let pages = (ram * TIMES_RAM).min(room) / TASKS;
    if room < ram * TIMES_RAM {
        log!(
            "demo",
            "the swap area has room for {} MiB only: the tasks use less than {TIMES_RAM} times the RAM",
            swap::total_pages() >> 8
        );
    }
    log!(
        "demo",
        "{TASKS} tasks of {} MiB on {} MiB of RAM: {}.{} times as much",
        pages >> 8,
        ram >> 8,
        pages * TASKS / ram,
        pages * TASKS * 10 / ram % 10
    );

    let stage = Arc::new(Stage::new());
    let mut tasks = Vec::new();
    for number in 0..TASKS {
        let own = Arc::clone(&stage);
        let play = move |workload: &mut Workload| own.play(workload, pages);
        tasks.push(workload::start(
            &format!("task-{number}"),
            Contents::Mix,
            number * pages,
            pages,
            &stage.tally,
            play,
        )?);
    }
    let mut rows = Vec::new();
    for (number, (phase, name)) in PHASES.iter().enumerate() {
        log!("demo", "phase {} of {}: {name}", number + 1, PHASES.len());
        let visits = match phase {
            Phase::Random => pages / 8,
            Phase::Revisit => pages / 4 + pages / 16,
            _ => pages,
        };
        let (before, start) = (swap::statistics(), time::since_boot());
        stage.watch(number, visits * TASKS);
        rows.push((*name, before, swap::statistics(), time::since(start)));
    }
    let faults = format!("{}", fault::totals());
    let (used_pages, total_pages) = (swap::used_pages(), swap::total_pages());
    let mut killed = 0_u64;
    for task in tasks {
        killed += u64::from(task.join().is_err());
    }
    let total = swap::statistics();
    enabled.disable()?;
    let free_after = physical::free_frames();
    print_table(&rows);
    print!("\n  faults: {faults}\n  reclaim: {}\n", reclaim::totals());
    print!("  swap used at the end of the run: {used_pages} of {total_pages} pages\n");
    for disk in crate::disk::all() {
        let counters = disk.counters();
        print!(
            "  {disk}: {} requests, {} segments, {} doorbells, {} interrupts, at most {} in flight, {} errors\n",
            counters.reads + counters.writes + counters.flushes + counters.discards,
            counters.segments,
            counters.doorbells,
            counters.interrupts,
            counters.max_in_flight,
            counters.errors
        );
    }
    print!("  frames free: {free_before} before, {free_after} after\n\n");

    let (verified, wrong) = (stage.tally.verified(), stage.tally.wrong());
    require!(wrong == 0, "{wrong} of {verified} bytes did not come back");
    require!(killed == 0, "{killed} of {TASKS} tasks were killed");
    require!(total.pages_out > 0 && total.pages_in > 0, "nothing was swapped");
    require!(fault::add_up(), "the kinds of faults do not add up to all of them: {faults}");
    require!(free_after == free_before, "{free_before} frames were free before, {free_after} after");
    Ok(format!(
        "pages={} swapped_out={} swapped_in={} bytes_verified={verified} bytes_wrong=0",
        pages * TASKS,
        total.pages_out,
        total.pages_in
    ))
}

fn print_table(rows: &[(&str, Snapshot, Snapshot, Duration)]) {
    print!("\n  phase            pages out  requests  pages/request   pages in  requests  pages/request     time\n");
    for (name, before, after, took) in rows {
        let (out, out_requests) = (after.pages_out - before.pages_out, after.write_requests - before.write_requests);
        let (come, in_requests) = (after.pages_in - before.pages_in, after.read_requests - before.read_requests);
        print!(
            "  {name:16} {out:9} {out_requests:9} {:>14} {come:10} {in_requests:9} {:>14} {:6}.{:01} s\n",
            Ratio(out, out_requests),
            Ratio(come, in_requests),
            took.as_secs(),
            took.subsec_millis() / 100
        );
    }
}

/// A quotient with one digit after the point, right-aligned; printing it needs no heap.
struct Ratio(u64, u64);

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = f.width().unwrap_or(0);
        match (self.0 * 10).checked_div(self.1) {
            None => write!(f, "{:>width$}", "-"),
            Some(tenths) => write!(f, "{:>before$}.{}", tenths / 10, tenths % 10, before = width.saturating_sub(2)),
        }
    }
}
