//! The demo, in three acts: `demo`. Each lets processes use more memory than there is, with another kind of swap, and
//! verifies every byte that comes back; what happened is read from the kernel's files, whose names are Linux's.
//!
//! 1. A disk: working sets of four times the memory, in five phases.
//! 2. zram before the disk: most pages stay in memory, compressed.
//! 3. Ghost swap: swap space with nothing behind it, whose pages live in zswap.
//!
//! The last line is `quire: demo ok key=value …` or `quire: demo FAILED why`.

mod figures;
mod stage;

use std::{fs, process::ExitCode};

use quire_protocol::contents::Contents;

use self::{
    figures::Figures,
    stage::{Outcome, Phase, Stage, Tally},
};
use crate::{areas, files, memory::lock_all};

const DISK: &str = "/dev/vda";
const ZRAM: &str = "/dev/zram0";
const GHOST: &str = "/dev/ghostswap";

/// The fewest pages of memory in which compressed pages leave room for the others.
const GHOST_NEEDS: u64 = 4096;

/// How many processes there are in each act.
const TASKS: u64 = 4;

pub(crate) fn main(_: &[String]) -> ExitCode {
    match play() {
        Ok(line) => {
            println!("\nquire: demo ok {line}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("\nquire: demo FAILED {why}");
            ExitCode::FAILURE
        }
    }
}

fn play() -> Outcome<String> {
    if !fs::exists(DISK)? {
        return Err(format!("there is no {DISK}").into());
    }
    // What is measured here shall not be disturbed by what measures.
    lock_all()?;
    let before = Figures::read()?;
    let mut tally = Tally::default();
    tally.add(&disk()?);
    tally.add(&zram()?);
    tally.add(&ghost()?);
    let after = Figures::read()?;
    let Tally { pages, verified, wrong } = tally;
    if wrong > 0 {
        return Err(format!("{wrong} of {verified} bytes did not come back").into());
    }
    let (out, back) = (after.pages_out - before.pages_out, after.pages_in - before.pages_in);
    if out == 0 || back == 0 {
        return Err("nothing was swapped".into());
    }
    Ok(format!("pages={pages} swapped_out={out} swapped_in={back} bytes_verified={verified} bytes_wrong=0"))
}

/// The memory that programs can have, in pages.
fn memory_pages() -> Outcome<u64> {
    Ok(files::number("/proc/meminfo", "MemAvailable")? / 4)
}

/// Frames that are free, or would be without this program and without pages of files, which can go at any time.
fn free_frames() -> Outcome<u64> {
    let system = ["MemFree", "Cached"].map(|name| files::number("/proc/meminfo", name));
    let own = ["RssAnon", "VmPTE"].map(|name| files::number("/proc/self/status", name));
    Ok(system.into_iter().chain(own).sum::<Result<u64, _>>()? / 4)
}

fn disk() -> Outcome<Tally> {
    println!("\nAct 1: a disk. {TASKS} processes use four times the memory there is; the rest is on {DISK}.\n");
    areas::enable(DISK, 0)?;
    let memory = memory_pages()?;
    let room = memory / 2 + files::number("/proc/meminfo", "SwapTotal")? / 4;
    let pages = (4 * memory).min(room) / TASKS;
    println!("  {TASKS} processes of {} MiB, {} MiB of memory", pages >> 8, memory >> 8);
    if room < 4 * memory {
        println!("  {DISK} has no room for more, so they use less than four times the memory");
    }
    let free_before = free_frames()?;
    let phases = [Phase::Fill, Phase::InOrder, Phase::AtRandom, Phase::OverAndOver, Phase::InOrder];
    let before = Figures::read()?;
    let stage = Stage::set(TASKS, pages, Contents::Mix)?;
    let rows = phases.map(|phase| stage.play(phase)).into_iter().collect::<Result<Vec<_>, _>>()?;
    let used = files::swap_used()?;
    let tally = stage.end()?;
    let after = Figures::read()?;
    areas::disable(DISK)?;
    figures::print_table(&rows);
    figures::print_sums(&before, &after);
    println!("  swap used at the end: {used} pages");
    println!("  frames free but for files and this program: {free_before} before, {} after", free_frames()?);
    Ok(tally)
}

fn zram() -> Outcome<Tally> {
    const ATTRIBUTES: &str = "/sys/block/zram0";
    println!(
        "\nAct 2: zram before the disk. Pages go to {ZRAM}, memory that holds them compressed, and only when that"
    );
    println!("is full to {DISK}.\n");
    let memory = memory_pages()?;
    files::set(&format!("{ATTRIBUTES}/comp_algorithm"), "lz4")?;
    // Not all memory is to end in it.
    let size = memory * 3 / 8;
    files::set(&format!("{ATTRIBUTES}/disksize"), &(size * 4096).to_string())?;
    areas::make(ZRAM, size)?;
    areas::enable(ZRAM, 100)?;
    areas::enable(DISK, 0)?;
    let stage = Stage::set(TASKS, memory * 2 / TASKS, Contents::Mix)?;
    let rows = [stage.play(Phase::Fill)?, stage.play(Phase::InOrder)?];
    let mm_stat = files::numbers(&format!("{ATTRIBUTES}/mm_stat"))?;
    let tally = stage.end()?;
    areas::disable(ZRAM)?;
    areas::disable(DISK)?;
    files::set(&format!("{ATTRIBUTES}/reset"), "1")?;
    figures::print_table(&rows);
    let [original, compressed, used, ..] = mm_stat[..] else { return Err("mm_stat has too few columns".into()) };
    println!(
        "\n  zram held {} pages, {} KiB, compressed to {} KiB in {} KiB of memory: it saved {} KiB and {} trips to the disk",
        original / 4096,
        original >> 10,
        compressed >> 10,
        used >> 10,
        original.saturating_sub(used) >> 10,
        original / 4096
    );
    Ok(tally)
}

fn ghost() -> Outcome<Tally> {
    const PARAMETERS: &str = "/sys/module/zswap/parameters";
    println!(
        "\nAct 3: ghost swap. {GHOST} is swap space with nothing behind it: its slots are names, and the pages are in"
    );
    println!("zswap, compressed in memory.\n");
    if !fs::exists(GHOST)? {
        println!("  this kernel has no {GHOST}");
        return Ok(Tally::default());
    }
    let memory = memory_pages()?;
    if memory < GHOST_NEEDS {
        println!("  {} KiB of memory are too little to keep what is swapped in it", memory * 4);
        return Ok(Tally::default());
    }
    files::set(&format!("{PARAMETERS}/enabled"), "Y")?;
    files::set(&format!("{PARAMETERS}/max_pool_percent"), "50")?;
    areas::enable(GHOST, 0)?;
    let size = files::number("/proc/meminfo", "SwapTotal")?;
    let stage = Stage::set(TASKS, memory * 9 / 8 / TASKS, Contents::Text)?;
    let rows = [stage.play(Phase::Fill)?, stage.play(Phase::InOrder)?];
    let used = files::swap_used()?;
    let (stored, pool) = (files::number("/proc/meminfo", "Zswapped")?, files::number("/proc/meminfo", "Zswap")?);
    let tally = stage.end()?;
    areas::disable(GHOST)?;
    figures::print_table(&rows);
    println!(
        "\n  {GHOST} offered {size} KiB of swap and has no byte of its own: {used} pages were swapped to it, {stored} KiB of \
         them\n  lay in zswap, in {pool} KiB of memory, and no disk saw any"
    );
    Ok(tally)
}
