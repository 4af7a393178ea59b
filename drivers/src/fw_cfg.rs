//! QEMU's firmware configuration device: small files handed to the guest.
//!
//! The interface is QEMU's `docs/specs/fw_cfg.rst`: a selector port, a data port that yields the selected item byte by
//! byte, and a directory of named items; and, for long files, DMA: the device is told where a [`Descriptor`] lies that says
//! what to copy where. Nothing the device says is trusted: sizes and counts are bounded.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering};

use virtio_drivers::PhysAddr;
use x86_64::instructions::port::Port;

const SELECTOR_PORT: u16 = 0x510;
const DATA_PORT: u16 = 0x511;

/// Takes the upper half of a descriptor's address, then the lower half, whose arrival starts the transfer; big endian.
const DMA_PORTS: [u16; 2] = [0x514, 0x518];

/// The item that holds the four bytes of [`SIGNATURE`].
const SIGNATURE_ITEM: u16 = 0;
const SIGNATURE: [u8; 4] = *b"QEMU";
/// The item that says what the device can do.
const FEATURES_ITEM: u16 = 1;
const FEATURE_DMA: u32 = 1 << 1;
/// The item that lists the files.
const DIRECTORY_ITEM: u16 = 0x19;
/// QEMU has a few dozen files; a device that claims more than this is not believed.
const MAX_FILES: u32 = 1024;
/// The length of a file's name in the directory, its terminating zero included.
const NAME_BYTES: usize = 56;
/// How often to look whether a transfer is over before giving up: QEMU's are when they have been started.
const PATIENCE: u32 = 10_000_000;

/// Why a file could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FwCfgError {
    /// There is no such device: this is not QEMU, or not a PC.
    #[error("there is no fw_cfg device")]
    Absent,
    /// The device has no file of that name.
    #[error("there is no such file")]
    NoFile,
    /// The file is longer than the caller wants.
    #[error("the file has {bytes} bytes, the most allowed is {max}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The most allowed.
        max: usize,
    },
    /// The device cannot copy by itself.
    #[error("the fw_cfg device has no DMA")]
    NoDma,
    /// The device says that a transfer failed, or does not end it.
    #[error("the fw_cfg device failed to copy the bytes from {offset} on")]
    Transfer {
        /// Where in the file.
        offset: usize,
    },
}

/// The device's registers.
pub trait Registers {
    /// Chooses an item and goes to its first byte.
    fn select(&mut self, item: u16);
    /// The next byte of the chosen item, 0 beyond its end.
    fn next_byte(&mut self) -> u8;
    /// Starts what the descriptor at `descriptor` says.
    ///
    /// # Safety
    ///
    /// It is a [`Descriptor`], and says what [`LongFile::read_part`] was promised.
    unsafe fn start_transfer(&mut self, descriptor: PhysAddr);
}

/// The registers of a PC.
#[derive(Debug)]
pub struct PortRegisters(());

impl PortRegisters {
    /// # Safety
    ///
    /// Nothing else uses the device while this exists.
    pub const unsafe fn new() -> Self {
        Self(())
    }
}

impl Registers for PortRegisters {
    fn select(&mut self, item: u16) {
        // SAFETY: the port is fw_cfg's or no device's, and choosing an item touches no memory.
        unsafe { Port::new(SELECTOR_PORT).write(item) }
    }

    fn next_byte(&mut self) -> u8 {
        // SAFETY: as above; without a device the bus reads as ones.
        unsafe { Port::new(DATA_PORT).read() }
    }

    unsafe fn start_transfer(&mut self, descriptor: PhysAddr) {
        let halves = [(descriptor >> 32) as u32, descriptor as u32];
        for (port, half) in DMA_PORTS.into_iter().zip(halves) {
            // SAFETY: as above; the caller promises that the descriptor names memory that was given to the device.
            unsafe { Port::new(port).write(half.to_be()) };
        }
    }
}

