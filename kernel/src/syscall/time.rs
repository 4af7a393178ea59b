//! Time: clocks, sleeping, alarms.
//!
//! Time passes by the time-stamp counter; sleeps and alarms end with a timer tick. Clocks of processor time count ticks.

use core::time::Duration;

use linux_raw_sys::general as linux;

use super::poll::poll_until;
use super::{Arguments, Calls, Outcome, read_words, require_superuser, write_words};
use crate::errno::Errno;
use crate::process::alarm::{self, Alarm};
use crate::process::{self, Unfinished};
use crate::task::{WaitQueue, Waited, time};

pub(super) const CALLS: Calls = &[
    (linux::__NR_clock_gettime, clock_gettime),
    (linux::__NR_clock_settime, clock_settime),
    (linux::__NR_clock_getres, clock_getres),
    (linux::__NR_gettimeofday, gettimeofday),
    (linux::__NR_settimeofday, settimeofday),
    (linux::__NR_time, seconds),
    (linux::__NR_nanosleep, nanosleep),
    (linux::__NR_clock_nanosleep, clock_nanosleep),
    (linux::__NR_restart_syscall, restart_syscall),
    (linux::__NR_alarm, set_alarm),
    (linux::__NR_setitimer, setitimer),
    (linux::__NR_getitimer, getitimer),
];

const MICROSECONDS: u64 = 1_000_000;
const NANOSECONDS: u64 = 1_000_000_000;

/// Reads Linux's `struct timespec`: a time that is not negative.
pub(super) fn read_duration(address: u64) -> Result<Duration, Errno> {
    let [seconds, nanoseconds] = read_words(address)?;
    if seconds.cast_signed() < 0 || nanoseconds >= NANOSECONDS {
        return Err(Errno::EINVAL);
    }
    Ok(Duration::new(seconds, nanoseconds as u32))
}

/// Writes Linux's `struct timespec`.
pub(super) fn write_duration(address: u64, duration: Duration) -> Result<(), Errno> {
    write_words(address, &[duration.as_secs(), duration.subsec_nanos().into()])
}

/// Reads Linux's `struct timeval`.
fn read_microseconds([seconds, microseconds]: [u64; 2]) -> Result<Duration, Errno> {
    if seconds.cast_signed() < 0 || microseconds >= MICROSECONDS {
        return Err(Errno::EINVAL);
    }
    Ok(Duration::new(seconds, microseconds as u32 * 1000))
}

fn microseconds(duration: Duration) -> [u64; 2] {
    [duration.as_secs(), duration.subsec_micros().into()]
}

/// The clock of that number now.
fn clock(number: u64) -> Result<Duration, Errno> {
    match number as u32 {
        linux::CLOCK_REALTIME | linux::CLOCK_REALTIME_COARSE => Ok(time::since_1970()),
        linux::CLOCK_MONOTONIC | linux::CLOCK_MONOTONIC_RAW | linux::CLOCK_MONOTONIC_COARSE | linux::CLOCK_BOOTTIME => {
            Ok(time::since_boot())
        }
        linux::CLOCK_PROCESS_CPUTIME_ID | linux::CLOCK_THREAD_CPUTIME_ID => Ok(process::this().usage.time()),
        _ => Err(Errno::EINVAL),
    }
}

fn clock_gettime(arguments: &Arguments) -> Outcome {
    let [number, address, ..] = arguments.a;
    write_duration(address, clock(number)?)?;
    Ok(0)
}

fn clock_settime(arguments: &Arguments) -> Outcome {
    let [number, address, ..] = arguments.a;
    if number as u32 != linux::CLOCK_REALTIME {
        return Err(Errno::EINVAL);
    }
    require_superuser()?;
    time::set_since_1970(read_duration(address)?);
    Ok(0)
}

fn clock_getres(arguments: &Arguments) -> Outcome {
    let [number, address, ..] = arguments.a;
    clock(number)?;
    let resolution = match number as u32 {
        linux::CLOCK_REALTIME | linux::CLOCK_MONOTONIC | linux::CLOCK_MONOTONIC_RAW | linux::CLOCK_BOOTTIME => {
            Duration::from_nanos(1)
        }
        _ => time::TICK,
    };
    if address != 0 {
        write_duration(address, resolution)?;
    }
    Ok(0)
}

fn gettimeofday(arguments: &Arguments) -> Outcome {
    let [address, zone, ..] = arguments.a;
    if address != 0 {
        write_words(address, &microseconds(time::since_1970()))?;
    }
    if zone != 0 {
        // Minutes west of Greenwich, and the kind of summer time: both none.
        write_words(zone, &[0])?;
    }
    Ok(0)
}

