//! What is known of a machine at one moment, as plain values.
//!
//! Frames, slots and cgroups are named by their numbers, tasks by that of their thread; times are ticks of the guest's time-stamp
//! counter. Everything has been checked against the size of the memory file: a number that is here can be used as an index
//! into the list that it is of.

use crate::observatory::event::Event;

/// A machine at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// When the last event happened, or 0 before the first.
    pub time: u64,
    /// Ticks of [`time`](Self::time) in a second; 0 until the guest has measured it.
    pub ticks_per_second: u64,
    /// How many frames changed while the memory file was read; 0 for a machine that is stopped. Each is shown as it was at
    /// some moment meanwhile, but two of them may be from different ones.
    pub changed_meanwhile: usize,
    /// Memory as a whole.
    pub memory: Memory,
    /// Every frame by its number, holes of the address space included ([`FrameKind::Hole`]).
    pub frames: Vec<Frame>,
    /// Which page of which task is in which frame, sorted by frame: what the page tables say.
    pub mappings: Vec<Mapping>,
    /// Which page of which task is in which slot, sorted by area and slot: what the page tables say.
    pub swapped: Vec<Swapped>,
    /// What is counted since the start, by the names of `/proc/vmstat` where Linux has one.
    pub counters: Vec<Counter>,
    /// The enabled swap areas, by index.
    pub areas: Vec<Area>,
    /// The zram devices that have a size.
    pub zram: Vec<Zram>,
    /// The compressed pool before the disks, if it ever took a page.
    pub zswap: Option<Zswap>,
    /// Threads of the kernel and of programs.
    pub tasks: Vec<Task>,
    /// Memory cgroups, the root first.
    pub cgroups: Vec<Cgroup>,
    /// The kernel heap.
    pub heap: Heap,
    /// What has happened since the observatory last read, in the order of time; at the first time all that the rings still hold.
    pub events: Vec<Event>,
    /// Events that were overwritten before they could be read, since the observatory was opened.
    pub lost_events: u64,
    /// Events since the kernel's start.
    pub noted_events: u64,
}

impl Snapshot {
    /// How many frames are used for each kind, in the order of [`FrameKind::ALL`].
    pub fn frames_by_kind(&self) -> [usize; FrameKind::ALL.len()] {
        let mut counts = [0; FrameKind::ALL.len()];
        for frame in &self.frames {
            counts[frame.kind as usize] += 1;
        }
        counts
    }

    /// The tasks' pages that are in the frame.
    pub fn mappings_of(&self, frame: u32) -> &[Mapping] {
        let start = self.mappings.partition_point(|mapping| mapping.frame < frame);
        let length = self.mappings[start..].partition_point(|mapping| mapping.frame == frame);
        &self.mappings[start..start + length]
    }

    /// The tasks' pages that are in the slot.
    pub fn swapped_to(&self, area: u8, slot: u32) -> &[Swapped] {
        let start = self.swapped.partition_point(|page| (page.area, page.slot) < (area, slot));
        let length = self.swapped[start..].partition_point(|page| (page.area, page.slot) == (area, slot));
        &self.swapped[start..start + length]
    }

    /// The value of a counter; 0 for one that there is not.
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.iter().find(|counter| counter.name == name).map_or(0, |counter| counter.value)
    }
}

/// Memory as a whole, in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The size of the memory file, in bytes.
    pub bytes: u64,
    /// Frames that Quire manages (`MemTotal`).
    pub managed: u64,
    /// Free frames (`MemFree`).
    pub free: u64,
    /// Frames that the kernel keeps for itself.
    pub kernel: u64,
    /// Below so many free frames tasks get none before something was reclaimed.
    pub min: u64,
    /// Below so many `kswapd` wakes.
    pub low: u64,
    /// Above so many `kswapd` sleeps.
    pub high: u64,
}

/// What a frame is, as the map of memory shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// No RAM, or RAM that Quire leaves alone: the firmware's and the kernel's image.
    #[default]
    Hole,
    /// Free.
    Free,
    /// Free, and below the `min` watermark: the last frames, which only reclaim and the kernel may take. How many they are is
    /// known; which they are is arbitrary, and here they are those with the highest numbers.
    Reserve,
    /// The kernel's: its page tables, stacks, memory that it shares with devices, the initramfs.
    Kernel,
    /// A page table of a program: Linux's `PageTables` in `/proc/meminfo`.
    PageTable,
    /// The kernel heap.
    Heap,
    /// A private page in a list that reclaim protects for now.
    ActiveAnonymous,
    /// A private page that reclaim may look at next.
    InactiveAnonymous,
    /// A page of a file.
    File,
    /// A page of shared memory, or of `tmpfs`.
    Shared,
    /// A page on its way to a disk.
    Writeback,
    /// A page that has a slot as well, and is in the swap cache.
    SwapCache,
    /// Part of a pool of compressed pages.
    CompressedPool,
}

