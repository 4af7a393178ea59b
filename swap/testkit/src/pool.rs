//! What compressed pages need of the fake machine beside what the core does.

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

use quire_compressed::PoolMachine;
use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::{Disk, Machine};

use crate::{Fake, memory};

impl PoolMachine for Fake {
    fn allocate_frame() -> Option<u64> {
        let pool = &memory().pool;
        if pool.allocations.next_fails() {
            return None;
        }
        let mut frames = pool.frames.lock().unwrap();
        let free = frames.iter().position(Option::is_none).unwrap_or(frames.len());
        let length = frames.len().max(free + 1);
        frames.resize(length, None);
        frames[free] = Some(Arc::new(Mutex::new([0xcc; PAGE_SIZE])));
        Some(free as u64)
    }

    fn free_frame(frame: u64) {
        let freed = memory().pool.frames.lock().unwrap()[frame as usize].take();
        assert!(freed.is_some(), "frame {frame} of the pool was freed twice");
    }

    fn with_frame<R>(frame: u64, bytes: Range<usize>, read: impl FnOnce(&[u8]) -> R) -> R {
        let frame = pool_frame(frame);
        let page = lock_page(&frame);
        read(&page[bytes])
    }

    fn with_frame_mut<R>(frame: u64, bytes: Range<usize>, write: impl FnOnce(&mut [u8]) -> R) -> R {
        let frame = pool_frame(frame);
        let mut page = lock_page(&frame);
        write(&mut page[bytes])
    }

    fn find_disk(path: &str) -> Option<Arc<dyn Disk<Self>>> {
        let disks = memory().disks.lock().unwrap();
        let disk: Arc<dyn Disk<Self>> = disks.iter().find(|disk| disk.name() == path)?.clone();
        Some(disk)
    }

    fn is_killed() -> bool {
        memory().pool.looks.next_fails()
    }

    fn wake_shrinker() {
        memory().pool.shrinker_wakes.fetch_add(1, Ordering::Relaxed);
    }
}

fn pool_frame(frame: u64) -> Arc<Mutex<Page>> {
    memory().pool.frames.lock().unwrap()[frame as usize].clone().expect("a frame of the pool is in use")
}

/// The page of a frame of the pool. A task that uses it may be overtaken, and then others wait their turn.
fn lock_page(page: &Mutex<Page>) -> MutexGuard<'_, Page> {
    Fake::overtaken();
    loop {
        if let Ok(page) = page.try_lock() {
            return page;
        }
        Fake::relax();
    }
}
