//! Memory against a model that is an array of words for each process.
//!
//! Random operations are done by both. What a program reads must be what the model has; an operation that may be refused for
//! want of memory leaves the model as it is. After each run all is as it was before: frames, slots, and what is on its way.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use quire_machine::protection::Protection;
use quire_machine::simulated::program;
use quire_memory::address_space::{Backing, MapError, MapRequest, Placement};
use quire_memory::advice::Advice;
use quire_memory::fatal::Fatal;
use quire_memory::object::{Object, Source};
use quire_memory::remap::Move;
use quire_memory::{reclaim, tasks};
use quire_swap::header::Page;

use crate::computer::Computer;
use crate::disk::Disk;
use crate::process::{self, Process};

const PAGE: u64 = 4096;
/// Where the programs' pages are, which lie in two page tables.
const BASE: u64 = 0x4000_0000 - 32 * PAGE;
const PAGES: u64 = 64;
const OBJECTS: usize = 3;
const OBJECT_PAGES: u64 = 16;
const MOST_PROCESSES: usize = 5;
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
#[derive(Clone, Copy, Debug)]
struct Mapped {
    kind: Kind,
    protection: Protection,
    locked: bool,
    /// What is in it that is the process's own.
    own: Option<Words>,
    /// It may have become zero since (`MADV_FREE`).
    is_free: bool,
}

type Pages = BTreeMap<u64, Mapped>;

#[derive(Clone, Debug)]
enum Operation {
    Map { process: usize, first: u64, pages: u64, write: bool, kind: u8, object: usize, offset: u64, populate: bool },
    Unmap { process: usize, first: u64, pages: u64 },
    Protect { process: usize, first: u64, pages: u64, protection: u8 },
    Move { process: usize, first: u64, pages: u64, to: u64, new_pages: u64 },
    Advise { process: usize, first: u64, pages: u64, advice: u8 },
    Lock { process: usize, first: u64, pages: u64, lock: bool },
    Read { process: usize, page: u64 },
    Write { process: usize, page: u64, place: usize, word: u64 },
    ObjectRead { object: usize, index: u64, place: usize },
    ObjectWrite { object: usize, index: u64, place: usize, word: u64 },
    Fork { process: usize },
    End { process: usize },
    Reclaim { passes: usize },
    SwapOff,
    SwapOn,
}

fn operation() -> impl Strategy<Value = Operation> {
    let process = 0..MOST_PROCESSES;
    let first = 0..PAGES;
    let pages = prop_oneof![3 => 1..4_u64, 1 => 1..PAGES];
    let range = (process.clone(), first.clone(), pages);
    let word = prop_oneof![1 => Just(0), 6 => any::<u64>()];
    prop_oneof![
        6 => (range.clone(), any::<bool>(), 0..4_u8, 0..OBJECTS, 0..OBJECT_PAGES, any::<bool>()).prop_map(
            |((process, first, pages), write, kind, object, offset, populate)| Operation::Map {
                process, first, pages, write, kind, object, offset, populate
            }
        ),
        2 => range.clone().prop_map(|(process, first, pages)| Operation::Unmap { process, first, pages }),
        2 => (range.clone(), 0..3_u8).prop_map(|((process, first, pages), protection)| Operation::Protect {
            process, first, pages, protection
        }),
        2 => (range.clone(), 0..PAGES, 1..8_u64).prop_map(|((process, first, pages), to, new_pages)| Operation::Move {
            process, first, pages: pages.min(8), to, new_pages
        }),
        6 => (range.clone(), 0..6_u8).prop_map(|((process, first, pages), advice)| Operation::Advise {
            process, first, pages, advice
        }),
        1 => (range, any::<bool>()).prop_map(|((process, first, pages), lock)| Operation::Lock {
            process, first, pages: pages.min(4), lock
        }),
        20 => (process.clone(), first.clone()).prop_map(|(process, page)| Operation::Read { process, page }),
        30 => (process.clone(), first, 0..PLACES.len(), word.clone()).prop_map(|(process, page, place, word)| {
            Operation::Write { process, page, place, word }
        }),
        3 => (0..OBJECTS, 0..OBJECT_PAGES, 0..PLACES.len()).prop_map(|(object, index, place)| Operation::ObjectRead {
            object, index, place
        }),
        3 => (0..OBJECTS, 0..OBJECT_PAGES, 0..PLACES.len(), word).prop_map(|(object, index, place, word)| {
            Operation::ObjectWrite { object, index, place, word }
        }),
        2 => process.clone().prop_map(|process| Operation::Fork { process }),
        1 => process.prop_map(|process| Operation::End { process }),
        6 => (1..4_usize).prop_map(|passes| Operation::Reclaim { passes }),
        1 => Just(Operation::SwapOff),
        2 => Just(Operation::SwapOn),
    ]
}

