//! Folios of 64 KiB, switched on and off: one task fills more pages than there is memory for, goes through them in order, and then
//! touches them anywhere, and what that took is counted.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use quire_machine::clock;
use quire_machine::print;
use quire_memory::fault::served;
use quire_memory::large_folio::{self, Count, Setting};
use quire_memory::{progress, swap};
use quire_protocol::contents::Xorshift;

use super::checks::{Books, ram};
use super::failure::Failure;
use super::user::{self, Fault, address};
use super::workload::Tally;
use super::zram_cost::ticks_of_an_instruction;
use crate::command_line::CommandLine;
use crate::swapon;

/// How many pages there are, in hundredths of memory, without `load=` on the command line.
const LOAD: u64 = 150;

const PHASES: [&str; 3] = ["fill", "sequential", "random"];

/// What was counted until now.
#[derive(Clone, Copy)]
struct Counted {
    faults: u64,
    read_requests: u64,
    write_requests: u64,
    pages_in: u64,
    pages_out: u64,
    ticks: u64,
}

impl Counted {
    fn now() -> Self {
        let swap = swap::statistics();
        Self {
            faults: served::faults(),
            // A device that is called without requests is called once for a batch.
            read_requests: swap.read_requests.max(swap.read_batches),
            write_requests: swap.write_requests.max(swap.write_batches),
            pages_in: swap.pages_in,
            pages_out: swap.pages_out,
            ticks: clock::counter(),
        }
    }

    const fn since(self, before: Self) -> Self {
        Self {
            faults: self.faults - before.faults,
            read_requests: self.read_requests - before.read_requests,
            write_requests: self.write_requests - before.write_requests,
            pages_in: self.pages_in - before.pages_in,
            pages_out: self.pages_out - before.pages_out,
            ticks: self.ticks - before.ticks,
        }
    }
}

/// `load=` hundredths of memory, on what `swapon=` names. A page's first word is its number.
pub(super) fn large_folios(command_line: CommandLine<'static>) -> Result<String, Failure> {
    let pages = ram() * command_line.number("load")?.unwrap_or(LOAD) / 100;
    let ticks = ticks_of_an_instruction();
    let enabled = swapon::enable(command_line)?;
    let is_fast =
        enabled.areas().iter().all(|area| swap::core().area(*area).is_some_and(|area| area.properties().synchronous));
    let books = Books::open();
    let chosen = large_folio::FOR_SIZE.get();
    let mut figures = format!("pages={pages}");
    print!(
        "{:8} {:10} {:>8} {:>9} {:>8} {:>9} {:>9} {:>13}\n",
        "64 KiB", "phase", "faults", "requests", "pages", "requests", "pages", "instructions"
    );
    print!("{:8} {:10} {:>8} {:>9} {:>8} {:>9} {:>9} {:>13}\n", "", "", "", "in", "in", "out", "out", "a page");
    for setting in [Setting::Never, Setting::Always] {
        large_folio::FOR_SIZE.set(setting);
        let whole = [Count::Swpout, Count::Swpin].map(large_folio::count);
        let space = user::space(pages)?;
        let phases = quire_memory::tasks::spawn("measured", space, move || measure(pages))?.join()?;
        for (phase, counted) in PHASES.into_iter().zip(&phases) {
            // While a device is waited for, time goes on without instructions.
            let cost = if is_fast { format!("{}", counted.ticks / ticks / pages) } else { "-".into() };
            print!(
                "{:8} {phase:10} {:>8} {:>9} {:>8} {:>9} {:>9} {cost:>13}\n",
                setting.name(),
                counted.faults,
                counted.read_requests,
                counted.pages_in,
                counted.write_requests,
                counted.pages_out
            );
            write!(figures, " {phase}_{}_faults={}", setting.name(), counted.faults)?;
            write!(figures, " {phase}_{}_reads={}", setting.name(), counted.read_requests)?;
            write!(figures, " {phase}_{}_writes={}", setting.name(), counted.write_requests)?;
            write!(figures, " {phase}_{}_written={}", setting.name(), counted.pages_out)?;
        }
        let whole = [Count::Swpout, Count::Swpin].map(large_folio::count).into_iter().zip(whole);
        let whole = whole.map(|(now, before)| now - before).collect::<alloc::vec::Vec<_>>();
        print!("{:8} {} large folios left memory whole, {} came back so\n", setting.name(), whole[0], whole[1]);
        if setting == Setting::Always {
            write!(figures, " swpout={} swpin={}", whole[0], whole[1])?;
        }
    }
    large_folio::FOR_SIZE.set(chosen);
    enabled.disable()?;
    books.check(&Tally::default())?;
    Ok(figures)
}

/// What each of the phases took. At its end no page is left.
fn measure(pages: u64) -> Result<[Counted; PHASES.len()], Failure> {
    let mut random = Xorshift(0x9E37_79B9_7F4A_7C15);
    let fill = phase(pages, |page| user::write_word(address(page), page + 1))?;
    let look = |page| {
        let found = user::read_word(address(page))?;
        Ok(if found == page + 1 { None } else { Some((page, found)) })
    };
    let mut wrong = None;
    let sequential = phase(pages, |page| look(page).map(|found| wrong = wrong.or(found)))?;
    let anywhere = phase(pages, |_| look(random.draw() % pages).map(|found| wrong = wrong.or(found)))?;
    if let Some((page, found)) = wrong {
        return Err(Failure(format!("page {page} came back as {found}")));
    }
    Ok([fill, sequential, anywhere])
}

fn phase(pages: u64, mut touch: impl FnMut(u64) -> Result<(), Fault>) -> Result<Counted, Failure> {
    let before = Counted::now();
    (0..pages).try_for_each(&mut touch)?;
    let counted = Counted::now().since(before);
    while progress::writes_under_way() > 0 {
        quire_machine::task::yield_now();
    }
    Ok(counted)
}
