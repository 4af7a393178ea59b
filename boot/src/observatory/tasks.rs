//! Tasks, and what their page tables say.

use std::collections::{HashMap, HashSet};

use quire_protocol::observatory::{Page, Task as TaskRecord, Threads, kind};
use quire_swap::DecodedPte;

use super::{
    error::ObservatoryError,
    frames::FrameTable,
    memory::{PAGE, Physical, Virtual, pte},
    records,
    snapshot::{Mapping, Swapped, Task, TaskState},
};

/// The most threads that are looked for.
const MOST_TASKS: u64 = 4096;
/// The most processors.
const MOST_PROCESSORS: u64 = 64;

/// The tasks, with where each is in memory.
pub(super) fn read(memory: &Virtual<'_>, page: &Page) -> Result<Vec<(Task, TaskRecord)>, ObservatoryError> {
    let mut bytes = [0; Threads::BYTES];
    memory.read("the layout of threads", page.threads, &mut bytes)?;
    let threads = Threads::from_bytes(&bytes).unwrap_or_default();
    let running = running(memory, &threads)?;
    let records = records::sequenced(
        memory,
        "the threads",
        page.tasks,
        page.task_count.min(MOST_TASKS),
        TaskRecord::BYTES,
        |bytes| TaskRecord::from_bytes(bytes).map(|record| (record.sequence, record)),
    )?;
    let tasks = records.into_iter().filter(|record| record.thread != 0);
    // One that ends while it is read is left out: what it had may be another's already.
    Ok(tasks.filter_map(|record| Some((task(memory, &threads, &running, &record).ok()?, record))).collect())
}

/// The threads that run, by their addresses, with the ranks of the locks that they hold.
fn running(memory: &Virtual<'_>, threads: &Threads) -> Result<HashMap<u64, u64>, ObservatoryError> {
    let processors = 0..threads.processor_count.min(MOST_PROCESSORS);
    processors
        .map(|index| {
            let processor = threads.processors.wrapping_add(index.wrapping_mul(threads.processor_bytes));
            let word = |offset: u64| memory.word("a processor's data", processor.wrapping_add(offset));
            Ok((word(threads.current)?, word(threads.current_ranks)?))
        })
        .collect()
}

fn task(
    memory: &Virtual<'_>,
    threads: &Threads,
    running: &HashMap<u64, u64>,
    record: &TaskRecord,
) -> Result<Task, ObservatoryError> {
    let word = |offset: u64| memory.word("a thread", record.thread.wrapping_add(offset));
    let byte = |address: u64| memory.bytes("a thread", address, 1).map(|bytes| bytes[0]);
    let root = match word(threads.root)? {
        0 => None,
        root => {
            let frame = memory.word("a root table", root.wrapping_add(threads.root_frame))? as u32;
            Some(u64::from(frame) * PAGE)
        }
    };
    let current_ranks = running.get(&record.thread);
    let state = match byte(record.thread.wrapping_add(threads.state))? {
        _ if current_ranks.is_some() => TaskState::Running,
        0 => TaskState::Ready,
        1 => TaskState::Running,
        // Those that were not begun, and idle ones, wait as well.
        2 | 4 | 5 => TaskState::Parked,
        _ => TaskState::Dead,
    };
    Ok(Task {
        thread: record.number as u32,
        pid: (record.pid != 0).then_some(record.pid as u32),
        name: memory.text("a thread's name", record.name, record.name_length)?,
        state,
        root,
        stack_top: record.stack_top,
        stack_pointer: word(threads.stack_pointer)?,
        held_ranks: current_ranks.copied().map_or_else(|| word(threads.held_ranks), Ok)?,
        cgroup: if record.cgroup == 0 { 0 } else { byte(record.cgroup)? },
        ..Task::default()
    })
}

/// What the page tables of tasks say.
#[derive(Default)]
pub(super) struct PageTables {
    pub(super) mappings: Vec<Mapping>,
    pub(super) swapped: Vec<Swapped>,
}

