//! A machine in made-up memory is read as it was made; whatever is changed in it, the reader neither panics nor believes it.

use proptest::prelude::*;
use quire_protocol::observatory::Page;

/// Where the made-up memory has its pools.
const POOLS: usize = 0xb400;

use super::{
    Bytes, FrameKind, Observatory, ObservatoryError, Snapshot, What, made,
    snapshot::{Heap, SlabSize, SlotContent, Zram, Zswap},
};

fn read(memory: Vec<u8>) -> Result<Snapshot, ObservatoryError> {
    Observatory::new(Box::new(memory)).unwrap().read()
}

#[test]
fn everything_that_is_published_is_found() {
    let snapshot = read(made::memory()).unwrap();
    assert_eq!((snapshot.memory.managed, snapshot.memory.free, snapshot.memory.low), (60, 20, 4));
    let counts = snapshot.frames_by_kind();
    assert_eq!((counts[FrameKind::Free as usize], counts[FrameKind::Reserve as usize]), (16, 3));
    let page = &snapshot.frames[40];
    assert_eq!((page.kind, page.owner.unwrap().number, page.owner.unwrap().index), (FrameKind::ActiveAnonymous, 9, 5));
    assert_eq!(snapshot.counter("pgfault"), 77);
    let task = &snapshot.tasks[0];
    assert_eq!((task.name.as_str(), task.pid, task.resident, task.swapped), ("init", Some(1), 1, 1));
    assert_eq!((snapshot.mappings_of(40)[0].address, snapshot.swapped_to(0, 7)[0].address), (0x5000, 0x6000));
    let area = &snapshot.areas[0];
    assert_eq!((area.name.as_str(), area.used, area.slots.len()), ("/dev/", 2, 512));
    assert_eq!((area.slots[0].content, area.slots[7].content), (SlotContent::Bad, SlotContent::Used(0)));
    assert_eq!((area.slots[8].content, area.slots[8].count), (SlotContent::Cached(40), 1));
    assert_eq!((snapshot.time, snapshot.lost_events, snapshot.events.len()), (105, 0, 4));
    assert_eq!(snapshot.events[0].what, What::PageOut { frame: 40, area: 0, slot: 2 });
    let sizes = vec![SlabSize { size: 16, slabs: 1, objects: 5 }, SlabSize { size: 32, slabs: 2, objects: 130 }];
    let heap = Heap { frames: 11, sizes, arena_bytes: 3000, arena_objects: 1, large_bytes: 4096, large_blocks: 1 };
    assert_eq!((snapshot.heap, snapshot.noted_events), (heap, 6));
}

#[test]
fn pools_are_described_by_what_their_figures_say() {
    let snapshot = read(made::memory()).unwrap();
    let zram = Zram {
        name: "/dev/zram0".to_owned(),
        size: 1 << 20,
        original: 40_960,
        compressed: 5000,
        pool_frames: 4,
        same_pages: 2,
        incompressible: 3,
    };
    assert_eq!(snapshot.zram, [zram]);
    // The pages of one value are beside the objects.
    let zswap = Zswap {
        stored: 7,
        original: 28_672,
        compressed: 900,
        pool_frames: 1,
        same_pages: 1,
        written_back: 0,
        rejected: 0,
    };
    assert_eq!(snapshot.zswap, Some(zswap));
}

#[test]
fn a_task_has_pages_in_a_pool_where_the_area_keeps_them_there() {
    use super::{
        pools,
        snapshot::{Area, Slot, SlotState, Swapped, Task},
    };
    let slots =
        |contents: [SlotContent; 4]| contents.map(|content| SlotState { content, ..SlotState::default() }).to_vec();
    let device = Area { name: "/dev/zram0".to_owned(), has_disk: true, ..Area::default() };
    let mut areas = [
        Area { index: 0, slots: slots([SlotContent::Used(0); 4]), ..device.clone() },
        // Slot 2 of the area without a disk is on the disk.
        Area {
            index: 1,
            name: "/dev/vda".to_owned(),
            slots: slots([
                SlotContent::Bad,
                SlotContent::Owned(Some(Slot { area: 2, slot: 2 })),
                SlotContent::Owned(None),
                SlotContent::Used(0),
            ]),
            ..device
        },
        Area { index: 2, ..Area::default() },
    ];
    areas[0].slots[3].zero = true;
    let swapped = [(0, 1), (0, 3), (1, 3), (2, 1), (2, 2), (2, 3), (7, 1)].map(|(area, slot)| Swapped {
        area,
        slot,
        thread: 4,
        address: 0,
    });
    let task = |thread, root| Task { thread, root, ..Task::default() };
    let mut tasks = [task(5, Some(0x1000)), task(4, Some(0x1000)), task(6, Some(0x2000)), task(7, None)];
    let zram = Zram { name: "/dev/zram0".to_owned(), ..Zram::default() };
    pools::count(&mut tasks, &swapped, &areas, &[zram]);
    assert_eq!(tasks.map(|task| task.compressed), [3, 3, 0, 0]);
}

