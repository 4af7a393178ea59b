//! Swap under pressure and under fire: everything comes back, and what cannot come back costs no more than it must.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use quire_memory::swap;
use quire_memory::tasks::Fatal;
use quire_protocol::contents::Contents;
use quire_swap::Snapshot;

use super::checks::{Books, Meeting, Task, contents, empty_swap_cache, join, ram};
use super::failure::Failure;
use super::workload::{self, Tally, Workload};
use crate::command_line::CommandLine;
use crate::require;
use crate::swapon;

type Outcome = Result<String, Failure>;

const TASKS: u64 = 4;

/// One task's pages are pushed out by another's, come back by `swapoff`, and are what they were.
pub(super) fn swap(command_line: CommandLine<'static>) -> Outcome {
    let contents = contents(command_line)?.unwrap_or(Contents::Mix);
    let pages = command_line.number("pages")?.unwrap_or(ram() / 2).clamp(1, ram() * 3 / 4);
    let enabled = swapon::enable(command_line)?;
    let books = Books::open();
    let tally = Arc::new(Tally::default());
    let (filled, pushed_out) = (Meeting::new(1), Meeting::new(1));
    let back = Meeting::new(1);

    let (own_filled, own_back) = (Arc::clone(&filled), Arc::clone(&back));
    let keeper = workload::start("keeper", contents, 0, pages, &tally, move |workload| {
        let filled = workload.fill();
        own_filled.come();
        filled?;
        own_back.wait();
        workload.sequential()
    })?;
    filled.wait();
    let own_pushed_out = Arc::clone(&pushed_out);
    let pusher = workload::start("pusher", Contents::Text, pages, ram(), &tally, move |workload| {
        let outcome = workload.fill().and_then(|()| workload.sequential());
        own_pushed_out.come();
        outcome
    })?;
    pushed_out.wait();
    require!(pusher.join().is_ok(), "the task that pushes was killed");
    let (out, used) = (swap::statistics(), swap::used_pages());
    require!(out.pages_out + out.zero_out > 0, "nothing was swapped out");
    require!(used > 0, "nothing is in swap");
    enabled.disable()?;
    require!(swap::total_pages() == 0, "an area is left");
    back.come();
    require!(keeper.join().is_ok(), "the task whose pages were swapped was killed");
    books.check(&tally)?;
    let total = swap::statistics();
    Ok(format!(
        "contents={} pages={pages} swapped_out={} zero_out={} swapped_in={} brought_back_by_swapoff={used} bytes_verified={}",
        contents.name(),
        total.pages_out,
        total.zero_out,
        total.pages_in,
        tally.verified()
    ))
}

/// Enables what the command line names, and disables it.
pub(super) fn swapon(command_line: CommandLine<'static>) -> Outcome {
    let enabled = swapon::enable(command_line)?;
    let pages = swap::total_pages();
    enabled.disable()?;
    Ok(format!("pages={pages}"))
}

/// Four tasks fill and visit `pages` pages each, none of them zero, so that every slot is written and read; `finish` is
/// what each does last.
fn tasks(pages: u64, tally: &Arc<Tally>, finish: &Arc<Meeting>) -> Result<Vec<Task>, Failure> {
    (0..TASKS)
        .map(|number| {
            let finish = Arc::clone(finish);
            workload::start(
                &format!("task-{number}"),
                Contents::Text,
                number * pages,
                pages,
                tally,
                move |workload: &mut Workload| {
                    let outcome = workload.fill().and_then(|()| workload.sequential());
                    finish.come_and_wait();
                    outcome
                },
            )
        })
        .collect()
}

/// A run of tasks that together use twice the memory, after the areas are gone again.
struct Run {
    fatal: Vec<Fatal>,
    statistics: Snapshot,
    tally: Arc<Tally>,
    books: Books,
}

fn run_on_bad_disk(command_line: CommandLine<'static>) -> Result<Run, Failure> {
    let enabled = swapon::enable(command_line)?;
    let books = Books::open();
    let tally = Arc::new(Tally::default());
    // No task ends before all are done, so that a bad slot is not freed and given to another task.
    let fatal = join(tasks(ram() / 2, &tally, &Meeting::new(TASKS))?);
    let statistics = swap::statistics();
    enabled.disable()?;
    Ok(Run { fatal, statistics, tally, books })
}

/// Part of the disk refuses writes: the pages stay in memory, and the others go on being swapped.
pub(super) fn write_error(command_line: CommandLine<'static>) -> Outcome {
    let Run { fatal, statistics, tally, books } = run_on_bad_disk(command_line)?;
    require!(fatal.is_empty(), "tasks were killed: {fatal:?}");
    require!(statistics.failed_writes > 0, "no write failed");
    books.check(&tally)?;
    Ok(format!(
        "failed_writes={} swapped_out={} swapped_in={} bytes_verified={}",
        statistics.failed_writes,
        statistics.pages_out,
        statistics.pages_in,
        tally.verified()
    ))
}

