//! Finding and switching on devices whose configuration space is a map and whose registers are memory, at addresses
//! beyond 4 GiB as it happens.

use std::{boxed::Box, cell::RefCell, collections::BTreeMap, rc::Rc, vec};

use virtio_drivers::{
    PhysAddr,
    transport::{
        Transport,
        pci::{
            VirtioPciError,
            bus::{ConfigurationAccess, DeviceFunction},
        },
    },
};

use super::{Interrupt, MsixTransport, PciError, virtio_disks};
use crate::fake::{FakeHal, peek, poke};

const INTERRUPT: Interrupt = Interrupt { apic_id: 3, vector: 0x41 };
const BAR_BYTES: u64 = 0x1000;
const FUNCTION: DeviceFunction = DeviceFunction { bus: 0, device: 2, function: 0 };

/// Where the fake disk keeps its capabilities.
const COMMON: u8 = 0x40;
const NOTIFY: u8 = 0x50;
const ISR: u8 = 0x64;
const DEVICE: u8 = 0x74;
const MSIX: u8 = 0x84;

/// Offsets of its registers in base address register 4.
const QUEUE_MSIX: u64 = 26;
const QUEUE_ENABLE: u64 = 28;
const QUEUE_NOTIFY_OFFSET: u64 = 30;
const DOORBELLS: u64 = 0x100;

#[derive(Clone, Default)]
struct Configuration(Rc<RefCell<BTreeMap<DeviceFunction, [u32; 64]>>>);

impl Configuration {
    fn add(&self, function: DeviceFunction, words: &[(u8, u32)]) {
        self.0.borrow_mut().insert(function, [0; 64]);
        self.change(function, words);
    }

    fn change(&self, function: DeviceFunction, words: &[(u8, u32)]) {
        let mut functions = self.0.borrow_mut();
        let space = functions.get_mut(&function).expect("a device that was added");
        for &(register, word) in words {
            space[usize::from(register) / 4] = word;
        }
    }
}

impl ConfigurationAccess for Configuration {
    fn read_word(&self, function: DeviceFunction, register: u8) -> u32 {
        self.0.borrow().get(&function).map_or(u32::MAX, |words| words[usize::from(register) / 4])
    }

    fn write_word(&mut self, function: DeviceFunction, register: u8, data: u32) {
        let old = self.read_word(function, register);
        let new = match register {
            // The low half of a 64-bit register that is sized; the disk below has no other kind.
            0x10 | 0x18 | 0x20 if data == u32::MAX => !(BAR_BYTES as u32 - 1) | 0b100,
            0x28..0x34 => panic!("no driver writes there"),
            0x04 => old & 0xffff_0000 | data & 0xffff,
            _ => data,
        };
        self.change(function, &[(register, new)]);
    }

    unsafe fn unsafe_clone(&self) -> Self {
        self.clone()
    }
}

fn at(bus: u8, device: u8) -> DeviceFunction {
    DeviceFunction { bus, device, function: 0 }
}

fn header(capability: u8, next: u8, length: u8, kind: u8) -> u32 {
    u32::from_le_bytes([capability, next, length, kind])
}

