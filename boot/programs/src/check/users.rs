//! Users and groups: who may become whom, and what one user may do to another's processes. Each check is root at first, so
//! on Linux they are only for root.

use std::{fs, io, os::unix::fs::MetadataExt};

use nix::{
    errno::Errno,
    libc,
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{Signal, kill},
    },
    unistd::{
        Gid, Pid, Uid, getgroups, getresgid, getresuid, pause, setgroups, sethostname, setresgid, setresuid, setuid,
    },
};

use super::{
    outcome::{Check, Outcome, require, require_success},
    place::{Place, own},
};
use crate::{
    files,
    memory::Memory,
    process::{Child, End, end_of},
};

pub(super) const CHECKS: &[Check] = &[
    ("users-become", become_another),
    ("users-programs", programs),
    ("users-signals", signals),
    ("users-of-processes", of_processes),
    ("users-superuser", superuser),
    ("users-limits", limits),
];

pub(super) const ANN: u32 = 1001;
pub(super) const BOB: u32 = 1002;
pub(super) const CLUB: u32 = 2000;

pub(super) fn become_user(user: u32, groups: &[u32]) -> nix::Result<()> {
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    let (own, group) = (Uid::from_raw(user), Gid::from_raw(user));
    setgroups(&groups)?;
    setresgid(group, group, group)?;
    setresuid(own, own, own)
}

/// Does `work` as a user who is in these groups as well as in his own.
pub(super) fn as_user(user: u32, groups: &[u32], work: impl FnOnce() -> Outcome) -> Outcome {
    require_success(&format!("user {user}"), || {
        become_user(user, groups)?;
        work()
    })
}

/// Fails unless `result` is this error.
pub(super) fn require_error<T>(what: &str, result: io::Result<T>, expected: Errno) -> Outcome {
    let found = result.err().and_then(|error| error.raw_os_error()).map(Errno::from_raw);
    require!(found == Some(expected), "{what} gave {found:?}, not {expected}");
    Ok(())
}

pub(super) fn number(result: nix::Result<impl Sized>) -> io::Result<()> {
    result.map(drop).map_err(Into::into)
}

fn users() -> nix::Result<[u32; 3]> {
    let ids = getresuid()?;
    Ok([ids.real, ids.effective, ids.saved].map(Uid::as_raw))
}

fn become_another() -> Outcome {
    require!(users()? == [0; 3], "the checks of users are for root");
    as_user(ANN, &[CLUB, 7], || {
        require!(users()? == [ANN; 3], "setresuid made {:?}", users()?);
        let ids = getresgid()?;
        require!([ids.real, ids.effective, ids.saved].map(Gid::as_raw) == [ANN; 3], "setresgid made {ids:?}");
        let groups: Vec<u32> = getgroups()?.into_iter().map(Gid::as_raw).collect();
        require!(groups == [7, CLUB], "setgroups made {groups:?}");
        require_error("setuid(0)", number(setuid(Uid::from_raw(0))), Errno::EPERM)?;
        require_error("setgroups", number(setgroups(&[])), Errno::EPERM)?;
        require_error(
            "setresgid",
            number(setresgid(Gid::from_raw(BOB), Gid::from_raw(ANN), Gid::from_raw(ANN))),
            Errno::EPERM,
        )
    })?;
    require_success("acting as another", || {
        let (root, ann) = (Uid::from_raw(0), Uid::from_raw(ANN));
        setresuid(ann, ann, root)?;
        setuid(root)?;
        require!(users()? == [ANN, 0, 0], "a saved user came back as {:?}", users()?);
        setuid(ann)?;
        require!(users()? == [ANN; 3], "setuid of the superuser made {:?}", users()?);
        // It cannot fail; it returns who it was before.
        let before = [root, root].map(nix::unistd::setfsuid).map(Uid::as_raw);
        require!(before == [ANN; 2], "setfsuid says {before:?}");
        Ok(())
    })
}

