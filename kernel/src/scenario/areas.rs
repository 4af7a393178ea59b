//! Several areas: who is filled first, who shares, and how an area goes while all tasks work.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use quire_machine::log;
use quire_memory::swap;
use quire_protocol::contents::Contents;
use quire_swap::{CLUSTER_SLOTS, SwapOffError};

use super::checks::{Books, Meeting, Task, join, ram};
use super::failure::Failure;
use super::workload::{self, Tally};
use crate::command_line::CommandLine;
use crate::require;
use crate::swapon;

type Outcome = Result<String, Failure>;

const TASKS: u64 = 4;

fn used(area: u8) -> u64 {
    swap::core().area(area).map_or(0, |area| area.used())
}

/// `swapon=` names two areas of equal priority, then one of a higher one. Tasks fill memory and all of the last area and
/// part of the others, then go on working while one area after another is disabled.
pub(super) fn areas(command_line: CommandLine<'static>) -> Outcome {
    let enabled = swapon::enable(command_line)?;
    let &[one, other, first] = enabled.areas() else {
        return Err(Failure(format!("needs three areas, not {}", enabled.areas().len())));
    };
    let first_pages = swap::core().area(first).map_or(0, |area| area.usable());
    let books = Books::open();
    let tally = Arc::new(Tally::default());
    let (filled, counted) = (Meeting::new(TASKS), Meeting::new(1));
    let stop = Arc::new(AtomicBool::new(false));

    let pages = (ram() + first_pages * 7 / 4) / TASKS;
    let mut tasks: Vec<Task> = Vec::new();
    for number in 0..TASKS {
        let (filled, counted, stop) = (Arc::clone(&filled), Arc::clone(&counted), Arc::clone(&stop));
        let work = move |workload: &mut workload::Workload| {
            let outcome = workload.fill();
            filled.come();
            outcome?;
            counted.wait();
            while !stop.load(Ordering::Relaxed) {
                workload.revisit(pages / 16, 256)?;
            }
            workload.sequential()
        };
        tasks.push(workload::start(&format!("task-{number}"), Contents::Text, number * pages, pages, &tally, work)?);
    }
    filled.wait();
    let shares = (used(one), used(other), used(first));
    counted.come();
    log!(
        "areas",
        "slots in use: {} and {} at equal priority, {} of {first_pages} at a higher one",
        shares.0,
        shares.1,
        shares.2
    );
    let outcome = while_working(one, other, first, first_pages, shares);
    stop.store(true, Ordering::Relaxed);
    let fatal = join(tasks);
    let left = outcome?;
    require!(fatal.is_empty(), "tasks were killed: {fatal:?}");
    enabled.disable()?;
    books.check(&tally)?;
    Ok(format!(
        "first={}/{first_pages} shares={}/{} refused_at={left} bytes_verified={}",
        shares.2,
        shares.0,
        shares.1,
        tally.verified()
    ))
}

/// Checks who holds what, then disables the areas as far as they can be spared. Returns how much was in the last one.
fn while_working(one: u8, other: u8, first: u8, first_pages: u64, shares: (u64, u64, u64)) -> Result<u64, Failure> {
    let cluster = CLUSTER_SLOTS as u64;
    require!(
        shares.0 > cluster && shares.1 > cluster,
        "the areas of lower priority hold only {} and {}",
        shares.0,
        shares.1
    );
    require!(
        shares.2 + shares.2 / 8 >= first_pages,
        "the area of higher priority holds only {} of {first_pages} while others are in use",
        shares.2
    );
    require!(
        shares.0.abs_diff(shares.1) <= 2 * cluster,
        "areas of equal priority hold {} and {}: not even",
        shares.0,
        shares.1
    );
    swap::swapoff::disable(first)?;
    require!(used(first) == 0 && swap::core().area(first).is_none(), "the first area is still there");
    swap::swapoff::disable(one)?;
    let left = used(other);
    // What is in the last area has nowhere else to go, and does not fit into memory.
    let outcome = swap::swapoff::disable(other);
    require!(outcome == Err(SwapOffError::NoMemory), "swapoff without room for the pages gave {outcome:?}");
    require!(swap::core().area(other).is_some(), "an area went although its pages did not fit into memory");
    Ok(left)
}
