//! Waiting for one of several files.

use alloc::vec::Vec;
use core::time::Duration;

use linux_raw_sys::general as linux;

use super::{Arguments, Calls, Outcome};
use crate::arch::user;
use crate::errno::Errno;
use crate::fs::changes;
use crate::fs::open::FILES_MAX;
use crate::fs::poll::Ready;
use crate::process::signal::{Set, Signals};
use crate::process::this;
use crate::task::time;

pub(super) const CALLS: Calls = &[
    (linux::__NR_poll, poll),
    (linux::__NR_ppoll, ppoll),
    (linux::__NR_select, select),
    (linux::__NR_pselect6, pselect6),
];

/// The bytes of `struct pollfd`.
const POLL_BYTES: u64 = 8;

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

/// A deadline from a `struct timespec` (or a `timeval`, with other parts of a second); none for a null pointer.
fn deadline(address: u64, parts_per_second: u64) -> Result<Option<Duration>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    let (seconds, part) = (user::read_word(address)?, user::read_word(address.wrapping_add(8))?);
    if seconds.cast_signed() < 0 || part >= parts_per_second {
        return Err(Errno::EINVAL);
    }
    let nanoseconds = part * (1_000_000_000 / parts_per_second);
    Ok(time::since_boot().checked_add(Duration::new(seconds, nanoseconds as u32)))
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

fn poll_until(address: u64, count: u64, deadline: Option<Duration>) -> Outcome {
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

fn ppoll(arguments: &Arguments) -> Outcome {
    let [address, count, timeout, mask, mask_bytes, _] = arguments.a;
    let deadline = deadline(timeout, 1_000_000_000)?;
    with_mask(mask, mask_bytes, || poll_until(address, count, deadline))
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
        super::write_words(self.address, &self.answer)
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
    let deadline = deadline(arguments.a[4], 1_000_000)?;
    select_until(arguments, deadline)
}

fn pselect6(arguments: &Arguments) -> Outcome {
    let deadline = deadline(arguments.a[4], 1_000_000_000)?;
    let (mask, mask_bytes) = match arguments.a[5] {
        0 => (0, 0),
        pair => (user::read_word(pair)?, user::read_word(pair.wrapping_add(8))?),
    };
    with_mask(mask, mask_bytes, || select_until(arguments, deadline))
}
