//! Waiting for one of several files.

use alloc::vec::Vec;
use core::time::Duration;

use linux_raw_sys::general as linux;

use super::{Arguments, Calls, Outcome, read_words, write_words};
use crate::arch::user;
use crate::errno::Errno;
use crate::fs::changes;
use crate::fs::open::FILES_MAX;
use crate::fs::poll::Ready;
use crate::process::signal::{Set, Signals};
use crate::process::{Unfinished, this};
use crate::task::time;

pub(super) const CALLS: Calls = &[
    (linux::__NR_poll, poll),
    (linux::__NR_ppoll, ppoll),
    (linux::__NR_select, select),
    (linux::__NR_pselect6, pselect6),
];

/// The bytes of `struct pollfd`.
const POLL_BYTES: u64 = 8;
const MICROSECONDS: u64 = 1_000_000;
const NANOSECONDS: u64 = 1_000_000_000;

/// What can be done with an open file; none if there is none of that number.
fn ready(descriptor: u32) -> Option<Ready> {
    this().files.get(descriptor).ok().map(|open| open.file().ready())
}

/// Looks until `look` has found something, or the deadline has passed.
fn wait_for(deadline: Option<Duration>, mut look: impl FnMut() -> Result<u64, Errno>) -> Outcome {
    loop {
        let seen = changes::seen();
        let found = look()?;
        if found > 0 || deadline.is_some_and(|deadline| time::since_boot() >= deadline) {
            return Ok(found);
        }
        changes::wait_for_any(seen, deadline)?;
    }
}

/// How long a call waits, as the program says it in memory: there it finds what was left, and so does the call itself when
/// it is done again.
struct Timeout {
    /// A `struct timespec`, or a `timeval`, with other parts of a second; 0 for none.
    address: u64,
    parts_per_second: u64,
    deadline: Option<Duration>,
}

impl Timeout {
    fn read(address: u64, parts_per_second: u64) -> Result<Self, Errno> {
        if address == 0 {
            return Ok(Self { address, parts_per_second, deadline: None });
        }
        let [seconds, part] = read_words(address)?;
        if seconds.cast_signed() < 0 || part >= parts_per_second {
            return Err(Errno::EINVAL);
        }
        let nanoseconds = part * (NANOSECONDS / parts_per_second);
        let deadline = time::since_boot().checked_add(Duration::new(seconds, nanoseconds as u32));
        Ok(Self { address, parts_per_second, deadline })
    }

    /// Writes what is left after a call with this outcome. One that cannot be written is the program's affair, but then the
    /// call is not done again (Linux: `poll_select_finish`).
    fn write_rest(&self, outcome: Outcome) -> Outcome {
        let Some(deadline) = self.deadline else { return outcome };
        let left = deadline.saturating_sub(time::since_boot());
        let part = u64::from(left.subsec_nanos()) / (NANOSECONDS / self.parts_per_second);
        let written = write_words(self.address, &[left.as_secs(), part]);
        if written.is_err() && outcome == Err(Errno::RESTART_WITHOUT_HANDLER) { Err(Errno::EINTR) } else { outcome }
    }
}

/// Makes `call` with another set of blocked signals (Linux: `set_user_sigmask`).
fn with_mask(mask: u64, bytes: u64, call: impl FnOnce() -> Outcome) -> Outcome {
    if mask == 0 {
        return call();
    }
    if bytes != size_of::<u64>() as u64 {
        return Err(Errno::EINVAL);
    }
    let mask = Set::from_bits(user::read_word(mask)?);
    let process = this();
    process.with_signals(|signals| signals.set_temporary_mask(mask));
    let result = call();
    // A handler that interrupted the call still runs under this mask, and restores the other one.
    if result != Err(Errno::RESTART_WITHOUT_HANDLER) {
        process.with_signals(Signals::restore_mask);
    }
    result
}

