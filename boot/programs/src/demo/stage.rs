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

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use quire_protocol::contents::{Contents, Page, Xorshift, hash};

use super::figures::{Figures, Row};
use crate::{
    files,
    memory::{Memory, PAGE, Shared},
    process::{Child, End},
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
    End,
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
}

/// Processes that wait for a phase to be called.
pub(super) struct Stage {
    board: Shared<Board>,
    tasks: Vec<Child>,
    pages: u64,
}

impl Stage {
    /// Starts `tasks` processes with `pages` pages each.
    pub(super) fn set(tasks: u64, pages: u64, contents: Contents) -> Outcome<Self> {
        let mut stage = Self { board: Shared::new(Board::default())?, tasks: Vec::new(), pages };
        for number in 0..tasks {
            let task = Child::start(|| match Task::new(contents, number * pages, pages as usize, &stage.board) {
                Ok(mut task) => {
                    task.run();
                    0
                }
                Err(error) => error as i32,
            })?;
            stage.tasks.push(task);
        }
        Ok(stage)
    }

    /// Calls a phase and waits for its end, with a line of progress every second.
    pub(super) fn play(&self, phase: Phase) -> Outcome<Row> {
        let (name, visits) = match phase {
            Phase::Fill => ("fill", self.pages),
            Phase::InOrder => ("in order", self.pages),
            Phase::AtRandom => ("at random", self.pages / 8),
            Phase::OverAndOver => ("over and over", self.pages / 4 + self.pages / 16),
            Phase::End => ("end", 0),
        };
        let visits = visits * self.tasks.len() as u64;
        let before = Figures::read()?;
        let (start, visited_before) = (Instant::now(), self.board.visited.load(Ordering::Relaxed));
        self.call(phase);
        let mut next_line = Duration::from_secs(1);
        while self.board.done.load(Ordering::Acquire) < self.tasks.len() as u64 {
            sleep(LOOK_EVERY);
            self.look_after()?;
            if start.elapsed() >= next_line {
                next_line += Duration::from_secs(1);
                let visited = self.board.visited.load(Ordering::Relaxed) - visited_before;
                let percent = (visited * 100 / visits.max(1)).min(100);
                let [free, total, free_swap] =
                    ["MemFree", "SwapTotal", "SwapFree"].map(|name| files::number("/proc/meminfo", name));
                let (free, total) = (free? >> 10, total?);
                let used = (total - free_swap?) >> 10;
                println!("  {name}: {percent:3}%, {free} MiB free, {used} of {} MiB swap used", total >> 10);
            }
        }
        Ok(Row { name, before, after: Figures::read()?, took: start.elapsed() })
    }

    fn call(&self, phase: Phase) {
        self.board.done.store(0, Ordering::Relaxed);
        self.board.phase.store(phase as u64, Ordering::Relaxed);
        self.board.called.fetch_add(1, Ordering::Release);
    }

    /// Fails if a process has ended that nobody called to its end.
    fn look_after(&self) -> Outcome {
        for (task, number) in self.tasks.iter().zip(1..) {
            match waitpid(task.0, Some(WaitPidFlag::WNOHANG))? {
                WaitStatus::StillAlive => {}
                ended => return Err(format!("process {number} of {} was ended: {ended:?}", self.tasks.len()).into()),
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

/// One process's pages.
struct Task<'a> {
    contents: Contents,
    memory: Memory,
    /// For each page the number of its contents and their hash.
    records: Vec<(u64, u64)>,
    random: Xorshift,
    board: &'a Board,
}

impl<'a> Task<'a> {
    fn new(contents: Contents, first: u64, pages: usize, board: &'a Board) -> nix::Result<Self> {
        let records = (first..).take(pages).map(|number| (number, 0)).collect();
        let random = Xorshift(first.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        Ok(Self { contents, memory: Memory::private(pages)?, records, random, board })
    }

    /// Does what is called until the end is.
    fn run(&mut self) {
        for called in 1.. {
            while self.board.called.load(Ordering::Acquire) < called {
                sleep(LOOK_EVERY);
            }
            let (pages, phase) = (self.records.len(), self.board.phase.load(Ordering::Relaxed));
            match phase {
                _ if phase == Phase::Fill as u64 => (0..pages).for_each(|index| self.fill(index)),
                _ if phase == Phase::InOrder as u64 => (0..pages).for_each(|index| self.verify(index)),
                _ if phase == Phase::AtRandom as u64 => (0..pages / 8).for_each(|_| {
                    let index = self.any(pages);
                    self.verify(index);
                }),
                _ if phase == Phase::OverAndOver as u64 => self.revisit(pages / 32, pages / 4),
                _ => return,
            }
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
        self.board.visited.fetch_add(1, Ordering::Relaxed);
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
        self.board.visited.fetch_add(1, Ordering::Relaxed);
        self.board.verified.fetch_add(PAGE as u64, Ordering::Relaxed);
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
