//! What a page costs that zram has written back, through its own swap operations and through the block layer: each page alone, as
//! faults in random order want it, and 32 at once, as `swapoff` reads them. Both in requests of the backing device and in
//! instructions, without the time in which the processor had nothing to do: the device has that.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt::Write as _;

use quire_compressed::zram::Zram;
use quire_linux::fs::devices;
use quire_machine::clock;
use quire_machine::print;
use quire_machine::task::scheduler::idle_ticks;
use quire_memory::advice::Advice;
use quire_memory::swap::{self, Quire};
use quire_memory::{AddressSpace, tasks};
use quire_protocol::contents::{Contents, Xorshift};
use quire_swap::header::PAGE_SIZE;
use quire_swap::{BATCH_FOLIOS, Disk, Entry, SwapOnOptions};

use super::checks::contents;
use super::failure::Failure;
use super::user::{self, address};
use super::zram::numbers;
use super::zram_cost::{Blocks, ticks_of_an_instruction};
use crate::command_line::CommandLine;
use crate::disk;
use crate::require;
use crate::zram;

/// Without `pages=` on the command line.
const PAGES: u64 = 1024;
/// Pages that are read at once.
const BATCH: u64 = BATCH_FOLIOS as u64;

/// Reads of one kind.
#[derive(Default)]
struct Reads {
    /// What each took, in instructions.
    took: Vec<u64>,
    requests: u64,
    blocks: u64,
}

impl Reads {
    fn part(&self, of_a_hundred: usize) -> u64 {
        self.took[(self.took.len() - 1) * of_a_hundred / 100]
    }
}

pub(super) fn zram_backing_cost(command_line: CommandLine<'static>) -> Result<String, Failure> {
    let pages = command_line.number("pages")?.unwrap_or(PAGES).next_multiple_of(2 * BATCH).max(2 * BATCH);
    let contents = contents(command_line)?.unwrap_or(Contents::Text);
    print!(
        "{:10} {:9} {:10} {:>6} {:>9} {:>7} {:>9} {:>9} {:>9}\n",
        "written", "read", "through", "reads", "requests", "blocks", "mean", "p50", "p99"
    );
    let mut figures = String::new();
    for compressed in ["0", "1"] {
        for way in ["swap_ops", "block"] {
            let reads = through(way, compressed, contents, pages)?;
            let [_, Reads { requests, blocks, .. }] = &reads;
            write!(figures, "{way}_{compressed}_requests={requests} {way}_{compressed}_blocks={blocks} ")?;
            for (kind, mut reads) in ["by fault", "by batch"].into_iter().zip(reads) {
                reads.took.sort_unstable();
                let form = if compressed == "1" { "as stored" } else { "as pages" };
                let count = reads.took.len() as u64;
                let mean = reads.took.iter().sum::<u64>() / count;
                let (requests, blocks, half, most) = (reads.requests, reads.blocks, reads.part(50), reads.part(99));
                print!(
                    "{form:10} {kind:9} {way:10} {count:>6} {requests:>9} {blocks:>7} {mean:>9} {half:>9} {most:>9}\n"
                );
            }
        }
    }
    Ok(format!("pages={pages} {figures}"))
}

/// The reads of single pages, and those of batches.
fn through(way: &str, compressed: &str, contents: Contents, pages: u64) -> Result<[Reads; 2], Failure> {
    let device = devices::zram("zram0").ok_or("there is no /dev/zram0")?;
    device.store("backing_dev", "/dev/vda")?;
    device.store("compressed_writeback", compressed)?;
    device.store("disksize", &format!("{}", (pages + 64) * PAGE_SIZE as u64))?;
    let disk = zram::open_for_swap("/dev/zram0").ok_or("/dev/zram0 has no size")?;
    let disk: Arc<dyn Disk<Quire>> = if way == "block" { Arc::new(Blocks(disk)) } else { disk };
    let area = swap::core().swapon(&disk, SwapOnOptions::default())?;
    drop(disk);
    let space = user::space(pages)?;
    let (own, zram) = (Arc::clone(&space), Arc::clone(&device));
    let reads = tasks::spawn("reader", space, move || measure(&own, area, &zram, contents, pages))?.join()?;
    swap::swapoff::disable(area)?;
    device.store("reset", "1")?;
    Ok(reads)
}

fn measure(
    space: &AddressSpace,
    area: u8,
    zram: &Zram<Quire>,
    contents: Contents,
    pages: u64,
) -> Result<[Reads; 2], Failure> {
    let mut page = alloc::boxed::Box::new([0; PAGE_SIZE]);
    for number in 0..pages {
        contents.fill(&mut page, number);
        user::write(address(number), &page[..])?;
    }
    user::advise(space, 0..pages, Advice::PageOut)?;
    zram.store("writeback", &format!("page_indexes=1-{pages}"))?;
    require!(swap::core().area(area).is_some_and(|area| area.used() == pages), "not all pages are out");

    // Every other group of pages, and so of slots, which are taken in the order of the pages.
    let mut order: Vec<u64> = (0..pages).filter(|page| (page / BATCH).is_multiple_of(2)).collect();
    Xorshift(88_172_645_463_325_252).shuffle(&mut order);
    let singly = read(zram, &order, |page| Ok(user::read(address(page), &mut [0])?))?;
    let slots: Vec<u64> = (1..pages / BATCH).step_by(2).map(|group| group * BATCH).collect();
    let at_once = read(zram, &slots, |slot| {
        swap::core().read_around(Entry::new(area, slot as u32).ok_or("the slot is none")?);
        Ok(())
    })?;
    let mut found = alloc::boxed::Box::new([0; PAGE_SIZE]);
    for number in 0..pages {
        contents.fill(&mut page, number);
        user::read(address(number), &mut found[..])?;
        require!(page == found, "page {number} did not come back");
    }
    Ok([singly, at_once])
}

/// How many requests the first disk has read by.
fn disk_reads() -> u64 {
    disk::all().first().map_or(0, |disk| disk.counters().reads)
}

/// Does each read and says what it took.
fn read(zram: &Zram<Quire>, what: &[u64], mut one: impl FnMut(u64) -> Result<(), Failure>) -> Result<Reads, Failure> {
    let ticks = ticks_of_an_instruction();
    let blocks = |zram| numbers(zram, "bd_stat").map(|numbers| numbers[1]);
    let (requests, before) = (disk_reads(), blocks(zram)?);
    let mut reads = Reads { took: Vec::with_capacity(what.len()), ..Reads::default() };
    for &number in what {
        let (began, idle) = (clock::counter(), idle_ticks());
        one(number)?;
        reads.took.push((clock::counter() - began).saturating_sub(idle_ticks() - idle) / ticks);
    }
    reads.requests = disk_reads() - requests;
    reads.blocks = blocks(zram)? - before;
    Ok(reads)
}