#[test]
fn a_pool_with_a_figure_that_is_nowhere_is_damage_and_one_that_changes_for_ever_is_restless() {
    let with_word = |at: usize, word: u64| {
        let mut memory = made::memory();
        memory[at..at + 8].copy_from_slice(&word.to_le_bytes());
        read(memory).unwrap_err().to_string()
    };
    for (word, wrong) in [(1, 1 << 40), (3, u64::MAX), (4, 1 << 40), (5, 1 << 63), (6, 0x20_0000), (7, 1 << 40)] {
        let error = with_word(POOLS + 8 * word, wrong);
        assert!(error.contains("compressed pool") || error.contains("zram device"), "{word}: {error}");
    }
    let error = with_word(POOLS, 3);
    assert!(error.contains("the compressed pools"), "{error}");
}

#[test]
fn events_are_read_once_and_lost_ones_are_counted() {
    let mut observatory = Observatory::new(Box::new(made::memory())).unwrap();
    assert_eq!(observatory.read().unwrap().events.len(), 4);
    let again = observatory.read().unwrap();
    assert_eq!((again.events.len(), again.time, again.lost_events), (0, 105, 0));
}

#[test]
fn what_cannot_be_read_is_said_with_what_to_do() {
    let error = |memory| read(memory).unwrap_err().to_string();
    assert!(error(Vec::new()).contains("no Quire kernel"));
    assert!(error(vec![0xff; 1 << 20]).contains("no Quire kernel"));
    let mut other = made::memory();
    other[0x4008] = 99;
    assert!(error(other).contains("another version of Quire"));
    let mut short = made::memory();
    short.truncate(0x9000);
    assert!(error(short).contains("damaged"));
    let missing = Observatory::open("/no/such/memory".as_ref()).err().unwrap().to_string();
    assert!(missing.contains("/no/such/memory"));
}

/// Memory that a guest writes meanwhile: each read of the frames' metadata finds one frame changed.
struct Restless(Vec<u8>, std::cell::Cell<u8>);

impl Bytes for Restless {
    fn length(&self) -> std::io::Result<u64> {
        self.0.length()
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        self.0.read(offset, bytes)?;
        if offset == 0x7000 && bytes.len() > 32 {
            self.1.set(self.1.get() + 1);
            bytes[40 * 32 + 31] = self.1.get();
        }
        Ok(())
    }
}

#[test]
fn what_changes_while_it_is_read_is_read_again() {
    let restless = Restless(made::memory(), std::cell::Cell::new(0));
    let snapshot = Observatory::new(Box::new(restless)).unwrap().read().unwrap();
    assert_eq!((snapshot.changed_meanwhile, snapshot.frames[40].cgroup), (1, 0));
}

/// Two memories: what is read comes from the one and from the other in turn.
struct Changing([Vec<u8>; 2], std::cell::Cell<usize>);

impl Bytes for Changing {
    fn length(&self) -> std::io::Result<u64> {
        self.0[0].length()
    }

    fn read(&self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        self.1.set(1 - self.1.get());
        self.0[self.1.get()].read(offset, bytes)
    }
}

/// Asks everything, twice: what is left of the first time may not fit the second.
fn ask(bytes: Box<dyn Bytes>) {
    let mut observatory = Observatory::new(bytes).unwrap();
    for _ in 0..2 {
        if let Ok(snapshot) = observatory.read() {
            for root in snapshot.tasks.iter().filter_map(|task| task.root) {
                let _ = observatory.walk(root, 0x5000);
            }
        }
        let _ = observatory.events();
        let _ = observatory.panicked();
        let _ = observatory.ranks();
    }
}

proptest! {
    #[test]
    fn no_bytes_are_a_reason_to_panic(
        changes in prop::collection::vec((0_usize..0x1_5000, any::<u8>()), 1..64),
        words in prop::collection::vec((0_usize..Page::BYTES / 8, any::<u64>()), 0..8),
        length in 0_usize..0x4_0000,
    ) {
        let mut memory = made::memory();
        for (at, byte) in changes {
            memory[at] = byte;
        }
        let whole = memory.clone();
        for (word, value) in words {
            memory[0x4000 + 8 * word..][..8].copy_from_slice(&value.to_le_bytes());
        }
        let mut short = whole.clone();
        short.truncate(length);
        for changed in [&whole, &memory] {
            ask(Box::new(Changing([made::memory(), changed.clone()], std::cell::Cell::new(0))));
        }
        for memory in [whole, memory, short] {
            ask(Box::new(memory));
        }
    }
}
