//! Time: clocks, sleeping, alarms.
//!
//! Time passes by the time-stamp counter; sleeps and alarms end with a timer tick. Clocks of processor time count ticks.

use core::time::Duration;

use linux_raw_sys::general as linux;
use quire_machine::clock;
use quire_machine::task::{WaitQueue, Waited};
use quire_machine::user::{UserPtr, Word};

use super::arguments::{Arguments, Calls, Outcome, require_superuser};
use super::duration::{MICROSECONDS, Time, duration, microseconds, read_duration, write_duration};
use super::futex;
use super::poll::poll_until;
use crate::errno::Errno;
use crate::process::alarm::Alarm;
use crate::process::alarms;
use crate::process::control_block::{Unfinished, this};

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

/// What a clock may be set to is less, so that it does not overflow for thirty years (Linux: `TIME_SETTOD_SEC_MAX`).
const SETTABLE_SECONDS: u64 = 8_277_292_036;

/// The clock of that number now.
fn clock(number: Word) -> Result<Duration, Errno> {
    match number.low() {
        // Nothing here knows of leap seconds: atomic time is that of 1970 (Linux: until `adjtimex` says otherwise).
        linux::CLOCK_REALTIME | linux::CLOCK_REALTIME_COARSE | linux::CLOCK_TAI => Ok(clock::since_1970()),
        linux::CLOCK_MONOTONIC | linux::CLOCK_MONOTONIC_RAW | linux::CLOCK_MONOTONIC_COARSE | linux::CLOCK_BOOTTIME => {
            Ok(clock::since_boot())
        }
        linux::CLOCK_PROCESS_CPUTIME_ID | linux::CLOCK_THREAD_CPUTIME_ID => Ok(this().usage.time()),
        _ => Err(Errno::EINVAL),
    }
}

fn clock_gettime(arguments: &Arguments<'_>) -> Outcome {
    let [number, address, ..] = arguments.words();
    write_duration(address.pointer(), clock(number)?)?;
    Ok(0)
}

fn clock_settime(arguments: &Arguments<'_>) -> Outcome {
    let [number, address, ..] = arguments.words();
    if number.low() != linux::CLOCK_REALTIME {
        return Err(Errno::EINVAL);
    }
    let time = read_duration(address.pointer())?;
    set_clock(time)
}

fn set_clock(time: Duration) -> Outcome {
    require_superuser()?;
    if time.as_secs() >= SETTABLE_SECONDS {
        return Err(Errno::EINVAL);
    }
    clock::set_since_1970(time);
    Ok(0)
}

fn clock_getres(arguments: &Arguments<'_>) -> Outcome {
    let [number, address, ..] = arguments.words();
    clock(number)?;
    let resolution = match number.low() {
        linux::CLOCK_REALTIME
        | linux::CLOCK_TAI
        | linux::CLOCK_MONOTONIC
        | linux::CLOCK_MONOTONIC_RAW
        | linux::CLOCK_BOOTTIME => Duration::from_nanos(1),
        _ => clock::TICK,
    };
    if let Some(to) = address.optional() {
        write_duration(to, resolution)?;
    }
    Ok(0)
}

fn gettimeofday(arguments: &Arguments<'_>) -> Outcome {
    let [address, zone, ..] = arguments.words();
    if let Some(to) = address.optional() {
        to.write(microseconds(clock::since_1970()))?;
    }
    if let Some(zone) = zone.optional() {
        // Minutes west of Greenwich, and the kind of summer time: both none.
        zone.write(0_u64)?;
    }
    Ok(0)
}

fn settimeofday(arguments: &Arguments<'_>) -> Outcome {
    let [address, ..] = arguments.words();
    match address.optional() {
        None => Ok(0),
        Some(time) => set_clock(duration(time.read()?, MICROSECONDS)?),
    }
}

fn seconds(arguments: &Arguments<'_>) -> Outcome {
    let [address, ..] = arguments.words();
    let seconds = clock::since_1970().as_secs();
    if let Some(to) = address.optional() {
        to.write(seconds)?;
    }
    Ok(seconds)
}

/// Sleeps until `deadline`; whether it was reached.
fn sleep_until(deadline: Duration) -> bool {
    let nothing_else = WaitQueue::new();
    nothing_else.wait_until_or_interrupted(deadline, || false) == Waited::TimedOut
}

