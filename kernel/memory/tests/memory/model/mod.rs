//! Memory against a model that is an array of words for each process.
//!
//! Random operations are done by both. What a program reads must be what the model has; an operation that may be refused for
//! want of memory leaves the model as it is. After each run all is as it was before: frames, slots, charges, pages in zram, and
//! what is on its way.
//!
//! One thread does it all, in the place of each program in turn. A process that is killed for want of memory goes from the
//! model; allocations and requests to the disk fail now and then, and lose nothing but a page that could not be read.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use quire_machine::protection::Protection;
use quire_machine::simulated::program;
use quire_machine::task;
use quire_memory::AddressSpace;
use quire_memory::address_space::{Backing, MapError, MapRequest, Placement};
use quire_memory::advice::Advice;
use quire_memory::cgroup::{self, Cgroup};
use quire_memory::charge::Charge;
use quire_memory::fatal::Fatal;
use quire_memory::object::{FileSystemAccount, Object, ObjectError, Source};
use quire_memory::oom::KILLS;
use quire_memory::quota::Quota;
use quire_memory::reclaim;
use quire_memory::remap::Move;
use quire_memory::{object, overcommit};
use quire_swap::Direction;
use quire_swap::header::Page;

use self::operation::Operation;
use crate::computer::Computer;
use crate::process::{self, Conductor, Process};

mod counted;
mod operation;
pub(crate) mod runs;

const PAGE: u64 = 4096;
/// Where the programs' pages are, which lie in two page tables.
const BASE: u64 = 0x4000_0000 - 32 * PAGE;
const PAGES: u64 = 64;
const OBJECTS: usize = 3;
const OBJECT_PAGES: u64 = 16;
const MOST_PROCESSES: usize = 5;
/// The cgroups beside the root, each in the one before.
const CGROUPS: usize = 2;
/// Where the words of a page are that are written and looked at.
const PLACES: [u64; 4] = [0, 1000, 2048, 4088];

type Words = [u64; PLACES.len()];

/// The file's words at first.
fn source_words(index: u64) -> Words {
    std::array::from_fn(|place| if index % 4 == 3 { 0 } else { (index + 1) << 8 | place as u64 })
}

struct File;

impl Source for File {
    fn length(&self) -> u64 {
        OBJECT_PAGES * PAGE
    }

