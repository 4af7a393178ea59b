//! Any memory of a machine: a good one with some of its words changed, or cut off. Twelve bytes say where and to what.

#![no_main]

use libfuzzer_sys::fuzz_target;
use quire_boot::observatory::Observatory;

#[path = "../../src/observatory/made.rs"]
mod made;

fuzz_target!(|input: &[u8]| {
    let mut memory = made::memory();
    let (changes, rest) = input.as_chunks::<12>();
    for change in changes {
        let place = u32::from_le_bytes([change[0], change[1], change[2], change[3]]) as usize % (memory.len() / 8) * 8;
        memory[place..place + 8].copy_from_slice(&change[4..]);
    }
    if let [low, high, ..] = rest {
        memory.truncate(usize::from(u16::from_le_bytes([*low, *high])) * 8);
    }
    if let Ok(mut observatory) = Observatory::new(Box::new(memory)) {
        let _ = observatory.read();
        let _ = observatory.events();
        let _ = observatory.panicked();
        let _ = observatory.ranks();
    }
});
