//! What the machine has that files show: disks, zram and zswap. The kernel registers them here as it starts them.

use alloc::sync::Arc;
use alloc::vec::Vec;

use quire_compressed::zram::{Control, Zram};
use quire_compressed::zswap::Zswap;
use quire_machine::sync::Once;
use quire_memory::swap::Quire;
use quire_swap::IoError;

use super::node::Device;
use crate::errno::Errno;

/// A disk: what programs see of it beside what swap needs of it.
pub trait BlockDevice: quire_swap::Disk<Quire> {
    /// Its number, which no other has.
    fn number(&self) -> Device;

    /// Its size in sectors of 512 bytes, the last part of a page included.
    fn sectors(&self) -> u64;

    /// How many pages a request may have.
    fn pages_in_request(&self) -> usize;

    /// Has it write what it keeps in a cache of its own, and waits.
    ///
    /// # Errors
    /// The device's.
    fn flush(&self) -> Result<(), IoError>;

    /// Sets whether seeking costs.
    fn set_rotational(&self, rotational: bool);

    /// What it has done.
    fn counters(&self) -> DiskCounters;
}

/// What a disk has done since it was started.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "requests by what they ask for, as their names say")]
pub struct DiskCounters {
    pub reads: u64,
    pub writes: u64,
    pub flushes: u64,
    pub discards: u64,
    /// Sectors that were read.
    pub sectors_read: u64,
    /// Sectors that were written.
    pub sectors_written: u64,
    /// Requests that it has not answered yet.
    pub in_flight: u64,
}

static DISKS: Once<Vec<Arc<dyn BlockDevice>>> = Once::new();
static ZRAM: Once<Arc<Control<Quire>>> = Once::new();
static ZSWAP: Once<Arc<Zswap<Quire>>> = Once::new();

/// These are the block devices that stay, in their order.
pub fn set_disks(disks: Vec<Arc<dyn BlockDevice>>) {
    DISKS.call_once(|| disks);
}

/// Every disk.
pub fn disks() -> &'static [Arc<dyn BlockDevice>] {
    DISKS.get().map_or(&[], Vec::as_slice)
}

/// The disk with this path, such as `/dev/vda`.
pub fn disk(path: &str) -> Option<&'static Arc<dyn BlockDevice>> {
    disks().iter().find(|disk| disk.name() == path)
}

/// This is what adds and removes zram devices.
pub fn set_zram(control: Arc<Control<Quire>>) {
    ZRAM.call_once(|| control);
}

/// What adds and removes zram devices, once zram is started.
pub fn zram_control() -> Option<&'static Arc<Control<Quire>>> {
    ZRAM.get()
}

/// Every zram device there is now.
///
/// # Errors
/// `ENOMEM`.
pub fn zrams() -> Result<Vec<Arc<Zram<Quire>>>, Errno> {
    zram_control().map_or(Ok(Vec::new()), |control| Ok(control.devices()?))
}

/// The device `zramN` or `/dev/zramN`.
pub fn zram(name: &str) -> Option<Arc<Zram<Quire>>> {
    zram_control()?.device(name)
}

/// This is zswap.
pub fn set_zswap(zswap: Arc<Zswap<Quire>>) {
    ZSWAP.call_once(|| zswap);
}

/// zswap, once it is started.
pub fn zswap() -> Option<&'static Arc<Zswap<Quire>>> {
    ZSWAP.get()
}

/// The disk, or the zram device if it has a size, with this path.
pub fn for_swap(path: &str) -> Option<Arc<dyn quire_swap::Disk<Quire>>> {
    match zram(path) {
        Some(zram) => Some(zram.open()?),
        None => Some(Arc::clone(disk(path)?) as _),
    }
}
