//! A swap backend that stores pages by way of a file system: reclaim from inside of that must not come to it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use quire_machine::arch::cpu;
use quire_machine::in_file_system::InFileSystem;
use quire_machine::running::Running;
use quire_memory::reclaim;
use quire_memory::swap::{self, Quire};
use quire_swap::header::Page;
use quire_swap::{Deviceless, IoError, ReadBatch, SwapOnOptions, SwapOps, SwapOpsFlags, WriteBatch};

use crate::computer::Computer;
use crate::disk::Disk;
use crate::process::Process;
use crate::schedules::{map, read, write};

const FRAMES: usize = 300;

/// The backend. A file system with a lock would wait for itself where this counts.
#[derive(Default)]
struct ByFile {
    pages: Mutex<BTreeMap<u32, Page>>,
    refuses: AtomicBool,
    refused: AtomicUsize,
    writes: AtomicUsize,
    /// Writes by a thread that was in a file system already.
    entered_twice: AtomicUsize,
}

impl SwapOps<Quire> for ByFile {
    fn flags(&self) -> SwapOpsFlags {
        SwapOpsFlags { no_file_systems: true, stable_writes: true, ..SwapOpsFlags::default() }
    }

    fn submit_read(&self, mut batch: ReadBatch<Quire>) {
        for position in 0..batch.batch().len() {
            let slot = batch.batch().run(position).expect("a page has a place").first;
            let stored = self.pages.lock().unwrap()[&slot];
            batch.with_page_mut(position, 0, |page| *page = stored).expect("a batch has its folios");
        }
        batch.complete(Ok(()));
    }

    fn submit_write(&self, batch: WriteBatch<Quire>) {
        let is_inside = cpu::with_running(Running::is_in_file_system).unwrap_or(false);
        self.entered_twice.fetch_add(usize::from(is_inside), Ordering::Relaxed);
        let _inside = InFileSystem::enter();
        if self.refuses.load(Ordering::Relaxed) {
            self.refused.fetch_add(batch.batch().len(), Ordering::Relaxed);
            return batch.complete(Err(IoError::Device));
        }
        self.writes.fetch_add(batch.batch().len(), Ordering::Relaxed);
        for position in 0..batch.batch().len() {
            let slot = batch.batch().run(position).expect("a page has a place").first;
            let page = batch.with_page(position, 0, |page| *page).expect("a batch has its folios");
            self.pages.lock().unwrap().insert(slot, page);
        }
        batch.complete(Ok(()));
    }
}

impl ByFile {
    /// An area that is filled before the machine's disk.
    fn enable(self: &Arc<Self>) -> u8 {
        let area = Deviceless { name: "/file", slots: 1024, ops: Arc::clone(self) as _ };
        swap::core()
            .swapon_without_disk(&area, SwapOnOptions { priority: Some(5), ..SwapOnOptions::default() })
            .unwrap()
    }

    fn writes(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }
}

fn writes_all(pages: u64) {
    (0..pages).for_each(|page| write(page, page + 1).unwrap());
}

fn reads_all(pages: u64) {
    (0..pages).for_each(|page| assert_eq!(read(page), Ok(page + 1)));
}

/// Looks at every page often enough for it to leave.
fn reclaim_all() {
    for _ in 0..100 {
        reclaim::pass();
        Computer::settle();
    }
}

/// In a file system a task wants more memory than there is: it gets it, and what makes room is `kswapd`'s work.
#[test]
fn a_task_in_a_file_system_leaves_what_would_enter_it_to_kswapd() {
    const PAGES: u64 = 2 * FRAMES as u64;
    let mut computer = Computer::start(FRAMES, 1, Disk::new(64, false));
    assert!(computer.disable());
    let backend = Arc::new(ByFile::default());
    let area = backend.enable();
    let process = Process::empty();
    map(&process.memory(), PAGES);
    let task = process.run(|| {
        let _inside = InFileSystem::enter();
        writes_all(PAGES);
        reads_all(PAGES);
    });
    task.join();
    assert!(!process.is_over(), "no process has to die for it");
    assert!(backend.writes() > 0, "no page went to the backend");
    assert_eq!(backend.entered_twice.load(Ordering::Relaxed), 0, "the file system was entered from inside");
    process.end();
    swap::swapoff::disable(area).unwrap();
}

/// With another area beside it, pages go there; what has a slot in the backend's stays until a thread comes that may write it.
#[test]
fn reclaim_from_inside_a_file_system_takes_other_areas_and_leaves_alone_what_has_its_slot() {
    const PAGES: u64 = 60;
    let mut computer = Computer::start(FRAMES, 1, Disk::new(512, true));
    let backend = Arc::new(ByFile::default());
    let index = backend.enable();
    let used = || swap::core().area(index).map_or(0, |area| area.used());
    let process = Process::empty();
    map(&process.memory(), PAGES);
    let inside = process.run(move || {
        writes_all(PAGES);
        let _inside = InFileSystem::enter();
        reclaim_all();
    });
    inside.join();
    assert_eq!((used(), backend.writes()), (0, 0), "pages went into the file system");
    assert!(computer.count_entries(&process.memory()) > 0, "no page went to the other area");

    // Without the other area, pages get slots of the backend's, which refuses them: they stay in memory, dirty, with their slots.
    assert!(computer.disable());
    backend.refuses.store(true, Ordering::Relaxed);
    let other = Process::empty();
    map(&other.memory(), PAGES);
    let outside = other.run(|| {
        writes_all(PAGES);
        reclaim_all();
    });
    outside.join();
    let refused = || backend.refused.load(Ordering::Relaxed);
    let refused_before = refused();
    assert!(refused_before > 0 && used() > 0, "no page has a slot of the backend's");
    let inside = other.run(|| {
        let _inside = InFileSystem::enter();
        reclaim_all();
    });
    inside.join();
    assert_eq!(refused(), refused_before, "pages were written from inside");
    backend.refuses.store(false, Ordering::Relaxed);
    reclaim_all();
    assert!(backend.writes() > 0, "no page went to the backend in the end");
    assert_eq!(backend.entered_twice.load(Ordering::Relaxed), 0, "the file system was entered from inside");
    for process in [process, other] {
        process.run(|| reads_all(PAGES)).join();
        process.end();
    }
    swap::swapoff::disable(index).unwrap();
}
