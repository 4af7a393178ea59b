//! Registering an area for restartable sequences.

use linux_raw_sys::general as linux;
use quire_machine::address_map::USER_END;

use super::{Arguments, Calls, Outcome};
use crate::errno::Errno;
use crate::process::rseq::Area;
use crate::process::{Program, tell_processor, this};

pub(super) const CALLS: Calls = &[(linux::__NR_rseq, rseq)];

/// `RSEQ_FLAG_UNREGISTER`
const UNREGISTER: u32 = 1;

fn rseq(arguments: &Arguments) -> Outcome {
    let [address, bytes, flags, signature, ..] = arguments.words();
    let area = Area { address: address.bits(), bytes: bytes.low(), signature: signature.low() };
    let process = this();
    let registered = process.rseq();
    let is_same = registered.is_some_and(|other| (other.address, other.bytes) == (area.address, area.bytes));
    match (flags.low(), registered) {
        (0, None) if !area.is_possible(USER_END) => return Err(Errno::EINVAL),
        (0, None) => {
            process.set_rseq(Some(area));
            tell_processor(&process);
        }
        (0 | UNREGISTER, Some(other)) if is_same && other.signature != area.signature => return Err(Errno::EPERM),
        (0, Some(_)) if is_same => return Err(Errno::EBUSY),
        (UNREGISTER, Some(_)) if is_same => {
            area.clear(&mut Program).map_err(|_| Errno::EFAULT)?;
            process.set_rseq(None);
        }
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}