/// Whom a program acts as says its file; the program is this one, which says whom it acts as.
fn programs() -> Outcome {
    let place = Place::new("users-programs")?;
    let path = place.at("check");
    fs::copy("/proc/self/exe", &path)?;
    let ids = |path: &str| {
        let said = std::process::Command::new(path).arg("--ids").output()?;
        Ok::<_, io::Error>(String::from_utf8_lossy(&said.stdout).trim_end().to_owned())
    };
    for (permissions, owner, expected) in [
        (0o755, (ANN, CLUB), format!("{BOB} {BOB} {BOB} {BOB} {BOB} {BOB} secure=0")),
        (0o4755, (ANN, CLUB), format!("{BOB} {ANN} {ANN} {BOB} {BOB} {BOB} secure=1")),
        (0o2755, (ANN, CLUB), format!("{BOB} {BOB} {BOB} {BOB} {CLUB} {CLUB} secure=1")),
        (0o2745, (ANN, CLUB), format!("{BOB} {BOB} {BOB} {BOB} {BOB} {BOB} secure=0")),
        (0o6755, (0, 0), format!("{BOB} 0 0 {BOB} 0 0 secure=1")),
    ] {
        own(&path, permissions, owner)?;
        as_user(BOB, &[], || {
            let found = ids(&path)?;
            require!(found == expected, "mode {permissions:o} of {owner:?} made {found:?}, not {expected:?}");
            Ok(())
        })?;
    }
    own(&path, 0o4744, (ANN, ANN))?;
    as_user(BOB, &[], || require_error("running another's program", ids(&path), Errno::EACCES))?;
    own(&path, 0o644, (0, 0))?;
    require_error("running what nobody may run", ids(&path), Errno::EACCES)
}

/// What `check --ids` says: users and groups, real, effective, saved.
pub(super) fn ids() -> nix::Result<String> {
    let (user, group) = (getresuid()?, getresgid()?);
    let users = [user.real, user.effective, user.saved].map(Uid::as_raw);
    let groups = [group.real, group.effective, group.saved].map(Gid::as_raw);
    let words: Vec<String> = users.iter().chain(&groups).map(ToString::to_string).collect();
    // SAFETY: it reads what the kernel has put on the stack.
    let secure = unsafe { libc::getauxval(libc::AT_SECURE) };
    Ok(format!("{} secure={secure}", words.join(" ")))
}

/// A process of that user that waits for a signal, when it has become that user.
fn waiting(user: u32) -> Result<Child, super::Failure> {
    let (reader, writer) = nix::unistd::pipe()?;
    let child = Child::start(|| {
        if become_user(user, &[]).is_err() || nix::unistd::write(&writer, b"x").is_err() {
            return 1;
        }
        pause();
        0
    })?;
    nix::unistd::read(&reader, &mut [0])?;
    Ok(child)
}

fn signals() -> Outcome {
    let (ann, root) = (waiting(ANN)?, waiting(0)?);
    as_user(BOB, &[], || {
        for other in [ann, root] {
            for signal in [None, Some(Signal::SIGTERM), Some(Signal::SIGKILL)] {
                require_error("a signal to another's process", number(kill(other.0, signal)), Errno::EPERM)?;
            }
            // All are in one session.
            other.signal(Signal::SIGCONT)?;
        }
        let nobody = kill(Pid::from_raw(i32::MAX), None);
        require_error("a signal to nobody", number(nobody), Errno::ESRCH)?;
        require_success("a signal to one's group", || {
            let own = Child::start(|| {
                pause();
                0
            })?;
            own.signal(Signal::SIGKILL)?;
            require!(own.wait()? == End::Killed(Signal::SIGKILL), "one's own process lives");
            Ok(())
        })
    })?;
    as_user(ANN, &[], || Ok(ann.signal(Signal::SIGTERM)?))?;
    require!(ann.wait()? == End::Killed(Signal::SIGTERM), "the owner's signal did not arrive");
    root.signal(Signal::SIGKILL)?;
    require!(root.wait()? == End::Killed(Signal::SIGKILL), "root's signal did not arrive");
    Ok(())
}

