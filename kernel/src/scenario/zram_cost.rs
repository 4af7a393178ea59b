//! What a page costs on its way through zram and back, as `swbench` measures it on Linux: 4,096 pages go out at once and
//! are touched one by one in random order. Once through zram's own swap operations, once through the block layer, and once
//! through the ghost device and zswap, which has the same store.
//!
//! The time-stamp counter is read around the paging-out and around each touch; a loop of known length says how many of
//! its ticks an instruction takes, which is a whole number only with `--icount`.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::arch::asm;
use core::fmt::Write;

use quire_compressed::store::{Decoder, Encoding, Workspace};
use quire_compressed::zram::ZramDisk;
use quire_linux::fs::devices;
use quire_linux::swap_area;
use quire_machine::clock;
use quire_machine::print;
use quire_memory::AddressSpace;
use quire_memory::advice::Advice;
use quire_memory::swap;
use quire_memory::swap::Quire;
use quire_protocol::contents::{Contents, Page, Xorshift, hash};
use quire_swap::ghost::PATH;
use quire_swap::header::PAGE_SIZE;
use quire_swap::{DeviceState, Disk, DiskProperties, DiskRequest, DriverId, IoError, SwapOnOptions};

use super::checks::contents;
use super::failure::Failure;
use super::user;
use crate::command_line::CommandLine;
use crate::require;
use crate::zram;

/// Without `pages=` on the command line.
const PAGES: u64 = 4096;
/// Where the task's pages begin.
const START: u64 = 0x10_0000_0000;
/// The byte of a page that is touched.
const TOUCHED: u64 = 128;

/// Where the pages go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Through {
    SwapOps,
    Blocks,
    Ghost,
}

impl Through {
    fn name(self) -> &'static str {
        match self {
            Self::SwapOps => "swap_ops",
            Self::Blocks => "block",
            Self::Ghost => "ghost",
        }
    }

    /// zswap does not keep random pages.
    fn takes(self, contents: Contents) -> bool {
        self != Self::Ghost || matches!(contents, Contents::Text | Contents::Zero | Contents::Same)
    }
}

/// Instructions a page: out, and in on the average, for every second and for all but one in a hundred.
struct Cost {
    out: u64,
    mean: u64,
    half: u64,
    most: u64,
    wrong: u64,
}

/// Instructions a page, out and in: the most that it may cost here, and what it costs on Linux 7.3.
struct Beside {
    contents: Contents,
    most: [u64; 2],
    linux: [u64; 2],
}

const BESIDE: [Beside; 4] = [
    Beside { contents: Contents::Text, most: [92_000, 25_500], linux: [65_070, 32_550] },
    Beside { contents: Contents::Zero, most: [2_000, 2_000], linux: [7_300, 7_170] },
    Beside { contents: Contents::Same, most: [3_000, 2_500], linux: [10_090, 8_790] },
    Beside { contents: Contents::Random, most: [24_000, 4_500], linux: [28_300, 10_210] },
];

pub(super) fn zram_cost(command_line: CommandLine<'static>) -> Result<String, Failure> {
    let pages = command_line.number("pages")?.unwrap_or(PAGES).max(1);
    let only = contents(command_line)?;
    let ticks = ticks_of_an_instruction();
    print!("instructions a page  {:>24}  {:>33}  {:>17}  {:>17}\n", "out", "in", "at most", "Linux");
    print!(
        "{:8} {:10} {:>9} {:>7} {:>7}  {:>8} {:>7} {:>8} {:>7}  {:>8} {:>8}  {:>8} {:>8}\n",
        "", "through", "all", "codec", "size", "mean", "codec", "p50", "p99", "out", "in", "out", "in"
    );
    let mut figures = String::new();
    for contents in Contents::ALL.into_iter().filter(|contents| only.is_none_or(|only| only == *contents)) {
        let beside = BESIDE.into_iter().find(|beside| beside.contents == contents);
        let columns = |Beside { most: [a, b], linux: [c, d], .. }| format!("{a:>8} {b:>8}  {c:>8} {d:>8}");
        let beside = beside.map(columns).unwrap_or_default();
        let codec = codec(contents, pages, ticks)?;
        let ways = [Through::SwapOps, Through::Blocks, Through::Ghost];
        for way in ways.into_iter().filter(|way| way.takes(contents)) {
            let cost = through(way, contents, pages, ticks)?;
            let name = contents.name();
            print!(
                "{name:8} {:10} {:>9} {:>7} {:>5} %  {:>8} {:>7} {:>8} {:>7}  {beside}\n",
                way.name(),
                cost.out,
                codec.out,
                codec.bytes * 100 / (pages * PAGE_SIZE as u64),
                cost.mean,
                codec.back,
                cost.half,
                cost.most,
            );
            match way {
                Through::SwapOps => write!(figures, "{name}_out={} {name}_in={} ", cost.out, cost.mean)?,
                Through::Blocks => {}
                Through::Ghost => write!(figures, "ghost_{name}_out={} ghost_{name}_in={} ", cost.out, cost.mean)?,
            }
        }
    }
    Ok(format!("{figures}ticks_an_instruction={ticks}"))
}

