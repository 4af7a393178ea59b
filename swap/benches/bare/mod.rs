//! A machine that costs nothing: what is measured is the core.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use quire_swap::header::{BadPages, Header, Page};
use quire_swap::{
    DeviceState, Disk, DiskProperties, DiskRequest, DriverId, Event, Folio, FolioFlag, FolioState, FolioUse, Forgotten,
    FrameState, IoError, Level, Machine, Rank, ReadAccess, Swap, SwapOnOptions, WriteAccess,
};

/// The machine.
pub struct Bare;

const FRAMES: usize = 1024;

struct Frame {
    state: FrameState<BareFolio>,
    references: AtomicU32,
}

static FRAMES_OF_THE_MACHINE: [Frame; FRAMES] =
    [const { Frame { state: FrameState::new(), references: AtomicU32::new(0) } }; FRAMES];

/// In a count of references.
const FROZEN: u32 = 1 << 31;

/// A counted reference to a frame that has no contents.
pub struct BareFolio(u32);

impl BareFolio {
    fn frame(&self) -> &'static Frame {
        &FRAMES_OF_THE_MACHINE[self.0 as usize]
    }
}

impl Clone for BareFolio {
    fn clone(&self) -> Self {
        self.frame().references.fetch_add(1, Ordering::Relaxed);
        Self(self.0)
    }
}

impl Drop for BareFolio {
    fn drop(&mut self) {
        if self.frame().references.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.frame().state.reset();
        }
    }
}

impl Folio for BareFolio {
    fn number(&self) -> u64 {
        self.0.into()
    }

    fn order(&self) -> u8 {
        0
    }

    fn take_up(&self, forgotten: Forgotten<'_, Self>) -> Self {
        forgotten.check(self.state());
        Self(self.0)
    }

    fn try_from_number(number: u64) -> Option<Self> {
        let references = &FRAMES_OF_THE_MACHINE.get(number as usize)?.references;
        let raise = |count| if (1..FROZEN).contains(&count) { Some(count + 1) } else { None };
        references.fetch_update(Ordering::Acquire, Ordering::Relaxed, raise).ok()?;
        Some(Self(number as u32))
    }

    fn try_freeze(&self, expected: u32) -> bool {
        let frozen = expected | FROZEN;
        self.frame().references.compare_exchange(expected, frozen, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn thaw(&self) {
        self.frame().references.fetch_and(!FROZEN, Ordering::Release);
    }

    fn state(&self) -> &FolioState<Self> {
        self.frame().state.state()
    }

    fn read_page<R>(&self, _index: usize, _access: &ReadAccess<'_, Self>, read: impl FnOnce(&Page) -> R) -> R {
        read(&[1; 4096])
    }

    fn write_page<R>(
        &self,
        _index: usize,
        _access: &mut WriteAccess<'_, Self>,
        write: impl FnOnce(&mut Page) -> R,
    ) -> R {
        write(&mut [1; 4096])
    }

    fn is_zero(&self, _index: usize) -> bool {
        false
    }

    fn looks_zero(&self) -> bool {
        false
    }

    fn wait_while(&self, flag: FolioFlag) {
        panic!("waits for {flag:?} for ever");
    }

    fn wake(&self, _flag: FolioFlag) {}

    fn orphaned(&self) {
        unreachable!("there is one task");
    }
}

impl Machine for Bare {
    type Folio = BareFolio;

    fn lock_enter(_rank: Rank) {}

    fn lock_leave(_rank: Rank) {}

    fn relax() {}

    fn cpu() -> usize {
        0
    }

    fn may_allocate(_bytes: usize) -> bool {
        true
    }

    fn allocate_folio(_order: u8, _folio_use: FolioUse) -> Option<BareFolio> {
        let frame = FRAMES_OF_THE_MACHINE.iter().position(|frame| frame.references.load(Ordering::Relaxed) == 0)?;
        FRAMES_OF_THE_MACHINE[frame].references.store(1, Ordering::Relaxed);
        Some(BareFolio(frame as u32))
    }

    fn now() -> Duration {
        Duration::ZERO
    }

    fn writes_ended(folios: impl Iterator<Item = BareFolio>, _result: Result<(), IoError>) {
        folios.for_each(drop);
    }

    fn wait(event: Event, _ready: &dyn Fn() -> bool) {
        panic!("waits for {event:?} for ever");
    }

    fn wake(_event: Event) {}

    fn log(_level: Level, _message: fmt::Arguments<'_>) {}
}

/// A folio that a task has just filled.
pub fn new_folio() -> BareFolio {
    let folio = Bare::allocate_folio(0, FolioUse::Writeback).expect("there are enough frames");
    folio.frame().state.set_filled();
    folio
}

/// A disk that does everything at once.
struct BareDisk {
    pages: u64,
    device_state: Arc<DeviceState>,
}

impl Disk<Bare> for BareDisk {
    fn name(&self) -> &'static str {
        "/dev/bare"
    }

    fn driver(&self) -> DriverId {
        DriverId("bare")
    }

    fn pages(&self) -> u64 {
        self.pages
    }

    fn properties(&self) -> DiskProperties {
        DiskProperties { synchronous: true, ..DiskProperties::default() }
    }

    fn read_page(&self, _page: u64, buffer: &mut Page) -> Result<(), IoError> {
        let header = Header {
            last_page: u32::try_from(self.pages - 1).expect("at most 16 TiB"),
            uuid: [0; 16],
            label: [0; 16],
            bad_pages: BadPages::new(&[]),
        };
        header.encode(buffer).map_err(|_| IoError::Device)
    }

    fn device_state(&self) -> &Arc<DeviceState> {
        &self.device_state
    }

    fn submit(&self, request: DiskRequest<Bare>) {
        request.complete(Ok(()));
    }

    fn discard(&self, _pages: Range<u64>) -> Result<(), IoError> {
        Ok(())
    }
}

/// Swap on one disk with so many slots.
pub fn swap_with(slots: u64) -> &'static Swap<Bare> {
    let swap = Box::leak(Box::new(Swap::new()));
    let disk: Arc<dyn Disk<Bare>> = Arc::new(BareDisk { pages: slots, device_state: Arc::default() });
    swap.swapon(&disk, SwapOnOptions::default()).expect("the header is good");
    swap
}
