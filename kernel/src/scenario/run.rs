//! The table of scenarios, by their kinds, and the one that the command line chooses.

use alloc::string::String;

use quire_machine::{log, print};
use quire_protocol::{LAST_LINE_PREFIX, Verdict};

use super::failure::Failure;
use super::{
    areas, crashes, disks, errors, flat_cost, full, ghost, groups, large_folios, mappings, memory, memory_cost,
    sequential, threads, zram, zram_backing_cost, zram_cost, zram_disk, zram_linux,
};
use crate::command_line::CommandLine;

/// A named piece of work.
pub struct Scenario {
    name: &'static str,
    about: &'static str,
    work: fn(CommandLine<'static>) -> Result<String, Failure>,
}

const fn scenario(
    name: &'static str,
    about: &'static str,
    work: fn(CommandLine<'static>) -> Result<String, Failure>,
) -> Scenario {
    Scenario { name, about, work }
}

/// Scenarios of one kind.
struct Group {
    title: &'static str,
    scenarios: &'static [Scenario],
}

static GROUPS: &[Group] = &[
    Group {
        title: "Experiments: what to look at, with any machine",
        scenarios: &[
            scenario(
                "swap",
                "one task's pages go out and come back, contents=KIND pages=N of them; swapoff finds everything",
                errors::swap,
            ),
            scenario(
                "trace",
                "touches pages in a cgroup: which fault is what the policy implies; trace=0,1,2,0 frames=2 for others",
                groups::trace,
            ),
            scenario(
                "sequential",
                "one task walks through twice the memory: pages a request, faults that read",
                sequential::sequential,
            ),
            scenario(
                "swapon",
                "swapon of what swapon= names, or /dev/vda, and nothing else; says what was refused",
                errors::swapon,
            ),
            scenario(
                "out-of-memory",
                "memory and swap run out: the task that asks is killed, the kernel goes on",
                errors::out_of_memory,
            ),
            scenario("pool-full", "zram reaches its limit while a disk has room: pages go there", full::pool_full),
            scenario(
                "ghost-full",
                "random pages on the ghost device alone until memory ends: a task is killed, the kernel goes on",
                ghost::ghost_full,
            ),
            scenario("ghost-size", "what the largest ghost area costs, and that it is enabled once", ghost::ghost_size),
            scenario(
                "memory-cost",
                "instructions for faults, fork and taking pages out, beside what they may be",
                memory_cost::memory_cost,
            ),
            scenario(
                "large-folios",
                "fill, sequential and random phases with folios of 64 KiB and without: faults, requests; load=PERCENT",
                large_folios::large_folios,
            ),
            scenario(
                "flat-cost",
                "instructions a page that have nothing to do with what else there is",
                flat_cost::flat_cost,
            ),
            scenario(
                "zram-cost",
                "what a page costs through zram, out and in, in instructions; with --release -- --icount",
                zram_cost::zram_cost,
            ),
            scenario(
                "zram-backing-cost",
                "what a page costs that zram has written back to /dev/vda, alone and 32 at once; with --icount",
                zram_backing_cost::zram_backing_cost,
            ),
        ],
    },
    Group {
        title: "Checks: each fails if something does not hold",
        scenarios: &[
            scenario(
                "memory",
                "frames, protections of the kernel's pages, and address spaces come and go",
                memory::memory,
            ),
            scenario(
                "mappings",
                "fork, objects, moving, locking and protecting, with pages in memory and in swap",
                mappings::mappings,
            ),
            scenario("threads", "preemption, sleeping, and locks under contention", threads::threads),
            scenario(
                "disk",
                "requests of many segments, many in flight, bounds, flush and discard, on the last disk",
                disks::disk,
            ),
            scenario("areas", "three areas: priorities, equal shares, swapoff of each under load", areas::areas),
            scenario(
                "groups",
                "cgroups keep to their limits on memory and swap, and only their own tasks pay for it",
                groups::groups,
            ),
            scenario("zram", "memory compressed into itself, three times; no page, byte or frame is lost", zram::zram),
            scenario(
                "zram-linux",
                "what Linux's own tests of zram do, step by step, 100 GiB with a limit of 1 MiB included",
                zram_linux::zram_linux,
            ),
            scenario(
                "zram-writeback",
                "zram writes back to /dev/vda, three times; compressed=1 as stored; errors=1 with --fault write:100",
                zram_disk::zram_writeback,
            ),
            scenario(
                "zram-damage",
                "a byte of a compressed page changes in memory: only the task that needs the page dies",
                zram_disk::zram_damage,
            ),
            scenario(
                "ghost",
                "swapon= in any order of ghost device and disks, with zswap or without: pages go out, areas leave under load",
                ghost::ghost,
            ),
            scenario(
                "zswap-damage",
                "a byte of a page that zswap has compressed changes in memory: only the task that needs the page dies",
                ghost::zswap_damage,
            ),
        ],
    },
    Group {
        title: "Checks that need a faulty disk, as by the options that each names",
        scenarios: &[
            scenario(
                "write-error",
                "the swap disk refuses writes: pages stay in memory; --memory 32M --fault write:100",
                errors::write_error,
            ),
            scenario(
                "read-error",
                "the swap disk refuses a read: only the task that needs the page dies; --memory 32M --fault read:1000",
                errors::read_error,
            ),
            scenario(
                "poison",
                "swapoff meets a slot that cannot be read: only its page is lost; --memory 32M --fault read:1000",
                errors::poison,
            ),
            scenario(
                "zram-read-error",
                "zram's backing disk refuses a read: only the task that needs the page dies; --fault read:100",
                zram_disk::zram_read_error,
            ),
        ],
    },
    Group {
        title: "Crashes and other ends: what they look like",
        scenarios: &[
            scenario("fail", "reports failure", crashes::fail),
            scenario("panic", "panics", crashes::panic),
            scenario("hang", "never ends", crashes::hang),
            scenario("reset", "resets the machine by a triple fault", crashes::reset),
            scenario("stack-overflow", "exhausts a thread's stack", crashes::stack_overflow),
            scenario("null-pointer", "reads through a null pointer in the kernel", crashes::null_pointer),
            scenario("write-to-code", "writes to the kernel's own code", crashes::write_to_code),
            scenario("execute-data", "jumps into the kernel's data", crashes::execute_data),
        ],
    },
];

fn scenarios() -> impl Iterator<Item = &'static Scenario> {
    GROUPS.iter().flat_map(|group| group.scenarios)
}

/// Runs the scenario that the command line names.
pub fn run(command_line: CommandLine<'static>) -> Verdict {
    let name = command_line.value("scenario").unwrap_or("list");
    if name == "list" {
        for Group { title, scenarios } in GROUPS {
            print!("{title}:\n");
            for Scenario { name, about, .. } in *scenarios {
                print!("  {name:16} {about}\n");
            }
        }
        print!("{LAST_LINE_PREFIX}list ok scenarios={}\n", scenarios().count());
        return Verdict::Success;
    }
    let Some(scenario) = scenarios().find(|scenario| scenario.name == name) else {
        print!("{LAST_LINE_PREFIX}{name} FAILED there is no such scenario; scenario=list names them\n");
        return Verdict::Failure;
    };
    log!("scenario", "{}: {}", scenario.name, scenario.about);
    match (scenario.work)(command_line) {
        Ok(figures) => {
            print!("{LAST_LINE_PREFIX}{name} ok {figures}\n");
            Verdict::Success
        }
        Err(Failure(why)) => {
            print!("{LAST_LINE_PREFIX}{name} FAILED {why}\n");
            Verdict::Failure
        }
    }
}
