//! The heap of `brk(2)`.

use alloc::sync::Arc;
use core::cmp;
use core::ops::Range;

use quire_machine::address_map::USER_END;
use quire_machine::heap;
use quire_machine::protection::Protection;
use quire_swap::header::PAGE_SIZE;

use super::AddressSpace;
use super::layout::{Layout, LockNew};
use super::request::{CHANGE_BYTES, MapError};
use crate::limit::Limit;
use crate::vma::{Totals, Vma};

const PAGE: u64 = PAGE_SIZE as u64;

impl AddressSpace {
    /// Puts an empty heap at `start` (`brk(2)` moves its end).
    pub fn start_break(&self, start: u64) {
        let start = start.next_multiple_of(PAGE);
        self.layout().heap = start..start;
    }

    /// Moves the end of the heap to `end` if that is possible; returns where it is then.
    pub fn set_break(&self, end: u64) -> u64 {
        let mut layout = self.layout();
        let heap = layout.heap.clone();
        let is_possible = end >= heap.start && end < USER_END && end - heap.start <= self.limit(Limit::Break);
        if !is_possible {
            return heap.end;
        }
        let (old, new) = (heap.end.next_multiple_of(PAGE), end.next_multiple_of(PAGE));
        let locks = layout.lock_new;
        let moved = match new.cmp(&old) {
            cmp::Ordering::Greater => self.extend_heap(&mut layout, old..new),
            cmp::Ordering::Less => self.unmap_from(&mut layout, &(new..old)),
            cmp::Ordering::Equal => Ok(()),
        };
        if moved.is_err() {
            return heap.end;
        }
        layout.heap.end = end;
        drop(layout);
        if new > old && locks == LockNew::BringIn {
            let _ = self.populate(old..new);
        }
        end
    }

    fn extend_heap(&self, layout: &mut Layout, range: Range<u64>) -> Result<(), MapError> {
        // Not into the guard gap of what lies above, as on Linux.
        let is_clear = layout.vmas.is_free(&(range.start..range.end + PAGE));
        if !is_clear || !heap::may_allocate(CHANGE_BYTES) {
            return Err(MapError::NoMemory);
        }
        let locked = layout.lock_new != LockNew::No;
        let vma = Vma { locked, ..Vma::anonymous(range, Protection::READ_WRITE, Arc::clone(&self.anonymous)) };
        self.admit(layout, Totals::NONE, vma.totals())?;
        Ok(layout.vmas.insert(vma)?)
    }
}
