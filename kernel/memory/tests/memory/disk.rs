//! A disk to swap to, which does its requests at once, or later and in any order, and can refuse them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use quire_machine::task::{self, JoinHandle, WaitQueue};
use quire_memory::progress;
use quire_memory::swap::Quire;
use quire_swap::extension::{BackendOptions, Extension, TypeName};
use quire_swap::header::{BadPages, Header, PAGE_SIZE, Page};
use quire_swap::{DeviceState, Direction, DiskProperties, DiskRequest, DriverId, FileRun, Folio, FolioFlag, IoError};
use quire_testkit::pieces::{PIECE, file_in_pieces};

/// Where the pages are.
#[derive(Default)]
struct Medium {
    pages: Mutex<BTreeMap<u64, Box<Page>>>,
    /// So many requests in this direction succeed before one fails.
    failing: Mutex<Option<(Direction, u32)>>,
    /// This page cannot be read.
    broken: Mutex<Option<u64>>,
    /// A page must not change while it is on its way.
    stable_writes: bool,
}

/// What the disk's thread and those who submit share.
#[derive(Default)]
struct Queue {
    requests: Mutex<Vec<DiskRequest<Quire>>>,
    stops: AtomicBool,
    arrived: WaitQueue,
    /// Chooses which request is next.
    turns: AtomicU32,
    /// The most pages that were on their way to any disk when a request came.
    most_under_way: AtomicUsize,
}

