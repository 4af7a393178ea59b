//! Memory as its own swap: tasks use more than there is, compressed pages take the place of others, and afterwards
//! everything is as it was.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use quire_compressed::zram::Zram;
use quire_linux::fs::devices;
use quire_machine::heap;
use quire_machine::log;
use quire_memory::swap;
use quire_memory::swap::Quire;
use quire_protocol::contents::Contents;
use quire_swap::header::PAGE_SIZE;
use quire_swap::{Disk, SwapOnOptions};

use super::checks::{Books, Meeting, Task, join, ram};
use super::failure::Failure;
use super::workload::{self, Tally};
use crate::command_line::CommandLine;
use crate::require;
use crate::zram;

const CYCLES: u64 = 3;
const TASKS: u64 = 2;

/// The numbers of an attribute.
pub(super) fn numbers(zram: &Zram<Quire>, attribute: &str) -> Result<Vec<u64>, Failure> {
    Ok(zram.show(attribute)?.split_whitespace().filter_map(|word| word.parse().ok()).collect())
}

/// Three times: a device is given a size, enabled, filled under pressure, disabled and reset.
pub(super) fn zram(_command_line: CommandLine<'static>) -> Result<String, Failure> {
    let zram = devices::zram("zram0").ok_or("there is no /dev/zram0")?;
    let tally = Arc::new(Tally::default());
    let (mut stored, mut bytes, mut frames) = (0, 0, 0);
    for cycle in 1..=CYCLES {
        zram.store("reset", "1")?;
        let free = heap::spare_frames();
        zram.store("comp_algorithm", "lz4")?;
        zram.store("disksize", &format!("{}", ram() * 2 * PAGE_SIZE as u64))?;
        let state = under_pressure(&zram, &tally)?;
        let [orig, compressed, used, ..] = state[..] else { return Err(Failure(format!("mm_stat says {state:?}"))) };
        log!(
            "zram",
            "cycle {cycle}: {} KiB stored as {} KiB in {} KiB of memory",
            orig >> 10,
            compressed >> 10,
            used >> 10
        );
        (stored, bytes, frames) = (stored + orig, bytes + compressed, frames + used);
        zram.store("reset", "1")?;
        let after = numbers(&zram, "mm_stat")?;
        require!(after[..3] == [0, 0, 0], "after the reset mm_stat says {after:?}");
        let now = heap::spare_frames();
        require!(now == free, "{free} frames were free before, {now} after");
    }
    Ok(format!(
        "cycles={CYCLES} stored_kib={} compressed_kib={} pool_kib={} bytes_verified={}",
        stored >> 10,
        bytes >> 10,
        frames >> 10,
        tally.verified()
    ))
}

/// Tasks use a quarter more than the memory. Returns `mm_stat` at their end.
fn under_pressure(zram: &Zram<Quire>, tally: &Arc<Tally>) -> Result<Vec<u64>, Failure> {
    let disk = zram::open_for_swap("/dev/zram0").ok_or("/dev/zram0 has no size")?;
    let before = swap::statistics();
    let disk: Arc<dyn Disk<Quire>> = disk;
    let area = swap::core().swapon(&disk, SwapOnOptions::default())?;
    drop(disk);
    let books = Books::open();
    let pages = ram() * 5 / 4 / TASKS;
    let filled = Meeting::new(TASKS);
    let mut tasks: Vec<Task> = Vec::new();
    for number in 0..TASKS {
        let filled = Arc::clone(&filled);
        let work = move |workload: &mut workload::Workload| {
            let outcome = workload.fill();
            filled.come();
            outcome?;
            workload.sequential()?;
            workload.revisit(pages / 16, pages / 2)?;
            workload.sequential()
        };
        tasks.push(workload::start(&format!("task-{number}"), Contents::Mix, number * pages, pages, tally, work)?);
    }
    filled.wait();
    let full = numbers(zram, "mm_stat")?;
    let fatal = join(tasks);
    require!(fatal.is_empty(), "tasks were killed: {fatal:?}");
    require!(swap::statistics().pages_out > before.pages_out, "nothing was swapped");
    require!(swap::statistics().write_requests == before.write_requests, "a block request was made");
    swap::swapoff::disable(area)?;
    let counts = numbers(zram, "io_stat")?;
    require!(counts[..2] == [0, 0], "reads or writes failed: {counts:?}");
    require!(counts[3] > 0, "no slot was freed");
    let left = numbers(zram, "mm_stat")?[0];
    require!(left == PAGE_SIZE as u64, "{left} bytes are stored, not the header alone");
    books.check(tally)?;
    Ok(full)
}
