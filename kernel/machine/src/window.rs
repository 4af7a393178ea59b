//! The places for memory in one piece that is made of single frames, and who has each.

use core::sync::atomic::{AtomicBool, Ordering};

/// The two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// For the initramfs as it came.
    Fetched,
    /// For what comes out of its compressed parts.
    Inflated,
}

static IS_TAKEN: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];

/// A place that its holder has alone, until this is dropped.
#[derive(Debug)]
pub(crate) struct Taken(Window);

impl Taken {
    /// The place, unless another has it.
    pub(crate) fn new(window: Window) -> Option<Self> {
        let was_taken = IS_TAKEN[window as usize].swap(true, Ordering::Acquire);
        (!was_taken).then_some(Self(window))
    }

    /// Which it is.
    #[cfg(target_os = "none")]
    pub(crate) const fn window(&self) -> Window {
        self.0
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        IS_TAKEN[self.0 as usize].store(false, Ordering::Release);
    }
}
