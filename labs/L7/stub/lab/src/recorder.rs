//! Stands between the core and the mirror, remembers what each slot has to hold, and says what of the mirror's answers cannot
//! be right. This file is given: the grader has its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use lab::disk::{Disk, Head};
use quire_swap::{
    Area, Batch, Folio, IoError, ReadBatch, SlotRun, SwapOps, SwapOpsFlags, WriteBatch, header::Page,
};
use quire_testkit::{Fake, FakeFolio, memory};

#[derive(Default)]
struct Record {
    /// What was stored in each slot in use.
    stored: BTreeMap<u32, Box<Page>>,
    /// Slots that were freed while the last batch was written: of pages that were given up before they were stored.
    freed: BTreeSet<u32>,
    wrong: Vec<String>,
    /// One disk that would have to read all.
    one_disk: Head,
}

/// The recorder.
pub struct Recorder {
    mirror: Box<dyn SwapOps<Fake>>,
    disks: [Arc<Disk<Fake>>; 2],
    record: Mutex<Record>,
}

fn slots(run: SlotRun) -> std::ops::Range<u32> {
    run.first..run.first + run.length
}

fn folios(batch: &Batch<Fake>) -> Vec<(u64, SlotRun)> {
    batch.folios().map(|(folio, run)| (folio.number(), run)).collect()
}

impl Recorder {
    /// Before the first batch.
    pub fn new(mirror: Box<dyn SwapOps<Fake>>, disks: [Arc<Disk<Fake>>; 2]) -> Self {
        Self { mirror, disks, record: Mutex::default() }
    }

    /// Answers that cannot be right.
    pub fn wrong_results(&self) -> Vec<String> {
        self.record.lock().unwrap().wrong.clone()
    }

    /// How long one disk alone would have taken for all that was read.
    pub fn one_disk_time(&self) -> u64 {
        self.record.lock().unwrap().one_disk.time
    }

    /// Whether a disk has this page there.
    fn is_on_a_disk(&self, slot: u32, page: &Page) -> bool {
        self.disks.iter().any(|disk| disk.holds(slot, page))
    }
}

impl SwapOps<Fake> for Recorder {
    fn flags(&self) -> SwapOpsFlags {
        SwapOpsFlags { synchronous: true, stable_writes: true, ..SwapOpsFlags::default() }
    }

    fn submit_read(&self, batch: ReadBatch<Fake>) {
        let folios = folios(batch.batch());
        let ended = memory().ended_reads.lock().unwrap().len();
        self.mirror.submit_read(batch);
        let ended = memory().ended_reads.lock().unwrap()[ended..].to_vec();
        let unmended: BTreeSet<u32> = self.disks.iter().flat_map(|disk| disk.take_unmended()).collect();
        let record = &mut *self.record.lock().unwrap();
        for (frame, run) in folios {
            record.one_disk.read(run.first, run.length);
            let Some(folio) = FakeFolio::try_from_number(frame) else { continue };
            let pages = (0..).zip(slots(run)).filter_map(|(index, slot)| Some((index, slot, record.stored.get(&slot)?)));
            let result = ended.iter().find(|(other, _)| *other == frame).map(|(_, result)| *result);
            let wrong = match result {
                Some(Ok(())) => {
                    let other = pages.clone().find(|(index, _, page)| folio.with_page(*index, |memory| memory != &***page));
                    let other = other.map(|(_, slot, _)| format!("slot {slot} was read, and is not what was stored there last"));
                    let unmended = slots(run).find(|slot| unmended.contains(slot));
                    let unmended = unmended.map(|slot| format!("slot {slot} was read on one disk, and not mended on the other"));
                    other.or(unmended)
                }
                None => Some(format!("slot {} was read, and its folio was not completed", run.first)),
                Some(Err(_)) if pages.clone().all(|(_, slot, page)| self.is_on_a_disk(slot, page)) => {
                    Some(format!("slot {} could not be read, though a disk has it", run.first))
                }
                Some(Err(IoError::Device)) => None,
                Some(Err(error)) => {
                    Some(format!("slot {} could not be read, and failed with {error:?}: it is the device that failed", run.first))
                }
            };
            record.wrong.extend(wrong);
        }
    }

    fn submit_write(&self, batch: WriteBatch<Fake>) {
        let folios = folios(batch.batch());
        let contents = folios.iter().enumerate().map(|(position, (_, run))| {
            let page = |index| batch.with_page(position, index as usize, |page| Box::new(*page));
            (0..run.length).filter_map(page).collect()
        });
        let contents: Vec<Vec<Box<Page>>> = contents.collect();
        let ended = memory().ended_writes.lock().unwrap().len();
        self.record.lock().unwrap().freed.clear();
        self.mirror.submit_write(batch);
        let ended = memory().ended_writes.lock().unwrap()[ended..].to_vec();
        let record = &mut *self.record.lock().unwrap();
        for ((frame, run), pages) in folios.into_iter().zip(contents) {
            let result = ended.iter().find(|(other, _)| *other == frame).map(|(_, result)| *result);
            let pages = slots(run).zip(pages).filter(|(slot, _)| !record.freed.contains(slot));
            let pages: Vec<(u32, Box<Page>)> = pages.collect();
            let missing = pages.iter().find(|(slot, page)| !self.is_on_a_disk(*slot, page)).map(|(slot, _)| *slot);
            let wrong = match (result, missing) {
                (None, _) => Some(format!("slot {} was written, and its folio was not completed", run.first)),
                (Some(Ok(())), Some(slot)) => Some(format!("slot {slot} was said to be stored, and is on no disk")),
                (Some(Err(_)), None) if !pages.is_empty() => {
                    Some(format!("slot {} was said to have failed, though a disk has each page of its folio", run.first))
                }
                (Some(Err(error)), _) if error != IoError::Device => {
                    Some(format!("slot {} failed with {error:?}: it is the device that failed", run.first))
                }
                _ => None,
            };
            record.wrong.extend(wrong);
            if result == Some(Ok(())) {
                record.stored.extend(pages);
            }
        }
    }

    fn slot_free_notify(&self, area: &Area<Fake>, slot: u32, metadata: u64) {
        let mut record = self.record.lock().unwrap();
        record.stored.remove(&slot);
        record.freed.insert(slot);
        drop(record);
        self.mirror.slot_free_notify(area, slot, metadata);
    }
}
