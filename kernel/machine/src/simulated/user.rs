//! The kernel's accesses to the user half: what `arch::user` does in assembly. A fault is served by the rooms above, or the access
//! fails.

use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use quire_swap::header::PAGE_SIZE;

use super::cpu;
use super::mmu;
use crate::upcall::{Access, upcalls};

const READ: Access = Access { write: false, execute: false, user: false };
const WRITE: Access = Access { write: true, ..READ };

/// Where the byte at `address` is; `None` if the fault cannot be served.
fn reach(address: u64, access: Access) -> Option<*mut u8> {
    loop {
        match mmu::translate(address, access) {
            Ok(place) => return Some(place),
            Err(refused) => {
                assert!(
                    cpu::this().preemption_is_on(),
                    "the kernel touches {address:#x} of the user half while it may not sleep: {refused:?}"
                );
                if !(upcalls().user_copy_fault)(address, access) {
                    return None;
                }
            }
        }
    }
}

/// The parts of `length` bytes from `address` on that lie in one page each: how many bytes came before, and how many it has.
pub(super) fn parts(address: u64, length: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut before = 0;
    std::iter::from_fn(move || {
        let within = (address.wrapping_add(before as u64) % PAGE_SIZE as u64) as usize;
        let part = (before, (length - before).min(PAGE_SIZE - within));
        before += part.1;
        (part.1 > 0).then_some(part)
    })
}

/// Copies from `address` of the user half on; whether all bytes could be.
pub(crate) fn copy_from(address: u64, to: &mut [u8]) -> bool {
    parts(address, to.len()).all(|(before, length)| {
        reach(address + before as u64, READ).is_some_and(|from| {
            // SAFETY: the bytes are in a frame of the machine's memory, which `to` is not.
            unsafe { from.copy_to_nonoverlapping(to[before..].as_mut_ptr(), length) };
            true
        })
    })
}

/// Copies to `address` of the user half on; whether all bytes could be.
pub(crate) fn copy_to(address: u64, from: &[u8]) -> bool {
    parts(address, from.len()).all(|(before, length)| {
        reach(address + before as u64, WRITE).is_some_and(|to| {
            // SAFETY: as above, the other way round.
            unsafe { to.copy_from_nonoverlapping(from[before..].as_ptr(), length) };
            true
        })
    })
}

/// Writes at `address` what is there; whether that could be.
pub(crate) fn touch(address: u64) -> bool {
    reach(address, WRITE).is_some_and(|place| {
        // SAFETY: the byte is in a frame of the machine's memory, and only touched by instructions of processors.
        unsafe { AtomicU8::from_ptr(place) }.fetch_or(0, Ordering::Relaxed);
        true
    })
}

/// The number at `address`, in one load.
pub(crate) fn load(address: u64) -> Option<u32> {
    let mut bytes = [0; 4];
    let is_aligned = address.is_multiple_of(4);
    if !is_aligned {
        return copy_from(address, &mut bytes).then(|| u32::from_le_bytes(bytes));
    }
    // SAFETY: as in `touch`; the four bytes are aligned.
    reach(address, READ).map(|place| unsafe { AtomicU32::from_ptr(place.cast()) }.load(Ordering::Relaxed))
}

/// Replaces the number at `address` if it is `expected`; returns what was there.
pub(crate) fn compare_exchange(address: u64, expected: u32, new: u32) -> Option<u32> {
    assert!(address.is_multiple_of(4), "a simulated exchange is aligned");
    reach(address, WRITE).map(|place| {
        // SAFETY: as in `touch`; the four bytes are aligned.
        let number = unsafe { AtomicU32::from_ptr(place.cast()) };
        match number.compare_exchange(expected, new, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(found) | Err(found) => found,
        }
    })
}
