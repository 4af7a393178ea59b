//! What `cargo lab` asks, a line each, and what the kernel of the testkit answers, which swaps to a disk that works when it is
//! told to. You may change this file to see more; the grader has its own.

#![forbid(unsafe_code)]

mod planted;

use std::{
    io::{self, BufRead, BufReader, Write},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::Arc,
};

use quire_swap::{DecodedPte, Entry, Folio, FolioFlag};
use quire_testkit::{
    FakeDisk, FakeFolio, Memory,
    kernel::{Kernel, Touch},
    swap_on,
};

const TASKS: usize = 2;
const PAGES: usize = 64;

/// A machine with a kernel, whose only swap area is on a disk that does nothing until it is told to.
struct World {
    kernel: Kernel,
    disk: Arc<FakeDisk>,
    area: u8,
}

/// A page of a task.
type Place = (usize, usize);

impl World {
    fn new(frames: usize, slots: u64) -> Self {
        let memory = Memory::new(frames);
        // Page 0 of the disk is the header.
        let disk = FakeDisk::new("/dev/vda", slots + 1);
        let (swap, area) = swap_on(&disk);
        let mut kernel = Kernel::new(swap, memory, TASKS, PAGES);
        kernel.max_order = 2;
        Self { kernel, disk, area }
    }

    fn is_empty(&self, (task, page): Place, pages: usize) -> bool {
        let table = self.kernel.tables.get(task);
        table.and_then(|table| table.get(page..page + pages)).is_some_and(|words| words.iter().all(|word| *word == 0))
    }

    fn is_there(&self, place: Place) -> bool {
        place.0 < TASKS && place.1 < PAGES && !self.is_empty(place, 1)
    }

    /// The folio that has the page, if that is in memory, mapped or in the swap cache, and the page's place in it.
    fn folio(&self, (task, page): Place) -> Option<(FakeFolio, usize)> {
        match self.kernel.pte(task, page) {
            DecodedPte::Present(word) => Some(self.kernel.memory.folio_of(word >> 12)),
            DecodedPte::Entry(entry) => {
                let folio = self.kernel.swap.lookup(entry)?;
                let first = folio.state().entry()?;
                Some((folio, (entry.slot() - first.slot()) as usize))
            }
            _ => None,
        }
    }

    /// The slot that the page's PTE holds, or the one that the swap cache has its folio at.
    fn entry(&self, (task, page): Place) -> Option<Entry> {
        if let DecodedPte::Entry(entry) = self.kernel.pte(task, page) {
            return Some(entry);
        }
        let (folio, index) = self.folio((task, page))?;
        let first = folio.state().entry()?;
        Entry::new(first.area(), first.slot() + index as u32)
    }

    fn is(&self, place: Place, flag: FolioFlag) -> bool {
        self.folio(place).is_some_and(|(folio, _)| folio.state().is(flag))
    }

    /// A task writes to a page that it has mapped, and asks no one: also while the page is on its way to the disk.
    fn poke(&mut self, (task, page): Place, contents: u64) -> Result<u64, Touch> {
        self.kernel.read(task, page)?;
        if let Some((folio, index)) = self.folio((task, page)) {
            folio.state().set_written();
            folio.fill(index, contents);
        }
        Ok(contents)
    }

    /// What the exit of a task does: what is mapped is given up, then all entries are at once.
    fn exit(&mut self, task: usize) {
        for page in 0..PAGES {
            if matches!(self.kernel.pte(task, page), DecodedPte::Present(_)) {
                self.kernel.unmap(task, page);
            }
        }
        let words = std::mem::replace(&mut self.kernel.tables[task], vec![0; PAGES]);
        self.kernel.swap.put_each(words.into_iter());
    }

    fn slots(&self) -> u64 {
        self.kernel.swap.areas().find(|area| area.index() == self.area).map_or(0, |area| area.used())
    }

