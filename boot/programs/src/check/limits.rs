//! When memory ends: who is ended for it, and that only a group pays for what the group uses. For a machine that may be
//! filled: a guest.

use std::{
    fs::{self, File},
    io::{Read, Write},
};

use nix::{
    errno::Errno,
    sys::{
        mman::{MapFlags, ProtFlags},
        signal::{Signal, kill, raise},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::{Pid, getppid, pause},
};

use super::outcome::{Check, Failure, Outcome, require, wait_until};
use crate::{
    files,
    memory::{Memory, PAGE},
    process::{Child, End, end_of},
};

pub(super) const CHECKS: &[Check] = &[
    ("limits-memory-ends", memory_ends),
    ("limits-group", group),
    ("limits-group-without-swap", group_without_swap),
    ("limits-group-locked", group_locked),
    ("limits-group-beside-thrash", group_beside_thrash),
    ("limits-open-files", open_files),
    ("limits-mappings-listed", mappings_listed),
    ("limits-group-with-little-swap", group_with_little_swap),
    ("limits-group-files", group_files),
    ("limits-kernel-memory-of-group", group_kernel_memory),
    ("limits-names-listed", names_listed),
];

const MIB: usize = (1 << 20) / PAGE;

/// Waits until about as many frames are free as there were: those that were ended give theirs back in their own time.
pub(super) fn memory_is_back(free_before_kib: u64) -> Outcome {
    let what = format!("{free_before_kib} KiB to be free again");
    wait_until(&what, || Ok(files::number("/proc/meminfo", "MemFree")? + 3072 >= free_before_kib))
}

/// Ends the children of process 1 that run this program, but not the one that runs the checks.
pub(super) fn end_orphans() -> Outcome {
    let parent_of = |status: &str| status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok());
    let own = getppid();
    for entry in fs::read_dir("/proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse::<i32>() else { continue };
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        let is_orphan = parent_of(&status) == Some(1) && status.starts_with("Name:\tcheck\n");
        if is_orphan && Pid::from_raw(pid) != own {
            kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        }
    }
    Ok(())
}

/// Touches pages one after the other and waits with them.
fn hold(pages: usize) -> i32 {
    // More than there is can be had if nobody promises it.
    let Ok(mut memory) = Memory::map(pages, MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE) else { return 1 };
    (0..pages).for_each(|page| memory.touch(page));
    pause();
    drop(memory);
    0
}

/// Of two, the one that says so itself is ended, though the other uses more; the third, which uses little, stays.
fn memory_ends() -> Outcome {
    let free_before = files::number("/proc/meminfo", "MemFree")?;
    let all = files::number("/proc/meminfo", "MemTotal")? + files::number("/proc/meminfo", "SwapTotal")?;
    require!(all < 1 << 20, "this machine is too large to fill");
    let volunteer = Child::start(|| {
        if files::set("/proc/self/oom_score_adj", "1000").is_err() {
            return 2;
        }
        hold(2 * MIB)
    })?;
    let bystander = Child::start(|| hold(16))?;
    // The parent ends this one when the volunteer has gone; it may come to the same end before.
    let glutton = Child::start(|| hold(all as usize / 4 * 2))?;
    let end = volunteer.wait()?;
    glutton.signal(Signal::SIGKILL)?;
    glutton.wait()?;
    require!(end == End::Killed(Signal::SIGKILL), "the process with oom_score_adj 1000 gave {end}");
    bystander.signal(Signal::SIGTERM)?;
    let end = bystander.wait()?;
    require!(end == End::Killed(Signal::SIGTERM), "a process that uses little gave {end}");
    memory_is_back(free_before)
}

const GROUPS: &str = "/sys/fs/cgroup";
pub(super) const GROUP: &str = "/sys/fs/cgroup/check";

