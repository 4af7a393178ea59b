//! Waiting for one of several files.

use alloc::vec::Vec;
use core::time::Duration;

use linux_raw_sys::general as linux;
use quire_machine::user::{UserPtr, Word};
use quire_machine::{clock, fallible};

use super::arguments::{Arguments, Calls, Outcome};
use super::duration::{MICROSECONDS, NANOSECONDS, Time, duration};
use crate::errno::Errno;
use crate::fs::changes;
use crate::fs::open::FILES_MAX;
use crate::fs::poll::Ready;
use crate::process::control_block::{Unfinished, this};
use crate::process::signal::{Set, Signals};

pub(super) const CALLS: Calls = &[
    (linux::__NR_poll, poll),
    (linux::__NR_ppoll, ppoll),
    (linux::__NR_select, select),
    (linux::__NR_pselect6, pselect6),
];

/// What can be done with an open file; none if there is none of that number.
fn ready(descriptor: u32) -> Option<Ready> {
    this().files.get(descriptor).ok().map(|open| open.file().ready())
}

/// Looks until `look` has found something, or the deadline has passed.
fn wait_for(deadline: Option<Duration>, mut look: impl FnMut() -> Result<u64, Errno>) -> Outcome {
    loop {
        let seen = changes::seen();
        let found = look()?;
        if found > 0 || deadline.is_some_and(|deadline| clock::since_boot() >= deadline) {
            return Ok(found);
        }
        changes::wait_for_any(seen, deadline)?;
    }
}

/// How long a call waits, as the program says it in memory: there it finds what was left, and so does the call itself when
/// it is done again.
struct Timeout {
    /// A `struct timespec`, or a `timeval`, with other parts of a second; null for none.
    place: UserPtr<[Word; 2]>,
    parts_per_second: u32,
    deadline: Option<Duration>,
}

impl Timeout {
    fn read(place: Word, parts_per_second: u32) -> Result<Self, Errno> {
        let place = place.pointer::<Time>();
        if place.is_null() {
            return Ok(Self { place, parts_per_second, deadline: None });
        }
        let mut given = place.read()?;
        if parts_per_second == MICROSECONDS {
            given = with_whole_seconds(given)?;
        }
        let deadline = clock::since_boot().checked_add(duration(given, parts_per_second)?);
        Ok(Self { place, parts_per_second, deadline })
    }

    /// Writes what is left after a call with this outcome. One that cannot be written is the program's affair, but then the
    /// call is not done again (Linux: `poll_select_finish`).
    fn write_rest(&self, outcome: Outcome) -> Outcome {
        let Some(deadline) = self.deadline else { return outcome };
        let left = deadline.saturating_sub(clock::since_boot());
        let part = left.subsec_nanos() / (NANOSECONDS / self.parts_per_second);
        let written = self.place.write([left.as_secs(), part.into()].map(Word::new));
        if written.is_err() && outcome == Err(Errno::RESTART_WITHOUT_HANDLER) { Err(Errno::EINTR) } else { outcome }
    }
}

/// Any number of microseconds, as far as they are not negative, as `select` takes them (Linux: `kern_select`).
fn with_whole_seconds([seconds, microseconds]: Time) -> Result<Time, Errno> {
    let parts = i64::from(MICROSECONDS);
    let whole = seconds.long().checked_add(microseconds.long() / parts).ok_or(Errno::EINVAL)?;
    Ok([whole, microseconds.long() % parts].map(|part| Word::new(part.cast_unsigned())))
}

/// Makes `call` with another set of blocked signals (Linux: `set_user_sigmask`).
fn with_mask(mask: Word, bytes: Word, call: impl FnOnce() -> Outcome) -> Outcome {
    if mask.is_zero() {
        return call();
    }
    if bytes.bits() != size_of::<u64>() as u64 {
        return Err(Errno::EINVAL);
    }
    let mask = Set::from_bits(mask.pointer().read()?);
    let process = this();
    process.with_signals(|signals| signals.set_temporary_mask(mask));
    let result = call();
    // A handler that interrupted the call still runs under this mask, and restores the other one.
    if result != Err(Errno::RESTART_WITHOUT_HANDLER) {
        process.with_signals(Signals::restore_mask);
    }
    result
}

/// A `struct pollfd`: the number of a file, what is asked, in the lower half of a word, and what is answered.
type Polled = [u32; 2];

