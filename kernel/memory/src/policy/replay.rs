//! What a policy makes of a trace of page references, on a machine of which only frames and accessed bits are left.
//!
//! An access sets the accessed bit of a page in memory, and is a fault for any other; a fault without a free frame
//! looks at pages until one goes. Only the host has this.

#![allow(clippy::disallowed_methods, clippy::disallowed_macros, reason = "only the host has this")]

use std::collections::HashMap;

use quire_machine::frame::Frame;

use super::{FrameNumber, Instance, Pages, Shadow, Verdict};

/// How many pages around an accessed one a policy may look at, as many as one cache line of a page table has entries
/// times eight (Linux: `lru_gen_look_around`).
const AROUND: u64 = 64;

/// A memory with its pages.
#[derive(Debug)]
pub struct Replay {
    policy: Instance,
    metadata: Vec<Frame>,
    frames: Vec<FrameState>,
    free: Vec<FrameNumber>,
    pages: HashMap<u64, Place>,
    looks: u64,
}

#[derive(Clone, Debug, Default)]
struct FrameState {
    page: u64,
    accessed: bool,
}

/// Where a page is that was in memory before.
#[derive(Clone, Copy, Debug)]
enum Place {
    Memory(FrameNumber),
    Swap(Shadow),
}

impl Replay {
    /// An empty memory of `frames` frames, at least one.
    ///
    /// # Panics
    /// If they are none, or more than frame numbers.
    pub fn new(policy: Instance, frames: usize) -> Self {
        assert!(frames > 0, "a page needs a frame");
        let end = u32::try_from(frames).expect("as many frames as there are numbers");
        Self {
            policy,
            metadata: std::iter::repeat_with(Frame::reserved).take(frames).collect(),
            frames: vec![FrameState::default(); frames],
            free: (0..end).rev().map(FrameNumber).collect(),
            pages: HashMap::new(),
            looks: 0,
        }
    }

    /// Accesses a page; whether that was a fault.
    pub fn access(&mut self, page: u64) -> bool {
        let shadow = match self.pages.get(&page) {
            Some(&Place::Memory(frame)) => {
                self.frames[frame.index()].accessed = true;
                return false;
            }
            Some(&Place::Swap(shadow)) => shadow,
            None => Shadow::NONE,
        };
        let frame = loop {
            match self.free.pop() {
                Some(frame) => break frame,
                None => self.look(),
            }
        };
        self.pages.insert(page, Place::Memory(frame));
        self.frames[frame.index()] = FrameState { page, accessed: true };
        let metadata = Pages(&self.metadata);
        self.policy.add(metadata, frame, shadow);
        while let Some(settled) = self.policy.settle(metadata) {
            self.frames[settled.index()].accessed = false;
        }
        true
    }

    /// How many pages were looked at.
    pub const fn looks(&self) -> u64 {
        self.looks
    }

    /// Looks at one page.
    fn look(&mut self) {
        let pages = Pages(&self.metadata);
        let frame = self.policy.next(pages).expect("all frames are in the policy's lists");
        self.looks += 1;
        let FrameState { page, accessed } = self.frames[frame.index()];
        self.frames[frame.index()].accessed = false;
        if self.policy.looked_at(pages, frame, accessed) == Verdict::Evict {
            let shadow = self.policy.evicted(pages, frame);
            self.pages.insert(page, Place::Swap(shadow));
            self.free.push(frame);
        }
        if accessed && self.policy.looks_around() {
            self.look_around(page);
        }
    }

    fn look_around(&mut self, page: u64) {
        let first = page / AROUND * AROUND;
        for beside in (first..=first + (AROUND - 1)).filter(|beside| *beside != page) {
            if let Some(Place::Memory(frame)) = self.pages.get(&beside)
                && std::mem::take(&mut self.frames[frame.index()].accessed)
            {
                self.policy.accessed_beside(Pages(&self.metadata), *frame);
            }
        }
    }
}
