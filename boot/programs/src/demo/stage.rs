//! Processes that work on their pages in phases, all together, and the one that watches them.
//!
//! Each has pages whose contents are given by a number, and records the number and a hash of every page; the records are
//! memory like any other and are swapped too. When a hash differs, the contents are made again to count the wrong bytes.

use std::{
    error::Error,
    sync::atomic::{AtomicU64, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use nix::{
    sys::resource::{UsageWho, getrusage},
    unistd::Pid,
};
use quire_protocol::contents::{Contents, Page, Xorshift, hash};

use super::{
    figures::{Figures, Row},
    screen::Bar,
};
use crate::{
    cgroup::Cgroup,
    memory::{Memory, PAGE, Shared},
    process::{Child, End, end_without},
};

/// What came of a part of the demo.
pub(super) type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// What a rewrite adds to a page's number: a multiple of eight, so that a mix stays a mix.
const NEXT_VERSION: u64 = 1 << 32;

/// Short against a phase, long against a look at a counter.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How the pages are visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(super) enum Phase {
    Fill,
    InOrder,
    AtRandom,
    OverAndOver,
    InOrderAgain,
    End,
}

impl Phase {
    const fn name(self) -> &'static str {
        match self {
            Self::Fill => "write all",
            Self::InOrder => "read in order",
            Self::AtRandom => "read randomly",
            Self::OverAndOver => "over and over",
            Self::InOrderAgain => "read again",
            Self::End => "end",
        }
    }
}

/// What was done, in sum.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) pages: u64,
    pub(super) verified: u64,
    pub(super) wrong: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.pages += other.pages;
        self.verified += other.verified;
        self.wrong += other.wrong;
    }
}

/// What all see.
#[derive(Default)]
struct Board {
    /// How many phases have been called so far.
    called: AtomicU64,
    /// Which one was called last.
    phase: AtomicU64,
    /// How many processes are done with all that were called.
    done: AtomicU64,
    visited: AtomicU64,
    verified: AtomicU64,
    wrong: AtomicU64,
    /// Faults that read.
    major: AtomicU64,
}

/// Processes that wait for a phase to be called.
pub(super) struct Stage {
    board: Shared<Board>,
    tasks: Vec<Child>,
    pages: u64,
}

impl Stage {
    /// Starts `tasks` processes with `pages` pages each, in a cgroup if one is given.
    pub(super) fn set(tasks: u64, pages: u64, contents: Contents, cgroup: Option<&Cgroup>) -> Outcome<Self> {
        let mut stage = Self { board: Shared::new(Board::default())?, tasks: Vec::new(), pages };
        let watcher = Pid::this();
        for number in 0..tasks {
            let task = Child::start(|| {
                if cgroup.is_some_and(|cgroup| cgroup.enter().is_err()) {
                    return 1;
                }
                match Task::new(contents, number * pages, pages as usize, &stage.board, watcher) {
                    Ok(mut task) => {
                        task.run();
                        0
                    }
                    Err(error) => error as i32,
                }
            })?;
            stage.tasks.push(task);
        }
        Ok(stage)
    }

    /// How many pages are visited in a phase.
    pub(super) fn visits(&self, phase: Phase) -> u64 {
        let each = match phase {
            Phase::Fill | Phase::InOrder | Phase::InOrderAgain => self.pages,
            Phase::AtRandom => self.pages / 8,
            Phase::OverAndOver => self.pages / 4 + self.pages / 16,
            Phase::End => 0,
        };
        each * self.tasks.len() as u64
    }

    /// Calls one phase after another, under a bar of their own, with a look at the counters of `disk` around each.
    pub(super) fn play(&self, phases: &[Phase], disk: &str) -> Outcome<Vec<Row>> {
        let mut bar = Bar::new(phases.iter().map(|phase| self.visits(*phase)).sum());
        let play = |phase: &Phase| {
            let before = Figures::read(disk)?;
            let took = play_together([self], *phase, &mut bar)?[0];
            Ok(Row { name: phase.name(), figures: Figures::read(disk)?.since(&before), took })
        };
        phases.iter().map(play).collect()
    }

    fn call(&self, phase: Phase) {
        self.board.done.store(0, Ordering::Relaxed);
        self.board.phase.store(phase as u64, Ordering::Relaxed);
        self.board.called.fetch_add(1, Ordering::Release);
    }

    fn is_done(&self) -> bool {
        self.board.done.load(Ordering::Acquire) == self.tasks.len() as u64
    }

    fn visited(&self) -> u64 {
        self.board.visited.load(Ordering::Relaxed)
    }

    /// How many faults had to read so far.
    pub(super) fn major_faults(&self) -> u64 {
        self.board.major.load(Ordering::Relaxed)
    }

    /// Fails if a process has ended that was not called to its end.
    fn look_after(&self) -> Outcome {
        for (task, number) in self.tasks.iter().zip(1..) {
            if let Some(end) = task.has_ended()? {
                return Err(format!("process {number} of {} was ended: {end}", self.tasks.len()).into());
            }
        }
        Ok(())
    }