/// Sleeps until `deadline`; when interrupted, notes what is left for the program and for `restart_syscall`.
fn sleep(deadline: Duration, remainder: UserPtr<[u64; 2]>) -> Outcome {
    if sleep_until(deadline) {
        return Ok(0);
    }
    if !remainder.is_null() {
        write_duration(remainder, deadline.saturating_sub(clock::since_boot()))?;
    }
    this().unfinished.replace(Some(Unfinished::Sleep { deadline, remainder }));
    Err(Errno::RESTART_LATER)
}

fn nanosleep(arguments: &Arguments<'_>) -> Outcome {
    let [request, remainder, ..] = arguments.words();
    let deadline = clock::since_boot().saturating_add(read_duration(request.pointer())?);
    sleep(deadline, remainder.pointer())
}

fn clock_nanosleep(arguments: &Arguments<'_>) -> Outcome {
    let [number, flags, request, remainder, ..] = arguments.words();
    if number.low() == linux::CLOCK_THREAD_CPUTIME_ID {
        return Err(Errno::EINVAL);
    }
    let now = clock(number)?;
    let request = read_duration(request.pointer())?;
    if flags.low() & linux::TIMER_ABSTIME == 0 {
        let deadline = clock::since_boot().saturating_add(request);
        return sleep(deadline, remainder.pointer());
    }
    let deadline = clock::since_boot().saturating_add(request.saturating_sub(now));
    if sleep_until(deadline) { Ok(0) } else { Err(Errno::RESTART_WITHOUT_HANDLER) }
}

fn restart_syscall(_: &Arguments<'_>) -> Outcome {
    match this().unfinished.replace(None) {
        Some(Unfinished::Sleep { deadline, remainder }) => sleep(deadline, remainder),
        Some(Unfinished::Poll { files, count, deadline }) => poll_until(files, count, deadline),
        Some(Unfinished::Futex { word, value, bits, deadline }) => futex::wait(word, value, bits, deadline),
        None => Err(Errno::EINTR),
    }
}

/// What is left of an alarm, and its interval.
fn remaining(alarm: Alarm) -> [Duration; 2] {
    // One that is due at any moment is still to come: zero would mean that there is none.
    let left = |deadline: Duration| deadline.saturating_sub(clock::since_boot()).max(Duration::from_micros(1));
    [alarm.interval, alarm.deadline.map_or(Duration::ZERO, left)]
}

fn alarm_after(duration: Duration, interval: Duration) -> Alarm {
    // As far ahead as Linux's timers go (`KTIME_MAX`).
    const LATEST: Duration = Duration::from_nanos(i64::MAX.cast_unsigned());
    let deadline = (!duration.is_zero()).then(|| clock::since_boot().saturating_add(duration).min(LATEST));
    Alarm { deadline, interval: interval.min(LATEST) }
}

fn set_alarm(arguments: &Arguments<'_>) -> Outcome {
    let [seconds, ..] = arguments.words();
    let duration = Duration::from_secs(seconds.low().into());
    let before = alarms::set(&this(), alarm_after(duration, Duration::ZERO));
    let [_, left] = remaining(before);
    // To the nearest second, but never to none.
    let rounded = left.saturating_add(Duration::from_millis(500)).as_secs() as u32;
    Ok(if left.is_zero() { 0 } else { rounded.max(1).into() })
}

fn check_timer(which: Word) -> Result<(), Errno> {
    // Processor time raises no signals.
    if which.low() == linux::ITIMER_REAL { Ok(()) } else { Err(Errno::EINVAL) }
}

fn write_alarm(to: UserPtr<[[u64; 2]; 2]>, alarm: Alarm) -> Result<(), Errno> {
    Ok(to.write(remaining(alarm).map(microseconds))?)
}

fn setitimer(arguments: &Arguments<'_>) -> Outcome {
    let [which, new, old, ..] = arguments.words();
    check_timer(which)?;
    let alarm = match new.optional::<[Time; 2]>() {
        None => Alarm::NONE,
        Some(new) => {
            let [interval, value] = new.read()?;
            alarm_after(duration(value, MICROSECONDS)?, duration(interval, MICROSECONDS)?)
        }
    };
    let before = alarms::set(&this(), alarm);
    if let Some(old) = old.optional() {
        write_alarm(old, before)?;
    }
    Ok(0)
}

fn getitimer(arguments: &Arguments<'_>) -> Outcome {
    let [which, address, ..] = arguments.words();
    check_timer(which)?;
    write_alarm(address.pointer(), alarms::get(&this()))?;
    Ok(0)
}
