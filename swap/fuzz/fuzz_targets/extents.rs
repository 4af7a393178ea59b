//! Any list of extents: three numbers each.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quire_swap::Extent;

#[path = "../../tests/core/bytes.rs"]
#[allow(dead_code, reason = "each target uses its own part")]
mod bytes;

#[path = "../../benches/bare/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "a machine is needed only for its heap")]
mod bare;

fuzz_target!(|input: &[u8]| {
    let (numbers, _) = input.as_chunks::<8>();
    let (extents, _) = numbers.as_chunks::<3>();
    let number = |bytes: [u8; 8]| u64::from_le_bytes(bytes);
    let extents: Vec<_> = extents
        .iter()
        .map(|&[page, disk_page, pages]| Extent {
            page: number(page),
            disk_page: number(disk_page),
            pages: number(pages),
        })
        .collect();
    bytes::extents::<bare::Bare>(&extents);
});
