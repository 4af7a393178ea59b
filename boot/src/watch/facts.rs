//! The small facts of a snapshot: everything but frames, slots and events. They are told as JSON, by name.

use serde_json::{Map, Value, json};

use crate::observatory::{
    event::{Event, FaultService, What},
    snapshot::{Area, Cgroup, Snapshot, Task, TaskState, Zram, Zswap},
};

/// Facts that are told each time.
pub(super) const ALWAYS: [&str; 3] = ["time", "faults", "reclaimed"];

/// How many ways there are to serve a fault.
const FAULT_SERVICES: usize = FaultService::ALL.len();

/// All facts, by name. `events` are those since the snapshot before.
pub(super) fn facts(snapshot: &Snapshot, events: &[Event]) -> Map<String, Value> {
    let memory = snapshot.memory;
    let counters: Map<_, _> =
        snapshot.counters.iter().map(|counter| (counter.name.clone(), counter.value.into())).collect();
    let facts = json!({
        "time": microseconds(snapshot.time, snapshot.ticks_per_second),
        "faults": faults(events),
        "reclaimed": reclaimed(events),
        "memory": {
            "bytes": memory.bytes, "managed": memory.managed, "free": memory.free, "kernel": memory.kernel,
            "min": memory.min, "low": memory.low, "high": memory.high,
        },
        "counters": counters,
        "areas": snapshot.areas.iter().map(area).collect::<Vec<_>>(),
        "zram": snapshot.zram.iter().map(zram).collect::<Vec<_>>(),
        "zswap": snapshot.zswap.as_ref().map(zswap),
        "tasks": snapshot.tasks.iter().map(task).collect::<Vec<_>>(),
        "cgroups": snapshot.cgroups.iter().map(cgroup).collect::<Vec<_>>(),
        "lost": snapshot.lost_events,
        "torn": snapshot.changed_meanwhile,
    });
    let Value::Object(facts) = facts else { unreachable!("json! of braces is an object") };
    facts
}

/// The facts about what has happened, when nothing has.
pub(super) fn nothing_happened() -> [(String, Value); 2] {
    [("faults".into(), vec![0; FAULT_SERVICES].into()), ("reclaimed".into(), json!([0, 0]))]
}

/// The facts that are new.
pub(super) fn difference(before: &Map<String, Value>, now: &Map<String, Value>) -> Map<String, Value> {
    let differing = |before: &Map<String, Value>, now: &Map<String, Value>| {
        let new =
            now.iter().filter(|(name, value)| ALWAYS.contains(&name.as_str()) || before.get(*name) != Some(value));
        new.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>()
    };
    let mut new = differing(before, now);
    if let (Some(Value::Object(before)), Some(Value::Object(now))) = (before.get("counters"), new.get("counters")) {
        let counters = differing(before, now);
        new.insert("counters".into(), counters.into());
    }
    new
}

/// The facts of two differences, one after the other, as one.
pub(super) fn union(before: Map<String, Value>, now: Map<String, Value>) -> Map<String, Value> {
    let mut all = before;
    for (name, value) in now {
        let known = all.remove(&name);
        let value = match (known, value) {
            (Some(Value::Object(mut known)), Value::Object(new)) if name == "counters" => {
                known.extend(new);
                Value::Object(known)
            }
            (Some(Value::Array(known)), Value::Array(new)) if ["faults", "reclaimed"].contains(&name.as_str()) => {
                let sum = |(one, other): (&Value, &Value)| one.as_u64().unwrap_or(0) + other.as_u64().unwrap_or(0);
                known.iter().zip(&new).map(sum).collect()
            }
            (_, value) => value,
        };
        all.insert(name, value);
    }
    all
}

/// The same events with microseconds for ticks.
pub(super) fn in_microseconds(events: &[Event], ticks_per_second: u64) -> Vec<Event> {
    events.iter().map(|event| Event { time: microseconds(event.time, ticks_per_second), ..*event }).collect()
}

/// Until the guest has measured its clock, a tick is taken for a nanosecond.
fn microseconds(ticks: u64, ticks_per_second: u64) -> u64 {
    let per_second = if ticks_per_second == 0 { 1_000_000_000 } else { ticks_per_second };
    (u128::from(ticks) * 1_000_000 / u128::from(per_second)) as u64
}

fn faults(events: &[Event]) -> [u64; FAULT_SERVICES] {
    let mut counts = [0; FAULT_SERVICES];
    for event in events {
        if let What::Fault { service, .. } = event.what {
            counts[service as usize % FAULT_SERVICES] += 1;
        }
    }
    counts
}

/// Pages that reclaim looked at, and those of them that went.
fn reclaimed(events: &[Event]) -> [u64; 2] {
    events.iter().fold([0, 0], |[all, gone], event| match event.what {
        What::Reclaim { scanned, freed, .. } => [all + u64::from(scanned), gone + u64::from(freed)],
        _ => [all, gone],
    })
}

fn area(area: &Area) -> Value {
    json!({ "index": area.index, "name": area.name, "priority": area.priority, "usable": area.usable, "used": area.used })
}

fn zram(zram: &Zram) -> Value {
    json!({
        "name": zram.name, "size": zram.size, "original": zram.original, "compressed": zram.compressed,
        "pool_frames": zram.pool_frames, "same_pages": zram.same_pages, "incompressible": zram.incompressible,
    })
}

fn zswap(zswap: &Zswap) -> Value {
    json!({
        "stored": zswap.stored, "original": zswap.original, "compressed": zswap.compressed,
        "pool_frames": zswap.pool_frames, "same_pages": zswap.same_pages, "written_back": zswap.written_back, "rejected": zswap.rejected,
    })
}

fn task(task: &Task) -> Value {
    let state = match task.state {
        TaskState::Ready => "ready",
        TaskState::Running => "running",
        TaskState::Parked => "parked",
        TaskState::Dead => "dead",
    };
    json!({
        "thread": task.thread, "pid": task.pid, "name": task.name, "state": state, "resident": task.resident,
        "swapped": task.swapped, "compressed": task.compressed, "cgroup": task.cgroup,
    })
}

fn cgroup(cgroup: &Cgroup) -> Value {
    json!({
        "number": cgroup.number, "parent": cgroup.parent, "current": cgroup.current, "peak": cgroup.peak, "max": cgroup.max,
        "swapped": cgroup.swapped, "swap_max": cgroup.swap_max, "limit_hits": cgroup.limit_hits, "kills": cgroup.kills,
    })
}
