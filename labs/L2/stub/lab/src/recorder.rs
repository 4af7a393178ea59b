//! Stands between the core and the disk, writes down what passes, and says what of it cannot be right. This file is given:
//! the grader has its own.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use lab::{BANK_SLOTS, memory::PageMemory};
use quire_swap::{
    Area, BATCH_FOLIOS, Batch, Direction, Folio, IoError, NoSlot, ReadBatch, SlotRequest, SlotRun, SwapOps, SwapOpsFlags,
    Taken, WriteBatch,
};
use quire_testkit::{Fake, memory};

/// A folio on its way: its frame, its slots, and what the disk said of it; none if it was not completed.
struct Passed {
    frame: u64,
    run: SlotRun,
    result: Option<Result<(), IoError>>,
}

/// A batch that the disk was given.
struct Recorded {
    direction: Direction,
    folios: Vec<Passed>,
}

/// What has passed.
#[derive(Default)]
struct Record {
    batches: Vec<Recorded>,
    /// Slots whose pages the disk has said to have stored, and which were not freed since.
    stored: BTreeSet<u32>,
    /// Slots that were freed while the last batch was written: of pages that were given up before they were stored.
    freed_meanwhile: Vec<u32>,
    /// Folios of which the disk said what cannot be.
    wrong_results: usize,
}

/// The recorder.
pub struct Recorder {
    pub disk: Box<dyn SwapOps<Fake>>,
    pages: Arc<PageMemory>,
    record: Mutex<Record>,
}

/// What the lab's rule says.
fn may_merge(previous: SlotRun, next: SlotRun) -> bool {
    previous.end() == u64::from(next.first) && previous.first / BANK_SLOTS == next.first / BANK_SLOTS
}

fn slots(run: SlotRun) -> std::ops::Range<u32> {
    run.first..run.first + run.length
}

fn folios(batch: &Batch<Fake>) -> Vec<Passed> {
    batch.folios().map(|(folio, run)| Passed { frame: folio.number(), run, result: None }).collect()
}

impl Recorder {
    /// Before the first batch.
    pub fn new(disk: Box<dyn SwapOps<Fake>>, pages: Arc<PageMemory>) -> Self {
        Self { disk, pages, record: Mutex::default() }
    }

    /// How many batches went this way.
    pub fn count(&self, direction: Direction) -> usize {
        self.record.lock().unwrap().batches.iter().filter(|batch| batch.direction == direction).count()
    }

    /// Slots whose pages the disk has said to have stored, and which were not freed since.
    pub fn stored(&self) -> usize {
        self.record.lock().unwrap().stored.len()
    }

    /// Folios of which the disk said what cannot be.
    pub fn wrong_results(&self) -> usize {
        self.record.lock().unwrap().wrong_results
    }

    /// Batches that do what the merge rule forbids, and batches that could have gone with the one before.
    pub fn judge_batches(&self) -> (usize, usize) {
        let record = self.record.lock().unwrap();
        let (mut wrong, mut spare) = (0, 0);
        let mut before: Option<(Direction, usize, SlotRun)> = None;
        for Recorded { direction, folios } in record.batches.iter().filter(|batch| !batch.folios.is_empty()) {
            wrong += usize::from(folios.windows(2).any(|pair| !may_merge(pair[0].run, pair[1].run)));
            let joins = before.filter(|(other, length, last)| {
                other == direction && length + folios.len() <= BATCH_FOLIOS && may_merge(*last, folios[0].run)
            });
            spare += usize::from(joins.is_some() && *direction == Direction::Write);
            let length = joins.map_or(0, |(_, length, _)| length) + folios.len();
            before = Some((*direction, length, folios[folios.len() - 1].run));
        }
        (wrong, spare)
    }

    /// The last batches with what the disk said of each folio.
    pub fn describe(&self, count: usize) -> String {
        let record = self.record.lock().unwrap();
        let mut text = String::new();
        for Recorded { direction, folios } in &record.batches[record.batches.len().saturating_sub(count)..] {
            let verb = if *direction == Direction::Read { "read" } else { "write" };
            write!(text, "{}{verb}:", if text.is_empty() { "" } else { "; " }).unwrap();
            // Pages side by side of which the same was said are shown together.
            let are_alike = |one: &Passed, next: &Passed| {
                one.result == next.result && one.run.end() == u64::from(next.run.first) && one.run.length + next.run.length == 2
            };
            for alike in folios.chunk_by(are_alike) {
                let (Passed { run, result, .. }, count) = (&alike[0], alike.len());
                let last = run.end() - 1 + (count as u64 - 1);
                let slots = match (run.length, count) {
                    (1, 1) => run.first.to_string(),
                    (1, _) => format!("{} to {last} each", run.first),
                    _ => format!("{}-{last}", run.first),
                };
                let said = match result {
                    None => "not completed".to_owned(),
                    Some(Ok(())) => "Ok".to_owned(),
                    Some(Err(error)) => format!("{error:?}"),
                };
                write!(text, " {slots} {said},").unwrap();
            }
            text.pop();
        }
        text
    }

