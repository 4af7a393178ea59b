//! LIRS (Jiang and Zhang, 2002): what counts is the time between a page's last two uses. Most frames belong to *hot* pages, whose
//! time is short; a twentieth to *cold* ones, which go first, in the order of a queue. All pages that were used since the hot page
//! whose last use is longest ago are in a history, also some that have left. A cold page that is used while it is in the
//! history was away for less time than that hot page is, so they change places: a scan never gets there, and of a loop that does not
//! fit one part stays.

use alloc::collections::{BTreeMap, VecDeque};

use crate::{Page, Policy};

/// What a page is, of which something is remembered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Hot,
    Cold,
    Gone,
}

/// Pages in the order of a time that each has.
#[derive(Default)]
struct Order {
    pages: BTreeMap<u64, Page>,
    times: BTreeMap<Page, u64>,
    now: u64,
}

impl Order {
    /// The page comes last from now on.
    fn touch(&mut self, page: Page) {
        self.remove(page);
        self.now += 1;
        self.times.insert(page, self.now);
        self.pages.insert(self.now, page);
    }

    fn remove(&mut self, page: Page) {
        if let Some(time) = self.times.remove(&page) {
            self.pages.remove(&time);
        }
    }

    fn has(&self, page: Page) -> bool {
        self.times.contains_key(&page)
    }

    fn first(&self) -> Option<Page> {
        self.pages.first_key_value().map(|(_, page)| *page)
    }
}

/// The pages by their states, and the two orders.
pub struct Own {
    states: BTreeMap<Page, State>,
    hot: usize,
    hot_max: usize,
    /// By last use. Its first page is hot.
    history: Order,
    /// The cold ones, of which the first goes.
    queue: Order,
    /// Those that have left, in that order.
    gone: VecDeque<Page>,
    gone_max: usize,
}

impl Own {
    /// A policy for so many frames, all of which are free.
    pub fn new(frames: usize) -> Self {
        let (history, queue) = (Order::default(), Order::default());
        let hot_max = frames - (frames / 20).max(1);
        Self { states: BTreeMap::new(), hot: 0, hot_max, history, queue, gone: VecDeque::new(), gone_max: 3 * frames }
    }

    fn make_hot(&mut self, page: Page) {
        self.states.insert(page, State::Hot);
        self.queue.remove(page);
        self.history.touch(page);
        self.hot += 1;
        while self.hot > self.hot_max
            && let Some(last) = self.history.first()
        {
            self.states.insert(last, State::Cold);
            self.history.remove(last);
            self.queue.touch(last);
            self.hot -= 1;
            self.prune();
        }
    }

    /// Takes out of the history what was used before all hot pages.
    fn prune(&mut self) {
        while let Some(page) = self.history.first()
            && self.states.get(&page) != Some(&State::Hot)
        {
            self.history.remove(page);
            if self.states.get(&page) == Some(&State::Gone) {
                self.states.remove(&page);
            }
        }
    }

    fn forget_oldest(&mut self) {
        while self.gone.len() > self.gone_max
            && let Some(page) = self.gone.pop_front()
        {
            if self.states.get(&page) == Some(&State::Gone) {
                self.states.remove(&page);
                self.history.remove(page);
            }
        }
    }
}

impl Policy for Own {
    fn hit(&mut self, page: Page) {
        if self.states.get(&page) == Some(&State::Hot) {
            self.history.touch(page);
            self.prune();
        } else if self.history.has(page) {
            self.make_hot(page);
        } else {
            self.history.touch(page);
            self.queue.touch(page);
        }
    }

    fn evict(&mut self, _coming: Page) -> Page {
        let page = self.queue.first().expect("there is a cold page, since fewer are hot than there are frames");
        self.queue.remove(page);
        if self.history.has(page) {
            self.states.insert(page, State::Gone);
            self.gone.push_back(page);
            self.forget_oldest();
        } else {
            self.states.remove(&page);
        }
        page
    }

    fn added(&mut self, page: Page) {
        if self.hot < self.hot_max || self.history.has(page) {
            self.make_hot(page);
        } else {
            self.states.insert(page, State::Cold);
            self.history.touch(page);
            self.queue.touch(page);
        }
    }
}
