//! Strings that lie in user memory.

use alloc::vec::Vec;

use quire_machine::fallible::TryVec;
use quire_machine::task::check_killed;
use quire_machine::user::Word;
use quire_swap::header::PAGE_SIZE;

use crate::errno::Errno;
use crate::fs::node::PATH_MAX;

/// A path.
///
/// # Errors
/// `EFAULT`, `ENOMEM`; `ENAMETOOLONG`.
pub(super) fn path(address: Word) -> Result<Vec<u8>, Errno> {
    string(address, PATH_MAX, Errno::ENAMETOOLONG)
}

/// A string of fewer than `max` bytes, without the zero behind it.
///
/// # Errors
/// `EFAULT`, `ENOMEM`; `too_long`. Killed.
pub(super) fn string(address: Word, max: usize, too_long: Errno) -> Result<Vec<u8>, Errno> {
    let mut string = Vec::new();
    while string.len() < max {
        check_killed()?;
        let at = address.pointer::<u8>().element(string.len());
        // Never over a page's end before it is known that the string goes on there.
        let room = PAGE_SIZE - at.address() as usize % PAGE_SIZE;
        let mut part = [0; 256];
        let part = &mut part[..room.min(256).min(max - string.len())];
        at.read_bytes(part)?;
        match part.iter().position(|byte| *byte == 0) {
            Some(end) => {
                string.try_extend(part[..end].iter().copied())?;
                return Ok(string);
            }
            None => string.try_extend(part.iter().copied())?,
        }
    }
    Err(too_long)
}
