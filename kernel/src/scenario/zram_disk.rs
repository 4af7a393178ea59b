//! zram with a disk behind it, and zram whose memory changes by itself.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use quire_compressed::PoolMachine;
use quire_compressed::zram::{Zram, ZramError};
use quire_linux::fs::devices;
use quire_machine::frame::Kind;
use quire_machine::heap;
use quire_machine::log;
use quire_machine::physical;
use quire_memory::swap;
use quire_memory::swap::Quire;
use quire_memory::tasks::Fatal;
use quire_protocol::contents::Contents;
use quire_swap::header::PAGE_SIZE;
use quire_swap::{Disk, SwapOnError, SwapOnOptions};

use super::checks::{Meeting, Task, join};
use super::failure::Failure;
use super::workload::{self, Tally};
use super::zram::numbers;
use crate::command_line::CommandLine;
use crate::require;
use crate::zram;

const CYCLES: u64 = 3;
const TASKS: u64 = 3;
/// Pages of a task.
const PAGES: u64 = 300;

/// A device that is a swap area, and what there was before.
struct Enabled {
    zram: Arc<Zram<Quire>>,
    area: u8,
    free: usize,
}

impl Enabled {
    /// Gives `/dev/zram0` these attributes and a size, and enables it.
    fn new(attributes: &[(&str, &str)]) -> Result<Self, Failure> {
        let zram = devices::zram("zram0").ok_or("there is no /dev/zram0")?;
        let free = heap::spare_frames();
        attributes.iter().try_for_each(|(name, value)| zram.store(name, value))?;
        zram.store("disksize", "64M")?;
        let disk: Arc<dyn Disk<Quire>> = zram::open_for_swap("/dev/zram0").ok_or("/dev/zram0 has no size")?;
        let area = swap::core().swapon(&disk, SwapOnOptions::default())?;
        Ok(Self { zram, area, free })
    }

    /// Disables it, looks whether every page was freed, and resets it.
    fn end(self, tally: &Tally) -> Result<(), Failure> {
        let Self { zram, area, free } = self;
        swap::swapoff::disable(area)?;
        let (verified, wrong) = (tally.verified(), tally.wrong());
        require!(wrong == 0, "{wrong} of {verified} bytes did not come back");
        let io = numbers(&zram, "io_stat")?;
        require!(io[3] == TASKS * PAGES, "{} pages were freed: io_stat says {io:?}", TASKS * PAGES);
        let left = numbers(&zram, "mm_stat")?[0];
        require!(left == PAGE_SIZE as u64, "{left} bytes are stored, not the header alone");
        zram.store("reset", "1")?;
        let after = numbers(&zram, "mm_stat")?;
        require!(after[..3] == [0, 0, 0], "after the reset mm_stat says {after:?}");
        let now = heap::spare_frames();
        require!(now == free, "{free} frames were free before, {now} after");
        Ok(())
    }
}

/// Tasks whose pages have all gone out, and who wait for the meeting to read them again.
pub(super) fn paged_out(contents: Contents, tally: &Arc<Tally>, go_on: &Arc<Meeting>) -> Result<Vec<Task>, Failure> {
    let out = Meeting::new(TASKS);
    let mut tasks = Vec::new();
    for number in 0..TASKS {
        let (out, go_on) = (Arc::clone(&out), Arc::clone(go_on));
        let work = move |workload: &mut workload::Workload| {
            let outcome = workload.fill().and_then(|()| workload.page_out());
            out.come();
            outcome?;
            go_on.wait();
            workload.random(PAGES)?;
            workload.sequential()
        };
        tasks.push(workload::start(&format!("task-{number}"), contents, number * PAGES, PAGES, tally, work)?);
    }
    out.wait();
    Ok(tasks)
}

