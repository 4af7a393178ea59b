//! Swap areas and what is in their slots.

use quire_protocol::observatory::{Area as AreaRecord, Page};
use quire_swap::{CLUSTER_SLOTS, SlotState as Content, TableEntry};

use super::{
    error::ObservatoryError,
    memory::Virtual,
    records,
    snapshot::{Area, Slot, SlotContent, SlotState, Swapped},
};

/// The most areas that are looked for, and the most slots that are shown one by one: 32 GiB.
const MOST_AREAS: u64 = 64;
const MOST_SLOTS: usize = 1 << 23;

/// How often a cluster's table is looked for that appears or goes meanwhile.
const ATTEMPTS: usize = 16;

/// The size of a table's entries.
const TABLE_BYTES: u64 = CLUSTER_SLOTS as u64 * 8;

/// The enabled areas. Those whose clusters exist only while they are used show what the page tables say.
pub(super) fn read(memory: &Virtual<'_>, page: &Page, swapped: &[Swapped]) -> Result<Vec<Area>, ObservatoryError> {
    let records = records::sequenced(
        memory,
        "the swap areas",
        page.areas,
        page.area_count.min(MOST_AREAS),
        AreaRecord::BYTES,
        |bytes| AreaRecord::from_bytes(bytes).map(|record| (record.sequence, record)),
    )?;
    let mut left = MOST_SLOTS;
    let enabled = records.into_iter().enumerate().filter(|(_, record)| record.enabled != 0);
    enabled
        .map(|(index, record)| {
            let index = index as u8;
            let slots = if record.clusters == 0 { seen(index, swapped, left) } else { slots(memory, &record, left)? };
            left -= slots.len();
            Ok(Area {
                index,
                name: memory.text("an area's name", record.name, record.name_length)?,
                priority: record.priority.cast_signed() as i16,
                has_disk: record.clusters != 0,
                length: record.slots,
                usable: record.usable,
                used: memory.word("the number of slots in use", record.used)?,
                slots,
            })
        })
        .collect()
}

/// The slots of an area with all its clusters, up to a number.
fn slots(memory: &Virtual<'_>, area: &AreaRecord, most: usize) -> Result<Vec<SlotState>, ObservatoryError> {
    const WHAT: &str = "an area's clusters";
    let damaged = |why| ObservatoryError::Damaged { what: WHAT, address: area.clusters, why };
    let bytes = area.cluster_count.checked_mul(area.cluster_bytes).ok_or(damaged("it is larger than memory"))?;
    let table_end = area.table.checked_add(8).filter(|end| *end <= area.cluster_bytes);
    table_end.ok_or(damaged("its table is not in it"))?;
    let clusters = memory.bytes(WHAT, area.clusters, bytes)?;
    let count = usize::try_from(area.slots).unwrap_or(usize::MAX).min(most);
    let mut slots = vec![SlotState::default(); count.min(area.cluster_count as usize * CLUSTER_SLOTS)];
    for (index, states) in slots.chunks_mut(CLUSTER_SLOTS).enumerate() {
        let place = area.table + index as u64 * area.cluster_bytes;
        let word = clusters.get(place as usize..).and_then(|bytes| bytes.first_chunk());
        let table = u64::from_le_bytes(*word.ok_or(damaged("there are too few"))?);
        if let Some(entries) = entries(memory, area.clusters.wrapping_add(place), table)? {
            let (words, _) = entries.as_chunks();
            for (state, word) in states.iter_mut().zip(words) {
                *state = describe(TableEntry(u64::from_le_bytes(*word)));
            }
        }
    }
    Ok(slots)
}

/// A table's entries, if the cluster whose word at `place` leads to it has one. It is the cluster's before and after it is read.
fn entries(memory: &Virtual<'_>, place: u64, table: u64) -> Result<Option<Vec<u8>>, ObservatoryError> {
    let mut table = table;
    for _ in 0..ATTEMPTS {
        let entries = if table == 0 { None } else { Some(memory.bytes("a swap table", table, TABLE_BYTES)?) };
        let now = memory.word("a cluster", place)?;
        if now == table {
            return Ok(entries);
        }
        table = now;
    }
    Err(ObservatoryError::Restless("a swap table"))
}

fn describe(entry: TableEntry) -> SlotState {
    let content = match entry.state() {
        Content::Free => SlotContent::Free,
        Content::Shadow(shadow) => SlotContent::Used(shadow),
        // A number that no frame has is none of the kernel's.
        Content::Folio(frame) => u32::try_from(frame).map_or(SlotContent::Used(0), SlotContent::Cached),
        // No page is in slot 0: nothing was noted yet.
        Content::Owned(_) => {
            let owner = entry.owner().filter(|(owner, _)| owner.slot() != 0);
            SlotContent::Owned(owner.map(|(owner, _)| Slot { area: owner.area(), slot: owner.slot() }))
        }
        Content::Bad => SlotContent::Bad,
    };
    SlotState { content, zero: entry.is_zero(), count: entry.count(), cgroup: entry.payer() }
}

/// The slots that are in page tables.
fn seen(area: u8, swapped: &[Swapped], most: usize) -> Vec<SlotState> {
    let of_area = || swapped.iter().filter(|page| page.area == area && (page.slot as usize) < most);
    let length = of_area().map(|page| page.slot as usize + 1).max().unwrap_or(0);
    let mut slots = vec![SlotState::default(); length];
    for page in of_area() {
        let state = &mut slots[page.slot as usize];
        state.content = SlotContent::Used(0);
        state.count = (state.count + 1).min(15);
    }
    slots
}