/// Measures on an area of its own.
fn through(way: Through, contents: Contents, pages: u64, ticks: u64) -> Result<Cost, Failure> {
    let device = devices::zram("zram0").ok_or("there is no /dev/zram0")?;
    let area = if way == Through::Ghost {
        devices::zswap().ok_or("there is no zswap")?.set("enabled", "1")?;
        swap_area::enable(PATH, SwapOnOptions::default(), Some((pages + 1024) * PAGE_SIZE as u64))?
    } else {
        device.store("disksize", &format!("{}", (pages + 1024) * PAGE_SIZE as u64))?;
        let disk = zram::open_for_swap("/dev/zram0").ok_or("/dev/zram0 has no size")?;
        let disk: Arc<dyn Disk<Quire>> = if way == Through::Blocks { Arc::new(Blocks(disk)) } else { disk };
        swap::core().swapon(&disk, SwapOnOptions::default())?
    };
    let cost = in_a_task(contents, pages)?.ok_or("the task was killed")?;
    swap::swapoff::disable(area)?;
    device.store("reset", "1")?;
    require!(cost.wrong == 0, "{} pages did not come back", cost.wrong);
    let [out, mean, half, most] = [cost.out, cost.mean, cost.half, cost.most].map(|number| number / ticks);
    Ok(Cost { out, mean, half, most, wrong: 0 })
}

/// zram as any other block device: swap finds no operations for it.
pub(super) struct Blocks(pub(super) Arc<ZramDisk<Quire>>);

impl Disk<Quire> for Blocks {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn driver(&self) -> DriverId {
        DriverId("blocks")
    }

    fn pages(&self) -> u64 {
        self.0.pages()
    }

    fn properties(&self) -> DiskProperties {
        self.0.properties()
    }

    fn read_page(&self, page: u64, buffer: &mut Page) -> Result<(), IoError> {
        self.0.read_page(page, buffer)
    }

    fn device_state(&self) -> &Arc<DeviceState> {
        self.0.device_state()
    }

    fn submit(&self, request: DiskRequest<Quire>) {
        self.0.submit(request);
    }

    fn discard(&self, pages: core::ops::Range<u64>) -> Result<(), IoError> {
        Disk::discard(&*self.0, pages)
    }
}

/// Ticks of the time-stamp counter that an instruction takes, at least 1.
#[expect(unsafe_code, reason = "instructions that no compiler shortens")]
pub(super) fn ticks_of_an_instruction() -> u64 {
    const LOOPS: u64 = 10_000;
    // An interrupt may come into one of them.
    let least = (0..4).map(|_| {
        let before = clock::counter();
        // SAFETY: it counts a register down.
        unsafe { asm!("2: dec {0}", "jnz 2b", inout(reg) LOOPS => _, options(nomem, nostack)) };
        clock::counter() - before
    });
    (least.min().unwrap_or(0) / (2 * LOOPS)).max(1)
}

/// What compressing and decompressing takes alone, instructions a page, and the bytes that come out of all of them.
struct Codec {
    out: u64,
    back: u64,
    bytes: u64,
}

fn codec(contents: Contents, pages: u64, ticks: u64) -> Result<Codec, Failure> {
    let mut workspace = Workspace::new::<Quire>(false)?;
    let mut page = alloc::boxed::Box::new([0; PAGE_SIZE]);
    let mut codec = Codec { out: 0, back: 0, bytes: 0 };
    if matches!(contents, Contents::Zero | Contents::Same) {
        return Ok(codec);
    }
    for number in 0..pages {
        contents.fill(&mut page, number);
        let before = clock::counter();
        let Some(block) = workspace.compress(&page) else { continue };
        codec.out += clock::counter() - before;
        codec.bytes += block.len() as u64;
        let before = clock::counter();
        Decoder::default().decompress(Encoding::Lz4, block, &mut page).ok_or("LZ4 does not read what it wrote")?;
        codec.back += clock::counter() - before;
    }
    Ok(Codec { out: codec.out / pages / ticks, back: codec.back / pages / ticks, bytes: codec.bytes })
}

/// Measures in a task of its own; `None` if it was killed.
fn in_a_task(contents: Contents, pages: u64) -> Result<Option<Cost>, Failure> {
    const NO_MEMORY: &str = "no memory to start a task";
    let space = AddressSpace::new().map_err(|_| NO_MEMORY)?;
    let range = START..START + pages * PAGE_SIZE as u64;
    space.map_anonymous(range.clone()).map_err(|error| Failure(format!("cannot map: {error:?}")))?;
    let own = Arc::clone(&space);
    let measure = move || measure(&own, contents, pages);
    Ok(quire_memory::tasks::spawn("swbench", space, measure).map_err(|_| NO_MEMORY)?.join().ok())
}

fn measure(space: &AddressSpace, contents: Contents, pages: u64) -> Result<Cost, user::Fault> {
    let address = |number: u64| START + number * PAGE_SIZE as u64;
    let mut page = alloc::boxed::Box::new([0; PAGE_SIZE]);
    let mut wanted = Vec::new();
    for number in 0..pages {
        contents.fill(&mut page, number);
        wanted.push(hash(&page));
        user::write(address(number), &page[..])?;
    }
    let mut order: Vec<u64> = (0..pages).collect();
    Xorshift(88_172_645_463_325_252).shuffle(&mut order);

    let before = clock::counter();
    space.advise(START..address(pages), Advice::PageOut).map_err(|_| user::Fault)?;
    let out = (clock::counter() - before) / pages;

    let mut took = Vec::with_capacity(pages as usize);
    let all = clock::counter();
    for number in order {
        let before = clock::counter();
        user::read(address(number) + TOUCHED, &mut [0])?;
        took.push(clock::counter() - before);
    }
    let mean = (clock::counter() - all) / pages;
    let mut wrong = 0;
    for (number, wanted) in wanted.into_iter().enumerate() {
        user::read(address(number as u64), &mut page[..])?;
        wrong += u64::from(hash(&page) != wanted);
    }
    took.sort_unstable();
    let from_the_top = |part: u64| took[(pages - 1 - pages / part) as usize];
    Ok(Cost { out, mean, half: took[pages as usize / 2], most: from_the_top(100), wrong })
}