/// Reads page tables, of each no more than there can be: what leads to itself ends.
struct Walk<'a> {
    memory: &'a Physical,
    frames: &'a FrameTable,
    /// Tables that may still be read, for all tasks together.
    left: usize,
    seen: HashSet<u64>,
    found: PageTables,
}

/// What the tasks' page tables say; each task is told how much it has. Tasks that share an address space have it each, and it is read
/// once.
pub(super) fn walk(
    memory: &Virtual<'_>,
    frames: &FrameTable,
    tasks: &mut [Task],
) -> Result<PageTables, ObservatoryError> {
    // Each table is of one tree. One that changes its tree meanwhile is read again.
    let left = 2 * frames.records.iter().filter(|frame| frame.kind == kind::PAGE_TABLE).count();
    let mut walk = Walk { memory: memory.physical(), frames, left, seen: HashSet::new(), found: PageTables::default() };
    let mut spaces: HashMap<u64, (u64, u64)> = HashMap::new();
    for task in tasks {
        let Some(root) = task.root else { continue };
        let (resident, swapped) = if let Some(counts) = spaces.get(&root) {
            *counts
        } else {
            let before = (walk.found.mappings.len(), walk.found.swapped.len());
            walk.seen.clear();
            walk.table(task.thread, root, 4, 0)?;
            let counts = (walk.found.mappings.len() - before.0, walk.found.swapped.len() - before.1);
            let counts = (counts.0 as u64, counts.1 as u64);
            spaces.insert(root, counts);
            counts
        };
        (task.resident, task.swapped) = (resident, swapped);
    }
    walk.found.mappings.sort_unstable();
    walk.found.swapped.sort_unstable();
    Ok(walk.found)
}

impl Walk<'_> {
    fn table(&mut self, thread: u32, table: u64, level: u32, base: u64) -> Result<(), ObservatoryError> {
        let is_table = self.frames.get(table / PAGE).is_some_and(|frame| frame.kind == kind::PAGE_TABLE);
        // A table that was freed meanwhile, or that is no tree's.
        if !is_table || self.left == 0 || !self.seen.insert(table) {
            return Ok(());
        }
        self.left -= 1;
        let mut bytes = [0; PAGE as usize];
        self.memory.read("a page table", table, &mut bytes)?;
        let (words, _) = bytes.as_chunks();
        // The upper half is the kernel's, the same for all.
        let entries = if level == 4 { 256 } else { 512 };
        for (index, word) in words[..entries].iter().enumerate() {
            let entry = u64::from_le_bytes(*word);
            let address = base + ((index as u64) << (12 + 9 * (level - 1)));
            if level == 1 {
                self.leaf(thread, entry, address);
            } else if entry & pte::PRESENT != 0 && entry & pte::LARGE == 0 {
                self.table(thread, entry & pte::ADDRESS, level - 1, address)?;
            }
        }
        Ok(())
    }

    fn leaf(&mut self, thread: u32, entry: u64, address: u64) {
        match DecodedPte::decode(entry) {
            DecodedPte::Present(entry) => {
                let frame = (entry & pte::ADDRESS) / PAGE;
                let holds_page = |kind| matches!(kind, kind::ANONYMOUS | kind::OBJECT);
                // Not the frame of zeros, which all share, nor one that is another's already.
                if self.frames.get(frame).is_some_and(|frame| holds_page(frame.kind)) {
                    let is = |bit| entry & bit != 0;
                    self.found.mappings.push(Mapping {
                        frame: frame as u32,
                        thread,
                        address,
                        accessed: is(pte::ACCESSED),
                        dirty: is(pte::DIRTY),
                        writable: is(pte::WRITABLE),
                    });
                }
            }
            DecodedPte::Entry(entry) => {
                self.found.swapped.push(Swapped { area: entry.area(), slot: entry.slot(), thread, address });
            }
            _ => {}
        }
    }
}
