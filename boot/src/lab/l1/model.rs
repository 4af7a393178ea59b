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
}

/// Faults of CLOCK that a student's own test may have to find.
pub(super) const BUGS: [Kind; 3] = [Kind::FreshIsClear, Kind::HandStays, Kind::HandRestarts];

impl Kind {
    /// What one that does this should look at.
    pub(super) fn hint(self) -> &'static str {
        match self {
            Self::Fifo => "this is what FIFO does: a page whose bit is set gets a second chance",
            Self::Clock => "this is what CLOCK does: FIFO has no second chance",
            Self::Lru => "this is what LRU does: a hit must not change the order in which pages came",
            Self::FreshIsClear => "a page comes with its bit set: it was just accessed",
            Self::HandStays => "the hand moves on by one when a page has come into its frame",
            Self::HandRestarts => "the hand goes on where it was: it does not begin at the first frame again",
        }
    }

    /// What the student is told that the bug is.
    pub(super) fn bug(self) -> &'static str {
        match self {
            Self::FreshIsClear => "a page comes with its bit clear",
            Self::HandStays => "the hand stays at the frame into which a page has just come",
            _ => "the hand begins at the first frame each time that a page has to go",
        }
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
        Self { kind, capacity, frames: Vec::new(), hand: 0 }
    }

    /// Makes an access. What it did: none for a hit, and for a miss the page that went, if one had to.
    pub(super) fn access(&mut self, page: u32) -> Option<Option<u32>> {
        if let Some(at) = self.frames.iter().position(|(other, _)| *other == page) {
            self.frames[at].1 = true;
            if self.kind == Kind::Lru {
                let frame = self.frames.remove(at);
                self.frames.push(frame);
            }
            return None;
        }
        let bit = self.kind != Kind::FreshIsClear;
        if self.frames.len() < self.capacity {
            self.frames.push((page, bit));
            return Some(None);
        }
        if self.kind == Kind::Lru {
            self.frames.push((page, bit));
            return Some(Some(self.frames.remove(0).0));
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
        Some(Some(victim))
    }
}

/// How many accesses of the trace are misses.
pub(super) fn misses(kind: Kind, frames: usize, trace: &[u32]) -> usize {
    let mut model = Model::new(kind, frames);
    trace.iter().filter(|page| model.access(**page).is_some()).count()
}

/// The pages that OPT lets go at each access: that which is used again last.
pub(super) fn optimal(frames: usize, trace: &[u32]) -> Vec<Option<Option<u32>>> {
    let mut resident: Vec<u32> = Vec::new();
    let access = |(at, &page): (usize, &u32)| {
        if resident.contains(&page) {
            return None;
        }
        let next_use = |page: &u32| trace[at..].iter().position(|other| other == page).unwrap_or(usize::MAX);
        let farthest = (0..resident.len()).max_by_key(|&place| next_use(&resident[place]));
        let victim = farthest.filter(|_| resident.len() == frames).map(|place| resident.remove(place));
        resident.push(page);
        Some(victim)
    };
    trace.iter().enumerate().map(access).collect()
}

#[cfg(test)]
mod tests {
    use super::{BUGS, Kind, Model, misses, optimal};

    #[test]
    fn the_textbook_s_numbers_come_out() {
        // Belady, Nelson and Shedler, 1969.
        let trace = [1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5];
        assert_eq!((misses(Kind::Fifo, 3, &trace), misses(Kind::Fifo, 4, &trace)), (9, 10));
        assert_eq!(misses(Kind::Lru, 3, &trace), 10);
        assert_eq!(optimal(3, &trace).iter().flatten().count(), 7);
    }

    #[test]
    fn clock_gives_a_second_chance() {
        let mut clock = Model::new(Kind::Clock, 3);
        for page in [1, 2, 3] {
            assert_eq!(clock.access(page), Some(None));
        }
        assert_eq!(clock.access(4), Some(Some(1)), "all were set, so all are clear now");
        assert_eq!(clock.access(2), None);
        assert_eq!(clock.access(5), Some(Some(3)), "2 was used");
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