/// What a transfer is to do (QEMU: `FWCfgDmaAccess`). The device reads it, and writes `control` when it is done.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Descriptor {
    control: AtomicU32,
    length: u32,
    address: [u32; 2],
}

const CONTROL_ERROR: u32 = 1 << 0;
const CONTROL_READ: u32 = 1 << 1;
const CONTROL_SELECT: u32 = 1 << 3;

/// A file that is read in parts, in order, by the device itself.
#[derive(Debug)]
pub struct LongFile {
    item: u16,
    bytes: usize,
    /// How much was read.
    offset: usize,
}

impl LongFile {
    /// Finds the file called `name`.
    ///
    /// # Errors
    ///
    /// There is no device, no such file, or the device has no DMA.
    pub fn open(registers: &mut impl Registers, name: &str) -> Result<Self, FwCfgError> {
        let (item, bytes) = look_up(registers, name)?;
        registers.select(FEATURES_ITEM);
        if u32::from_le_bytes(next_bytes(registers)) & FEATURE_DMA == 0 {
            return Err(FwCfgError::NoDma);
        }
        Ok(Self { item, bytes, offset: 0 })
    }

    /// How long the file is, as the device says.
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Copies the next `bytes` bytes of the file to physical memory at `to`. Beyond the file's end come zeros.
    ///
    /// # Errors
    ///
    /// The device says that it could not, or says nothing: then it may still write to the memory at any time.
    ///
    /// # Safety
    ///
    /// The memory at `to` is RAM that nothing else uses meanwhile; `descriptor` is one that only this call and the device use, and lies
    /// at the physical address `descriptor_address`. Both stay so after an error.
    pub unsafe fn read_part(
        &mut self,
        registers: &mut impl Registers,
        descriptor: NonNull<Descriptor>,
        descriptor_address: PhysAddr,
        to: PhysAddr,
        bytes: u32,
    ) -> Result<(), FwCfgError> {
        // Chosen anew with the first part; from then on the device remembers how far it is.
        let select = if self.offset == 0 { u32::from(self.item) << 16 | CONTROL_SELECT } else { 0 };
        let control = AtomicU32::new((select | CONTROL_READ).to_be());
        let address = [((to >> 32) as u32).to_be(), (to as u32).to_be()];
        // SAFETY: the caller gives the descriptor to this call, and the device does not have it yet.
        unsafe { descriptor.write(Descriptor { control, length: bytes.to_be(), address }) };
        // SAFETY: the descriptor was just written, with memory that the caller gives to the device.
        unsafe { registers.start_transfer(descriptor_address) };
        // SAFETY: the descriptor stays. Of what the device may write now only this is looked at, which is atomic.
        let answer = unsafe { &(*descriptor.as_ptr()).control };
        for _ in 0..PATIENCE {
            let control = u32::from_be(answer.load(Ordering::Acquire));
            if control == 0 {
                self.offset += bytes as usize;
                return Ok(());
            }
            if control & CONTROL_ERROR != 0 {
                break;
            }
            core::hint::spin_loop();
        }
        Err(FwCfgError::Transfer { offset: self.offset })
    }
}

/// Reads the whole file called `name` into the front of `buffer`; returns how long it is. Needs no heap, since the command
/// line can say how much memory there is to make one of.
///
/// # Errors
///
/// There is no device, no such file, or the file does not fit into `buffer`.
pub fn read_file(registers: &mut impl Registers, name: &str, buffer: &mut [u8]) -> Result<usize, FwCfgError> {
    let (item, bytes) = look_up(registers, name)?;
    let max = buffer.len();
    let file = buffer.get_mut(..bytes).ok_or(FwCfgError::TooLong { bytes, max })?;
    registers.select(item);
    file.fill_with(|| registers.next_byte());
    Ok(bytes)
}

/// The item and size of a file of a device that may not be there.
fn look_up(registers: &mut impl Registers, name: &str) -> Result<(u16, usize), FwCfgError> {
    registers.select(SIGNATURE_ITEM);
    if next_bytes(registers) != SIGNATURE {
        return Err(FwCfgError::Absent);
    }
    find(registers, name).ok_or(FwCfgError::NoFile)
}

