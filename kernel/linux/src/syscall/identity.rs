//! Who a process is: its numbers, its name, and users and groups, whose rules are in [`crate::process::credentials`].

use linux_raw_sys::{general as linux, prctl as options};
use quire_machine::fallible;

use super::arguments::{Arguments, Calls, Outcome, require_superuser};
use crate::errno::Errno;
use crate::process::control_block::this;
use crate::process::credentials::{Identity, Ids};
use crate::process::name::Name;

/// The most supplementary groups (Linux: `NGROUPS_MAX`).
const GROUPS_MAX: usize = linux::NGROUPS_MAX as usize;

pub(super) const CALLS: Calls = &[
    (linux::__NR_getpid, getpid),
    (linux::__NR_gettid, getpid),
    (linux::__NR_getppid, getppid),
    (linux::__NR_getuid, getuid),
    (linux::__NR_geteuid, geteuid),
    (linux::__NR_getgid, getgid),
    (linux::__NR_getegid, getegid),
    (linux::__NR_getresuid, getresuid),
    (linux::__NR_getresgid, getresgid),
    (linux::__NR_setuid, setuid),
    (linux::__NR_setgid, setgid),
    (linux::__NR_setreuid, setreuid),
    (linux::__NR_setregid, setregid),
    (linux::__NR_setresuid, setresuid),
    (linux::__NR_setresgid, setresgid),
    (linux::__NR_setfsuid, setfsuid),
    (linux::__NR_setfsgid, setfsgid),
    (linux::__NR_getgroups, getgroups),
    (linux::__NR_setgroups, setgroups),
    (linux::__NR_prctl, prctl),
];

fn getpid(_: &Arguments<'_>) -> Outcome {
    Ok(u64::from(this().pid()))
}

fn getppid(_: &Arguments<'_>) -> Outcome {
    Ok(u64::from(this().parent()))
}

fn this_ids(look: impl FnOnce(Identity) -> u32) -> Outcome {
    Ok(look(this().identity()).into())
}

fn getuid(_: &Arguments<'_>) -> Outcome {
    this_ids(|own| own.user.real)
}

fn geteuid(_: &Arguments<'_>) -> Outcome {
    this_ids(|own| own.user.effective)
}

fn getgid(_: &Arguments<'_>) -> Outcome {
    this_ids(|own| own.group.real)
}

fn getegid(_: &Arguments<'_>) -> Outcome {
    this_ids(|own| own.group.effective)
}

fn write_ids(arguments: &Arguments<'_>, ids: Ids) -> Outcome {
    for (address, id) in arguments.words().into_iter().zip([ids.real, ids.effective, ids.saved]) {
        address.pointer().write(id)?;
    }
    Ok(0)
}

fn getresuid(arguments: &Arguments<'_>) -> Outcome {
    write_ids(arguments, this().identity().user)
}

fn getresgid(arguments: &Arguments<'_>) -> Outcome {
    write_ids(arguments, this().identity().group)
}

/// The three numbers that a call may be given.
fn numbers(arguments: &Arguments<'_>) -> [u32; 3] {
    let [first, second, third, ..] = arguments.words();
    [first.low(), second.low(), third.low()]
}

/// How a call changes users or groups; the flag says that the superuser asks for it.
type Change = fn(Ids, [u32; 3], bool) -> Result<Ids, Errno>;

const SET: Change = |ids, [id, ..], privileged| ids.set(id, privileged);
const SET_TWO: Change = |ids, [real, effective, _], privileged| ids.set_real_and_effective(real, effective, privileged);
const SET_ALL: Change = |ids, numbers, privileged| ids.set_all(numbers, privileged);
const SET_FILESYSTEM: Change = |ids, [id, ..], privileged| Ok(ids.set_filesystem(id, privileged));

/// Changes the users; returns those from before.
fn change_user(arguments: &Arguments<'_>, change: Change) -> Result<Ids, Errno> {
    let process = this();
    let old = process.identity();
    let user = change(old.user, numbers(arguments), old.is_superuser())?;
    process.set_credentials(process.credentials().with_user(user));
    Ok(old.user)
}

