//! What Linux's own tests of zram do (kselftest `zram01` and `zram02`, LTP `zram01` to `zram03`), without a file system:
//! a device is given its algorithm, size and limit, filled, used for swap and reset. Each step prints a line.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use quire_compressed::zram::{Zram, ZramDisk};
use quire_linux::fs::devices;
use quire_machine::heap;
use quire_machine::log;
use quire_memory::swap;
use quire_memory::swap::Quire;
use quire_protocol::contents::Contents;
use quire_swap::header::PAGE_SIZE;
use quire_swap::{Disk, IoError, SwapOnOptions};

use super::checks::{Books, join};
use super::failure::Failure;
use super::workload::{self, Tally};
use super::zram::numbers;
use crate::command_line::CommandLine;
use crate::require;
use crate::zram;

/// Pages that one task lets go out at once.
const PAGES: u64 = 4096;

pub(super) fn zram_linux(_command_line: CommandLine<'static>) -> Result<String, Failure> {
    let zram = devices::zram("zram0").ok_or("there is no /dev/zram0")?;
    let free = heap::spare_frames();
    let mut tests = 0;
    let mut test = |name: &str, run: fn(&Zram<Quire>) -> Result<String, Failure>| {
        let found = run(&zram)?;
        zram.store("reset", "1")?;
        require!(
            numbers(&zram, "mm_stat")? == [0; 9],
            "{name}: after the reset mm_stat says {}",
            zram.show("mm_stat")?
        );
        require!(zram.show("disksize")? == "0\n" && zram.show("initstate")? == "0\n", "{name}: not reset");
        let now = heap::spare_frames();
        require!(now == free, "{name}: {free} frames were free before, {now} after");
        log!("zram", "{name}: {found}");
        tests += 1;
        Ok::<(), Failure>(())
    };
    test("fill", fill)?;
    test("swap", swap_on_and_off)?;
    test("100 GiB", a_hundred_gibibytes)?;
    test("letters", letters)?;
    test("every page", every_page)?;
    Ok(format!("tests={tests}"))
}

/// Sets every algorithm that is offered, the last for good, then size and limit.
fn set_up(zram: &Zram<Quire>, size: &str, limit: &str) -> Result<Arc<ZramDisk<Quire>>, Failure> {
    for algorithm in zram.show("comp_algorithm")?.split_whitespace() {
        zram.store("comp_algorithm", algorithm.trim_matches(['[', ']']))?;
    }
    zram.store("disksize", size)?;
    zram.store("mem_limit", limit)?;
    Ok(zram.open().ok_or("no size")?)
}

