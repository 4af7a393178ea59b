//! Systematic schedules: who goes on where another could, chosen by shuttle.

use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, Runner};

use super::flow::STACK_BYTES;

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

fn run(scheduler: impl Scheduler + 'static, body: impl Fn() + Send + Sync + 'static) {
    let mut config = Config::new();
    config.stack_size = STACK_BYTES;
    Runner::new(scheduler, config).run(body);
}
