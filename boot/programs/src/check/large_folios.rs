//! Memory that comes in folios of 64 KiB: `/sys/kernel/mm/transparent_hugepage`.

use nix::sys::mman::MmapAdvise;

use super::{
    outcome::{Check, Outcome, require},
    setting::Setting,
};
use crate::{
    files,
    memory::Memory,
    process::{End, end_of},
};

pub(super) const CHECKS: &[Check] = &[("large-folios-settings", settings), ("large-folios-swapped", swapped)];

const ALL_SIZES: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const SIZE: &str = "/sys/kernel/mm/transparent_hugepage/hugepages-64kB/enabled";
/// Pages of a large folio.
const LARGE: usize = 16;

fn count(name: &str) -> Result<u64, super::Failure> {
    let path = format!("/sys/kernel/mm/transparent_hugepage/hugepages-64kB/stats/{name}");
    Ok(files::numbers(&path)?.first().copied().unwrap_or(0))
}

fn settings() -> Outcome {
    let _all = Setting::set(ALL_SIZES, "never\n")?;
    let size = Setting::set(SIZE, "inherit\n")?;
    require!(size.before == "never", "by default it is {}", size.before);
    let said = [ALL_SIZES, SIZE].map(files::text);
    let [Ok(all), Ok(own)] = &said else { return Err(format!("{said:?}").into()) };
    require!(
        (all.as_str(), own.as_str()) == ("always madvise [never]", "always [inherit] madvise never"),
        "the settings are {all} and {own}"
    );
    require!(files::set(ALL_SIZES, "inherit").is_err(), "what all sizes inherit was taken");
    require!(files::set(SIZE, "sometimes").is_err(), "a setting that there is not was taken");
    // Each with what is wanted: nothing, large folios, none.
    for (all, own, expected) in [
        ("never", "inherit", [false; 3]),
        ("madvise", "inherit", [false, true, false]),
        ("always", "madvise", [false, true, false]),
        ("never", "always", [true, true, false]),
    ] {
        files::set(ALL_SIZES, all)?;
        files::set(SIZE, own)?;
        let advice = [MmapAdvise::MADV_NORMAL, MmapAdvise::MADV_HUGEPAGE, MmapAdvise::MADV_NOHUGEPAGE];
        for (advice, expected) in advice.into_iter().zip(expected) {
            // So many that the aligned 64 KiB around the middle are among them.
            let mut memory = Memory::private(3 * LARGE)?;
            memory.advise(0..3 * LARGE, advice)?;
            let before = count("anon_fault_alloc")?;
            memory.touch(LARGE + LARGE / 2);
            let came = count("anon_fault_alloc")? > before;
            let resident = memory.in_core()?.into_iter().filter(|here| *here).count();
            require!(
                came == expected && resident == if expected { LARGE } else { 1 },
                "with {all} and {own}, {advice:?}: {resident} pages came"
            );
        }
    }
    Ok(())
}

/// More than there is memory for, of which parts go, are written by a child, and are given away.
fn swapped() -> Outcome {
    let pages = files::number("/proc/meminfo", "MemTotal")? as usize / 4 / LARGE * LARGE + 64 * LARGE;
    let _set = Setting::set(SIZE, "always")?;
    let names = ["anon_fault_alloc", "swpout"];
    let before = names.map(count);
    let mut memory = Memory::private(pages)?;
    (0..pages).for_each(|page| memory.set_word(page, page as u64 + 1));
    let wrong = |memory: &Memory, expected: &dyn Fn(usize) -> u64| {
        (0..pages).find(|page| memory.word(*page) != expected(*page))
    };
    require!(files::swap_used()? > 0, "{pages} pages fit into memory");
    for ((name, before), after) in names.into_iter().zip(before).zip(names.map(count)) {
        let (before, after) = (before?, after?);
        require!(after > before, "{name} is {before} before, and {after} after {pages} pages");
    }
    let end = end_of(|| {
        let is_right = wrong(&memory, &|page| page as u64 + 1).is_none();
        (0..pages).step_by(5).for_each(|page| memory.set_word(page, 7));
        i32::from(!is_right || wrong(&memory, &|page| if page % 5 == 0 { 7 } else { page as u64 + 1 }).is_some())
    })?;
    require!(end == End::Exited(0), "a child found other pages: {end}");
    require!(wrong(&memory, &|page| page as u64 + 1).is_none(), "a child changed its parent's pages");
    for first in (0..pages - 3).step_by(LARGE) {
        memory.advise(first + 1..first + 3, MmapAdvise::MADV_DONTNEED)?;
    }
    memory.page_out()?;
    let split = count("split")?;
    // Wherever it begins, each of these pages is in a large folio of its own.
    let mut fresh = Memory::private(9 * LARGE)?;
    for page in (LARGE..9 * LARGE).step_by(LARGE) {
        fresh.set_word(page, 1);
        fresh.advise(page..page + 1, MmapAdvise::MADV_DONTNEED)?;
    }
    fresh.page_out()?;
    require!(count("split")? > split, "none was split of which a part is gone");
    let expected = |page: usize| if matches!(page % LARGE, 1 | 2) { 0 } else { page as u64 + 1 };
    let wrong = wrong(&memory, &expected);
    require!(wrong.is_none(), "page {wrong:?} came back changed");
    Ok(())
}
