//! What the paths around the backends cost, in instructions: a first touch, a fault that finds its page in the swap cache,
//! `fork`, and looking at pages to take them out of memory.
//!
//! The time-stamp counter counts instructions only with `--icount`; a loop of known length says how many of its ticks one
//! takes.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;

use quire_machine::clock;
use quire_machine::event::{self, EventKind};
use quire_machine::print;
use quire_machine::task;
use quire_memory::advice::Advice;
use quire_memory::large_folio::{self, LARGE_PAGES, Setting};
use quire_memory::swap;
use quire_memory::{AddressSpace, progress, reclaim};

use super::failure::Failure;
use super::user::{self, Fault, address, advise};
use super::zram_cost::ticks_of_an_instruction;
use crate::command_line::CommandLine;
use crate::require;
use crate::swapon;

/// 16 MiB, without `pages=` on the command line.
const PAGES: u64 = 4096;

/// Few enough that the timer hardly ever comes in between.
const EVENTS: u64 = 256;

/// Ticks a page, and for an event.
struct Costs {
    first_touch: u64,
    large_touch: u64,
    fork: u64,
    zero_out: u64,
    clean_out: u64,
    scan: u64,
    cached: u64,
    event: u64,
}

pub(super) fn memory_cost(command_line: CommandLine<'static>) -> Result<String, Failure> {
    let enabled = swapon::enable(command_line)?;
    let ticks = ticks_of_an_instruction();
    let pages = command_line.number("pages")?.unwrap_or(PAGES).max(1);
    let space = user::space(pages)?;
    let own = Arc::clone(&space);
    let costs = quire_memory::tasks::spawn("measured", space, move || measure(&own, pages))?.join()?;
    enabled.disable()?;
    let mut figures = String::new();
    print!("{:44} {:>8} {:>8} {:>8}\n", "instructions a page", "", "at most", "Linux");
    for (name, what, cost, most, linux) in [
        ("first_touch", "first touch, clearing included", costs.first_touch, 1500, ""),
        ("large_touch", "first touch of 64 KiB that come at once", costs.large_touch, 710, ""),
        ("cached", "fault that finds its page in the swap cache", costs.cached, 1200, "2,340"),
        ("fork", "fork with 16 MiB resident", costs.fork, 150, ""),
        ("zero_out", "taken out: given a slot, nothing written", costs.zero_out, 700, ""),
        ("clean_out", "taken out: its slot still has its contents", costs.clean_out, 700, ""),
        ("scan", "reclaimed from the list, nothing written", costs.scan, 700, ""),
        ("event", "an event, for those who look from outside", costs.event, 40, ""),
    ] {
        let cost = cost / ticks;
        print!("{what:44} {cost:>8} {most:>8} {linux:>8}\n");
        write!(figures, "{name}={cost} ")?;
    }
    Ok(format!("{figures}ticks_an_instruction={ticks}"))
}

fn measure(space: &AddressSpace, pages: u64) -> Result<Costs, Failure> {
    // Page tables are made first, by mapping the frame of zeros; then all becomes untouched again but for them.
    (0..pages).try_for_each(|page| user::read_word(address(page)).map(drop))?;
    advise(space, 0..pages, Advice::DontNeed)?;
    let first_touch = median((0..pages).map(|page| spent(|| user::write(address(page), &[0]))))?;

    let before = clock::counter();
    let child = space.fork()?;
    let fork = (clock::counter() - before) / pages;
    drop(child);

    let before = clock::counter();
    advise(space, 0..pages, Advice::PageOut)?;
    let zero_out = (clock::counter() - before) / pages;
    let zeros = swap::statistics().zero_out;
    require!(zeros == pages, "{zeros} pages of zeros went out, not {pages}");

    (0..pages).try_for_each(|page| user::write_word(address(page), page + 1))?;
    advise(space, 0..pages, Advice::PageOut)?;
    // Waits for what is being written, so that reading ahead finds all of it in its slots.
    while space.usage().swapped < pages as usize || progress::writes_under_way() > 0 {
        task::yield_now();
    }
    let hits = swap::statistics().cache_hits;
    let cached = median((0..pages).map(|page| spent(|| user::read_word(address(page)).map(drop))))?;
    let hits = swap::statistics().cache_hits - hits;
    require!(hits > pages / 2, "only {hits} faults found their page in the swap cache");

    // Zeros again from here on, which no disk has a part in: how soon one serves a request is not the same in each run.
    advise(space, 0..pages, Advice::DontNeed)?;
    (0..pages).try_for_each(|page| user::write(address(page), &[0]))?;
    advise(space, 0..pages, Advice::PageOut)?;
    (0..pages).try_for_each(|page| user::read_word(address(page)).map(drop))?;
    let clean_out = freeing(space, || advise(space, 0..pages, Advice::PageOut))?;

    (0..pages).try_for_each(|page| user::read_word(address(page)).map(drop))?;
    // From here on they are in the inactive list, and no task accesses them.
    advise(space, 0..pages, Advice::Cold)?;
    let scan = freeing(space, || {
        while reclaim::pass() > 0 {}
        Ok(())
    })?;
    advise(space, 0..pages, Advice::DontNeed)?;
    large_folio::FOR_SIZE.set(Setting::Always);
    let large = (0..pages).step_by(LARGE_PAGES).map(|page| spent(|| user::write(address(page), &[0])));
    let large_touch = median(large)? / LARGE_PAGES as u64;
    large_folio::FOR_SIZE.set(Setting::Never);
    let resident = space.resident() as u64;
    require!(resident == pages, "{resident} of {pages} pages came with the first of each 64 KiB");
    // Such as do not happen: of no page.
    let before = clock::counter();
    (0..EVENTS).for_each(|_| event::note(EventKind::TlbFlush, 0, 0));
    let event = (clock::counter() - before) / EVENTS;
    Ok(Costs { first_touch, large_touch, fork, zero_out, clean_out, scan, cached, event })
}

/// Ticks of `work` for each page that it takes out of memory, none of which has to be written.
fn freeing(space: &AddressSpace, work: impl FnOnce() -> Result<(), Failure>) -> Result<u64, Failure> {
    let (clean, written) = (space.resident() as u64, swap::statistics().pages_out);
    let before = clock::counter();
    work()?;
    let ticks = clock::counter() - before;
    let gone = clean - space.resident() as u64;
    let written = swap::statistics().pages_out - written;
    require!(gone > clean * 9 / 10, "only {gone} of {clean} clean pages left memory");
    require!(written == 0, "{written} of {clean} clean pages were written");
    Ok(ticks / gone)
}

fn spent(work: impl FnOnce() -> Result<(), Fault>) -> Result<u64, Fault> {
    let before = clock::counter();
    work()?;
    Ok(clock::counter() - before)
}

fn median(times: impl Iterator<Item = Result<u64, Fault>>) -> Result<u64, Fault> {
    let mut times = times.collect::<Result<Vec<u64>, Fault>>()?;
    times.sort_unstable();
    Ok(times[times.len() / 2])
}