/// Zeros, then text until nothing more fits: it takes less memory than it has bytes.
fn fill(zram: &Zram<Quire>) -> Result<String, Failure> {
    let disk = set_up(zram, "25M", "10M")?;
    let mut page = Box::new([0; PAGE_SIZE]);
    let mut written = 0;
    while written < disk.pages() {
        if written >= disk.pages() / 8 {
            Contents::Text.fill(&mut page, written);
        }
        match disk.write(written, &page) {
            Ok(()) => written += 1,
            Err(IoError::NoSpace) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let state = numbers(zram, "mm_stat")?;
    let ratio = 100 * written * PAGE_SIZE as u64 / state[2].max(1);
    require!(ratio >= 100, "{written} pages take {} bytes", state[2]);
    require!(written < disk.pages() && state[2] <= 10 << 20, "the limit does not hold: mm_stat says {state:?}");
    require!(numbers(zram, "io_stat")?[1] == 1, "the write that failed is not counted");
    let mut found = Box::new([0; PAGE_SIZE]);
    for index in 0..written {
        page.fill(0);
        if index >= disk.pages() / 8 {
            Contents::Text.fill(&mut page, index);
        }
        disk.read(index, &mut found)?;
        require!(found == page, "page {index} came back different");
    }
    disk.discard(0..disk.pages());
    Ok(format!("{written} pages at {ratio} % of their memory"))
}

fn enable(zram: &Zram<Quire>) -> Result<u8, Failure> {
    let disk = zram::open_for_swap(&format!("/dev/zram{}", zram.number())).ok_or("no size")?;
    let disk: Arc<dyn Disk<Quire>> = disk;
    Ok(swap::core().swapon(&disk, SwapOnOptions::default())?)
}

/// `mkswap`, `swapon`, `swapoff` on the smallest device.
fn swap_on_and_off(zram: &Zram<Quire>) -> Result<String, Failure> {
    drop(set_up(zram, "1048576", "1M")?);
    let area = enable(zram)?;
    require!(zram.store("reset", "1").is_err(), "it was reset while in use");
    swap::swapoff::disable(area)?;
    Ok(String::from("on and off"))
}

/// A size that is out of all proportion to memory, and a limit far below what is to go there: pages that find no room stay.
fn a_hundred_gibibytes(zram: &Zram<Quire>) -> Result<String, Failure> {
    drop(set_up(zram, "107374182400", "1M")?);
    let area = enable(zram)?;
    let books = Books::open();
    let tally = out_and_back(Contents::Text, PAGES / 4)?;
    let state = numbers(zram, "mm_stat")?;
    let refused = numbers(zram, "io_stat")?[1];
    swap::swapoff::disable(area)?;
    books.check(&tally)?;
    require!(state[4] <= 1 << 20 && state[4] > 3 << 18, "the limit does not hold: mm_stat says {state:?}");
    require!(refused > 0, "{} KiB of text went into 1 MiB", PAGES);
    Ok(format!("{} KiB at most, {refused} writes refused", state[4] >> 10))
}

/// A task that fills so many pages, has them taken out, and verifies them; gives what it counted.
fn out_and_back(contents: Contents, pages: u64) -> Result<Arc<Tally>, Failure> {
    let tally = Arc::new(Tally::default());
    let task = workload::start("writer", contents, 0, pages, &tally, |workload| {
        workload.fill()?;
        workload.page_out()?;
        workload.sequential()
    })?;
    let fatal = join(alloc::vec![task]);
    require!(fatal.is_empty(), "the task was killed: {fatal:?}");
    Ok(tally)
}

/// Half a gigabyte of the letter a, written and read by the page.
fn letters(zram: &Zram<Quire>) -> Result<String, Failure> {
    let disk = set_up(zram, "512M", "512M")?;
    let mut page = Box::new([b'a'; PAGE_SIZE]);
    for index in 0..disk.pages() {
        disk.write(index, &page)?;
    }
    for index in 0..disk.pages() {
        page.fill(0);
        disk.read(index, &mut page)?;
        require!(page.iter().all(|byte| *byte == b'a'), "page {index} came back different");
    }
    let state = numbers(zram, "mm_stat")?;
    require!(state[..3] == [512 << 20, 0, 0] && state[5] == disk.pages(), "mm_stat says {state:?}");
    disk.discard(0..disk.pages());
    let freed = numbers(zram, "io_stat")?[3];
    require!(freed == disk.pages(), "{freed} pages were counted as discarded");
    Ok(format!("{} pages", disk.pages()))
}

/// Every page that goes out and comes back is told of once, neither more nor less.
fn every_page(zram: &Zram<Quire>) -> Result<String, Failure> {
    let mut counts = Vec::new();
    for contents in Contents::ALL {
        drop(set_up(zram, "64M", "64M")?);
        let area = enable(zram)?;
        let books = Books::open();
        let tally = out_and_back(contents, PAGES)?;
        swap::swapoff::disable(area)?;
        books.check(&tally)?;
        let io = numbers(zram, "io_stat")?;
        require!(io == [0, 0, 0, PAGES], "{} pages of {}: io_stat says {io:?}", PAGES, contents.name());
        let left = numbers(zram, "mm_stat")?[0];
        require!(left == PAGE_SIZE as u64, "{left} bytes are stored, not the header alone");
        counts.push(io[3]);
        zram.store("reset", "1")?;
    }
    Ok(format!("{counts:?} of {PAGES} each"))
}