impl FrameKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::Hole,
        Self::Free,
        Self::Reserve,
        Self::Kernel,
        Self::PageTable,
        Self::Heap,
        Self::ActiveAnonymous,
        Self::InactiveAnonymous,
        Self::File,
        Self::Shared,
        Self::Writeback,
        Self::SwapCache,
        Self::CompressedPool,
    ];

    /// Its name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hole => "hole",
            Self::Free => "free",
            Self::Reserve => "reserve",
            Self::Kernel => "kernel",
            Self::PageTable => "page table",
            Self::Heap => "heap",
            Self::ActiveAnonymous => "anonymous, active",
            Self::InactiveAnonymous => "anonymous, inactive",
            Self::File => "file",
            Self::Shared => "shared",
            Self::Writeback => "under writeback",
            Self::SwapCache => "swap cache",
            Self::CompressedPool => "compressed pool",
        }
    }
}

/// One frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: FrameKind,
    /// Whose page it holds, if it holds one.
    pub owner: Option<Owner>,
    /// Which reclaim list it is in, and what reclaim notes of it.
    pub lru: Option<Lru>,
    /// The slot that it has in swap as well, while it is in the swap cache.
    pub slot: Option<Slot>,
    /// What the swap core knows of it: [`flag`] names the bits.
    pub flags: u32,
    /// References to it.
    pub references: u32,
    /// The memory cgroup that is charged for it; 0 is the root.
    pub cgroup: u8,
}

/// The bits of [`Frame::flags`].
pub mod flag {
    pub use quire_protocol::observatory::folio_flag::{
        DIRTY, IN_CACHE, INCOMPRESSIBLE, LARGE, LOCKED, ORPHAN, READAHEAD, STABLE, UP_TO_DATE, WRITEBACK,
    };

    /// Each bit with its name.
    pub const NAMES: [(u32, &str); 10] = [
        (LOCKED, "locked"),
        (UP_TO_DATE, "up to date"),
        (DIRTY, "dirty"),
        (WRITEBACK, "under writeback"),
        (IN_CACHE, "in the swap cache"),
        (READAHEAD, "read ahead"),
        (ORPHAN, "orphaned"),
        (STABLE, "stable"),
        (INCOMPRESSIBLE, "incompressible"),
        (LARGE, "of a large folio"),
    ];

    /// The names of the bits that are set.
    pub fn names(flags: u32) -> impl Iterator<Item = &'static str> {
        NAMES.into_iter().filter(move |(bit, _)| flags & bit != 0).map(|(_, name)| name)
    }
}

/// Whose page a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The number of the `anon_vma`, or of the object (a file, a piece of shared memory).
    pub number: u32,
    /// The number of the page there: for private pages the virtual address where the owner has it, divided by 4,096.
    pub index: u64,
}

/// What reclaim notes of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lru {
    /// The number of the policy's list, from 1 on; 7 for pages that must stay.
    pub list: u8,
    /// Taken out of the list to be looked at.
    pub isolated: bool,
    /// So new that its accessed bit may be that of the access that brought it in.
    pub fresh: bool,
    /// The policy's own mark, 0 to 3.
    pub mark: u8,
    /// It can be dropped; otherwise its contents have to be in swap first.
    pub droppable: bool,
}

/// A place in swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The area's index.
    pub area: u8,
    /// The slot's number.
    pub slot: u32,
}

/// A page of a task that is in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mapping {
    /// The frame.
    pub frame: u32,
    /// The task, by its thread's number.
    pub thread: u32,
    /// The page's virtual address.
    pub address: u64,
    /// The processor noted an access that reclaim has not seen.
    pub accessed: bool,
    /// The processor noted a write.
    pub dirty: bool,
    /// The task may write there.
    pub writable: bool,
}

/// A page of a task that is in swap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Swapped {
    /// The area's index.
    pub area: u8,
    /// The slot.
    pub slot: u32,
    /// The task, by its thread's number.
    pub thread: u32,
    /// The page's virtual address.
    pub address: u64,
}

/// Something that is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Its name.
    pub name: String,
    /// How often it happened since the start.
    pub value: u64,
}

/// An enabled swap area.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Area {
    /// Its index.
    pub index: u8,
    /// The path of its device or file.
    pub name: String,
    /// Higher ones are filled first.
    pub priority: i16,
    /// There is a device or a file behind it: it is no ghost area.
    pub has_disk: bool,
    /// Slots, the header and the bad ones included.
    pub length: u64,
    /// Slots that can be used.
    pub usable: u64,
    /// Slots in use.
    pub used: u64,
    /// What is in its first slots, by number: usually in all. Of an area without a disk, whose slots come and go, only those are
    /// here that page tables name, and none behind the last of these.
    pub slots: Vec<SlotState>,
}

