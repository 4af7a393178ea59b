//! Making segments free: discarding the empty ones, and moving what lives in others.

use alloc::sync::Arc;
use core::ops::Range;
use core::sync::atomic::Ordering;

use quire_swap::{Area, BATCH_FOLIOS, Direction, Event, Folio, FolioFlag, FolioUse, Locked, Machine, Plug};

use super::map::Map;
use super::segments::For;

/// A living page on its way.
struct Move<M: Machine> {
    slot: u32,
    from: u32,
    to: u32,
    folio: Locked<M::Folio>,
}

/// How far a segment, or a part of it, was cleaned; the later, the less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cleaned {
    /// Nothing lives in it.
    All,
    /// A page that cannot be read stays in it.
    Stuck,
    /// There is no frame, no page to move to, or that cannot be written: later, perhaps.
    Halted,
}

impl<M: Machine> Map<M> {
    /// Makes segments free if they are few. Sleeps. Whether any is free now that writers may take.
    pub(super) fn make_space(&self, area: &Arc<Area<M>>) -> bool {
        loop {
            self.discard_empty(area);
            if !self.segments.lock().is_short() {
                return true;
            }
            if self.is_cleaning.swap(true, Ordering::Acquire) {
                M::wait(Event::Space, &|| !self.is_cleaning.load(Ordering::Relaxed));
                continue;
            }
            let is_cleaned = self.clean(area);
            self.is_cleaning.store(false, Ordering::Release);
            M::wake(Event::Space);
            if !is_cleaned {
                return false;
            }
        }
    }

    /// Discards the segments in which nothing lives.
    fn discard_empty(&self, area: &Area<M>) {
        loop {
            let mut segments = self.segments.lock();
            let (empty, length) = (segments.take_empty(), segments.length());
            drop(segments);
            let Some(first) = empty else { return };
            if area.properties().discard {
                area.discard(first.into()..u64::from(first) + u64::from(length));
            }
            self.segments.lock().discarded(first);
        }
    }

    /// Moves what lives in the segment in which least does. Whether that can go on.
    fn clean(&self, area: &Arc<Area<M>>) -> bool {
        let mut segments = self.segments.lock();
        let (emptiest, length) = (segments.take_emptiest(), segments.length());
        drop(segments);
        let Some(first) = emptiest else { return false };
        let mut pages = first..first + length;
        let mut cleaned = Cleaned::All;
        while pages.start < pages.end && cleaned != Cleaned::Halted {
            cleaned = cleaned.max(self.move_some(area, &mut pages));
        }
        self.segments.lock().left(first, cleaned != Cleaned::Stuck);
        cleaned != Cleaned::Halted
    }

    /// Moves a batch of what lives in these pages, and takes away those that were looked at.
    fn move_some(&self, area: &Arc<Area<M>>, pages: &mut Range<u32>) -> Cleaned {
        let mut plug = Plug::for_moving();
        let mut read = [const { None }; BATCH_FOLIOS];
        let mut places = read.iter_mut();
        while pages.start < pages.end {
            let page = pages.start;
            if let Some(slot) = self.living(page) {
                let Some(place) = places.next() else { break };
                let Some(folio) = M::allocate_folio(0, FolioUse::Writeback) else { break };
                plug.add_owned(area, Locked::lock(folio.clone()).into_read(), page, Direction::Read);
                *place = Some((slot, page, folio));
            }
            pages.start += 1;
        }
        plug.submit();
        if pages.start < pages.end && read[0].is_none() {
            // There is no frame to be had.
            return Cleaned::Halted;
        }
        let mut cleaned = Cleaned::All;
        let started = read.map(|page| {
            let (slot, from, folio) = page?;
            let mut folio = Locked::lock(folio);
            if !folio.state().is(FolioFlag::UpToDate) {
                cleaned = cleaned.max(Cleaned::Stuck);
                return None;
            }
            let Some(to) = self.segments.lock().take(For::Cleaner) else {
                cleaned = Cleaned::Halted;
                return None;
            };
            plug.add_owned(area, folio.start_writeback(), to, Direction::Write);
            Some(Move::<M> { slot, from, to, folio })
        });
        plug.submit();
        started.iter().flatten().map(|moved| self.finish(moved)).fold(cleaned, Ord::max)
    }

    /// The slot of a page, if it has one.
    fn living(&self, page: u32) -> Option<u32> {
        self.slots.get(page).map(|slot| slot.load(Ordering::Relaxed)).filter(|slot| *slot != 0)
    }

    /// Waits for the write, and lets the slot have the new page if it still has the old one.
    fn finish(&self, Move { slot, from, to, folio }: &Move<M>) -> Cleaned {
        folio.wait_for_writeback();
        let is_written = !folio.state().clear(FolioFlag::Dirty);
        let mut segments = self.segments.lock();
        segments.write_ended(*to, is_written);
        let page_of = self.pages.get(*slot).filter(|page| page.load(Ordering::Relaxed) == *from);
        let slot_of = self.slots.grow(*to).ok().flatten();
        if let (Some(page_of), Some(slot_of), true) = (page_of, slot_of, is_written) {
            page_of.store(*to, Ordering::Relaxed);
            slot_of.store(*slot, Ordering::Relaxed);
            self.bury(&mut segments, *from);
            return Cleaned::All;
        }
        segments.release(*to);
        // Without the old page the slot has another by now, or is free.
        if page_of.is_none() { Cleaned::All } else { Cleaned::Halted }
    }
}
