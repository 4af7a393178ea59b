//! A machine's memory, made by hand: small, with everything that a kernel publishes.

use quire_protocol::observatory::{
    Area, Cgroups, Counter, FrameRecord, Heap, MAGIC, Page, Pool, Ring, Task, Threads, VERSION,
    event::{EventKind, record},
    kind,
};

const PAGE: usize = 4096;
/// Pages of it.
const PAGES: usize = 64;

/// Writes words at an offset.
fn put(memory: &mut [u8], at: u64, words: &[u64]) {
    for (index, word) in words.iter().enumerate() {
        memory[at as usize + 8 * index..][..8].copy_from_slice(&word.to_le_bytes());
    }
}

/// The memory. Virtual addresses are physical ones: one large page is mapped. One process has a page in frame 40 at address 0x5000,
/// and one in slot 7 of area 0 at address 0x6000.
#[expect(clippy::too_many_lines, reason = "one thing after the other, as they lie in memory")]
pub(super) fn memory() -> Vec<u8> {
    const ROOT: u64 = 0x1000;
    const PUBLISHED: u64 = 0x4000;
    const WORDS: u64 = 0x5000;
    const NAMES: u64 = 0x6000;
    const FRAMES: u64 = 0x7000;
    const COUNTERS: u64 = 0x8000;
    const TASKS: u64 = 0x9000;
    const THREADS: u64 = 0xa000;
    const AREAS: u64 = 0xb000;
    const POOLS: u64 = 0xb400;
    const HEAP: u64 = 0xb800;
    const CGROUPS: u64 = 0xc000;
    const RINGS: u64 = 0xd000;
    const RECORDS: u64 = 0xe000;
    const CLUSTER: u64 = 0xf000;
    const TABLE: u64 = 0x1_0000;
    const SPACE: u64 = 0x1_1000;
    let mut memory = vec![0; PAGES * PAGE];
    // The kernel's tables: present and writable, the last one a large page.
    put(&mut memory, ROOT, &[0x2000 | 3]);
    put(&mut memory, 0x2000, &[0x3000 | 3]);
    put(&mut memory, 0x3000, &[1 << 7 | 3]);
    memory[NAMES as usize..][..33].copy_from_slice(b"pgfaultinit/dev/zram0zswapzswpout");
    // Ticks a second; managed, free and the kernel's frames; the watermarks; slots in use; a count of faults.
    put(&mut memory, WORDS, &[1000, 60, 20, 9, 3, 4, 5, 2, 77]);
    let page = Page {
        magic: MAGIC,
        version: VERSION,
        bytes: Page::BYTES as u64,
        physical: PUBLISHED,
        root: ROOT,
        ticks_per_second: WORDS,
        frames: FRAMES,
        frame_count: PAGES as u64,
        managed: WORDS + 8,
        free: WORDS + 16,
        kernel: WORDS + 24,
        watermarks: WORDS + 32,
        active_lists: 1 << 2,
        counters: COUNTERS,
        counter_count: 2,
        tasks: TASKS,
        task_count: 2,
        threads: THREADS,
        areas: AREAS,
        area_count: 1,
        pools: POOLS,
        pool_count: 3,
        cgroups: CGROUPS,
        rings: RINGS,
        ring_count: 1,
        heap: HEAP,
        ..Page::default()
    };
    put(&mut memory, PUBLISHED, &page.to_words());
    put(&mut memory, COUNTERS, &Counter { name: NAMES, name_length: 7, value: WORDS + 64 }.to_words());
    let stored_ever = Counter { name: NAMES + 26, name_length: 7, value: WORDS + 0xf0 };
    put(&mut memory, COUNTERS + Counter::BYTES as u64, &stored_ever.to_words());
    // The device's pages, those of one value and those that get no shorter, bytes and frames; zswap's objects, pages of one value,
    // bytes and frames; what zswap ever stored.
    put(&mut memory, WORDS + 0x80, &[10, 2, 3, 5000, 4, 6, 1, 900, 1]);
    put(&mut memory, WORDS + 0xf0, &[9]);
    let (device, zswap) = (WORDS + 0x80, WORDS + 0x80 + 40);
    let device = Pool {
        sequence: 2,
        name: NAMES + 11,
        name_length: 10,
        stored: device,
        same: device + 8,
        incompressible: device + 16,
        compressed: device + 24,
        frames: device + 32,
        pages: 256,
    };
    let zswap = Pool {
        sequence: 8,
        name: NAMES + 21,
        name_length: 5,
        stored: zswap,
        same: zswap + 8,
        incompressible: 0,
        compressed: zswap + 16,
        frames: zswap + 24,
        pages: 0,
    };
    // Between the two is a place that is free.
    put(&mut memory, POOLS, &device.to_words());
    put(&mut memory, POOLS + 2 * Pool::BYTES as u64, &zswap.to_words());
    // The heap's frames, bytes and objects in arenas, bytes and blocks with frames of their own; two sizes of slabs.
    let figures = HEAP + Heap::BYTES as u64;
    put(&mut memory, figures, &[11, 3000, 1, 4096, 1, 16, 1, 5, 32, 2, 130]);
    let heap = Heap {
        frames: figures,
        arena_bytes: figures + 8,
        arena_objects: figures + 16,
        large_bytes: figures + 24,
        large_blocks: figures + 32,
        slabs: figures + 40,
        size_count: 2,
        size_bytes: 24,
        size: 0,
        count: 8,
        used: 16,
    };
    put(&mut memory, HEAP, &heap.to_words());
    for frame in 0..PAGES {
        let is_of = match frame {
            17..=20 => kind::PAGE_TABLE,
            40 => kind::ANONYMOUS,
            30..=49 => kind::FREE,
            _ => kind::RESERVED,
        };
        let record = &mut memory[FRAMES as usize + frame * FrameRecord::BYTES..][..FrameRecord::BYTES];
        record[28] = is_of;
        if is_of == kind::ANONYMOUS {
            record[30] = 2;
            record[8..16].copy_from_slice(&(9_u64 << 36 | 5).to_le_bytes());
        }
    }
    let task = Task {
        sequence: 2,
        thread: WORDS + 0x100,
        number: 4,
        pid: 1,
        name: NAMES + 7,
        name_length: 4,
        ..Task::default()
    };
    put(&mut memory, TASKS, &task.to_words());
    let threads =
        Threads { state: 0, stack_pointer: 8, held_ranks: 16, root: 24, root_frame: 32, ..Threads::default() };
    put(&mut memory, THREADS, &threads.to_words());
    // The thread: it waits; its root is described right behind it.
    put(&mut memory, WORDS + 0x100, &[2, 0, 0, WORDS + 0x100, SPACE / PAGE as u64]);
    for table in 0..3 {
        put(&mut memory, SPACE + table * 0x1000, &[(SPACE + (table + 1) * 0x1000) | 7]);
    }
    put(&mut memory, SPACE + 0x3000 + 8 * 5, &[(40 * PAGE as u64) | 7, (7 << 16) | (1 << 1)]);
    let area = Area {
        sequence: 4,
        enabled: 1,
        slots: 512,
        usable: 511,
        used: WORDS + 56,
        name: NAMES + 11,
        name_length: 5,
        clusters: CLUSTER,
        cluster_count: 1,
        cluster_bytes: 48,
        table: 16,
        ..Area::default()
    };
    put(&mut memory, AREAS, &area.to_words());
    put(&mut memory, CLUSTER + 16, &[TABLE]);
    // Slot 0 is bad; slot 7 has one count, of a page in no frame; slot 8 that of frame 40.
    put(&mut memory, TABLE, &[0b1000]);
    put(&mut memory, TABLE + 8 * 7, &[1 << 60 | 1, 1 << 60 | 40 << 2 | 0b10]);
    put(&mut memory, CGROUPS, &Cgroups { first: WORDS + 0x200, count: 1, bytes: 64, ..Cgroups::default() }.to_words());
    put(&mut memory, RINGS, &Ring { records: RECORDS, count: 4, head: 6 }.to_words());
    for number in 2..6 {
        let [time, middle, more] = record(100 + number, EventKind::PageOut, 0, 4, 40 << 32 | number);
        put(&mut memory, RECORDS + 32 * (number % 4), &[number + 1, time, middle, more]);
    }
    memory
}
