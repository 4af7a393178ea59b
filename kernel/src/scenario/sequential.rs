//! One task goes through more pages than there is memory, in order: how well its pages travel together.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use quire_memory::fault::{FaultService, served};
use quire_memory::swap;
use quire_protocol::contents::Contents;

use super::checks::{Books, Meeting, ram};
use super::failure::Failure;
use super::workload::{self, Tally};
use crate::command_line::CommandLine;
use crate::require;
use crate::swapon;

/// Pages that a request writes at least.
const PAGES_A_WRITE: u64 = 24;
/// Of so many faults that find their page in swap, at most one reads it; the others find it read ahead.
const FAULTS_A_READ: u64 = 7;

pub(super) fn sequential(command_line: CommandLine<'static>) -> Result<String, Failure> {
    let enabled = swapon::enable(command_line)?;
    let books = Books::open();
    let tally = Arc::new(Tally::default());
    let (filled, counted) = (Meeting::new(1), Meeting::new(1));
    let (own_filled, own_counted) = (Arc::clone(&filled), Arc::clone(&counted));
    let walker = workload::start("walker", Contents::Text, 0, ram() * 2, &tally, move |workload| {
        let filled = workload.fill();
        own_filled.come();
        filled?;
        own_counted.wait();
        workload.sequential()
    })?;
    filled.wait();
    let out = swap::statistics();
    let faults = || (served::count(FaultService::Read), served::count(FaultService::Cached));
    let (read_before, cached_before) = faults();
    counted.come();
    require!(walker.join().is_ok(), "the task was killed");
    let (read, cached) = (faults().0 - read_before, faults().1 - cached_before);
    enabled.disable()?;
    books.check(&tally)?;
    require!(
        out.pages_out >= PAGES_A_WRITE * out.write_requests,
        "{} pages went out in {} requests, fewer than {PAGES_A_WRITE} in each",
        out.pages_out,
        out.write_requests
    );
    require!(
        read * FAULTS_A_READ <= read + cached,
        "{read} of {} faults read, more than one in {FAULTS_A_READ}",
        read + cached
    );
    Ok(format!(
        "pages_out={} write_requests={} faults_read={read} faults_cached={cached} bytes_verified={}",
        out.pages_out,
        out.write_requests,
        tally.verified()
    ))
}
