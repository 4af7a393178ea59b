//! What a policy makes of a trace of page references, on a machine of which only frames and accessed bits are left.
//!
//! An access sets the accessed bit of a page in memory, and is a fault for any other; a fault without a free frame
//! looks at pages until one goes. With readahead, a fault for a page that was evicted reads its neighbours with it that
//! were evicted as well. Only the host has this.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "only the host has this")]

use std::collections::HashMap;

use quire_machine::frame::Frame;
use quire_swap::{Readahead, ReadaheadPolicy};

use super::decide::Verdict;
use super::instance::Instance;
use super::pages::{FrameNumber, Pages};
use super::shadow::Shadow;

/// How many pages around an accessed one a policy may look at: those whose PTEs are beside its own (Linux:
/// `lru_gen_look_around`).
const AROUND: u64 = 64;

/// A memory with its pages.
#[derive(Debug)]
pub struct Replay {
    policy: Instance,
    metadata: Vec<Frame>,
    frames: Vec<SimulatedFrame>,
    free: Vec<FrameNumber>,
    pages: HashMap<u64, Place>,
    readahead: Option<(Readahead, ReadaheadPolicy)>,
    batch: usize,
    counts: Counts,
}

/// What has happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Accesses to pages that were not in memory.
    pub faults: u64,
    /// Pages that were looked at.
    pub looks: u64,
    /// Faults for pages that had been evicted; each is a request.
    pub reads: u64,
    /// The pages that these read.
    pub pages_read: u64,
    /// Pages that were read ahead and evicted without an access.
    pub in_vain: u64,
}

#[derive(Clone, Debug, Default)]
struct SimulatedFrame {
    page: u64,
    accessed: bool,
    /// Read ahead, and not accessed since.
    is_ahead: bool,
}

/// Where a page is that was in memory before.
#[derive(Clone, Copy, Debug)]
enum Place {
    Memory(FrameNumber),
    Swap(Shadow),
}

impl Replay {
    /// An empty memory of `frames` frames, at least one, without readahead.
    ///
    /// # Panics
    /// If they are none, or more than frame numbers.
    pub fn new(policy: Instance, frames: usize) -> Self {
        assert!(frames > 0, "a page needs a frame");
        let end = u32::try_from(frames).expect("as many frames as there are numbers");
        Self {
            policy,
            metadata: std::iter::repeat_with(Frame::reserved).take(frames).collect(),
            frames: vec![SimulatedFrame::default(); frames],
            free: (0..end).rev().map(FrameNumber).collect(),
            pages: HashMap::new(),
            readahead: None,
            batch: 1,
            counts: Counts::default(),
        }
    }

    /// With readahead, as the swap core's.
    #[must_use]
    pub fn with_readahead(self) -> Self {
        Self { readahead: Some((Readahead::new(), ReadaheadPolicy::new())), ..self }
    }

    /// With so many pages, at least one, looked at together, as a kernel does: more may go than are needed.
    #[must_use]
    pub fn in_batches(self, batch: usize) -> Self {
        Self { batch: batch.max(1), ..self }
    }

    /// Accesses a page; whether that was a fault.
    pub fn access(&mut self, page: u64) -> bool {
        let shadow = match self.pages.get(&page) {
            Some(&Place::Memory(frame)) => {
                self.frames[frame.index()].accessed = true;
                if std::mem::take(&mut self.frames[frame.index()].is_ahead) {
                    self.first_access(page, frame);
                }
                return false;
            }
            Some(&Place::Swap(shadow)) => Some(shadow),
            None => None,
        };
        self.counts.faults += 1;
        self.come(SimulatedFrame { page, accessed: true, is_ahead: false }, shadow.unwrap_or(Shadow::NONE));
        if shadow.is_some() {
            self.counts.reads += 1;
            self.counts.pages_read += 1;
            self.read_ahead(page);
        }
        true
    }

    /// What has happened so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    fn come(&mut self, state: SimulatedFrame, shadow: Shadow) {
        self.settle();
        let frame = loop {
            match self.free.pop() {
                Some(frame) => break frame,
                None => self.look(),
            }
        };
        self.pages.insert(state.page, Place::Memory(frame));
        self.frames[frame.index()] = state;
        self.policy.add(Pages(&self.metadata), frame, shadow);
    }

    fn settle(&mut self) {
        if !self.policy.is_unsettled() {
            return;
        }
        while let Some(settled) = self.policy.settle(Pages(&self.metadata)) {
            self.frames[settled.index()].accessed = false;
        }
    }

    /// A page that was read ahead is wanted.
    fn first_access(&mut self, page: u64, frame: FrameNumber) {
        if let Some((readahead, _)) = &self.readahead {
            readahead.hit();
            readahead.passed(page);
        }
        self.policy.first_access(Pages(&self.metadata), frame);
    }

    fn read_ahead(&mut self, page: u64) {
        let Some((readahead, policy)) = &self.readahead else { return };
        for neighbour in readahead.window_by_address(page, (0, u64::MAX), policy) {
            if let Some(&Place::Swap(shadow)) = self.pages.get(&neighbour) {
                self.counts.pages_read += 1;
                self.come(SimulatedFrame { page: neighbour, accessed: false, is_ahead: true }, shadow);
            }
        }
    }

    /// Looks at one batch.
    fn look(&mut self) {
        let pages = Pages(&self.metadata);
        let batch: Vec<FrameNumber> = (0..self.batch).map_while(|_| self.policy.next(pages)).collect();
        assert!(!batch.is_empty(), "all frames are in the policy's lists");
        for frame in batch {
            self.counts.looks += 1;
            let state = &mut self.frames[frame.index()];
            let (page, accessed) = (state.page, std::mem::take(&mut state.accessed));
            if self.policy.looked_at(Pages(&self.metadata), frame, accessed) == Verdict::Evict {
                self.counts.in_vain += u64::from(state.is_ahead);
                let shadow = self.policy.evicted(Pages(&self.metadata), frame);
                self.pages.insert(page, Place::Swap(shadow));
                self.free.push(frame);
            }
            if accessed && self.policy.looks_around() {
                self.look_around(page);
            }
        }
    }

    fn look_around(&mut self, page: u64) {
        let first = page / AROUND * AROUND;
        for beside in (first..=first + (AROUND - 1)).filter(|beside| *beside != page) {
            if let Some(Place::Memory(frame)) = self.pages.get(&beside)
                && Instance::may_be_beside(Pages(&self.metadata), *frame)
                && std::mem::take(&mut self.frames[frame.index()].accessed)
            {
                self.policy.accessed_beside(Pages(&self.metadata), *frame);
            }
        }
    }
}
