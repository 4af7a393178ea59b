//! A kernel that is told what to do by a line of words and answers by one: what tests of labs consist of.

use std::io::{self, BufRead, BufReader, Write};
use std::os::{fd::AsFd, unix::net::UnixStream};
use std::sync::Arc;

use quire_swap::{DecodedPte, Deviceless, Entry, Folio, SwapOnOptions, SwapOps};

use crate::kernel::{Kernel, Touch};
use crate::{Fake, FakeFolio, Memory, new_swap};

/// Tasks of the kernel.
pub const TASKS: usize = 2;
/// Pages of each.
pub const PAGES: usize = 64;

/// Commands with what they take.
type Commands = [(&'static str, &'static str)];

const COMMANDS: &Commands = &[
    ("make", "TASK PAGE ORDER WORD"),
    ("read", "TASK PAGE"),
    ("write", "TASK PAGE WORD"),
    ("dirty", "TASK PAGE WORD"),
    ("unmap", "TASK PAGE"),
    ("out", "TASK PAGE"),
    ("around", "TASK PAGE"),
    ("share", "TASK PAGE TASK PAGE"),
    ("submit", ""),
    ("settle", ""),
    ("slots", ""),
    ("free-frames", ""),
    ("swapoff", ""),
];

/// The kernel, and the area that its tasks' pages go to.
pub struct Told {
    /// The kernel.
    pub kernel: Kernel,
    area: u8,
}

/// The answer of what was done or not.
pub fn done(done: bool) -> String {
    if done { "yes" } else { "no" }.to_owned()
}

/// The numbers behind a command that takes what the table says, or nothing if it is not in there.
///
/// # Errors
/// They are others, in words.
pub fn numbers(words: &[&str], commands: &Commands) -> Result<Vec<u64>, String> {
    let (name, numbers) = words.split_first().ok_or("a line has a command")?;
    let taken = commands.iter().find(|(other, _)| other == name).map_or("", |(_, taken)| *taken);
    let numbers = numbers.iter().map(|word| word.parse::<u64>());
    let numbers: Vec<u64> =
        numbers.collect::<Result<_, _>>().map_err(|_| format!("a number is missing: `{name} {taken}`"))?;
    if numbers.len() == taken.split_whitespace().count() {
        return Ok(numbers);
    }
    let words = if taken.is_empty() { "no number" } else { taken };
    Err(format!("`{name}` takes {words}"))
}

/// Answers each line that comes through the socket that is standard input.
///
/// # Errors
/// It cannot be read or written.
pub fn serve(mut answer: impl FnMut(&[&str]) -> Result<String, String>) -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (questions, mut answers) = (BufReader::new(socket.try_clone()?), socket);
    for question in questions.lines() {
        let question = question?;
        let words: Vec<&str> = question.split_whitespace().collect();
        let answer = answer(&words).unwrap_or_else(|why| format!("not possible: {why}"));
        writeln!(answers, "{answer}")?;
    }
    Ok(())
}

impl Told {
    /// On a machine with so many frames, whose only swap area has this backend.
    pub fn new(frames: usize, device: &str, ops: Arc<dyn SwapOps<Fake>>) -> Self {
        let (memory, swap) = (Memory::new(frames), new_swap());
        let area = Deviceless { name: device, slots: 1024, ops };
        let area = swap.swapon_without_disk(&area, SwapOnOptions::default()).expect("an area can be enabled");
        let mut kernel = Kernel::new(swap, memory, TASKS, PAGES);
        kernel.max_order = 2;
        Self { kernel, area }
    }

    /// Slots of the area that are in use.
    pub fn slots(&self) -> u64 {
        self.kernel.swap.areas().find(|area| area.index() == self.area).map_or(0, |area| area.used())
    }

    /// What the plug has gathered goes to the area's backend.
    pub fn submit(&mut self) {
        self.kernel.write_out();
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
        let is_alone = holders == 1 && slot.is_none_or(|slot| self.kernel.ptes_with(slot) == 0);
        if is_alone {
            folio.state().set_written();
            FakeFolio::fill(&folio, index, word);
        }
        is_alone
    }

    /// What a command answers; none if it is none of these.
    ///
    /// # Errors
    /// It is not possible, in words.
    pub fn answer(&mut self, words: &[&str]) -> Result<Option<String>, String> {
        let name = words.first().copied().unwrap_or_default();
        if COMMANDS.iter().all(|(other, _)| *other != name) {
            return Ok(None);
        }
        let numbers = numbers(words, COMMANDS)?;
        let is_place = |at: usize| {
            let (task, page) = (numbers[at] as usize, numbers[at + 1] as usize);
            if task < TASKS && page < PAGES {
                return Ok((task, page));
            }
            Err(format!("there are tasks 0 to {} with pages 0 to {}", TASKS - 1, PAGES - 1))
        };
        let mapped = |told: &Self| {
            let (task, page) = is_place(0)?;
            if told.is_empty(task, page, 1) { Err(format!("task {task} has no page {page}")) } else { Ok((task, page)) }
        };
        let empty = |told: &Self, at: usize, pages: usize| {
            let (task, page) = is_place(at)?;
            if told.is_empty(task, page, pages) {
                return Ok((task, page));
            }
            Err(format!(
                "task {task} has a page already among those from {page} on, {pages} in number, or they reach beyond its last"
            ))
        };
        let said = |result| match result {
            Ok(word) => word,
            Err(Touch::BusError) => "bus error".to_owned(),
            Err(Touch::NoMemory) => "no memory".to_owned(),
        };
        Ok(Some(match name {
            "make" => {
                let order = u8::try_from(numbers[2]).ok().filter(|order| *order <= 2).ok_or("ORDER is 0 to 2")?;
                let (task, page) = empty(self, 0, 1 << order)?;
                if page % (1 << order) != 0 {
                    return Err(format!("PAGE is a multiple of {} for this ORDER", 1 << order));
                }
                done(self.kernel.populate(task, page, order, numbers[3]))
            }
            "read" => {
                let (task, page) = mapped(self)?;
                said(self.kernel.read(task, page).map(|word| word.to_string()))
            }
            "write" => {
                let (task, page) = mapped(self)?;
                self.submit();
                said(self.kernel.write(task, page, numbers[2]).map(|()| done(true)))
            }
            "dirty" => {
                let (task, page) = mapped(self)?;
                self.submit();
                done(self.write_in_place(task, page, numbers[2]))
            }
            "unmap" => {
                let (task, page) = mapped(self)?;
                self.kernel.unmap(task, page);
                done(true)
            }
            "out" => {
                let (task, page) = mapped(self)?;
                done(self.kernel.reclaim(task, page))
            }
            "around" => {
                let (task, page) = mapped(self)?;
                self.submit();
                let DecodedPte::Entry(entry) = self.kernel.pte(task, page) else { return Ok(Some(done(false))) };
                self.kernel.swap.read_around(entry);
                done(true)
            }
            "share" => {
                let (from, to) = (mapped(self)?, empty(self, 2, 1)?);
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
            "slots" => self.slots().to_string(),
            "free-frames" => self.kernel.memory.free_frames().to_string(),
            _ => done(self.kernel.swap.swapoff(self.area, &mut self.kernel).is_ok()),
        }))
    }
}
