//! What is recorded of a program's references, and that reclaim sees what it saw before.

use std::sync::Mutex;

use quire_memory::folio::INDEX_BITS;
use quire_memory::recorder;
use quire_protocol::recording;

use crate::computer::Computer;
use crate::disk::Disk;
use crate::schedules::{BASE, PAGE, process, read, write};

static RECORDED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// The pages that were recorded since it was asked last, by their place in the program's memory. Each call needs the whole recording:
/// a page is named by its distance from the one before.
fn recorded(before: &mut usize) -> Vec<u64> {
    let bytes = RECORDED.lock().unwrap().clone();
    let pages: Vec<u64> = recording::pages(bytes).map(|page| (page & ((1 << INDEX_BITS) - 1)) - BASE / PAGE).collect();
    let new = pages[*before..].to_vec();
    *before = pages.len();
    new
}

#[test]
fn faults_and_accesses_are_recorded_once_each_and_reclaim_still_sees_them() {
    let _computer = Computer::start(300, 1, Disk::new(64, true));
    recorder::begin(|byte| RECORDED.lock().unwrap().push(byte));
    let (process, space) = process(8);
    let mut before = 0;
    let mut look = || {
        recorder::look(&mut Vec::new());
        recorded(&mut before)
    };

    process.run(|| [3, 1, 2].map(|page| write(page, page).unwrap())).join();
    assert_eq!(look(), [3, 1, 2], "faults, in their order, and nothing for their accessed bits");
    assert_eq!(look(), [], "nothing was accessed since");

    process.run(|| [2, 1].map(|page| read(page).unwrap())).join();
    assert_eq!(look(), [1, 2], "accesses, in the order of their addresses");

    process.run(|| read(3).unwrap()).join();
    assert_eq!(look(), [3]);

    // The processor, which remembers the page, says so again.
    let program = process.run(|| {
        read(2).unwrap();
        recorder::look(&mut Vec::new());
        read(2).unwrap();
    });
    program.join();
    assert_eq!(look(), [2, 2]);
    drop(space);
}
