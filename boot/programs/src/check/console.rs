//! What the console shows of the kernel's log, by `syslog(2)`. For root in a guest.

use nix::{errno::Errno, libc};

use super::{
    outcome::{Check, Outcome, require},
    users::{ANN, as_user},
};

pub(super) const CHECKS: &[Check] = &[("console-levels", levels)];

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
