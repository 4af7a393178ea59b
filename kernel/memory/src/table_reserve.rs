//! Frames for page tables that are waited for: reserved before a lock is taken under which none can be, or before a page is
//! looked for that needs the table.

use quire_machine::AllocationError;
use quire_machine::frame::Kind;
use quire_machine::task::{HeedKill, Killed};

use crate::cgroup::counts;
use crate::frames;
use crate::page_tables::PageTables;

impl PageTables {
    /// Reserves frames for as many tables, for a caller who cannot wait for them later because of a lock. Sleeps.
    ///
    /// # Errors
    /// [`AllocationError`]; what was reserved stays so.
    pub(crate) fn reserve_tables(&self, tables: usize) -> Result<(), AllocationError> {
        for turn in (0..tables).heed_kill() {
            turn.map_err(|Killed| AllocationError)?;
            let table = loop {
                if let Some(table) = counts::allocate(Kind::PageTable) {
                    break table;
                }
                frames::wait_for_any()?;
            };
            self.tables.reserve(table);
        }
        Ok(())
    }

    /// Makes the table for the PTE of the page at `address`, if there is none. Sleeps.
    ///
    /// # Errors
    /// [`AllocationError`]
    #[cold]
    #[inline(never)]
    pub(crate) fn make_table(&self, address: u64) -> Result<(), AllocationError> {
        while self.lock().find_or_create(address).is_none() {
            frames::wait_for_any()?;
        }
        Ok(())
    }
}