fn settimeofday(arguments: &Arguments) -> Outcome {
    let [address, ..] = arguments.a;
    if address != 0 {
        require_superuser()?;
        time::set_since_1970(read_microseconds(read_words(address)?)?);
    }
    Ok(0)
}

fn seconds(arguments: &Arguments) -> Outcome {
    let [address, ..] = arguments.a;
    let seconds = time::since_1970().as_secs();
    if address != 0 {
        write_words(address, &[seconds])?;
    }
    Ok(seconds)
}

/// Sleeps until `deadline`; whether it was reached.
fn sleep_until(deadline: Duration) -> bool {
    let nothing_else = WaitQueue::new();
    nothing_else.wait_until_or_interrupted(deadline, || false) == Waited::TimedOut
}

/// Sleeps until `deadline`; when interrupted, notes what is left for the program and for `restart_syscall`.
fn sleep(deadline: Duration, remainder: u64) -> Outcome {
    if sleep_until(deadline) {
        return Ok(0);
    }
    if remainder != 0 {
        write_duration(remainder, deadline.saturating_sub(time::since_boot()))?;
    }
    process::this().unfinished.replace(Some(Unfinished::Sleep { deadline, remainder }));
    Err(Errno::RESTART_LATER)
}

fn nanosleep(arguments: &Arguments) -> Outcome {
    let [request, remainder, ..] = arguments.a;
    let deadline = time::since_boot().saturating_add(read_duration(request)?);
    sleep(deadline, remainder)
}

fn clock_nanosleep(arguments: &Arguments) -> Outcome {
    let [number, flags, request, remainder, ..] = arguments.a;
    if number as u32 == linux::CLOCK_THREAD_CPUTIME_ID {
        return Err(Errno::EINVAL);
    }
    let now = clock(number)?;
    let request = read_duration(request)?;
    if flags as u32 & linux::TIMER_ABSTIME == 0 {
        let deadline = time::since_boot().saturating_add(request);
        return sleep(deadline, remainder);
    }
    let deadline = time::since_boot().saturating_add(request.saturating_sub(now));
    if sleep_until(deadline) { Ok(0) } else { Err(Errno::RESTART_WITHOUT_HANDLER) }
}

fn restart_syscall(_: &Arguments) -> Outcome {
    match process::this().unfinished.replace(None) {
        Some(Unfinished::Sleep { deadline, remainder }) => sleep(deadline, remainder),
        Some(Unfinished::Poll { files, count, deadline }) => poll_until(files, count, deadline),
        None => Err(Errno::EINTR),
    }
}

/// What is left of an alarm, and its interval.
fn remaining(alarm: Alarm) -> [Duration; 2] {
    // One that is due at any moment is still to come: zero would mean that there is none.
    let left = |deadline: Duration| deadline.saturating_sub(time::since_boot()).max(Duration::from_micros(1));
    [alarm.interval, alarm.deadline.map_or(Duration::ZERO, left)]
}

fn alarm_after(duration: Duration, interval: Duration) -> Alarm {
    let deadline = (!duration.is_zero()).then(|| time::since_boot().saturating_add(duration));
    Alarm { deadline, interval }
}

fn set_alarm(arguments: &Arguments) -> Outcome {
    let [seconds, ..] = arguments.a;
    let duration = Duration::from_secs(u64::from(seconds as u32));
    let before = alarm::set(&process::this(), alarm_after(duration, Duration::ZERO));
    let [_, left] = remaining(before);
    // To the nearest second, but never to none.
    let rounded = (left + Duration::from_millis(500)).as_secs();
    Ok(if left.is_zero() { 0 } else { rounded.max(1) })
}

fn check_timer(which: u64) -> Result<(), Errno> {
    // Processor time raises no signals.
    if which as u32 == linux::ITIMER_REAL { Ok(()) } else { Err(Errno::EINVAL) }
}

fn write_alarm(address: u64, alarm: Alarm) -> Result<(), Errno> {
    let [interval, left] = remaining(alarm).map(microseconds);
    write_words(address, &[interval, left].concat())
}

fn setitimer(arguments: &Arguments) -> Outcome {
    let [which, new, old, ..] = arguments.a;
    check_timer(which)?;
    let alarm = match new {
        0 => Alarm::NONE,
        address => {
            let [interval, microseconds, value, rest] = read_words(address)?;
            alarm_after(read_microseconds([value, rest])?, read_microseconds([interval, microseconds])?)
        }
    };
    let before = alarm::set(&process::this(), alarm);
    if old != 0 {
        write_alarm(old, before)?;
    }
    Ok(0)
}

fn getitimer(arguments: &Arguments) -> Outcome {
    let [which, address, ..] = arguments.a;
    check_timer(which)?;
    write_alarm(address, alarm::get(&process::this()))?;
    Ok(0)
}
