//! Memory cgroups: a reference trace in a cgroup of four frames, and cgroups that reach their limits.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use quire_machine::task::{self, JoinHandle, time};
use quire_machine::{heap, print};
use quire_memory::cgroup::{Cgroup, CgroupEvent};
use quire_memory::fault::served;
use quire_memory::lru;
use quire_memory::tasks::Fatal;
use quire_memory::trace::{self, FRAMES, TRACE};
use quire_swap::header::PAGE_SIZE;

use super::checks::ram;
use super::failure::Failure;
use super::user::{self, Fault, START};
use crate::command_line::CommandLine;
use crate::require;
use crate::swapon;

const PAGE: u64 = PAGE_SIZE as u64;

type Outcome = Result<String, Failure>;

/// Starts a task in the cgroup with `pages` pages at [`START`].
fn start<T: Send + 'static>(
    name: &str,
    cgroup: &Cgroup,
    pages: u64,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, Failure> {
    let space = user::space(pages)?;
    space.set_cgroup(cgroup.number());
    Ok(quire_memory::tasks::spawn(name, space, work)?)
}

/// The most pages of a trace, and the most touches, that the command line gives.
const PAGES_MAX: u64 = 512;
const TOUCHES_MAX: usize = 1000;

/// The pages that `trace=` names, in their order.
fn own_trace(command_line: CommandLine<'static>) -> Result<Option<Vec<u64>>, Failure> {
    let Some(value) = command_line.value("trace") else { return Ok(None) };
    let mut pages = Vec::new();
    for word in value.split(',') {
        match word.parse() {
            Ok(page) if page < PAGES_MAX && pages.len() < TOUCHES_MAX => pages.push(page),
            _ => {
                return Err(Failure(format!(
                    "trace={value}: expected up to {TOUCHES_MAX} numbers of pages below {PAGES_MAX}, as in trace=0,1,2,0"
                )));
            }
        }
    }
    Ok(Some(pages))
}

/// Touches pages in the order of the trace, and compares the touches that fault with those that the policy implies; for a trace of the
/// command line's it says which those are.
pub(super) fn trace(command_line: CommandLine<'static>) -> Outcome {
    let own = own_trace(command_line)?;
    let frames = match command_line.number("frames").map_err(|error| Failure(format!("{error}")))? {
        Some(0) => return Err(Failure("frames=0: expected at least 1".into())),
        Some(frames) if own.is_some() => frames.min(PAGES_MAX),
        Some(_) => return Err(Failure("frames= is for a trace of your own: trace=0,1,2,0 frames=2".into())),
        None => FRAMES as u64,
    };
    let touches = Arc::new(own.clone().unwrap_or_else(|| TRACE.to_vec()));
    let pages = touches.iter().max().map_or(0, |last| last + 1);
    let enabled = swapon::enable(command_line)?;
    let cgroup = Cgroup::root().new_child("trace")?;
    // What the kernel keeps for such a task counts as well.
    let charged = Arc::clone(&cgroup);
    let kernel = start("first", &cgroup, pages, move || -> Result<u64, Fault> {
        user::write_word(START, 1)?;
        Ok(charged.current() - charged.uses().anonymous)
    })?;
    cgroup.set_max(Some(kernel.join()? + frames * PAGE));
    let touch = |page: u64, is_new: bool| {
        let before = served::faults();
        let address = START + page * PAGE;
        if is_new { user::write_word(address, page + 1) } else { user::read_word(address).map(drop) }?;
        Ok(served::faults() > before)
    };
    let ordered = Arc::clone(&touches);
    let work = move || -> Result<Vec<usize>, Fault> {
        let mut faults = Vec::new();
        for (at, page) in ordered.iter().enumerate() {
            if touch(*page, !ordered[..at].contains(page))? {
                faults.push(at);
            }
        }
        Ok(faults)
    };
    let faults = start("trace", &cgroup, pages, work)?.join()?;
    enabled.disable()?;
    if own.is_some() {
        print!("touches of pages, with a ! where one faulted, {frames} frames, policy {}:\n ", lru::policy());
        for (at, page) in touches.iter().enumerate() {
            print!(" {page}{}", if faults.contains(&at) { "!" } else { "" });
        }
        print!("\n");
        return Ok(format!("touches={} faults={}", touches.len(), faults.len()));
    }
    let implied = trace::faults(lru::policy()).unwrap_or_default();
    require!(faults == implied, "touches {faults:?} faulted, not {implied:?}");
    Ok(format!("touches={} faults={}", TRACE.len(), faults.len()))
}

