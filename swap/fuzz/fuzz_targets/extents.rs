//! Any list of extents: three numbers each.

#![no_main]

use std::fmt;

use libfuzzer_sys::fuzz_target;
use quire_swap::{Event, Extent, Folio, FolioFlag, FolioState, IoError, Level, Machine, Purpose, Rank};

#[path = "../../tests/core/bytes.rs"]
#[allow(dead_code, reason = "each target uses its own part")]
mod bytes;

/// A machine of which only the heap is used.
struct Heap;

/// No folio.
#[derive(Clone)]
enum Nothing {}

impl Folio for Nothing {
    fn number(&self) -> u64 {
        match *self {}
    }
    fn order(&self) -> u8 {
        match *self {}
    }
    fn into_number(self) -> u64 {
        match self {}
    }
    fn from_number(_: u64) -> Self {
        unreachable!("there is no folio")
    }
    fn try_from_number(_: u64) -> Option<Self> {
        None
    }
    fn try_freeze(&self, _: u32) -> bool {
        match *self {}
    }
    fn unfreeze(&self, _: u32) {
        match *self {}
    }
    fn state(&self) -> &FolioState {
        match *self {}
    }
    fn with_page<R>(&self, _: usize, _: impl FnOnce(&[u8; 4096]) -> R) -> R {
        match *self {}
    }
    fn with_page_mut<R>(&self, _: usize, _: impl FnOnce(&mut [u8; 4096]) -> R) -> R {
        match *self {}
    }
    fn wait_while(&self, _: FolioFlag) {
        match *self {}
    }
    fn wake(&self, _: FolioFlag) {
        match *self {}
    }
}

impl Machine for Heap {
    type Folio = Nothing;
    fn lock_enter(_: Rank) {}
    fn lock_leave(_: Rank) {}
    fn relax() {}
    fn cpu() -> usize {
        0
    }
    fn may_allocate(_: usize) -> bool {
        true
    }
    fn allocate_folio(_: u8, _: Purpose) -> Option<Nothing> {
        None
    }
    fn write_ended(folio: Nothing, _: Result<(), IoError>) {
        match folio {}
    }
    fn wait(_: Event, _: &dyn Fn() -> bool) {}
    fn wake(_: Event) {}
    fn log(_: Level, _: fmt::Arguments<'_>) {}
}

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
    bytes::extents::<Heap>(&extents);
});
