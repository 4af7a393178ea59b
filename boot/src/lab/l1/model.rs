//! What FIFO and CLOCK do at each access, and what those do that have a fault which is often seen.

/// A policy whose every step is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Fifo,
    Clock,
    Lru,
    /// CLOCK whose pages come with a clear bit.
    FreshIsClear,
    /// CLOCK whose hand stays at the frame that it has just given away.
    HandStays,
    /// CLOCK whose hand begins at the first frame each time.
    HandRestarts,
    /// CLOCK whose hand begins at the last frame.
    BeginsLate,
}

/// Faults of CLOCK that a student's own test may have to find.
pub(super) const BUGS: [Kind; 3] = [Kind::FreshIsClear, Kind::HandStays, Kind::HandRestarts];

impl Kind {
    /// What is to be looked at in one that does this.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::Fifo => "this is what FIFO does: a page whose bit is set gets a second chance",
            Self::Clock => "this is what CLOCK does: FIFO has no second chance",
            Self::Lru => "this is what LRU does: a hit must not change the order in which pages came",
            Self::FreshIsClear => "a page comes with its bit set: it was just accessed",
            Self::HandStays => "the hand moves on by one when a page has come into its frame",
            Self::HandRestarts => "the hand goes on where it was: it does not begin at the first frame again",
            Self::BeginsLate => {
                "before the first page goes the hand is at the first frame, that of the page which came first"
            }
        }
    }

    /// What the student is told that the bug is.
    pub(super) fn bug(self) -> &'static str {
        match self {
            Self::FreshIsClear => "a page comes with its bit clear, not set as in this lab's CLOCK",
            Self::HandStays => "the hand stays at the frame into which a page has just come",
            _ => "the hand begins at the first frame each time that a page has to go",
        }
    }
}

/// What an access did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    Hit,
    /// A miss for which there was a free frame.
    Filled,
    /// A miss for which this page went.
    Replaced(u32),
}

impl Done {
    pub(super) fn is_miss(self) -> bool {
        self != Self::Hit
    }
}

/// A policy of a kind with its frames.
pub(super) struct Model {
    kind: Kind,
    capacity: usize,
    frames: Vec<(u32, bool)>,
    hand: usize,
}

impl Model {
    pub(super) fn new(kind: Kind, capacity: usize) -> Self {
        let hand = if kind == Kind::BeginsLate { capacity.saturating_sub(1) } else { 0 };
        Self { kind, capacity, frames: Vec::new(), hand }
    }

    /// The pages in their frames: `*` says that a page's bit is set, `>` stands before the frame under the hand.
    pub(super) fn picture(&self) -> String {
        let frame = |(at, (page, bit)): (usize, &(u32, bool))| {
            let (hand, bit) =
                (if at == self.hand { '>' } else { ' ' }, if *bit && self.kind != Kind::Fifo { '*' } else { ' ' });
            format!("{hand}{page}{bit}")
        };
        self.frames.iter().enumerate().map(frame).collect::<Vec<_>>().join(" ")
    }

    /// Makes an access.
    pub(super) fn access(&mut self, page: u32) -> Done {
        if let Some(at) = self.frames.iter().position(|(other, _)| *other == page) {
            self.frames[at].1 = true;
            if self.kind == Kind::Lru {
                let frame = self.frames.remove(at);
                self.frames.push(frame);
            }
            return Done::Hit;
        }
        let bit = self.kind != Kind::FreshIsClear;
        if self.frames.len() < self.capacity {
            self.frames.push((page, bit));
            return Done::Filled;
        }
        if self.kind == Kind::Lru {
            self.frames.push((page, bit));
            return Done::Replaced(self.frames.remove(0).0);
        }
        if self.kind == Kind::HandRestarts {
            self.hand = 0;
        }
        while self.kind != Kind::Fifo && std::mem::take(&mut self.frames[self.hand].1) {
            self.hand = (self.hand + 1) % self.capacity;
        }
        let (victim, _) = std::mem::replace(&mut self.frames[self.hand], (page, bit));
        if self.kind != Kind::HandStays {
            self.hand = (self.hand + 1) % self.capacity;
        }
        Done::Replaced(victim)
    }
}

/// How many accesses of the trace are misses.
pub(super) fn misses(kind: Kind, frames: usize, trace: &[u32]) -> usize {
    let mut model = Model::new(kind, frames);
    trace.iter().filter(|page| model.access(**page).is_miss()).count()
}

/// The pages that OPT lets go at each access: that which is used again last.
pub(super) fn optimal(frames: usize, trace: &[u32]) -> Vec<Done> {
    let mut resident: Vec<u32> = Vec::new();
    let access = |(at, &page): (usize, &u32)| {
        if resident.contains(&page) {
            return Done::Hit;
        }
        let next_use = |page: &u32| trace[at..].iter().position(|other| other == page).unwrap_or(usize::MAX);
        let farthest = (0..resident.len()).max_by_key(|&place| next_use(&resident[place]));
        let victim = farthest.filter(|_| resident.len() == frames).map(|place| resident.remove(place));
        resident.push(page);
        victim.map_or(Done::Filled, Done::Replaced)
    };
    trace.iter().enumerate().map(access).collect()
}

#[cfg(test)]
mod tests {
    use super::{BUGS, Done, Kind, Model, misses, optimal};

    #[test]
    fn the_textbook_s_numbers_come_out() {
        // Belady, Nelson and Shedler, 1969.
        let trace = [1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5];
        assert_eq!((misses(Kind::Fifo, 3, &trace), misses(Kind::Fifo, 4, &trace)), (9, 10));
        assert_eq!(misses(Kind::Lru, 3, &trace), 10);
        assert_eq!(optimal(3, &trace).iter().filter(|done| done.is_miss()).count(), 7);
    }

    #[test]
    fn clock_gives_a_second_chance() {
        let mut clock = Model::new(Kind::Clock, 3);
        for page in [1, 2, 3] {
            assert_eq!(clock.access(page), Done::Filled);
        }
        assert_eq!(clock.access(4), Done::Replaced(1), "all were set, so all are clear now");
        assert_eq!(clock.access(2), Done::Hit);
        assert_eq!(clock.access(5), Done::Replaced(3), "2 was used");
    }

    #[test]
    fn each_bug_shows() {
        let trace: Vec<u32> = (0..200_u32).map(|at| (at * at / 3 + at % 7) % 9).collect();
        for bug in BUGS {
            let (mut right, mut wrong) = (Model::new(Kind::Clock, 4), Model::new(bug, 4));
            assert!(trace.iter().any(|page| right.access(*page) != wrong.access(*page)), "{bug:?}");
        }
    }
}
