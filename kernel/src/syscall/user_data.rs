//! Arguments that lie in user memory, and answers that go there.

use alloc::vec::Vec;

use quire_swap::header::PAGE_SIZE;

use crate::arch::user;
use crate::errno::Errno;
use crate::fs::node::PATH_MAX;

/// A path.
///
/// # Errors
/// `EFAULT`; `ENAMETOOLONG`.
pub(super) fn path(address: u64) -> Result<Vec<u8>, Errno> {
    string(address, PATH_MAX, Errno::ENAMETOOLONG)
}

/// A string of fewer than `max` bytes, without the zero behind it.
///
/// # Errors
/// `EFAULT`; `too_long`.
pub(super) fn string(address: u64, max: usize, too_long: Errno) -> Result<Vec<u8>, Errno> {
    let mut string = Vec::new();
    while string.len() < max {
        let at = address.checked_add(string.len() as u64).ok_or(Errno::EFAULT)?;
        // Never over a page's end before it is known that the string goes on there.
        let room = PAGE_SIZE - at as usize % PAGE_SIZE;
        let mut part = [0; 256];
        let part = &mut part[..room.min(256).min(max - string.len())];
        user::read(at, part)?;
        match part.iter().position(|byte| *byte == 0) {
            Some(end) => {
                string.extend(&part[..end]);
                return Ok(string);
            }
            None => string.extend(&*part),
        }
    }
    Err(too_long)
}

/// A 32-bit number.
///
/// # Errors
/// `EFAULT`.
pub(super) fn write_u32(address: u64, number: u32) -> Result<(), Errno> {
    Ok(user::write(address, &number.to_le_bytes())?)
}
