//! Systematic schedules: who goes on where another could, chosen by shuttle.

use std::hash::{DefaultHasher, Hasher};
use std::sync::{Arc, Mutex};

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Schedule, Scheduler, Task, TaskId};
use shuttle::{Config, Runner};

use super::flow::STACK_BYTES;
use super::lock::locked;

/// How few switches the schedules have that have few, at the worst places.
const DEPTH: usize = 3;

/// Runs `body`, which starts a machine, `schedules` times: half of them at random, half with few switches. A schedule that
/// fails is printed, for [`replay`].
pub fn explore(schedules: usize, body: impl Fn() + Send + Sync + Copy + 'static) {
    run(RandomScheduler::new(schedules.div_ceil(2)), body);
    run(PctScheduler::new(DEPTH, schedules / 2), body);
}

/// Runs `body` in a schedule that was printed.
pub fn replay(schedule: &str, body: impl Fn() + Send + Sync + 'static) {
    run(ReplayScheduler::new_from_encoded(schedule.trim()), body);
}

/// Runs `body` in the schedule that comes of `seed`; returns a digest of who could go on at each step, who did, and what chance
/// said.
pub fn digest(seed: u64, body: impl Fn() + Send + Sync + 'static) -> u64 {
    let noted = Arc::default();
    run(Noting { scheduler: RandomScheduler::new_from_seed(seed, 1), noted: Arc::clone(&noted) }, body);
    locked(&noted).finish()
}

/// A scheduler, with what it sees and chooses.
struct Noting<S> {
    scheduler: S,
    noted: Arc<Mutex<DefaultHasher>>,
}

impl<S: Scheduler> Scheduler for Noting<S> {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.scheduler.new_execution()
    }

    fn next_task(&mut self, runnable: &[&Task], current: Option<TaskId>, is_yielding: bool) -> Option<TaskId> {
        let next = self.scheduler.next_task(runnable, current, is_yielding);
        let mut noted = locked(&self.noted);
        let tasks = runnable.iter().map(|task| task.id()).chain(next);
        tasks.for_each(|task| noted.write_usize(task.into()));
        next
    }

    fn next_u64(&mut self) -> u64 {
        let word = self.scheduler.next_u64();
        locked(&self.noted).write_u64(word);
        word
    }
}

/// Runs `body` in the schedules that a scheduler chooses.
pub fn run(scheduler: impl Scheduler + 'static, body: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    Runner::new(scheduler, config).run(body);
}