/// Changes the groups; returns those from before.
fn change_group(arguments: &Arguments<'_>, change: Change) -> Result<Ids, Errno> {
    let process = this();
    let old = process.identity();
    let group = change(old.group, numbers(arguments), old.is_superuser())?;
    process.set_credentials(process.credentials().with_group(group));
    Ok(old.group)
}

fn setuid(arguments: &Arguments<'_>) -> Outcome {
    change_user(arguments, SET).map(|_| 0)
}

fn setreuid(arguments: &Arguments<'_>) -> Outcome {
    change_user(arguments, SET_TWO).map(|_| 0)
}

fn setresuid(arguments: &Arguments<'_>) -> Outcome {
    change_user(arguments, SET_ALL).map(|_| 0)
}

fn setfsuid(arguments: &Arguments<'_>) -> Outcome {
    change_user(arguments, SET_FILESYSTEM).map(|before| before.filesystem.into())
}

fn setgid(arguments: &Arguments<'_>) -> Outcome {
    change_group(arguments, SET).map(|_| 0)
}

fn setregid(arguments: &Arguments<'_>) -> Outcome {
    change_group(arguments, SET_TWO).map(|_| 0)
}

fn setresgid(arguments: &Arguments<'_>) -> Outcome {
    change_group(arguments, SET_ALL).map(|_| 0)
}

fn setfsgid(arguments: &Arguments<'_>) -> Outcome {
    change_group(arguments, SET_FILESYSTEM).map(|before| before.filesystem.into())
}

/// The supplementary groups; with no room for them only their count.
fn getgroups(arguments: &Arguments<'_>) -> Outcome {
    let [room, address, ..] = arguments.words();
    let room = usize::try_from(room.int()).map_err(|_| Errno::EINVAL)?;
    let credentials = this().credentials();
    let groups = credentials.groups();
    if room != 0 {
        if groups.len() > room {
            return Err(Errno::EINVAL);
        }
        let bytes = fallible::collect(groups.iter().flat_map(|group| group.to_le_bytes()))?;
        address.pointer().write_bytes(&bytes)?;
    }
    Ok(groups.len() as u64)
}

fn setgroups(arguments: &Arguments<'_>) -> Outcome {
    let [count, address, ..] = arguments.words();
    require_superuser()?;
    let count = usize::try_from(count.int()).ok().filter(|count| *count <= GROUPS_MAX).ok_or(Errno::EINVAL)?;
    let bytes = count * size_of::<u32>();
    let mut bytes = fallible::filled(0, bytes)?;
    address.pointer().read_bytes(&mut bytes)?;
    let mut groups = fallible::collect(bytes.as_chunks().0.iter().map(|&group| u32::from_le_bytes(group)))?;
    groups.sort_unstable();
    let groups = if groups.is_empty() { None } else { Some(fallible::shared_slice(&groups)?) };
    let process = this();
    process.set_credentials(process.credentials().with_groups(groups));
    Ok(0)
}

fn prctl(arguments: &Arguments<'_>) -> Outcome {
    let [option, argument, ..] = arguments.words();
    let process = this();
    match option.low() {
        options::PR_SET_NAME => {
            let mut name = [0; Name::BYTES];
            for (index, place) in name.iter_mut().enumerate().take(Name::BYTES - 1) {
                *place = argument.pointer().element(index).read()?;
                if *place == 0 {
                    break;
                }
            }
            process.set_name(Name::new(&name));
            Ok(0)
        }
        options::PR_GET_NAME => {
            argument.pointer().write_bytes(process.name().padded())?;
            Ok(0)
        }
        // There are no core files, but it also says who may look into the process.
        options::PR_GET_DUMPABLE => Ok(u64::from(!process.is_private())),
        options::PR_SET_DUMPABLE if argument.bits() <= 1 => {
            process.set_private(argument.is_zero());
            Ok(0)
        }
        _ => Err(Errno::EINVAL),
    }
}
