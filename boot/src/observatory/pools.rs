//! Pools of compressed pages: zram devices and zswap.

use std::collections::{HashMap, HashSet};

use quire_protocol::observatory::{Page, Pool};

use super::{
    error::ObservatoryError,
    memory::{PAGE, Virtual},
    records,
    snapshot::{Area, Counter, Slot, SlotContent, SlotState, Swapped, Task, Zram, Zswap},
};

/// The most pools that are looked for.
const MOST: u64 = 256;

/// How often they are read again that come or go meanwhile.
const ATTEMPTS: usize = 16;

const WHAT: &str = "the compressed pools";

/// The zram devices that have a size, and zswap if it ever took a page.
pub(super) fn read(
    memory: &Virtual<'_>,
    page: &Page,
    counters: &[Counter],
) -> Result<(Vec<Zram>, Option<Zswap>), ObservatoryError> {
    let mut records = records(memory, page)?;
    for _ in 0..ATTEMPTS {
        let described = describe(memory, &records, counters);
        let now = self::records(memory, page)?;
        // What a record leads to is its pool's as long as the record stays.
        if now == records {
            return described;
        }
        records = now;
    }
    Err(ObservatoryError::Restless(WHAT))
}

fn records(memory: &Virtual<'_>, page: &Page) -> Result<Vec<Pool>, ObservatoryError> {
    records::sequenced(memory, WHAT, page.pools, page.pool_count.min(MOST), Pool::BYTES, |bytes| {
        Pool::from_bytes(bytes).map(|record| (record.sequence, record))
    })
}

fn describe(
    memory: &Virtual<'_>,
    records: &[Pool],
    counters: &[Counter],
) -> Result<(Vec<Zram>, Option<Zswap>), ObservatoryError> {
    let word = |address| if address == 0 { Ok(0) } else { memory.word("a figure of a compressed pool", address) };
    let counter = |name: &str| counters.iter().find(|counter| counter.name == name).map_or(0, |counter| counter.value);
    let (mut zram, mut zswap) = (Vec::new(), None);
    for record in records.iter().filter(|record| record.stored != 0) {
        let (stored, same_pages) = (word(record.stored)?, word(record.same)?);
        let (compressed, pool_frames) = (word(record.compressed)?, word(record.frames)?);
        if record.pages != 0 {
            zram.push(Zram {
                name: memory.text("a zram device's name", record.name, record.name_length)?,
                size: record.pages.saturating_mul(PAGE),
                original: stored.saturating_mul(PAGE),
                compressed,
                pool_frames,
                same_pages,
                incompressible: word(record.incompressible)?,
            });
        } else if counter("zswpout") > 0 {
            let refusals = ["reclaim_fail", "alloc_fail", "compress_poor"];
            let stored = stored.saturating_add(same_pages);
            zswap = Some(Zswap {
                stored,
                original: stored.saturating_mul(PAGE),
                compressed,
                pool_frames,
                same_pages,
                written_back: counter("zswpwb"),
                rejected: refusals
                    .iter()
                    .fold(0, |sum, refusal| counter(&format!("zswap_reject_{refusal}")).saturating_add(sum)),
            });
        }
    }
    zram.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((zram, zswap))
}

/// Tells each task how many of its pages in swap are in a pool: see [`Task::compressed`].
pub(super) fn count(tasks: &mut [Task], swapped: &[Swapped], areas: &[Area], zram: &[Zram]) {
    let on_disks: HashSet<Slot> = areas.iter().flat_map(|area| &area.slots).filter_map(owner).collect();
    let is_in_pool = |page: &&Swapped| {
        let Some(area) = areas.iter().find(|area| area.index == page.area) else { return false };
        let is_zero = area.slots.get(page.slot as usize).is_some_and(|slot| slot.zero);
        let is_kept = !area.has_disk || zram.iter().any(|device| device.name == area.name);
        is_kept && !is_zero && !on_disks.contains(&Slot { area: page.area, slot: page.slot })
    };
    let mut counts: HashMap<u32, u64> = HashMap::new();
    for page in swapped.iter().filter(is_in_pool) {
        *counts.entry(page.thread).or_default() += 1;
    }
    // Tasks that share an address space have its pages each; they are noted as those of one of them.
    let threads = tasks.iter().filter_map(|task| Some((task.root?, *counts.get(&task.thread)?)));
    let of_space: HashMap<u64, u64> = threads.collect();
    for task in tasks {
        task.compressed = task.root.and_then(|root| of_space.get(&root).copied()).unwrap_or(0);
    }
}

/// Whose page is in a slot of another area.
fn owner(slot: &SlotState) -> Option<Slot> {
    if let SlotContent::Owned(owner) = slot.content { owner } else { None }
}
