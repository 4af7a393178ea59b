//! The block layer on a real device: the last disk, whose contents are lost.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use quire_drivers::block::{BlockError, Completion, MAX_SEGMENTS, Operation, Request, Segment};
use quire_machine::heap;
use quire_machine::task::WaitQueue;
use quire_machine::watermark::Purpose;
use quire_memory::folio::{Folio, NewFolio};
use quire_swap::Folio as _;

use super::failure::Failure;
use crate::command_line::CommandLine;
use crate::disk::{self, SECTORS_PER_PAGE, VirtioDisk};
use crate::require;
use quire_protocol::contents::Contents;

/// Requests that are submitted before any is waited for.
const AT_ONCE: u64 = 48;

pub(super) fn disk(_: CommandLine<'static>) -> Result<String, Failure> {
    let disk = disk::all().last().ok_or("there is no disk; start with --swap or --disk")?;
    let free_before = heap::spare_frames();
    let geometry = disk.geometry();
    if geometry.read_only {
        refused(disk, Operation::Write, 0, 1, |error| matches!(error, BlockError::ReadOnly { .. }))?;
    } else {
        scattered(disk)?;
        many(disk)?;
        from_completions(disk)?;
        disk.run(Operation::Flush, 0, &[])?;
        if let Some(most) = geometry.max_discard_sectors {
            let sectors = most.get().min(2048);
            disk.run(Operation::Discard { sectors }, 0, &[])?;
        }
    }
    refused(disk, Operation::Read, geometry.sectors, 1, |error| matches!(error, BlockError::OutOfRange { .. }))?;
    refused(disk, Operation::Read, u64::MAX, 1, |error| matches!(error, BlockError::OutOfRange { .. }))?;
    refused(disk, Operation::Read, 0, 0, |error| matches!(error, BlockError::Malformed { .. }))?;
    let free = heap::spare_frames();
    require!(free == free_before, "{free_before} frames were free before, {free} after");
    let counters = disk.counters();
    Ok(format!(
        "read_only={} transfers={} segments={} flushes={} discards={} doorbells={} interrupts={} max_in_flight={} errors={}",
        u8::from(geometry.read_only),
        counters.reads + counters.writes,
        counters.segments,
        counters.flushes,
        counters.discards,
        counters.doorbells,
        counters.interrupts,
        counters.max_in_flight,
        counters.errors
    ))
}

fn folios(count: usize) -> Result<Vec<Folio>, Failure> {
    (0..count)
        .map(|_| NewFolio::allocate(Purpose::Task).map(NewFolio::into_empty).ok_or("no free frames".into()))
        .collect()
}

fn segment(folio: &Folio) -> Segment {
    // SAFETY: every caller keeps the folio and does not touch it until its request has ended.
    unsafe { disk::page_segment(folio) }
}

/// One request with the most segments, no two of them neighbours in memory, written and read back.
fn scattered(disk: &VirtioDisk) -> Result<(), Failure> {
    let all = folios(2 * MAX_SEGMENTS)?;
    let (written, read): (Vec<&Folio>, Vec<&Folio>) =
        (all.iter().step_by(2).collect(), all.iter().skip(1).step_by(2).collect());
    for (number, folio) in written.iter().enumerate() {
        folio.with_page_mut(0, |page| Contents::Random.fill(page, number as u64));
    }
    let segments = |folios: &[&Folio]| folios.iter().map(|folio| segment(folio)).collect::<Vec<_>>();
    disk.run(Operation::Write, SECTORS_PER_PAGE, &segments(&written))?;
    disk.run(Operation::Read, SECTORS_PER_PAGE, &segments(&read))?;
    for (number, (wrote, got)) in written.iter().zip(&read).enumerate() {
        let same = wrote.with_page(0, |wrote| got.with_page(0, |got| wrote == got));
        require!(same, "page {number} of a request of {MAX_SEGMENTS} segments came back different");
    }
    Ok(())
}

