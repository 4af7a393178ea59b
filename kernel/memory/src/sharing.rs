//! Who else can reach a byte of an address space's memory, whether its page is in memory or not.

use alloc::sync::Arc;

use quire_machine::upcall::Access;
use quire_swap::header::PAGE_SIZE;

use crate::address_space::AddressSpace;
use crate::fatal::Fatal;
use crate::fault;
use crate::object::Object;

/// Where a byte belongs.
pub enum Reach {
    /// To this address space alone.
    Space,
    /// To an object: a task that maps the object has the byte as well.
    Object {
        /// The object.
        object: Arc<Object>,
        /// The byte's place in it.
        offset: u64,
    },
}

impl AddressSpace {
    /// Where the byte at `address` belongs. The page is touched first, to be written if it may be (Linux: `get_futex_key`).
    ///
    /// # Errors
    /// Why it cannot be touched. Private memory that may only be read belongs to its object while that has the page; if it
    /// was written before, it cannot be said to whom it belongs.
    pub fn reach(&self, address: u64) -> Result<Reach, Fatal> {
        let page = address / PAGE_SIZE as u64 * PAGE_SIZE as u64;
        loop {
            let (object, shared, write) = {
                let layout = self.layout();
                let vma = layout.vmas.find(page).ok_or(Fatal::NotMapped(address))?;
                (vma.object.clone(), vma.shared, vma.protection.write)
            };
            fault::serve(self, page, Access { write, execute: false, user: true })?;
            if write && !shared {
                return Ok(Reach::Space);
            }
            let link = object.ok_or(Fatal::NotAllowed(address))?;
            if !shared {
                let pte = self.tables.bits(page);
                match self.tables.folio(page, pte) {
                    Some(folio) if folio.is_of_object() => {}
                    Some(_) => return Err(Fatal::NotAllowed(address)),
                    // Reclaim was faster.
                    None => continue,
                }
            }
            let object = link.object().ok_or(Fatal::NotMapped(address))?;
            return Ok(Reach::Object { object: Arc::clone(object), offset: address.wrapping_sub(link.base()) });
        }
    }
}
