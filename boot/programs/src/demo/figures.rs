//! What the kernel's files say about swapping.

use std::{io, time::Duration};

use crate::files;

/// Counters since the machine started.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) pages_out: u64,
    pub(super) pages_in: u64,
    /// Requests that the disk has completed, and the pages in them.
    pub(super) writes: u64,
    pub(super) pages_written: u64,
    pub(super) reads: u64,
    pub(super) pages_read: u64,
    pub(super) readahead: u64,
    pub(super) readahead_hits: u64,
}

impl Figures {
    /// Reads them, with those of one disk.
    pub(super) fn read(disk: &str) -> io::Result<Self> {
        const SECTORS_A_PAGE: u64 = 8;
        let number = |name| files::number("/proc/vmstat", name);
        let name = disk.trim_start_matches("/dev/");
        // Reads completed, merged, sectors, milliseconds, and then the same for writes.
        let disk = files::numbers(&format!("/sys/block/{name}/stat"))?;
        let disk = |column: usize| disk.get(column).copied().unwrap_or(0);
        Ok(Self {
            pages_out: number("pswpout")?,
            pages_in: number("pswpin")?,
            reads: disk(0),
            pages_read: disk(2) / SECTORS_A_PAGE,
            writes: disk(4),
            pages_written: disk(6) / SECTORS_A_PAGE,
            readahead: number("swap_ra")?,
            readahead_hits: number("swap_ra_hit")?,
        })
    }

    /// What has come since.
    pub(super) const fn since(&self, before: &Self) -> Self {
        Self {
            pages_out: self.pages_out - before.pages_out,
            pages_in: self.pages_in - before.pages_in,
            writes: self.writes - before.writes,
            pages_written: self.pages_written - before.pages_written,
            reads: self.reads - before.reads,
            pages_read: self.pages_read - before.pages_read,
            readahead: self.readahead - before.readahead,
            readahead_hits: self.readahead_hits - before.readahead_hits,
        }
    }

    /// Pages that went out and not to the disk.
    pub(super) const fn kept_out(&self) -> u64 {
        self.pages_out.saturating_sub(self.pages_written)
    }

    /// Pages that came in and not from the disk.
    pub(super) const fn kept_in(&self) -> u64 {
        self.pages_in.saturating_sub(self.pages_read)
    }
}

/// A phase: its name, what happened in it, and how long it took.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) figures: Figures,
    pub(super) took: Duration,
}

/// What happened in all of them.
pub(super) fn sum(rows: &[Row], figure: impl Fn(&Figures) -> u64) -> u64 {
    rows.iter().map(|row| figure(&row.figures)).sum()
}
