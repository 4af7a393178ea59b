//! Bringing a page of an object into memory: from its source, as zeros, or from swap.

use core::sync::atomic::Ordering;

use quire_machine::AllocationError;
use quire_machine::pte_index::NoNode;
use quire_machine::task::{Interrupted, check_signals};
use quire_swap::{DecodedPte, Entry, FaultError, FaultIn, FaultKind, Folio as _, Locked, Neighbourhood};

use super::block::Block;
use super::{Object, ObjectError};
use crate::folio::{self, Folio};
use crate::lru::{self, Exit};
use crate::overcommit::Commitment;
use crate::page_tables::Pte;
use crate::swap::references;
use crate::{frames, swap};

/// A page of an object, locked, up to date and in its place.
pub(crate) struct LockedPage {
    pub(crate) folio: Locked<Folio>,
    /// It was read from swap for this.
    pub(crate) was_read: bool,
}

impl Object {
    /// Page `index`, as it is now, in memory.
    ///
    /// # Errors
    /// [`ObjectError`].
    pub(crate) fn page(&self, index: u64) -> Result<LockedPage, ObjectError> {
        loop {
            if !self.has_page(index) {
                return Err(ObjectError::BeyondEnd);
            }
            let pte = self.pages.lock().get(index);
            match DecodedPte::decode(pte) {
                DecodedPte::None => {
                    if let Some(folio) = self.fill(index)? {
                        return Ok(LockedPage { folio, was_read: false });
                    }
                }
                DecodedPte::Present(_) => {
                    let Some(folio) = self.folio_in(index) else { continue };
                    let folio = Locked::lock(folio);
                    if self.holds(index, &folio) && self.has_page(index) {
                        return Ok(LockedPage { folio, was_read: false });
                    }
                }
                DecodedPte::Entry(entry) => {
                    if let Some(found) = self.swap_in(index, entry, true)? {
                        return Ok(found);
                    }
                }
                DecodedPte::Poisoned(entry) => return Err(ObjectError::ReadFailed(entry)),
                DecodedPte::Unknown(_) => unreachable!("an index stores no other entries"),
            }
        }
    }

    /// Gives a page that is nowhere its first contents. `None`: look again.
    pub(super) fn fill(&self, index: u64) -> Result<Option<Locked<Folio>>, ObjectError> {
        let promise = Commitment::new(self.promised_for_page(), 0).map_err(|AllocationError| ObjectError::NoPromise)?;
        let from_source = self.is_in_source(index);
        let block = self.take_block(from_source)?;
        self.make_nodes(index)?;
        let mut folio = frames::wait_for_frame().map_err(|AllocationError| ObjectError::NoMemory)?;
        match self.source.as_ref().filter(|_| from_source) {
            Some(source) => source.fill(index, folio.page_mut()),
            None => folio.clear(),
        }
        let folio = folio.filled();
        let Some(folio) = self.place(index, 0, Locked::lock(folio)) else { return Ok(None) };
        // The page has both now.
        promise.leave();
        block.keep();
        match from_source {
            true => lru::add(&folio, Exit::Drop),
            false if self.stays() => lru::keep(&folio),
            false => lru::add(&folio, Exit::Swap),
        }
        Ok(Some(folio))
    }

    /// Makes the index's nodes for a page before there is a frame for it: in a full cgroup either could push the other out for ever.
    fn make_nodes(&self, index: u64) -> Result<(), ObjectError> {
        loop {
            let made = self.pages.lock().make_nodes(index);
            match made {
                Ok(()) => return Ok(()),
                Err(NoNode::Refused) => return Err(ObjectError::NoSpace),
                Err(NoNode::NoFrame) => frames::wait_for_any().map_err(|AllocationError| ObjectError::NoMemory)?,
            }
        }
    }

    /// Takes a block for a page. What a source has is there already, whatever the limit is.
    fn take_block(&self, from_source: bool) -> Result<Block<'_>, ObjectError> {
        let Some(account) = &self.account else { return Ok(Block(None)) };
        if from_source {
            account.blocks.take_anyway(1);
        } else if !account.blocks.take(1) {
            return Err(ObjectError::NoSpace);
        }
        Ok(Block(Some(&account.blocks)))
    }

    /// Puts the folio into the index entry, whose nodes are there, if that is still `expected`, with a reference. `None`: look again.
    fn place(&self, index: u64, expected: u64, folio: Locked<Folio>) -> Option<Locked<Folio>> {
        folio::set_owned(&folio, self.rmap.mark(index));
        folio.set_of_object();
        let mut pages = self.pages.lock();
        if pages.get(index) == expected && pages.replace(index, Pte::holding(Folio::clone(&folio))).is_ok() {
            self.count(1);
            return Some(folio);
        }
        // What unlocking the folio may take comes before this.
        drop(pages);
        None
    }

    fn swap_in(&self, index: u64, entry: Entry, reads_ahead: bool) -> Result<Option<LockedPage>, ObjectError> {
        let entry_of = |index| Entry::from_pte(self.pages.lock().get(index));
        let neighbourhood = reads_ahead.then(|| Neighbourhood {
            readahead: &self.readahead,
            page: index,
            pages: (0, self.page_count()),
            entry: &entry_of,
        });
        let FaultIn { folio, kind, was_read_ahead } = match swap::core().fault_in(entry, 0, neighbourhood.as_ref()) {
            Ok(fault_in) => fault_in,
            Err(FaultError::Gone) => return Ok(None),
            Err(FaultError::NoMemory) => return Err(ObjectError::NoMemory),
            Err(FaultError::ReadFailed(entry)) => return Err(ObjectError::ReadFailed(entry)),
        };
        if !folio.state().may_be_written() {
            folio.wait_for_writeback();
        }
        let Some(folio) = self.place(index, entry.to_pte(), folio) else { return Ok(None) };
        self.swapped.fetch_sub(1, Ordering::Relaxed);
        swap::core().put_mapped(entry, &folio, false);
        lru::is_wanted(&folio, was_read_ahead);
        Ok(Some(LockedPage { folio, was_read: kind == FaultKind::Read }))
    }

    /// Swaps in every page whose entry is `wanted`; one that cannot be read is poisoned.
    ///
    /// # Errors
    /// [`AllocationError`] when there is no frame for one, or a signal has come meanwhile.
    pub(crate) fn swap_in_all(&self, wanted: impl Fn(Entry) -> bool) -> Result<(), AllocationError> {
        let mut from = 0;
        loop {
            check_signals().map_err(|Interrupted| AllocationError)?;
            let next = self.pages.lock().next(from..u64::MAX);
            let Some((index, pte)) = next else { return Ok(()) };
            from = index + 1;
            let Some(entry) = Entry::from_pte(pte).filter(|entry| wanted(*entry)) else { continue };
            swap::core().read_around(entry);
            match self.swap_in(index, entry, false) {
                Ok(_) | Err(ObjectError::BeyondEnd) => {}
                Err(ObjectError::NoMemory | ObjectError::NoPromise | ObjectError::NoSpace | ObjectError::Killed) => {
                    return Err(AllocationError);
                }
                Err(ObjectError::ReadFailed(entry)) => {
                    if self.replace(index, pte, Pte::unmapped(DecodedPte::Poisoned(entry).encode())) {
                        references::forget_pte(pte);
                    }
                }
            }
        }
    }
}
