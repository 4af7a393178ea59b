//! A run as a trace for Perfetto or Chrome (`chrome://tracing`): the JSON array of its "Trace Event Format".
//!
//! | span | from | to |
//! |---|---|---|
//! | a task on the processor | its switch | the next switch |
//! | a fault | the thread's first event on behalf of it | served |
//! | a reclaim pass | the thread's first page-out, or `kswapd`'s waking | its end |
//! | a batch | submitted | completed |
//!
//! Faults and passes are events of the moment in which they end: where nothing was noted before it, they are spans of no length.

use std::{
    collections::{HashMap, VecDeque},
    io::{self, Write},
};

use serde_json::{Value, json};

use super::{json, message::kind, picture::Change};
use crate::observatory::event::{Event, What};

/// The "processes" of the trace that are none of the guest's.
const PROCESSOR: u32 = 0x7fff_0000;
const DISKS: u32 = 0x7fff_0001;

/// A trace that is being written.
pub(super) struct Trace<W> {
    file: W,
    /// What follows needs a comma in front.
    begun: bool,
    /// The process of each thread.
    processes: HashMap<u32, u32>,
    names: HashMap<u32, String>,
    /// Who has which processor, since when.
    running: HashMap<u8, (u32, u64)>,
    /// When each thread's first event since its last fault or pass was.
    since: HashMap<u32, u64>,
    /// When batches were submitted that are not completed, by area and direction; they complete in their order.
    batches: HashMap<(u8, bool), VecDeque<u64>>,
}

impl<W: Write> Trace<W> {
    /// Begins a trace.
    ///
    /// # Errors
    /// The file's.
    pub(super) fn new(mut file: W) -> io::Result<Self> {
        file.write_all(b"[\n")?;
        let mut trace = Self {
            file,
            begun: false,
            processes: HashMap::new(),
            names: HashMap::new(),
            running: HashMap::new(),
            since: HashMap::new(),
            batches: HashMap::new(),
        };
        trace.name("process_name", PROCESSOR, 0, "processors")?;
        trace.name("process_name", DISKS, 0, "swap areas")?;
        Ok(trace)
    }

    /// Takes in what is new.
    ///
    /// # Errors
    /// The file's.
    pub(super) fn write(&mut self, change: &Change) -> io::Result<()> {
        if let Some(Value::Array(tasks)) = change.facts.get("tasks") {
            tasks.iter().try_for_each(|task| self.task(task))?;
        }
        if let (Some(time), Some(free)) =
            (change.facts.get("time"), change.facts.get("memory").and_then(|memory| memory.get("free")))
        {
            self.entry(
                &json!({ "ph": "C", "name": "free frames", "pid": PROCESSOR, "ts": time, "args": { "frames": free } }),
            )?;
        }
        change.events.iter().try_for_each(|event| self.event(event))
    }

    /// Ends the trace.
    ///
    /// # Errors
    /// The file's.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.file.write_all(b"\n]\n")?;
        self.file.flush()
    }

    fn task(&mut self, task: &Value) -> io::Result<()> {
        let number = |name: &str| task.get(name).and_then(Value::as_u64).map(|number| number as u32);
        let Some(thread) = number("thread") else { return Ok(()) };
        let name = task.get("name").and_then(Value::as_str).unwrap_or_default();
        if self.names.get(&thread).is_some_and(|known| known == name) {
            return Ok(());
        }
        let pid = number("pid").unwrap_or(0);
        self.processes.insert(thread, pid);
        self.names.insert(thread, name.to_owned());
        self.name("thread_name", pid, thread, name)?;
        self.name("process_name", pid, thread, if pid == 0 { "kernel" } else { name })
    }

    fn name(&mut self, what: &str, pid: u32, thread: u32, name: &str) -> io::Result<()> {
        self.entry(&json!({ "ph": "M", "name": what, "pid": pid, "tid": thread, "args": { "name": name } }))
    }

    fn event(&mut self, event: &Event) -> io::Result<()> {
        match event.what {
            What::TaskSwitch { to } => self.switch(event, to),
            What::Fault { .. } => self.ending("fault", event),
            What::Reclaim { .. } => self.ending("reclaim", event),
            What::BatchSubmitted { area, write, .. } => {
                self.batches.entry((area, write)).or_default().push_back(event.time);
                self.since.entry(event.thread).or_insert(event.time);
                Ok(())
            }
            What::BatchCompleted { area, write, .. } => {
                let begin = self.batches.entry((area, write)).or_default().pop_front();
                let name = if write { "write" } else { "read" };
                let thread = u32::from(area) << 1 | u32::from(write);
                self.span(name, begin.unwrap_or(event.time), event, DISKS, thread)
            }
            _ => {
                self.since.entry(event.thread).or_insert(event.time);
                let (pid, name) = (self.process(event.thread), format!("{:?}", kind(&event.what)));
                let arguments = json::what(&event.what);
                self.entry(&json!({
                    "ph": "i", "s": "t", "name": name, "pid": pid, "tid": event.thread, "ts": event.time, "args": arguments,
                }))
            }
        }
    }

    fn switch(&mut self, event: &Event, to: u32) -> io::Result<()> {
        // A task that comes back begins something new: what it waited for is in the span that it ends.
        let Some((thread, begin)) = self.running.insert(event.cpu, (to, event.time)) else { return Ok(()) };
        let name = self.names.get(&thread).cloned().unwrap_or_else(|| format!("thread {thread}"));
        self.span(&name, begin, event, PROCESSOR, u32::from(event.cpu))
    }

    /// Something that is known by its end.
    fn ending(&mut self, name: &str, event: &Event) -> io::Result<()> {
        let begin = self.since.remove(&event.thread).unwrap_or(event.time);
        self.span(name, begin, event, self.process(event.thread), event.thread)
    }

    fn span(&mut self, name: &str, begin: u64, event: &Event, pid: u32, thread: u32) -> io::Result<()> {
        let (length, arguments) = (event.time.saturating_sub(begin), json::what(&event.what));
        self.entry(&json!({
            "ph": "X", "name": name, "pid": pid, "tid": thread, "ts": begin, "dur": length, "args": arguments,
        }))
    }

    fn process(&self, thread: u32) -> u32 {
        self.processes.get(&thread).copied().unwrap_or(0)
    }

    fn entry(&mut self, entry: &Value) -> io::Result<()> {
        if self.begun {
            self.file.write_all(b",\n")?;
        }
        self.begun = true;
        serde_json::to_writer(&mut self.file, entry)?;
        Ok(())
    }
}