/// The item and size of a file.
fn find(registers: &mut impl Registers, name: &str) -> Option<(u16, usize)> {
    registers.select(DIRECTORY_ITEM);
    let files = u32::from_be_bytes(next_bytes(registers));
    for _ in 0..files.min(MAX_FILES) {
        let bytes = u32::from_be_bytes(next_bytes(registers));
        let item = u16::from_be_bytes(next_bytes(registers));
        let _reserved: [u8; 2] = next_bytes(registers);
        let entry: [u8; NAME_BYTES] = next_bytes(registers);
        if entry.split(|&byte| byte == 0).next() == Some(name.as_bytes()) {
            return Some((item, bytes as usize));
        }
    }
    None
}

fn next_bytes<const N: usize>(registers: &mut impl Registers) -> [u8; N] {
    core::array::from_fn(|_| registers.next_byte())
}

#[cfg(test)]
mod tests {
    use std::{vec, vec::Vec};

    use core::ptr::NonNull;
    use core::{ptr::with_exposed_provenance_mut, sync::atomic::Ordering};

    use super::{
        CONTROL_ERROR, CONTROL_READ, CONTROL_SELECT, DIRECTORY_ITEM, Descriptor, FEATURE_DMA, FEATURES_ITEM,
        FwCfgError, LongFile, MAX_FILES, Registers, SIGNATURE, SIGNATURE_ITEM, read_file,
    };

    /// A device with these items; a file's item is 0x20 plus its place. Physical addresses are virtual ones.
    struct Device {
        items: Vec<(u16, Vec<u8>)>,
        rest: vec::IntoIter<u8>,
        bytes_read: usize,
        transfers_left: usize,
        is_stuck: bool,
    }

    impl Device {
        fn new(claimed_files: u32, files: &[(&str, &[u8])]) -> Self {
            let mut items = vec![(SIGNATURE_ITEM, SIGNATURE.to_vec())];
            items.push((FEATURES_ITEM, (1 | FEATURE_DMA).to_le_bytes().to_vec()));
            let mut directory = claimed_files.to_be_bytes().to_vec();
            for (item, (name, content)) in (0x20u16..).zip(files) {
                directory.extend(u32::try_from(content.len()).expect("short").to_be_bytes());
                directory.extend(item.to_be_bytes());
                directory.extend([0; 2]);
                directory.extend(name.as_bytes());
                directory.extend(vec![0; 56 - name.len()]);
                items.push((item, content.to_vec()));
            }
            items.push((DIRECTORY_ITEM, directory));
            Self { items, rest: Vec::new().into_iter(), bytes_read: 0, transfers_left: usize::MAX, is_stuck: false }
        }
    }

    impl Registers for Device {
        fn select(&mut self, item: u16) {
            let content = self.items.iter().find(|(number, _)| *number == item);
            self.rest = content.map(|(_, content)| content.clone()).unwrap_or_default().into_iter();
        }

        fn next_byte(&mut self) -> u8 {
            self.bytes_read += 1;
            self.rest.next().unwrap_or(0)
        }

        unsafe fn start_transfer(&mut self, descriptor: u64) {
            // SAFETY: the test's descriptor lives while the transfer runs, and only its atomic part is used afterwards.
            let descriptor = unsafe { &*with_exposed_provenance_mut::<Descriptor>(descriptor as usize) };
            let control = u32::from_be(descriptor.control.load(Ordering::Acquire));
            assert_ne!(control & CONTROL_READ, 0, "{control:#x}");
            if self.is_stuck {
                return;
            }
            if control & CONTROL_SELECT != 0 {
                self.select((control >> 16) as u16);
            }
            let [high, low] = descriptor.address.map(|half| u64::from(u32::from_be(half)));
            let to = with_exposed_provenance_mut::<u8>((high << 32 | low) as usize);
            for index in 0..u32::from_be(descriptor.length) as usize {
                // SAFETY: the test's buffer has room for as many bytes.
                unsafe { to.add(index).write(self.rest.next().unwrap_or(0)) };
            }
            let failed = self.transfers_left == 0;
            self.transfers_left = self.transfers_left.saturating_sub(1);
            descriptor.control.store(if failed { CONTROL_ERROR.to_be() } else { 0 }, Ordering::Release);
        }
    }

