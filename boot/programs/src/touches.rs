//! `touches NAME FRAMES [SEED]`: touches pages in a generator's order, in a memory cgroup with room for so many of them, and says
//! how many of the touches had to read.
//!
//! The same references go through the simulator, `cargo run -- policy --generate NAME --frames FRAMES`, and through Linux. Where
//! the time-stamp counter counts instructions (`--icount`), `ticks/touch` is exact.
//!
//! Exit status: 0 all pages held what was written, 1 some did not, 2 wrong usage or a refused system call.

use std::{collections::BTreeMap, error::Error, process::ExitCode};

use nix::sys::{
    mman::MmapAdvise,
    resource::{UsageWho, getrusage},
};
use quire_protocol::references::{self, Generator};

use crate::{
    cgroup::Cgroup,
    memory::{Memory, PAGE},
    swbench::ticks,
};

/// Pages that one page table maps.
const PAGES_A_TABLE: usize = 512;

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
    let cgroup = Cgroup::new("touches")?;
    let references = generator.pages(seed);
    let Touched { pages, major, minor, wrong, ticks } = touch_all(&references, frames, &cgroup, || ())?;
    let touches = references.len();
    println!(
        "touches trace={} frames={frames} touches={touches} pages={pages} majflt={major} minflt={minor} wrong={wrong} {} \
         ticks/touch",
        generator.name,
        ticks / touches as u64
    );
    Ok(wrong)
}

/// What came of touching pages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Touched {
    /// How many pages there are.
    pub(crate) pages: usize,
    /// Faults that read.
    pub(crate) major: u64,
    minor: u64,
    /// How many touches found something else than was written.
    pub(crate) wrong: usize,
    ticks: u64,
}

/// Touches pages in the order of `references`, with `frames` frames for them in the cgroup, which this process enters: what it has made
/// before is not the cgroup's. Calls `each` after each touch.
pub(crate) fn touch_all(
    references: &[u64],
    frames: u64,
    cgroup: &Cgroup,
    mut each: impl FnMut(),
) -> Result<Touched, Box<dyn Error>> {
    let places: BTreeMap<u64, usize> = references.iter().map(|page| (*page, 0)).collect();
    let places: BTreeMap<u64, usize> = places.into_keys().zip(0..).collect();
    let touches: Vec<usize> = references.iter().map(|page| places[page]).collect();
    cgroup.enter()?;
    let mut memory = Memory::private(places.len())?;
    memory.advise(0..places.len(), MmapAdvise::MADV_NOHUGEPAGE)?;
    cgroup.set("memory.max", &format!("{}", (frames + kept(&mut memory, cgroup)?) * PAGE as u64))?;

    let before = getrusage(UsageWho::RUSAGE_SELF)?;
    let begin = ticks();
    let mut wrong = 0;
    for touch in &touches {
        match memory.word(*touch) {
            0 => memory.set_word(*touch, *touch as u64 + 1),
            number => wrong += usize::from(number != *touch as u64 + 1),
        }
        each();
    }
    let ticks = ticks() - begin;
    let after = getrusage(UsageWho::RUSAGE_SELF)?;
    let faults = |after: i64, before: i64| (after - before).unsigned_abs();
    Ok(Touched {
        pages: places.len(),
        major: faults(after.major_page_faults(), before.major_page_faults()),
        minor: faults(after.minor_page_faults(), before.minor_page_faults()),
        wrong,
        ticks,
    })
}

/// How many pages the cgroup is charged when the page tables for the memory are there and nothing else.
fn kept(memory: &mut Memory, cgroup: &Cgroup) -> Result<u64, Box<dyn Error>> {
    let pages = memory.pages().len();
    (0..pages).step_by(PAGES_A_TABLE).for_each(|page| memory.touch(page));
    memory.advise(0..pages, MmapAdvise::MADV_DONTNEED)?;
    Ok(cgroup.number("memory.current")?.div_ceil(PAGE as u64))
}