struct Countdown {
    left: AtomicUsize,
    failed: AtomicUsize,
    over: WaitQueue,
}

struct CountDown(Arc<Countdown>);

impl Completion for CountDown {
    fn complete(self: Box<Self>, result: Result<(), BlockError>) {
        self.0.failed.fetch_add(usize::from(result.is_err()), Ordering::Relaxed);
        self.0.left.fetch_sub(1, Ordering::Release);
        self.0.over.wake_all();
    }
}

/// Many requests before any is waited for, more than once round the queue.
fn many(disk: &VirtioDisk) -> Result<(), Failure> {
    let pages = folios(AT_ONCE as usize)?;
    for round in 0..4 {
        for operation in [Operation::Write, Operation::Read] {
            let countdown = Arc::new(Countdown {
                left: AtomicUsize::new(pages.len()),
                failed: AtomicUsize::new(0),
                over: WaitQueue::new(),
            });
            for (number, folio) in (0..).zip(&pages) {
                folio.with_page_mut(0, |page| match operation {
                    Operation::Write => Contents::Text.fill(page, number + round * AT_ONCE),
                    _ => page.fill(0xee),
                });
                // Backwards on the disk, so that nothing can merge.
                let sector = (1 + AT_ONCE - number) * SECTORS_PER_PAGE;
                let mut request = Request::new(operation, sector, Box::new(CountDown(Arc::clone(&countdown))));
                request.push(segment(folio)).map_err(|_| "a request without room for a segment")?;
                disk.submit(request);
            }
            countdown.over.wait_until(|| countdown.left.load(Ordering::Acquire) == 0);
            let failed = countdown.failed.load(Ordering::Relaxed);
            require!(failed == 0, "{failed} of {AT_ONCE} requests failed");
        }
        for (number, folio) in (0..).zip(&pages) {
            let mut expected = Box::new([0; 4096]);
            Contents::Text.fill(&mut expected, number + round * AT_ONCE);
            require!(
                folio.with_page(0, |page| *page == *expected),
                "request {number} of round {round} read wrong bytes"
            );
        }
    }
    Ok(())
}

/// Two requests for the place that one leaves.
struct Split {
    disk: &'static Arc<VirtioDisk>,
    ends: [CountDown; 2],
}

impl Completion for Split {
    fn complete(self: Box<Self>, _: Result<(), BlockError>) {
        for end in self.ends {
            self.disk.submit(Request::new(Operation::Flush, 0, Box::new(end)));
        }
    }
}

/// Completions submit more than they make room for: what finds none must neither wait for itself nor be lost.
fn from_completions(disk: &'static Arc<VirtioDisk>) -> Result<(), Failure> {
    let splits = 4 * AT_ONCE as usize;
    let (left, failed) = (AtomicUsize::new(2 * splits), AtomicUsize::new(0));
    let countdown = Arc::new(Countdown { left, failed, over: WaitQueue::new() });
    for _ in 0..splits {
        let ends = [(); 2].map(|()| CountDown(Arc::clone(&countdown)));
        disk.submit(Request::new(Operation::Flush, 0, Box::new(Split { disk, ends })));
    }
    countdown.over.wait_until(|| countdown.left.load(Ordering::Acquire) == 0);
    let failed = countdown.failed.load(Ordering::Relaxed);
    require!(failed == 0, "{failed} of {} requests failed", 2 * splits);
    Ok(())
}

fn refused(
    disk: &VirtioDisk,
    operation: Operation,
    sector: u64,
    segments: usize,
    expected: fn(&BlockError) -> bool,
) -> Result<(), Failure> {
    let folios = folios(segments)?;
    let segments: Vec<Segment> = folios.iter().map(segment).collect();
    match disk.run(operation, sector, &segments) {
        Err(error) if expected(&error) => Ok(()),
        other => Err(Failure(format!("{operation:?} of {} pages at sector {sector} gave {other:?}", segments.len()))),
    }
}
