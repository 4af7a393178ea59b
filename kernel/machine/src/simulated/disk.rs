//! A block device for swap: it keeps pages, does its requests when its thread has its turn, in any order, and can fail.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::{DeviceState, Direction, DiskProperties, DiskRequest, DriverId, Folio, IoError, Machine};

use super::locked;
use crate::no_memory::AllocationError;
use crate::task::{self, WaitQueue};

const SECTORS_IN_PAGE: u64 = (PAGE_SIZE / quire_swap::SECTOR_SIZE) as u64;

/// A disk.
pub struct Disk<M: Machine> {
    name: String,
    size: u64,
    properties: DiskProperties,
    state: Arc<DeviceState>,
    /// The pages that were written; the others hold zeros.
    pages: Mutex<BTreeMap<u64, Box<Page>>>,
    waiting: Mutex<Vec<DiskRequest<M>>>,
    /// What the order of the requests is drawn from; they are done as they come while it is 0.
    order: AtomicU64,
    /// Nothing is done.
    is_held: AtomicBool,
    /// How many more requests succeed before one fails; none fails while it is 0.
    fails_after: AtomicU64,
    has_work: WaitQueue,
}

impl<M: Machine> Disk<M> {
    /// A disk of so many pages, of which those given are written. Requests wait for its thread, unless it is synchronous.
    ///
    /// # Errors
    /// [`AllocationError`] when there is no memory for the thread.
    pub fn start(
        name: &str,
        size: u64,
        properties: DiskProperties,
        written: impl IntoIterator<Item = (u64, Page)>,
    ) -> Result<Arc<Self>, AllocationError> {
        let disk = Arc::new(Self {
            name: name.to_string(),
            size,
            properties,
            state: Arc::default(),
            pages: Mutex::new(written.into_iter().map(|(number, page)| (number, Box::new(page))).collect()),
            waiting: Mutex::default(),
            order: AtomicU64::new(0),
            is_held: AtomicBool::new(false),
            fails_after: AtomicU64::new(0),
            has_work: WaitQueue::new(),
        });
        if !properties.synchronous {
            let own = Arc::clone(&disk);
            task::spawn(name, move || own.serve())?;
        }
        Ok(disk)
    }

    /// Draws the order of requests from `seed`, which is not 0.
    pub fn reorder(&self, seed: u64) {
        self.order.store(seed, Ordering::Relaxed);
    }

    /// Does nothing until [`Self::go_on`].
    pub fn hold(&self) {
        self.is_held.store(true, Ordering::Relaxed);
    }

    /// Does what waits, and what comes.
    pub fn go_on(&self) {
        self.is_held.store(false, Ordering::Relaxed);
        self.has_work.wake_all();
    }

    /// Lets the `nth` request from now on fail; 0 for none.
    pub fn fail_nth(&self, nth: u64) {
        self.fails_after.store(nth, Ordering::Relaxed);
    }

    /// How many requests wait.
    pub fn waiting(&self) -> usize {
        locked(&self.waiting).len()
    }

    /// The disk's thread, which never ends.
    fn serve(&self) {
        task::current().running().set_reclaims();
        loop {
            self.has_work.wait_until(|| self.waiting() > 0 && !self.is_held.load(Ordering::Relaxed));
            let request = {
                let mut waiting = locked(&self.waiting);
                let next = self.draw(waiting.len());
                waiting.remove(next)
            };
            let result = self.transfer(&request);
            request.complete(result);
        }
    }

    /// The index of the next of `count` requests.
    fn draw(&self, count: usize) -> usize {
        // Knuth's MMIX generator.
        let next = |state: u64| (state != 0).then(|| state.wrapping_mul(6_364_136_223_846_793_005) | 1);
        let drawn = self.order.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        drawn.map_or(0, |state| (state >> 33) as usize % count)
    }

    fn fails(&self) -> bool {
        let count = |left: u64| left.checked_sub(1);
        self.fails_after.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count) == Ok(1)
    }

    fn transfer(&self, request: &DiskRequest<M>) -> Result<(), IoError> {
        if self.fails() {
            return Err(IoError::Device);
        }
        let mut number = request.first_sector() / SECTORS_IN_PAGE;
        for folio in request.folios() {
            for index in 0..1 << folio.order() {
                match request.direction() {
                    Direction::Read => folio.with_page_mut(index, |page| *page = self.page(number)),
                    Direction::Write => folio.with_page(index, |page| self.write(number, page)),
                }
                number += 1;
            }
        }
        Ok(())
    }

    fn page(&self, number: u64) -> Page {
        assert!(number < self.size, "{} has no page {number}", self.name);
        locked(&self.pages).get(&number).map_or([0; PAGE_SIZE], |page| **page)
    }

    fn write(&self, number: u64, page: &Page) {
        assert!(number < self.size, "{} has no page {number}", self.name);
        locked(&self.pages).insert(number, Box::new(*page));
    }
}

impl<M: Machine> quire_swap::Disk<M> for Disk<M> {
    fn name(&self) -> &str {
        &self.name
    }

    fn driver(&self) -> DriverId {
        DriverId("simulated")
    }

    fn pages(&self) -> u64 {
        self.size
    }

    fn properties(&self) -> DiskProperties {
        self.properties
    }

    fn read_page(&self, page: u64, buffer: &mut Page) -> Result<(), IoError> {
        if self.fails() {
            return Err(IoError::Device);
        }
        *buffer = self.page(page);
        Ok(())
    }

    fn write_pages(&self, first: u64, pages: &[Page]) -> Result<(), IoError> {
        if self.fails() {
            return Err(IoError::Device);
        }
        (first..).zip(pages).for_each(|(number, page)| self.write(number, page));
        Ok(())
    }

    fn submit(&self, request: DiskRequest<M>) {
        if self.properties.synchronous {
            let result = self.transfer(&request);
            return request.complete(result);
        }
        locked(&self.waiting).push(request);
        self.has_work.wake_all();
    }

    fn device_state(&self) -> &Arc<DeviceState> {
        &self.state
    }

    fn discard(&self, pages: Range<u64>) -> Result<(), IoError> {
        locked(&self.pages).retain(|number, _| !pages.contains(number));
        Ok(())
    }
}