/// Looks until one of the files listed at `address` is ready, or the deadline has passed.
fn look_until(address: u64, count: u64, deadline: Option<Duration>) -> Outcome {
    if count > FILES_MAX as u64 {
        return Err(Errno::EINVAL);
    }
    wait_for(deadline, || {
        let mut found = 0;
        for index in 0..count {
            let at = address.wrapping_add(POLL_BYTES * index);
            let word = user::read_word(at)?;
            let (descriptor, events) = (word as u32, (word >> 32) as u32 & 0xffff);
            let answer = match (descriptor.cast_signed() < 0, ready(descriptor)) {
                (true, _) => 0,
                (false, None) => linux::POLLNVAL,
                // Errors, hang-ups and invalid numbers are told unasked.
                (false, Some(ready)) => ready.0 & (events | linux::POLLERR | linux::POLLHUP | linux::POLLNVAL),
            };
            user::write(at.wrapping_add(6), &(answer as u16).to_le_bytes())?;
            found += u64::from(answer != 0);
        }
        Ok(found)
    })
}

fn poll(arguments: &Arguments) -> Outcome {
    let [address, count, milliseconds, ..] = arguments.a;
    let deadline = u64::try_from(milliseconds as i32).ok().map(Duration::from_millis);
    poll_until(address, count, deadline.map(|wait| time::since_boot() + wait))
}

/// `poll`, which `restart_syscall` goes on with after a signal without a handler.
pub(super) fn poll_until(files: u64, count: u64, deadline: Option<Duration>) -> Outcome {
    let outcome = look_until(files, count, deadline);
    if outcome != Err(Errno::RESTART_WITHOUT_HANDLER) {
        return outcome;
    }
    this().unfinished.replace(Some(Unfinished::Poll { files, count, deadline }));
    Err(Errno::RESTART_LATER)
}

fn ppoll(arguments: &Arguments) -> Outcome {
    let [address, count, timeout, mask, mask_bytes, _] = arguments.a;
    let timeout = Timeout::read(timeout, NANOSECONDS)?;
    timeout.write_rest(with_mask(mask, mask_bytes, || look_until(address, count, timeout.deadline)))
}

/// A set of numbers, as `select` takes them.
struct Numbers {
    address: u64,
    asked: Vec<u64>,
    answer: Vec<u64>,
    meaning: Ready,
}

impl Numbers {
    fn read(address: u64, count: usize, meaning: Ready) -> Result<Self, Errno> {
        let words = if address == 0 { 0 } else { count.div_ceil(64) };
        let asked: Result<Vec<u64>, Errno> =
            (0..words).map(|index| Ok(user::read_word(address.wrapping_add(8 * index as u64))?)).collect();
        let mut asked = asked?;
        if let Some(last) = asked.last_mut().filter(|_| !count.is_multiple_of(64)) {
            *last &= (1 << (count % 64)) - 1;
        }
        Ok(Self { address, answer: alloc::vec![0; asked.len()], asked, meaning })
    }

    fn write(&self) -> Result<(), Errno> {
        write_words(self.address, &self.answer)
    }
}

fn select_until(arguments: &Arguments, deadline: Option<Duration>) -> Outcome {
    let [count, read, write, except, ..] = arguments.a;
    let count = usize::try_from(count as i32).map_err(|_| Errno::EINVAL)?.min(FILES_MAX);
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

fn select(arguments: &Arguments) -> Outcome {
    let timeout = Timeout::read(arguments.a[4], MICROSECONDS)?;
    timeout.write_rest(select_until(arguments, timeout.deadline))
}

fn pselect6(arguments: &Arguments) -> Outcome {
    let timeout = Timeout::read(arguments.a[4], NANOSECONDS)?;
    let (mask, mask_bytes) = match arguments.a[5] {
        0 => (0, 0),
        pair => (user::read_word(pair)?, user::read_word(pair.wrapping_add(8))?),
    };
    timeout.write_rest(with_mask(mask, mask_bytes, || select_until(arguments, timeout.deadline)))
}
