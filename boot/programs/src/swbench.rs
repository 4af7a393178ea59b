//! `swbench PAGES CONTENT ORDER [HOG_MIB]`: what a page-out and a fault cost, the same on any kernel that runs it.
//!
//! Fills pages of anonymous memory, pages them out by `madvise`, reads a byte of each in the given order and times every
//! such read with the time-stamp counter, then compares a hash of every page with what was written. With `HOG_MIB` other
//! memory is touched and unmapped in between, so that clean pages of the swap cache are dropped too. Where the counter
//! counts instructions (`--icount`) the figures are exact.
//!
//! Exit status: 0 all bytes came back, 1 some did not, 2 wrong usage or a refused system call.

use std::{arch::x86_64, process::ExitCode};

use nix::sys::{
    mman::MmapAdvise,
    resource::{UsageWho, getrusage},
};
use quire_protocol::contents::{Contents, Xorshift, hash};

use crate::memory::{Memory, PAGE};

/// What is asked for.
struct Work<'a> {
    pages: usize,
    contents: Contents,
    order: &'a str,
    hog_pages: usize,
}

/// Ticks of the time-stamp counter, and faults.
struct Figures {
    bad: usize,
    major: i64,
    minor: i64,
    out: u64,
    back: u64,
    /// For each page, sorted.
    took: Vec<u64>,
}

pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let Some(work) = parse(arguments) else {
        eprintln!("usage: swbench PAGES text|zero|same|random|mix seq|random [HOG_MIB]");
        return ExitCode::from(2);
    };
    match run(&work) {
        Ok(Figures { bad, major, minor, out, back, took }) => {
            let Work { pages, contents, order, .. } = work;
            println!(
                "swbench pages={pages} content={} order={order} bad={bad} majflt={major} minflt={minor} out={out} in={back} \
                 p50={} p99={} max={} ticks/page",
                contents.name(),
                took[pages / 2],
                took[pages - 1 - pages / 100],
                took[pages - 1]
            );
            ExitCode::from(u8::from(bad != 0))
        }
        Err(error) => {
            eprintln!("swbench: {error}");
            ExitCode::from(2)
        }
    }
}

fn parse(arguments: &[String]) -> Option<Work<'_>> {
    let [pages, contents, order, hog @ ..] = arguments else { return None };
    let hog_mib: usize = hog.first().map_or(Some(0), |mib| mib.parse().ok())?;
    let pages = pages.parse().ok().filter(|&pages| pages > 0)?;
    matches!(order.as_str(), "seq" | "random").then_some(())?;
    Some(Work { pages, contents: Contents::named(contents)?, order, hog_pages: (hog_mib << 20) / PAGE })
}

fn run(work: &Work<'_>) -> nix::Result<Figures> {
    let mut memory = Memory::private(work.pages)?;
    memory.advise(0..work.pages, MmapAdvise::MADV_NOHUGEPAGE)?;
    for (page, number) in memory.pages().iter_mut().zip(0..) {
        work.contents.fill(page, number);
    }
    let expected: Vec<u64> = memory.pages().iter().map(hash).collect();
    let order = order(work.pages, work.order);
    let mut took = vec![0; work.pages];

    let start = ticks();
    memory.page_out()?;
    let out = (ticks() - start) / work.pages as u64;
    if work.hog_pages > 0 {
        let mut hog = Memory::private(work.hog_pages)?;
        (0..work.hog_pages).for_each(|page| hog.touch(page));
    }
    let before = getrusage(UsageWho::RUSAGE_SELF)?;
    let start = ticks();
    for (index, took) in order.into_iter().zip(&mut took) {
        let byte = memory.address(index).wrapping_add(128);
        let start = ticks();
        // SAFETY: the byte lies in a page of `memory`.
        let _ = unsafe { byte.read_volatile() };
        *took = ticks() - start;
    }
    let back = (ticks() - start) / work.pages as u64;
    let after = getrusage(UsageWho::RUSAGE_SELF)?;

    let found = memory.pages().iter().map(hash);
    let bad = found.zip(&expected).filter(|(found, expected)| found != *expected).count();
    took.sort_unstable();
    let major = after.major_page_faults() - before.major_page_faults();
    let minor = after.minor_page_faults() - before.minor_page_faults();
    Ok(Figures { bad, major, minor, out, back, took })
}

/// The order in which pages are read: as they lie, or shuffled, every time alike.
fn order(pages: usize, order: &str) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..pages).collect();
    if order == "random" {
        Xorshift(88_172_645_463_325_252).shuffle(&mut indices);
    }
    indices
}

/// The time-stamp counter, after everything before it.
pub(crate) fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has both instructions, and user programs may use them.
    unsafe {
        x86_64::_mm_lfence();
        x86_64::_rdtsc()
    }
}

#[cfg(test)]
mod tests {
    use super::{order, parse};

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn wrong_usage_is_refused() {
        for wrong in ["", "16 text", "0 text seq", "16 banana seq", "16 text sideways", "16 text seq much"] {
            assert!(parse(&words(wrong)).is_none(), "{wrong}");
        }
        assert!(parse(&words("16 text seq")).is_some_and(|work| work.hog_pages == 0));
        assert!(parse(&words("16 text seq 2")).is_some_and(|work| work.hog_pages == 512));
    }

    #[test]
    fn each_order_visits_every_page_once() {
        assert_eq!(order(4, "seq"), [0, 1, 2, 3]);
        let mut shuffled = order(100, "random");
        assert!(!shuffled.is_sorted());
        shuffled.sort_unstable();
        assert_eq!(shuffled, order(100, "seq"));
    }
}