/// The disk.
pub(crate) struct Disk {
    pages: u64,
    /// A file system's, with one file on it ([`file_in_pieces`]).
    is_file: bool,
    medium: Arc<Medium>,
    state: Arc<DeviceState>,
    /// `None` for a disk that does its requests at once.
    queue: Option<Arc<Queue>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Disk {
    /// Of so many pages, formatted to swap to. It does its requests at once, or by a thread of its own.
    pub(crate) fn new(pages: u64, has_thread: bool) -> Self {
        Self::of(pages, has_thread, false)
    }

    /// With a thread; a page must not change while it is on its way.
    pub(crate) fn with_stable_writes(pages: u64) -> Self {
        Self::of(pages, true, true)
    }

    fn of(pages: u64, has_thread: bool, stable_writes: bool) -> Self {
        let medium =
            Medium { pages: Mutex::new(BTreeMap::from([(0, header(pages))])), stable_writes, ..Medium::default() };
        Self {
            pages,
            is_file: false,
            medium: Arc::new(medium),
            state: Arc::default(),
            queue: has_thread.then(Arc::default),
            thread: Mutex::default(),
        }
    }

    /// With a thread and a file system with one file, of so many pieces.
    pub(crate) fn with_file(pieces: u64) -> Self {
        Self { is_file: true, ..Self::new(1 + PIECE * pieces, true) }
    }

    /// With a thread and a header that names a type of backend.
    pub(crate) fn of_type(pages: u64, backend: &str, options: &str) -> Self {
        let disk = Self::new(pages, true);
        let backend = TypeName::new(backend).expect("it is a name");
        let extension = Extension { backend, version: TypeName::USUAL_VERSION, options: BackendOptions(options) };
        let mut stored = disk.medium.pages.lock().unwrap();
        let header = stored.get_mut(&0).expect("it was made with one");
        extension.encode(header).expect("there is room for it");
        drop(stored);
        disk
    }

    /// Where the file is that is on it, if it is a file system's.
    pub(crate) fn file(&self) -> Option<Vec<FileRun>> {
        self.is_file.then(|| file_in_pieces(self.pages))
    }

    /// After `succeed` more requests in this direction one fails.
    pub(crate) fn fail(&self, direction: Direction, succeed: u32) {
        *self.medium.failing.lock().unwrap() = Some((direction, succeed));
    }

    /// This page cannot be read from now on.
    pub(crate) fn break_page(&self, page: u64) {
        *self.medium.broken.lock().unwrap() = Some(page);
    }

    /// No request fails from now on.
    pub(crate) fn repair(&self) {
        *self.medium.failing.lock().unwrap() = None;
        *self.medium.broken.lock().unwrap() = None;
    }

    /// The most pages that were on their way when a request came, if the disk has a thread.
    pub(crate) fn most_under_way(&self) -> Option<usize> {
        Some(self.queue.as_ref()?.most_under_way.load(Ordering::Relaxed))
    }

    /// Starts the disk's thread, if it has one that does not run.
    pub(crate) fn start(&self) {
        let mut thread = self.thread.lock().unwrap();
        if let (Some(queue), None) = (&self.queue, &*thread) {
            let (queue, medium) = (Arc::clone(queue), Arc::clone(&self.medium));
            queue.stops.store(false, Ordering::Relaxed);
            let work = move || {
                task::current().running().set_reclaims();
                while let Some(request) = queue.next() {
                    medium.serve(request, true);
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

/// The first page of a disk of so many.
pub(crate) fn header(pages: u64) -> Box<Page> {
    let last_page = u32::try_from(pages - 1).expect("a small disk");
    let header = Header { last_page, uuid: [7; 16], label: [0; 16], bad_pages: BadPages::new(&[]) };
    let mut first: Box<Page> = Box::new([0; PAGE_SIZE]);
    header.encode(&mut first).expect("no page is bad");
    first
}

impl Queue {
    /// Any of the requests that wait; `None` at the end.
    fn next(&self) -> Option<DiskRequest<Quire>> {
        self.arrived.wait_until(|| self.stops.load(Ordering::Relaxed) || !self.requests.lock().unwrap().is_empty());
        let mut requests = self.requests.lock().unwrap();
        if requests.is_empty() {
            return None;
        }
        let turn = self.turns.fetch_add(1, Ordering::Relaxed).wrapping_mul(2_654_435_761) >> 16;
        let next = turn as usize % requests.len();
        Some(requests.swap_remove(next))
    }
}

impl Medium {
    /// Whether this request is the one that fails.
    fn fails(&self, direction: Direction) -> bool {
        let mut failing = self.failing.lock().unwrap();
        match &mut *failing {
            Some((meant, 0)) if *meant == direction => {
                *failing = None;
                true
            }
            Some((meant, left)) if *meant == direction => {
                *left -= 1;
                false
            }
            _ => false,
        }
    }

    /// Does a request, and lets other threads go on meanwhile if the caller may sleep.
    fn serve(&self, mut request: DiskRequest<Quire>, may_sleep: bool) {
        let first = request.first_sector() / 8;
        let is_broken = request.direction() == Direction::Read
            && self.broken.lock().unwrap().is_some_and(|page| (first..first + request.pages()).contains(&page));
        if is_broken || self.fails(request.direction()) {
            return request.complete(Err(IoError::Device));
        }
        for (page, position) in (first..).zip(0..request.len()) {
            if request.direction() == Direction::Read {
                let from = self.pages.lock().unwrap().get(&page).cloned();
                let read = request.with_page_mut(position, 0, |to| *to = from.map_or([0xee; PAGE_SIZE], |from| *from));
                read.expect("a request has its folios");
            } else if let Some(folio) = request.folios().nth(position) {
                let mut bytes = Box::new([0; PAGE_SIZE]);
                let read = |bytes: &mut Page| {
                    // What stands in for a page, as an encrypted one, has no contents that a task could see.
                    if folio.state().is(FolioFlag::Stable) {
                        request.with_page(position, 0, |page| *bytes = *page).expect("a request has its folios");
                    } else {
                        folio.read_bytes(0, bytes);
                    }
                };
                read(&mut bytes);
                if may_sleep {
                    let before = bytes.clone();
                    task::yield_now();
                    read(&mut bytes);
                    assert!(!self.stable_writes || bytes == before, "page {page} changes on its way");
                }
                self.pages.lock().unwrap().insert(page, bytes);
            }
        }
        request.complete(Ok(()));
    }
}

impl quire_swap::Disk<Quire> for Disk {
    fn name(&self) -> &'static str {
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
            stable_writes: self.medium.stable_writes,
            discard: true,
            ..DiskProperties::default()
        }
    }

    fn read_page(&self, page: u64, buffer: &mut Page) -> Result<(), IoError> {
        let pages = self.medium.pages.lock().unwrap();
        *buffer = **pages.get(&page).ok_or(IoError::Device)?;
        Ok(())
    }

    fn submit(&self, request: DiskRequest<Quire>) {
        match &self.queue {
            None => self.medium.serve(request, false),
            Some(queue) => {
                queue.most_under_way.fetch_max(progress::writes_under_way(), Ordering::Relaxed);
                queue.requests.lock().unwrap().push(request);
                queue.arrived.wake_all();
            }
        }
    }

    fn device_state(&self) -> &Arc<DeviceState> {
        &self.state
    }

    fn discard(&self, pages: Range<u64>) -> Result<(), IoError> {
        self.medium.pages.lock().unwrap().retain(|page, _| !pages.contains(page));
        Ok(())
    }
}