/// Runs `work` in a new group with these limits, then looks at the group's files.
pub(super) fn in_group(
    limits: [(&str, &str); 2],
    work: impl FnOnce() -> i32,
    look: impl FnOnce(End) -> Outcome,
) -> Outcome {
    if !fs::read_to_string(format!("{GROUPS}/cgroup.subtree_control"))?.contains("memory") {
        files::set(&format!("{GROUPS}/cgroup.subtree_control"), "+memory")?;
    }
    fs::create_dir(GROUP)?;
    for (name, limit) in limits {
        files::set(&format!("{GROUP}/{name}"), limit)?;
    }
    let end = end_of(|| match files::set(&format!("{GROUP}/cgroup.procs"), &std::process::id().to_string()) {
        Ok(()) => work(),
        Err(_) => 3,
    })?;
    let outcome = look(end);
    // A group goes when its processes have.
    let removed = wait_until("the group to be removed", || Ok(fs::remove_dir(GROUP).is_ok()));
    outcome.and(removed)
}

fn touch_all(pages: usize) -> i32 {
    let Ok(mut memory) = Memory::private(pages) else { return 1 };
    memory.pages().iter_mut().zip(0_u8..=255).for_each(|(page, number)| page.fill(number));
    (0..pages).for_each(|page| memory.touch(page));
    let current = files::numbers(&format!("{GROUP}/memory.current")).unwrap_or_default();
    let swapped = files::numbers(&format!("{GROUP}/memory.swap.current")).unwrap_or_default();
    let is_kept = current.iter().all(|&bytes| bytes <= 8 << 20) && swapped.iter().all(|&bytes| bytes > 0);
    if current.len() == 1 && swapped.len() == 1 && is_kept { 0 } else { 2 }
}

fn group() -> Outcome {
    let limits = [("memory.max", "8M"), ("memory.swap.max", "max")];
    in_group(
        limits,
        || touch_all(24 * MIB),
        |end| {
            require!(end == End::Exited(0), "24 MiB in a group of 8 MiB with swap gave {end}");
            Ok(())
        },
    )
}

fn group_without_swap() -> Outcome {
    // More than the group may have: the worst of the group is not the worst of all.
    let bystander = Child::start(|| hold(16 * MIB))?;
    let limits = [("memory.max", "8M"), ("memory.swap.max", "0")];
    in_group(
        limits,
        || touch_all(24 * MIB),
        |end| {
            require!(end == End::Killed(Signal::SIGKILL), "24 MiB in a group of 8 MiB without swap gave {end}");
            let killed = files::number(&format!("{GROUP}/memory.events"), "oom_kill")?;
            require!(killed == 1, "the group counts {killed} processes ended for memory");
            Ok(())
        },
    )?;
    bystander.signal(Signal::SIGTERM)?;
    let end = bystander.wait()?;
    require!(end == End::Killed(Signal::SIGTERM), "a process outside of the group gave {end}");
    Ok(())
}

/// A group that is full, and of which no page can leave, is seen to be so also while others' pages come and go all the time.
fn group_beside_thrash() -> Outcome {
    let total = (files::number("/proc/meminfo", "MemTotal")? / 4) as usize;
    let thrash = Child::start(|| {
        let Ok(mut memory) = Memory::private(total) else { return 1 };
        loop {
            (0..total).for_each(|page| memory.touch(page));
        }
    })?;
    let swapped = || -> Result<u64, Failure> { Ok(files::number("/proc/vmstat", "pswpin")?) };
    let before = swapped()?;
    wait_until("pages to come and go", || Ok(swapped()? > before + 1000))?;
    let outcome = in_group(
        [("memory.max", "0"), ("memory.swap.max", "0")],
        || touch_all(MIB),
        |end| {
            require!(end == End::Killed(Signal::SIGKILL), "a page in a group that may have none gave {end}");
            Ok(())
        },
    );
    thrash.signal(Signal::SIGKILL)?;
    let end = thrash.wait()?;
    require!(end == End::Killed(Signal::SIGKILL), "what was not in the group gave {end}");
    outcome
}

