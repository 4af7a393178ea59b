//! Pages that are exchanged at random in an area of the type `log`: what that writes, by the backend's own counters. Needs the area to be
//! the only one, just enabled and of 64 MiB or more; and the machine for itself.

use std::io;

use nix::sys::mman::MmapAdvise;

use super::outcome::{Check, Outcome, require};
use crate::{files, memory::Memory};

pub(super) const CHECKS: &[Check] = &[("log-random", random)];

/// The least area, in KiB.
const LEAST: u64 = 64 << 10;
/// How many pages leave memory together.
const ROUND: usize = 512;
/// How often each page is exchanged, on the average: twice until the cleaner does as much as it always will, then counted.
const SETTLING: usize = 2;
const COUNTED: usize = 3;

fn count(name: &str) -> io::Result<u64> {
    let text = files::text("/sys/kernel/mm/swap/backends")?;
    let found = text.lines().find_map(|line| line.split_once(' ')?.1.strip_prefix(name)?.trim().parse().ok());
    found.ok_or_else(|| io::Error::other(format!("no backend counts {name}")))
}

/// Pages of which so many leave memory again and again, each with something new in it.
struct Pages {
    memory: Memory,
    length: usize,
    turn: u64,
}

impl Pages {
    fn write(&mut self, page: usize) {
        self.turn += 1;
        self.memory.set_word(page, self.turn);
    }

    fn random(&mut self) -> usize {
        (self.turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) as usize % self.length
    }

    /// So many pages are thrown away, wherever they are, and made anew.
    fn exchange(&mut self, pages: usize) -> nix::Result<()> {
        for _ in 0..pages / ROUND {
            for _ in 0..ROUND {
                let page = self.random();
                self.memory.advise(page..page + 1, MmapAdvise::MADV_DONTNEED)?;
                self.write(page);
            }
            self.memory.page_out()?;
        }
        Ok(())
    }
}

/// With four of five slots in use, 95 % of what is written is written in order, and a page costs less than two writes.
fn random() -> Outcome {
    let total = files::number("/proc/meminfo", "SwapTotal")?;
    // Some of the area's pages have no slots.
    require!(total >= LEAST * 4 / 5, "the area has {total} KiB in slots");
    let length = (total / 4 * 4 / 5) as usize;
    let mut pages = Pages { memory: Memory::private(length)?, length, turn: 0 };
    for first in (0..length).step_by(ROUND) {
        (first..length.min(first + ROUND)).for_each(|page| pages.write(page));
        pages.memory.page_out()?;
    }
    pages.exchange(SETTLING * length)?;
    let used = files::swap_used()? * 100 / (total / 4);
    require!(used >= 79, "only {used} % of the slots are in use");
    let counts = || -> io::Result<_> {
        Ok([count("log_pages_written")?, count("log_pages_moved")?, count("log_pages_sequential")?])
    };
    let before = counts()?;
    pages.exchange(COUNTED * length)?;
    let [written, moved, sequential] = std::array::from_fn(|index| counts().map(|after| after[index] - before[index]));
    let (written, moved, sequential) = (written?, moved?, sequential?);
    let (all, wear) = (written + moved, count("log_wear_most")?);
    let (amplification, in_order) = (all * 100 / written.max(1), sequential * 100 / all.max(1));
    println!(
        "  log: {} MiB in slots, {used} % in use, pages exchanged at random: {written} out, {moved} moved; write amplification \
         {amplification}/100, {in_order} % sequential; a segment was written {wear} times at most",
        total >> 10
    );
    require!(written >= (COUNTED - 1) as u64 * length as u64, "{written} pages went out");
    require!(moved > 1000, "the cleaner moved {moved} pages");
    require!(amplification < 200, "the write amplification is {amplification}/100");
    require!(in_order >= 95, "{in_order} % was written in order");
    Ok(())
}
