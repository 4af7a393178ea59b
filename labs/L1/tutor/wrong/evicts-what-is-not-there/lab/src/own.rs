//! A page is on trial until it has been used a second time. Pages on trial have a tenth of the frames; one that goes without
//! a second use is remembered by its number alone, and if it comes back while it is remembered, it was used twice. Pages
//! that were used twice are a FIFO with second chances. So a scan, whose pages do not come back, only passes through the
//! trial.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{Page, Policy};

/// The most second chances that a page can have saved up.
const CHANCES: u8 = 3;

/// The pages in their two queues, and the numbers of those that left the trial.
pub struct Own {
    frames: usize,
    trial: VecDeque<Page>,
    kept: VecDeque<Page>,
    uses: BTreeMap<Page, u8>,
    gone: VecDeque<Page>,
    is_gone: BTreeSet<Page>,
}

impl Own {
    /// A policy for so many frames, all of which are free.
    pub fn new(frames: usize) -> Self {
        let (trial, kept, gone) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        Self { frames, trial, kept, uses: BTreeMap::new(), gone, is_gone: BTreeSet::new() }
    }

    fn remember(&mut self, page: Page) {
        self.gone.push_back(page);
        self.is_gone.insert(page);
        if self.gone.len() > self.frames
            && let Some(oldest) = self.gone.pop_front()
        {
            self.is_gone.remove(&oldest);
        }
    }
}

impl Policy for Own {
    fn hit(&mut self, page: Page) {
        let uses = self.uses.entry(page).or_default();
        *uses = (*uses + 1).min(CHANCES);
    }

    fn evict(&mut self, _coming: Page) -> Page {
        loop {
            if self.trial.len() > self.frames / 10 || self.kept.is_empty() {
                let page = self.trial.pop_front().expect("the frames are full");
                if self.uses.get(&page).is_some_and(|uses| *uses > 0) {
                    self.uses.insert(page, 0);
                    self.kept.push_back(page);
                    continue;
                }
                self.uses.remove(&page);
                self.remember(page);
                return _coming;
            }
            let page = self.kept.pop_front().expect("it is not empty");
            match self.uses.get_mut(&page) {
                Some(uses) if *uses > 0 => {
                    *uses -= 1;
                    self.kept.push_back(page);
                }
                _ => {
                    self.uses.remove(&page);
                    return page;
                }
            }
        }
    }

    fn added(&mut self, page: Page) {
        if self.is_gone.remove(&page) {
            self.gone.retain(|other| *other != page);
            self.kept.push_back(page);
        } else {
            self.trial.push_back(page);
        }
        self.uses.insert(page, 0);
    }
}
