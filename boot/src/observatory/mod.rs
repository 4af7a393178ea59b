//! Looks into a machine from outside: what each frame and each slot holds, what the tasks have, what has happened.
//!
//! The guest's memory is a file ([`Site`], [`Machine::observed_at`](crate::Machine::observed_at)). The kernel publishes in it where its
//! structures are (`quire_protocol::observatory`), and they are read here, while it runs or after its end: looking costs the
//! guest nothing, and changes nothing.
//!
//! ```no_run
//! use quire_boot::observatory::Observatory;
//!
//! let mut observatory = Observatory::open("target/machines/machine-1/memory".as_ref())?;
//! let snapshot = observatory.read()?;
//! println!("{} of {} frames are free", snapshot.memory.free, snapshot.memory.managed);
//! for event in &snapshot.events {
//!     println!("{}: {:?}", event.time, event.what);
//! }
//! # Ok::<(), quire_boot::observatory::ObservatoryError>(())
//! ```
//!
//! # What can be relied on
//!
//! Nothing that the guest wrote is trusted: each address and length is checked against the file. What changes while it is read is read
//! again until it was the same two times in a row, and said to have changed ([`Snapshot::changed_meanwhile`]).
//!
//! | module | subject |
//! |---|---|
//! | [`snapshot`], [`event`] | what is known, as plain values |
//! | [`site`] | where a machine's memory is on the host, also after its end |
//! | `memory`, `find` | the file's bytes by address; the page that the kernel publishes |
//! | `frames` | the frames' metadata |
//! | `areas`, `tasks`, `cgroups`, `rings` | slots; tasks and their page tables; memory cgroups; events |
//! | `pools`, `heap` | zram devices and zswap; the kernel heap |
//! | [`backtrace`], [`symbols`] | where each task is in the kernel; functions, files and lines |
//! | `panic_report` | what a machine's report of its panic lacks of that |
//! | `records` | what the kernel changes while it is read |
//! | [`error`] | why a machine could not be looked at |

mod areas;
pub mod backtrace;
mod cgroups;
pub mod error;
pub mod event;
mod find;
mod frames;
mod heap;
#[cfg(test)]
mod made;
mod memory;
pub(crate) mod panic_report;
mod pools;
mod records;
mod rings;
pub mod site;
pub mod snapshot;
pub mod symbols;
mod tasks;
#[cfg(test)]
mod tests;

use std::{fs::File, path::Path};

use quire_protocol::observatory::{Counter as CounterRecord, Page};

pub use self::error::ObservatoryError;
pub use self::event::{Event, What};
pub use self::memory::Bytes;
pub use self::site::Site;
pub use self::snapshot::{FrameKind, Snapshot};
pub use self::symbols::Symbols;
use self::{
    backtrace::{Backtrace, Panicked},
    frames::FrameTable,
    memory::{Physical, Virtual},
    rings::Cursors,
    snapshot::{Counter, Memory},
    tasks::PageTables,
};

/// A machine's memory that is looked at again and again.
pub struct Observatory {
    memory: Physical,
    /// The physical address of the published page, once it was found.
    page: Option<u64>,
    rings: Cursors,
}

impl Observatory {
    /// Looks at the memory file at `path`. The kernel in it may not have started yet.
    ///
    /// # Errors
    /// [`ObservatoryError::Open`].
    pub fn open(path: &Path) -> Result<Self, ObservatoryError> {
        let refused = |source| ObservatoryError::Open { path: path.to_owned(), source };
        let file = File::open(path).map_err(refused)?;
        Self::new(Box::new(file))
    }

    /// Looks at memory that is somewhere else.
    ///
    /// # Errors
    /// [`ObservatoryError::Read`], if not even its length can be known.
    pub fn new(bytes: Box<dyn Bytes>) -> Result<Self, ObservatoryError> {
        Ok(Self { memory: Physical::new(bytes)?, page: None, rings: Cursors::default() })
    }

