//! A disk to swap to, which does its requests at once, or later and in any order, and can refuse them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use quire_machine::task::{self, JoinHandle, WaitQueue};
use quire_memory::swap::Quire;
use quire_swap::header::{BadPages, Header, PAGE_SIZE, Page};
use quire_swap::{DeviceState, Direction, DiskProperties, DiskRequest, DriverId, IoError};

/// What the disk's thread and those who submit share.
#[derive(Default)]
struct Queue {
    requests: Mutex<Vec<DiskRequest<Quire>>>,
    stops: AtomicBool,
    arrived: WaitQueue,
    /// Chooses which request is next.
    turns: AtomicU32,
}

/// The disk.
pub(crate) struct Disk {
    pages: u64,
    contents: Arc<Mutex<BTreeMap<u64, Box<Page>>>>,
    state: Arc<DeviceState>,
    /// `None` for a disk that does its requests at once.
    queue: Option<Arc<Queue>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    stable_writes: bool,
    /// Requests of this kind fail.
    failing: Arc<Mutex<Option<Direction>>>,
}

impl Disk {
    /// Of so many pages, formatted to swap to. It does its requests at once, or by a thread of its own.
    pub(crate) fn new(pages: u64, has_thread: bool) -> Self {
        let last_page = u32::try_from(pages - 1).expect("a small disk");
        let header = Header { last_page, uuid: [7; 16], label: [0; 16], bad_pages: BadPages::new(&[]) };
        let mut first: Box<Page> = Box::new([0; PAGE_SIZE]);
        header.encode(&mut first).expect("no page is bad");
        Self {
            pages,
            contents: Arc::new(Mutex::new(BTreeMap::from([(0, first)]))),
            state: Arc::default(),
            queue: has_thread.then(Arc::default),
            thread: Mutex::default(),
            stable_writes: false,
            failing: Arc::default(),
        }
    }

    /// A page must not change while it is on its way.
    pub(crate) fn with_stable_writes(self) -> Self {
        Self { stable_writes: true, ..self }
    }

    /// Requests in this direction fail from now on.
    pub(crate) fn fail(&self, direction: Option<Direction>) {
        *self.failing.lock().unwrap() = direction;
    }

    /// Starts the disk's thread, if it has one that does not run.
    pub(crate) fn start(&self) {
        let mut thread = self.thread.lock().unwrap();
        if let (Some(queue), None) = (&self.queue, &*thread) {
            let (queue, contents, failing) = (Arc::clone(queue), Arc::clone(&self.contents), Arc::clone(&self.failing));
            queue.stops.store(false, Ordering::Relaxed);
            let work = move || {
                loop {
                    queue.arrived.wait_until(|| {
                        queue.stops.load(Ordering::Relaxed) || !queue.requests.lock().unwrap().is_empty()
                    });
                    let request = {
                        let mut requests = queue.requests.lock().unwrap();
                        if requests.is_empty() {
                            return;
                        }
                        let turn = queue.turns.fetch_add(1, Ordering::Relaxed).wrapping_mul(2_654_435_761) >> 16;
                        let next = turn as usize % requests.len();
                        requests.swap_remove(next)
                    };
                    serve(&contents, &failing, request);
                }
            };
            *thread = Some(task::spawn("disk", work).expect("there is memory for a thread"));
        }
    }

    /// Stops the thread, which has no requests.
    pub(crate) fn stop(&self) {
        if let (Some(queue), Some(thread)) = (&self.queue, self.thread.lock().unwrap().take()) {
            queue.stops.store(true, Ordering::Relaxed);
            queue.arrived.wake_all();
            thread.join();
        }
    }
}

fn serve(
    contents: &Mutex<BTreeMap<u64, Box<Page>>>,
    failing: &Mutex<Option<Direction>>,
    mut request: DiskRequest<Quire>,
) {
    let first = request.first_sector() / 8;
    if *failing.lock().unwrap() == Some(request.direction()) {
        return request.complete(Err(IoError::Device));
    }
    for (page, position) in (first..).zip(0..request.len()) {
        let mut contents = contents.lock().unwrap_or_else(PoisonError::into_inner);
        if request.direction() == Direction::Read {
            let read = request.with_page_mut(position, 0, |to| match contents.get(&page) {
                Some(from) => to.copy_from_slice(&from[..]),
                None => to.fill(0xee),
            });
            read.expect("a request has its folios");
        } else if let Some(folio) = request.folios().nth(position) {
            let mut bytes = Box::new([0; PAGE_SIZE]);
            folio.read_bytes(0, &mut bytes[..]);
            contents.insert(page, bytes);
        }
    }
    request.complete(Ok(()));
}

impl quire_swap::Disk<Quire> for Disk {
    fn name(&self) -> &str {
        "/dev/test"
    }

    fn driver(&self) -> DriverId {
        DriverId("test")
    }

    fn pages(&self) -> u64 {
        self.pages
    }

    fn properties(&self) -> DiskProperties {
        DiskProperties {
            synchronous: self.queue.is_none(),
            stable_writes: self.stable_writes,
            discard: true,
            ..DiskProperties::default()
        }
    }

    fn read_page(&self, page: u64, buffer: &mut Page) -> Result<(), IoError> {
        let contents = self.contents.lock().unwrap();
        buffer.copy_from_slice(&contents.get(&page).ok_or(IoError::Device)?[..]);
        Ok(())
    }

    fn submit(&self, request: DiskRequest<Quire>) {
        match &self.queue {
            None => serve(&self.contents, &self.failing, request),
            Some(queue) => {
                queue.requests.lock().unwrap().push(request);
                queue.arrived.wake_all();
            }
        }
    }

    fn device_state(&self) -> &Arc<DeviceState> {
        &self.state
    }

    fn discard(&self, pages: Range<u64>) -> Result<(), IoError> {
        let mut contents = self.contents.lock().unwrap();
        pages.for_each(|page| _ = contents.remove(&page));
        Ok(())
    }
}
