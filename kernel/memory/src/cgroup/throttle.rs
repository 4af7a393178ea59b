//! `memory.swap.high`: a task whose cgroup has more in swap has to wait now and then for what it takes (Linux:
//! `mem_cgroup_handle_over_high`).
//!
//! The wait grows with the square of the part by which the limit is exceeded: a little more costs nothing; twice the limit costs two
//! seconds for each [`BATCH`] of pages.

use core::sync::atomic::Ordering;
use core::time::Duration;

use quire_machine::arch::cpu;
use quire_machine::clock;
use quire_machine::task::{WaitQueue, is_killed};

use super::counts::{CgroupEvent, STATES, note, upwards};

/// A task waits once for so many pages, at the first of them (Linux: `MEMCG_CHARGE_BATCH`).
pub(crate) const BATCH: u32 = 64;
/// The bits of an overage behind its point (Linux: `MEMCG_DELAY_PRECISION_SHIFT`).
const PRECISION: u32 = 20;
/// How much milder than the square of the overage the wait is, as a power of two (Linux: `MEMCG_DELAY_SCALING_SHIFT`).
const SCALING: u32 = 14;
/// The longest wait (Linux: `MEMCG_MAX_HIGH_DELAY_JIFFIES`).
const LONGEST: Duration = Duration::from_secs(2);
/// What is not worth a wait.
const SHORTEST: Duration = Duration::from_millis(10);

static WAITING: WaitQueue = WaitQueue::new();

/// By which part of `high`, or of a page, the use is above it, in 2^-20.
fn overage(used: usize, high: usize) -> u64 {
    let high = high.max(1);
    if used > high { ((used - high) as u64).saturating_mul(1 << PRECISION) / high as u64 } else { 0 }
}

/// How long a task waits for a batch of pages.
fn delay(overage: u64) -> Duration {
    let milliseconds = overage.saturating_mul(overage).saturating_mul(1000) >> (PRECISION + SCALING);
    let delay = Duration::from_millis(milliseconds).min(LONGEST);
    if delay > SHORTEST { delay } else { Duration::ZERO }
}

/// The current task has taken a page that its cgroup is charged: it waits if that is due. Only tasks come here that may sleep.
#[inline]
pub(crate) fn after_charge(number: u8) {
    let overage_of = |number: u8| {
        let state = &STATES[usize::from(number)];
        overage(state.swapped.load(Ordering::Relaxed), state.swap_high.load(Ordering::Relaxed))
    };
    let over = || upwards(number).map(|number| (number, overage_of(number))).filter(|(_, overage)| *overage > 0);
    if over().next().is_none() || !is_due() {
        return;
    }
    over().for_each(|(number, _)| note(number, CgroupEvent::SwapHigh));
    let delay = delay(over().map(|(_, overage)| overage).max().unwrap_or(0));
    if !delay.is_zero() {
        WAITING.wait_until_or(clock::since_boot() + delay, is_killed);
    }
}

/// Whether the pages that the thread has waited for are used up; counts this one.
fn is_due() -> bool {
    cpu::with_running(|running| {
        let left = running.pages_waited_for.load(Ordering::Relaxed);
        running.pages_waited_for.store(left.checked_sub(1).unwrap_or(BATCH - 1), Ordering::Relaxed);
        left == 0
    })
    .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::{BATCH, LONGEST, delay, overage};

    #[test]
    fn the_wait_is_linuxs() {
        let wait = |used, high| delay(overage(used, high)).as_millis();
        assert_eq!((wait(0, 0), wait(100, 100), wait(100, usize::MAX)), (0, 0, 0));
        // Twice the limit is 64 seconds, and so cut; a tenth of the overage is a hundredth of the wait.
        assert_eq!((wait(2000, 1000), wait(1200, 1000)), (2000, 2000));
        assert_eq!((wait(1100, 1000), wait(1050, 1000)), (639, 159));
        assert_eq!((wait(1012, 1000), wait(1020, 1000)), (0, 25));
        assert_eq!((wait(1, 0), wait(2, 0), delay(overage(usize::MAX, 1))), (0, 2000, LONGEST));
        assert_eq!(BATCH, 64);
    }
}