/// A virtio disk; also where its registers are: those of virtio, and the MSI-X table.
fn disk() -> (Configuration, PhysAddr, PhysAddr) {
    #[repr(align(4096))]
    struct Page(#[expect(dead_code, reason = "read as registers")] [u8; BAR_BYTES as usize]);
    let page = || Box::into_raw(Box::new(Page([0; BAR_BYTES as usize]))).expose_provenance() as PhysAddr;
    let (registers, table) = (page(), page());
    let halves = |address: PhysAddr| (address as u32 | 0b100, (address >> 32) as u32);
    let configuration = Configuration::default();
    configuration.add(
        FUNCTION,
        &[
            (0x00, 0x1042_1af4),
            (0x04, 1 << 20),
            (0x10, halves(table).0),
            (0x14, halves(table).1),
            (0x20, halves(registers).0),
            (0x24, halves(registers).1),
            (0x34, COMMON.into()),
            (COMMON, header(0x09, NOTIFY, 16, 1)),
            (COMMON + 4, 4),
            (COMMON + 12, 56),
            (NOTIFY, header(0x09, ISR, 20, 2)),
            (NOTIFY + 4, 4),
            (NOTIFY + 8, DOORBELLS as u32),
            (NOTIFY + 12, 0x10),
            (NOTIFY + 16, 4),
            (ISR, header(0x09, DEVICE, 16, 3)),
            (ISR + 4, 4),
            (ISR + 8, 0x200),
            (ISR + 12, 4),
            (DEVICE, header(0x09, MSIX, 16, 4)),
            (DEVICE + 4, 4),
            (DEVICE + 8, 0x300),
            (DEVICE + 12, 64),
            // Two entries, masked as a whole; the table is 0x800 bytes into base address register 0.
            (MSIX, 1 << 30 | 1 << 16 | u32::from(header(0x11, 0, 0, 0) as u16)),
            (MSIX + 4, 0x800),
        ],
    );
    (configuration, registers, table)
}

fn transport(configuration: &Configuration) -> Result<MsixTransport, PciError> {
    // SAFETY: the device's registers are memory of the test's, and no device writes.
    unsafe { MsixTransport::new::<FakeHal, _>(configuration, FUNCTION, INTERRUPT) }
}

#[test]
fn disks_are_found_behind_bridges_even_if_these_lead_in_circles() {
    let configuration = Configuration::default();
    let disk = [(0x00, 0x1042_1af4)];
    let bridge = |secondary: u32| [(0x00, 0x000c_1b36), (0x0c, 1 << 16), (0x18, secondary << 8)];
    configuration.add(at(0, 1), &bridge(2));
    configuration.add(at(0, 2), &bridge(4));
    configuration.add(at(0, 5), &disk);
    configuration.add(at(0, 6), &[(0x00, 0x1041_1af4)]);
    configuration.add(at(0, 7), &[(0x00, 0x1042_8086)]);
    configuration.add(at(2, 0), &bridge(4));
    configuration.add(at(2, 3), &disk);
    configuration.add(at(4, 0), &bridge(0));
    configuration.add(at(4, 1), &disk);
    configuration.add(at(4, 2), &bridge(4));
    assert_eq!(virtio_disks(&configuration), [at(0, 5), at(2, 3), at(4, 1)]);
}

#[test]
fn the_interrupt_is_programmed_and_nothing_else_interrupts() {
    let (configuration, _, table) = disk();
    let _transport = transport(&configuration).expect("a good disk");
    assert_eq!(peek::<[u32; 4]>(table + 0x800), [0xfee0_3000, 0, 0x41, 0]);
    let control = configuration.read_word(FUNCTION, MSIX) >> 30;
    assert_eq!(control, 0b10, "messages enabled, the function not masked");
    let command = configuration.read_word(FUNCTION, 0x04) & 0xffff;
    assert_eq!(command, 1 << 1 | 1 << 2 | 1 << 10, "memory decoded, bus master, no line interrupt");
}

#[test]
fn a_queue_gets_its_interrupt_and_its_doorbell() {
    let (configuration, registers, _) = disk();
    let mut transport = transport(&configuration).expect("a good disk");
    poke(registers + QUEUE_MSIX, u16::MAX);
    poke(registers + QUEUE_NOTIFY_OFFSET, 2u16);
    poke(registers + DOORBELLS + 8, u16::MAX);
    transport.notify(0);
    assert_eq!(peek::<u16>(registers + DOORBELLS + 8), u16::MAX, "no queue, no doorbell");
    transport.queue_set(0, 64, 0x1000, 0x2000, 0x3000);
    assert!(transport.queue_used(0));
    assert_eq!((peek::<u16>(registers + QUEUE_MSIX), peek::<u16>(registers + QUEUE_ENABLE)), (0, 1));
    transport.notify(0);
    assert_eq!(peek::<u16>(registers + DOORBELLS + 8), 0);
}

#[test]
fn a_queue_whose_doorbell_is_elsewhere_is_not_enabled() {
    for offset in [4, u16::MAX] {
        let (configuration, registers, _) = disk();
        let mut transport = transport(&configuration).expect("a good disk");
        poke(registers + QUEUE_NOTIFY_OFFSET, offset);
        transport.queue_set(0, 64, 0x1000, 0x2000, 0x3000);
        assert!(!transport.queue_used(0), "{offset}");
        transport.notify(0);
    }
}

#[test]
fn a_disk_that_describes_itself_wrongly_is_refused() {
    let bad = |capability| PciError::BadCapability { function: FUNCTION, capability };
    let virtio = |cause| PciError::Virtio { function: FUNCTION, cause };
    let cases = [
        ("no messages", vec![(MSIX, 0x05)], PciError::NoMsix { function: FUNCTION }),
        ("no capabilities", vec![(0x04, 0)], virtio(VirtioPciError::MissingCommonConfig)),
        ("no doorbells", vec![(NOTIFY, header(0x09, ISR, 16, 2))], virtio(VirtioPciError::MissingNotifyConfig)),
        ("no interrupt status", vec![(ISR, header(0x05, DEVICE, 0, 0))], virtio(VirtioPciError::MissingIsrConfig)),
        ("a register that does not exist", vec![(DEVICE + 4, 6)], bad(DEVICE)),
        ("a register that is not there", vec![(COMMON + 4, 2)], bad(COMMON)),
        ("a register without an address", vec![(0x10, 0b100), (0x14, 0)], bad(MSIX)),
        ("an end beyond all addresses", vec![(DEVICE + 8, u32::MAX - 1)], bad(DEVICE)),
        ("an end beyond the register", vec![(NOTIFY + 8, 0xff8)], bad(NOTIFY)),
        ("an odd place", vec![(COMMON + 8, 2)], bad(COMMON)),
        ("a short configuration", vec![(COMMON + 12, 55)], bad(COMMON)),
        ("a table beyond the register", vec![(MSIX + 4, 0xff8)], bad(MSIX)),
        ("a table in no register", vec![(MSIX + 4, 0x807)], bad(MSIX)),
        (
            "a capability at the very end",
            vec![(MSIX, header(0x11, 0xfc, 0, 0)), (0xfc, header(0x09, 0, 16, 1))],
            bad(0xfc),
        ),
        ("a circle", vec![(MSIX, header(0x11, COMMON, 0, 0))], bad(DEVICE)),
    ];
    for (what, change, error) in cases {
        let (configuration, ..) = disk();
        configuration.change(FUNCTION, &change);
        assert_eq!(transport(&configuration).err(), Some(error), "{what}");
    }
}
