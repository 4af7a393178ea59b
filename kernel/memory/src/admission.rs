//! Whether an address space may have more: the one decision that `mmap`, `mremap`, `brk`, `mprotect`, a growing stack, `mlock`
//! and `fork` all ask for (Linux: `may_expand_vm`, `mlock_future_ok`, `security_vm_enough_memory_mm`).

use core::sync::atomic::Ordering;

use quire_swap::header::PAGE_SIZE;

use crate::address_space::{AddressSpace, Layout, MapError};

pub use crate::limit::Limit;
use crate::overcommit::Commitment;
use crate::vma::Totals;

const PAGE: u64 = PAGE_SIZE as u64;

impl AddressSpace {
    /// Sets a limit, in bytes; `u64::MAX` for none.
    pub fn set_limit(&self, limit: Limit, bytes: u64) {
        self.limits[limit as usize].store(bytes, Ordering::Relaxed);
    }

    /// The limit, in bytes.
    pub fn limit(&self, limit: Limit) -> u64 {
        self.limits[limit as usize].load(Ordering::Relaxed)
    }

    /// Whether `bytes`, a multiple of pages, are within the limit, which counts whole pages.
    pub(crate) fn is_within(&self, limit: Limit, bytes: u64) -> bool {
        bytes <= self.limit(limit) / PAGE * PAGE
    }

    /// Promises the memory for what is to be `added` in place of what is `gone`, if all limits allow it. A limit that is not
    /// reached further by the change, as one that was lowered since, does not refuse it. What does not come after all is released
    /// with the layout.
    ///
    /// # Errors
    /// [`MapError::LockLimit`], [`MapError::NoMemory`].
    pub(crate) fn admit(&self, layout: &mut Layout, gone: Totals, added: Totals) -> Result<(), MapError> {
        let now = layout.vmas.totals();
        // As on Linux, locked pages that are replaced count until they are.
        if added.locked > 0 && !self.is_within(Limit::Locked, now.locked + added.locked) {
            return Err(MapError::LockLimit);
        }
        let after = now - gone + added;
        let is_refused = |limit, now, after| after > now && !self.is_within(limit, after);
        if is_refused(Limit::AddressSpace, now.mapped, after.mapped) || is_refused(Limit::Data, now.data, after.data) {
            return Err(MapError::NoMemory);
        }
        layout.promised.join(Commitment::new(after.promised.saturating_sub(now.promised) / PAGE, now.mapped / PAGE)?);
        Ok(())
    }
}