/// Three times: pages go to zram, from there to the disk, and come back from wherever they are.
pub(super) fn zram_writeback(command_line: CommandLine<'static>) -> Result<String, Failure> {
    let compressed = command_line.value("compressed").unwrap_or("0");
    let errors = command_line.value("errors") == Some("1");
    let tally = Arc::new(Tally::default());
    let (mut blocks, mut pages, mut refused) = (0, 0, 0);
    for cycle in 1..=CYCLES {
        let attributes =
            [("backing_dev", "/dev/vda"), ("compressed_writeback", compressed), ("recomp_algorithm", "algo=deflate")];
        let enabled = Enabled::new(&attributes)?;
        let zram = Arc::clone(&enabled.zram);
        in_use(&zram)?;
        let go_on = Meeting::new(1);
        let tasks = paged_out(Contents::Mix, &tally, &go_on)?;
        let before = numbers(&zram, "mm_stat")?;
        zram.store("recompress", "threshold=2000 max_pages=250")?;
        refused += write_back(&zram, "incompressible", errors)?;
        let incompressible = numbers(&zram, "bd_stat")?[2];
        require!(errors || incompressible > 0, "no incompressible page was written back");
        zram.store("idle", "all")?;
        refused += write_back(&zram, "idle", errors)?;
        let after = numbers(&zram, "mm_stat")?;
        let written = numbers(&zram, "bd_stat")?;
        require!(errors || after[1] == 0, "{} bytes of objects stayed in memory", after[1]);
        require!(after[0] == before[0], "{} bytes were stored, now {}", before[0], after[0]);
        require!(written[0] == written[2] && written[0] > 0, "bd_stat says {written:?}");
        go_on.come();
        let fatal = join(tasks);
        require!(fatal.is_empty(), "tasks were killed: {fatal:?}");
        let read = numbers(&zram, "bd_stat")?[1];
        require!(read > 0, "nothing was read from the disk");
        log!("zram", "cycle {cycle}: {} KiB in memory became {} blocks, {read} were read", before[1] >> 10, written[0]);
        (blocks, pages) = (blocks + written[2], pages + (before[0] >> 12) - before[5]);
        enabled.end(&tally)?;
    }
    require!(errors == (refused > 0), "{refused} writes were refused");
    Ok(format!("cycles={CYCLES} pages={pages} blocks={blocks} refused={refused} bytes_verified={}", tally.verified()))
}

/// Writes slots back. Returns how often the disk refused, which it may only with `errors`.
fn write_back(zram: &Zram<Quire>, which: &str, errors: bool) -> Result<u64, ZramError> {
    match zram.store("writeback", which) {
        Err(ZramError::Backing(_)) if errors => Ok(1),
        result => result.map(|()| 0),
    }
}

/// The backing device belongs to zram alone.
fn in_use(zram: &Zram<Quire>) -> Result<(), Failure> {
    let disk = devices::for_swap("/dev/vda").ok_or("there is no /dev/vda")?;
    let refused = swap::core().swapon(&disk, SwapOnOptions::default());
    require!(refused == Err(SwapOnError::Claimed), "zram's disk could be made a swap area: {refused:?}");
    require!(zram.store("backing_dev", "/dev/vda") == Err(ZramError::Busy), "the backing device could be set again");
    Ok(())
}

/// One byte of the pool changes. The page that it belongs to is lost, and with it the task that needs it; no task sees bytes
/// that are not its own.
pub(super) fn zram_damage(_command_line: CommandLine<'static>) -> Result<String, Failure> {
    one_is_lost(&[], |_| damage_pool())
}

/// Pages go to the disk as they are, which cannot read one of them back: only the task that needs it dies.
pub(super) fn zram_read_error(_command_line: CommandLine<'static>) -> Result<String, Failure> {
    one_is_lost(&[("backing_dev", "/dev/vda")], |zram| {
        zram.store("idle", "all")?;
        zram.store("writeback", "idle")?;
        // With the header.
        let (blocks, pages) = (numbers(zram, "bd_stat")?[0], TASKS * PAGES + 1);
        require!(blocks == pages, "{blocks} of {pages} pages are on the disk");
        Ok(())
    })
}

/// Changes a byte in the middle of what is compressed in memory. Frames in reserve, which hold one value everywhere, are
/// passed over.
pub(super) fn damage_pool() -> Result<(), Failure> {
    let pool = physical::frames().iter().enumerate().filter(|(_, frame)| frame.kind() == Kind::Pool);
    let is_used =
        |frame: &u64| Quire::with_frame_mut(*frame, 1984..2016, |bytes| bytes.iter().any(|byte| *byte != bytes[0]));
    let frames: Vec<u64> = pool.map(|(number, _)| number as u64).filter(is_used).collect();
    let middle = *frames.get(frames.len() / 2).ok_or("the pool has no frame")?;
    Quire::with_frame_mut(middle, 2000..2001, |byte| byte[0] ^= 0x20);
    Ok(())
}

/// Tasks' pages are out when `harm` comes to one of them.
fn one_is_lost(
    attributes: &[(&str, &str)],
    harm: impl FnOnce(&Zram<Quire>) -> Result<(), Failure>,
) -> Result<String, Failure> {
    let tally = Arc::new(Tally::default());
    let enabled = Enabled::new(attributes)?;
    let go_on = Meeting::new(1);
    let tasks = paged_out(Contents::Text, &tally, &go_on)?;
    harm(&enabled.zram)?;
    go_on.come();
    let fatal = join(tasks);
    require!(matches!(fatal[..], [Fatal::ReadFailed(_)]), "one page was lost, and tasks died of {fatal:?}");
    let failed = numbers(&enabled.zram, "io_stat")?[0];
    require!(failed > 0, "the failed read is not counted");
    enabled.end(&tally)?;
    Ok(format!("killed=1 survived={} bytes_verified={}", TASKS - 1, tally.verified()))
}