    /// What is known of the machine now.
    ///
    /// # Errors
    /// [`ObservatoryError::NoKernel`] as long as the kernel has not started; otherwise there is something wrong with the memory.
    pub fn read(&mut self) -> Result<Snapshot, ObservatoryError> {
        let page = self.published()?;
        let memory = Virtual::new(&self.memory, page.root);
        let frames = FrameTable::read(&memory, &page)?;
        let totals = totals(&memory, &page)?;
        let mut tasks: Vec<_> = tasks::read(&memory, &page)?.into_iter().map(|(task, _)| task).collect();
        let PageTables { mappings, swapped } = tasks::walk(&memory, &frames, &mut tasks)?;
        let events = self.rings.read(&memory, &page)?;
        let counters = counters(&memory, &page)?;
        let (zram, zswap) = pools::read(&memory, &page, &counters)?;
        let areas = areas::read(&memory, &page, &swapped)?;
        pools::count(&mut tasks, &swapped, &areas, &zram);
        Ok(Snapshot {
            time: self.rings.time,
            ticks_per_second: memory.word("the frequency of the counter", page.ticks_per_second)?,
            changed_meanwhile: frames.changed,
            memory: totals,
            frames: frames.describe(&totals, page.active_lists),
            counters,
            areas,
            mappings,
            swapped,
            tasks,
            cgroups: cgroups::read(&memory, &page)?,
            heap: heap::read(&memory, &page)?,
            events,
            lost_events: self.rings.lost,
            noted_events: self.rings.noted,
            zram,
            zswap,
        })
    }

    /// What has happened since this or [`Self::read`] was last asked, and nothing else.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn events(&mut self) -> Result<Vec<Event>, ObservatoryError> {
        let page = self.published()?;
        self.rings.read(&Virtual::new(&self.memory, page.root), &page)
    }

    /// Why the kernel stopped, if it panicked.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn panicked(&mut self) -> Result<Option<Panicked>, ObservatoryError> {
        let page = self.published()?;
        let memory = Virtual::new(&self.memory, page.root);
        Ok(backtrace::panicked(&memory, &page)?.map(|(panicked, _)| panicked))
    }

    /// The page-table entries from the root table at a physical address to the page at a virtual one, each with its level, 4 for
    /// that of the root, as far as there are tables.
    ///
    /// # Errors
    /// The tables lead out of memory.
    pub fn walk(&self, root: u64, address: u64) -> Result<Vec<(u32, u64)>, ObservatoryError> {
        Virtual::new(&self.memory, root).walk("a page table", address)
    }

    /// Where each task is in the kernel.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn backtraces(&mut self, symbols: &Symbols) -> Result<Vec<Backtrace>, ObservatoryError> {
        let page = self.published()?;
        let memory = Virtual::new(&self.memory, page.root);
        let tasks: Vec<_> = tasks::read(&memory, &page)?.into_iter().map(|(task, _)| task).collect();
        backtrace::all(&memory, &page, &tasks, symbols)
    }

    /// The names of the ranks of locks, by number: those that [`Task::held_ranks`](snapshot::Task::held_ranks) has a bit for.
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn ranks(&mut self) -> Result<Vec<String>, ObservatoryError> {
        const WHAT: &str = "the names of locks";
        let page = self.published()?;
        let memory = Virtual::new(&self.memory, page.root);
        let name = |number: u64| {
            let word = |index: u64| memory.word(WHAT, page.ranks.wrapping_add(16 * number + 8 * index));
            let (address, length) = (word(0)?, word(1)?);
            if address == 0 { Ok(String::new()) } else { memory.text(WHAT, address, length) }
        };
        (0..64).map(name).collect()
    }

    /// The page that the kernel publishes.
    fn published(&mut self) -> Result<Page, ObservatoryError> {
        let address = match self.page {
            Some(address) => address,
            None => *self.page.insert(find::find(&self.memory)?),
        };
        find::read(&self.memory, address)
    }
}

fn totals(memory: &Virtual<'_>, page: &Page) -> Result<Memory, ObservatoryError> {
    let mark = |index: u64| memory.word("the watermarks", page.watermarks.wrapping_add(8 * index));
    Ok(Memory {
        bytes: memory.length(),
        managed: memory.word("the number of frames", page.managed)?,
        free: memory.word("the number of free frames", page.free)?,
        kernel: memory.word("the number of the kernel's frames", page.kernel)?,
        min: mark(0)?,
        low: mark(1)?,
        high: mark(2)?,
    })
}

fn counters(memory: &Virtual<'_>, page: &Page) -> Result<Vec<Counter>, ObservatoryError> {
    const WHAT: &str = "the counters";
    const MOST: u64 = 1024;
    let bytes = memory.bytes(WHAT, page.counters, page.counter_count.min(MOST) * CounterRecord::BYTES as u64)?;
    let records = bytes.chunks_exact(CounterRecord::BYTES).filter_map(CounterRecord::from_bytes);
    // What the swap core counts is there from the first swapon on.
    let records = records.filter(|record| record.value != 0);
    let counter = |record: CounterRecord| {
        let name = memory.text("a counter's name", record.name, record.name_length)?;
        Ok(Counter { name, value: memory.word("a counter", record.value)? })
    };
    records.map(counter).collect()
}
