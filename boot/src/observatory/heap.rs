//! The kernel heap.

use quire_protocol::observatory::{Heap as HeapRecord, Page};

use super::{
    error::ObservatoryError,
    memory::Virtual,
    snapshot::{Heap, SlabSize},
};

/// The most sizes of slabs that are looked for.
const MOST: u64 = 256;

pub(super) fn read(memory: &Virtual<'_>, page: &Page) -> Result<Heap, ObservatoryError> {
    const WHAT: &str = "the kernel heap";
    let mut bytes = [0; HeapRecord::BYTES];
    memory.read(WHAT, page.heap, &mut bytes)?;
    let layout = HeapRecord::from_bytes(&bytes).unwrap_or_default();
    let word = |address| memory.word(WHAT, address);
    let size = |number: u64| {
        let slabs = layout.slabs.wrapping_add(number.wrapping_mul(layout.size_bytes));
        let word = |offset| memory.word(WHAT, slabs.wrapping_add(offset));
        Ok(SlabSize { size: word(layout.size)?, slabs: word(layout.count)?, objects: word(layout.used)? })
    };
    Ok(Heap {
        frames: word(layout.frames)?,
        sizes: (0..layout.size_count.min(MOST)).map(size).collect::<Result<_, _>>()?,
        arena_bytes: word(layout.arena_bytes)?,
        arena_objects: word(layout.arena_objects)?,
        large_bytes: word(layout.large_bytes)?,
        large_blocks: word(layout.large_blocks)?,
    })
}
