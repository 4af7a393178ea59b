//! Schedules in which a task is interrupted for long, in tests that explore schedules.
//!
//! By chance alone, or with few switches where tasks yield to one another, no task stands still between two of its steps while others
//! do hundreds of theirs. A processor that is interrupted does.

use shuttle::scheduler::{RandomScheduler, Schedule, Scheduler, Task, TaskId};
use shuttle::{Config, Runner};

/// Chooses tasks at random, but none that is interrupted while there are others.
pub struct Interrupting {
    random: RandomScheduler,
    step: u64,
    /// When a task is interrupted, and when it goes on.
    from: u64,
    until: u64,
    interrupted: Option<TaskId>,
}

impl Interrupting {
    /// A scheduler for so many schedules.
    pub fn new(schedules: usize) -> Self {
        Self { random: RandomScheduler::new(schedules), step: 0, from: 0, until: 0, interrupted: None }
    }
}

impl Scheduler for Interrupting {
    fn new_execution(&mut self) -> Option<Schedule> {
        let schedule = self.random.new_execution()?;
        // Near the beginning more often than far from it: most are short.
        let mut below = |least: u64, powers: u64| least << (self.random.next_u64() % powers);
        let (most, length) = (below(16, 10), below(4, 10));
        self.from = 1 + self.random.next_u64() % most;
        self.until = self.from + length;
        (self.step, self.interrupted) = (0, None);
        Some(schedule)
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, is_yielding: bool) -> Option<TaskId> {
        // What happens before there are others is the same in all schedules.
        self.step += u64::from(runnable.len() > 1);
        if self.step == self.from {
            self.interrupted = current;
        }
        if self.step == self.until {
            self.interrupted = None;
        }
        let others: Vec<&Task> = runnable.iter().copied().filter(|task| Some(task.id()) != self.interrupted).collect();
        self.random.next_task(if others.is_empty() { runnable } else { &others }, current, is_yielding)
    }

    fn next_u64(&mut self) -> u64 {
        self.random.next_u64()
    }
}

/// Runs `schedule` so often.
pub fn check(schedule: impl Fn() + Send + Sync + 'static, schedules: usize) {
    Runner::new(Interrupting::new(schedules), Config::new()).run(schedule);
}
