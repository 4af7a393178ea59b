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

use super::{Check, Outcome, require, swapped::squeeze};
use crate::{
    files,
    memory::{Memory, PAGE},
};

pub(super) const CHECKS: &[Check] =
    &[("reclaim-kswapd", kswapd), ("reclaim-swappiness", swappiness), ("reclaim-page-cluster", page_cluster)];

fn counted(names: &[&str]) -> std::io::Result<u64> {
    names.iter().map(|name| files::number("/proc/vmstat", name)).sum()
}

/// A setting that is put back when this goes.
struct Setting {
    path: &'static str,
    before: String,
}

impl Setting {
    fn set(path: &'static str, value: &str) -> std::io::Result<Self> {
        let before = files::text(path)?;
        files::set(path, value)?;
        Ok(Self { path, before })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        // What could be set once can be set again.
        let _ = files::set(self.path, &self.before);
    }
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
