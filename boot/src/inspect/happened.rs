//! The last events, a line each.

use std::fmt::Write as _;

use quire_boot::observatory::{
    Event, Snapshot, What,
    event::{Compressed, FaultService, Reclaimer},
};

/// How many are shown.
const SHOWN: usize = 50;

/// The last events, each with its time in milliseconds before the last one.
pub(super) fn last(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let shown = &snapshot.events[snapshot.events.len().saturating_sub(SHOWN)..];
    _ = writeln!(text, "\nthe last {} of {} events, the last one last:", shown.len(), snapshot.noted_events);
    for event in shown {
        _ = writeln!(text, "{}", line(snapshot, event));
    }
    text
}

/// An event with its time.
pub(super) fn line(snapshot: &Snapshot, event: &Event) -> String {
    format!("{} {}", when(snapshot, event), describe(snapshot, event))
}

fn when(snapshot: &Snapshot, event: &Event) -> String {
    let ticks = snapshot.time.saturating_sub(event.time);
    if snapshot.ticks_per_second == 0 {
        return format!("{ticks:>12} ticks before");
    }
    let microseconds = u128::from(ticks) * 1_000_000 / u128::from(snapshot.ticks_per_second);
    let milliseconds = format!("-{}.{:03}", microseconds / 1000, microseconds % 1000);
    format!("{milliseconds:>12} ms")
}

/// The name of a task, or its thread's number if it has gone.
pub(super) fn task(snapshot: &Snapshot, thread: u32) -> String {
    match snapshot.tasks.iter().find(|task| task.thread == thread) {
        Some(task) => match task.pid {
            Some(pid) => format!("{}[{pid}]", task.name),
            None => format!("{}[{thread}]", task.name),
        },
        None => format!("thread {thread}"),
    }
}

fn describe(snapshot: &Snapshot, event: &Event) -> String {
    let what = match event.what {
        What::Fault { service, address } => format!("fault at {address:#x}: {}", served(service)),
        What::Reclaim { by, scanned, freed } => {
            let by = match by {
                Reclaimer::Kswapd => "kswapd",
                Reclaimer::Direct => "the task itself",
                Reclaimer::Cgroup => "the task, for its cgroup",
            };
            format!("reclaim by {by}: {scanned} pages looked at, {freed} leave")
        }
        What::PageOut { frame, area, slot } => format!("page out: frame {frame:#x} to area {area} slot {slot}"),
        What::PageIn { frame, area, slot } => format!("page in: area {area} slot {slot} to frame {frame:#x}"),
        What::SlotAllocated { area, slot, count } => format!("{count} allocated from area {area} slot {slot} on"),
        What::SlotFreed { area, slot, count } => format!("{count} freed from area {area} slot {slot} on"),
        What::BatchSubmitted { area, write, folios } => {
            format!("batch of {folios} {} area {area} submitted", if write { "to" } else { "from" })
        }
        What::BatchCompleted { area, write, folios, ok } => {
            let (way, end) = (if write { "to" } else { "from" }, if ok { "completed" } else { "FAILED" });
            format!("batch of {folios} {way} area {area} {end}")
        }
        What::Stored { place, bytes } => format!("stored in {} as {bytes} bytes", place_name(place)),
        What::Loaded { place, bytes } => format!("loaded from {}, {bytes} bytes", place_name(place)),
        What::TlbFlush { pages: None } => "TLB flushed".to_owned(),
        What::TlbFlush { pages: Some(pages) } => format!("TLB flushed for {pages} pages"),
        What::KswapdWoken { free } => format!("kswapd woken, {free} frames free"),
        What::OutOfMemory { pid } => format!("out of memory: process {pid} is killed"),
        What::SwapOn { area } => format!("swapon: area {area}"),
        What::SwapOff { area } => format!("swapoff: area {area}"),
        What::TaskStart { thread } => format!("{} begins", task(snapshot, thread)),
        What::TaskSwitch { to } => format!("switch to {}", task(snapshot, to)),
        What::TaskEnd => "the task ends".to_owned(),
        What::CgroupLimit { cgroup } => format!("cgroup {cgroup} is at its limit"),
    };
    format!("{}: {what}", task(snapshot, event.thread))
}

const fn served(service: FaultService) -> &'static str {
    match service {
        FaultService::ZeroFilled => "filled with zeros",
        FaultService::ZeroMapped => "mapped to the frame of zeros",
        FaultService::Read => "read from swap",
        FaultService::Cached => "found in the swap cache",
        FaultService::ZeroSlot => "zero in swap",
        FaultService::Object => "a page of a file",
        FaultService::Copied => "copied to be written",
        FaultService::Reused => "made writable",
        FaultService::Spurious => "served already",
        FaultService::Fatal => "fatal",
    }
}

const fn place_name(place: Compressed) -> &'static str {
    match place {
        Compressed::Zram => "zram",
        Compressed::Zswap => "zswap",
    }
}
