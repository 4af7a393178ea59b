//! Any bytes as a file to be executed: refused, or a script, or a program that stays where programs may be.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quire_machine::address_map::USER_END;
use quire_linux::process::program::elf::{ElfError, HEADER_BYTES, Header, Image};
use quire_linux::process::program::script::Script;

fn parse(file: &[u8]) -> Result<Image, ElfError> {
    let header = Header::parse(&file[..file.len().min(HEADER_BYTES)])?;
    let range = header.table()?;
    let table = file.get(range.start as usize..).unwrap_or_default();
    Image::parse(&header, &table[..table.len().min((range.end - range.start) as usize)], file.len() as u64)
}

fuzz_target!(|file: &[u8]| {
    if let Some(script) = Script::parse(file) {
        assert!(!script.interpreter.is_empty() && script.interpreter.len() < file.len());
    }
    let Ok(image) = parse(file) else { return };
    assert!(image.entry < USER_END && !image.segments().is_empty());
    let mut end = 0;
    for segment in image.segments() {
        assert!(segment.address.checked_add(segment.memory_bytes).is_some_and(|end| end <= USER_END));
        assert!(segment.pages().start >= end && segment.file_bytes <= segment.memory_bytes);
        assert!(segment.offset + segment.file_bytes <= file.len() as u64);
        end = segment.pages().end;
    }
    assert_eq!(image.end(), end);
});
