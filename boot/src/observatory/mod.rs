//! Looks into a machine from outside: what each frame and each slot holds, what the tasks have, what has happened.
//!
//! The guest's memory is a file ([`Machine::memory_file`](crate::Machine::memory_file)). The kernel publishes in it where its
//! structures are (`quire_protocol::observatory`), and they are read here, while it runs or after its end: looking costs the
//! guest nothing, and changes nothing.
//!
//! ```no_run
//! use quire_boot::observatory::Observatory;
//!
//! let mut observatory = Observatory::open("target/run/memory".as_ref())?;
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
//! | `memory`, `find` | the file's bytes by address; the page that the kernel publishes |
//! | `frames` | the frames' metadata |
//! | [`error`] | why a machine could not be looked at |

pub mod error;
pub mod event;
mod find;
mod frames;
mod memory;
pub mod snapshot;

use std::{fs::File, path::Path};

use quire_protocol::observatory::{Counter as CounterRecord, Page};

pub use self::error::ObservatoryError;
pub use self::event::{Event, What};
pub use self::memory::Bytes;
pub use self::snapshot::{FrameKind, Snapshot};
use self::{
    frames::FrameTable,
    memory::{Physical, Virtual},
    snapshot::{Counter, Memory},
};

/// A machine's memory that is looked at again and again.
pub struct Observatory {
    memory: Physical,
    /// The physical address of the published page, once it was found.
    page: Option<u64>,
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
        Ok(Self { memory: Physical::new(bytes)?, page: None })
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
        Ok(Snapshot {
            ticks_per_second: memory.word("the frequency of the counter", page.ticks_per_second)?,
            changed_meanwhile: frames.changed,
            memory: totals,
            frames: frames.describe(&totals, page.active_lists),
            counters: counters(&memory, &page)?,
            ..Snapshot::default()
        })
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
    let counter = |record: CounterRecord| {
        let name = memory.text("a counter's name", record.name, record.name_length)?;
        Ok(Counter { name, value: memory.word("a counter", record.value)? })
    };
    records.map(counter).collect()
}
