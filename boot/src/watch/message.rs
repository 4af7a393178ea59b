//! A change as a message for the page: bytes, which `page/state.js` reads.
//!
//! | part | |
//! |---|---|
//! | 1 byte | 1: forget what was told before |
//! | facts | their length, and JSON |
//! | frames | its length; how many there are; runs of those that are told: how many to skip, how many follow, and these |
//! | areas | its length; how many; for each its index, whether it is told anew, how many slots, and as for frames |
//! | events | its length; each by its kind, its time since the one before, its thread, and what its kind has |
//!
//! Numbers are those of `bytes`; pages, frames, slots and times are differences to the ones before in the same part.

use quire_protocol::observatory::event::EventKind;

use super::{
    bytes::ByteWriter,
    cells::{FrameCell, PageOwner, SlotCell},
    picture::{Cells, Change},
};
use crate::observatory::event::{Event, What};

/// The message, without its length.
pub fn message(change: &Change) -> Vec<u8> {
    let mut message = ByteWriter::default();
    message.byte(u8::from(change.whole));
    // Facts are numbers, texts and lists of them: nothing that JSON cannot have.
    message.part(&serde_json::to_vec(&change.facts).unwrap_or_default());
    message.part(&part(|writer| {
        writer.number(change.frames.count as u64);
        runs(writer, &change.frames, frame);
    }));
    message.part(&part(|writer| {
        writer.number(change.areas.len() as u64);
        for (index, slots) in &change.areas {
            writer.number(u64::from(*index));
            writer.byte(u8::from(slots.anew));
            writer.number(slots.count as u64);
            writer.part(&part(|writer| runs(writer, slots, slot)));
        }
    }));
    message.part(&part(|writer| events(writer, &change.events)));
    message.0
}

fn part(write: impl FnOnce(&mut ByteWriter)) -> Vec<u8> {
    let mut writer = ByteWriter::default();
    write(&mut writer);
    writer.0
}

/// What the cells before in the same part said.
#[derive(Default)]
struct Before {
    page: u64,
    other: u64,
}

fn runs<T>(writer: &mut ByteWriter, cells: &Cells<T>, write: impl Fn(&mut ByteWriter, &T, &mut Before)) {
    let (mut before, mut end) = (Before::default(), 0);
    for run in cells.told.chunk_by(|(index, _), (next, _)| index + 1 == *next) {
        let start = run[0].0;
        writer.number((start - end) as u64);
        writer.number(run.len() as u64);
        for (_, cell) in run {
            write(writer, cell, &mut before);
        }
        end = start + run.len();
    }
}

fn frame(writer: &mut ByteWriter, frame: &FrameCell, before: &mut Before) {
    let has = [frame.owner.thread != 0, frame.list != 0, frame.slot.is_some(), frame.bits != 0 || frame.cgroup != 0];
    writer.byte(frame.kind & 0x0f | head(has));
    write_owner(writer, frame.owner, before);
    if frame.list != 0 {
        writer.byte(frame.list);
    }
    if let Some((area, slot)) = frame.slot {
        writer.byte(area);
        writer.difference(&mut before.other, u64::from(slot));
    }
    if has[3] {
        writer.number(u64::from(frame.bits));
        writer.byte(frame.cgroup);
    }
}

fn slot(writer: &mut ByteWriter, slot: &SlotCell, before: &mut Before) {
    let has = [slot.owner.thread != 0, slot.count != 1, slot.frame.is_some(), slot.cgroup != 0];
    writer.byte(slot.content & 0x07 | u8::from(slot.zero) << 3 | head(has));
    write_owner(writer, slot.owner, before);
    if slot.count != 1 {
        writer.byte(slot.count);
    }
    if let Some(frame) = slot.frame {
        writer.difference(&mut before.other, u64::from(frame));
    }
    if slot.cgroup != 0 {
        writer.byte(slot.cgroup);
    }
}

/// The upper four bits of a cell's first byte: which of its parts follow.
fn head(has: [bool; 4]) -> u8 {
    (4..).zip(has).fold(0, |bits, (bit, has)| bits | u8::from(has) << bit)
}