/// What dies while it locks more than its group may have dies once.
fn group_locked() -> Outcome {
    let limits = [("memory.max", "8M"), ("memory.swap.max", "0")];
    let lock = || i32::from(Memory::private(24 * MIB).and_then(|memory| memory.lock()).is_err());
    in_group(limits, lock, |end| {
        require!(end == End::Killed(Signal::SIGKILL), "locking 24 MiB in a group of 8 MiB gave {end}");
        let killed = files::number(&format!("{GROUP}/memory.events"), "oom_kill")?;
        require!(killed == 1, "the group counts {killed} processes ended for memory");
        Ok(())
    })
}

/// Processes that keep as many files open as they can: when the kernel has no memory for more they are refused, and
/// afterwards files can be opened again.
fn open_files() -> Outcome {
    const HOLDERS: usize = 40;
    let stopped = |holder: &Child| waitpid(holder.0, Some(WaitPidFlag::WUNTRACED)).map(drop);
    let mut holders = Vec::new();
    // All are there before the first opens anything: a kernel short of memory would refuse to make them.
    for _ in 0..HOLDERS {
        let holder = Child::start(|| {
            let _ = raise(Signal::SIGSTOP);
            let mut files = Vec::new();
            while let Ok(file) = File::open("/dev/null") {
                files.push(file);
            }
            i32::from(raise(Signal::SIGSTOP).is_err())
        })?;
        stopped(&holder)?;
        holders.push(holder);
    }
    for holder in &holders {
        holder.signal(Signal::SIGCONT)?;
        stopped(holder)?;
    }
    for holder in holders {
        holder.signal(Signal::SIGKILL)?;
        holder.wait()?;
    }
    File::open("/dev/null")?;
    Ok(())
}

/// A process that has as many mappings as it can have, and wants a list of them: it gets it or is refused.
fn mappings_listed() -> Outcome {
    let end = end_of(|| {
        // Every second page is different, so that no two are one mapping.
        let Ok(mut memory) = Memory::map(1 << 17, MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE) else { return 2 };
        let is_split = |page: &usize| memory.protect(*page..page + 1, ProtFlags::PROT_READ).is_ok();
        let split = (0..1 << 17).step_by(2).take_while(is_split).count();
        if split < 30_000 {
            return 3;
        }
        // The process can have no more memory for the list: it counts lines in a buffer that it has.
        let mut buffer = [0; PAGE];
        let Ok(mut list) = File::open("/proc/self/maps") else { return 4 };
        let mut lines = 0;
        loop {
            match list.read(&mut buffer) {
                Ok(0) => break i32::from(lines < 2 * split),
                Ok(bytes) => lines += buffer[..bytes].split(|byte| *byte == b'\n').count() - 1,
                Err(_) => break 5,
            }
        }
    })?;
    require!(end == End::Exited(0), "a list of many mappings gave {end}");
    Ok(())
}

/// What does not fit into the group's memory and its part of swap together costs the group a process.
fn group_with_little_swap() -> Outcome {
    let limits = [("memory.max", "8M"), ("memory.swap.max", "4M")];
    in_group(
        limits,
        || touch_all(10 * MIB),
        |end| {
            require!(end == End::Exited(0), "10 MiB in a group of 8 MiB with 4 MiB of swap gave {end}");
            Ok(())
        },
    )?;
    in_group(
        limits,
        || touch_all(16 * MIB),
        |end| {
            require!(end == End::Killed(Signal::SIGKILL), "16 MiB in a group of 8 MiB with 4 MiB of swap gave {end}");
            let reached = files::number(&format!("{GROUP}/memory.swap.events"), "max")?;
            require!(reached > 0, "the group did not reach its limit on swap");
            Ok(())
        },
    )
}

