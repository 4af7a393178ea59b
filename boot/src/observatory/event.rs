//! What has happened, as the kernel's rings tell it.

pub use quire_protocol::observatory::{Compressed, FaultService, Reclaimer};

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// When: ticks of the guest's time-stamp counter.
    pub time: u64,
    /// On which processor.
    pub cpu: u8,
    /// In which thread, by its number.
    pub thread: u32,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A page fault was served.
    Fault {
        /// How.
        service: FaultService,
        /// The address that was touched.
        address: u64,
    },
    /// A look for pages that can go is over.
    Reclaim {
        /// Who looked.
        by: Reclaimer,
        /// Pages that were looked at.
        scanned: u32,
        /// Pages that went.
        freed: u32,
    },
    /// A page begins its way to a slot.
    PageOut {
        /// The frame that it is in.
        frame: u32,
        /// The area.
        area: u8,
        /// The slot.
        slot: u32,
    },
    /// A page comes back from a slot.
    PageIn {
        /// The frame that it comes to.
        frame: u32,
        /// The area.
        area: u8,
        /// The slot.
        slot: u32,
    },
    /// Slots were taken.
    SlotAllocated {
        /// The area.
        area: u8,
        /// The first of them.
        slot: u32,
        /// How many.
        count: u32,
    },
    /// Slots were freed.
    SlotFreed {
        /// The area.
        area: u8,
        /// The first of them.
        slot: u32,
        /// How many.
        count: u32,
    },
    /// A batch was handed to an area's backend.
    BatchSubmitted {
        /// The area.
        area: u8,
        /// To be written, otherwise to be read.
        write: bool,
        /// How many folios.
        folios: u32,
    },
    /// A batch is completed.
    BatchCompleted {
        /// The area.
        area: u8,
        /// Written, otherwise read.
        write: bool,
        /// How many folios.
        folios: u32,
        /// Whether each went well.
        ok: bool,
    },
    /// A page was compressed and stored.
    Stored {
        /// Where.
        place: Compressed,
        /// What it takes, in bytes.
        bytes: u32,
    },
    /// A stored page was inflated.
    Loaded {
        /// From where.
        place: Compressed,
        /// What it takes, in bytes.
        bytes: u32,
    },
    /// Translations of programs' pages were forgotten: so many, or all with `None`.
    TlbFlush {
        /// How many.
        pages: Option<u32>,
    },
    /// `kswapd` was woken.
    KswapdWoken {
        /// How many frames were free.
        free: u32,
    },
    /// A process was killed for its memory.
    OutOfMemory {
        /// Which.
        pid: u32,
    },
    /// A swap area was enabled.
    SwapOn {
        /// Its index.
        area: u8,
    },
    /// A swap area was disabled.
    SwapOff {
        /// Its index.
        area: u8,
    },
    /// A task began.
    TaskStart {
        /// The new thread's number.
        thread: u32,
    },
    /// A task got the processor.
    TaskSwitch {
        /// Its thread's number.
        to: u32,
    },
    /// A task ended.
    TaskEnd,
    /// A memory cgroup was at its limit.
    CgroupLimit {
        /// Its number.
        cgroup: u8,
    },
}
