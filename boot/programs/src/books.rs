//! What a machine has in use: the same before and after, once everything that was begun has ended.

use std::{thread::sleep, time::Duration};

use crate::files;

/// What must be the same before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Books {
    /// Those that cannot be other processes'.
    pub(crate) slots: u64,
    pub(crate) page_tables_kib: u64,
    pub(crate) free_kib: u64,
}

impl Books {
    fn open() -> std::io::Result<Self> {
        Ok(Self {
            slots: files::swap_used()?.saturating_sub(slots_of_others()?),
            page_tables_kib: files::number("/proc/meminfo", "PageTables")?,
            // Pages of files come and go as they are needed, and cost nothing.
            free_kib: files::number("/proc/meminfo", "MemFree")? + files::number("/proc/meminfo", "Cached")?,
        })
    }
}

/// How many slots other processes may have, such as the shell that this was started from: for pages that are out, and for
/// all pages in memory that have kept theirs, of which nobody says whose they are. Process 1 keeps its pages in memory.
fn slots_of_others() -> std::io::Result<u64> {
    let own = std::process::id();
    let names = std::fs::read_dir("/proc")?.flatten().map(|entry| entry.file_name());
    let others = names.filter_map(|name| name.to_str()?.parse().ok()).filter(|number: &u32| ![1, own].contains(number));
    // One that ends meanwhile has none.
    let swapped = others.map(|number| files::number(&format!("/proc/{number}/status"), "VmSwap").unwrap_or(0));
    match swapped.reduce(|sum, more| sum + more) {
        Some(swapped) => Ok((swapped + files::number("/proc/meminfo", "SwapCached")?) / 4),
        None => Ok(0),
    }
}

/// The books once they have stopped changing, or are as they should be.
pub(crate) fn settled(wanted: Option<Books>) -> std::io::Result<Books> {
    let mut last = Books::open()?;
    for _ in 0..50 {
        sleep(Duration::from_millis(100));
        let now = Books::open()?;
        if wanted.map_or(now == last, |wanted| now == wanted) {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}
