//! What the kernel's files say about swapping, and the demo's table of it.

use std::{io, time::Duration};

use crate::files;

/// Counters since the machine started.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Figures {
    pub(super) pages_out: u64,
    pub(super) pages_in: u64,
    /// Requests that the disk has completed.
    writes: u64,
    reads: u64,
    faults: u64,
    major: u64,
    readahead: u64,
    readahead_hits: u64,
    /// Pages that reclaim looked at, and those that it took out, where the kernel counts them.
    reclaim: Option<(u64, u64)>,
}

impl Figures {
    pub(super) fn read() -> io::Result<Self> {
        let number = |name| files::number("/proc/vmstat", name);
        let by = |name: &str, who| files::number("/proc/vmstat", &format!("{name}_{who}")).ok();
        let both = |name| Some(by(name, "kswapd")? + by(name, "direct")?);
        // Reads completed, merged, sectors, milliseconds, and then the same for writes.
        let disk = files::numbers("/sys/block/vda/stat")?;
        let disk = |column: usize| disk.get(column).copied().unwrap_or(0);
        Ok(Self {
            pages_out: number("pswpout")?,
            pages_in: number("pswpin")?,
            writes: disk(4),
            reads: disk(0),
            faults: number("pgfault")?,
            major: number("pgmajfault")?,
            readahead: number("swap_ra")?,
            readahead_hits: number("swap_ra_hit")?,
            reclaim: both("pgscan").zip(both("pgsteal")),
        })
    }
}

/// A phase: its name, the counters before and after it, and how long it took.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) before: Figures,
    pub(super) after: Figures,
    pub(super) took: Duration,
}

pub(super) fn print_table(rows: &[Row]) {
    println!("\n  phase            pages out  requests  pages/request   pages in  requests  pages/request     time");
    for Row { name, before, after, took } in rows {
        let (out, writes) = (after.pages_out - before.pages_out, after.writes - before.writes);
        let (back, reads) = (after.pages_in - before.pages_in, after.reads - before.reads);
        println!(
            "  {name:16} {out:9} {writes:9} {:>14} {back:10} {reads:9} {:>14} {:6.1} s",
            ratio(out, writes),
            ratio(back, reads),
            took.as_secs_f64()
        );
    }
}

/// A quotient with one digit after the point.
fn ratio(pages: u64, requests: u64) -> String {
    let tenths = (pages * 10).checked_div(requests);
    tenths.map_or("-".to_owned(), |tenths| format!("{}.{}", tenths / 10, tenths % 10))
}

/// What happened between two readings.
pub(super) fn print_sums(before: &Figures, after: &Figures) {
    println!(
        "\n  faults: {}, of which {} had to read; {} pages were read ahead, and {} of those were wanted",
        after.faults - before.faults,
        after.major - before.major,
        after.readahead - before.readahead,
        after.readahead_hits - before.readahead_hits
    );
    if let (Some(before), Some(after)) = (before.reclaim, after.reclaim) {
        println!("  reclaim: {} pages looked at, {} taken out", after.0 - before.0, after.1 - before.1);
    }
}

#[cfg(test)]
mod tests {
    use super::ratio;

    #[test]
    fn a_quotient_has_one_digit_after_the_point() {
        assert_eq!(ratio(47, 3), "15.6");
        assert_eq!(ratio(0, 7), "0.0");
        assert_eq!(ratio(7, 0), "-");
    }
}
