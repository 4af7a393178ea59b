//! Swap is charged to the memory group whose page goes there, whatever the page is of, and to no other until the slot is free.

use std::{
    fs::{self, File},
    io::Write,
    time::{Duration, Instant},
};

use nix::sys::mman::MmapAdvise;

use super::{
    limits::{GROUP, in_group},
    outcome::{Check, Failure, Outcome, require, require_success},
};
use crate::{
    cgroup::Cgroup,
    files,
    memory::{Memory, PAGE},
};

pub(super) const CHECKS: &[Check] = &[
    ("limits-group-swap-none", none),
    ("limits-group-swap-little", little),
    ("limits-group-swap-given-back", given_back),
    ("limits-group-swap-high", high),
    ("limits-group-swap-owners", owners),
    ("limits-group-swap-numbers", numbers),
];

const MIB: usize = 1 << 20;
const FILE: &str = "/tmp/check-group-swap";

fn own(name: &str) -> Result<u64, Failure> {
    Ok(files::numbers(&format!("{GROUP}/{name}"))?.first().copied().unwrap_or(0))
}

/// More than the group's memory, in a file, in shared memory, and in private memory.
fn fill_file(mib: usize) -> i32 {
    let written = File::create(FILE).and_then(|mut file| (0..mib).try_for_each(|_| file.write_all(&vec![7; MIB])));
    i32::from(written.is_err())
}

fn fill(memory: nix::Result<Memory>) -> i32 {
    let Ok(mut memory) = memory else { return 1 };
    memory.pages().iter_mut().zip((1_u8..=255).cycle()).for_each(|(page, number)| page.fill(number));
    0
}

