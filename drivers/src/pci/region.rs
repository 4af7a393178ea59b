//! Pieces of a device's memory.

use core::ptr::NonNull;

use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction, PciRoot};

use super::error::PciError;
use crate::Hal;

/// No structure of a virtio device is longer; a device that says so shall not use up the kernel's page tables.
const MOST_BYTES: u32 = 1 << 20;

/// The base address registers of a device are 0 to this.
pub(super) const LAST_BAR: u8 = 5;

/// A piece of device memory as a capability describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    /// Where the capability is, for reports.
    pub(super) capability: u8,
    pub(super) bar: u8,
    pub(super) offset: u32,
    pub(super) bytes: u32,
}

impl Region {
    /// Maps the region if the device really has it.
    pub(super) fn map<H: Hal, C: ConfigurationAccess>(
        &self,
        root: &mut PciRoot<C>,
        function: DeviceFunction,
    ) -> Result<NonNull<u8>, PciError> {
        let bad = PciError::BadCapability { function, capability: self.capability };
        if self.bar > LAST_BAR {
            return Err(bad);
        }
        let bar = root.bar_info(function, self.bar).ok().flatten();
        let Some((address, size)) = bar.and_then(|bar| bar.memory_address_size()) else { return Err(bad) };
        let end = u64::from(self.offset) + u64::from(self.bytes);
        if address == 0
            || end > size
            || self.bytes > MOST_BYTES
            || !self.offset.is_multiple_of(4)
            || address.checked_add(end).is_none()
        {
            return Err(bad);
        }
        // SAFETY: the range lies within memory that the device decodes.
        Ok(unsafe { H::mmio_phys_to_virt(address + u64::from(self.offset), self.bytes as usize) })
    }
}
