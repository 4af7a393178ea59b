//! Memory cgroups.

use quire_protocol::observatory::{Cgroups, Page};

use super::{error::ObservatoryError, memory::Virtual, snapshot::Cgroup};

/// The most that are looked for.
const MOST: u64 = 256;

/// The cgroups that there are.
pub(super) fn read(memory: &Virtual<'_>, page: &Page) -> Result<Vec<Cgroup>, ObservatoryError> {
    const WHAT: &str = "the memory cgroups";
    // The kernel has just begun.
    if page.cgroups == 0 {
        return Ok(Vec::new());
    }
    let mut bytes = [0; Cgroups::BYTES];
    memory.read(WHAT, page.cgroups, &mut bytes)?;
    let layout = Cgroups::from_bytes(&bytes).unwrap_or_default();
    let mut found = Vec::new();
    for number in 0..layout.count.min(MOST) {
        let cgroup = layout.first.wrapping_add(number.wrapping_mul(layout.bytes));
        let word = |offset: u64| memory.word(WHAT, cgroup.wrapping_add(offset));
        let byte = |offset: u64| memory.bytes(WHAT, cgroup.wrapping_add(offset), 1).map(|bytes| bytes[0]);
        // The root is never marked: it counts nothing and is always there.
        if number != 0 && byte(layout.is_used)? == 0 {
            continue;
        }
        let limit = |limit| (limit != u64::MAX).then_some(limit);
        let event = |index: u64| word(layout.events.wrapping_add(8 * index));
        found.push(Cgroup {
            number: number as u8,
            parent: byte(layout.parent)?,
            current: word(layout.current)?,
            peak: word(layout.peak)?,
            max: limit(word(layout.max)?),
            swapped: word(layout.swapped)?,
            swap_max: limit(word(layout.swap_max)?),
            limit_hits: event(0)?,
            kills: event(2)?,
        });
    }
    Ok(found)
}
