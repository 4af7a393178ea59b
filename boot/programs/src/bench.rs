//! `bench zram|ghost|disk|faults|demo`: the figures that are compared with Linux's, in ticks of the time-stamp counter.
//!
//! For a swap area it makes the area ready, which must not have been done yet, and runs `swbench` with each kind of
//! contents. `faults` measures what needs no swap: a first touch, and a fork; `demo` for how long the processor works for the demo.

use std::{error::Error, fs, iter, process::ExitCode};

use quire_protocol::contents::Contents;

use crate::{
    areas, demo, files,
    memory::Memory,
    process::{Child, End},
    swbench::{self, ticks},
};

type Outcome = Result<(), Box<dyn Error>>;

/// 16 MiB.
const PAGES: usize = 4096;

/// Memory for more than there is, with these pages in it, so that none of them stays in the swap cache.
const HOG_MIB: u64 = 220;

pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["zram"] => zram(),
        ["ghost"] => ghost(),
        ["disk"] => disk(),
        ["faults"] => faults(),
        ["demo"] => demo(),
        _ => {
            eprintln!("usage: bench zram|ghost|disk|faults|demo");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => {
            println!("quire: bench ok");
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("quire: bench FAILED {why}");
            ExitCode::FAILURE
        }
    }
}

/// Every kind of contents, in random order, one page a fault.
fn each_contents() -> Outcome {
    files::set("/proc/sys/vm/page-cluster", "0")?;
    for contents in Contents::ALL {
        run(&[contents.name(), "random"])?;
    }
    Ok(())
}

fn run(work: &[&str]) -> Outcome {
    let words: Vec<String> = iter::once(PAGES.to_string()).chain(work.iter().map(|&word| word.to_owned())).collect();
    // Ticks do not say what went wrong: the program does.
    let end = Child::start(|| i32::from(swbench::main(&words) != ExitCode::SUCCESS))?.wait()?;
    if end == End::Exited(0) { Ok(()) } else { Err(format!("swbench {}: {end}", words.join(" ")).into()) }
}

fn zram() -> Outcome {
    const SIZE: u64 = 256 << 20;
    files::set("/sys/block/zram0/comp_algorithm", "lz4")?;
    files::set("/sys/block/zram0/disksize", &SIZE.to_string())?;
    areas::make("/dev/zram0", SIZE / 4096)?;
    areas::enable("/dev/zram0", 0)?;
    each_contents()
}

fn ghost() -> Outcome {
    files::set("/sys/module/zswap/parameters/enabled", "Y")?;
    // What does not compress has nowhere else to go.
    files::set("/sys/module/zswap/parameters/max_pool_percent", "50")?;
    areas::enable("/dev/ghostswap", 0)?;
    each_contents()
}

/// In order with readahead, once with the pages still in the swap cache and once without.
fn disk() -> Outcome {
    areas::enable("/dev/vda", 0)?;
    files::set("/proc/sys/vm/page-cluster", "3")?;
    run(&["text", "seq"])?;
    run(&["text", "seq", &HOG_MIB.to_string()])?;
    run(&["text", "random", &HOG_MIB.to_string()])
}

fn faults() -> Outcome {
    const ROUNDS: usize = 5;
    let (mut first_touch, mut forks) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut memory = Memory::private(PAGES)?;
        let start = ticks();
        (0..PAGES).for_each(|page| memory.touch(page));
        first_touch.push((ticks() - start) / PAGES as u64);
        let start = ticks();
        let child = Child::start(|| 0)?;
        forks.push((ticks() - start) / PAGES as u64);
        child.wait()?;
    }
    // The least: in the others the timer's interrupt, or the child, came in between.
    let least = |ticks: Vec<u64>| ticks.into_iter().min().unwrap_or(0);
    println!("faults pages={PAGES} first_touch={} fork={} ticks/page", least(first_touch), least(forks));
    Ok(())
}

/// For how many hundredths of a second the processor has worked when the demo is over.
fn demo() -> Outcome {
    if demo::main(&[]) != ExitCode::SUCCESS {
        return Err("the demo failed".into());
    }
    let stat = fs::read_to_string("/proc/stat")?;
    let [_, user, _, system, ..] = stat.split_whitespace().collect::<Vec<_>>()[..] else {
        return Err("/proc/stat says nothing".into());
    };
    println!("demo busy={}", user.parse::<u64>()? + system.parse::<u64>()?);
    Ok(())
}