    fn fill(&self, index: u64, page: &mut Page) {
        page.fill(0);
        for (at, word) in PLACES.iter().zip(source_words(index)) {
            page[*at as usize..*at as usize + 8].copy_from_slice(&word.to_le_bytes());
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Private,
    /// Of an object, from this page of it on.
    Shared(usize, u64),
    /// A copy of an object's page once it is written.
    Copy(usize, u64),
}

/// A page that a process has mapped.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Clone, Copy, Debug)]
struct Mapped {
    kind: Kind,
    protection: Protection,
    locked: bool,
    /// It was in memory, its own and locked: it stays.
    stays: bool,
    /// Memory is promised for it.
    promised: bool,
    /// A child has it too.
    inherited: bool,
    /// What is in it that is the process's own.
    own: Option<Words>,
    /// It may have become zero since (`MADV_FREE`).
    is_free: bool,
}

impl Mapped {
    const fn new(kind: Kind, protection: Protection) -> Self {
        let promised = protection.write && !matches!(kind, Kind::Shared(..));
        Self { kind, protection, locked: false, stays: false, promised, inherited: true, own: None, is_free: false }
    }

    fn set_locked(&mut self, locked: bool) {
        self.locked = locked;
        self.stays &= locked;
    }
}

type Pages = BTreeMap<u64, Mapped>;

/// An object, with what is in its pages and where it ends.
struct Shared {
    object: Arc<Object>,
    words: Vec<Words>,
    length: u64,
}

impl Shared {
    fn new(object: Arc<Object>, words: impl Fn(u64) -> Words) -> Self {
        Self { object, words: (0..OBJECT_PAGES).map(words).collect(), length: OBJECT_PAGES * PAGE }
    }

    const fn has_page(&self, index: u64) -> bool {
        index < self.length.div_ceil(PAGE)
    }

    /// The pages that begin at `index` or later are gone.
    fn cut(&mut self, length: u64) {
        if length < self.length {
            for (word, at) in self
                .words
                .iter_mut()
                .flatten()
                .zip((0..OBJECT_PAGES).flat_map(|index| PLACES.map(|place| index * PAGE + place)))
            {
                if at >= length {
                    *word = 0;
                }
            }
        }
        self.length = length;
    }
}

/// The machine and what is to be found there.
struct World {
    objects: Vec<Shared>,
    /// What the last two of them take of their file system.
    account: Arc<FileSystemAccount>,
    processes: Vec<Option<(Arc<Process>, Pages)>>,
    cgroups: Vec<Arc<Cgroup>>,
    conductor: Arc<Conductor>,
    /// The processes that were killed so far, those of earlier runs included.
    killed: u64,
    /// A disk was made to fail, so that a page may be lost.
    may_lose_pages: bool,
    computer: Computer,
}

const fn address(page: u64) -> u64 {
    BASE + page * PAGE
}

fn range(first: u64, pages: u64) -> Range<u64> {
    first..(first + pages).min(PAGES)
}

const fn bytes(pages: &Range<u64>) -> Range<u64> {
    address(pages.start)..address(pages.end)
}

/// Refused for want of memory, or of a right to it, or because the process was killed: nothing was changed.
fn is_refusal(error: MapError) -> bool {
    matches!(error, MapError::NoMemory | MapError::LockLimit | MapError::Killed)
}

impl World {
    fn new(conductor: &Arc<Conductor>, computer: Computer) -> Self {
        let account = Arc::new(FileSystemAccount { blocks: Quota::new(0), stays: false });
        let memory = Object::shared(OBJECT_PAGES * PAGE, 0, false, Charge::NONE).unwrap();
        let written = Object::of_file_system(&account).unwrap();
        written.lengthen(OBJECT_PAGES * PAGE);
        let source = Object::from_source(Arc::new(File), Some(Arc::clone(&account))).unwrap();
        let mut world = Self {
            objects: vec![
                Shared::new(memory, |_| [0; 4]),
                Shared::new(written, |_| [0; 4]),
                Shared::new(source, source_words),
            ],
            account,
            processes: (0..MOST_PROCESSES).map(|_| None).collect(),
            cgroups: Vec::new(),
            conductor: Arc::clone(conductor),
            killed: KILLS.load(Ordering::Relaxed),
            may_lose_pages: false,
            computer,
        };
        world.make_cgroups();
        world
    }

    /// Makes the cgroups that are missing.
    fn make_cgroups(&mut self) {
        while self.cgroups.len() < CGROUPS {
            let parent = self.cgroups.last().cloned().unwrap_or_else(Cgroup::root);
            // An allocation may be one that is to fail.
            self.cgroups.extend(parent.new_child("group"));
        }
    }

    /// The cgroup's number, or the root's.
    fn number_of(&self, cgroup: usize) -> u8 {
        self.cgroups.get(cgroup).map_or(cgroup::ROOT, |cgroup| cgroup.number())
    }

    /// The process with this number, if there is one, which the program that runs is from now on.
    fn enter(&mut self, process: usize) -> Option<(Arc<Process>, &mut Pages)> {
        let (process, pages) = self.processes[process].as_mut()?;
        self.conductor.enter(Some(process));
        Some((Arc::clone(process), pages))
    }

    /// Does an operation, then ends the processes that were killed meanwhile, and begins others if none is left.
    fn step(&mut self, operation: &Operation) {
        self.perform(operation);
        self.conductor.enter(None);
        for process in &mut self.processes {
            if let Some((killed, _)) = process.take_if(|(process, _)| process.is_over()) {
                killed.end();
                self.killed += 1;
            }
        }
        if self.processes.iter().all(Option::is_none) {
            let numbers = self.cgroups.iter().map(|cgroup| cgroup.number()).chain([cgroup::ROOT]);
            for (place, number) in self.processes.iter_mut().zip(numbers) {
                *place = AddressSpace::new().ok().map(|space| (Process::new(space, number), Pages::new()));
            }
        }
    }

    /// What a page has in it, as far as the model knows.
    fn words(&self, mapped: &Mapped) -> Words {
        match (mapped.own, mapped.kind) {
            (Some(own), _) => own,
            (None, Kind::Private) => [0; 4],
            (None, Kind::Shared(object, index) | Kind::Copy(object, index)) => {
                self.objects[object].words[index as usize]
            }
        }
    }

    #[expect(clippy::too_many_lines, reason = "an arm for each operation")]
    fn perform(&mut self, operation: &Operation) {
        match *operation {
            Operation::Map { process, first, pages, write, kind, object, offset, populate } => {
                self.map(process, first, pages, write, kind, object, offset, populate);
            }
            Operation::Unmap { process, first, pages } => {
                let Some((process, mapped)) = self.enter(process) else { return };
                let pages = range(first, pages);
                match process.memory().unmap(bytes(&pages)) {
                    Ok(()) => mapped.retain(|page, _| !pages.contains(page)),
                    Err(error) => assert!(is_refusal(error), "{error:?}"),
                }
            }
            Operation::Protect { process, first, pages, protection } => {
                let protection = match protection {
                    0 => Protection::NONE,
                    1 => Protection { read: true, ..Protection::NONE },
                    _ => Protection::READ_WRITE,
                };
                let Some((process, mapped)) = self.enter(process) else { return };
                let pages = range(first, pages);
                // What comes before a hole is served.
                let served = pages.clone().find(|page| !mapped.contains_key(page)).unwrap_or(pages.end);
                match process.memory().protect(bytes(&pages), protection) {
                    Ok(()) => assert_eq!(served, pages.end, "{pages:?} are not all mapped"),
                    Err(MapError::NotMapped) => assert_ne!(served, pages.end, "{pages:?} are mapped"),
                    Err(error) => {
                        assert!(is_refusal(error), "{error:?}");
                        return;
                    }
                }
                for (_, page) in mapped.range_mut(pages.start..served) {
                    page.protection = protection;
                    page.promised |= protection.write && !matches!(page.kind, Kind::Shared(..));
                }
            }
            Operation::Move { process, first, pages, to, new_pages } => {
                self.remap(process, first, pages, to, new_pages);
            }
            Operation::Advise { process, first, pages, advice } => self.advise(process, first, pages, advice),
            Operation::Lock { process, first, pages, lock } => {
                let Some((process, mapped)) = self.enter(process) else { return };
                let pages = range(first, pages);
                let is_whole = mapped.range(pages.clone()).count() as u64 == pages.end - pages.start;
                let done = process.memory().lock(bytes(&pages), lock, true);
                if done.is_ok() {
                    assert!(is_whole, "{pages:?} are not all mapped");
                    mapped.range_mut(pages).for_each(|(_, page)| page.set_locked(lock));
                } else if is_whole {
                    assert!(done.is_err_and(is_refusal), "{done:?}");
                } else {
                    // What lies before the first hole is locked, as on Linux.
                    let from = pages.start;
                    let mut reached = from;
                    while mapped.contains_key(&reached) && pages.contains(&reached) {
                        reached += 1;
                    }
                    let _ = process.memory().lock(bytes(&(from..reached)), lock, true);
                    mapped.range_mut(from..reached).for_each(|(_, page)| page.set_locked(lock));
                }
            }
            Operation::Read { process, page } => self.read(process, page),
            Operation::Write { process, page, place, word } => self.write(process, page, place, word),
            Operation::ObjectRead { object, index, place } => {
                let Shared { object, words, length } = &self.objects[object];
                let (mut found, from) = ([0; 8], index * PAGE + PLACES[place]);
                match object.read_at(from, &mut found) {
                    Ok(0) => assert!(from >= *length),
                    Ok(_) if from >= *length => panic!("{from} is beyond the end at {length}"),
                    Ok(bytes) => assert_eq!((bytes, u64::from_le_bytes(found)), (8, words[index as usize][place])),
                    Err(error) => assert!(self.is_object_refusal(error), "{error:?}"),
                }
            }
            Operation::ObjectWrite { object, index, place, word } => {
                let from = index * PAGE + PLACES[place];
                let Shared { object, words, length } = &mut self.objects[object];
                match object.write_at(from, &word.to_le_bytes()) {
                    Ok(bytes) => {
                        assert_eq!(bytes, 8);
                        words[index as usize][place] = word;
                        *length = (*length).max(from + 8);
                    }
                    Err(error) => assert!(self.is_object_refusal(error), "{error:?}"),
                }
            }
            Operation::Cut { object: number, pages, half } => {
                let length = pages * PAGE + if half { PAGE / 2 } else { 0 };
                let shared = &mut self.objects[number];
                let is_shorter = length < shared.length;
                match shared.object.set_length(length) {
                    Ok(()) => {
                        shared.cut(length);
                        let is_gone = |page: &Mapped| matches!(page.kind, Kind::Copy(object, index) if object == number && !shared.has_page(index));
                        let all = self.processes.iter_mut().flatten().flat_map(|(_, pages)| pages.values_mut());
                        all.filter(|page| is_shorter && is_gone(page)).for_each(|page| page.own = None);
                    }
                    Err(error) => assert!(self.is_object_refusal(error), "{error:?}"),
                }
            }
            Operation::Punch { object: number, first, pages } => {
                // A source's pages are covered one by one: what a failure leaves would not be known of several.
                let pages = if number == OBJECTS - 1 { 1 } else { pages };
                let range = first..(first + pages).min(OBJECT_PAGES);
                match self.objects[number].object.punch_hole(range.start * PAGE..range.end * PAGE) {
                    Ok(()) => range.for_each(|index| self.objects[number].words[index as usize] = [0; 4]),
                    Err(error) => assert!(self.is_object_refusal(error), "{error:?}"),
                }
            }
            Operation::Allocate { object, first, pages } => {
                let Shared { object, length, .. } = &self.objects[object];
                let end = length.div_ceil(PAGE).min(first + pages);
                if first < end
                    && let Err(error) = object.allocate(first * PAGE..end * PAGE, u64::MAX)
                {
                    assert!(self.is_object_refusal(error), "{error:?}");
                }
            }
            Operation::Fork { process } => {
                let Some(free) = self.processes.iter().position(Option::is_none) else { return };
                let Some((parent, pages)) = self.enter(process) else { return };
                let pages = pages.clone();
                if let Ok(space) = parent.memory().fork() {
                    self.processes[free] = Some((Process::new(space, parent.cgroup()), inherited(pages)));
                }
            }
            Operation::End { process } => {
                if self.processes.iter().flatten().count() > 1
                    && let Some((process, _)) = self.processes[process].take()
                {
                    process.end();
                }
            }
            Operation::Reclaim { passes } => (0..passes).for_each(|_| _ = reclaim::pass()),
            Operation::SwapOff => _ = self.computer.disable(),
            Operation::SwapOn => self.computer.enable(),
            Operation::Limit { cgroup, pages } => self.cgroups[cgroup].set_max(Some(pages * PAGE)),
            Operation::LimitSwap { cgroup, pages } => self.cgroups[cgroup].set_swap_max(Some(pages * PAGE)),
            Operation::Join { process, cgroup } => {
                let number = self.number_of(cgroup);
                if let Some((process, _)) = &self.processes[process] {
                    process.join(number);
                }
            }
            Operation::Remove { cgroup } => {
                let parent = cgroup.checked_sub(1).map_or(cgroup::ROOT, |parent| self.number_of(parent));
                let leaving: Vec<_> = self.cgroups[cgroup..].iter().map(|cgroup| cgroup.number()).collect();
                let all = self.processes.iter().flatten().map(|(process, _)| process);
                all.filter(|process| leaving.contains(&process.cgroup())).for_each(|process| process.join(parent));
                if cgroup == 0 {
                    self.note_events();
                }
                self.cgroups.truncate(cgroup);
                self.look_at_owners();
                self.make_cgroups();
            }
            Operation::FailDisk { write, succeed } => {
                self.may_lose_pages |= !write;
                self.computer.disk.fail(if write { Direction::Write } else { Direction::Read }, succeed);
            }
            Operation::FailAllocation { succeed } => {
                // Only of what is done for a program: the test itself allocates as well.
                task::current().running().fail_nth.set(succeed + 1);
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "an operation's fields")]
    fn map(
        &mut self,
        process: usize,
        first: u64,
        pages: u64,
        write: bool,
        kind: u8,
        object: usize,
        offset: u64,
        populate: bool,
    ) {
        let backing = Arc::clone(&self.objects[object].object);
        let Some((process, mapped)) = self.enter(process) else { return };
        let mut pages = range(first, pages);
        if kind >= 2 {
            pages.end = pages.end.min(pages.start + OBJECT_PAGES - offset);
        }
        let protection = Protection { write, ..Protection::READ_WRITE };
        // Whether a copy was made then or is made later cannot be seen at once.
        let populate = populate && kind != 3;
        let place = Placement::FixedNoReplace(address(pages.start));
        let request =
            MapRequest { protection, populate, ..MapRequest::anonymous(place, (pages.end - pages.start) * PAGE) };
        let request = match kind {
            0 | 1 => request,
            _ => MapRequest {
                backing: Backing::Object { object: backing, offset: offset * PAGE },
                shared: kind == 2,
                ..request
            },
        };
        let is_free = mapped.range(pages.clone()).next().is_none();
        match process.memory().map(&request) {
            Ok(at) => {
                assert!(is_free && at == address(pages.start), "{pages:?} were mapped already");
                for page in pages.clone() {
                    let index = offset + page - pages.start;
                    let kind = match kind {
                        0 | 1 => Kind::Private,
                        2 => Kind::Shared(object, index),
                        _ => Kind::Copy(object, index),
                    };
                    mapped.insert(page, Mapped::new(kind, protection));
                }
            }
            Err(MapError::Overlap) => assert!(!is_free, "{pages:?} are free"),
            Err(error) => assert!(is_refusal(error), "{error:?}"),
        }
    }

    fn remap(&mut self, process: usize, first: u64, pages: u64, to: u64, new_pages: u64) {
        let Some((process, mapped)) = self.enter(process) else { return };
        let (old, new) = (range(first, pages), range(to, new_pages));
        let new_length = (new.end - new.start) * PAGE;
        let Ok(at) = process.memory().remap(bytes(&old), new_length, Move::To(address(new.start))) else {
            // What a refusal had moved and unmapped is not said.
            let is_mapped = |page: &u64| process.memory().is_mapped(&bytes(&(*page..*page + 1)));
            for (from, to) in old.zip(new) {
                if !is_mapped(&from)
                    && let Some(page) = mapped.remove(&from)
                {
                    mapped.insert(to, page);
                }
            }
            mapped.retain(|page, _| is_mapped(page));
            return;
        };
        assert_eq!(at, address(new.start));
        if old.end - old.start == new.end - new.start {
            // Several mappings, and holes where what was there stays.
            for (from, to) in old.zip(new) {
                if let Some(page) = mapped.remove(&from) {
                    mapped.insert(to, page);
                }
            }
            return;
        }
        let kept = old.start..old.end.min(old.start + (new.end - new.start));
        let moved: Vec<Mapped> = kept.map(|page| mapped.remove(&page).expect("what moves is mapped")).collect();
        mapped.retain(|page, _| !old.contains(page) && !new.contains(page));
        let last = *moved.last().expect("something moves");
        for (page, distance) in new.zip(0..) {
            let own = moved.get(distance).copied();
            // What is added continues the object.
            let added = || {
                let further = (distance - (moved.len() - 1)) as u64;
                let kind = match last.kind {
                    Kind::Private => Kind::Private,
                    Kind::Shared(object, index) => Kind::Shared(object, index + further),
                    Kind::Copy(object, index) => Kind::Copy(object, index + further),
                };
                Mapped { kind, own: None, is_free: false, stays: false, ..last }
            };
            let page_now = own.unwrap_or_else(added);
            mapped.insert(page, page_now);
        }
    }

    fn advise(&mut self, process: usize, first: u64, pages: u64, advice: u8) {
        let Some((process, mapped)) = self.enter(process) else { return };
        let pages = range(first, pages);
        let advice = match advice {
            0 => Advice::DontNeed,
            1 => Advice::Free,
            2 => Advice::Cold,
            3 => Advice::WillNeed,
            4 => Advice::Inherit(false),
            5 => Advice::Inherit(true),
            6 => Advice::Populate { write: false },
            _ => Advice::PageOut,
        };
        let mut done = process.memory().advise(bytes(&pages), advice);
        if done == Err(MapError::NoMemory) && matches!(advice, Advice::Inherit(_)) {
            // What was served before is not said.
            done = process.memory().advise(bytes(&pages), advice);
        }
        // A part that does not allow it ends the call; those before are served.
        let refuses = |page: &Mapped| match advice {
            Advice::DontNeed | Advice::PageOut | Advice::Cold => page.locked,
            Advice::Free => page.locked || page.kind != Kind::Private,
            _ => false,
        };
        for (_, page) in mapped.range_mut(pages).take_while(|(_, page)| !refuses(page)) {
            match advice {
                Advice::DontNeed => {
                    if !matches!(page.kind, Kind::Shared(..)) {
                        page.own = None;
                    }
                    page.is_free = false;
                }
                Advice::Free => page.is_free |= page.own.is_some(),
                Advice::Inherit(inherit) => page.inherited = inherit,
                _ => {}
            }
        }
        match done {
            Ok(()) | Err(MapError::NotMapped | MapError::NotAllowed | MapError::OutOfRange) => {}
            Err(MapError::NotToBeHad) if matches!(advice, Advice::Populate { .. }) => {}
            Err(MapError::Poisoned) if self.may_lose_pages => {}
            Err(error) => assert!(is_refusal(error), "{error:?}"),
        }
    }

    fn read(&mut self, number: usize, page: u64) {
        let Some((_, pages)) = self.enter(number) else { return };
        let mapped = pages.get(&page).copied();
        let mut found: Words = [0; 4];
        let result = PLACES.iter().zip(&mut found).try_for_each(|(at, word)| {
            let mut bytes = [0; 8];
            program::read(address(page) + at, &mut bytes)?;
            *word = u64::from_le_bytes(bytes);
            Ok::<_, quire_machine::user::Fault>(())
        });
        let Some(mapped) = mapped.filter(|mapped| mapped.protection.read) else {
            assert!(result.is_err(), "page {page} of {number} is not to be read");
            return;
        };
        if result.is_err() {
            return self.settle_fatal(number, &mapped);
        }
        self.look_at_core(number, page);
        let expected = self.words(&mapped);
        if mapped.is_free && found != expected {
            assert_eq!(found, [0; 4], "page {page} of {number} was given away");
        } else {
            assert_eq!(found, expected, "page {page} of {number}, {mapped:?}");
        }
        if let Some((_, pages)) = self.enter(number)
            && mapped.is_free
            && found != expected
            && let Some(page) = pages.get_mut(&page)
        {
            (page.own, page.is_free) = (None, false);
        }
    }

    fn write(&mut self, number: usize, page: u64, place: usize, word: u64) {
        let Some((_, pages)) = self.enter(number) else { return };
        let mapped = pages.get(&page).copied();
        let result = program::write(address(page) + PLACES[place], &word.to_le_bytes());
        let Some(mut mapped) = mapped.filter(|mapped| mapped.protection.write) else {
            assert!(result.is_err(), "page {page} of {number} is not to be written");
            return;
        };
        if result.is_err() {
            return self.settle_fatal(number, &mapped);
        }
        if let Kind::Shared(object, index) = mapped.kind {
            self.objects[object].words[index as usize][place] = word;
            return;
        }
        let mut words = self.words(&mapped);
        if mapped.is_free {
            // What is there now stays.
            let is_zero = |other: usize| {
                let mut bytes = [0; 8];
                program::read(address(page) + PLACES[other], &mut bytes).is_ok() && bytes == [0; 8]
            };
            if (0..PLACES.len()).filter(|other| *other != place).all(is_zero) {
                words = [0; 4];
            }
        }
        words[place] = word;
        (mapped.own, mapped.is_free) = (Some(words), false);
        if let Some((_, pages)) = self.enter(number) {
            pages.insert(page, mapped);
        }
    }

    /// An access to a page that the program may use has failed.
    fn settle_fatal(&self, number: usize, mapped: &Mapped) {
        let is_beyond = |object: usize, index| !self.objects[object].has_page(index);
        let is_killed = self.processes[number].as_ref().is_some_and(|(process, _)| process.is_over());
        match (process::take_fatal(), mapped.kind) {
            (Some(Fatal::OutOfMemory), _) => {}
            (Some(Fatal::Killed), _) if is_killed => {}
            (Some(Fatal::ReadFailed(_)), _) if self.may_lose_pages => {}
            (Some(Fatal::BeyondObject(_)), Kind::Shared(object, index) | Kind::Copy(object, index))
                if is_beyond(object, index) => {}
            other => panic!("{mapped:?}: {other:?}"),
        }
    }

    fn is_object_refusal(&self, error: ObjectError) -> bool {
        match error {
            ObjectError::ReadFailed(_) => self.may_lose_pages,
            ObjectError::NoMemory | ObjectError::NoPromise | ObjectError::Killed => true,
            ObjectError::BeyondEnd | ObjectError::NoSpace => false,
        }
    }

    /// Looks at every page of every process, and at what is counted; then all of them end.
    fn end(&mut self) {
        task::current().running().fail_nth.set(0);
        self.computer.disk.repair();
        for number in 0..MOST_PROCESSES {
            (0..PAGES).for_each(|page| self.read(number, page));
        }
        self.look_at_counts();
        self.look_at_owners();
        self.look_at_frames();
        self.note_events();
        let killed =
            self.killed + self.processes.iter().flatten().filter(|(process, _)| process.is_over()).count() as u64;
        assert_eq!(KILLS.load(Ordering::Relaxed), killed, "processes killed, and those that are gone for it");
        self.conductor.enter(None);
        for (process, _) in self.processes.drain(..).flatten() {
            process.end();
        }
        self.objects.clear();
        Computer::settle();
        assert_eq!((self.account.blocks.used(), overcommit::committed()), (0, 0), "taken of the file system, promised");
        assert_eq!(object::shared_pages() + object::file_pages(), 0, "pages of objects");
        for cgroup in self.cgroups.drain(..) {
            assert_eq!((cgroup.current(), cgroup.swap_current()), (0, 0), "charged to {}", cgroup.name());
        }
    }
}

/// What a child has of these pages: locks are not inherited.
fn inherited(mut pages: Pages) -> Pages {
    pages.retain(|_, page| page.inherited);
    for page in pages.values_mut() {
        page.set_locked(false);
    }
    pages
}
