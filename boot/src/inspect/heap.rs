//! What the kernel heap has.

use std::fmt::Write as _;

use quire_boot::observatory::{
    Snapshot,
    snapshot::{Heap, SlabSize},
};

const FRAME: u64 = 4096;

/// One way in which the heap keeps objects.
struct Place {
    name: String,
    objects: u64,
    bytes: u64,
    frames: u64,
}

/// By the sizes of slabs, then arenas and what has frames of its own; and which of these has most.
pub(super) fn heap(snapshot: &Snapshot) -> String {
    let places = places(&snapshot.heap);
    let mut text = format!("kernel heap: {} frames\n\n", snapshot.heap.frames);
    _ = writeln!(text, "{:32}{:>9}{:>12}{:>9}{:>10}", "objects of", "objects", "bytes", "frames", "in use");
    for Place { name, objects, bytes, frames } in &places {
        let part = bytes.saturating_mul(100).checked_div(frames.saturating_mul(FRAME)).unwrap_or(0);
        _ = writeln!(text, "{name:32}{objects:>9}{bytes:>12}{frames:>9}{part:>8} %");
    }
    if let Some(Place { name, objects, bytes, .. }) = places.iter().max_by_key(|place| place.bytes) {
        let all: u64 = places.iter().fold(0, |sum, place| sum.saturating_add(place.bytes));
        _ = writeln!(text, "\nlargest: {objects} objects of {name}, with {bytes} of {all} bytes in use");
    }
    text
}

/// Those that have a frame.
fn places(heap: &Heap) -> Vec<Place> {
    let of_size = |&SlabSize { size, slabs, objects }: &SlabSize| Place {
        name: format!("up to {size} bytes, in slabs"),
        objects,
        bytes: objects.saturating_mul(size),
        frames: slabs,
    };
    let mut places: Vec<_> = heap.sizes.iter().map(of_size).collect();
    let large = Place {
        name: "more, with frames of their own".to_owned(),
        objects: heap.large_blocks,
        bytes: heap.large_bytes,
        frames: heap.large_bytes / FRAME,
    };
    let others = places.iter().fold(large.frames, |sum, place| sum.saturating_add(place.frames));
    places.push(Place {
        name: "up to 8192 bytes, in arenas".to_owned(),
        objects: heap.arena_objects,
        bytes: heap.arena_bytes,
        frames: heap.frames.saturating_sub(others),
    });
    places.push(large);
    places.retain(|place| place.frames > 0);
    places
}
