//! Recompression: pages that stay for long are compressed again by an algorithm that takes longer and gets further.
//!
//! A slot is chosen and marked, read under its lock, compressed without it, and changed only if the mark is still there:
//! as in writeback. The old object stays unless the new one has a smaller size class, so takes less memory.

use quire_swap::header::{PAGE_SIZE, Page};
use quire_swap::heap;

use super::algorithms::{Algorithms, PRIORITIES, pairs};
use super::disk::{ZramDisk, is_huge};
use super::error::ZramError;
use super::slot::{Content, Flag};
use crate::killed::HeedKill;
use crate::machine::PoolMachine;
use crate::store::{Deflater, Encoding, HUGE, Object, Store, Stored};

/// What to compress again, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Recompression {
    idle: bool,
    huge: bool,
    /// Objects shorter than this stay, and new ones must be shorter; 0 for no threshold.
    threshold: usize,
    /// How many slots to try at most.
    most: u64,
    first: u8,
    last: u8,
}

impl Recompression {
    /// Reads a value of `recompress`: `type=`, `threshold=`, `max_pages=`, and `algo=` or `priority=`. What is unknown is
    /// an error, where Linux passes over it.
    pub(super) fn parse(value: &str, algorithms: Algorithms) -> Result<Self, ZramError> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| ZramError::Invalid);
        let (mut idle, mut huge, mut threshold, mut most) = (false, false, 0, u64::MAX);
        let (mut first, mut last) = (1, algorithms.highest());
        for pair in pairs(value) {
            match pair? {
                ("type", "idle") => idle = true,
                ("type", "huge") => huge = true,
                ("type", "huge_idle") => (idle, huge) = (true, true),
                ("threshold", text) => threshold = number(text)?,
                ("max_pages", text) => most = number(text)?,
                ("algo", name) => (first, last) = algorithms.priority_of(name).map_or((1, 0), |only| (only, only)),
                ("priority", text) => {
                    // There is no going back to the first algorithm: the next one is meant.
                    let only = number(text)?.clamp(1, PRIORITIES.into()) as u8;
                    (first, last) = (only, only);
                }
                _ => return Err(ZramError::Invalid),
            }
        }
        if threshold >= HUGE as u64 || algorithms.level(last).is_none() {
            return Err(ZramError::Invalid);
        }
        Ok(Self { idle, huge, threshold: threshold as usize, most, first, last })
    }
}

impl<M: PoolMachine> ZramDisk<M> {
    /// Compresses the wanted slots again, the longest objects first.
    ///
    /// # Errors
    /// The last error; what could be done is.
    pub(super) fn recompress(&self, wanted: &Recompression) -> Result<(), ZramError> {
        let _alone = self.process_alone()?;
        // It is there: there is one task at a time.
        let mut deflater = self.deflater.lock().take().ok_or(ZramError::Invalid)?;
        let result = self.recompress_by(&mut deflater, wanted);
        *self.deflater.lock() = Some(deflater);
        result
    }

    fn recompress_by(&self, deflater: &mut Deflater, wanted: &Recompression) -> Result<(), ZramError> {
        let mut page = heap::array::<M, u8, PAGE_SIZE>(|_| 0)?;
        let selected = self.select(0..self.pages(), |slot, content, object| {
            (!wanted.idle || slot.is(Flag::Idle))
                && (!wanted.huge || is_huge(content))
                && !slot.is(Flag::Incompressible)
                && object.length() >= wanted.threshold
                && slot.priority() < wanted.last
        })?;
        let mut left = wanted.most;
        let mut result = Ok(());
        for chosen in selected.into_iter().heed_kill::<M>() {
            let (_, slot) = chosen?;
            if left == 0 {
                break;
            }
            match self.recompress_slot(slot, &mut page, deflater, wanted) {
                Ok(tried) => left -= u64::from(tried),
                Err(error) => result = Err(error),
            }
        }
        result
    }

    /// Compresses one slot again if it is still marked. Returns whether that was tried.
    fn recompress_slot(
        &self,
        index: u32,
        page: &mut Page,
        deflater: &mut Deflater,
        wanted: &Recompression,
    ) -> Result<bool, ZramError> {
        let Some(slot) = self.slots.get(index) else { return Ok(false) };
        let mut locked = slot.lock::<M>();
        let Content::Stored(Stored::Object(object)) = locked.content() else { return Ok(false) };
        if !locked.is(Flag::Chosen) || self.store.load(Stored::Object(object), page).is_err() {
            // A task that reads the slot is told; here it stays as it is.
            return Ok(false);
        }
        // It was touched, so it is not to be taken for idle by something else.
        locked.clear(Flag::Idle);
        let first = wanted.first.max(locked.priority() + 1);
        drop(locked);
        let better = self.better(object, page, deflater, first, wanted)?;
        let mut locked = slot.lock::<M>();
        let is_ours = locked.is(Flag::Chosen);
        locked.clear(Flag::Chosen);
        match better {
            Some((new, priority)) if is_ours => {
                let new = Content::Stored(Stored::Object(new));
                let old = locked.replace(new);
                locked.set_priority(priority);
                drop(locked);
                self.count_new(new);
                self.release(old);
            }
            Some((new, _)) => {
                drop(locked);
                self.store.free(Stored::Object(new));
            }
            None if is_ours && wanted.last == self.algorithms.highest() => locked.set(Flag::Incompressible),
            None => {}
        }
        Ok(true)
    }

    /// The page in a new object that takes less memory than the old one, and the priority of what made it so.
    fn better(
        &self,
        old: Object,
        page: &Page,
        deflater: &mut Deflater,
        first: u8,
        wanted: &Recompression,
    ) -> Result<Option<(Object, u8)>, ZramError> {
        let levels = (first..=wanted.last).filter_map(|priority| Some((priority, self.algorithms.level(priority)?)));
        for (priority, level) in levels {
            if let Some(shorter) = deflater.compress(page, level)
                && Store::<M>::class_for(shorter.len()) < old.class()
                && (wanted.threshold == 0 || shorter.len() < wanted.threshold)
            {
                return Ok(Some((self.store.insert(shorter, Encoding::Deflate)?, priority)));
            }
        }
        Ok(None)
    }
}
