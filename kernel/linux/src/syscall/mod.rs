//! System calls: Linux's numbers, Linux's arguments, Linux's errors.
//!
//! Each file below holds the calls on one subject, as functions of their `Arguments`, and lists them with their numbers in
//! its `CALLS`; here the lists become one table. To add a call, write the function and its line in the list. A number that
//! is not in the table gets `ENOSYS` and is named once in the log, unless libraries are known to ask for it and do without.
//!
//! A call runs on its process's kernel stack with interrupts and preemption on. User memory is only touched through
//! [`quire_machine::arch::user`], whose failure is `EFAULT`.

#![expect(clippy::unnecessary_wraps, reason = "calls have one type, also those that cannot fail")]

mod arguments;
mod descriptor;
mod directory;
mod duration;
mod file;
mod futex;
mod identity;
mod location;
mod lock;
mod memory;
mod memory_file;
mod messages;
mod metadata;
mod mount;
mod poll;
mod process;
mod signal;
mod swap;
mod system;
mod time;
mod user_data;

use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};

use linux_raw_sys::general as linux;
use quire_machine::arch::registers::TrapFrame;
use quire_machine::log;
use quire_memory::frames;

use self::arguments::{Arguments, Call, Calls, Outcome};
use crate::errno::Errno;
use crate::process::control_block::current;

/// More than the greatest number that Linux has given to a call.
const NUMBERS: usize = 512;

const LISTS: &[Calls] = &[
    descriptor::CALLS,
    directory::CALLS,
    file::CALLS,
    futex::CALLS,
    identity::CALLS,
    location::CALLS,
    lock::CALLS,
    memory::CALLS,
    memory_file::CALLS,
    messages::CALLS,
    metadata::CALLS,
    mount::CALLS,
    poll::CALLS,
    process::CALLS,
    signal::CALLS,
    swap::CALLS,
    system::CALLS,
    time::CALLS,
];

static TABLE: [Option<Call>; NUMBERS] = table(LISTS);

const fn table(lists: &[Calls]) -> [Option<Call>; NUMBERS] {
    let mut table: [Option<Call>; NUMBERS] = [None; NUMBERS];
    let mut list = 0;
    while list < lists.len() {
        let mut call = 0;
        while call < lists[list].len() {
            let (number, function) = lists[list][call];
            assert!(table[number as usize].is_none(), "two calls have the same number");
            table[number as usize] = Some(function);
            call += 1;
        }
        list += 1;
    }
    table
}

/// Calls that libraries try and then do without, on an old Linux as here, and how.
const TRIED: &[(u32, &str)] = &[
    (linux::__NR_rseq, "glibc, at each program's start: it asks for the processor's number when that is wanted"),
    (linux::__NR_clone3, "glibc, for threads and posix_spawn: clone"),
    (linux::__NR_membarrier, "liburcu: a barrier on the reader's side, too"),
    (linux::__NR_copy_file_range, "cp and Rust's fs::copy: read and write"),
];

/// Serves system call `number`; returns what the program finds in its register.
pub fn serve(frame: &Cell<TrapFrame>, number: u64, arguments: [u64; 6]) -> u64 {
    dispatch(number, &Arguments::new(frame, arguments)).unwrap_or_else(Errno::to_register)
}

/// Does what the program asks for.
///
/// # Errors
/// The call's own, and `ENOSYS` for one that there is not.
fn dispatch(number: u64, arguments: &Arguments<'_>) -> Outcome {
    let call = usize::try_from(number).ok().and_then(|number| *TABLE.get(number)?);
    let Some(call) = call else {
        if !TRIED.iter().any(|(tried, _)| u64::from(*tried) == number) {
            name_once(number);
        }
        return Err(Errno::ENOSYS);
    };
    frames::refill_reserve();
    call(arguments)
}

/// Logs the number of a call that there is not, the first time that it is used.
fn name_once(number: u64) {
    static NAMED: [AtomicU64; NUMBERS / 64] = [const { AtomicU64::new(0) }; NUMBERS / 64];
    // All that are beyond the table share the last place.
    let index = number.min(NUMBERS as u64 - 1);
    let before = NAMED[(index / 64) as usize].fetch_or(1 << (index % 64), Ordering::Relaxed);
    if before & 1 << (index % 64) == 0 {
        match current() {
            Some(process) => log!("syscall", "{process} used call {number}, which does not exist: ENOSYS"),
            None => log!("syscall", "call {number} does not exist: ENOSYS"),
        }
    }
}
