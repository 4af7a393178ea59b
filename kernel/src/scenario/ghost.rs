//! Swap space with nothing behind it: pages live in zswap, go on to a disk if there is one, and come back, whichever area
//! leaves first.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use quire_linux::fs::devices;
use quire_linux::fs::ghost::Ghost;
use quire_linux::fs::node::{File, Wait};
use quire_linux::fs::position::Position;
use quire_linux::swap_area;
use quire_linux::swap_area::EnableError;
use quire_machine::heap;
use quire_machine::log;
use quire_machine::physical;
use quire_memory::swap;
use quire_memory::tasks::Fatal;
use quire_protocol::contents::Contents;
use quire_swap::ghost::{MOST_PAGES, PATH};
use quire_swap::header::{Header, Medium, PAGE_SIZE};
use quire_swap::{SwapOffError, SwapOnError, SwapOnOptions};

use super::checks::{Books, Meeting, Task, contents, join, ram};
use super::failure::Failure;
use super::workload::{self, Tally, Workload};
use super::zram_disk;
use crate::command_line::CommandLine;
use crate::require;
use crate::swapon;

type Outcome = Result<String, Failure>;

const TASKS: u64 = 2;

/// Two tasks with `load=` percent of memory of `contents=`. When all is written, the areas are disabled while the tasks go on,
/// in the order of `off=`, which counts the `swapon=` words from 0. One that does not fit into memory must stay and work. With `killed=`
/// at least one task must die of a page that cannot be read, and at most so many.
pub(super) fn ghost(command_line: CommandLine<'static>) -> Outcome {
    let contents = contents(command_line)?.unwrap_or(Contents::Mix);
    let load = command_line.number("load")?.unwrap_or(125);
    let may_die = command_line.number("killed")?.unwrap_or(0);
    let order = command_line.value("off").unwrap_or("");
    let order: Result<Vec<usize>, _> = order.split(',').filter(|word| !word.is_empty()).map(str::parse).collect();
    let zswap = devices::zswap().ok_or("there is no zswap")?;
    let count = |name| zswap.counter(name).unwrap_or(0);
    let enabled = swapon::enable(command_line)?;
    let books = Books::open();
    let tally = Arc::new(Tally::default());
    let pages = ram() * load / 100 / TASKS;
    let (filled, left) = (Meeting::new(TASKS), Meeting::new(1));
    let mut tasks: Vec<Task> = Vec::new();
    for number in 0..TASKS {
        let (filled, left) = (Arc::clone(&filled), Arc::clone(&left));
        let work = move |workload: &mut Workload| {
            let outcome = workload.fill();
            filled.come();
            outcome?;
            workload.revisit(pages / 16, pages)?;
            left.wait();
            workload.sequential()
        };
        tasks.push(workload::start(&format!("task-{number}"), contents, number * pages, pages, &tally, work)?);
    }
    filled.wait();
    let (stored, most, used) = (count("stored_pages"), count("pool_total_size"), swap::used_pages());
    require!(used > 0, "nothing was swapped");
    let mut stayed = 0;
    for place in order.map_err(|_| "off= counts areas")? {
        let area = *enabled.areas().get(place).ok_or("off= names an area that is not there")?;
        let name = alloc::format!("{}", swap::Name(area));
        match swap::swapoff::disable(area) {
            Ok(()) => log!("ghost", "{name} left under load"),
            Err(SwapOffError::NoMemory) if swap::core().area(area).is_some() => {
                stayed += 1;
                log!("ghost", "{name} stays: its pages do not fit into memory");
            }
            Err(error) => return Err(Failure(format!("swapoff {name}: {error}"))),
        }
    }
    left.come();
    let fatal = join(tasks);
    require!((u64::from(may_die > 0)..=may_die).contains(&(fatal.len() as u64)), "tasks were killed: {fatal:?}");
    require!(fatal.iter().all(|why| matches!(why, Fatal::ReadFailed(_))), "tasks were killed: {fatal:?}");
    enabled.disable()?;
    require!(swap::total_pages() == 0, "an area is left");
    require!(count("stored_pages") == 0, "{} pages are left in zswap", count("stored_pages"));
    require!(count("pool_total_size") == 0, "{} bytes are left in the pool", count("pool_total_size"));
    require!(zswap.adds_up(), "pages stored are not those dropped and written back");
    let total = swap::statistics();
    let refused: u64 =
        ["reject_compress_poor", "reject_reclaim_fail", "reject_alloc_fail"].into_iter().map(count).sum();
    require!(
        count("zswpout") == 0 || total.pages_out == count("zswpout") + refused,
        "of {} pages that went out {} were stored and {refused} refused",
        total.pages_out,
        count("zswpout")
    );
    books.check(&tally)?;
    let names = [
        "zswpout",
        "zswpin",
        "zswpwb",
        "written_back_compressed",
        "written_back_decompressed",
        "written_back_packed",
        "written_back_packed_blocks",
        "read_back_neighbours",
        "decompress_fail",
    ];
    let counters: Vec<String> = names.into_iter().map(|name| format!("{name}={}", count(name))).collect();
    Ok(format!(
        "pages={} stored={stored} pool_kib={} {} refused={refused} zero_out={} written={} failed_writes={} killed={} \
         stayed={stayed} bytes_verified={}",
        pages * TASKS,
        most >> 10,
        counters.join(" "),
        total.zero_out,
        total.write_requests,
        total.failed_writes,
        fatal.len(),
        tally.verified()
    ))
}

