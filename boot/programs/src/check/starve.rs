//! What one user makes the kernel keep ends somewhere, comes back, and leaves root enough to work with. For a machine that may be
//! filled: a guest.

use std::{
    fs::{self, File},
    thread::sleep,
    time::Duration,
};

use nix::{
    errno::Errno,
    mount::{MsFlags, mount, umount},
    sys::{
        mman::{MapFlags, ProtFlags},
        signal::{Signal, killpg, raise},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::{Pid, execv, pause, setpgid},
};

use super::{
    outcome::{Check, Outcome, require, require_success},
    users::become_user,
};
use crate::{
    files,
    memory::Memory,
    process::{Child, End, end_of},
};

pub(super) const CHECKS: &[Check] =
    &[("starve-files-come-back", files_come_back), ("starve-root-goes-on", root_goes_on)];

const GUEST: u32 = 1000;

/// What the kernel has for itself, and what is free, in KiB.
fn slab_and_free() -> std::io::Result<[u64; 2]> {
    let [slab, free, cached] = ["Slab", "MemFree", "Cached"].map(|name| files::number("/proc/meminfo", name));
    Ok([slab?, free? + cached?])
}

/// 20,000 files cost memory of the kernel's, all of which is free again when they are removed.
fn files_come_back() -> Outcome {
    const FILES: usize = 20_000;
    /// What the process itself and half-full slabs may make of a difference.
    const SLACK: u64 = 256;
    let directory = "/tmp/check-starve";
    fs::create_dir(directory)?;
    let before = slab_and_free()?;
    (0..FILES).try_for_each(|name| File::create(format!("{directory}/{name}")).map(drop))?;
    let during = slab_and_free()?;
    (0..FILES).try_for_each(|name| fs::remove_file(format!("{directory}/{name}")))?;
    let after = slab_and_free()?;
    fs::remove_dir(directory)?;
    for (when, [slab, free]) in [("before", before), ("with 20,000 files", during), ("after", after)] {
        println!("  {when}: {slab} KiB of slabs, {free} KiB free or files'");
    }
    let objects = fs::read_to_string("/proc/slabinfo")?;
    require!(objects.starts_with("slabinfo - version: 2.1\n"), "/proc/slabinfo says {objects}");
    // The least that a node and a name are.
    require!(during[0] >= before[0] + FILES as u64 / 8, "the files cost no memory: {before:?}, {during:?}");
    require!(after[0] <= before[0] + SLACK && after[1] + SLACK >= before[1], "{before:?} KiB became {after:?}");
    Ok(())
}

/// Does `take` until it is refused, then stops with all it has.
fn hold_all<T>(mut take: impl FnMut(usize) -> Result<T, i32>, refusals: &[Errno]) -> i32 {
    let mut held = Vec::with_capacity(1 << 17);
    let error = loop {
        match take(held.len()) {
            Ok(taken) => held.push(taken),
            Err(error) => break error,
        }
    };
    if !refusals.iter().any(|refusal| *refusal as i32 == error) {
        println!("  the {}th gave {}", held.len(), Errno::from_raw(error));
        return 1;
    }
    let _ = raise(Signal::SIGSTOP);
    0
}

fn number_of<T>(result: std::io::Result<T>) -> Result<T, i32> {
    result.map_err(|error| error.raw_os_error().unwrap_or(0))
}

/// Starts a process of the guest's, in group `group`, and waits until it has stopped.
fn guest(group: Pid, work: impl FnOnce() -> i32) -> Result<Child, super::Failure> {
    let child = Child::start(|| {
        if setpgid(Pid::from_raw(0), group).is_err() || become_user(GUEST, &[]).is_err() {
            return 2;
        }
        work()
    })?;
    waitpid(child.0, Some(WaitPidFlag::WUNTRACED))?;
    Ok(child)
}

/// While a user has as many mappings, open files, files and processes as there can be, root starts programs and files.
fn root_goes_on() -> Outcome {
    let directory = "/tmp/check-guest";
    fs::create_dir(directory)?;
    // A file system of the guest's own: what one holds at most is everybody's, root included.
    mount(Some("guest"), directory, Some("tmpfs"), MsFlags::empty(), Some("uid=1000"))?;
    let leader = guest(Pid::from_raw(0), || {
        // Every second page is different, so that no two are one mapping.
        let Ok(mut memory) = Memory::map(1 << 17, MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE) else { return 3 };
        let mapping =
            |count| memory.protect(2 * count..2 * count + 1, ProtFlags::PROT_READ).map_err(|error| error as i32);
        hold_all(mapping, &[Errno::ENOMEM])
    })?;
    let group = leader.0;
    let mut guests = vec![leader];
    let outcome = fill(directory, group, &mut guests).and_then(|()| roots_work());
    killpg(group, Signal::SIGKILL)?;
    for child in guests {
        let end = child.wait()?;
        require!(end == End::Killed(Signal::SIGKILL), "the guest's process gave {end}");
    }
    umount(directory)?;
    fs::remove_dir(directory)?;
    outcome
}

/// Lets the guest reach its other limits.
fn fill(directory: &str, group: Pid, guests: &mut Vec<Child>) -> Outcome {
    // Before the open files, of which making one needs another.
    let make = |name| number_of(File::create(format!("{directory}/{name}")).map(drop));
    guests.push(guest(group, || hold_all(make, &[Errno::ENOSPC, Errno::ENOMEM]))?);
    let open = || guest(group, || hold_all(|_| number_of(File::open("/dev/null")), &[Errno::ENFILE, Errno::EMFILE]));
    let most = files::numbers("/proc/sys/fs/file-max")?[0];
    for _ in 0..=most / 1000 {
        guests.push(open()?);
    }
    let open_files = files::numbers("/proc/sys/fs/file-nr")?;
    require!(open_files.last() == Some(&most) && open_files[0] >= most, "{open_files:?} files are open of {most}");
    let fork = |_| {
        Child::start(|| {
            pause();
            0
        })
        .map_err(|error| error as i32)
    };
    guests.push(guest(group, || hold_all(fork, &[Errno::EAGAIN, Errno::ENOMEM]))?);
    Ok(())
}

/// What a person at root's shell does: programs, files, memory.
fn roots_work() -> Outcome {
    for _ in 0..5 {
        let end = end_of(|| {
            let _ = execv(c"/proc/self/exe", &[c"check", c"--ids"]);
            103
        })?;
        require!(end == End::Exited(0), "a program of root's gave {end}");
        sleep(Duration::from_millis(1));
    }
    require_success("root's own", || {
        File::open("/dev/null")?;
        File::create("/tmp/check-root")?;
        fs::remove_file("/tmp/check-root")?;
        let mut memory = Memory::private(64)?;
        (0..64).for_each(|page| memory.touch(page));
        Ok(())
    })
}
