//! The table of scenarios, and the one that the command line chooses.

use alloc::string::String;

use quire_machine::{log, print};
use quire_protocol::{LAST_LINE_PREFIX, Verdict};

use super::failure::Failure;
use super::{
    areas, crashes, disks, errors, flat_cost, full, ghost, groups, mappings, memory, memory_cost, sequential, threads,
    zram, zram_cost, zram_disk, zram_linux,
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

static SCENARIOS: &[Scenario] = &[
    scenario("memory", "frames, protections of the kernel's pages, and address spaces come and go", memory::memory),
    scenario(
        "mappings",
        "fork, objects, moving, locking and protecting, with pages in memory and in swap",
        mappings::mappings,
    ),
    scenario(
        "memory-cost",
        "instructions for faults, fork and taking pages out, beside what they may be",
        memory_cost::memory_cost,
    ),
    scenario("flat-cost", "instructions a page that have nothing to do with what else there is", flat_cost::flat_cost),
    scenario(
        "trace",
        "five pages in a group of four frames: the touches that fault are those that the policy implies",
        groups::trace,
    ),
    scenario(
        "groups",
        "groups keep to their limits on memory and swap, and only their own tasks pay for it",
        groups::groups,
    ),
    scenario("threads", "preemption, sleeping, and locks under contention", threads::threads),
    scenario(
        "disk",
        "requests of many segments, many in flight, bounds, flush and discard, on the last disk",
        disks::disk,
    ),
    scenario(
        "swap",
        "one task with contents=KIND pages=N goes out and comes back; swapoff finds everything",
        errors::swap,
    ),
    scenario(
        "swapon",
        "swapon of what swapon= names, or /dev/vda, and nothing else; says what was refused",
        errors::swapon,
    ),
    scenario(
        "sequential",
        "one task walks through twice the memory: pages a request, faults that read",
        sequential::sequential,
    ),
    scenario("areas", "three areas: priorities, equal shares, swapoff of each under load", areas::areas),
    scenario("zram", "memory compressed into itself, three times; no page, byte or frame is lost", zram::zram),
    scenario(
        "zram-linux",
        "what Linux's own tests of zram do, step by step, 100 GiB with a limit of 1 MiB included",
        zram_linux::zram_linux,
    ),
    scenario(
        "zram-writeback",
        "zram writes back to /dev/vda, three times; compressed=1 as stored; errors=1 if the disk fails",
        zram_disk::zram_writeback,
    ),
    scenario(
        "zram-damage",
        "a byte of a compressed page changes in memory: only the task that needs the page dies",
        zram_disk::zram_damage,
    ),
    scenario(
        "zram-read-error",
        "zram writes back to /dev/vda, which refuses some reads: only the task that needs the page dies",
        zram_disk::zram_read_error,
    ),
    scenario(
        "zram-cost",
        "what a page costs through zram, out and in, in instructions; with --release -- --icount",
        zram_cost::zram_cost,
    ),
    scenario("pool-full", "zram reaches its limit while a disk has room: pages go there", full::pool_full),
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
    scenario("ghost-size", "what the largest ghost area costs, and that it is enabled once", ghost::ghost_size),
    scenario(
        "ghost-full",
        "random pages on the ghost device alone until memory ends: a task is killed, the kernel goes on",
        ghost::ghost_full,
    ),
    scenario("poison", "swapoff meets a slot that cannot be read: only its page is lost", areas::poison),
    scenario("write-error", "the swap disk refuses writes: pages stay in memory, the run goes on", errors::write_error),
    scenario("read-error", "the swap disk refuses reads: only the task that needs the page dies", errors::read_error),
    scenario(
        "out-of-memory",
        "memory and swap run out: the task that asks is killed, the kernel goes on",
        errors::out_of_memory,
    ),
    scenario("fail", "reports failure", crashes::fail),
    scenario("panic", "panics", crashes::panic),
    scenario("hang", "never ends", crashes::hang),
    scenario("reset", "resets the machine by a triple fault", crashes::reset),
    scenario("stack-overflow", "exhausts a thread's stack", crashes::stack_overflow),
    scenario("null-pointer", "reads through a null pointer in the kernel", crashes::null_pointer),
    scenario("write-to-code", "writes to the kernel's own code", crashes::write_to_code),
    scenario("execute-data", "jumps into the kernel's data", crashes::execute_data),
];

/// Runs the scenario that the command line names.
pub fn run(command_line: CommandLine<'static>) -> Verdict {
    let name = command_line.value("scenario").unwrap_or("list");
    if name == "list" {
        for scenario in SCENARIOS {
            print!("{:16} {}\n", scenario.name, scenario.about);
        }
        print!("{LAST_LINE_PREFIX}list ok scenarios={}\n", SCENARIOS.len());
        return Verdict::Success;
    }
    let Some(scenario) = SCENARIOS.iter().find(|scenario| scenario.name == name) else {
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