    fn judge_write(&self, mut folios: Vec<Passed>, ended_before: usize) {
        let ended = memory().ended_writes.lock().unwrap();
        for folio in &mut folios {
            let of_this = ended[ended_before..].iter().find(|(frame, _)| *frame == folio.frame);
            folio.result = of_this.map(|(_, result)| *result);
        }
        let free = self.pages.free();
        let mut record = self.record.lock().unwrap();
        let stored = folios.iter().filter(|folio| folio.result == Some(Ok(())));
        record.stored.extend(stored.flat_map(|folio| slots(folio.run)));
        for slot in std::mem::take(&mut record.freed_meanwhile) {
            record.stored.remove(&slot);
        }
        let is_wrong = |folio: &&Passed| match folio.result {
            None => true,
            Some(Ok(())) => false,
            // It had room if there is room for it even now.
            Some(Err(error)) => {
                let needed = slots(folio.run).filter(|slot| !record.stored.contains(slot)).count();
                needed <= free || error != IoError::NoSpace
            }
        };
        record.wrong_results += folios.iter().filter(is_wrong).count();
        record.batches.push(Recorded { direction: Direction::Write, folios });
    }

    fn judge_read(&self, mut folios: Vec<Passed>, ended_before: usize, lost_before: usize) {
        let ended = memory().ended_reads.lock().unwrap();
        for folio in &mut folios {
            let of_this = ended[ended_before..].iter().find(|(frame, _)| *frame == folio.frame);
            folio.result = of_this.map(|(_, result)| *result);
        }
        let mut record = self.record.lock().unwrap();
        let failed = folios.iter().filter(|folio| folio.result != Some(Ok(())));
        let failed = failed.filter(|folio| slots(folio.run).all(|slot| record.stored.contains(&slot)));
        let (lost, other): (Vec<&Passed>, Vec<&Passed>) =
            failed.partition(|folio| folio.result == Some(Err(IoError::Device)));
        let wrong = other.len() + lost.len().saturating_sub(self.pages.losses() - lost_before);
        record.wrong_results += wrong;
        record.batches.push(Recorded { direction: Direction::Read, folios });
    }
}

impl SwapOps<Fake> for Recorder {
    fn flags(&self) -> SwapOpsFlags {
        self.disk.flags()
    }

    fn metadata_bits(&self) -> u8 {
        self.disk.metadata_bits()
    }

    fn allocate_slots(&self, request: &SlotRequest<'_, Fake>) -> Result<Taken, NoSlot> {
        self.disk.allocate_slots(request)
    }

    fn can_merge(&self, area: &Area<Fake>, previous: SlotRun, next: SlotRun, direction: Direction) -> bool {
        self.disk.can_merge(area, previous, next, direction)
    }

    fn submit_read(&self, batch: ReadBatch<Fake>) {
        let (folios, ended) = (folios(batch.batch()), memory().ended_reads.lock().unwrap().len());
        let lost = self.pages.losses();
        self.disk.submit_read(batch);
        self.judge_read(folios, ended, lost);
    }

    fn submit_write(&self, batch: WriteBatch<Fake>) {
        let (folios, ended) = (folios(batch.batch()), memory().ended_writes.lock().unwrap().len());
        self.record.lock().unwrap().freed_meanwhile.clear();
        self.disk.submit_write(batch);
        self.judge_write(folios, ended);
    }

    fn keeps_pages(&self) -> bool {
        self.disk.keeps_pages()
    }

    fn slot_free_notify(&self, area: &Area<Fake>, slot: u32, metadata: u64) {
        let mut record = self.record.lock().unwrap();
        record.stored.remove(&slot);
        record.freed_meanwhile.push(slot);
        drop(record);
        self.disk.slot_free_notify(area, slot, metadata);
    }

    fn slot_zeroed(&self, area: &Area<Fake>, slot: u32, metadata: u64) {
        self.disk.slot_zeroed(area, slot, metadata);
    }
}
