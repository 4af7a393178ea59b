//! What reclaim does is what its files say and are told. These checks need an enabled swap area with a disk behind it, and
//! the machine for themselves.

use std::fs::File;

use nix::{
    errno::Errno,
    sys::{
        mman::{MapFlags, MmapAdvise, ProtFlags, mmap},
        resource::{UsageWho, getrusage},
    },
};
use quire_protocol::contents::Contents;

use super::{
    outcome::{Check, Outcome, require},
    setting::Setting,
};
use crate::{
    files,
    memory::{Memory, PAGE, squeeze},
    process::{End, end_of},
};

pub(super) const CHECKS: &[Check] = &[
    ("reclaim-kswapd", kswapd),
    ("reclaim-swappiness", swappiness),
    ("reclaim-page-cluster", page_cluster),
    ("reclaim-lazily-freed", lazily_freed),
    ("reclaim-lazily-freed-over-fork", lazily_freed_over_fork),
];

fn counted(names: &[&str]) -> std::io::Result<u64> {
    names.iter().map(|name| files::number("/proc/vmstat", name)).sum()
}

/// Pages leave memory by the kernel's own thread, not only by those who need frames.
fn kswapd() -> Outcome {
    let before = counted(&["pgsteal_kswapd"])?;
    squeeze()?;
    let stolen = counted(&["pgsteal_kswapd"])? - before;
    require!(stolen > 100, "{stolen} pages were taken out by kswapd");
    Ok(())
}

/// With 200 nothing is dropped while there is something to swap.
fn swappiness() -> Outcome {
    let _setting = Setting::set("/proc/sys/vm/swappiness", "200")?;
    let program = File::open("/proc/self/exe")?;
    let pages = program.metadata()?.len() as usize / PAGE;
    let length = (pages * PAGE).try_into().map_err(|_| Errno::EINVAL)?;
    // SAFETY: the kernel chooses a place where nothing is; the mapping stays to the process's end.
    let start = unsafe { mmap(None, length, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, &program, 0) }?.cast::<u8>();
    for page in 0..pages {
        // SAFETY: the page is mapped, and the file is that long.
        unsafe { start.add(page * PAGE).read_volatile() };
    }
    let [file, other] = [["pgscan_file"], ["pgscan_anon"]];
    let before = (counted(&file)?, counted(&other)?);
    squeeze()?;
    let scanned = (counted(&file)? - before.0, counted(&other)? - before.1);
    require!(scanned.0 == 0 && scanned.1 > 0, "with swappiness 200, looked at pages of files and others: {scanned:?}");
    Ok(())
}

/// The faults that read when pages that have left memory are touched in order, and how many pages those are.
fn faults_that_read() -> Result<(i64, usize), super::Failure> {
    const PAGES: usize = 1000;
    let mut memory = Memory::private(PAGES)?;
    memory.pages().iter_mut().zip(0..).for_each(|(page, number)| Contents::Text.fill(page, number));
    memory.advise(0..PAGES, MmapAdvise::MADV_PAGEOUT)?;
    squeeze()?;
    let away = memory.in_core()?.iter().filter(|&&here| !here).count();
    let faults = || getrusage(UsageWho::RUSAGE_SELF).map(|usage| usage.major_page_faults());
    let before = faults()?;
    (0..PAGES).for_each(|page| memory.touch(page));
    Ok((faults()? - before, away))
}

fn page_cluster() -> Outcome {
    const PATH: &str = "/proc/sys/vm/page-cluster";
    let _setting = Setting::set(PATH, "3")?;
    let (reads, away) = faults_that_read()?;
    require!(
        reads > 0 && reads.unsigned_abs() < away as u64 / 2,
        "with page-cluster 3, {reads} reads for {away} pages"
    );
    files::set(PATH, "0")?;
    let (reads, away) = faults_that_read()?;
    require!(reads.unsigned_abs() >= away as u64, "with page-cluster 0, {reads} reads for {away} pages");
    Ok(())
}

/// What was given away goes without being written, unless the program has written it since.
fn lazily_freed() -> Outcome {
    const PAGES: usize = 256;
    let mut memory = Memory::private(PAGES)?;
    memory.pages().iter_mut().for_each(|page| page.fill(1));
    let given = counted(&["pglazyfree"])?;
    memory.advise(0..PAGES, MmapAdvise::MADV_FREE)?;
    let given = counted(&["pglazyfree"])? - given;
    require!(given == PAGES as u64, "{given} of {PAGES} pages were given away");
    require!(memory.in_core()?.iter().all(|&here| here), "pages that were given away left memory at once");
    require!(memory.pages().iter().flatten().all(|&byte| byte == 1), "a page was lost while memory was not short");
    memory.pages().iter_mut().step_by(2).for_each(|page| page[5] = 2);
    let before = counted(&["pglazyfreed"])?;
    memory.advise(0..PAGES, MmapAdvise::MADV_PAGEOUT)?;
    squeeze()?;
    let freed = counted(&["pglazyfreed"])? - before;
    require!(freed == PAGES as u64 / 2, "{freed} of {PAGES} pages were lazily freed, of which half were not written");
    for (number, page) in memory.pages().iter().enumerate() {
        let mut expected = [u8::from(number % 2 == 0); PAGE];
        expected[5] *= 2;
        require!(*page == expected, "page {number} has other bytes");
    }
    // What is in swap goes at once.
    memory.pages().iter_mut().for_each(|page| page.fill(3));
    memory.advise(0..PAGES, MmapAdvise::MADV_PAGEOUT)?;
    squeeze()?;
    let here = memory.in_core()?;
    memory.advise(0..PAGES, MmapAdvise::MADV_FREE)?;
    for (page, _) in memory.pages().iter().zip(here).filter(|(_, here)| !here) {
        require!(*page == [0; PAGE], "a page that was given away while it was in swap is not zero");
    }
    Ok(())
}

/// What a child writes to pages that its parent gave away is the child's alone, and stays.
fn lazily_freed_over_fork() -> Outcome {
    const PAGES: usize = 256;
    let mut memory = Memory::private(PAGES)?;
    memory.pages().iter_mut().for_each(|page| page.fill(1));
    memory.advise(0..PAGES, MmapAdvise::MADV_FREE)?;
    let child = end_of(|| {
        memory.pages().iter_mut().step_by(2).for_each(|page| page.fill(2));
        if memory.advise(0..PAGES, MmapAdvise::MADV_PAGEOUT).is_err() || squeeze().is_err() {
            return 1;
        }
        let is_right = |(number, page): (usize, &[u8; PAGE])| {
            if number % 2 == 0 { *page == [2; PAGE] } else { [[0; PAGE], [1; PAGE]].contains(page) }
        };
        if memory.pages().iter().enumerate().all(is_right) { 0 } else { 2 }
    })?;
    require!(child == End::Exited(0), "the child found other bytes: {child}");
    squeeze()?;
    let is_right = |page: &[u8; PAGE]| [[0; PAGE], [1; PAGE]].contains(page);
    require!(memory.pages().iter().all(is_right), "a page that was given away has other bytes");
    Ok(())
}
