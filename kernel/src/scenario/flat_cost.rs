//! What a page costs has nothing to do with what else there is: each path at a small and at a large size.
//!
//! All pages are zero, which are never stored: no backend and no codec has a part in it. The time-stamp counter counts
//! instructions only with `--icount`, as in `memory-cost`.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write;
use core::ops::Range;

use quire_machine::task::JoinHandle;
use quire_machine::{clock, print};
use quire_memory::AddressSpace;
use quire_memory::advice::Advice;
use quire_memory::cgroup::Cgroup;
use quire_memory::fault::served;
use quire_swap::header::PAGE_SIZE;
use spin::Mutex;

use super::checks::Meeting;
use super::failure::Failure;
use super::user::{self, START, address, space};
use super::zram_cost::ticks_of_an_instruction;
use crate::command_line::CommandLine;
use crate::swapon::{self, Enabled};

/// Pages of others, 32 MiB, without `pages=` on the command line.
const OTHERS: u64 = 8192;
/// What the measured cgroup may have: 4 MiB.
const LIMIT: u64 = 1024;

/// Ticks for one page at both sizes.
struct Row {
    name: &'static str,
    what: &'static str,
    costs: [u64; 2],
}

pub(super) fn flat_cost(command_line: CommandLine<'static>) -> Result<String, Failure> {
    let ticks = ticks_of_an_instruction();
    let others = command_line.number("pages")?.unwrap_or(OTHERS);
    let mut enabled = swapon::enable(command_line)?;
    let mut rows = Vec::new();
    rows.extend(cgroups(others)?);
    rows.push(Row {
        name: "rmap",
        what: "page-out of a page of one, with 1 and 200 forked relatives",
        costs: [rmap(1)?, rmap(200)?],
    });
    rows.push(Row {
        name: "unmap",
        what: "unmapping 1,000 and 8,000 pages in swap",
        costs: [unmap(1000)?, unmap(8000)?],
    });
    let mut costs = [0; 2];
    for (cost, pages) in costs.iter_mut().zip([1000, 8000]) {
        *cost = swapoff(enabled, pages)?;
        enabled = swapon::enable(command_line)?;
    }
    rows.push(Row { name: "swapoff", what: "swapoff, with 1,000 and 8,000 pages in swap", costs });
    enabled.disable()?;

    let mut figures = String::new();
    print!("{:64} {:>8} {:>8}\n", "instructions a page", "small", "large");
    for Row { name, what, costs: [small, large] } in rows {
        let (small, large) = (small / ticks, large / ticks);
        print!("{what:64} {small:>8} {large:>8}\n");
        write!(figures, "{name}_small={small} {name}_large={large} ")?;
    }
    Ok(format!("{figures}others={others} ticks_an_instruction={ticks}"))
}

/// Has a task in the space do the work, which gets the space too. The space is empty when the task has ended.
fn within<T: Send + 'static>(
    space: &Arc<AddressSpace>,
    work: impl FnOnce(&AddressSpace) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let own = Arc::clone(space);
    quire_memory::tasks::spawn("measured", Arc::clone(space), move || work(&own))?.join()
}

/// A task in a space that has done its work and waits to end.
struct Waiting {
    task: JoinHandle<Result<(), Failure>>,
    done: Arc<Meeting>,
}

impl Waiting {
    fn after(
        space: &Arc<AddressSpace>,
        work: impl FnOnce(&AddressSpace) -> Result<(), Failure> + Send + 'static,
    ) -> Result<Self, Failure> {
        let (ready, done) = (Meeting::new(1), Meeting::new(1));
        let (own_ready, own_done) = (Arc::clone(&ready), Arc::clone(&done));
        let own = Arc::clone(space);
        let task = quire_memory::tasks::spawn("waiting", Arc::clone(space), move || {
            let outcome = work(&own);
            own_ready.come();
            own_done.wait();
            outcome
        })?;
        ready.wait();
        Ok(Self { task, done })
    }

    fn end(self) -> Result<(), Failure> {
        self.done.come();
        self.task.join()
    }
}

fn touch(mut pages: Range<u64>) -> Result<(), Failure> {
    Ok(pages.try_for_each(|page| user::write(address(page), &[0]))?)
}