/// Looks until one of the files listed at `files` is ready, or the deadline has passed.
fn look_until(files: UserPtr<Polled>, count: usize, deadline: Option<Duration>) -> Outcome {
    wait_for(deadline, || {
        let mut found = 0;
        for index in 0..count {
            let at = files.element(index);
            let [descriptor, events] = at.read()?;
            let events = events & 0xffff;
            let answer = match (descriptor.cast_signed() < 0, ready(descriptor)) {
                (true, _) => 0,
                (false, None) => linux::POLLNVAL,
                // Errors, hang-ups and invalid numbers are told unasked.
                (false, Some(ready)) => ready.0 & (events | linux::POLLERR | linux::POLLHUP | linux::POLLNVAL),
            };
            at.byte_add(6).write(answer as u16)?;
            found += u64::from(answer != 0);
        }
        Ok(found)
    })
}

fn poll(arguments: &Arguments<'_>) -> Outcome {
    let [address, count, milliseconds, ..] = arguments.words();
    let deadline = u64::try_from(milliseconds.int()).ok().map(Duration::from_millis);
    poll_until(address.pointer(), files_count(count)?, deadline.map(|wait| clock::since_boot() + wait))
}

fn files_count(count: Word) -> Result<usize, Errno> {
    usize::try_from(count.low()).ok().filter(|count| *count <= this().files.end()).ok_or(Errno::EINVAL)
}

/// `poll`, which `restart_syscall` goes on with after a signal without a handler.
pub(super) fn poll_until(files: UserPtr<Polled>, count: usize, deadline: Option<Duration>) -> Outcome {
    let outcome = look_until(files, count, deadline);
    if outcome != Err(Errno::RESTART_WITHOUT_HANDLER) {
        return outcome;
    }
    this().unfinished.replace(Some(Unfinished::Poll { files, count, deadline }));
    Err(Errno::RESTART_LATER)
}

fn ppoll(arguments: &Arguments<'_>) -> Outcome {
    let [address, count, timeout, mask, mask_bytes, _] = arguments.words();
    let timeout = Timeout::read(timeout, NANOSECONDS)?;
    let count = files_count(count)?;
    timeout.write_rest(with_mask(mask, mask_bytes, || look_until(address.pointer(), count, timeout.deadline)))
}

/// A set of numbers, as `select` takes them.
struct Numbers {
    place: UserPtr<u64>,
    asked: Vec<u64>,
    answer: Vec<u64>,
    meaning: Ready,
}

impl Numbers {
    fn read(address: Word, count: usize, meaning: Ready) -> Result<Self, Errno> {
        let place = address.pointer::<u64>();
        let words = if place.is_null() { 0 } else { count.div_ceil(64) };
        let mut asked = fallible::filled(0, words)?;
        for (index, word) in asked.iter_mut().enumerate() {
            *word = place.element(index).read()?;
        }
        if let Some(last) = asked.last_mut().filter(|_| !count.is_multiple_of(64)) {
            *last &= (1 << (count % 64)) - 1;
        }
        Ok(Self { place, answer: fallible::filled(0, words)?, asked, meaning })
    }

    fn write(&self) -> Result<(), Errno> {
        let mut answers = self.answer.iter().enumerate();
        Ok(answers.try_for_each(|(index, answer)| self.place.element(index).write(*answer))?)
    }
}

fn select_until(arguments: &Arguments<'_>, deadline: Option<Duration>) -> Outcome {
    let [count, read, write, except, ..] = arguments.words();
    let count = usize::try_from(count.int()).map_err(|_| Errno::EINVAL)?.min(FILES_MAX);
    let mut sets = [
        Numbers::read(read, count, Ready::IN | Ready::HANG_UP | Ready::ERROR)?,
        Numbers::read(write, count, Ready::OUT | Ready::ERROR)?,
        Numbers::read(except, count, Ready(linux::POLLPRI))?,
    ];
    let found = wait_for(deadline, || {
        let mut found = 0;
        for set in &mut sets {
            for (index, asked) in set.asked.iter().enumerate() {
                set.answer[index] = 0;
                for bit in (0..64).filter(|bit| asked & 1 << bit != 0) {
                    let ready = ready((64 * index + bit) as u32).ok_or(Errno::EBADF)?;
                    if (ready & set.meaning) != Ready::default() {
                        set.answer[index] |= 1 << bit;
                        found += 1;
                    }
                }
            }
        }
        Ok(found)
    })?;
    sets.iter().try_for_each(Numbers::write)?;
    Ok(found)
}

fn select(arguments: &Arguments<'_>) -> Outcome {
    let timeout = Timeout::read(arguments.word(4), MICROSECONDS)?;
    timeout.write_rest(select_until(arguments, timeout.deadline))
}

fn pselect6(arguments: &Arguments<'_>) -> Outcome {
    let timeout = Timeout::read(arguments.word(4), NANOSECONDS)?;
    let [mask, mask_bytes] = match arguments.word(5).optional::<[Word; 2]>() {
        None => [Word::ZERO; 2],
        Some(pair) => pair.read()?,
    };
    timeout.write_rest(with_mask(mask, mask_bytes, || select_until(arguments, timeout.deadline)))
}
