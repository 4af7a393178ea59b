//! The rings of events, and what their records mean.

use std::collections::HashMap;

use quire_protocol::observatory::{
    Compressed, FaultService, Page, Reclaimer, Ring,
    event::{ALL, EventKind, FAILED, RECORD_BYTES, Record, WRITE},
};

use super::{
    error::ObservatoryError,
    event::{Event, What},
    memory::Virtual,
};

/// The most processors, and the most events of one.
const MOST: u64 = 64;
const MOST_RECORDS: u64 = 1 << 16;

/// Up to where each ring was read.
#[derive(Default)]
pub(super) struct Cursors {
    heads: HashMap<u64, u64>,
    /// When the last event happened.
    pub(super) time: u64,
    /// Events that were written over before they were read.
    pub(super) lost: u64,
    /// Events since the kernel's start.
    pub(super) noted: u64,
}

impl Cursors {
    /// The events since the last time, in the order of time.
    pub(super) fn read(&mut self, memory: &Virtual<'_>, page: &Page) -> Result<Vec<Event>, ObservatoryError> {
        let mut events = Vec::new();
        self.noted = 0;
        for cpu in 0..page.ring_count.min(MOST) {
            let address = page.rings.wrapping_add(cpu * Ring::BYTES as u64);
            let ring = ring(memory, address)?;
            self.noted = self.noted.saturating_add(ring.head);
            if ring.records != 0 {
                self.read_ring(memory, cpu, address, &ring, &mut events)?;
            }
        }
        events.sort_by_key(|event| event.time);
        self.time = events.last().map_or(self.time, |event| event.time);
        Ok(events)
    }

    fn read_ring(
        &mut self,
        memory: &Virtual<'_>,
        cpu: u64,
        address: u64,
        ring: &Ring,
        events: &mut Vec<Event>,
    ) -> Result<(), ObservatoryError> {
        const WHAT: &str = "the events";
        let damaged = |why| ObservatoryError::Damaged { what: WHAT, address: ring.records, why };
        if !ring.count.is_power_of_two() || ring.count > MOST_RECORDS {
            return Err(damaged("their number is no power of two, or too large"));
        }
        let records = memory.bytes(WHAT, ring.records, ring.count * RECORD_BYTES as u64)?;
        let (records, _) = records.as_chunks::<RECORD_BYTES>();
        // What was begun before this had its place before this. A head never goes back, unless memory is not what it should be.
        let head = self::ring(memory, address)?.head.max(ring.head);
        let before = self.heads.insert(cpu, ring.head).filter(|before| *before <= ring.head);
        let oldest = head.saturating_sub(ring.count);
        let from = before.unwrap_or_else(|| ring.head.saturating_sub(ring.count)).max(oldest).min(ring.head);
        self.lost = self.lost.saturating_add(from - before.unwrap_or(from).min(from));
        for number in from..ring.head {
            let words = words(&records[(number % ring.count) as usize]);
            if words[0] != number.wrapping_add(1) {
                self.lost = self.lost.saturating_add(1);
            } else if let Some(event) = decode(cpu as u8, words) {
                events.push(event);
            }
        }
        Ok(())
    }
}

fn ring(memory: &Virtual<'_>, address: u64) -> Result<Ring, ObservatoryError> {
    let mut bytes = [0; Ring::BYTES];
    memory.read("a ring of events", address, &mut bytes)?;
    Ok(Ring::from_bytes(&bytes).unwrap_or_default())
}

fn words(record: &[u8; RECORD_BYTES]) -> Record {
    let (words, _) = record.as_chunks();
    core::array::from_fn(|index| u64::from_le_bytes(words[index]))
}

/// What a record means; `None` for what means nothing.
fn decode(cpu: u8, [_, time, middle, more]: Record) -> Option<Event> {
    let (small, thread) = ((middle >> 8) as u32 & 0x00ff_ffff, (middle >> 32) as u32);
    let (upper, lower) = ((more >> 32) as u32, more as u32);
    let area = small as u8;
    let what = match EventKind::from_number(middle as u8)? {
        EventKind::Fault => What::Fault { service: FaultService::from_number(small as u8)?, address: more },
        EventKind::Reclaim => What::Reclaim { by: Reclaimer::from_number(small as u8)?, scanned: lower, freed: upper },
        EventKind::PageOut => What::PageOut { frame: upper, area, slot: lower },
        EventKind::PageIn => What::PageIn { frame: upper, area, slot: lower },
        EventKind::SlotAllocated => What::SlotAllocated { area, slot: lower, count: upper },
        EventKind::SlotFreed => What::SlotFreed { area, slot: lower, count: upper },
        EventKind::BatchSubmitted => What::BatchSubmitted { area, write: more & WRITE != 0, folios: lower },
        EventKind::BatchCompleted => {
            What::BatchCompleted { area, write: more & WRITE != 0, folios: lower, ok: more & FAILED == 0 }
        }
        EventKind::Stored => What::Stored { place: Compressed::from_number(small as u8)?, bytes: lower },
        EventKind::Loaded => What::Loaded { place: Compressed::from_number(small as u8)?, bytes: lower },
        EventKind::TlbFlush => What::TlbFlush { pages: (more != ALL).then_some(lower) },
        EventKind::KswapdWoken => What::KswapdWoken { free: lower },
        EventKind::OutOfMemory => What::OutOfMemory { pid: lower },
        EventKind::SwapOn => What::SwapOn { area },
        EventKind::SwapOff => What::SwapOff { area },
        EventKind::TaskStart => What::TaskStart { thread: lower },
        EventKind::TaskSwitch => What::TaskSwitch { to: lower },
        EventKind::TaskEnd => What::TaskEnd,
        EventKind::CgroupLimit => What::CgroupLimit { cgroup: small as u8 },
    };
    Some(Event { time, cpu, thread, what })
}
