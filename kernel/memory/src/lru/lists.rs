//! The lists as lists of frames.

use core::sync::atomic::Ordering;

use quire_machine::frame::{Frame, FrameNumber, NO_LIST, PageList};
use quire_machine::physical;
use quire_machine::sync::{Rank, SpinLock};

/// Which list a folio is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum List {
    /// Not looked at for the time being.
    Active = 1,
    /// Next to be reclaimed, from its tail on.
    Inactive,
    /// Not looked at for the time being; can be dropped.
    ActiveFile,
    /// Next to be dropped, from its tail on.
    InactiveFile,
    /// To stay in memory.
    Unevictable,
}

impl List {
    pub(crate) const ALL: [Self; 5] =
        [Self::Active, Self::Inactive, Self::ActiveFile, Self::InactiveFile, Self::Unevictable];

    fn of(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).wrapping_sub(1)).copied()
    }

    /// The active list of the same pair.
    #[must_use]
    pub const fn active(self) -> Self {
        match self {
            Self::InactiveFile | Self::ActiveFile => Self::ActiveFile,
            _ => Self::Active,
        }
    }

    /// The inactive list of the same pair.
    #[must_use]
    pub const fn inactive(self) -> Self {
        match self {
            Self::InactiveFile | Self::ActiveFile => Self::InactiveFile,
            _ => Self::Inactive,
        }
    }
}

pub(crate) struct Lists(pub(crate) [PageList; List::ALL.len()]);

impl Lists {
    pub(crate) fn list(&mut self, list: List) -> &mut PageList {
        &mut self.0[list as usize - 1]
    }

    pub(crate) fn add(&mut self, frame: FrameNumber, list: List) {
        let frames = physical::frames();
        debug_assert_eq!(frames[frame.index()].list.load(Ordering::Relaxed), NO_LIST);
        frames[frame.index()].list.store(list as u8, Ordering::Relaxed);
        self.list(list).push_front(frames, frame);
    }

    /// Takes the frame out of whichever list it is in.
    pub(crate) fn remove(&mut self, frame: FrameNumber) -> Option<List> {
        let frames = physical::frames();
        let list = List::of(frames[frame.index()].list.load(Ordering::Relaxed))?;
        self.remove_from(list, frames, frame);
        Some(list)
    }

    #[inline]
    pub(crate) fn remove_from(&mut self, list: List, frames: &[Frame], frame: FrameNumber) {
        frames[frame.index()].list.store(NO_LIST, Ordering::Relaxed);
        self.list(list).remove(frames, frame);
    }
}

pub(crate) static LISTS: SpinLock<Lists> =
    SpinLock::new(Rank::Lru, Lists([const { PageList::new() }; List::ALL.len()]));

/// Whether the frame with this metadata is in a list.
#[inline]
pub(crate) fn is_listed(metadata: &Frame) -> bool {
    metadata.list.load(Ordering::Relaxed) != NO_LIST
}

/// Takes a frame out of whichever list it is in.
pub(crate) fn remove(frame: FrameNumber) {
    LISTS.lock().remove(frame);
}
