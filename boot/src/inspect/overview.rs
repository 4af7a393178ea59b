//! The machine as a whole.

use std::fmt::Write as _;

use quire_boot::observatory::{
    FrameKind, Snapshot,
    snapshot::{Memory, TaskState, Zram, Zswap},
};

use super::happened;

/// Memory against the watermarks, and what the frames are used for.
pub(super) fn overview(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let Memory { managed, free, kernel, min, low, high, .. } = snapshot.memory;
    let state = match free {
        _ if free < min => "below min: tasks wait until something is reclaimed",
        _ if free < low => "below low: kswapd reclaims",
        _ if free < high => "below high",
        _ => "enough",
    };
    _ = writeln!(text, "\nmemory: {free} of {managed} frames free, {state} (min {min}, low {low}, high {high})");
    _ = writeln!(text, "        {kernel} frames are the kernel's own");
    let counts = snapshot.frames_by_kind();
    for kind in FrameKind::ALL.into_iter().filter(|kind| *kind != FrameKind::Hole && counts[*kind as usize] > 0) {
        _ = writeln!(text, "{:>8} {}", counts[kind as usize], kind.name());
    }
    for area in &snapshot.areas {
        _ = writeln!(
            text,
            "\nswap area {}: {}, {} of {} slots used, priority {}",
            area.index, area.name, area.used, area.usable, area.priority
        );
    }
    text += &pools(snapshot);
    _ = writeln!(text, "\n{:24}{:>9}{:>10}{:>9}{:>8}", "task", "state", "resident", "swapped", "cgroup");
    for task in &snapshot.tasks {
        let state = match task.state {
            TaskState::Ready => "ready",
            TaskState::Running => "running",
            TaskState::Parked => "waits",
            TaskState::Dead => "dead",
        };
        let name = happened::task(snapshot, task.thread);
        _ = writeln!(text, "{name:24}{state:>9}{:>10}{:>9}{:>8}", task.resident, task.swapped, task.cgroup);
    }
    if snapshot.changed_meanwhile > 0 {
        _ = writeln!(text, "\n{} frames changed while this was read", snapshot.changed_meanwhile);
    }
    text
}

/// What the pools of compressed pages hold, with the figures of `mm_stat` and of zswap's directory in debugfs.
pub(super) fn pools(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let mut pool = |name: &str, original: u64, compressed: u64, frames: u64, rest: String| {
        let tenths = original.saturating_mul(10).checked_div(frames.saturating_mul(4096)).unwrap_or(0);
        let (whole, tenth) = (tenths / 10, tenths % 10);
        _ = writeln!(
            text,
            "\n{name}: {} pages, {original} bytes as {compressed} in {frames} frames: {whole}.{tenth} pages in a frame\n    {rest}",
            original / 4096
        );
    };
    for Zram { name, size, original, compressed, pool_frames, same_pages, incompressible } in &snapshot.zram {
        let rest = format!("{same_pages} of one value, {incompressible} huge; room for {} pages", size / 4096);
        pool(name, *original, *compressed, *pool_frames, rest);
    }
    if let Some(Zswap { original, compressed, pool_frames, same_pages, written_back, rejected, .. }) = snapshot.zswap {
        let rest = format!("{same_pages} of one value; {written_back} were written back, {rejected} refused");
        pool("zswap", original, compressed, pool_frames, rest);
    }
    text
}