/// The machine and what is to be found there.
struct World {
    objects: Vec<(Arc<Object>, Vec<Words>)>,
    processes: Vec<Option<(Arc<Process>, Pages)>>,
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

/// Refused for want of memory, or of a right to it: nothing was changed.
fn is_refusal(error: MapError) -> bool {
    matches!(error, MapError::NoMemory | MapError::LockLimit)
}

impl World {
    fn new(frames: usize, disk: Disk) -> Self {
        let computer = Computer::start(frames, 1, disk);
        let anonymous =
            || (Object::shared(OBJECT_PAGES * PAGE, 0, false).unwrap(), vec![[0; 4]; OBJECT_PAGES as usize]);
        let file = Object::from_source(Arc::new(File), None).unwrap();
        let objects = vec![anonymous(), anonymous(), (file, (0..OBJECT_PAGES).map(source_words).collect())];
        let mut processes: Vec<_> = (0..MOST_PROCESSES).map(|_| None).collect();
        processes[0] = Some((Process::empty(), Pages::new()));
        Self { objects, processes, computer }
    }

    /// The process with this number, if there is one, which the program that runs is from now on.
    fn enter(&mut self, process: usize) -> Option<(Arc<Process>, &mut Pages)> {
        let (process, pages) = self.processes[process].as_mut()?;
        tasks::set_space(Some(process.memory()));
        Some((Arc::clone(process), pages))
    }

    /// What a page has in it, as far as the model knows.
    fn words(&self, mapped: &Mapped) -> Words {
        match (mapped.own, mapped.kind) {
            (Some(own), _) => own,
            (None, Kind::Private) => [0; 4],
            (None, Kind::Shared(object, index) | Kind::Copy(object, index)) => self.objects[object].1[index as usize],
        }
    }

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
                let is_whole = mapped.range(pages.clone()).count() as u64 == pages.end - pages.start;
                match process.memory().protect(bytes(&pages), protection) {
                    Ok(()) => {
                        assert!(is_whole, "{pages:?} are not all mapped");
                        mapped.range_mut(pages).for_each(|(_, page)| page.protection = protection);
                    }
                    Err(MapError::NotMapped) => assert!(!is_whole, "{pages:?} are mapped"),
                    Err(error) => assert!(is_refusal(error), "{error:?}"),
                }
            }
            Operation::Move { process, first, pages, to, new_pages } => {
                self.remap(process, first, pages, to, new_pages)
            }
            Operation::Advise { process, first, pages, advice } => self.advise(process, first, pages, advice),
            Operation::Lock { process, first, pages, lock } => {
                let Some((process, mapped)) = self.enter(process) else { return };
                let pages = range(first, pages);
                let is_whole = mapped.range(pages.clone()).count() as u64 == pages.end - pages.start;
                let done = process.memory().lock(bytes(&pages), lock, true);
                if done.is_ok() {
                    assert!(is_whole, "{pages:?} are not all mapped");
                    mapped.range_mut(pages).for_each(|(_, page)| page.locked = lock);
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
                    mapped.range_mut(from..reached).for_each(|(_, page)| page.locked = lock);
                }
            }
            Operation::Read { process, page } => self.read(process, page),
            Operation::Write { process, page, place, word } => self.write(process, page, place, word),
            Operation::ObjectRead { object, index, place } => {
                let (object, words) = &self.objects[object];
                let mut found = [0; 8];
                match object.read_at(index * PAGE + PLACES[place], &mut found) {
                    Ok(bytes) => assert_eq!((bytes, u64::from_le_bytes(found)), (8, words[index as usize][place])),
                    Err(error) => assert_eq!(error, quire_memory::object::ObjectError::NoMemory),
                }
            }
            Operation::ObjectWrite { object, index, place, word } => {
                let (object, words) = &mut self.objects[object];
                match object.write_at(index * PAGE + PLACES[place], &word.to_le_bytes()) {
                    Ok(bytes) => {
                        assert_eq!(bytes, 8);
                        words[index as usize][place] = word;
                    }
                    Err(error) => assert_eq!(error, quire_memory::object::ObjectError::NoMemory),
                }
            }
            Operation::Fork { process } => {
                let Some(free) = self.processes.iter().position(Option::is_none) else { return };
                let Some((parent, pages)) = self.enter(process) else { return };
                let pages = pages.clone();
                if let Ok(space) = parent.memory().fork() {
                    self.processes[free] = Some((Process::new(space, quire_memory::cgroup::ROOT), unlocked(pages)));
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
        let backing = self.objects[object].0.clone();
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
                    mapped.insert(page, Mapped { kind, protection, locked: false, own: None, is_free: false });
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
            // What a refusal had unmapped is not said.
            let is_mapped = |page: &u64| process.memory().is_mapped(&bytes(&(*page..*page + 1)));
            mapped.retain(|page, _| is_mapped(page));
            return;
        };
        assert_eq!(at, address(new.start));
        let moved: Vec<Mapped> = old.clone().map(|page| mapped.remove(&page).expect("what moves is mapped")).collect();
        mapped.retain(|page, _| !new.contains(page));
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
                Mapped { kind, own: None, is_free: false, ..last }
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
            _ => Advice::PageOut,
        };
        let done = process.memory().advise(bytes(&pages), advice);
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
                _ => {}
            }
        }
        if let Err(error) = done {
            assert!(matches!(error, MapError::NotMapped | MapError::NotAllowed | MapError::OutOfRange), "{error:?}");
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
            return self.settle_fatal(&mapped);
        }
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
            return self.settle_fatal(&mapped);
        }
        if let Kind::Shared(object, index) = mapped.kind {
            self.objects[object].1[index as usize][place] = word;
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
    fn settle_fatal(&self, mapped: &Mapped) {
        let beyond = matches!(mapped.kind, Kind::Shared(_, index) | Kind::Copy(_, index) if index >= OBJECT_PAGES);
        match process::take_fatal() {
            Some(Fatal::OutOfMemory) => {}
            Some(Fatal::BeyondObject(_)) if beyond => {}
            other => panic!("{mapped:?}: {other:?}"),
        }
    }

    /// Looks at every page of every process.
    fn look_at_everything(&mut self) {
        for number in 0..MOST_PROCESSES {
            (0..PAGES).for_each(|page| self.read(number, page));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        for (process, _) in self.processes.drain(..).flatten() {
            process.end();
        }
        self.objects.clear();
    }
}

/// Locks are not inherited.
fn unlocked(mut pages: Pages) -> Pages {
    pages.values_mut().for_each(|page| page.locked = false);
    pages
}

/// Says which run it was if it fails: `QUIRE_SEED=N cargo test -p quire-memory` runs that one alone.
struct Run {
    seed: u64,
    done: usize,
    operation: Option<Operation>,
}

impl Drop for Run {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("QUIRE_SEED={}: operation {}, {:?}", self.seed, self.done, self.operation);
        }
    }
}