/// How many pages they are.
fn page_out(space: &AddressSpace, pages: Range<u64>) -> Result<u64, Failure> {
    let count = pages.end - pages.start;
    user::advise(space, pages, Advice::PageOut).map(|()| count)
}

/// Ticks for each of `count`.
fn spent(count: impl FnOnce() -> Result<u64, Failure>) -> Result<u64, Failure> {
    let before = clock::counter();
    let count = count()?;
    Ok((clock::counter() - before) / count.max(1))
}

/// First touches and refaults in a cgroup at its limit, and its removal, beside nothing, beside many pages of others, and with as many
/// cgroups as there can be.
fn cgroups(others: u64) -> Result<[Row; 4], Failure> {
    let alone = cgroup()?;
    let other = Waiting::after(&space(others)?, move |_| touch(0..others))?;
    let beside = cgroup()?;
    other.end()?;
    let mut crowd = Vec::new();
    while let Ok(cgroup) = Cgroup::root().new_child(&format!("{}", crowd.len())) {
        crowd.push(cgroup);
    }
    crowd.pop();
    let crowded = cgroup()?;
    Ok([
        Row {
            name: "cgroup_touch",
            what: "first touch in a full cgroup of 4 MiB, beside others",
            costs: [alone[0], beside[0]],
        },
        Row { name: "cgroup_refault", what: "refault there", costs: [alone[1], beside[1]] },
        Row { name: "cgroup_removal", what: "removal of a cgroup of 4 MiB", costs: [alone[2], beside[2]] },
        Row { name: "cgroup_crowd", what: "refault, with 1 and 63 cgroups", costs: [alone[1], crowded[1]] },
    ])
}

fn cgroup() -> Result<[u64; 3], Failure> {
    let cgroup = Cgroup::root().new_child("measured")?;
    let space = space(3 * LIMIT)?;
    space.set_cgroup(cgroup.number());
    cgroup.set_max(Some(LIMIT * PAGE_SIZE as u64));
    let costs = Arc::new(Mutex::new([0; 2]));
    let own = Arc::clone(&costs);
    let task = Waiting::after(&space, move |_| {
        touch(0..2 * LIMIT)?;
        let touched = spent(|| touch(2 * LIMIT..3 * LIMIT).map(|()| LIMIT))?;
        let before = served::faults();
        let refaulted = spent(|| {
            touch(0..LIMIT)?;
            Ok(served::faults() - before)
        })?;
        *own.lock() = [touched, refaulted];
        Ok(())
    })?;
    let pages = space.resident() as u64;
    let removed = spent(|| {
        drop(cgroup);
        Ok(pages)
    })?;
    task.end()?;
    let [touched, refaulted] = *costs.lock();
    Ok([touched, refaulted, removed])
}

/// Page-out of pages that a task made after it had forked so many relatives.
fn rmap(relatives: usize) -> Result<u64, Failure> {
    const SHARED: u64 = 256;
    const END: u64 = SHARED + LIMIT;
    within(&space(END)?, move |space| {
        touch(0..SHARED)?;
        let relatives = (0..relatives).map(|_| space.fork()).collect::<Result<Vec<_>, _>>()?;
        touch(SHARED..END)?;
        let cost = spent(|| page_out(space, SHARED..END))?;
        drop(relatives);
        Ok(cost)
    })
}

fn with_pages_in_swap(pages: u64) -> Result<Waiting, Failure> {
    Waiting::after(&space(pages)?, move |space| {
        touch(0..pages)?;
        page_out(space, 0..pages).map(drop)
    })
}

/// As at the end of a process, without waiting for that of its thread.
fn unmap(pages: u64) -> Result<u64, Failure> {
    within(&space(pages)?, move |space| {
        touch(0..pages)?;
        page_out(space, 0..pages)?;
        spent(|| {
            let outcome = space.unmap(START..address(pages));
            outcome.map_err(|error| Failure(format!("unmapping was refused: {error:?}")))?;
            Ok(pages)
        })
    })
}

fn swapoff(enabled: Enabled, pages: u64) -> Result<u64, Failure> {
    let task = with_pages_in_swap(pages)?;
    let cost = spent(|| Ok(enabled.disable().map(|()| pages)?))?;
    task.end()?;
    Ok(cost)
}