/// What is in a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotState {
    /// What is there.
    pub content: SlotContent,
    /// The page is all zero and was never written.
    pub zero: bool,
    /// How many PTEs hold the slot; 15 stands for 15 or more.
    pub count: u8,
    /// The memory cgroup that pays for it; 0 for none.
    pub cgroup: u8,
}

/// What is in a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlotContent {
    /// Nothing.
    #[default]
    Free,
    /// A page, in no frame; with what its eviction left for the policy, 0 for nothing.
    Used(u64),
    /// A page that is in this frame as well.
    Cached(u32),
    /// The page of this slot of another area, which has no disk of its own; `None` while the slot is being taken for one.
    Owned(Option<Slot>),
    /// Nothing, ever: the header or a bad page.
    Bad,
}

/// A zram device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zram {
    /// Its path.
    pub name: String,
    /// Its size, in bytes.
    pub size: u64,
    /// What it holds, on its backing device too, as an uncompressed size in bytes (`orig_data_size`).
    pub original: u64,
    /// What that takes, compressed, in bytes (`compr_data_size`).
    pub compressed: u64,
    /// Frames that it has for that.
    pub pool_frames: u64,
    /// Pages that all have one value, which take nothing.
    pub same_pages: u64,
    /// Pages that did not get smaller.
    pub incompressible: u64,
}

/// The compressed pool before the disks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zswap {
    /// Pages that it holds.
    pub stored: u64,
    /// Their size uncompressed, in bytes.
    pub original: u64,
    /// What they take, compressed, in bytes.
    pub compressed: u64,
    /// Frames that it has for that.
    pub pool_frames: u64,
    /// Pages that all have one value, which take nothing.
    pub same_pages: u64,
    /// Pages that it wrote to the disks behind it.
    pub written_back: u64,
    /// Pages that it did not take.
    pub rejected: u64,
}

/// The kernel heap. Its figures change one after the other: together they need not be those of one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heap {
    /// Frames that it has.
    pub frames: u64,
    /// What is in slabs, by the size of objects.
    pub sizes: Vec<SlabSize>,
    /// Bytes in use in arenas, for what is too large for slabs and too small for frames of its own.
    pub arena_bytes: u64,
    /// Objects there.
    pub arena_objects: u64,
    /// Bytes in frames of their own.
    pub large_bytes: u64,
    /// Blocks of these.
    pub large_blocks: u64,
}

/// The slabs for objects of one size: a frame each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlabSize {
    /// The most bytes of an object.
    pub size: u64,
    /// Slabs.
    pub slabs: u64,
    /// Objects in use.
    pub objects: u64,
}

/// A thread of the kernel or of a program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Task {
    /// Its thread's number.
    pub thread: u32,
    /// Its process; `None` for a thread of the kernel.
    pub pid: Option<u32>,
    /// Its name, as in `/proc/PID/comm`.
    pub name: String,
    /// What it does.
    pub state: TaskState,
    /// The physical address of its root page table; `None` for a thread of the kernel.
    pub root: Option<u64>,
    /// The end of its kernel stack.
    pub stack_top: u64,
    /// Its kernel stack's pointer when it last gave its processor away; 0 before the first time.
    pub stack_pointer: u64,
    /// The ranks of the locks that it holds, a bit each; only builds with assertions note them.
    pub held_ranks: u64,
    /// Pages that it has in memory.
    pub resident: u64,
    /// Pages that it has in swap, be it on a disk or in a compressed pool.
    pub swapped: u64,
    /// Those of them that are in a compressed pool: in an area on a zram device, or in one without a disk and on no slot of another.
    /// What zswap holds of areas on disks is not among them, and what a zram device wrote to its backing device is.
    pub compressed: u64,
    /// The memory cgroup that it is in; 0 is the root.
    pub cgroup: u8,
}

/// What a task does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskState {
    /// Waits for a processor.
    Ready,
    /// Has a processor.
    Running,
    /// Waits for something.
    #[default]
    Parked,
    /// Has ended.
    Dead,
}

/// A memory cgroup, in pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// Its number; 0 is the root.
    pub number: u8,
    /// The number of the one that it is in.
    pub parent: u8,
    /// What it has in memory (`memory.current`).
    pub current: u64,
    /// The most that it had.
    pub peak: u64,
    /// What it may have (`memory.max`); `None` for no limit.
    pub max: Option<u64>,
    /// What it has in swap (`memory.swap.current`).
    pub swapped: u64,
    /// What it may have there (`memory.swap.max`); `None` for no limit.
    pub swap_max: Option<u64>,
    /// How often it was at its limit.
    pub limit_hits: u64,
    /// How many of its processes were killed for it.
    pub kills: u64,
}
