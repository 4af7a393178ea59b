//! Sleeping until a word of memory changes, and the locks of those who end (Linux: `kernel/futex/syscalls.c`).

use core::time::Duration;

use linux_raw_sys::general as linux;
use quire_machine::clock;
use quire_machine::user::{UserPtr, Word};

use super::arguments::{Arguments, Calls, Outcome};
use super::duration::read_duration;
use crate::errno::Errno;
use crate::futex::operation::Operation;
use crate::futex::waiting;
use crate::futex::word::{FutexWord, Head};
use crate::process::control_block::{Unfinished, this};
use crate::process::table;

pub(super) const CALLS: Calls = &[
    (linux::__NR_futex, futex),
    (linux::__NR_set_robust_list, set_robust_list),
    (linux::__NR_get_robust_list, get_robust_list),
];

/// Any bits will do.
const ALL_BITS: u32 = linux::FUTEX_BITSET_MATCH_ANY;

fn futex(arguments: &Arguments<'_>) -> Outcome {
    let [address, operation, value, timeout, other, value3] = arguments.words();
    let flags = operation.low() & !linux::FUTEX_CMD_MASK.cast_unsigned();
    let is_private = flags & linux::FUTEX_PRIVATE_FLAG != 0;
    let is_real_time = flags & linux::FUTEX_CLOCK_REALTIME != 0;
    let word = FutexWord { address: address.pointer(), is_private };
    let command = operation.low() & linux::FUTEX_CMD_MASK.cast_unsigned();
    let has_timeout = matches!(command, linux::FUTEX_WAIT | linux::FUTEX_WAIT_BITSET) && !timeout.is_zero();
    let timeout_given = if has_timeout { Some(read_duration(timeout.pointer())?) } else { None };
    if is_real_time && command != linux::FUTEX_WAIT_BITSET {
        return Err(Errno::ENOSYS);
    }
    match command {
        linux::FUTEX_WAIT => {
            let deadline = timeout_given.map(|span| clock::since_boot().saturating_add(span));
            wait(word, value.low(), ALL_BITS, deadline)
        }
        linux::FUTEX_WAIT_BITSET => {
            let deadline = timeout_given.map(|end| if is_real_time { clock::to_since_boot(end) } else { end });
            wait(word, value.low(), value3.low(), deadline)
        }
        linux::FUTEX_WAKE => wake(word, ALL_BITS, value),
        linux::FUTEX_WAKE_BITSET => wake(word, value3.low(), value),
        linux::FUTEX_WAKE_OP => {
            let words = (word, FutexWord { address: other.pointer(), is_private });
            // The timeout's place has a number here.
            let [most, most_others] = [value, timeout].map(at_least_one);
            let operation = Operation::new(value3.low());
            waiting::wake_and_change(words, most, most_others, operation).map(|count| count as u64)
        }
        linux::FUTEX_REQUEUE | linux::FUTEX_CMP_REQUEUE => {
            let expected = (command == linux::FUTEX_CMP_REQUEUE).then(|| value3.low());
            let to = FutexWord { address: other.pointer(), is_private };
            let counts = [value, timeout].map(|count| usize::try_from(count.int()).map_err(|_| Errno::EINVAL));
            let [wake, more] = counts;
            waiting::requeue((word, to), wake?, more?, expected).map(|count| count as u64)
        }
        _ => Err(Errno::ENOSYS),
    }
}

/// As on Linux, which counts one that it wakes before it looks whether that was enough.
fn at_least_one(most: Word) -> usize {
    usize::try_from(most.int()).unwrap_or(0).max(1)
}

fn wake(word: FutexWord, bits: u32, most: Word) -> Outcome {
    waiting::wake(word, bits, at_least_one(most)).map(|count| count as u64)
}

/// Also what `restart_syscall` goes on with after a signal without a handler.
pub(super) fn wait(word: FutexWord, value: u32, bits: u32, deadline: Option<Duration>) -> Outcome {
    let outcome = waiting::wait(word, value, bits, deadline);
    if outcome == Err(Errno::RESTART) && deadline.is_some() {
        this().unfinished.replace(Some(Unfinished::Futex { word, value, bits, deadline }));
        return Err(Errno::RESTART_LATER);
    }
    outcome.map(|()| 0)
}

fn set_robust_list(arguments: &Arguments<'_>) -> Outcome {
    let [head, length, ..] = arguments.words();
    if length.count(size_of::<Head>()) != Some(size_of::<Head>()) {
        return Err(Errno::EINVAL);
    }
    this().set_robust_list(head.pointer());
    Ok(0)
}

fn get_robust_list(arguments: &Arguments<'_>) -> Outcome {
    let [pid, head, length, ..] = arguments.words();
    let process = match pid.low() {
        0 => this(),
        pid => table::find(pid).ok_or(Errno::ESRCH)?,
    };
    if !this().may_look_into(&process) {
        return Err(Errno::EPERM);
    }
    length.pointer::<u64>().write(size_of::<Head>() as u64)?;
    let list: UserPtr<Head> = process.robust_list();
    head.pointer::<u64>().write(list.address())?;
    Ok(0)
}
