//! What the picture shows of one frame and of one slot.

use crate::observatory::snapshot::{Area, Frame, Lru, Mapping, SlotContent, SlotState, Snapshot, Swapped, flag};

/// The names of the bits of a frame, from the lowest: those of its folio, then those of the page-table entry.
pub(super) fn bit_names() -> Vec<&'static str> {
    flag::NAMES.into_iter().map(|(_, name)| name).chain(["accessed", "written to", "may be written"]).collect()
}

const ACCESSED: u16 = 1 << flag::NAMES.len();
const WRITTEN: u16 = ACCESSED << 1;
const WRITABLE: u16 = ACCESSED << 2;

/// Whose page it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageOwner {
    /// The task, by its thread's number; 0 for none.
    pub thread: u32,
    /// The number of the page there: its address divided by 4,096.
    pub page: u64,
    /// How many page tables have it, up to 255.
    pub sharers: u8,
}

/// One frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCell {
    /// Its `FrameKind`, as a number.
    pub kind: u8,
    /// The first that has mapped it.
    pub owner: PageOwner,
    /// Its LRU list and what reclaim notes: bits 0 to 2, 3 isolated, 4 fresh, 5 and 6 the policy's mark, 7 droppable.
    pub list: u8,
    /// [`bit_names`].
    pub bits: u16,
    /// The memory cgroup that is charged.
    pub cgroup: u8,
    /// Its area and slot, in the swap cache.
    pub slot: Option<(u8, u32)>,
}

impl FrameCell {
    /// Whether another state of the frame is worth telling. Accessed bits change with each touch: alone they are not.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        Self { bits: self.bits & !ACCESSED, ..*self } == Self { bits: other.bits & !ACCESSED, ..*other }
    }
}

/// One slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotCell {
    /// 0 free, 1 used, 2 in the swap cache, 3 a backend's, 4 bad.
    pub content: u8,
    /// The page is all zero.
    pub zero: bool,
    /// The first that has it in its page tables.
    pub owner: PageOwner,
    /// How many PTEs hold it, up to 15.
    pub count: u8,
    /// The frame, in the swap cache.
    pub frame: Option<u32>,
    /// The memory cgroup that pays.
    pub cgroup: u8,
}

/// Every frame of a snapshot.
pub(super) fn frames(snapshot: &Snapshot) -> Vec<FrameCell> {
    let mut mappings = Sorted::new(&snapshot.mappings, |mapping: &Mapping| u64::from(mapping.frame));
    let cell = |(number, frame): (u64, &Frame)| frame_cell(frame, mappings.at(number));
    (0..).zip(&snapshot.frames).map(cell).collect()
}

fn frame_cell(frame: &Frame, mappings: &[Mapping]) -> FrameCell {
    let folio = (0..).zip(flag::NAMES).filter(|(_, (bit, _))| frame.flags & bit != 0).map(|(index, _)| 1 << index);
    let entries = mappings
        .iter()
        .flat_map(|mapping| [(mapping.accessed, ACCESSED), (mapping.dirty, WRITTEN), (mapping.writable, WRITABLE)]);
    let entries = entries.filter(|(is_set, _)| *is_set).map(|(_, bit)| bit);
    FrameCell {
        kind: frame.kind as u8,
        owner: owner(mappings, |mapping| (mapping.thread, mapping.address)),
        list: frame.lru.map_or(0, list),
        bits: folio.chain(entries).fold(0, |bits, bit| bits | bit),
        cgroup: frame.cgroup,
        slot: frame.slot.map(|slot| (slot.area, slot.slot)),
    }
}

fn list(lru: Lru) -> u8 {
    lru.list & 7
        | u8::from(lru.isolated) << 3
        | u8::from(lru.fresh) << 4
        | (lru.mark & 3) << 5
        | u8::from(lru.droppable) << 7
}

/// Every slot of an area.
pub(super) fn slots(area: &Area, snapshot: &Snapshot) -> Vec<SlotCell> {
    let of_area = snapshot.swapped.partition_point(|page| page.area < area.index)
        ..snapshot.swapped.partition_point(|page| page.area <= area.index);
    let mut swapped = Sorted::new(&snapshot.swapped[of_area], |page: &Swapped| u64::from(page.slot));
    (0..).zip(&area.slots).map(|(number, slot)| slot_cell(slot, swapped.at(number))).collect()
}

fn slot_cell(slot: &SlotState, swapped: &[Swapped]) -> SlotCell {
    let (content, frame) = match slot.content {
        SlotContent::Free => (0, None),
        SlotContent::Used(_) => (1, None),
        SlotContent::Cached(frame) => (2, Some(frame)),
        SlotContent::Owned(_) => (3, None),
        SlotContent::Bad => (4, None),
    };
    let owner = owner(swapped, |page| (page.thread, page.address));
    SlotCell { content, zero: slot.zero, owner, count: slot.count, frame, cgroup: slot.cgroup }
}

fn owner<T>(entries: &[T], of: impl Fn(&T) -> (u32, u64)) -> PageOwner {
    let Some((thread, address)) = entries.first().map(of) else { return PageOwner::default() };
    PageOwner { thread, page: address / 4096, sharers: u8::try_from(entries.len()).unwrap_or(u8::MAX) }
}

/// Entries sorted by a number, asked for in the order of that number.
struct Sorted<'a, T, F> {
    rest: &'a [T],
    number: F,
}

impl<'a, T, F: Fn(&T) -> u64> Sorted<'a, T, F> {
    fn new(entries: &'a [T], number: F) -> Self {
        Self { rest: entries, number }
    }

    /// All entries with `number`.
    fn at(&mut self, number: u64) -> &'a [T] {
        let start = self.rest.iter().take_while(|entry| (self.number)(entry) < number).count();
        let length = self.rest[start..].iter().take_while(|entry| (self.number)(entry) == number).count();
        let (found, rest) = self.rest[start..].split_at(length);
        self.rest = rest;
        found
    }
}
