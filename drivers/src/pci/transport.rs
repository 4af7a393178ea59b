//! The virtio transport over PCI with an interrupt: virtio-drivers' own, plus what it leaves out.
//!
//! virtio-drivers 0.13 never tells a queue which MSI-X entry to use, so that its devices do not interrupt. It also looks
//! for the doorbell's place before every ring, through two more registers, and believes what it finds. This transport
//! wraps it: a queue gets its entry before it is enabled and its doorbell is found and checked once.

use core::ptr::NonNull;

use virtio_drivers::{
    PhysAddr, Result as VirtioResult,
    transport::{
        DeviceStatus, DeviceType, InterruptStatus, Transport,
        pci::{
            PciTransport, VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_PCI_CAP_DEVICE_CFG, VIRTIO_PCI_CAP_NOTIFY_CFG,
            VirtioPciError,
            bus::{Command, ConfigurationAccess, DeviceFunction, PCI_CAP_ID_VNDR, PciRoot},
        },
    },
};

use super::{
    error::PciError,
    msix::{self, Interrupt},
    region::{LAST_BAR, Region},
};
use crate::{Hal, mmio::Register};

/// Offsets in a virtio capability (virtio 1.1, section 4.1.4).
const CAPABILITY_BAR: u8 = 4;
const CAPABILITY_OFFSET: u8 = 8;
const CAPABILITY_LENGTH: u8 = 12;
const CAPABILITY_NOTIFY_MULTIPLIER: u8 = 16;
const CAPABILITY_BYTES: u8 = 16;
const NOTIFY_CAPABILITY_BYTES: u8 = 20;

/// The configuration space that capabilities lie in, and how many fit there; more are a circle.
const CONFIGURATION_BYTES: u16 = 256;
const MOST_CAPABILITIES: usize = 48;

/// Offsets in the common configuration (section 4.1.4.3), all of 16 bits, and how far it reaches.
const CONFIGURATION_MSIX: usize = 16;
const QUEUE_SELECT: usize = 22;
const QUEUE_MSIX: usize = 26;
const QUEUE_NOTIFY_OFFSET: usize = 30;
const COMMON_BYTES: u32 = 56;

/// The MSI-X entry that every interrupt of the device uses.
const MSIX_ENTRY: u16 = 0;

/// The virtio part of a PCI device that interrupts by MSI-X. Its device must have one queue, as [`crate::virtio_blk`] uses.
#[derive(Debug)]
pub struct MsixTransport {
    inner: PciTransport,
    configuration_msix: Register<u16>,
    queue_select: Register<u16>,
    queue_msix: Register<u16>,
    queue_notify_offset: Register<u16>,
    /// The doorbells of all queues.
    doorbells: NonNull<u8>,
    doorbells_bytes: u32,
    doorbell_multiplier: u32,
    /// The doorbell of the queue that was set up.
    doorbell: Option<Register<u16>>,
}

// SAFETY: the pointer is to device registers, which are the same from every processor.
unsafe impl Send for MsixTransport {}

impl MsixTransport {
    /// Switches the device on and directs its interrupts.
    ///
    /// # Errors
    ///
    /// The device has no MSI-X, or describes itself wrongly.
    ///
    /// # Safety
    ///
    /// `access` leads to the configuration space of the machine's devices, and nothing else uses this one: where it says that its
    /// registers are, none of RAM is. The vector is one for devices. The value is for [`VirtioBlk::new`](crate::virtio_blk::VirtioBlk::new)
    /// as it is: what its queue is told is where the device writes.
    pub unsafe fn new<H: Hal, C: ConfigurationAccess + Clone>(
        access: &C,
        function: DeviceFunction,
        interrupt: Interrupt,
    ) -> Result<Self, PciError> {
        let mut access = access.clone();
        let mut root = PciRoot::new(access.clone());
        let (_, command) = root.get_status_command(function);
        root.set_command(function, command | Command::MEMORY_SPACE | Command::BUS_MASTER);

        let virtio = |cause| PciError::Virtio { function, cause };
        let description = Description::read(&access, &root, function)?;
        let common = description.common.ok_or(virtio(VirtioPciError::MissingCommonConfig))?;
        let notify = description.doorbells.ok_or(virtio(VirtioPciError::MissingNotifyConfig))?;
        if common.bytes < COMMON_BYTES {
            return Err(PciError::BadCapability { function, capability: common.capability });
        }
        let common = common.map::<H, C>(&mut root, function)?;
        let doorbells = notify.map::<H, C>(&mut root, function)?;
        let inner = PciTransport::new::<H, C>(&mut root, function).map_err(virtio)?;
        msix::enable::<H, C>(&mut access, function, interrupt)?;
        // SAFETY: the common configuration is mapped and long enough; these registers make the device touch no memory.
        // `inner` uses some of them too, but never while a method of this type does.
        let register = |offset| unsafe { Register::new(common, offset) };
        Ok(Self {
            inner,
            configuration_msix: register(CONFIGURATION_MSIX),
            queue_select: register(QUEUE_SELECT),
            queue_msix: register(QUEUE_MSIX),
            queue_notify_offset: register(QUEUE_NOTIFY_OFFSET),
            doorbells,
            doorbells_bytes: notify.bytes,
            doorbell_multiplier: description.doorbell_multiplier,
            doorbell: None,
        })
    }

