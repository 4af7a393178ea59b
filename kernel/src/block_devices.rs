//! Where block devices come from.
//!
//! A new kind of device is a file with an implementation of [`BlockDevice`], which says the device's path and number, and a line of the
//! table here: `/dev`, `/sys/block`, `swapon` and file systems find it by these. If pages are to take another way than through the
//! device's own requests, its file also registers swap operations for its [driver](quire_swap::Disk::driver)
//! ([`Swap::register`](quire_swap::Swap::register)); types of backends that headers name are in the table of
//! [`backends`](crate::backends). zram is not in the table, as its devices come and go while the kernel runs.

use alloc::sync::Arc;
use alloc::vec::Vec;

use quire_linux::fs::devices::{self, BlockDevice};

use crate::swap;

/// What a driver has found, in its order.
type Found = fn() -> Vec<Arc<dyn BlockDevice>>;

/// The drivers of block devices, in the order in which their devices are listed.
const DRIVERS: [Found; 1] = [swap::disks];

/// Makes all devices known.
///
/// # Panics
/// If two have one path or one number.
#[expect(clippy::disallowed_methods, reason = "once, as the kernel starts")]
pub fn start() {
    let found: Vec<Arc<dyn BlockDevice>> = DRIVERS.iter().flat_map(|found| found()).collect();
    for (place, device) in found.iter().enumerate() {
        let is_same =
            |other: &&Arc<dyn BlockDevice>| other.name() == device.name() || other.number() == device.number();
        if let Some(other) = found[..place].iter().find(is_same) {
            panic!("block devices {} and {} have one path or one number", other.name(), device.name());
        }
    }
    devices::set_disks(found);
}
