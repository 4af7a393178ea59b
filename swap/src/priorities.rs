//! The order in which areas are tried: higher priority first, equal ones in turn.

use crate::geometry::MAX_AREAS;

/// Enabled areas that slots are allocated from.
#[derive(Clone)]
pub(crate) struct Priorities {
    /// Priority and index, by falling priority; inside one priority, the one tried last is last.
    areas: [(i16, u8); MAX_AREAS],
    length: usize,
}

impl Priorities {
    pub(crate) const fn new() -> Self {
        Self { areas: [(0, 0); MAX_AREAS], length: 0 }
    }

    /// The areas in the order in which they are to be tried.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u8> {
        self.areas[..self.length].iter().map(|&(_, index)| index)
    }

    /// The area that is to be tried first now; the others of its priority are next.
    pub(crate) fn turn(&mut self) -> Option<u8> {
        let index = self.iter().next()?;
        self.requeue(index);
        Some(index)
    }

    /// Whether the area is tried first, and no other has its priority.
    pub(crate) fn is_alone_first(&self, index: u8) -> bool {
        match self.areas[..self.length] {
            [(first, area), (second, _), ..] => area == index && first > second,
            [(_, area)] => area == index,
            [] => false,
        }
    }

    /// Adds an area behind all of its priority.
    pub(crate) fn insert(&mut self, priority: i16, index: u8) {
        debug_assert!(self.length < MAX_AREAS && !self.iter().any(|other| other == index));
        let position = self.areas[..self.length].partition_point(|&(other, _)| other >= priority);
        self.areas.copy_within(position..self.length, position + 1);
        self.areas[position] = (priority, index);
        self.length += 1;
    }

    /// Takes an area out.
    pub(crate) fn remove(&mut self, index: u8) {
        let position = self.iter().position(|other| other == index);
        if let Some(position) = position {
            self.areas.copy_within(position + 1..self.length, position);
            self.length -= 1;
        }
    }

    /// The area was tried: the others of its priority are next.
    #[inline]
    pub(crate) fn requeue(&mut self, index: u8) {
        let alone = !matches!(self.areas[..self.length], [(first, _), (second, _), ..] if first == second);
        if alone && self.iter().next() == Some(index) {
            return;
        }
        self.requeue_among_equals(index);
    }

    fn requeue_among_equals(&mut self, index: u8) {
        let Some(position) = self.iter().position(|other| other == index) else { return };
        let priority = self.areas[position].0;
        let behind = &mut self.areas[position..self.length];
        let others = behind.iter().position(|&(other, _)| other != priority).unwrap_or(behind.len());
        behind[..others].rotate_left(1);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::Priorities;

    #[test]
    fn equal_priorities_take_turns_and_higher_ones_stay_first() {
        let mut priorities = Priorities::new();
        for (priority, index) in [(-1, 0), (5, 1), (-1, 2), (5, 3), (7, 4)] {
            priorities.insert(priority, index);
        }
        assert_eq!(priorities.iter().collect::<Vec<_>>(), [4, 1, 3, 0, 2]);
        priorities.requeue(1);
        priorities.requeue(0);
        priorities.requeue(4);
        assert_eq!(priorities.iter().collect::<Vec<_>>(), [4, 3, 1, 2, 0]);
        priorities.remove(3);
        priorities.requeue(3);
        assert_eq!(priorities.iter().collect::<Vec<_>>(), [4, 1, 2, 0]);
        assert!(priorities.is_alone_first(4) && !priorities.is_alone_first(1));
        priorities.remove(4);
        priorities.remove(1);
        assert!(!priorities.is_alone_first(2), "there is another of its priority");
        priorities.remove(0);
        assert!(priorities.is_alone_first(2));
    }
}
