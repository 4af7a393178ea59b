//! MSI-X (PCI 3.0, section 6.8.2): interrupts that a device sends as writes to the address of a local APIC.

use virtio_drivers::transport::pci::bus::{Command, ConfigurationAccess, DeviceFunction, PciRoot};

use super::{error::PciError, region::Region};
use crate::{Hal, mmio::Register};

const CAPABILITY: u8 = 0x11;
/// The word after the capability's header: the table's base address register in the low 3 bits, its offset above them.
const TABLE_OFFSET: u8 = 4;
const TABLE_BAR_MASK: u32 = 0b111;
/// Bits of the message control, which is the upper half of the capability's first word.
const CONTROL_ENABLE: u32 = 1 << 31;
const CONTROL_FUNCTION_MASK: u32 = 1 << 30;

const ENTRY_BYTES: u32 = 16;
const ENTRY_ADDRESS: usize = 0;
const ENTRY_ADDRESS_HIGH: usize = 4;
const ENTRY_DATA: usize = 8;
const ENTRY_CONTROL: usize = 12;
const ENTRY_MASKED: u32 = 1;

/// Where local APICs take messages; the receiver's number goes into bits 12 to 19.
const APIC_MESSAGES: u32 = 0xfee0_0000;

/// Which interrupt a device shall cause, edge-triggered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// The processor, by the number of its local APIC.
    pub apic_id: u8,
    /// The vector, 32 or more.
    pub vector: u8,
}

/// Makes entry 0 of the device's table send `interrupt` and switches from line interrupts to messages.
pub(super) fn enable<H: Hal, C: ConfigurationAccess + Clone>(
    access: &mut C,
    function: DeviceFunction,
    interrupt: Interrupt,
) -> Result<(), PciError> {
    let mut root = PciRoot::new(access.clone());
    let capability = root
        .capabilities(function)
        .take(64)
        .find(|found| found.id == CAPABILITY)
        .ok_or(PciError::NoMsix { function })?;
    let table = access.read_word(function, capability.offset.wrapping_add(TABLE_OFFSET));
    let entry = Region {
        capability: capability.offset,
        bar: (table & TABLE_BAR_MASK) as u8,
        offset: table & !TABLE_BAR_MASK,
        bytes: ENTRY_BYTES,
    }
    .map::<H, C>(&mut root, function)?;
    // SAFETY: the entry's four words are mapped. It takes effect only once it is unmasked, when it holds an address of
    // the local APICs, so that what the device writes there is an interrupt and never memory.
    let write = |offset, value| unsafe { Register::<u32>::new(entry, offset) }.write(value);
    write(ENTRY_CONTROL, ENTRY_MASKED);
    write(ENTRY_ADDRESS, APIC_MESSAGES | u32::from(interrupt.apic_id) << 12);
    write(ENTRY_ADDRESS_HIGH, 0);
    write(ENTRY_DATA, interrupt.vector.into());
    write(ENTRY_CONTROL, 0);
    let header = access.read_word(function, capability.offset);
    access.write_word(function, capability.offset, (header | CONTROL_ENABLE) & !CONTROL_FUNCTION_MASK);
    let (_, command) = root.get_status_command(function);
    root.set_command(function, command | Command::INTERRUPT_DISABLE);
    Ok(())
}
