//! Mapping, unmapping, and changing what may be done with pages.

use alloc::sync::Arc;
use core::ops::Range;

use quire_machine::address_map::USER_END;
use quire_machine::arch::translations;
use quire_machine::heap;
use quire_machine::protection::Protection;
use quire_swap::header::PAGE_SIZE;

use super::AddressSpace;
use super::layout::{Layout, Link, LockNew};
use super::request::{Backing, CHANGE_BYTES, MapError, MapRequest, Placement, check};
use crate::charge::Charge;
use crate::object::Object;
use crate::rmap::{Owner, RmapLink};
use crate::vma::{Totals, Vma};

const PAGE: u64 = PAGE_SIZE as u64;

impl AddressSpace {
    /// Makes the pages of `range` part of the space, private, zero until they are written to.
    ///
    /// # Errors
    /// [`MapError`]; nothing changes.
    pub fn map_anonymous(&self, range: Range<u64>) -> Result<(), MapError> {
        if !range.end.is_multiple_of(PAGE) {
            return Err(MapError::OutOfRange);
        }
        let length = range.end.checked_sub(range.start).ok_or(MapError::OutOfRange)?;
        self.map(&MapRequest {
            no_reserve: true,
            ..MapRequest::anonymous(Placement::FixedNoReplace(range.start), length)
        })
        .map(drop)
    }

    /// Maps what `request` says; returns the address.
    ///
    /// # Errors
    /// [`MapError`]; nothing changes, but that what was mapped at a fixed place may be gone.
    pub fn map(&self, request: &MapRequest) -> Result<u64, MapError> {
        if request.length == 0 {
            return Err(MapError::OutOfRange);
        }
        let length = request.length.checked_next_multiple_of(PAGE).ok_or(MapError::NoMemory)?;
        if length > USER_END {
            return Err(MapError::NoMemory);
        }
        if !heap::may_allocate(CHANGE_BYTES) {
            return Err(MapError::NoMemory);
        }
        let mut layout = self.layout();
        let start = layout.place(request.place, length)?;
        let range = start..start + length;
        let locks = layout.lock_new;
        let mut vma = Vma {
            shared: request.shared,
            may_write: request.may_write,
            grows_down: request.grows_down,
            locked: request.locked || locks != LockNew::No,
            promise: request.promise(),
            name: request.name.clone(),
            ..Vma::anonymous(range.clone(), request.protection, Arc::clone(&self.anonymous))
        };
        let gone = layout.vmas.totals_in(&range);
        self.admit(&mut layout, gone, vma.totals())?;
        let object = match &request.backing {
            Backing::Object { object, offset } => Some((Arc::clone(object), *offset)),
            Backing::Anonymous if request.shared => {
                let mapped = layout.vmas.totals().mapped / PAGE;
                Some((Object::shared(length, mapped, request.waives_promise(), Charge::new(size_of::<Object>())?)?, 0))
            }
            Backing::Anonymous => None,
        };
        let object = object.map(|(object, offset)| {
            let base = start.wrapping_sub(offset);
            match layout.link_like(&object, base, &range) {
                Some(link) => Ok(link),
                None => RmapLink::new(Owner::Object(object), &self.tables, base),
            }
        });
        vma.object = object.transpose()?;
        self.unmap_from(&mut layout, &range)?;
        layout.vmas.insert(vma)?;
        drop(layout);
        if request.locked || request.populate || locks == LockNew::BringIn {
            // As on Linux, it is mapped even if its pages cannot be had.
            let _ = self.populate(range);
        }
        Ok(start)
    }

    /// Unmaps what is mapped in `range`.
    ///
    /// # Errors
    /// [`MapError`]; nothing changes.
    pub fn unmap(&self, range: Range<u64>) -> Result<(), MapError> {
        check(&range)?;
        self.unmap_from(&mut self.layout(), &range)
    }

    pub(crate) fn unmap_from(&self, layout: &mut Layout, range: &Range<u64>) -> Result<(), MapError> {
        if layout.vmas.is_free(range) {
            return Ok(());
        }
        let removed = layout.vmas.remove(range)?;
        self.release(&removed);
        Ok(())
    }

    /// Where the first mapping in `range` begins, if that is one that grows down.
    ///
    /// # Errors
    /// [`MapError::NotMapped`] if there is none.
    pub fn start_of_stack(&self, range: &Range<u64>) -> Result<Option<u64>, MapError> {
        let layout = self.layout();
        let vma = layout.vmas.overlapping(range.clone()).next().ok_or(MapError::NotMapped)?;
        Ok(vma.grows_down.then_some(vma.range.start))
    }

    /// Changes what may be done with the pages of `range`.
    ///
    /// # Errors
    /// [`MapError`]; nothing changes.
    pub fn protect(&self, range: Range<u64>, protection: Protection) -> Result<(), MapError> {
        check(&range)?;
        let mut layout = self.layout();
        // As on Linux, what comes before that has changed.
        let hole = layout.vmas.covered_until(&range);
        let is_refused = |vma: &&Vma<Link>| protection.write && vma.shared && !vma.may_write;
        let refused = layout.vmas.overlapping(range.start..hole.min(range.end)).find(is_refused);
        let outcome = match refused {
            Some(_) => Err(MapError::NotAllowed),
            None if hole < range.end => Err(MapError::NotMapped),
            None => Ok(()),
        };
        let end = refused.map_or(hole, |vma| vma.range.start).min(range.end);
        let range = range.start..end;
        if end <= range.start {
            return outcome;
        }
        let change = |vma: &mut Vma<Link>| vma.set_protection(protection);
        let added = layout.vmas.parts(&range).map(|mut part| {
            change(&mut part);
            // It is locked already.
            Totals { locked: 0, ..part.totals() }
        });
        let (gone, added) = (Totals { locked: 0, ..layout.vmas.totals_in(&range) }, added.sum());
        self.admit(&mut layout, gone, added)?;
        layout.vmas.change(&range, change)?;
        self.tables.mappings_changed();
        self.for_each_pte(range, |cell| cell.protect(protection));
        translations::flush_stale();
        outcome
    }
}
