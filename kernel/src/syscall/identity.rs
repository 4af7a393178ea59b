//! Who a process is: its numbers, its name, and users and groups.
//!
//! Every process runs as root, and there is nobody else, as in a Linux user namespace in which only root is mapped: to
//! become another user is `EINVAL`.

use linux_raw_sys::{general as linux, prctl as options};

use super::{Arguments, Calls, Outcome, read_bytes};
use crate::arch::user;
use crate::errno::Errno;
use crate::process::{self, Name};

pub(super) const CALLS: Calls = &[
    (linux::__NR_getpid, getpid),
    (linux::__NR_gettid, getpid),
    (linux::__NR_getppid, getppid),
    (linux::__NR_getuid, root),
    (linux::__NR_geteuid, root),
    (linux::__NR_getgid, root),
    (linux::__NR_getegid, root),
    (linux::__NR_getresuid, getres),
    (linux::__NR_getresgid, getres),
    (linux::__NR_setuid, become_root::<1>),
    (linux::__NR_setgid, become_root::<1>),
    (linux::__NR_setreuid, become_root::<2>),
    (linux::__NR_setregid, become_root::<2>),
    (linux::__NR_setresuid, become_root::<3>),
    (linux::__NR_setresgid, become_root::<3>),
    (linux::__NR_setfsuid, root),
    (linux::__NR_setfsgid, root),
    (linux::__NR_getgroups, getgroups),
    (linux::__NR_setgroups, setgroups),
    (linux::__NR_prctl, prctl),
];

fn getpid(_: &Arguments) -> Outcome {
    Ok(u64::from(process::this().pid()))
}

fn getppid(_: &Arguments) -> Outcome {
    Ok(u64::from(process::this().parent()))
}

fn root(_: &Arguments) -> Outcome {
    Ok(0)
}

/// Real, effective and saved one.
fn getres(arguments: &Arguments) -> Outcome {
    for &address in &arguments.a[..3] {
        user::write(address, &0_u32.to_le_bytes())?;
    }
    Ok(0)
}

/// Changes `COUNT` of the process's users or groups, each to root or, where more than one is asked for, not at all.
fn become_root<const COUNT: usize>(arguments: &Arguments) -> Outcome {
    const UNCHANGED: u32 = u32::MAX;
    let is_root = |&id: &u64| id as u32 == 0 || COUNT > 1 && id as u32 == UNCHANGED;
    if arguments.a[..COUNT].iter().all(is_root) { Ok(0) } else { Err(Errno::EINVAL) }
}

/// There are no groups beside root's own.
fn getgroups(arguments: &Arguments) -> Outcome {
    let [room, ..] = arguments.a;
    if room as u32 > i32::MAX.unsigned_abs() { Err(Errno::EINVAL) } else { Ok(0) }
}

fn setgroups(arguments: &Arguments) -> Outcome {
    let [count, address, ..] = arguments.a;
    for index in 0..count.min(u64::from(linux::NGROUPS_MAX) + 1) {
        if read_bytes::<4>(address.wrapping_add(4 * index))? != [0; 4] {
            return Err(Errno::EINVAL);
        }
    }
    if count > u64::from(linux::NGROUPS_MAX) { Err(Errno::EINVAL) } else { Ok(0) }
}

fn prctl(arguments: &Arguments) -> Outcome {
    let [option, argument, ..] = arguments.a;
    let process = process::this();
    match option as u32 {
        options::PR_SET_NAME => {
            let mut name = [0; Name::BYTES];
            for (index, place) in name.iter_mut().enumerate().take(Name::BYTES - 1) {
                [*place] = read_bytes(argument.wrapping_add(index as u64))?;
                if *place == 0 {
                    break;
                }
            }
            process.set_name(Name::new(&name));
            Ok(0)
        }
        options::PR_GET_NAME => {
            user::write(argument, process.name().padded())?;
            Ok(0)
        }
        // No core files, whatever a program says.
        options::PR_GET_DUMPABLE => Ok(1),
        options::PR_SET_DUMPABLE if argument <= 1 => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}