/// Runs `runs` runs of `length` operations each, on a world that `make` makes.
fn agree(runs: u64, length: usize, make: fn() -> World) {
    let chosen = std::env::var("QUIRE_SEED").ok().map(|seed| seed.parse().expect("QUIRE_SEED is a number"));
    let seeds = chosen.map_or(0..runs, |seed: u64| seed..seed + 1);
    for seed in seeds {
        let mut random = TestRunner::new(Config { rng_seed: RngSeed::Fixed(seed), ..Config::default() });
        let mut run = Run { seed, done: 0, operation: None };
        let mut world = make();
        for _ in 0..length {
            let operation = operation().new_tree(&mut random).expect("nothing is filtered").current();
            if std::env::var_os("QUIRE_TRACE").is_some() {
                eprintln!("{} {operation:?}", run.done);
            }
            run.operation = Some(operation.clone());
            world.perform(&operation);
            run.done += 1;
        }
        world.look_at_everything();
    }
}

#[test]
fn programs_find_what_the_model_has_with_room() {
    agree(30, 1000, || World::new(1024, Disk::new(256, false)));
}

#[test]
fn programs_find_what_the_model_has_when_memory_is_short() {
    agree(40, 1000, || World::new(350, Disk::new(512, false)));
}

#[test]
fn programs_find_what_the_model_has_when_requests_take_long() {
    agree(40, 1000, || World::new(350, Disk::new(512, true)));
}

#[test]
fn programs_find_what_the_model_has_when_pages_may_not_change_on_their_way() {
    agree(20, 1000, || World::new(350, Disk::with_stable_writes(512)));
}

#[test]
fn programs_find_what_the_model_has_when_swap_is_full() {
    agree(20, 1000, || World::new(350, Disk::new(64, true)));
}
