//! Any page as a swap header, on media of any size.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quire_swap::header::Medium;

#[path = "../../tests/core/bytes.rs"]
#[allow(dead_code, reason = "each target uses its own part")]
mod bytes;

fuzz_target!(|input: &[u8]| {
    let mut page = [0; 4096];
    let length = input.len().min(page.len());
    page[..length].copy_from_slice(&input[..length]);
    bytes::header(&page, Medium { pages: u64::from(page[0]), is_file: page[1] % 2 == 1 });
});
