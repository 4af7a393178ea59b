//! What `cargo lab` asks, a line each, and what the kernel of the testkit answers, which swaps to the student's disk. This
//! file is given: the grader has its own.

#![forbid(unsafe_code)]

mod recorder;

use std::{
    io::{self, BufRead, BufReader, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::Arc,
};

use lab::{memory::PageMemory, ram_disk::RamDisk};
use quire_swap::{DecodedPte, Deviceless, Direction, Entry, Folio, SwapOnOptions, SwapOps};
use quire_testkit::{
    Fake, FakeFolio, Memory,
    kernel::{Kernel, Touch},
    new_swap,
};
use recorder::Recorder;

const TASKS: usize = 2;
const PAGES: usize = 64;

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
        let recorder = Arc::new(Recorder::new(disk, Arc::clone(&pages)));
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

    fn is_empty(&self, task: usize, page: usize, pages: usize) -> bool {
        let table = self.kernel.tables.get(task);
        table.and_then(|table| table.get(page..page + pages)).is_some_and(|words| words.iter().all(|word| *word == 0))
    }

    /// A task writes through a PTE that lets it: no fault, so that nothing asks what becomes of the slot. False if the page is
    /// not this task's alone, in memory and in swap, or not in memory.
    fn write_in_place(&mut self, task: usize, page: usize, word: u64) -> bool {
        let pte = self.kernel.tables[task][page];
        let holders = self.kernel.tables.iter().flatten().filter(|other| **other == pte).count();
        let DecodedPte::Present(present) = DecodedPte::decode(pte) else { return false };
        let (folio, index) = self.kernel.memory.folio_of(present >> 12);
        let slot = folio.state().entry().and_then(|first| Entry::new(first.area(), first.slot() + index as u32));
        let is_alone = holders == 1 && slot.is_none_or(|slot| self.kernel.words_with(slot) == 0);
        if is_alone {
            folio.state().set_written();
            FakeFolio::fill(&folio, index, word);
        }
        is_alone
    }

    /// What a command answers, or why it is not possible.
    fn answer(&mut self, words: &[&str]) -> Result<String, String> {
        const COMMANDS: &[(&str, &str)] = &[
            ("machine", "FRAMES PAGES"),
            ("make", "TASK PAGE ORDER WORD"),
            ("read", "TASK PAGE"),
            ("write", "TASK PAGE WORD"),
            ("dirty", "TASK PAGE WORD"),
            ("unmap", "TASK PAGE"),
            ("out", "TASK PAGE"),
            ("around", "TASK PAGE"),
            ("share", "TASK PAGE TASK PAGE"),
            ("limit", "PAGES"),
            ("lose", "N"),
        ];
        let name = *words.first().ok_or("a line has a command")?;
        let taken = COMMANDS.iter().find(|(other, _)| *other == name).map_or("", |(_, taken)| *taken);
        let numbers = words[1..].iter().map(|word| word.parse::<u64>());
        let numbers: Vec<u64> = numbers.collect::<Result<_, _>>().map_err(|_| format!("a number is missing: `{name} {taken}`"))?;
        let wanted = taken.split_whitespace().count();
        if numbers.len() != wanted {
            let words = if taken.is_empty() { "no number" } else { taken };
            return Err(format!("`{name}` takes {words}"));
        }
        let place = |at: usize| (numbers[at] as usize, numbers[at + 1] as usize);
        let is_place = |at: usize| {
            let (task, page) = place(at);
            if task < TASKS && page < PAGES {
                return Ok((task, page));
            }
            Err(format!("there are tasks 0 to {} with pages 0 to {}", TASKS - 1, PAGES - 1))
        };
        let mapped = |world: &Self, at: usize| {
            let (task, page) = is_place(at)?;
            if world.is_empty(task, page, 1) { Err(format!("task {task} has no page {page}")) } else { Ok((task, page)) }
        };
        let empty = |world: &Self, at: usize, pages: usize| {
            let (task, page) = is_place(at)?;
            if world.is_empty(task, page, pages) {
                return Ok((task, page));
            }
            Err(format!("task {task} has a page already among those from {page} on, {pages} in number, or they reach beyond its last"))
        };
        let said = |result| match result {
            Ok(word) => word,
            Err(Touch::BusError) => "bus error".to_owned(),
            Err(Touch::NoMemory) => "no memory".to_owned(),
        };
        let done = |done: bool| if done { "yes" } else { "no" }.to_owned();
        Ok(match name {
            "machine" => {
                *self = Self::new(numbers[0].clamp(4, 1024) as usize, numbers[1] as usize);
                done(true)
            }
            "make" => {
                let order = u8::try_from(numbers[2]).ok().filter(|order| *order <= 2).ok_or("ORDER is 0 to 2")?;
                let (task, page) = empty(self, 0, 1 << order)?;
                if page % (1 << order) != 0 {
                    return Err(format!("PAGE is a multiple of {} for this ORDER", 1 << order));
                }
                done(self.kernel.populate(task, page, order, numbers[3]))
            }
            "read" => {
                let (task, page) = mapped(self, 0)?;
                said(self.kernel.read(task, page).map(|word| word.to_string()))
            }
            "write" => {
                let (task, page) = mapped(self, 0)?;
                self.submit();
                said(self.kernel.write(task, page, numbers[2]).map(|()| done(true)))
            }
            "dirty" => {
                let (task, page) = mapped(self, 0)?;
                self.submit();
                done(self.write_in_place(task, page, numbers[2]))
            }
            "unmap" => {
                let (task, page) = mapped(self, 0)?;
                self.kernel.unmap(task, page);
                done(true)
            }
            "out" => {
                let (task, page) = mapped(self, 0)?;
                done(self.kernel.reclaim(task, page))
            }
            "around" => {
                let (task, page) = mapped(self, 0)?;
                self.submit();
                match self.kernel.word(task, page) {
                    DecodedPte::Entry(entry) => self.kernel.swap.read_around(entry),
                    _ => return Ok(done(false)),
                }
                done(true)
            }
            "share" => {
                let (from, to) = (mapped(self, 0)?, empty(self, 2, 1)?);
                done(self.kernel.share(from, to))
            }
            "submit" => {
                self.submit();
                done(true)
            }
            "settle" => {
                self.kernel.settle();
                done(true)
            }
            "limit" => {
                self.pages.set_limit(numbers[0] as usize);
                done(true)
            }
            "lose" => {
                self.pages.lose_nth(numbers[0] as usize);
                done(true)
            }
            "used" => self.pages.used().to_string(),
            "stored" => self.recorder.stored().to_string(),
            "slots" => self.slots().to_string(),
            "free-frames" => self.kernel.memory.free_frames().to_string(),
            "batches" => self.recorder.count(Direction::Write).to_string(),
            "reads" => self.recorder.count(Direction::Read).to_string(),
            "last-batches" => self.recorder.describe(2),
            "wrong-results" => self.recorder.wrong_results().to_string(),
            "wrong-batches" => self.recorder.judge_batches().0.to_string(),
            "spare-batches" => self.recorder.judge_batches().1.to_string(),
            "is-synchronous" => done(self.recorder.disk.flags().synchronous),
            "is-stable" => done(self.recorder.disk.flags().stable_writes),
            "single-pages" => done(self.recorder.disk.flags().single_pages),
            "swapoff" => done(self.kernel.swap.swapoff(self.area, &mut self.kernel).is_ok()),
            _ => return Err("there is no such command".to_owned()),
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
        let answer = world.answer(&words).unwrap_or_else(|why| format!("not possible: {why}"));
        writeln!(answers, "{answer}")?;
    }
    Ok(())
}
