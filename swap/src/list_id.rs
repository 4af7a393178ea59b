//! Which list of its area a cluster is on, and its neighbours there.

use core::sync::atomic::AtomicU32;

use crate::geometry::CLASSES;

/// Which list a cluster is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListId(pub(crate) u8);

impl ListId {
    /// Nothing in it is used.
    pub(crate) const FREE: Self = Self(0);
    /// Empty again, and the device was not told yet.
    pub(crate) const DISCARD: Self = Self(1);
    /// On no list: every slot is used.
    pub(crate) const FULL: Self = Self(u8::MAX - 1);
    /// On no list: one task has it for itself.
    pub(crate) const NONE: Self = Self(u8::MAX);

    const FIRST_PARTLY_USED: u8 = 2;
    /// How many lists there are.
    pub(crate) const COUNT: usize = Self::FIRST_PARTLY_USED as usize + 2 * CLASSES;

    /// Partly used by folios of `class`.
    pub(crate) const fn partly_used(class: u8) -> Self {
        Self(Self::FIRST_PARTLY_USED + class)
    }

    /// Whether it is one of the partly used ones, fragmented or not.
    #[inline]
    pub(crate) const fn is_partly_used(self) -> bool {
        self.0.wrapping_sub(Self::FIRST_PARTLY_USED) < 2 * CLASSES as u8
    }

    /// Partly used by folios of `class`, and the last search found no run for one more; for single slots, nearly full.
    pub(crate) const fn fragmented(class: u8) -> Self {
        Self(Self::FIRST_PARTLY_USED + CLASSES as u8 + class)
    }
}

/// A cluster's two neighbours in a ring.
pub(crate) struct Links {
    pub(crate) previous: AtomicU32,
    pub(crate) next: AtomicU32,
}

impl Links {
    pub(crate) const fn new() -> Self {
        Self { previous: AtomicU32::new(0), next: AtomicU32::new(0) }
    }
}