/// What memory is filled, and how so many MiB of it are.
type Fill = (&'static str, fn(usize) -> i32);

const FILLS: [Fill; 3] = [
    ("a file", fill_file),
    ("shared memory", |mib| fill(Memory::shared(mib * MIB / PAGE))),
    ("private memory", |mib| fill(Memory::private(mib * MIB / PAGE))),
];

/// Without swap for the group nothing of it goes there.
fn none() -> Outcome {
    for (what, work) in FILLS {
        in_group(
            [("memory.max", "8M"), ("memory.swap.max", "0")],
            || work(12),
            |end| {
                let _ = fs::remove_file(FILE);
                let swapped = own("memory.swap.current")?;
                require!(swapped == 0, "{what} has {swapped} bytes in swap, and may have none");
                require!(end != crate::process::End::Exited(0), "{what} of 12 MiB fits into 8 MiB without swap");
                let events = format!("{GROUP}/memory.swap.events");
                let [max, fail] = [files::number(&events, "max")?, files::number(&events, "fail")?];
                require!(
                    max > 0 && fail >= max,
                    "{what}: the limit on swap was reached {max} times, and {fail} failed"
                );
                Ok(())
            },
        )?;
    }
    Ok(())
}

/// As much swap as the group may have is used, and no more.
fn little() -> Outcome {
    for (what, work) in FILLS {
        in_group(
            [("memory.max", "8M"), ("memory.swap.max", "4M")],
            || {
                let end = work(10);
                let swapped = own("memory.swap.current").unwrap_or(0);
                // Private and shared memory has gone with its mapping.
                let is_charged = swapped <= 4 << 20 && (swapped >= 2 << 20 || what != "a file");
                if end == 0 && is_charged { 0 } else { 2 + end }
            },
            |end| {
                let _ = fs::remove_file(FILE);
                require!(end == crate::process::End::Exited(0), "{what} of 10 MiB in 8 MiB and 4 of swap gave {end}");
                Ok(())
            },
        )?;
    }
    Ok(())
}

/// What a file has in swap is its writer's group's until the file goes, and given back then.
fn given_back() -> Outcome {
    in_group(
        [("memory.max", "8M"), ("memory.swap.max", "max")],
        || {
            let work = || -> Outcome {
                // Less than the half of a small machine's memory, which is all that may be in files.
                require!(fill_file(14) == 0, "a file of 14 MiB was not written");
                let swapped = own("memory.swap.current")?;
                require!(swapped >= 5 << 20, "14 MiB of a file in 8 MiB have {swapped} bytes in swap");
                let mut file = File::options().read(true).write(true).open(FILE)?;
                // Only looked at: the slots stay until nobody needs them.
                std::io::copy(&mut file, &mut std::io::sink())?;
                require!(own("memory.current")? <= 8 << 20, "reading it takes more than the group may have");
                drop(file);
                fs::remove_file(FILE)?;
                for _ in 0..500 {
                    if own("memory.swap.current")? == 0 {
                        return Ok(());
                    }
                    std::thread::sleep(std::time::Duration::from_millis(10));
                }
                require!(false, "without the file {} bytes are in swap", own("memory.swap.current")?);
                Ok(())
            };
            work().map_or_else(
                |Failure(why)| {
                    println!("  {why}");
                    1
                },
                |()| 0,
            )
        },
        |end| {
            let _ = fs::remove_file(FILE);
            require!(end == crate::process::End::Exited(0), "a file of a group in swap: {end}");
            Ok(())
        },
    )
}

/// A task of a group that has more in swap than it should waits for what it takes, the longer the more it is.
fn high() -> Outcome {
    let work = || -> Outcome {
        let mut memory = Memory::private(16 * MIB / PAGE)?;
        let mut pages = memory.pages().iter_mut();
        let events = format!("{GROUP}/memory.swap.events");
        for page in pages.by_ref() {
            page.fill(7);
            if files::number(&events, "high")? > 0 {
                break;
            }
        }
        let before = own("memory.swap.current")?;
        require!(before > 2 << 20 && pages.len() > 136, "it was noted with {before} bytes in swap, or never");
        let start = Instant::now();
        // Pages go to swap some at a time: at the 128th it has an eighth too much at least, which is a second.
        pages.take(136).for_each(|page| page.fill(7));
        let (waited, after) = (start.elapsed(), own("memory.swap.current")?);
        let noted = files::number(&events, "high")?;
        require!(
            waited >= Duration::from_millis(400) && noted > 2,
            "136 pages above the limit took {waited:?}, with {before} and then {after} bytes in swap, noted {noted} times"
        );
        require!(own("memory.swap.peak")? >= own("memory.swap.current")?, "it has more than it ever had");
        Ok(())
    };
    in_group(
        [("memory.max", "4M"), ("memory.swap.high", "2M")],
        || i32::from(work().inspect_err(|Failure(why)| println!("  {why}")).is_err()),
        |end| {
            require!(end == crate::process::End::Exited(0), "a group with memory.swap.high: {end}");
            require!(own("memory.swap.high")? == 2 << 20, "the limit is not what it was set to");
            Ok(())
        },
    )
}

/// A group, and groups in it.
fn nested(names: [&str; 2]) -> Result<(Cgroup, [Cgroup; 2]), Failure> {
    let outer = Cgroup::new("check")?;
    outer.set("cgroup.subtree_control", "+memory")?;
    let [one, other] = names.map(|name| Cgroup::new(&format!("check/{name}")));
    Ok((outer, [one?, other?]))
}

/// What a process of one group has written comes back to that group, whoever needs it, and to its parent when it is gone.
fn owners() -> Outcome {
    const PAGES: usize = MIB / PAGE;
    // Tables, stacks and what the kernel keeps.
    const LITTLE: u64 = MIB as u64 / 2;
    let (outer, [one, other]) = nested(["one", "other"])?;
    let holds = |memory: &mut Memory| memory.pages().iter().enumerate().all(|(at, page)| page == &[at as u8 | 1; PAGE]);
    require_success("pages of two groups", || {
        one.enter()?;
        let mut both = [Memory::private(PAGES)?, Memory::shared(PAGES)?];
        for memory in &mut both {
            memory.pages().iter_mut().enumerate().for_each(|(at, page)| page.fill(at as u8 | 1));
        }
        other.enter()?;
        let written = 2 * MIB as u64;
        both.iter_mut().try_for_each(Memory::page_out)?;
        let swapped = one.number("memory.swap.current")?;
        require!((written - LITTLE..=written + LITTLE).contains(&swapped), "{swapped} bytes are in swap");
        require!(one.number("memory.swap.peak")? >= swapped, "there never were so many");
        require!(other.number("memory.swap.current")? <= LITTLE, "the other group pays for some");
        // A relative maps them as well: that costs nothing more, and brings them back to whose they are.
        let [private, shared] = &mut both;
        require_success("a relative", || {
            require!(holds(shared) && holds(private), "it finds other bytes");
            let [one, other] = [&one, &other].map(|group| group.number("memory.current"));
            let (one, other) = (one?, other?);
            require!(
                one >= written - LITTLE && other <= LITTLE * 2,
                "{one} bytes came back to the one, {other} to the other"
            );
            Ok(())
        })?;
        require!(both.iter_mut().all(holds), "they came back with other bytes");
        both.iter_mut().try_for_each(Memory::page_out)?;
        drop(Cgroup::at(&Cgroup::path("check/one")));
        let left = outer.number("memory.swap.current")?;
        require!(left >= written - LITTLE, "{left} bytes are left by the group that is gone");
        require!(both.iter_mut().all(holds), "its pages came back with other bytes");
        let [outer, other] = [&outer, &other].map(|group| group.number("memory.current"));
        let (outer, other) = (outer?, other?);
        require!(outer >= other + written - LITTLE, "{outer} bytes came back to the parent and {other} to the other");
        Cgroup::leave()?;
        Ok(())
    })
}

/// Each of many groups leaves a page in swap.
fn numbers() -> Outcome {
    const GROUPS: usize = 300;
    let (outer, groups) = nested(["first", "last"])?;
    drop(groups);
    require_success("many groups", || {
        let mut memory = Memory::shared(GROUPS)?;
        for number in 0..GROUPS {
            let group = Cgroup::new(&format!("check/{number}"))?;
            group.enter()?;
            memory.set_word(number, number as u64 + 1);
            Cgroup::leave()?;
            memory.advise(number..number + 1, MmapAdvise::MADV_PAGEOUT)?;
        }
        let swapped = outer.number("memory.swap.current")? as usize / PAGE;
        require!(swapped >= GROUPS * 9 / 10, "{swapped} pages of {GROUPS} groups are in swap");
        require!((0..GROUPS).all(|number| memory.word(number) == number as u64 + 1), "they came back with other bytes");
        Ok(())
    })
}
