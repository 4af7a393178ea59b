//! Why a device cannot be used.

use virtio_drivers::transport::pci::{VirtioPciError, bus::DeviceFunction};

/// Why a device cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PciError {
    /// The device cannot send message-signalled interrupts (MSI-X), the only ones used here.
    #[error("{function}: no MSI-X capability")]
    NoMsix {
        /// The device.
        function: DeviceFunction,
    },
    /// A capability points outside of its base address register, or that is not mapped to memory.
    #[error("{function}: capability at {capability:#x} describes no memory of the device")]
    BadCapability {
        /// The device.
        function: DeviceFunction,
        /// Where in configuration space.
        capability: u8,
    },
    /// The device is not a usable modern virtio device.
    #[error("{function}: {cause}")]
    Virtio {
        /// The device.
        function: DeviceFunction,
        /// What virtio-drivers says.
        cause: VirtioPciError,
    },
}
