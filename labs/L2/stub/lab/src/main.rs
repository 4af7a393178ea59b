//! What `cargo lab` asks, a line each, and what the kernel of the testkit answers, which swaps to the student's disk. This
//! file is given: the grader has its own.

#![forbid(unsafe_code)]

use std::{
    io::{self, BufRead, BufReader, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{Arc, Mutex},
};

use lab::{BANK_SLOTS, memory::PageMemory, ram_disk::RamDisk};
use quire_swap::{
    Area, BATCH_FOLIOS, Deviceless, Direction, NoSlot, ReadBatch, SlotRequest, SlotRun, SwapOnOptions, SwapOps,
    SwapOpsFlags, Taken, WriteBatch,
};
use quire_testkit::{
    Fake, Memory,
    kernel::{Kernel, Touch},
    new_swap,
};

const TASKS: usize = 2;
const PAGES: usize = 64;

/// Stands between the core and the disk, and writes down what passes.
struct Recorder {
    disk: Box<dyn SwapOps<Fake>>,
    batches: Mutex<Vec<(Direction, Vec<SlotRun>)>>,
}

impl Recorder {
    fn record(&self, direction: Direction, runs: impl Iterator<Item = SlotRun>) {
        self.batches.lock().unwrap().push((direction, runs.collect()));
    }
}

/// What the lab's rule says.
fn may_merge(previous: SlotRun, next: SlotRun) -> bool {
    previous.end() == u64::from(next.first) && previous.first / BANK_SLOTS == next.first / BANK_SLOTS
}

impl SwapOps<Fake> for Recorder {
    fn flags(&self) -> SwapOpsFlags {
        self.disk.flags()
    }

    fn metadata_bits(&self) -> u8 {
        self.disk.metadata_bits()
    }

    fn allocate_slots(&self, request: &SlotRequest<'_, Fake>) -> Result<Taken, NoSlot> {
        self.disk.allocate_slots(request)
    }

    fn can_merge(&self, area: &Area<Fake>, previous: SlotRun, next: SlotRun, direction: Direction) -> bool {
        self.disk.can_merge(area, previous, next, direction)
    }

    fn submit_read(&self, batch: ReadBatch<Fake>) {
        self.record(Direction::Read, batch.batch().folios().map(|(_, run)| run));
        self.disk.submit_read(batch);
    }

    fn submit_write(&self, batch: WriteBatch<Fake>) {
        self.record(Direction::Write, batch.batch().folios().map(|(_, run)| run));
        self.disk.submit_write(batch);
    }

    fn keeps_pages(&self) -> bool {
        self.disk.keeps_pages()
    }

    fn slot_free_notify(&self, area: &Area<Fake>, slot: u32, metadata: u64) {
        self.disk.slot_free_notify(area, slot, metadata);
    }

    fn slot_zeroed(&self, area: &Area<Fake>, slot: u32, metadata: u64) {
        self.disk.slot_zeroed(area, slot, metadata);
    }
}

/// A machine with a kernel, whose only swap area is on the disk.
struct World {
    kernel: Kernel,
    pages: Arc<PageMemory>,
    recorder: Arc<Recorder>,
    area: u8,
}

impl World {
    fn new(frames: usize, pages: usize) -> Self {
        let memory = Memory::new(frames);
        let swap = new_swap();
        let pages = PageMemory::new(pages);
        let disk: Box<dyn SwapOps<Fake>> = Box::new(RamDisk::new(Arc::clone(&pages)));
        let recorder = Arc::new(Recorder { disk, batches: Mutex::default() });
        let area = Deviceless { name: "/dev/ram", slots: 1024, ops: recorder.clone() };
        let area = swap.swapon_without_disk(&area, SwapOnOptions::default()).expect("an area can be enabled");
        let mut kernel = Kernel::new(swap, memory, TASKS, PAGES);
        kernel.max_order = 2;
        Self { kernel, pages, recorder, area }
    }

    fn slots(&self) -> u64 {
        self.kernel.swap.areas().find(|area| area.index() == self.area).map_or(0, |area| area.used())
    }

    fn submit(&mut self) {
        self.kernel.plug.submit();
        self.kernel.memory.run_all();
        self.kernel.evict_ended();
    }

    /// Batches that do what the merge rule forbids, and batches that could have gone with the one before.
    fn judge_batches(&self) -> (usize, usize) {
        let batches = self.recorder.batches.lock().unwrap();
        let breaks = |runs: &[SlotRun]| runs.windows(2).any(|pair| !may_merge(pair[0], pair[1]));
        let wrong = batches.iter().filter(|(_, runs)| breaks(runs)).count();
        let mut spare = 0;
        let mut before: Option<(Direction, usize, SlotRun)> = None;
        for (direction, runs) in batches.iter().filter(|(_, runs)| !runs.is_empty()) {
            let joins = before.filter(|(other, length, last)| {
                other == direction && length + runs.len() <= BATCH_FOLIOS && may_merge(*last, runs[0])
            });
            spare += usize::from(joins.is_some() && *direction == Direction::Write);
            let length = joins.map_or(0, |(_, length, _)| length) + runs.len();
            before = Some((*direction, length, runs[runs.len() - 1]));
        }
        (wrong, spare)
    }

    fn is_empty(&self, task: usize, page: usize, pages: usize) -> bool {
        let table = self.kernel.tables.get(task);
        table.and_then(|table| table.get(page..page + pages)).is_some_and(|words| words.iter().all(|word| *word == 0))
    }

    fn is_mapped(&self, task: usize, page: usize) -> bool {
        task < TASKS && page < PAGES && !self.is_empty(task, page, 1)
    }

    fn answer(&mut self, words: &[&str]) -> Option<String> {
        let numbers = words[1..].iter().map(|word| word.parse::<u64>().ok()).collect::<Option<Vec<_>>>()?;
        let place = |at: usize| Some((usize::try_from(*numbers.get(at)?).ok()?, usize::try_from(*numbers.get(at + 1)?).ok()?));
        let said = |result| match result {
            Ok(word) => word,
            Err(Touch::BusError) => "bus error".to_owned(),
            Err(Touch::NoMemory) => "no memory".to_owned(),
        };
        let done = |done: bool| if done { "yes" } else { "no" }.to_owned();
        Some(match (words[0], &numbers[..]) {
            ("machine", &[frames, pages]) => {
                *self = Self::new(frames.clamp(4, 1024) as usize, pages as usize);
                done(true)
            }
            ("make", &[_, _, order @ 0..=2, word]) => {
                let (task, page) = place(0)?;
                let pages = 1 << order;
                if page % pages != 0 || !self.is_empty(task, page, pages) {
                    return None;
                }
                done(self.kernel.populate(task, page, order as u8, word))
            }
            ("read" | "write" | "unmap" | "out", _) => {
                let (task, page) = place(0)?;
                if !self.is_mapped(task, page) {
                    return None;
                }
                match (words[0], &numbers[2..]) {
                    ("read", []) => said(self.kernel.read(task, page).map(|word| word.to_string())),
                    ("write", &[word]) => {
                        self.submit();
                        said(self.kernel.write(task, page, word).map(|()| done(true)))
                    }
                    ("unmap", []) => {
                        self.kernel.unmap(task, page);
                        done(true)
                    }
                    ("out", []) => done(self.kernel.reclaim(task, page)),
                    _ => return None,
                }
            }
            ("share", &[_, _, _, _]) => {
                let (from, to) = (place(0)?, place(2)?);
                if !self.is_mapped(from.0, from.1) || !self.is_empty(to.0, to.1, 1) {
                    return None;
                }
                done(self.kernel.share(from, to))
            }
            ("submit", []) => {
                self.submit();
                done(true)
            }
            ("settle", []) => {
                self.kernel.settle();
                done(true)
            }
            ("limit", &[pages]) => {
                self.pages.set_limit(pages as usize);
                done(true)
            }
            ("lose", &[n]) => {
                self.pages.lose_nth(n as usize);
                done(true)
            }
            ("used", []) => self.pages.used().to_string(),
            ("slots", []) => self.slots().to_string(),
            ("free-frames", []) => self.kernel.memory.free_frames().to_string(),
            ("wrong-batches", []) => self.judge_batches().0.to_string(),
            ("spare-batches", []) => self.judge_batches().1.to_string(),
            ("is-synchronous", []) => done(self.recorder.disk.flags().synchronous),
            ("is-stable", []) => done(self.recorder.disk.flags().stable_writes),
            ("single-pages", []) => done(self.recorder.disk.flags().single_pages),
            ("swapoff", []) => done(self.kernel.swap.swapoff(self.area, &mut self.kernel).is_ok()),
            _ => return None,
        })
    }
}

fn main() -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (questions, mut answers) = (BufReader::new(socket.try_clone()?), socket);
    let mut world = World::new(64, 1024);
    for question in questions.lines() {
        let question = question?;
        let words: Vec<&str> = question.split_whitespace().collect();
        let answer = if words.is_empty() { None } else { world.answer(&words) };
        writeln!(answers, "{}", answer.as_deref().unwrap_or("not possible"))?;
    }
    Ok(())
}
