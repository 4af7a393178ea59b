//! One frame, page, slot or task of a machine, and the reclaim lists.

use std::fmt::Write as _;

use quire_boot::observatory::{
    FrameKind, Observatory, Snapshot,
    snapshot::{Frame, Slot, SlotContent, Task, flag},
};
use quire_swap::DecodedPte;

use super::happened;

/// How many pages or frames of one kind are named one by one.
const NAMED: usize = 20;

/// What is in a frame, whose it is, and where else it is.
pub(super) fn frame(snapshot: &Snapshot, number: u32) -> Result<String, String> {
    let frame = snapshot.frames.get(number as usize);
    let frame = frame
        .ok_or_else(|| format!("there is no frame {number:#x}: the last is {:#x}", last(snapshot.frames.len())))?;
    let mut text =
        format!("frame {number:#x}, physical address {:#x}: {}\n", u64::from(number) * 4096, frame.kind.name());
    describe_frame(&mut text, frame);
    for mapping in snapshot.mappings_of(number) {
        let bits = [(mapping.accessed, "accessed"), (mapping.dirty, "dirty"), (mapping.writable, "writable")];
        let bits: Vec<_> = bits.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect();
        let task = happened::task(snapshot, mapping.thread);
        _ = writeln!(text, "    mapped by {task} at {:#x}: {}", mapping.address, bits.join(", "));
    }
    life(&mut text, snapshot, &|what| what.contains(&format!("frame {number:#x}")));
    Ok(text)
}

fn describe_frame(text: &mut String, frame: &Frame) {
    if let Some(owner) = frame.owner {
        _ = writeln!(text, "    page {:#x} of owner {}, {} references", owner.index, owner.number, frame.references);
    }
    if let Some(lru) = frame.lru {
        let bits = [
            (lru.isolated, "isolated"),
            (lru.fresh, "fresh"),
            (lru.droppable, "can be dropped"),
            (!lru.droppable, "has to be in swap to go"),
        ];
        let bits: Vec<_> = bits.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect();
        _ = writeln!(text, "    reclaim list {}, mark {}: {}", lru.list, lru.mark, bits.join(", "));
    }
    let flags: Vec<_> = flag::names(frame.flags).collect();
    if !flags.is_empty() {
        _ = writeln!(text, "    {}", flags.join(", "));
    }
    if let Some(Slot { area, slot }) = frame.slot {
        _ = writeln!(text, "    has slot {slot} of area {area} as well");
    }
    if frame.cgroup != 0 {
        _ = writeln!(text, "    charged to cgroup {}", frame.cgroup);
    }
}

/// The walk from a process's root table to the page, and on to its frame or slot.
pub(super) fn page(
    observatory: &mut Observatory,
    snapshot: &Snapshot,
    pid: u32,
    address: u64,
) -> Result<String, Box<dyn std::error::Error>> {
    let task = snapshot.tasks.iter().find(|task| task.pid == Some(pid)).ok_or_else(|| {
        let pids: Vec<_> = snapshot.tasks.iter().filter_map(|task| task.pid).map(|pid| pid.to_string()).collect();
        format!(
            "there is no process {pid}; there are: {}",
            if pids.is_empty() { "none".into() } else { pids.join(", ") }
        )
    })?;
    let root = task.root.ok_or_else(|| format!("process {pid} has no address space any more"))?;
    let mut text = format!("{}, root table in frame {:#x}\n", happened::task(snapshot, task.thread), root / 4096);
    let mut leaf = 0;
    for (level, entry) in observatory.walk(root, address)? {
        _ = writeln!(text, "    level {level}: {entry:#018x}  {}", describe_entry(entry));
        leaf = entry;
    }
    match DecodedPte::decode(leaf) {
        DecodedPte::Present(entry) => {
            text += &frame(snapshot, ((entry & 0x000f_ffff_ffff_f000) / 4096) as u32)?;
        }
        DecodedPte::Entry(entry) => text += &slot(snapshot, entry.area(), entry.slot())?,
        DecodedPte::Poisoned(entry) => _ = writeln!(text, "the page could not be read back from {entry}"),
        DecodedPte::None => {
            text += "nothing is there: the page was never touched, or nothing is mapped at the address\n";
        }
        DecodedPte::Unknown(_) => text += "the entry is hidden for the time being\n",
    }
    Ok(text)
}

fn describe_entry(entry: u64) -> String {
    const BITS: [(u64, &str); 5] =
        [(1 << 1, "writable"), (1 << 2, "user"), (1 << 5, "accessed"), (1 << 6, "dirty"), (1 << 63, "no execution")];
    match DecodedPte::decode(entry) {
        DecodedPte::None => "nothing".to_owned(),
        DecodedPte::Present(_) => {
            let bits: Vec<_> = BITS.into_iter().filter(|(bit, _)| entry & bit != 0).map(|(_, name)| name).collect();
            format!("frame {:#x}: {}", (entry & 0x000f_ffff_ffff_f000) / 4096, bits.join(", "))
        }
        DecodedPte::Entry(entry) => format!("swap entry: {entry}"),
        DecodedPte::Poisoned(entry) => format!("poisoned: {entry}"),
        DecodedPte::Unknown(_) => "hidden".to_owned(),
    }
}

