//! Swap is charged to the memory group whose page goes there, whatever the page is of.

use std::{
    fs::{self, File},
    io::Write,
};

use super::{
    limits::{GROUP, in_group},
    outcome::{Check, Failure, Outcome, require},
};
use crate::{
    files,
    memory::{Memory, PAGE},
};

pub(super) const CHECKS: &[Check] = &[
    ("limits-group-swap-none", none),
    ("limits-group-swap-little", little),
    ("limits-group-swap-given-back", given_back),
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
