//! A run as lines of JSON, for programs: one line for each message, with what is new in it.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{
    cells::{FrameCell, PageOwner, SlotCell},
    picture::{Cells, Change},
};
use crate::observatory::{FrameKind, event::Event, event::What};

const SLOT_CONTENTS: [&str; 5] = ["free", "used", "swap cache", "backend's", "bad"];

/// Writes a change as a line: the facts by their names; `frames` and `slots` that are new, by number; `events`.
pub(super) fn write(file: &mut impl Write, change: &Change) -> io::Result<()> {
    let mut line = change.facts.clone();
    line.insert("whole".into(), change.whole.into());
    line.insert("frames".into(), cells(&change.frames, frame));
    let slots = change.areas.iter().map(|(index, slots)| json!({ "area": index, "slots": cells(slots, slot) }));
    line.insert("slots".into(), slots.collect());
    line.insert("events".into(), change.events.iter().map(event).collect());
    serde_json::to_writer(&mut *file, &line)?;
    file.write_all(b"\n")
}

fn cells<T>(cells: &Cells<T>, value: impl Fn(usize, &T) -> Value) -> Value {
    let told: Vec<_> = cells.told.iter().map(|(index, cell)| value(*index, cell)).collect();
    json!({ "count": cells.count, "anew": cells.anew, "told": told })
}

fn frame(number: usize, frame: &FrameCell) -> Value {
    let kind = FrameKind::ALL.get(usize::from(frame.kind)).map_or("unknown", |kind| kind.name());
    json!({
        "frame": number, "kind": kind, "owner": owner(frame.owner), "list": frame.list, "bits": frame.bits,
        "cgroup": frame.cgroup, "slot": frame.slot.map(|(area, slot)| json!({ "area": area, "slot": slot })),
    })
}

fn slot(number: usize, slot: &SlotCell) -> Value {
    let content = SLOT_CONTENTS.get(usize::from(slot.content)).unwrap_or(&"unknown");
    json!({
        "slot": number, "content": content, "zero": slot.zero, "owner": owner(slot.owner), "count": slot.count,
        "frame": slot.frame, "cgroup": slot.cgroup,
    })
}

fn owner(owner: PageOwner) -> Value {
    if owner.thread == 0 {
        return Value::Null;
    }
    json!({ "thread": owner.thread, "address": owner.page * 4096, "sharers": owner.sharers })
}

/// An event; `time` is microseconds of the guest's clock.
fn event(event: &Event) -> Value {
    let mut value = what(&event.what);
    value["time"] = event.time.into();
    value["thread"] = event.thread.into();
    value
}

/// What has happened, by the words of the field.
pub(super) fn what(what: &What) -> Value {
    match *what {
        What::Fault { service, address } => {
            json!({ "event": "fault", "service": format!("{service:?}"), "address": address })
        }
        What::Reclaim { by, scanned, freed } => {
            json!({ "event": "reclaim", "by": format!("{by:?}"), "scanned": scanned, "freed": freed })
        }
        What::PageOut { frame, area, slot } => {
            json!({ "event": "page out", "frame": frame, "area": area, "slot": slot })
        }
        What::PageIn { frame, area, slot } => json!({ "event": "page in", "frame": frame, "area": area, "slot": slot }),
        What::SlotAllocated { area, slot, count } => {
            json!({ "event": "slots allocated", "area": area, "slot": slot, "count": count })
        }
        What::SlotFreed { area, slot, count } => {
            json!({ "event": "slots freed", "area": area, "slot": slot, "count": count })
        }
        What::BatchSubmitted { area, write, folios } => {
            json!({ "event": "batch submitted", "area": area, "write": write, "folios": folios })
        }
        What::BatchCompleted { area, write, folios, ok } => {
            json!({ "event": "batch completed", "area": area, "write": write, "folios": folios, "ok": ok })
        }
        What::Stored { place, bytes } => json!({ "event": "stored", "place": format!("{place:?}"), "bytes": bytes }),
        What::Loaded { place, bytes } => json!({ "event": "loaded", "place": format!("{place:?}"), "bytes": bytes }),
        What::TlbFlush { pages } => json!({ "event": "TLB flush", "pages": pages }),
        What::KswapdWoken { free } => json!({ "event": "kswapd woken", "free": free }),
        What::OutOfMemory { pid } => json!({ "event": "out of memory", "pid": pid }),
        What::SwapOn { area } => json!({ "event": "swapon", "area": area }),
        What::SwapOff { area } => json!({ "event": "swapoff", "area": area }),
        What::TaskStart { thread } => json!({ "event": "task start", "started": thread }),
        What::TaskSwitch { to } => json!({ "event": "task switch", "to": to }),
        What::TaskEnd => json!({ "event": "task end" }),
        What::CgroupLimit { cgroup } => json!({ "event": "cgroup limit", "cgroup": cgroup }),
    }
}