/// One byte of what zswap has compressed changes. The page that it belongs to is lost, and with it the task that needs it.
pub(super) fn zswap_damage(command_line: CommandLine<'static>) -> Outcome {
    let zswap = devices::zswap().ok_or("there is no zswap")?;
    let count = |name| zswap.counter(name).unwrap_or(0);
    let enabled = swapon::enable(command_line)?;
    let books = Books::open();
    let tally = Arc::new(Tally::default());
    let go_on = Meeting::new(1);
    let tasks = zram_disk::paged_out(Contents::Text, &tally, &go_on)?;
    let (stored, survivors) = (count("stored_pages"), tasks.len() - 1);
    zram_disk::damage_pool()?;
    go_on.come();
    let fatal = join(tasks);
    require!(matches!(fatal[..], [Fatal::ReadFailed(_)]), "one page was damaged, and tasks died of {fatal:?}");
    let failed = count("decompress_fail");
    enabled.disable()?;
    require!(count("pool_total_size") == 0 && zswap.adds_up(), "something is left in zswap");
    books.check(&tally)?;
    Ok(format!(
        "stored={stored} decompress_fail={failed} killed=1 survived={survivors} bytes_verified={}",
        tally.verified()
    ))
}

/// The largest area: it costs next to nothing while it is empty, and can be enabled once.
pub(super) fn ghost_size(_command_line: CommandLine<'static>) -> Outcome {
    let mut page = [0; PAGE_SIZE];
    let read = Ghost::new(physical::managed_frames() as u64).read(Position::START, &mut page, Wait::Until);
    require!(read == Ok(PAGE_SIZE), "the device is not a page");
    let header = Header::parse(&page, Medium { pages: 0, is_file: false }).map_err(|error| format!("{error}"))?;
    require!(u64::from(header.last_page) + 1 == ram(), "the header says {} pages", header.last_page + 1);
    let on = |size| swap_area::enable(PATH, SwapOnOptions::default(), size);
    // What is made once, at the first area, is no part of this one.
    swap::swapoff::disable(on(None)?)?;
    let used = heap::used;
    let before = used();
    let area = on(Some(MOST_PAGES * PAGE_SIZE as u64))?;
    let enabled = used() - before;
    require!(enabled < 64 << 10, "16 TiB cost {enabled} bytes");
    let again = on(None);
    let is_busy = matches!(again, Err(EnableError::Refused(_, SwapOnError::Busy)));
    require!(is_busy, "it was enabled twice: {again:?}");
    drop(again);
    let entries = swap::total_pages();
    require!(entries == MOST_PAGES - 1, "the area has {entries} pages");
    swap::swapoff::disable(area)?;
    require!(used() == before, "{before} bytes of heap were in use before, {} after", used());
    Ok(format!("pages={entries} heap_bytes={enabled}"))
}

/// Nothing can be swapped, and the tasks want more than there is: those who ask in vain die, the others finish.
pub(super) fn ghost_full(command_line: CommandLine<'static>) -> Outcome {
    let enabled = swapon::enable(command_line)?;
    let books = Books::open();
    let tally = Arc::new(Tally::default());
    let pages = ram() * 2 / 5;
    let mut tasks: Vec<Task> = Vec::new();
    for number in 0..2 * TASKS {
        let work = |workload: &mut Workload| workload.fill().and_then(|()| workload.sequential());
        tasks.push(workload::start(&format!("task-{number}"), Contents::Random, number * pages, pages, &tally, work)?);
    }
    let count = tasks.len();
    let fatal = join(tasks);
    enabled.disable()?;
    require!(!fatal.is_empty(), "{count} tasks of {pages} pages found room in {}", ram());
    require!(fatal.iter().all(|why| *why == Fatal::OutOfMemory), "tasks died of something else: {fatal:?}");
    require!(fatal.len() < count, "no task survived");
    books.check(&tally)?;
    Ok(format!("killed={} survived={} bytes_verified={}", fatal.len(), count - fatal.len(), tally.verified()))
}
