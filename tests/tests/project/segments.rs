//! The kernel's segments, as they are linked.

use std::{fs, ops::Range};

use quire_boot::build;

const PAGE: u64 = 4096;

/// The pages of each segment that is loaded, from the program headers of a 64-bit ELF file (`elf(5)`).
fn loaded_pages(file: &[u8]) -> Vec<Range<u64>> {
    const LOAD: u32 = 1;
    let half = |place: usize| usize::from(u16::from_le_bytes(*file[place..].first_chunk().unwrap()));
    let word = |place: usize| u64::from_le_bytes(*file[place..].first_chunk().unwrap());
    let (table, size, count) = (word(0x20) as usize, half(0x36), half(0x38));
    let headers = (0..count).map(|index| table + index * size);
    let loaded = headers.filter(|header| u32::from_le_bytes(*file[*header..].first_chunk().unwrap()) == LOAD);
    loaded
        .map(|header| {
            let (address, length) = (word(header + 0x10), word(header + 0x28));
            address / PAGE..(address + length).div_ceil(PAGE)
        })
        .collect()
}

/// A frame with code and data would make the code writable at the data's address.
#[test]
fn no_two_segments_of_the_kernel_share_a_page() {
    let kernel = build::build().unwrap().kernel;
    let mut pages = loaded_pages(&fs::read(&kernel).unwrap());
    pages.sort_by_key(|pages| pages.start);
    assert!(pages.len() >= 3, "{} has only {pages:x?}", kernel.display());
    assert!(pages.is_sorted_by(|before, after| before.end <= after.start), "two segments share a page: {pages:x?}");
}
