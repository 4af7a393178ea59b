//! Introduces the swap core to the machine: its folios, its locks, its heap.
//!
//! # Locking
//!
//! The core's spinning locks keep preemption off ([`Machine::lock_enter`]) and have sixteen ranks of their own in the
//! machine's table.

use core::fmt;
use core::time::Duration;

use quire_machine::arch::cpu;
use quire_machine::event::{self, EventKind, pair};
use quire_machine::running::Running;
use quire_machine::sync::{Rank, acquire_rank, release_rank};
use quire_machine::{clock, fallible, heap, log, log_error, task, watermark};
use quire_swap::{AreaLayout, Direction, Event, FolioUse, IoError, Level, Machine, Occurrence};

use super::core::Quire;
use super::happening::Happening;
use crate::cgroup::counts;
use crate::folio::{Folio, NewFolio};
use crate::{frames, lru, observatory, writeback};

static BATCH: Happening = Happening::new();
static SPACE: Happening = Happening::new();
pub(super) static WORK: Happening = Happening::new();

fn happening(event: Event) -> &'static Happening {
    match event {
        Event::Batch => &BATCH,
        Event::Work => &WORK,
        Event::Space => &SPACE,
    }
}

const fn written(direction: Direction) -> u64 {
    match direction {
        Direction::Write => event::WRITE,
        Direction::Read => 0,
    }
}

impl Machine for Quire {
    type Folio = Folio;

    #[inline]
    fn lock_enter(rank: quire_swap::Rank) {
        cpu::disable_preemption();
        acquire_rank(Rank::SwapLowest as u8 + rank as u8);
    }

    #[inline]
    fn lock_leave(rank: quire_swap::Rank) {
        release_rank(Rank::SwapLowest as u8 + rank as u8);
        cpu::enable_preemption();
    }

    #[inline]
    fn relax() {
        if cpu::this().preemption_is_on() {
            task::yield_now();
        } else {
            cpu::relax();
        }
    }

    fn overtaken() {
        cpu::overtaken();
    }

    fn cpu() -> usize {
        cpu::this().number()
    }

    fn now() -> Duration {
        clock::since_boot()
    }

    #[inline]
    fn may_allocate(bytes: usize) -> bool {
        heap::may_allocate(bytes)
    }

    fn allocate_allowed<R>(work: impl FnOnce() -> R) -> R {
        fallible::certain(work)
    }

    fn charge_slots(folio: &Folio, slots: u32) -> Option<u8> {
        counts::charge_swap(folio.metadata(), slots as usize)
    }

    fn uncharge_slots(payer: u8, slots: u32) {
        counts::uncharge_swap(payer, slots as usize);
    }

    fn may_enter_file_systems() -> bool {
        !cpu::with_running(Running::is_in_file_system).unwrap_or(false)
    }

    fn allocate_folio(order: u8, folio_use: FolioUse) -> Option<Folio> {
        match (order, folio_use) {
            (0, FolioUse::Demand { entry, payer }) => {
                frames::wait_for_frame_of(entry, payer).ok().map(NewFolio::into_empty)
            }
            (0, FolioUse::Readahead(entry)) => frames::frame_if_free(entry).map(NewFolio::into_empty),
            (0, FolioUse::Writeback) => NewFolio::allocate(watermark::Purpose::Reclaim).map(NewFolio::into_empty),
            _ => None,
        }
    }

    fn added_to_cache(folio: &Folio, shadow: u64) {
        lru::come_back(folio, shadow);
    }

    fn added_together<'a>(folios: impl Iterator<Item = (&'a Folio, u64)>) {
        lru::come_back_each(folios);
    }

    fn writes_ended(folios: impl Iterator<Item = Folio>, result: Result<(), IoError>) {
        writeback::writes_ended(folios, result);
    }

    fn wait(event: Event, ready: &dyn Fn() -> bool) {
        happening(event).wait_until(ready);
    }

    fn wake(event: Event) {
        happening(event).happened();
    }

    #[inline]
    fn note(occurrence: Occurrence) {
        match occurrence {
            Occurrence::SlotsAllocated { area, first, count } => {
                event::note(EventKind::SlotAllocated, area.into(), pair(count, first));
            }
            Occurrence::SlotsFreed { area, first, count } => {
                event::note(EventKind::SlotFreed, area.into(), pair(count, first));
            }
            Occurrence::Moved { entry, frame, direction } => {
                let (kind, counted) = match direction {
                    Direction::Write => (EventKind::PageOut, counts::CgroupEvent::PageOut),
                    Direction::Read => (EventKind::PageIn, counts::CgroupEvent::PageIn),
                };
                counts::note_moved(frame, counted);
                event::note(kind, entry.area().into(), pair(frame as u32, entry.slot()));
            }
            Occurrence::BatchSubmitted { area, direction, folios } => {
                event::note(EventKind::BatchSubmitted, area.into(), folios as u64 | written(direction));
            }
            Occurrence::BatchCompleted { area, direction, folios, is_ok } => {
                let failed = if is_ok { 0 } else { event::FAILED };
                event::note(EventKind::BatchCompleted, area.into(), folios as u64 | written(direction) | failed);
            }
        }
    }

    fn area_enabled(area: &AreaLayout<'_>) {
        event::note(EventKind::SwapOn, area.index.into(), 0);
        observatory::area_enabled(area);
    }

    fn area_disabled(index: u8) {
        event::note(EventKind::SwapOff, index.into(), 0);
        observatory::area_disabled(index);
    }

    fn log(level: Level, message: fmt::Arguments<'_>) {
        match level {
            Level::Error => log_error!("swap", "error: {message}"),
            Level::Warning => log::line(log::Level::Warning, "swap", format_args!("warning: {message}")),
            Level::Information => log!("swap", "{message}"),
        }
    }
}
