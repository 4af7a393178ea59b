//! The frames: their metadata, and what each is for a person.

use quire_protocol::observatory::{FrameRecord, Page, folio_flag, kind};

use super::{
    error::ObservatoryError,
    memory::{PAGE, Virtual},
    snapshot::{Frame, FrameKind, Lru, Memory, Owner, Slot},
};

/// How often one frame is read again before it is shown as it was read last but one.
const ATTEMPTS: usize = 16;

/// The most bytes of addresses below the end of memory where there is none.
const HOLE: u64 = 1 << 32;

/// The metadata of every frame, and how many frames changed while it was read.
pub(super) struct FrameTable {
    pub(super) records: Vec<FrameRecord>,
    pub(super) changed: usize,
}

impl FrameTable {
    /// Reads the metadata twice. Each record is one that was found the same two times in a row: not one of which half is older.
    pub(super) fn read(memory: &Virtual<'_>, page: &Page) -> Result<Self, ObservatoryError> {
        const WHAT: &str = "the frames' metadata";
        // Frames of memory, and of the hole below 4 GiB.
        if page.frame_count > (memory.length() + HOLE) / PAGE {
            return Err(ObservatoryError::Damaged { what: WHAT, address: page.frames, why: "there is less memory" });
        }
        let bytes = page.frame_count * FrameRecord::BYTES as u64;
        let mut first = memory.bytes(WHAT, page.frames, bytes)?;
        let second = memory.bytes(WHAT, page.frames, bytes)?;
        let mut changed = 0;
        let (records, _) = first.as_chunks_mut::<{ FrameRecord::BYTES }>();
        for (index, (record, again)) in records.iter_mut().zip(second.as_chunks().0).enumerate() {
            if record != again {
                changed += 1;
                *record = settle(memory, page.frames.wrapping_add((index * FrameRecord::BYTES) as u64), *again)?;
            }
        }
        Ok(Self { records: records.iter().map(FrameRecord::from_bytes).collect(), changed })
    }

    /// The metadata of one frame, if there is such a frame.
    pub(super) fn get(&self, frame: u64) -> Option<&FrameRecord> {
        self.records.get(usize::try_from(frame).ok()?)
    }

    /// What each frame is. The last free ones are the reserve below the `min` watermark. Bit n of `active` stands for list n.
    pub(super) fn describe(&self, memory: &Memory, active: u64) -> Vec<Frame> {
        let mut frames: Vec<Frame> = self.records.iter().map(|record| describe(record, active)).collect();
        let free = frames.iter_mut().rev().filter(|frame| frame.kind == FrameKind::Free);
        free.take(usize::try_from(memory.min).unwrap_or(usize::MAX)).for_each(|frame| frame.kind = FrameKind::Reserve);
        frames
    }
}

/// Reads a record until it is the same two times in a row.
fn settle(
    memory: &Virtual<'_>,
    address: u64,
    mut before: [u8; FrameRecord::BYTES],
) -> Result<[u8; FrameRecord::BYTES], ObservatoryError> {
    for _ in 0..ATTEMPTS {
        let mut now = [0; FrameRecord::BYTES];
        memory.read("a frame's metadata", address, &mut now)?;
        if now == before {
            return Ok(now);
        }
        before = now;
    }
    Err(ObservatoryError::Restless("a frame's metadata"))
}

fn describe(record: &FrameRecord, active: u64) -> Frame {
    let is_page = matches!(record.kind, kind::ANONYMOUS | kind::OBJECT);
    let lru = is_page.then(|| lru(record.list)).flatten();
    Frame {
        kind: kind_of(record, lru, active),
        owner: record.owner().map(|(number, index)| Owner { number, index }),
        lru,
        slot: record.swap_slot().map(|(area, slot)| Slot { area, slot }),
        flags: if is_page { record.flags & !folio_flag::AREA_MASK } else { 0 },
        references: if is_page { record.references } else { 0 },
        cgroup: record.cgroup,
    }
}

/// What reclaim notes of a page, as `quire_memory::policy::Pages` packs it.
const fn lru(bits: u8) -> Option<Lru> {
    let list = bits & 0b111;
    if list == 0 {
        return None;
    }
    Some(Lru {
        list,
        isolated: bits & 1 << 3 != 0,
        fresh: bits & 1 << 4 != 0,
        mark: bits >> 5 & 0b11,
        droppable: bits & 1 << 7 != 0,
    })
}

fn kind_of(record: &FrameRecord, lru: Option<Lru>, active: u64) -> FrameKind {
    match record.kind {
        kind::FREE | kind::FREE_TAIL => FrameKind::Free,
        kind::PAGE_TABLE => FrameKind::PageTable,
        kind::KERNEL_TABLE | kind::STACK | kind::DEVICE | kind::ARCHIVE => FrameKind::Kernel,
        kind::HEAP => FrameKind::Heap,
        kind::POOL => FrameKind::CompressedPool,
        kind::ANONYMOUS | kind::OBJECT if record.flags & folio_flag::WRITEBACK != 0 => FrameKind::Writeback,
        kind::ANONYMOUS | kind::OBJECT if record.flags & folio_flag::IN_CACHE != 0 => FrameKind::SwapCache,
        kind::ANONYMOUS if lru.is_some_and(|lru| active & 1 << lru.list != 0) => FrameKind::ActiveAnonymous,
        kind::ANONYMOUS => FrameKind::InactiveAnonymous,
        kind::OBJECT if lru.is_some_and(|lru| lru.droppable) => FrameKind::File,
        kind::OBJECT => FrameKind::Shared,
        _ => FrameKind::Hole,
    }
}