/// Pages of files in memory are the group's that wrote them, and leave its memory like others.
fn group_files() -> Outcome {
    const PATH: &str = "/tmp/check-group";
    let work = |mib: usize| {
        move || {
            let written =
                File::create(PATH).and_then(|mut file| (0..mib * MIB).try_for_each(|_| file.write_all(&[7; PAGE])));
            let current = files::numbers(&format!("{GROUP}/memory.current")).unwrap_or_default();
            let is_charged = current.iter().all(|&bytes| (3 << 20..=8 << 20).contains(&bytes));
            let removed = fs::remove_file(PATH);
            let after = files::numbers(&format!("{GROUP}/memory.current")).unwrap_or_default();
            let is_over = after.iter().all(|&bytes| bytes < 2 << 20);
            i32::from(written.is_err()) + 2 * i32::from(!is_charged) + 4 * i32::from(removed.is_err() || !is_over)
        }
    };
    for mib in [4, 12] {
        in_group([("memory.max", "8M"), ("memory.swap.max", "max")], work(mib), |end| {
            require!(end == End::Exited(0), "a file of {mib} MiB by a group of 8 MiB gave {end}");
            Ok(())
        })?;
    }
    Ok(())
}

/// What the kernel keeps for the group's processes counts: mappings are refused at the group's limit, and can all be unmapped.
fn group_kernel_memory() -> Outcome {
    const LIMIT: u64 = 4 << 20;
    let figure = |name: &str| files::number(&format!("{GROUP}/memory.stat"), name).unwrap_or(0);
    let current = || files::numbers(&format!("{GROUP}/memory.current")).map_or(0, |numbers| numbers[0]);
    let work = || {
        // What this process had before it joined the group is not the group's; what a child has is.
        let has_child = end_of(|| i32::from(figure("kernel_stack") == 0 || figure("pagetables") == 0));
        let before = figure("slab");
        // Every second page is different, so that no two are one mapping; no page is touched, so that the group's limit is
        // reached by the kernel.
        let Ok(mut memory) = Memory::map(1 << 17, MapFlags::MAP_PRIVATE | MapFlags::MAP_NORESERVE) else { return 8 };
        let mut count = 0;
        let refusal = loop {
            match memory.protect(2 * count..2 * count + 1, ProtFlags::PROT_READ) {
                Ok(()) => count += 1,
                Err(error) => break error,
            }
        };
        // A file that is opened is charged to the group, too.
        if memory.protect(0..count.min(400), ProtFlags::PROT_READ | ProtFlags::PROT_WRITE).is_err() {
            return 16;
        }
        let (kept, all) = (figure("slab"), current());
        drop(memory);
        let after = figure("slab");
        println!("  {count} mappings, then {refusal}: {before} bytes became {kept}, then {after}");
        let is_refused = refusal == Errno::ENOMEM && (1000..32_000).contains(&count);
        let is_kept = kept >= before + (1 << 20) && all <= LIMIT && after <= before + (64 << 10);
        i32::from(!is_refused) + 2 * i32::from(!is_kept) + 4 * i32::from(!matches!(has_child, Ok(End::Exited(0))))
    };
    in_group([("memory.max", "4M"), ("memory.swap.max", "max")], work, |end| {
        require!(end == End::Exited(0), "as many mappings as fit in 4 MiB gave {end}");
        let left = current();
        require!(left < 64 << 10, "{left} bytes are charged to a group without processes");
        Ok(())
    })
}

/// A directory with as many names as there may be, up to some thousands, which lists them all.
fn names_listed() -> Outcome {
    const MOST: usize = 10_000;
    let directory = format!("/tmp/check-names-{}", std::process::id());
    fs::create_dir(&directory)?;
    // What the list needs of this process's memory it has before: afterwards there may be none.
    let names = fs::read_dir(&directory)?;
    let made = (0..MOST).take_while(|name| File::create(format!("{directory}/{name}")).is_ok()).count();
    let listed = names.flatten().count();
    (0..made.min(100)).try_for_each(|name| fs::remove_file(format!("{directory}/{name}")))?;
    fs::remove_dir_all(directory)?;
    require!(made > 100, "{made} files were made");
    require!(listed == made, "{listed} of {made} names are listed");
    Ok(())
}