fn fill_and_check(pages: u64) -> Result<(), Failure> {
    (0..pages).try_for_each(|page| user::write_word(START + page * PAGE, page + 1))?;
    for page in 0..pages {
        let found = user::read_word(START + page * PAGE)?;
        require!(found == page + 1, "page {page} holds {found}");
    }
    Ok(())
}

/// One cgroup swaps at its limit while the other keeps its pages; one that may not swap enough loses its task.
pub(super) fn groups(command_line: CommandLine<'static>) -> Outcome {
    let enabled = swapon::enable(command_line)?;
    let free = heap::spare_frames();
    let limit = ram() / 8;
    let outer = Cgroup::root().new_child("outer")?;
    let (small, other) = (outer.new_child("small")?, outer.new_child("other")?);
    small.set_max(Some(limit * PAGE));

    // The other's pages stay where they are until it is told to end.
    let own = Arc::clone(&other);
    let (ready, done) = (super::checks::Meeting::new(1), super::checks::Meeting::new(1));
    let (own_ready, own_done) = (Arc::clone(&ready), Arc::clone(&done));
    let bystander = start("bystander", &other, limit, move || {
        let outcome = fill_and_check(limit);
        own_ready.come();
        own_done.wait();
        let stayed = own.uses().anonymous == limit * PAGE && own.swap_current() == 0;
        outcome.map(|()| stayed)
    })?;
    ready.wait();
    let own = Arc::clone(&small);
    let user = start("swapper", &small, limit * 3, move || {
        let outcome = fill_and_check(limit * 3);
        outcome.map(|()| (own.current() / PAGE, own.swap_current() / PAGE))
    })?;
    let (current, swapped) = user.join()?;
    require!(current <= limit, "the cgroup has {current} pages in memory, and may have {limit}");
    require!(current + swapped >= limit * 3, "{current} pages in memory and {swapped} in swap are too few");
    require!(small.peak() <= limit * PAGE, "it had {} bytes at one time", small.peak());
    require!(outer.current() == (small.current() + other.current()), "the outer cgroup counts something else");

    small.set_swap_max(Some(limit * PAGE));
    let killed = start("killed", &small, limit * 3, move || {
        let outcome = fill_and_check(limit * 3);
        (outcome.is_err(), quire_memory::tasks::fatal(&task::current()))
    })?;
    let killed = killed.join();
    require!(killed == (true, Some(Fatal::OutOfMemory)), "a task that may not swap ended with {killed:?}");
    require!(
        small.events(CgroupEvent::OutOfMemory) > 0 && small.events(CgroupEvent::SwapMax) > 0,
        "its cgroup did not notice"
    );
    require!(other.events(CgroupEvent::Max) == 0, "the other cgroup reached a limit");
    done.come();
    require!(bystander.join()?, "the other cgroup's pages did not stay in memory");

    let groups = [&small, &other, &outer];
    // A page that was on its way out when its task ended has its slot until the write has ended.
    for _ in 0..1000 {
        if groups.iter().all(|cgroup| cgroup.swap_current() == 0) {
            break;
        }
        time::sleep(Duration::from_millis(10));
    }
    let left = groups.map(|cgroup| (cgroup.current(), cgroup.swap_current()));
    require!(left == [(0, 0); 3], "charges are left: {left:?}");
    let hits = small.events(CgroupEvent::Max);
    drop((small, other, outer));
    enabled.disable()?;
    let after = heap::spare_frames();
    require!(after == free, "{free} frames were free before, {after} after");
    Ok(format!("limit={limit} swapped={swapped} hits_of_the_limit={hits} killed=1"))
}
