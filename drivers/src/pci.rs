//! PCI: configuration space through I/O ports, and finding the virtio disks.
//!
//! Configuration space is shared by all devices and reached through a pair of ports, so that one access at a time is
//! possible: the kernel finds and starts devices on one thread.

mod error;
mod msix;
mod region;
mod transport;

use alloc::vec::Vec;

use virtio_drivers::transport::{
    DeviceType,
    pci::{
        bus::{ConfigurationAccess, DeviceFunction, HeaderType, PciRoot},
        virtio_device_type,
    },
};
use x86_64::instructions::port::Port;

pub use error::PciError;
pub use msix::Interrupt;
pub use transport::MsixTransport;

const ADDRESS_PORT: u16 = 0xcf8;
const DATA_PORT: u16 = 0xcfc;
/// The bit of the address port that makes the data port reach configuration space.
const ADDRESS_ENABLE: u32 = 1 << 31;

/// Where a bridge keeps the number of the bus behind it, in the second byte.
const BRIDGE_BUSES: u8 = 0x18;

/// Configuration space through the ports 0xcf8 and 0xcfc, as on every PC.
#[derive(Clone, Debug)]
pub struct ConfigurationPorts(());

impl ConfigurationPorts {
    /// # Safety
    ///
    /// Only one thread at a time uses the ports, through this value, its clones, or otherwise. What is written there decides where
    /// devices write: only this crate and virtio-drivers do.
    pub const unsafe fn new() -> Self {
        Self(())
    }

    fn select(function: DeviceFunction, register: u8) {
        let address = ADDRESS_ENABLE
            | u32::from(function.bus) << 16
            | u32::from(function.device & 0x1f) << 11
            | u32::from(function.function & 0x7) << 8
            | u32::from(register & 0xfc);
        // SAFETY: choosing an address has no effect of its own, and no other task uses the ports now.
        unsafe { Port::new(ADDRESS_PORT).write(address) };
    }
}

impl ConfigurationAccess for ConfigurationPorts {
    fn read_word(&self, function: DeviceFunction, register: u8) -> u32 {
        Self::select(function, register);
        // SAFETY: reading configuration space has no effect on memory; a device that is absent reads as ones.
        unsafe { Port::new(DATA_PORT).read() }
    }

    fn write_word(&mut self, function: DeviceFunction, register: u8, data: u32) {
        Self::select(function, register);
        // SAFETY: the callers in this crate and in virtio-drivers size base address registers with decoding off, and
        // switch on what the driver is ready for.
        unsafe { Port::new(DATA_PORT).write(data) };
    }

    unsafe fn unsafe_clone(&self) -> Self {
        self.clone()
    }
}

/// Every virtio block device, in the order of their addresses, those behind bridges included.
pub fn virtio_disks<C: ConfigurationAccess + Clone>(access: &C) -> Vec<DeviceFunction> {
    let root = PciRoot::new(access.clone());
    let mut disks = Vec::new();
    let mut seen = [false; 256];
    let mut buses = Vec::from([0u8]);
    while let Some(bus) = buses.pop() {
        if core::mem::replace(&mut seen[usize::from(bus)], true) {
            continue;
        }
        for (function, info) in root.enumerate_bus(bus) {
            if virtio_device_type(&info) == Some(DeviceType::Block) {
                disks.push(function);
            }
            if info.header_type == HeaderType::PciPciBridge {
                let [_, secondary, _, _] = access.read_word(function, BRIDGE_BUSES).to_le_bytes();
                buses.push(secondary);
            }
        }
    }
    disks.sort_unstable();
    disks
}

#[cfg(test)]
mod tests;
