//! What the console shows of the kernel's log, by `syslog(2)` and `/proc/sys/kernel/printk`. For root in a guest.

use std::fs;

use nix::{errno::Errno, libc};

use super::{
    outcome::{Check, Outcome, require},
    users::{ANN, as_user},
};

pub(super) const CHECKS: &[Check] = &[("console-levels", levels), ("console-printk", printk)];

const PRINTK: &str = "/proc/sys/kernel/printk";

const OFF: i32 = 6;
const ON: i32 = 7;
const LEVEL: i32 = 8;
/// Linux's default, which this kernel starts with as well.
const DEFAULT: i32 = 7;

fn syslog(action: i32, length: i32) -> nix::Result<i32> {
    // SAFETY: these actions have no argument in memory.
    Errno::result(unsafe { libc::klogctl(action, std::ptr::null_mut(), length) })
}

/// Levels from 1 to 8 are taken; off and on again can be said twice; others than root may do nothing of it.
fn levels() -> Outcome {
    for wrong in [0, -1, 9, i32::MAX, i32::MIN] {
        require!(syslog(LEVEL, wrong) == Err(Errno::EINVAL), "level {wrong} is taken");
    }
    for right in [1, 8, 4] {
        require!(syslog(LEVEL, right) == Ok(0), "level {right} is refused");
    }
    for action in [OFF, OFF, ON, ON, OFF, ON] {
        require!(syslog(action, 0) == Ok(0), "action {action} is refused");
    }
    require!(syslog(LEVEL, DEFAULT) == Ok(0), "the default is refused");
    as_user(ANN, &[], || {
        for action in [OFF, ON, LEVEL] {
            let answer = syslog(action, DEFAULT);
            require!(answer == Err(Errno::EPERM), "a user's action {action} gave {answer:?}");
        }
        Ok(())
    })
}

/// As many numbers are set as are written, and those before a wrong one; the console is not turned lower than the third says.
fn printk() -> Outcome {
    let before = fs::read_to_string(PRINTK)?;
    let set = |values: &str| fs::write(PRINTK, values).map_err(|error| error.raw_os_error());
    let wrong = Err(Some(libc::EINVAL));
    let rows = [
        ("7 4 1 7", Ok(()), "7\t4\t1\t7\n"),
        ("4\n", Ok(()), "4\t4\t1\t7\n"),
        ("  8\t5 2 6\n", Ok(()), "8\t5\t2\t6\n"),
        ("7 99 3", Ok(()), "7\t99\t3\t6\n"),
        ("6 x", wrong, "6\t99\t3\t6\n"),
        ("x", wrong, "6\t99\t3\t6\n"),
        ("\n", wrong, "6\t99\t3\t6\n"),
    ];
    for (values, answer, then) in rows {
        let got = set(values);
        require!(got == answer, "writing {values:?} gave {got:?}");
        let now = fs::read_to_string(PRINTK)?;
        require!(now == then, "after {values:?} they are {now:?}");
    }
    for (action, length, console) in [(LEVEL, 1, "3\t"), (LEVEL, 8, "8\t"), (OFF, 0, "3\t"), (ON, 0, "8\t")] {
        require!(syslog(action, length) == Ok(0), "action {action} is refused");
        let now = fs::read_to_string(PRINTK)?;
        require!(now.starts_with(console), "after action {action} with {length} they are {now:?}");
    }
    require!(set(&before) == Ok(()), "they cannot be set to what they were");
    as_user(ANN, &[], || {
        let answer = fs::write(PRINTK, "7").map_err(|error| error.raw_os_error());
        require!(answer == Err(Some(libc::EACCES)), "a user's writing gave {answer:?}");
        Ok(())
    })
}
