//! The workload of the swap scenarios: a task that fills pages of its address space, visits them in some order, and
//! compares every byte it finds with what it wrote.
//!
//! A page's contents are given by a number, which changes when it is rewritten. The task keeps each page's number and a
//! hash in its own address space, so these are swapped like everything else; when a hash differs, the contents are made
//! again to count the wrong bytes.

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use quire_machine::task::JoinHandle;
use quire_memory::AddressSpace;
use quire_memory::address_space::MapError;
use quire_memory::advice::Advice;
use quire_protocol::contents::{Contents, Page, Xorshift, hash};
use quire_swap::header::PAGE_SIZE;

use super::failure::Failure;
use super::user::{self, Fault};

/// Where a task's pages begin.
const PAGES: u64 = 0x10_0000_0000;
/// Where a task's records begin: for each page a word with its number and a word with its hash.
const RECORDS: u64 = 0x20_0000_0000;
const RECORD_BYTES: u64 = 16;
/// What a rewrite adds to a page's number: a multiple of eight, so that a mix stays a mix.
const NEXT_VERSION: u64 = 1 << 32;

/// What all tasks of a run have done so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Bytes that were compared.
    verified: AtomicU64,
    /// Bytes that were not what had been written.
    wrong: AtomicU64,
}

/// One task's pages.
pub(super) struct Workload {
    contents: Contents,
    /// The number of the first page, so that no two tasks' pages hold the same.
    first: u64,
    pages: u64,
    tally: Arc<Tally>,
    buffer: Box<Page>,
    expected: Box<Page>,
    random: Xorshift,
}

impl Workload {
    /// Maps `pages` pages and room for their records in `space`. Called by any thread, before the task uses them.
    fn map(space: &AddressSpace, pages: u64) -> Result<(), MapError> {
        let page = PAGE_SIZE as u64;
        space.map_anonymous(PAGES..PAGES + pages * page)?;
        space.map_anonymous(RECORDS..RECORDS + (pages * RECORD_BYTES).next_multiple_of(page))
    }

    /// The workload of the current task, whose space was prepared by [`Self::map`].
    fn new(contents: Contents, first: u64, pages: u64, tally: Arc<Tally>) -> Self {
        let page = || Box::new([0; PAGE_SIZE]);
        let random = Xorshift(first.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        Self { contents, first, pages, tally, buffer: page(), expected: page(), random }
    }

    /// Gives every page its first contents.
    pub(super) fn fill(&mut self) -> Result<(), Fault> {
        (0..self.pages).try_for_each(|index| self.write(index, self.first + index))
    }

    fn write(&mut self, index: u64, number: u64) -> Result<(), Fault> {
        self.contents.fill(&mut self.buffer, number);
        user::write(PAGES + index * PAGE_SIZE as u64, &self.buffer[..])?;
        user::write_word(RECORDS + index * RECORD_BYTES, number)?;
        user::write_word(RECORDS + index * RECORD_BYTES + 8, hash(&self.buffer))?;
        Ok(())
    }

    /// Gives page `index` other contents.
    fn rewrite(&mut self, index: u64) -> Result<(), Fault> {
        let number = user::read_word(RECORDS + index * RECORD_BYTES)?;
        self.write(index, number.wrapping_add(NEXT_VERSION))
    }

    /// Compares page `index` with what was written.
    fn verify(&mut self, index: u64) -> Result<(), Fault> {
        user::read(PAGES + index * PAGE_SIZE as u64, &mut self.buffer[..])?;
        let number = user::read_word(RECORDS + index * RECORD_BYTES)?;
        if user::read_word(RECORDS + index * RECORD_BYTES + 8)? != hash(&self.buffer) {
            self.contents.fill(&mut self.expected, number);
            let wrong = self.buffer.iter().zip(self.expected.iter()).filter(|(found, wanted)| found != wanted).count();
            // Right contents with a wrong record are a wrong word all the same.
            self.tally.wrong.fetch_add(wrong.max(8) as u64, Ordering::Relaxed);
        }
        self.tally.verified.fetch_add(PAGE_SIZE as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Visits every page in order.
    pub(super) fn sequential(&mut self) -> Result<(), Fault> {
        (0..self.pages).try_for_each(|index| self.verify(index))
    }

    /// Lets every page go out of memory at once, as `madvise(MADV_PAGEOUT)` does.
    pub(super) fn page_out(&self) -> Result<(), Fault> {
        let space = quire_memory::tasks::space().ok_or(Fault)?;
        space.advise(PAGES..PAGES + self.pages * PAGE_SIZE as u64, Advice::PageOut).map_err(|_| Fault)
    }

    /// Visits `visits` pages anywhere.
    pub(super) fn random(&mut self, visits: u64) -> Result<(), Fault> {
        for _ in 0..visits {
            let index = self.random.draw() % self.pages;
            self.verify(index)?;
        }
        Ok(())
    }

    /// Visits the first `hot` pages over and over with, after every eighth visit, one to a page anywhere; rewrites one page
    /// in four that it visits.
    pub(super) fn revisit(&mut self, hot: u64, visits: u64) -> Result<(), Fault> {
        for visit in 0..visits {
            let among = if visit % 8 == 7 { self.pages } else { hot.clamp(1, self.pages) };
            let index = self.random.draw() % among;
            self.verify(index)?;
            if visit % 4 == 0 {
                self.rewrite(index)?;
            }
        }
        Ok(())
    }
}

/// Starts a task called `name` with `pages` pages of `contents`, numbered from `first` on, that does `work` on them.
pub(super) fn start(
    name: &str,
    contents: Contents,
    first: u64,
    pages: u64,
    tally: &Arc<Tally>,
    work: impl FnOnce(&mut Workload) -> Result<(), Fault> + Send + 'static,
) -> Result<JoinHandle<Result<(), Fault>>, Failure> {
    const NO_MEMORY: &str = "no memory to start a task";
    let space = AddressSpace::new().map_err(|_| NO_MEMORY)?;
    Workload::map(&space, pages).map_err(|error| Failure(format!("a task's pages cannot be mapped: {error:?}")))?;
    let tally = Arc::clone(tally);
    let work = move || work(&mut Workload::new(contents, first, pages, tally));
    Ok(quire_memory::tasks::spawn(name, space, work).map_err(|_| NO_MEMORY)?)
}

impl Tally {
    pub(super) fn verified(&self) -> u64 {
        self.verified.load(Ordering::Relaxed)
    }

    pub(super) fn wrong(&self) -> u64 {
        self.wrong.load(Ordering::Relaxed)
    }
}