fn write_owner(writer: &mut ByteWriter, owner: PageOwner, before: &mut Before) {
    if owner.thread == 0 {
        return;
    }
    let is_shared = owner.sharers > 1;
    writer.number(u64::from(owner.thread) << 1 | u64::from(is_shared));
    if is_shared {
        writer.byte(owner.sharers);
    }
    writer.difference(&mut before.page, owner.page);
}

/// What the events before in the same part said.
#[derive(Default)]
struct Last {
    time: u64,
    page: u64,
    frame: u64,
    slot: u64,
}

fn events(writer: &mut ByteWriter, events: &[Event]) {
    let mut last = Last::default();
    for event in events {
        writer.byte(kind(&event.what) as u8);
        writer.difference(&mut last.time, event.time);
        writer.number(u64::from(event.thread));
        what(writer, &event.what, &mut last);
    }
}

/// What the kernel's rings call it.
pub(super) const fn kind(what: &What) -> EventKind {
    match what {
        What::Fault { .. } => EventKind::Fault,
        What::Reclaim { .. } => EventKind::Reclaim,
        What::PageOut { .. } => EventKind::PageOut,
        What::PageIn { .. } => EventKind::PageIn,
        What::SlotAllocated { .. } => EventKind::SlotAllocated,
        What::SlotFreed { .. } => EventKind::SlotFreed,
        What::BatchSubmitted { .. } => EventKind::BatchSubmitted,
        What::BatchCompleted { .. } => EventKind::BatchCompleted,
        What::Stored { .. } => EventKind::Stored,
        What::Loaded { .. } => EventKind::Loaded,
        What::TlbFlush { .. } => EventKind::TlbFlush,
        What::KswapdWoken { .. } => EventKind::KswapdWoken,
        What::OutOfMemory { .. } => EventKind::OutOfMemory,
        What::SwapOn { .. } => EventKind::SwapOn,
        What::SwapOff { .. } => EventKind::SwapOff,
        What::TaskStart { .. } => EventKind::TaskStart,
        What::TaskSwitch { .. } => EventKind::TaskSwitch,
        What::TaskEnd => EventKind::TaskEnd,
        What::CgroupLimit { .. } => EventKind::CgroupLimit,
    }
}

fn what(writer: &mut ByteWriter, what: &What, last: &mut Last) {
    match *what {
        What::Fault { service, address } => {
            writer.byte(service as u8);
            writer.difference(&mut last.page, address / 4096);
        }
        What::Reclaim { by, scanned, freed } => {
            writer.byte(by as u8);
            writer.number(u64::from(scanned));
            writer.number(u64::from(freed));
        }
        What::PageOut { frame, area, slot } | What::PageIn { frame, area, slot } => {
            writer.byte(area);
            writer.difference(&mut last.frame, u64::from(frame));
            writer.difference(&mut last.slot, u64::from(slot));
        }
        What::SlotAllocated { area, slot, count } | What::SlotFreed { area, slot, count } => {
            writer.byte(area);
            writer.difference(&mut last.slot, u64::from(slot));
            writer.number(u64::from(count));
        }
        What::BatchSubmitted { area, write, folios } => batch(writer, area, write, true, folios),
        What::BatchCompleted { area, write, folios, ok } => batch(writer, area, write, ok, folios),
        What::Stored { place, bytes } | What::Loaded { place, bytes } => {
            writer.byte(place as u8);
            writer.number(u64::from(bytes));
        }
        // 0 stands for all.
        What::TlbFlush { pages } => writer.number(pages.map_or(0, |pages| u64::from(pages) + 1)),
        What::KswapdWoken { free } => writer.number(u64::from(free)),
        What::OutOfMemory { pid } => writer.number(u64::from(pid)),
        What::SwapOn { area } | What::SwapOff { area } => writer.byte(area),
        What::TaskStart { thread } => writer.number(u64::from(thread)),
        What::TaskSwitch { to } => writer.number(u64::from(to)),
        What::TaskEnd => {}
        What::CgroupLimit { cgroup } => writer.number(u64::from(cgroup)),
    }
}

fn batch(writer: &mut ByteWriter, area: u8, write: bool, ok: bool, folios: u32) {
    writer.byte(area);
    writer.byte(u8::from(write) | u8::from(ok) << 1);
    writer.number(u64::from(folios));
}
