//! Memory runs out while processes run on threads of their own: some are killed, and the others find all their bytes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use quire_machine::task;
use quire_machine::user::Fault;
use quire_memory::oom::KILLS;

use crate::computer::Computer;
use crate::disk::Disk;
use crate::process::Process;
use crate::schedules::{map, read, write};

/// Fewer than all processes want together, with those of the disk.
const FRAMES: usize = 300;
const SLOTS: u64 = 64;
const PROCESSES: u64 = 5;

/// Writes so many pages again and again and looks at them; in between, other processes run.
fn use_memory(number: u64, pages: u64) -> Result<(), Fault> {
    for round in 0..3 {
        let word = |page| number << 32 | round << 16 | page;
        for page in 0..pages {
            write(page, word(page))?;
            task::yield_now();
        }
        for page in 0..pages {
            assert_eq!(read(page)?, word(page), "page {page} of process {number}");
        }
    }
    Ok(())
}

fn run_out_of_memory(pages: [u64; PROCESSES as usize], disk: Disk) {
    let computer = Computer::start(FRAMES, 1, disk);
    let killed_before = KILLS.load(Ordering::Relaxed);
    let start = |(number, pages)| {
        let process = Process::empty();
        map(&process.memory(), pages);
        let own = Arc::clone(&process);
        let thread = process.run(move || {
            let result = use_memory(number, pages);
            own.end();
            result
        });
        (process, thread)
    };
    let threads: Vec<_> = (1..).zip(pages).map(start).collect();
    let killed = threads.into_iter().filter_map(|(process, thread)| {
        let has_failed = thread.join().is_err();
        assert_eq!(has_failed, process.is_over(), "{process}: a process fails if it was killed, and only then");
        has_failed.then_some(process)
    });
    let killed = killed.count() as u64;
    assert_eq!(killed, KILLS.load(Ordering::Relaxed) - killed_before);
    assert!((1..PROCESSES).contains(&killed), "{killed} were killed");
    drop(computer);
}

#[test]
fn some_are_killed_and_the_others_find_all_their_bytes() {
    for larger in 0..PROCESSES {
        let pages = std::array::from_fn(|number| if number as u64 == larger { 150 } else { 70 + 5 * number as u64 });
        run_out_of_memory(pages, Disk::new(SLOTS, false));
        run_out_of_memory(pages, Disk::new(SLOTS, true));
    }
}