    /// What is asked about one page, or done with it.
    fn answer_page(&mut self, word: &str, place: Place, rest: &[u64]) -> Option<String> {
        let done = |done: bool| if done { "yes" } else { "no" }.to_owned();
        let said = |result: Result<u64, Touch>| match result {
            Ok(word) => word.to_string(),
            Err(Touch::BusError) => "bus error".to_owned(),
            Err(Touch::NoMemory) => "no memory".to_owned(),
        };
        let (task, page) = place;
        Some(match (word, rest) {
            ("make", &[order @ 0..=2, word]) => {
                if !page.is_multiple_of(1 << order) || !self.is_empty(place, 1 << order) {
                    return None;
                }
                done(self.kernel.populate(task, page, order as u8, word))
            }
            ("where", []) if task < TASKS && page < PAGES => match self.kernel.pte(task, page) {
                DecodedPte::Present(_) => "memory",
                DecodedPte::Entry(_) => "swap",
                DecodedPte::Poisoned(_) => "poisoned",
                _ => "nothing",
            }
            .to_owned(),
            _ if !self.is_there(place) => return None,
            ("read", []) => said(self.kernel.read(task, page)),
            ("poke", &[contents]) => said(self.poke(place, contents)),
            ("unmap", []) => {
                self.kernel.unmap(task, page);
                done(true)
            }
            ("out", []) => done(self.kernel.reclaim(task, page)),
            ("share", &[to_task, to_page]) => {
                let to = (to_task as usize, to_page as usize);
                if !self.is_empty(to, 1) {
                    return None;
                }
                done(self.kernel.share(place, to))
            }
            ("count", []) => self.entry(place).map_or("no slot".to_owned(), |entry| self.kernel.swap.count(entry).to_string()),
            ("slot", []) => self.entry(place).map_or("no slot".to_owned(), |entry| entry.slot().to_string()),
            ("cached", []) => done(self.is(place, FolioFlag::InCache)),
            ("dirty", []) => done(self.is(place, FolioFlag::Dirty)),
            ("writing", []) => done(self.is(place, FolioFlag::Writeback)),
            ("break", []) => {
                let entry = self.entry(place)?;
                self.disk.broken.lock().unwrap().insert(entry.slot().into());
                done(true)
            }
            _ => return None,
        })
    }

    fn answer(&mut self, words: &[&str]) -> Option<String> {
        let numbers = words[1..].iter().map(|word| word.parse::<u64>().ok()).collect::<Option<Vec<_>>>()?;
        let done = |done: bool| if done { "yes" } else { "no" }.to_owned();
        Some(match (words[0], &numbers[..]) {
            ("machine", &[frames, slots]) => {
                *self = Self::new(frames.clamp(4, 1024) as usize, slots.clamp(16, 4000));
                done(true)
            }
            ("submit", []) => {
                self.kernel.plug.submit();
                done(true)
            }
            ("disk", []) => {
                self.kernel.memory.run_all();
                done(true)
            }
            ("disk", &[requests]) => done((0..requests).all(|_| self.disk.run_one())),
            ("evict", []) => {
                self.kernel.evict_ended();
                done(true)
            }
            ("settle", []) => {
                self.kernel.settle();
                done(true)
            }
            ("fail", &[n]) => {
                self.kernel.memory.io.fail_nth(n);
                done(true)
            }
            ("exit", &[task]) if (task as usize) < TASKS => {
                self.exit(task as usize);
                done(true)
            }
            ("slots", []) => self.slots().to_string(),
            ("free-frames", []) => self.kernel.memory.free_frames().to_string(),
            ("waiting", []) => self.disk.pending().to_string(),
            ("requests", []) => self.disk.requests.lock().unwrap().len().to_string(),
            ("swapoff", []) => done(self.kernel.swap.swapoff(self.area, &mut self.kernel).is_ok()),
            (word, &[task, page, ref rest @ ..]) => {
                return self.answer_page(word, (usize::try_from(task).ok()?, usize::try_from(page).ok()?), rest);
            }
            _ => return None,
        })
    }
}

fn main() -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (questions, mut answers) = (BufReader::new(socket.try_clone()?), socket);
    let mut questions = questions.lines();
    // The first line is no command: which machine this is.
    let number = questions.next().transpose()?.and_then(|line| line.parse().ok());
    planted::plant(number.unwrap_or(0));
    let mut world = World::new(64, 2000);
    for question in questions {
        let question = question?;
        let words: Vec<&str> = question.split_whitespace().collect();
        let answer = if words.is_empty() { None } else { world.answer(&words) };
        writeln!(answers, "{}", answer.as_deref().unwrap_or("not possible"))?;
    }
    Ok(())
}
