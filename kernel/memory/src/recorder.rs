//! Records which pages are referenced, as far as a kernel can see it: by the faults that it serves and by accessed bits.
//!
//! A thread looks at the PTEs of all spaces as often as it can without taking more than half the time, and no more often than the
//! clock ticks; each page accessed since it looked last is one reference, in the order of their addresses. So it is known
//! which pages were touched in such an interval, but neither how often nor in which order. A page whose fault is
//! recorded is not recorded once more for the accessed bit that came with it.
//!
//! A page's name is its owner's number and its index there, the same for all that share it, wherever it is. Reads and writes of files
//! that are not mapped are not seen, nor is it that a page is freed.
//!
//! The accessed bits are reclaim's as well: for it, a page of which note was taken stays accessed (`PteCell::note_accessed`).
//!
//! # Locking
//!
//! The recorder's lock ranks below all others of memory; it is held while bytes are handed to the sink.

use alloc::vec::Vec;
use core::time::Duration;

use arrayvec::ArrayVec;
use quire_machine::AllocationError;
use quire_machine::address_map::USER_END;
use quire_machine::arch::translations;
use quire_machine::clock;
use quire_machine::fallible::TryVec as _;
use quire_machine::physical;
use quire_machine::sync::{Once, Rank, SpinLock};
use quire_machine::task::{self, time};
use quire_protocol::recording::Encoder;

use crate::address_space::{self, AddressSpace};
use crate::page_tables::folio_frame;

/// Takes the bytes of a recording ([`quire_protocol::recording`]); called with a spinning lock held.
pub type Sink = fn(u8);

/// How many of the last faults are remembered, so that their pages are not recorded twice.
const FAULTS: usize = 512;
/// The least time between two looks.
const INTERVAL: Duration = Duration::from_millis(1);

struct Recorder {
    sink: Sink,
    encoder: Encoder,
    /// Pages that were recorded for their faults since the last look; the newest may be missing.
    faulted: ArrayVec<u64, FAULTS>,
    /// Those of the look before: a look may have come between the end of a fault and the access that it was for.
    faulted_before: ArrayVec<u64, FAULTS>,
}

/// There once it was begun to record.
static RECORDER: Once<SpinLock<Recorder>> = Once::new();

/// Begins to record, until the machine ends.
///
/// # Errors
/// [`AllocationError`] when there is no memory for the thread.
pub fn start(sink: Sink) -> Result<(), AllocationError> {
    begin(sink);
    task::spawn("recorder", || {
        let mut accessed = Vec::new();
        loop {
            let begun = clock::since_boot();
            look(&mut accessed);
            time::sleep(clock::since_boot().saturating_sub(begun).max(INTERVAL));
        }
    })
    .map(drop)
}

/// Begins to record, without a thread that looks.
pub fn begin(sink: Sink) {
    RECORDER.call_once(|| {
        let recorder =
            Recorder { sink, encoder: Encoder::new(), faulted: ArrayVec::new(), faulted_before: ArrayVec::new() };
        SpinLock::new(Rank::Recorder, recorder)
    });
}

/// A fault at `address` was served.
#[inline]
pub(crate) fn served(space: &AddressSpace, address: u64) {
    if let Some(recorder) = RECORDER.get() {
        record_fault(recorder, space, address);
    }
}

#[cold]
#[inline(never)]
fn record_fault(recorder: &SpinLock<Recorder>, space: &AddressSpace, address: u64) {
    // It may have been unmapped, or be the frame of zeros, which is no page that reclaim knows.
    let Some(page) = page_of(space.tables.bits(address)) else { return };
    let mut recorder = recorder.lock();
    recorder.record(page);
    let _ = recorder.faulted.try_push(page);
}

/// Records the pages that were accessed since the last look. `accessed` is empty, and keeps its room.
pub fn look(accessed: &mut Vec<u64>) {
    for space in address_space::all() {
        let mut walk = space.tables.walk(0..USER_END);
        while let Some(run) = walk.next_run() {
            for pte in run.iter() {
                // For want of room a page is left out.
                if let Some(page) = page_of(pte.bits())
                    && pte.note_accessed()
                {
                    let _ = accessed.try_push(page);
                }
            }
            drop(run);
            if let Some(recorder) = RECORDER.get() {
                let mut recorder = recorder.lock();
                accessed.drain(..).for_each(|page| recorder.record_access(page));
            }
        }
    }
    // The processor does not say again what it remembers.
    translations::flush_user_everywhere();
    if let Some(recorder) = RECORDER.get() {
        let mut recorder = recorder.lock();
        recorder.faulted_before = core::mem::take(&mut recorder.faulted);
    }
}

/// The name of the page that the PTE maps.
fn page_of(pte: u64) -> Option<u64> {
    let page = physical::frames()[folio_frame(pte)?.index()].owner_mark();
    (page != 0).then_some(page)
}

impl Recorder {
    fn record_access(&mut self, page: u64) {
        if !self.faulted.contains(&page) && !self.faulted_before.contains(&page) {
            self.record(page);
        }
    }

    fn record(&mut self, page: u64) {
        self.encoder.encode(page, self.sink);
    }
}
