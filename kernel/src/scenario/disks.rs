//! The block layer on a real device: the last disk, whose contents are lost.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicUsize, Ordering};

use quire_drivers::block::{BlockError, Completion, MAX_SEGMENTS, Operation, Request};
use quire_machine::heap;
use quire_machine::sync::{Rank, SpinLock};
use quire_machine::task::WaitQueue;
use quire_machine::transfer::Transfer;
use quire_machine::watermark::Purpose;
use quire_memory::folio::NewFolio;
use quire_protocol::contents::Contents;
use quire_swap::header::Page;

use super::failure::Failure;
use crate::command_line::CommandLine;
use crate::disk::{self, SECTORS_PER_PAGE, VirtioDisk};
use crate::require;

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
        disk.run(Operation::Flush, 0)?;
        if let Some(most) = geometry.max_discard_sectors {
            let sectors = most.get().min(2048);
            disk.run(Operation::Discard { sectors }, 0)?;
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

fn pages(count: usize) -> Result<Vec<NewFolio>, Failure> {
    (0..count).map(|_| NewFolio::allocate(Purpose::Task).ok_or("no free frames".into())).collect()
}

/// One request with the most segments, no two of them neighbours in memory, written and read back.
fn scattered(disk: &VirtioDisk) -> Result<(), Failure> {
    let mut all = pages(2 * MAX_SEGMENTS)?;
    let mut memory: Vec<&mut Page> = all.iter_mut().map(NewFolio::page_mut).collect();
    for (number, page) in memory.iter_mut().step_by(2).enumerate() {
        Contents::Random.fill(page, number as u64);
    }
    let written: Vec<&Page> = memory.iter().step_by(2).map(|page| &**page).collect();
    disk.write(SECTORS_PER_PAGE, &written)?;
    let mut read: Vec<&mut Page> = memory.iter_mut().skip(1).step_by(2).map(|page| &mut **page).collect();
    disk.read(SECTORS_PER_PAGE, &mut read)?;
    for (number, pair) in memory.chunks(2).enumerate() {
        require!(pair[0] == pair[1], "page {number} of a request of {MAX_SEGMENTS} segments came back different");
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
    let memory = Arc::new(SpinLock::new(Rank::Scenario, Vec::new()));
    for round in 0..4 {
        for operation in [Operation::Write, Operation::Read] {
            let countdown = Arc::new(Countdown {
                left: AtomicUsize::new(AT_ONCE as usize),
                failed: AtomicUsize::new(0),
                over: WaitQueue::new(),
            });
            for (number, mut page) in (0..).zip(pages(AT_ONCE as usize)?) {
                match operation {
                    Operation::Write => Contents::Text.fill(page.page_mut(), number + round * AT_ONCE),
                    _ => page.page_mut().fill(0xee),
                }
                // Backwards on the disk, so that nothing can merge.
                let sector = (1 + AT_ONCE - number) * SECTORS_PER_PAGE;
                let (end, memory) = (CountDown(Arc::clone(&countdown)), Arc::clone(&memory));
                let end = move |page, result| {
                    memory.lock().push((number, page));
                    Box::new(end).complete(result);
                };
                let request = Request::with_memory(operation, sector, Box::new(Transfer { pages: page, end }));
                disk.submit(request.ok_or("a request without room for a segment")?);
            }
            countdown.over.wait_until(|| countdown.left.load(Ordering::Acquire) == 0);
            let failed = countdown.failed.load(Ordering::Relaxed);
            require!(failed == 0, "{failed} of {AT_ONCE} requests failed");
            for (number, mut page) in core::mem::take(&mut *memory.lock()) {
                let mut expected = Box::new([0; 4096]);
                Contents::Text.fill(&mut expected, number + round * AT_ONCE);
                require!(*page.page_mut() == *expected, "request {number} of round {round} has wrong bytes");
            }
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
    count: usize,
    expected: fn(&BlockError) -> bool,
) -> Result<(), Failure> {
    let mut pages = pages(count)?;
    let mut memory: Vec<&mut Page> = pages.iter_mut().map(NewFolio::page_mut).collect();
    let outcome = match operation {
        Operation::Read => disk.read(sector, &mut memory),
        _ => disk.write(sector, &memory.iter().map(|page| &**page).collect::<Vec<_>>()),
    };
    match outcome {
        Err(error) if expected(&error) => Ok(()),
        other => Err(Failure(format!("{operation:?} of {count} pages at sector {sector} gave {other:?}"))),
    }
}
