//! What a frame is used for just now, for programs of the superuser's that ask about frames by number (Linux: `fs/proc/page.c`).
//!
//! Nothing is held still: each answer is about one moment, and those for two frames may be about two.

use quire_machine::frame::{FrameNumber, Kind};
use quire_machine::physical;
use quire_swap::{Folio as _, FolioFlag};

use crate::folio::{self, Folio};
use crate::lru;

/// What a frame is used for.
#[derive(Clone, Copy, Debug)]
pub struct FrameUse {
    /// The kind of use.
    pub kind: Kind,
    /// The number of the memory cgroup that is charged for it.
    pub cgroup: u8,
    /// Of a frame that holds a page.
    pub page: Option<PageUse>,
}

/// How a page is doing.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own, as Linux shows them")]
pub struct PageUse {
    /// How many PTEs map it; a task that has it for a moment counts as well.
    pub ptes: u32,
    /// A task holds its lock.
    pub locked: bool,
    /// The contents are the page's.
    pub up_to_date: bool,
    /// They are newer than in the slot.
    pub dirty: bool,
    /// They are on their way to the slot.
    pub writeback: bool,
    /// It is in the swap cache.
    pub in_swap_cache: bool,
    /// Where reclaim has it.
    pub list: lru::ListState,
}

/// How many frames there are, holes included: their numbers are below this.
pub fn frames() -> u64 {
    physical::frames().len() as u64
}

/// What the frame is used for; `None` from [`frames`] on.
pub fn frame_use(number: u64) -> Option<FrameUse> {
    let number = FrameNumber(u32::try_from(number).ok()?);
    let frame = physical::frames().get(number.index())?;
    let page = Folio::try_from_frame(number).map(|folio| {
        let is = |flag| folio.state().is(flag);
        PageUse {
            // The caller's reference is this one.
            ptes: folio::ptes(&folio, 1),
            locked: is(FolioFlag::Locked),
            up_to_date: is(FolioFlag::UpToDate),
            dirty: is(FolioFlag::Dirty),
            writeback: is(FolioFlag::Writeback),
            in_swap_cache: is(FolioFlag::InCache),
            list: lru::list_state(&folio),
        }
    });
    let holds_page = frame.kind().is_page();
    let cgroup = frame.cgroup.load(core::sync::atomic::Ordering::Relaxed);
    Some(FrameUse { kind: frame.kind(), cgroup, page: page.filter(|_| holds_page) })
}
