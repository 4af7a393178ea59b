//! What happens on a student's machine, found out by booting it and looking at what its kernel has noted, from outside.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quire_boot::{
    Disk, Initramfs, Machine, Size, initramfs,
    observatory::{Event, Observatory, Site, What, event::FaultService},
};

use super::walk::{SWAP, Walk};

/// The machine does this in two seconds.
const TIME_MAX: Duration = Duration::from_mins(2);

const PAGE: u64 = 4096;

/// How a page came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Came {
    /// It was read for the fault.
    Major,
    /// It was in the swap cache.
    Minor,
    /// It was zero, and in no slot's place on the disk.
    Zero,
}

impl Came {
    pub(super) fn letter(self) -> char {
        match self {
            Self::Major => 'M',
            Self::Minor => 'm',
            Self::Zero => '0',
        }
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    /// Of the student's page. Of frames nothing is asked: which ones are free depends on the kernel's size and on when the disk
    /// answers.
    pub(super) slot: u64,
    /// How many slots were taken.
    pub(super) slots: u64,
    /// Pages of the batch in which it went.
    pub(super) batch: u64,
    /// How each page came back, in the order of addresses.
    pub(super) came: Vec<Came>,
    /// Batches that were read, each by its number of pages.
    pub(super) reads: Vec<u64>,
}

/// What happened on the machines that were booted.
static KNOWN: Mutex<Vec<(Walk, Result<Truth, String>)>> = Mutex::new(Vec::new());

/// What happens on this machine. It is booted once, however many ask.
///
/// # Errors
/// It does not boot, or did something else than it was told.
pub(super) fn of(walk: Walk) -> Result<Truth, String> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, truth)) = known.iter().find(|(other, _)| *other == walk) {
        return truth.clone();
    }
    let truth = boot(walk).and_then(|events| read(walk, &events));
    known.push((walk, truth.clone()));
    truth
}

fn boot(walk: Walk) -> Result<Vec<Event>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the grader cannot boot your machine: {error}");
    // As a student boots it: what is in memory from the beginning decides which frames are left.
    let initramfs = initramfs::shell().into_iter().fold(Initramfs::new(), Initramfs::shell);
    let machine = Machine::new().memory(walk.memory()).disk(Disk::swap(Size::mebibytes(SWAP))).icount();
    let machine = machine.initramfs(initramfs).append(&walk.words()).timeout(TIME_MAX);
    let site = Arc::new(Site::new(machine.installed_memory()).map_err(|error| failed(&error))?);
    let outcome = machine.observed_at(Arc::clone(&site)).run().map_err(|error| failed(&error))?;
    if !outcome.status.is_success() {
        return Err(failed(&outcome.status));
    }
    let snapshot = Observatory::open(&site.memory()).and_then(|mut observatory| observatory.read());
    let snapshot = snapshot.map_err(|error| failed(&error))?;
    if snapshot.lost_events > 0 {
        return Err(failed(&"more happened than its kernel can note"));
    }
    Ok(snapshot.events)
}

/// Reads what happened from the events.
fn read(walk: Walk, events: &[Event]) -> Result<Truth, String> {
    let lacks = |what: &str| format!("the grader does not find {what} among what happened on your machine");
    let (thread, base) = pages_made(walk, events).ok_or_else(|| lacks("where the pages were made"))?;

    // Pages that are not zero are written in the order of their addresses.
    let outs: Vec<(usize, u32)> = events
        .iter()
        .enumerate()
        .filter_map(|(at, event)| match event.what {
            What::PageOut { slot, .. } if event.thread == thread => Some((at, slot)),
            _ => None,
        })
        .collect();
    let stored: Vec<u64> = walk.range().filter(|page| !walk.is_zero(*page)).collect();
    let place = stored.iter().position(|page| *page == walk.page).ok_or_else(|| lacks("your page"))?;
    let (at, slot) = *outs.get(place).filter(|_| outs.len() == stored.len()).ok_or_else(|| lacks("the way out"))?;
    let batch = |events: &[Event], is_written: bool| {
        events.iter().find_map(|event| match event.what {
            What::BatchSubmitted { write, folios, .. } if write == is_written => Some(u64::from(folios)),
            _ => None,
        })
    };
    let slots = events.iter().filter(|event| event.thread == thread).filter_map(|event| match event.what {
        What::SlotAllocated { count, .. } => Some(u64::from(count)),
        _ => None,
    });

    let after = &events[outs.last().map_or(0, |(at, ..)| *at)..];
    let faults = after.iter().filter(|event| event.thread == thread).filter_map(|event| match event.what {
        What::Fault { service, address } => Some((address.wrapping_sub(base) / PAGE, service)),
        _ => None,
    });
    let mut came = HashMap::new();
    for (page, service) in faults.filter(|(page, _)| walk.range().contains(page)) {
        let how = match service {
            FaultService::Read => Came::Major,
            FaultService::Cached => Came::Minor,
            FaultService::ZeroSlot => Came::Zero,
            _ => continue,
        };
        came.entry(page).or_insert(how);
    }
    let reads = after.iter().filter_map(|event| match event.what {
        What::BatchSubmitted { write: false, folios, .. } if event.thread == thread => Some(u64::from(folios)),
        _ => None,
    });
    Ok(Truth {
        slot: slot.into(),
        slots: slots.sum(),
        batch: batch(&events[at..], true).ok_or_else(|| lacks("the batch"))?,
        came: walk
            .range()
            .map(|page| came.get(&page).copied())
            .collect::<Option<_>>()
            .ok_or_else(|| lacks("all faults"))?,
        reads: reads.collect(),
    })
}

/// Which thread touched so many pages one behind the other for the first time, and where these begin.
fn pages_made(walk: Walk, events: &[Event]) -> Option<(u32, u64)> {
    let first = events.iter().filter_map(|event| match event.what {
        What::Fault { service: FaultService::ZeroFilled, address } => Some((event.thread, address / PAGE * PAGE)),
        _ => None,
    });
    let first: Vec<_> = first.collect();
    let is_run =
        |window: &&[(u32, u64)]| window.windows(2).all(|pair| pair[0].0 == pair[1].0 && pair[0].1 + PAGE == pair[1].1);
    first.windows(walk.pages as usize).find(is_run).map(|window| window[0])
}
