//! `mremap`: a mapping gets longer or shorter, or moves.
//!
//! What moves keeps its pages: the PTEs go to other addresses, and the VMA is tied to its owners by a link whose
//! base has moved along, so every page keeps its index.

use core::ops::Range;

use quire_machine::arch::translations;
use quire_machine::heap;
use quire_machine::task::check_killed;
use quire_swap::header::PAGE_SIZE;

use crate::address_space::{AddressSpace, CHANGE_BYTES, LOWEST, MapError, Placement, check};
use crate::vma::{Totals, Vma};

const PAGE: u64 = PAGE_SIZE as u64;

/// How a mapping may change its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Not at all.
    Never,
    /// If it does not fit where it is.
    IfNeeded,
    /// To this address; what is mapped there is unmapped.
    To(u64),
}

impl AddressSpace {
    /// Makes what is mapped in `old` `new_length` bytes long; returns where it is then.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn remap(&self, old: Range<u64>, new_length: u64, movement: Move) -> Result<u64, MapError> {
        let new_length = new_length.checked_next_multiple_of(PAGE).filter(|length| *length > 0);
        let new_length = new_length.ok_or(MapError::OutOfRange)?;
        if let Move::To(address) = movement {
            let target = address..address.checked_add(new_length).ok_or(MapError::OutOfRange)?;
            check(&target)?;
            if target.start < old.end && old.start < target.end {
                return Err(MapError::OutOfRange);
            }
        }
        self.layout().vmas.find(old.start).ok_or(MapError::NotMapped)?;
        check(&old)?;
        // Twice as many as are moved, as what one table covers may come to lie in two, and a path to the first. No task waits for
        // a frame with the layout locked.
        let tables = if movement == Move::Never { 0 } else { 2 * self.tables_in_use(old.clone()) + 3 };
        let reserved = self.tables.reserve_tables(tables).map_err(MapError::from);
        let outcome = reserved.and_then(|()| match movement {
            Move::To(address) if new_length == old.end - old.start => self.move_each(&old, address),
            _ => self.remap_with_tables(old, new_length, movement),
        });
        self.tables.free_reserved();
        outcome
    }

    /// Moves what is mapped in `old`, which may be several mappings with holes between them (Linux 6.17: `remap_move`). What has moved
    /// stays where it is then if another cannot.
    fn move_each(&self, old: &Range<u64>, address: u64) -> Result<u64, MapError> {
        let mut from = old.start;
        while from < old.end {
            check_killed()?;
            let layout = self.layout();
            let Some(vma) = layout.vmas.overlapping(from..old.end).next() else { break };
            let part = vma.range.start.max(from)..vma.range.end.min(old.end);
            drop(layout);
            from = part.end;
            let to = address + (part.start - old.start);
            let length = part.end - part.start;
            self.remap_with_tables(part, length, Move::To(to))?;
        }
        Ok(address)
    }

    fn remap_with_tables(&self, mut old: Range<u64>, new_length: u64, movement: Move) -> Result<u64, MapError> {
        let mut layout = self.layout();
        if matches!(movement, Move::To(address) if address < LOWEST) {
            return Err(MapError::TooLow);
        }
        let kept = old.start.saturating_add(new_length).min(old.end);
        if !matches!(movement, Move::To(_)) && new_length <= old.end - old.start {
            // Of what does not stay there may be more than one mapping.
            if kept < old.end {
                self.unmap_from(&mut layout, &(kept..old.end))?;
            }
            return Ok(old.start);
        }
        let vma = layout.vmas.find(old.start).filter(|vma| vma.range.end >= kept);
        let vma = vma.ok_or(MapError::NotMapped)?.clone();
        if let Move::To(address) = movement {
            self.unmap_from(&mut layout, &(address..address + new_length))?;
            if kept < old.end {
                self.unmap_from(&mut layout, &(kept..old.end))?;
                old.end = kept;
            }
        }
        let old_length = old.end - old.start;
        let resized = |range: &Range<u64>| Vma { range: range.clone(), ..vma.clone() }.totals();
        if new_length > old_length {
            let more = old.end..old.end + (new_length - old_length);
            self.admit(&mut layout, Totals::NONE, resized(&more))?;
        }
        if !heap::may_allocate(CHANGE_BYTES) {
            return Err(MapError::NoMemory);
        }
        let start = match movement {
            Move::Never | Move::IfNeeded => {
                let grown = old.end..old.start.checked_add(new_length).ok_or(MapError::NoMemory)?;
                let fits = vma.range.end == old.end && check(&grown).is_ok() && layout.vmas.is_free(&grown);
                if fits {
                    let added = Vma { range: grown.clone(), ..vma };
                    let locked = added.locked;
                    layout.vmas.insert(added)?;
                    drop(layout);
                    if locked {
                        let _ = self.populate(grown);
                    }
                    return Ok(old.start);
                }
                if movement == Move::Never {
                    return Err(MapError::NoMemory);
                }
                layout.place(Placement::Anywhere { hint: 0 }, new_length)?
            }
            Move::To(address) => address,
        };
        let distance = start.wrapping_sub(old.start);
        let moved = Vma {
            range: start..start + new_length,
            object: vma.object.as_ref().map(|link| link.moved(distance)).transpose()?,
            anonymous: vma.anonymous.moved(distance)?,
            ..vma
        };
        let locked = moved.locked;
        let removed = layout.vmas.replace(&old, moved)?;
        self.tables.mappings_changed();
        let carried = self.move_ptes(old.clone(), start);
        translations::flush_stale();
        self.release(&removed);
        drop(layout);
        carried?;
        if locked {
            let _ = self.populate(start..start + new_length);
        }
        Ok(start)
    }

    /// Moves the PTEs of `from` to the addresses from `to` on, where there are none.
    fn move_ptes(&self, from: Range<u64>, to: u64) -> Result<(), MapError> {
        let distance = to.wrapping_sub(from.start);
        let mut walk = self.tables.walk(from);
        while let Some(mut run) = walk.next_run() {
            // Enough was reserved.
            run.move_by(distance)?;
        }
        Ok(())
    }

    /// How many tables have a PTE of `range` that says something.
    fn tables_in_use(&self, range: Range<u64>) -> usize {
        let mut walk = self.tables.walk(range);
        let runs = core::iter::from_fn(|| walk.next_run());
        runs.filter(|run| run.iter().any(|cell| cell.bits() != 0)).count()
    }
}