    /// Calls all to their end.
    pub(super) fn end(self) -> Outcome<Tally> {
        self.call(Phase::End);
        for task in &self.tasks {
            let end = task.wait()?;
            if end != End::Exited(0) {
                return Err(format!("a process was ended: {end}").into());
            }
        }
        let [verified, wrong] = [&self.board.verified, &self.board.wrong].map(|count| count.load(Ordering::Relaxed));
        Ok(Tally { pages: self.pages * self.tasks.len() as u64, verified, wrong })
    }
}

/// Calls a phase on several stages at once and waits for its end on all; returns how long each took.
pub(super) fn play_together<const STAGES: usize>(
    stages: [&Stage; STAGES],
    phase: Phase,
    bar: &mut Bar,
) -> Outcome<[Duration; STAGES]> {
    let visited = || stages.iter().map(|stage| stage.visited()).sum::<u64>();
    let (start, visited_before) = (Instant::now(), visited());
    let mut took = [None; STAGES];
    for stage in stages {
        stage.call(phase);
    }
    while took.iter().any(Option::is_none) {
        sleep(LOOK_EVERY);
        for (stage, took) in stages.iter().zip(&mut took) {
            if stage.is_done() {
                took.get_or_insert(start.elapsed());
            } else {
                stage.look_after()?;
            }
        }
        bar.show(visited() - visited_before, phase.name())?;
    }
    bar.ended(stages.iter().map(|stage| stage.visits(phase)).sum());
    Ok(took.map(Option::unwrap_or_default))
}

/// One process's pages.
struct Task<'a> {
    contents: Contents,
    memory: Memory,
    /// For each page the number of its contents and their hash.
    records: Vec<(u64, u64)>,
    random: Xorshift,
    board: &'a Board,
    /// The process that calls the phases: without it, no task goes on.
    watcher: Pid,
}

/// Faults of this process that had to read.
fn major_faults() -> u64 {
    getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| usage.major_page_faults().unsigned_abs())
}

impl<'a> Task<'a> {
    fn new(contents: Contents, first: u64, pages: usize, board: &'a Board, watcher: Pid) -> nix::Result<Self> {
        let records = (first..).take(pages).map(|number| (number, 0)).collect();
        let random = Xorshift(first.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        Ok(Self { contents, memory: Memory::private(pages)?, records, random, board, watcher })
    }

    /// Does what is called until the end is.
    fn run(&mut self) {
        for called in 1.. {
            while self.board.called.load(Ordering::Acquire) < called {
                sleep(LOOK_EVERY);
                end_without(self.watcher);
            }
            let (pages, phase) = (self.records.len(), self.board.phase.load(Ordering::Relaxed));
            let major_before = major_faults();
            match phase {
                _ if phase == Phase::Fill as u64 => (0..pages).for_each(|index| self.fill(index)),
                _ if phase == Phase::InOrder as u64 || phase == Phase::InOrderAgain as u64 => {
                    (0..pages).for_each(|index| self.verify(index));
                }
                _ if phase == Phase::AtRandom as u64 => (0..pages / 8).for_each(|_| {
                    let index = self.any(pages);
                    self.verify(index);
                }),
                _ if phase == Phase::OverAndOver as u64 => self.revisit(pages / 32, pages / 4),
                _ => return,
            }
            self.board.major.fetch_add(major_faults() - major_before, Ordering::Relaxed);
            self.board.done.fetch_add(1, Ordering::Release);
        }
    }

    fn any(&mut self, among: usize) -> usize {
        (self.random.draw() % among.max(1) as u64) as usize
    }

    fn fill(&mut self, index: usize) {
        let page = &mut self.memory.pages()[index];
        let (number, expected) = &mut self.records[index];
        self.contents.fill(page, *number);
        *expected = hash(page);
        self.visited(index);
    }

    fn verify(&mut self, index: usize) {
        let (number, expected) = self.records[index];
        let page = &self.memory.pages()[index];
        if hash(page) != expected {
            let mut wanted: Page = [0; PAGE];
            self.contents.fill(&mut wanted, number);
            let wrong = page.iter().zip(&wanted).filter(|(found, wanted)| found != wanted).count();
            // Right contents with a wrong record are a wrong word all the same.
            self.board.wrong.fetch_add(wrong.max(8) as u64, Ordering::Relaxed);
        }
        self.visited(index);
        self.board.verified.fetch_add(PAGE as u64, Ordering::Relaxed);
    }

    fn visited(&self, index: usize) {
        self.board.visited.fetch_add(1, Ordering::Relaxed);
        if index.is_multiple_of(64) {
            end_without(self.watcher);
        }
    }

    /// Visits the first `hot` pages over and over with, after every eighth visit, one to a page anywhere; rewrites one page
    /// in four that it visits.
    fn revisit(&mut self, hot: usize, visits: usize) {
        for visit in 0..visits {
            let index = self.any(if visit % 8 == 7 { self.records.len() } else { hot });
            self.verify(index);
            if visit % 4 == 0 {
                self.records[index].0 = self.records[index].0.wrapping_add(NEXT_VERSION);
                self.fill(index);
            }
        }
    }
}
