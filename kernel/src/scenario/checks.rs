//! What scenarios with tasks have in common: the contents of their pages, a meeting point, and the books that must balance
//! at the end.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use quire_machine::heap;
use quire_machine::physical;
use quire_machine::task::{self, JoinHandle, WaitQueue};
use quire_memory::fault::served;
use quire_memory::reclaim;
use quire_memory::swap;
use quire_memory::tasks::Fatal;
use quire_protocol::contents::Contents;

use super::failure::Failure;
use super::user::Fault;
use super::workload::Tally;
use crate::command_line::{BadValue, CommandLine};
use crate::require;

/// A task with a workload.
pub(super) type Task = JoinHandle<Result<(), Fault>>;

/// Frames, slots and batches as they were before, and nothing wrong in what was read.
pub(super) struct Books {
    free: usize,
    batches: usize,
}

impl Books {
    pub(super) fn open() -> Self {
        Self { free: heap::spare_frames(), batches: swap::core().idle_batches() }
    }

    pub(super) fn check(&self, tally: &Tally) -> Result<(), Failure> {
        let (verified, wrong) = (tally.verified(), tally.wrong());
        require!(wrong == 0, "{wrong} of {verified} bytes did not come back");
        require!(served::add_up(), "the kinds of faults do not add up to all of them: {}", served::totals());
        let (free, batches) = (heap::spare_frames(), swap::core().idle_batches());
        require!(free == self.free, "{} frames were free before, {free} after", self.free);
        require!(batches == self.batches, "{} batches were idle before, {batches} after", self.batches);
        Ok(())
    }
}

pub(super) fn ram() -> u64 {
    physical::managed_frames() as u64
}

/// What `contents=` on the command line names, if it is there.
pub(super) fn contents(command_line: CommandLine<'static>) -> Result<Option<Contents>, BadValue<'static>> {
    const KEY: &str = "contents";
    let Some(value) = command_line.value(KEY) else { return Ok(None) };
    let expected = "text, zero, same, random or mix";
    Contents::named(value).map(Some).ok_or(BadValue { key: KEY, value, expected })
}

/// Where tasks wait for each other.
pub(super) struct Meeting {
    expected: u64,
    there: AtomicU64,
    complete: WaitQueue,
}

impl Meeting {
    pub(super) fn new(expected: u64) -> Arc<Self> {
        Arc::new(Self { expected, there: AtomicU64::new(0), complete: WaitQueue::new() })
    }

    pub(super) fn come(&self) {
        self.there.fetch_add(1, Ordering::AcqRel);
        self.complete.wake_all();
    }

    pub(super) fn come_and_wait(&self) {
        self.come();
        self.wait();
    }

    pub(super) fn wait(&self) {
        self.complete.wait_until(|| self.there.load(Ordering::Acquire) >= self.expected);
    }
}

/// Waits until no page is in memory that is in a slot as well: then each page that is touched is read. Pages that are in use stay,
/// so there are to be none.
pub(super) fn empty_swap_cache() -> Result<(), Failure> {
    const PASSES: usize = 100_000;
    for _ in 0..PASSES {
        if physical::frames_in_swap_cache() == 0 {
            return Ok(());
        }
        reclaim::pass();
        task::yield_now();
    }
    Err(Failure(format!("{} pages stay in the swap cache", physical::frames_in_swap_cache())))
}

/// What became of the tasks: why each that was killed could not go on.
pub(super) fn join(tasks: Vec<Task>) -> Vec<Fatal> {
    let mut fatal = Vec::new();
    for task in tasks {
        let thread = Arc::clone(task.thread());
        if task.join().is_err() {
            fatal.extend(quire_memory::tasks::fatal(&thread));
        }
    }
    fatal
}
