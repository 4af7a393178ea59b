//! `touches NAME FRAMES [SEED]`: touches pages in a generator's order, in a memory cgroup with room for so many of them, and says
//! how many of the touches had to read.
//!
//! The same references go through the simulator, `cargo run -- policy --generate NAME --frames FRAMES`, and through Linux. Where
//! the time-stamp counter counts instructions (`--icount`), `ticks/touch` is exact.
//!
//! Exit status: 0 all pages held what was written, 1 some did not, 2 wrong usage or a refused system call.

use std::{collections::BTreeMap, error::Error, fs, process::ExitCode};

use nix::{
    errno::Errno,
    mount::{MsFlags, mount},
    sys::{
        mman::MmapAdvise,
        resource::{UsageWho, getrusage},
    },
};
use quire_protocol::references::{self, Generator};

use crate::{
    files,
    memory::{Memory, PAGE},
    swbench::ticks,
};

/// Pages that one page table maps.
const PAGES_A_TABLE: usize = 512;

const CGROUPS: &str = "/sys/fs/cgroup";
const CGROUP: &str = "/sys/fs/cgroup/touches";

pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let Some((generator, frames, seed)) = parse(arguments) else {
        eprintln!("usage: touches {} FRAMES [SEED]", references::names().join("|"));
        return ExitCode::from(2);
    };
    match run(generator, frames, seed) {
        Ok(wrong) => ExitCode::from(u8::from(wrong > 0)),
        Err(error) => {
            eprintln!("touches: {error}");
            ExitCode::from(2)
        }
    }
}

fn parse(arguments: &[String]) -> Option<(&'static Generator, u64, u64)> {
    let [name, frames, seed @ ..] = arguments else { return None };
    let seed = seed.first().map_or(Some(1), |seed| seed.parse().ok())?;
    Some((Generator::named(name)?, frames.parse().ok().filter(|frames| *frames > 0)?, seed))
}

fn run(generator: &Generator, frames: u64, seed: u64) -> Result<usize, Box<dyn Error>> {
    let pages = generator.pages(seed);
    let places: BTreeMap<u64, usize> = pages.iter().map(|page| (*page, 0)).collect();
    let places: BTreeMap<u64, usize> = places.into_keys().zip(0..).collect();
    let touches: Vec<usize> = pages.iter().map(|page| places[page]).collect();
    enter_cgroup()?;
    let mut memory = Memory::private(places.len())?;
    memory.advise(0..places.len(), MmapAdvise::MADV_NOHUGEPAGE)?;
    files::set(&format!("{CGROUP}/memory.max"), &format!("{}", (frames + kept(&mut memory)?) * PAGE as u64))?;

    let before = getrusage(UsageWho::RUSAGE_SELF)?;
    let begin = ticks();
    let mut wrong = 0;
    for touch in &touches {
        match memory.word(*touch) {
            0 => memory.set_word(*touch, *touch as u64 + 1),
            number => wrong += usize::from(number != *touch as u64 + 1),
        }
    }
    let took = ticks() - begin;
    let after = getrusage(UsageWho::RUSAGE_SELF)?;
    println!(
        "touches trace={} frames={frames} touches={} pages={} majflt={} minflt={} wrong={wrong} {} ticks/touch",
        generator.name,
        touches.len(),
        places.len(),
        after.major_page_faults() - before.major_page_faults(),
        after.minor_page_faults() - before.minor_page_faults(),
        took / touches.len() as u64
    );
    Ok(wrong)
}

/// Puts this process into a memory cgroup of its own.
fn enter_cgroup() -> Result<(), Box<dyn Error>> {
    let none = None::<&str>;
    match mount(Some("cgroup2"), CGROUPS, Some("cgroup2"), MsFlags::empty(), none) {
        Ok(()) | Err(Errno::EBUSY) => {}
        Err(error) => return Err(error.into()),
    }
    // Where it is on already, the name is accepted as well.
    files::set(&format!("{CGROUPS}/cgroup.subtree_control"), "+memory")?;
    match fs::create_dir(CGROUP) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error.into()),
        _ => {}
    }
    files::set(&format!("{CGROUP}/cgroup.procs"), &std::process::id().to_string())?;
    Ok(())
}

/// How many pages the cgroup is charged when the page tables for the memory are there and nothing else.
fn kept(memory: &mut Memory) -> Result<u64, Box<dyn Error>> {
    let pages = memory.pages().len();
    (0..pages).step_by(PAGES_A_TABLE).for_each(|page| memory.touch(page));
    memory.advise(0..pages, MmapAdvise::MADV_DONTNEED)?;
    let current: u64 = files::text(&format!("{CGROUP}/memory.current"))?.trim().parse()?;
    Ok(current.div_ceil(PAGE as u64))
}