    /// The doorbell that the device names for the selected queue, if it is one.
    fn find_doorbell(&self) -> Option<Register<u16>> {
        let offset = u32::from(self.queue_notify_offset.read()).checked_mul(self.doorbell_multiplier)?;
        if !offset.is_multiple_of(2) || offset.checked_add(2)? > self.doorbells_bytes {
            return None;
        }
        // SAFETY: the offset is within the mapped doorbells; ringing one starts only what is in the queue.
        Some(unsafe { Register::new(self.doorbells, offset as usize) })
    }
}

/// What the device says about itself, as far as it matters here.
#[derive(Default)]
struct Description {
    common: Option<Region>,
    doorbells: Option<Region>,
    doorbell_multiplier: u32,
}

impl Description {
    /// Reads the virtio capabilities. Those that only [`PciTransport`] uses are checked too, because it trusts their
    /// numbers.
    fn read<C: ConfigurationAccess>(access: &C, root: &PciRoot<C>, function: DeviceFunction) -> Result<Self, PciError> {
        let mut description = Self::default();
        for (count, capability) in root.capabilities(function).enumerate() {
            let bad = PciError::BadCapability { function, capability: capability.offset };
            if count >= MOST_CAPABILITIES {
                return Err(bad);
            }
            if capability.id != PCI_CAP_ID_VNDR {
                continue;
            }
            let [length, kind] = capability.private_header.to_le_bytes();
            let end = u16::from(capability.offset) + u16::from(length.max(CAPABILITY_BYTES));
            if end > CONFIGURATION_BYTES {
                return Err(bad);
            }
            let read = |register| access.read_word(function, capability.offset + register);
            let region = Region {
                capability: capability.offset,
                bar: read(CAPABILITY_BAR) as u8,
                offset: read(CAPABILITY_OFFSET),
                bytes: read(CAPABILITY_LENGTH),
            };
            if (kind <= VIRTIO_PCI_CAP_DEVICE_CFG && region.bar > LAST_BAR)
                || region.offset.checked_add(region.bytes).is_none()
            {
                return Err(bad);
            }
            match kind {
                VIRTIO_PCI_CAP_COMMON_CFG if length >= CAPABILITY_BYTES && description.common.is_none() => {
                    description.common = Some(region);
                }
                VIRTIO_PCI_CAP_NOTIFY_CFG if length >= NOTIFY_CAPABILITY_BYTES && description.doorbells.is_none() => {
                    description.doorbells = Some(region);
                    description.doorbell_multiplier = read(CAPABILITY_NOTIFY_MULTIPLIER);
                }
                _ => {}
            }
        }
        Ok(description)
    }
}

impl Transport for MsixTransport {
    fn device_type(&self) -> DeviceType {
        self.inner.device_type()
    }

    fn read_device_features(&mut self) -> u64 {
        self.inner.read_device_features()
    }

    fn write_driver_features(&mut self, driver_features: u64) {
        self.inner.write_driver_features(driver_features);
    }

    fn max_queue_size(&mut self, queue: u16) -> u32 {
        self.inner.max_queue_size(queue)
    }

    fn notify(&mut self, queue: u16) {
        if let Some(doorbell) = &self.doorbell {
            doorbell.write(queue);
        }
    }

    fn get_status(&self) -> DeviceStatus {
        self.inner.get_status()
    }

    fn set_status(&mut self, status: DeviceStatus) {
        self.inner.set_status(status);
    }

    fn set_guest_page_size(&mut self, guest_page_size: u32) {
        self.inner.set_guest_page_size(guest_page_size);
    }

    fn requires_legacy_layout(&self) -> bool {
        self.inner.requires_legacy_layout()
    }

    /// Enables the queue only if the device takes the interrupt for it and names a doorbell that exists; `queue_used`
    /// tells whether it did. A reset of the device has undone both, so this is where they belong.
    fn queue_set(
        &mut self,
        queue: u16,
        size: u32,
        descriptors: PhysAddr,
        driver_area: PhysAddr,
        device_area: PhysAddr,
    ) {
        // A device that asks to be reset says so by an interrupt for its configuration.
        self.configuration_msix.write(MSIX_ENTRY);
        self.queue_select.write(queue);
        self.queue_msix.write(MSIX_ENTRY);
        self.doorbell = self.find_doorbell();
        // Reading back anything else means that the device has no resources for the interrupt (section 4.1.5.1.2).
        let accepted = self.configuration_msix.read() == MSIX_ENTRY && self.queue_msix.read() == MSIX_ENTRY;
        if accepted && self.doorbell.is_some() {
            self.inner.queue_set(queue, size, descriptors, driver_area, device_area);
        }
    }

    fn queue_unset(&mut self, queue: u16) {
        self.inner.queue_unset(queue);
    }

    fn queue_used(&mut self, queue: u16) -> bool {
        self.inner.queue_used(queue)
    }

    /// Nothing has to be acknowledged: a message is not a level that stays.
    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }

    fn read_config_generation(&self) -> u32 {
        self.inner.read_config_generation()
    }

    fn read_config_space<V: zerocopy::FromBytes + zerocopy::IntoBytes>(&self, offset: usize) -> VirtioResult<V> {
        self.inner.read_config_space(offset)
    }

    fn write_config_space<V: zerocopy::IntoBytes + zerocopy::Immutable>(
        &mut self,
        offset: usize,
        value: V,
    ) -> VirtioResult<()> {
        self.inner.write_config_space(offset, value)
    }
}