/// What is in a slot, and who has it.
pub(super) fn slot(snapshot: &Snapshot, index: u8, number: u32) -> Result<String, String> {
    let area = snapshot.areas.iter().find(|area| area.index == index).ok_or_else(|| {
        let areas: Vec<_> = snapshot.areas.iter().map(|area| format!("{} ({})", area.index, area.name)).collect();
        format!(
            "there is no swap area {index}; there are: {}",
            if areas.is_empty() { "none".into() } else { areas.join(", ") }
        )
    })?;
    if u64::from(number) >= area.length {
        return Err(format!("area {index} has no slot {number}: the last is {}", area.length.saturating_sub(1)));
    }
    let state = area.slots.get(number as usize).copied().unwrap_or_default();
    let content = match state.content {
        SlotContent::Free => "free".to_owned(),
        SlotContent::Used(0) => "a page, in no frame".to_owned(),
        SlotContent::Used(shadow) => format!("a page, in no frame; its eviction left shadow {shadow:#x}"),
        SlotContent::Cached(frame) => format!("a page, in the swap cache: also in frame {frame:#x}"),
        SlotContent::Owned(None) => "being taken for a slot of another area".to_owned(),
        SlotContent::Owned(Some(Slot { area, slot })) => format!("the page of area {area} slot {slot}"),
        SlotContent::Bad => "bad: the header, or a page that the header names".to_owned(),
    };
    let mut text = format!("area {index} ({}), slot {number}: {content}\n", area.name);
    _ = writeln!(text, "    count {}{}", state.count, if state.zero { ", all zero and never written" } else { "" });
    if state.cgroup != 0 {
        _ = writeln!(text, "    charged to cgroup {}", state.cgroup);
    }
    for page in snapshot.swapped_to(index, number) {
        _ = writeln!(text, "    in the page table of {} at {:#x}", happened::task(snapshot, page.thread), page.address);
    }
    life(&mut text, snapshot, &|what| {
        what.contains(&format!("area {index} slot {number} ")) || what.ends_with(&format!("area {index} slot {number}"))
    });
    Ok(text)
}

/// The events that are about something, as far as the rings still have them.
fn life(text: &mut String, snapshot: &Snapshot, is_about: &dyn Fn(&str) -> bool) {
    let lines = snapshot.events.iter().map(|event| happened::line(snapshot, event));
    let about: Vec<_> = lines.filter(|line| is_about(line)).collect();
    for line in &about[about.len().saturating_sub(NAMED)..] {
        _ = writeln!(text, "  {line}");
    }
}

/// The tasks of this name, number or `NAME[NUMBER]`.
pub(super) fn tasks<'a>(snapshot: &'a Snapshot, wanted: &str) -> Result<Vec<&'a Task>, String> {
    let is_wanted = |task: &&Task| {
        task.name == wanted
            || task.pid.is_some_and(|pid| pid.to_string() == wanted)
            || happened::task(snapshot, task.thread) == wanted
    };
    let found: Vec<_> = snapshot.tasks.iter().filter(is_wanted).collect();
    if found.is_empty() {
        let names: Vec<_> = snapshot.tasks.iter().map(|task| happened::task(snapshot, task.thread)).collect();
        return Err(format!("there is no task {wanted}; there are: {}", names.join(", ")));
    }
    Ok(found)
}

/// What a task has.
pub(super) fn task(snapshot: &Snapshot, task: &Task) -> String {
    let mut text = format!(
        "\n{}: {} pages in memory, {} in swap, {} of them compressed in memory, cgroup {}\n",
        happened::task(snapshot, task.thread),
        task.resident,
        task.swapped,
        task.compressed,
        task.cgroup
    );
    let space = task.root.and_then(|root| snapshot.tasks.iter().find(|other| other.root == Some(root)));
    if let Some(reader) = space {
        let of_task = snapshot.swapped.iter().filter(|page| page.thread == reader.thread);
        for page in of_task.take(NAMED) {
            _ = writeln!(text, "    {:#x} is in area {} slot {}", page.address, page.area, page.slot);
        }
    }
    let lines = snapshot.events.iter().filter(|event| event.thread == task.thread);
    let lines: Vec<_> = lines.map(|event| happened::line(snapshot, event)).collect();
    for line in &lines[lines.len().saturating_sub(NAMED)..] {
        _ = writeln!(text, "  {line}");
    }
    text
}

/// How many pages are in each reclaim list, by cgroup.
pub(super) fn lists(snapshot: &Snapshot) -> String {
    let mut text =
        format!("{:8}{:>6}{:>18}{:>12}{:>10}{:>10}\n", "cgroup", "list", "goes", "pages", "isolated", "fresh");
    for cgroup in &snapshot.cgroups {
        for droppable in [false, true] {
            for list in 1..=7 {
                let pages = snapshot.frames.iter().filter(|frame| frame.cgroup == cgroup.number);
                let lru = pages.filter_map(|frame| frame.lru);
                let of_list: Vec<_> = lru.filter(|lru| (lru.list, lru.droppable) == (list, droppable)).collect();
                if of_list.is_empty() {
                    continue;
                }
                let isolated = of_list.iter().filter(|lru| lru.isolated).count();
                let fresh = of_list.iter().filter(|lru| lru.fresh).count();
                let goes = match (list, droppable) {
                    (7, _) => "has to stay",
                    (_, true) => "can be dropped",
                    (_, false) => "to swap",
                };
                let (number, pages) = (cgroup.number, of_list.len());
                _ = writeln!(text, "{number:<8}{list:>6}{goes:>18}{pages:>12}{isolated:>10}{fresh:>10}");
            }
        }
    }
    let unknown = snapshot.frames.iter().filter(|frame| frame.owner.is_some() && frame.lru.is_none()).count();
    _ = writeln!(text, "{unknown} pages are in no list");
    let active = snapshot.frames_by_kind()[FrameKind::ActiveAnonymous as usize];
    _ = writeln!(text, "{active} private pages are in lists that are protected for now");
    text
}

fn last(length: usize) -> usize {
    length.saturating_sub(1)
}