/// Starts tasks that fill `pages` pages each and visit them when `back` is met, and has nothing left of these in memory. One
/// begins when the one before is done, so that they take all slots from the first on: two at once can leave a cluster in the middle.
fn tasks_pushed_out(
    name: &str,
    tasks: u64,
    pages: u64,
    tally: &Arc<Tally>,
    back: &Arc<Meeting>,
) -> Result<Vec<Task>, Failure> {
    let start = |number| {
        let (out, back) = (Meeting::new(1), Arc::clone(back));
        let own_out = Arc::clone(&out);
        let work = move |workload: &mut Workload| {
            let outcome = workload.fill().and_then(|()| workload.page_out());
            own_out.come();
            outcome?;
            back.wait();
            workload.sequential()
        };
        let task = workload::start(&format!("{name}-{number}"), Contents::Text, number * pages, pages, tally, work)?;
        out.wait();
        Ok(task)
    };
    let started: Vec<Task> = (0..tasks).map(start).collect::<Result<_, Failure>>()?;
    let pusher = workload::start("pusher", Contents::Random, tasks * pages, ram(), tally, Workload::fill)?;
    require!(pusher.join().is_ok(), "the task that pushes was killed");
    empty_swap_cache()?;
    Ok(started)
}

/// One slot cannot be read: its page's task dies, the others do not. The slot is among the first thousands, and those are
/// taken by pages that all leave memory before they are visited.
pub(super) fn read_error(command_line: CommandLine<'static>) -> Outcome {
    let enabled = swapon::enable(command_line)?;
    let books = Books::open();
    let tally = Arc::new(Tally::default());
    let pushed_out = Meeting::new(1);
    let tasks = tasks_pushed_out("task", TASKS, ram() / 2 / TASKS, &tally, &pushed_out)?;
    pushed_out.come();
    let fatal = join(tasks);
    let statistics = swap::statistics();
    enabled.disable()?;
    require!(statistics.failed_reads > 0, "no read failed");
    let [Fatal::ReadFailed(entry)] = fatal[..] else {
        return Err(Failure(format!("not one task died of a read error, but {fatal:?}")));
    };
    books.check(&tally)?;
    Ok(format!(
        "slot={} failed_reads={} killed=1 survived={} bytes_verified={}",
        entry.slot(),
        statistics.failed_reads,
        TASKS - 1,
        tally.verified()
    ))
}

/// One slot cannot be read when its area is disabled: `swapoff` succeeds, and the task that touches that page is killed.
pub(super) fn poison(command_line: CommandLine<'static>) -> Outcome {
    let enabled = swapon::enable(command_line)?;
    let books = Books::open();
    let tally = Arc::new(Tally::default());
    let back = Meeting::new(1);
    let tasks = tasks_pushed_out("keeper", 2, ram() / 4, &tally, &back)?;
    let used = swap::used_pages();
    enabled.disable()?;
    let Snapshot { failed_reads, pages_out, pages_in, .. } = swap::statistics();
    back.come();
    let fatal = join(tasks);
    require!(failed_reads > 0, "no read failed: {pages_out} pages went out, {used} were left, {pages_in} came in");
    let [Fatal::ReadFailed(entry)] = fatal[..] else {
        return Err(Failure(format!("not one task died of a poisoned page, but {fatal:?}")));
    };
    books.check(&tally)?;
    Ok(format!("slot={} killed=1 survived=1 bytes_verified={}", entry.slot(), tally.verified()))
}

/// Memory and swap together are too small: tasks that ask for a frame in vain die, the others finish.
pub(super) fn out_of_memory(command_line: CommandLine<'static>) -> Outcome {
    let enabled = swapon::enable(command_line)?;
    let books = Books::open();
    let tally = Arc::new(Tally::default());
    let room = ram() + swap::total_pages();
    // A task that dies frees memory, so none waits for the others.
    let fatal = join(tasks(room * 2 / 5, &tally, &Meeting::new(0))?);
    enabled.disable()?;
    require!(!fatal.is_empty(), "{TASKS} tasks of {} pages found room in {room}", room * 2 / 5);
    require!(fatal.iter().all(|why| *why == Fatal::OutOfMemory), "tasks died of something else: {fatal:?}");
    require!(fatal.len() < TASKS as usize, "no task survived");
    books.check(&tally)?;
    Ok(format!("killed={} survived={} bytes_verified={}", fatal.len(), TASKS as usize - fatal.len(), tally.verified()))
}
