//! Any page as one with an extension. The sum is put right, or nothing behind it would ever be reached.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quire_swap::extension::{Extension, ExtensionError};
use quire_swap::header::PADDING;

#[path = "../../tests/core/bytes.rs"]
#[allow(dead_code, reason = "each target uses its own part")]
mod bytes;

fuzz_target!(|input: &[u8]| {
    let mut page = [0; 4096];
    let length = input.len().min(PADDING.len());
    page[PADDING][..length].copy_from_slice(&input[..length]);
    bytes::extension(&page);
    if let Err(ExtensionError::Checksum { computed, .. }) = Extension::parse(&page) {
        page[PADDING.end - 4..PADDING.end].copy_from_slice(&computed.to_le_bytes());
        bytes::extension(&page);
    }
});
