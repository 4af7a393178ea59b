//! How many pages reclaim may look at.

/// How many folios are in which list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lengths {
    /// Can only go to swap.
    pub swappable: usize,
    /// Can be dropped.
    pub droppable: usize,
    /// To stay in memory.
    pub unevictable: usize,
}

impl Lengths {
    /// Without the lists from which nothing may leave.
    #[must_use]
    pub const fn restricted_to(mut self, can_drop: bool, can_swap: bool) -> Self {
        if !can_drop {
            self.droppable = 0;
        }
        if !can_swap {
            self.swappable = 0;
        }
        self
    }

    /// How many folios could leave memory.
    pub const fn evictable(&self) -> usize {
        self.swappable + self.droppable
    }

    pub(super) const fn plus(self, other: Self) -> Self {
        Self {
            swappable: self.swappable + other.swappable,
            droppable: self.droppable + other.droppable,
            unevictable: self.unevictable + other.unevictable,
        }
    }
}
