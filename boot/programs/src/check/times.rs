//! Clocks, sleeping and alarms. Nothing is timed: each check asks in which order things happened, not how fast.

use std::{
    ptr,
    sync::atomic::{AtomicU32, Ordering},
    thread::sleep,
    time::Duration,
};

use nix::{
    errno::Errno,
    libc::{self, c_int},
    sys::{
        signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    time::{ClockId, clock_gettime},
    unistd::{alarm, pause},
};

use super::outcome::{Check, Outcome, alarm_every, require};
use crate::process::Child;

pub(super) const CHECKS: &[Check] = &[
    ("times-clocks", clocks),
    ("times-sleep-to-the-end", sleep_to_the_end),
    ("times-sleep-is-interrupted", sleep_is_interrupted),
    ("times-sleep-goes-on", sleep_goes_on),
    ("times-waits-go-on", waits_go_on),
    ("times-interval", interval),
    ("times-random", random),
];

static ALARMS: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: c_int) {
    ALARMS.fetch_add(1, Ordering::Relaxed);
}

fn handle_alarms() -> nix::Result<()> {
    let action = SigAction::new(SigHandler::Handler(count), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: the handler uses an atomic only.
    unsafe { sigaction(Signal::SIGALRM, &action) }.map(drop)
}

fn now(clock: ClockId) -> nix::Result<Duration> {
    clock_gettime(clock).map(Duration::from)
}

fn clocks() -> Outcome {
    const DAYS_TO_2024: u64 = 19_723;
    require!(now(ClockId::CLOCK_REALTIME)?.as_secs() > DAYS_TO_2024 * 86400, "the date is before 2024");
    let mut before = now(ClockId::CLOCK_MONOTONIC)?;
    for _ in 0..1000 {
        let after = now(ClockId::CLOCK_MONOTONIC)?;
        require!(after >= before, "the clock went back from {before:?} to {after:?}");
        before = after;
    }
    let used = now(ClockId::CLOCK_PROCESS_CPUTIME_ID)?;
    while now(ClockId::CLOCK_PROCESS_CPUTIME_ID)? == used {}
    let unknown = clock_gettime(ClockId::from_raw(77));
    require!(unknown == Err(Errno::EINVAL), "a clock that there is not gave {unknown:?}");
    Ok(())
}

fn sleep_to_the_end() -> Outcome {
    let begin = now(ClockId::CLOCK_MONOTONIC)?;
    sleep(Duration::from_millis(30));
    let slept = now(ClockId::CLOCK_MONOTONIC)?.saturating_sub(begin);
    require!(slept >= Duration::from_millis(30), "a sleep of 30 ms took {slept:?}");
    let bad = libc::timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    // SAFETY: the request is a `timespec`.
    let refused = Errno::result(unsafe { libc::nanosleep(&raw const bad, ptr::null_mut()) });
    require!(refused == Err(Errno::EINVAL), "a sleep of too many nanoseconds gave {refused:?}");
    Ok(())
}

/// A handler ends a sleep, also one with `SA_RESTART`, and what is left is said.
fn sleep_is_interrupted() -> Outcome {
    handle_alarms()?;
    alarm_every(Duration::from_millis(100))?;
    let request = libc::timespec { tv_sec: 1000, tv_nsec: 0 };
    let mut left = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both are `timespec`s.
    let ended = Errno::result(unsafe { libc::nanosleep(&raw const request, &raw mut left) });
    require!(ended == Err(Errno::EINTR), "a sleep that an alarm interrupts gave {ended:?}");
    require!((1..1000).contains(&left.tv_sec), "{} of 1000 seconds are left", left.tv_sec);
    Ok(())
}

/// Stopping and continuing does not end a wait, nor make it begin again: it would never end.
fn goes_on(what: &str, wait: impl Fn(libc::timespec) -> c_int) -> Outcome {
    const ROUNDS: u32 = 1000;
    // Far longer than the time between two stops.
    let waiting = Child::start(|| wait(libc::timespec { tv_sec: 0, tv_nsec: 700_000_000 }))?;
    for _ in 0..ROUNDS {
        sleep(Duration::from_millis(20));
        waiting.signal(Signal::SIGSTOP)?;
        match waitpid(waiting.0, Some(WaitPidFlag::WUNTRACED))? {
            WaitStatus::Stopped(..) => waiting.signal(Signal::SIGCONT)?,
            WaitStatus::Exited(_, 0) => return Ok(()),
            other => require!(false, "{what} that is stopped gave {other:?}"),
        }
    }
    waiting.signal(Signal::SIGKILL)?;
    waiting.wait()?;
    require!(false, "{what} of 700 ms is not over after {ROUNDS} stops 20 ms apart");
    Ok(())
}

fn sleep_goes_on() -> Outcome {
    // SAFETY: the request is a `timespec`.
    goes_on("a sleep", |time| unsafe { libc::nanosleep(&raw const time, ptr::null_mut()) })
}

fn waits_go_on() -> Outcome {
    // SAFETY: there are no files to look at.
    goes_on("poll", |_| unsafe { libc::poll(ptr::null_mut(), 0, 700) })?;
    // SAFETY: the same; the time is a `timespec`.
    goes_on("ppoll", |time| unsafe { libc::ppoll(ptr::null_mut(), 0, &raw const time, ptr::null()) })?;
    goes_on("select", |time| {
        let mut time = libc::timeval { tv_sec: time.tv_sec, tv_usec: time.tv_nsec / 1000 };
        let none = ptr::null_mut::<libc::fd_set>();
        // The C library's function of the name is another call.
        // SAFETY: there are no sets, and the time is a `timeval`.
        unsafe { libc::syscall(libc::SYS_select, 0, none, none, none, &raw mut time) as c_int }
    })
}

fn interval() -> Outcome {
    handle_alarms()?;
    let none = libc::itimerval {
        it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 },
        it_value: libc::timeval { tv_sec: 0, tv_usec: 0 },
    };
    alarm_every(Duration::from_millis(10))?;
    while ALARMS.load(Ordering::Relaxed) < 3 {
        pause();
    }
    let mut left = none;
    // SAFETY: both are `itimerval`s.
    Errno::result(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const none, &raw mut left) })?;
    require!(left.it_interval.tv_usec == 10_000, "the interval was {} µs", left.it_interval.tv_usec);
    alarm::set(1000);
    let seconds = alarm::cancel();
    require!(seconds.is_some_and(|seconds| (1..=1000).contains(&seconds)), "{seconds:?} of 1000 seconds were left");
    Ok(())
}

fn random() -> Outcome {
    let mut pages = [[0_u8; 4096]; 2];
    for page in &mut pages {
        // SAFETY: the page is as long as it is said to be.
        let bytes = Errno::result(unsafe { libc::getrandom(page.as_mut_ptr().cast(), page.len(), 0) })?;
        require!(bytes == 4096, "{bytes} of 4096 random bytes came");
    }
    require!(pages[0] != pages[1], "two random pages are the same");
    let ones = pages[0].iter().map(|byte| byte.count_ones()).sum::<u32>();
    require!((15_000..17_800).contains(&ones), "{ones} of 32768 random bits are set");
    Ok(())
}