    /// Reads the next part of a file into memory of the test's.
    fn next_part(device: &mut Device, file: &mut LongFile, bytes: u32) -> Result<Vec<u8>, FwCfgError> {
        let mut descriptor = Descriptor::default();
        let mut part = vec![b'-'; bytes as usize];
        let descriptor = NonNull::from(&mut descriptor);
        let place = descriptor.as_ptr().expose_provenance() as u64;
        let to = part.as_mut_ptr().expose_provenance() as u64;
        // SAFETY: the buffer is the test's alone, and the device's physical addresses are virtual ones.
        unsafe { file.read_part(device, descriptor, place, to, bytes) }.map(|()| part)
    }

    #[test]
    fn a_long_file_is_copied_part_by_part() {
        let mut device = Device::new(2, &[("opt/a", b"no"), ("opt/b", b"0123456789")]);
        let mut file = LongFile::open(&mut device, "opt/b").expect("there");
        assert_eq!(file.bytes(), 10);
        assert_eq!(next_part(&mut device, &mut file, 4), Ok(b"0123".to_vec()));
        assert_eq!(next_part(&mut device, &mut file, 8), Ok(b"456789\0\0".to_vec()));
    }

    #[test]
    fn a_transfer_that_fails_or_cannot_be_is_an_error() {
        let mut device = Device::new(1, &[("a", b"0123456789")]);
        device.transfers_left = 1;
        let mut file = LongFile::open(&mut device, "a").expect("there");
        assert!(next_part(&mut device, &mut file, 6).is_ok());
        assert_eq!(next_part(&mut device, &mut file, 4), Err(FwCfgError::Transfer { offset: 6 }));
        device.is_stuck = true;
        assert_eq!(
            next_part(&mut device, &mut file, 4),
            Err(FwCfgError::Transfer { offset: 6 }),
            "it is not waited for"
        );
        assert_eq!(LongFile::open(&mut device, "b").unwrap_err(), FwCfgError::NoFile);
        device.items[1].1 = 1u32.to_le_bytes().to_vec();
        assert_eq!(LongFile::open(&mut device, "a").unwrap_err(), FwCfgError::NoDma);
    }

    #[test]
    fn a_file_is_found_by_its_whole_name() {
        let files: [(&str, &[u8]); 3] =
            [("opt/quire", b"short"), ("opt/quire/a", b"this one"), ("opt/quire/ab", b"no")];
        let mut device = Device::new(3, &files);
        let mut buffer = [b'-'; 10];
        assert_eq!(read_file(&mut device, "opt/quire/a", &mut buffer), Ok(8));
        assert_eq!(&buffer, b"this one--");
        assert_eq!(read_file(&mut device, "opt/quire/a", &mut [0; 7]), Err(FwCfgError::TooLong { bytes: 8, max: 7 }));
        assert_eq!(read_file(&mut device, "opt", &mut buffer), Err(FwCfgError::NoFile));
    }

    #[test]
    fn a_device_that_is_absent_or_lies_is_no_trouble() {
        let mut absent = Device::new(1, &[("a", b"content")]);
        absent.items[0].1 = vec![0xff; 4];
        assert_eq!(read_file(&mut absent, "a", &mut [0; 100]), Err(FwCfgError::Absent));

        let mut endless = Device::new(u32::MAX, &[]);
        assert_eq!(read_file(&mut endless, "a", &mut [0; 100]), Err(FwCfgError::NoFile));
        assert!(endless.bytes_read <= 8 + 64 * MAX_FILES as usize);
    }
}