fn of_processes() -> Outcome {
    let (ann, root) = (waiting(ANN)?, waiting(0)?);
    let status = files::text(&format!("/proc/{}/status", ann.0))?;
    for line in [format!("Uid:\t{ANN}\t{ANN}\t{ANN}\t{ANN}"), format!("Gid:\t{ANN}\t{ANN}\t{ANN}\t{ANN}")] {
        require!(status.lines().any(|found| found == line), "no line {line:?} in:\n{status}");
    }
    let owner = fs::metadata(format!("/proc/{}", ann.0))?.uid();
    require!(owner == ANN, "a process's directory is of user {owner}");
    as_user(BOB, &[], || {
        for other in [ann.0, root.0] {
            let at = |name: &str| format!("/proc/{other}/{name}");
            fs::read(at("status"))?;
            fs::read(at("cmdline"))?;
            require_error("another's program", fs::read_link(at("exe")), Errno::EACCES)?;
            require_error("another's directory", fs::metadata(at("cwd/")), Errno::EACCES)?;
            require_error("another's files", fs::read_dir(at("fd")), Errno::EACCES)?;
            require_error("another's memory", fs::File::open(at("maps")), Errno::EACCES)?;
            require_error("another's score", fs::write(at("oom_score_adj"), "1000"), Errno::EACCES)?;
        }
        Ok(())
    })?;
    // Who has been somebody else keeps what he had opened then to himself.
    as_user(ANN, &[], || require_error("who was root", fs::read_link(format!("/proc/{}/exe", ann.0)), Errno::EACCES))?;
    for child in [ann, root] {
        child.signal(Signal::SIGKILL)?;
        child.wait()?;
    }
    Ok(())
}

fn superuser() -> Outcome {
    let text = |what: &str| std::ffi::CString::new(what).expect("no zero in it");
    let (device, place) = (text("/dev/vda"), text("/tmp"));
    as_user(BOB, &[], || {
        let returned = |value: i32| Errno::result(value).map(drop).map_err(io::Error::from);
        // SAFETY: paths are strings that end with a zero, and nothing else is a pointer.
        let results = unsafe {
            [
                ("swapon", returned(libc::swapon(device.as_ptr(), 0))),
                ("swapoff", returned(libc::swapoff(device.as_ptr()))),
                (
                    "mount",
                    returned(libc::mount(c"none".as_ptr(), place.as_ptr(), c"tmpfs".as_ptr(), 0, std::ptr::null())),
                ),
                ("umount", returned(libc::umount(place.as_ptr()))),
                ("chroot", returned(libc::chroot(place.as_ptr()))),
                ("reboot", returned(libc::reboot(libc::LINUX_REBOOT_CMD_CAD_OFF))),
                ("sethostname", number(sethostname("mine"))),
            ]
        };
        for (name, result) in results {
            require_error(name, result, Errno::EPERM)?;
        }
        let written = fs::write("/proc/sys/vm/swappiness", "1");
        require_error("writing what root sets", written, Errno::EACCES)?;
        fs::read("/proc/sys/vm/swappiness")?;
        require_error("another's memory", fs::File::open("/dev/console").map(drop), Errno::EACCES)
    })
}

fn limits() -> Outcome {
    as_user(BOB, &[], || {
        setrlimit(Resource::RLIMIT_NOFILE, 30, 60)?;
        require_error("a higher limit", number(setrlimit(Resource::RLIMIT_NOFILE, 30, 61)), Errno::EPERM)?;
        setrlimit(Resource::RLIMIT_NOFILE, 60, 60)?;
        let mine = files::set("/proc/self/oom_score_adj", "1000").map_err(|error| error.kind());
        require!(mine == Err(io::ErrorKind::PermissionDenied), "who was root sets what is root's: {mine:?}");
        nix::sys::prctl::set_dumpable(true)?;
        let least = files::text("/proc/self/oom_score_adj")?;
        files::set("/proc/self/oom_score_adj", "900")?;
        files::set("/proc/self/oom_score_adj", "100")?;
        let below = fs::write("/proc/self/oom_score_adj", "-1");
        require_error(&format!("a score below {least}"), below, Errno::EACCES)
    })?;
    require_success("locked memory", || {
        setrlimit(Resource::RLIMIT_MEMLOCK, 8192, 8192)?;
        let memory = Memory::private(4)?;
        memory.lock()?;
        as_user(BOB, &[], || {
            let memory = Memory::private(4)?;
            require_error("locking too much", number(memory.lock()), Errno::ENOMEM)?;
            setrlimit(Resource::RLIMIT_MEMLOCK, 0, 0)?;
            require_error("locking anything", number(memory.lock()), Errno::EPERM)
        })
    })?;
    // Nobody else is this user.
    as_user(BOB + 1, &[], || {
        setrlimit(Resource::RLIMIT_NPROC, 2, 2)?;
        require!(getrlimit(Resource::RLIMIT_NPROC)? == (2, 2), "the limit of processes is another one");
        let first = Child::start(|| {
            pause();
            0
        })?;
        let second = end_of(|| 0);
        first.signal(Signal::SIGKILL)?;
        first.wait()?;
        require!(second == Err(Errno::EAGAIN), "a process too many gave {second:?}");
        Ok(())
    })
}
