//! Records that the kernel changes while they are read: each has a sequence, odd meanwhile and another afterwards.

use super::{error::ObservatoryError, memory::Virtual};

/// How often one that changes is read again.
const ATTEMPTS: usize = 64;

/// So many records of one size from `address` on, each as it was at one moment. `decode` says its sequence with it.
pub(super) fn sequenced<T>(
    memory: &Virtual<'_>,
    what: &'static str,
    address: u64,
    count: u64,
    bytes: usize,
    decode: impl Fn(&[u8]) -> Option<(u64, T)>,
) -> Result<Vec<T>, ObservatoryError> {
    let damaged = || ObservatoryError::Damaged { what, address, why: "it is no record" };
    let addresses = (0..count).map(|index| address.wrapping_add(index * bytes as u64));
    let read = |address| {
        for _ in 0..ATTEMPTS {
            let record = memory.bytes(what, address, bytes as u64)?;
            let again = memory.bytes(what, address, bytes as u64)?;
            let (sequence, value) = decode(&record).ok_or_else(damaged)?;
            if sequence % 2 == 0 && record == again {
                return Ok(value);
            }
        }
        Err(ObservatoryError::Restless(what))
    };
    addresses.map(read).collect()
}
